"""What printer, copier and fax do to the ink, before the page is sampled."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter


def degrade_print(image: Image.Image, rng: Random) -> Image.Image:
    """What ink and copier do before the page is sampled: thicker or softer strokes, black or white."""
    image = image.convert("L")
    chance = rng.random()
    if chance < 0.25:
        image = image.filter(ImageFilter.MinFilter(3))
    elif chance < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.2)))
    if rng.random() < 0.5:
        threshold = rng.randint(120, 225)
        image = image.point([0 if grey < threshold else 255 for grey in range(256)])
    return image


def binarise_locally(image: Image.Image, rng: Random) -> Image.Image:
    """Black or white by a threshold that follows the grey around each pixel, unevenly (Niblack, 1986)."""
    image = image.convert("L")
    small = image.resize([max(1, side // 8) for side in image.size], Image.Resampling.BOX, reducing_gap=2.0)
    around = small.filter(ImageFilter.BoxBlur(max(1, max(small.size) // 40))).resize(image.size)
    uneven = smooth_field(image.size, rng, rng.uniform(0.55, 0.8), rng.uniform(0.8, 0.96))
    threshold = (np.asarray(around, dtype=np.float32) * uneven).clip(80, 235)  # black ink stays, paper stays
    return Image.fromarray(np.where(np.asarray(image) > threshold, np.uint8(255), np.uint8(0)))


def fax(image: Image.Image, rng: Random) -> Image.Image:
    """Send the page by fax: half of the lines (ITU-T T.4), black or white, some lines lost or spoilt."""
    width, height = image.size
    image = image.convert("L").resize((width, max(1, height // 2)), Image.Resampling.BOX)
    threshold = rng.randint(130, 215)
    pixels = np.array(image.point([0 if grey < threshold else 255 for grey in range(256)]))
    noise = np.random.default_rng(rng.getrandbits(64))
    for row in noise.integers(0, len(pixels), int(len(pixels) * rng.choice((0, 0.004, 0.012)))):
        start, end = sorted(noise.integers(0, width + 1, 2))
        pixels[row, start:end] = rng.choice((0, 255, 255))
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def fade(image: Image.Image, rng: Random) -> Image.Image:
    """Take contrast away: grey ink, grey paper, or both, and a curve between them."""
    black, white, curve = rng.uniform(0, 110), rng.uniform(205, 255), rng.uniform(0.6, 1.6)
    table = [round(black + (white - black) * (grey / 255) ** curve) for grey in range(256)]
    return image.point(table * len(image.getbands()))


def smooth_field(
    size: tuple[int, int], rng: Random, low: float, high: float, cells: int = 4
) -> NDArray[np.float32]:
    """Chance that varies slowly over a page: [height, width], between `low` and `high` or thereabouts."""
    grid = np.array([[rng.uniform(low, high) for _ in range(cells)] for _ in range(cells)], dtype=np.float32)
    return spread(grid, size)


def spread(cells: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw a coarse field [rows, columns] as a smooth one, [height, width]."""
    rows, columns = (min(8 * side, 128) for side in cells.shape)
    smooth = Image.fromarray(cells).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(smooth.resize(size, Image.Resampling.BILINEAR))  # a third of the time of bicubic
