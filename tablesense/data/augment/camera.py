"""What a telephone's camera makes of a page: the table under it, light, colour, blur, noise."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tablesense.data.augment.geometry import Points, corners_of, project, warp
from tablesense.data.augment.ink import smooth_field, spread

SURROUNDS = (
    (186, 140, 96), (150, 102, 64), (104, 66, 40), (66, 44, 32),  # wood
    (205, 200, 192), (168, 166, 164), (120, 120, 122), (62, 64, 68), (30, 30, 33),  # desks, floors
    (58, 76, 104), (110, 52, 48), (70, 92, 72), (228, 226, 222),  # cloth, a white table
)  # fmt: skip
"""Red, green and blue of what pages lie on."""


def lay_on_table(page: Image.Image, matrix: Points, size: tuple[int, int], rng: Random) -> Image.Image:
    """Draw a page through a homography, on a table top, with the shadow that the sheet casts.

    Args:
        page: RGB.
        matrix: [3, 3], from the page's pixels to the view's.
        size: Width and height of the view.
        rng: Where all chance comes from.
    """
    view = warp(page, matrix, size, finer=1.0)
    sheet = project(matrix, corners_of((0, 0, *page.size)))
    fine = 2  # the mask is drawn larger for a smooth edge
    mask = Image.new("L", (size[0] * fine, size[1] * fine), 0)
    ImageDraw.Draw(mask).polygon([(x * fine, y * fine) for x, y in sheet.tolist()], fill=255)
    mask = mask.reduce(fine)
    if mask.getextrema()[0] == 255:
        return view
    under = table_top(size, rng)
    softness = max(size) * rng.uniform(0.003, 0.02)
    shadow = ImageChops.offset(mask, *(round(rng.uniform(-1, 1) * softness) for _ in range(2)))
    shadow = shadow.reduce(2).filter(ImageFilter.BoxBlur(softness / 2))
    shadow = shadow.resize(size, Image.Resampling.BILINEAR)
    depth = rng.uniform(0.2, 0.7)
    shadow = shadow.point([round(255 - depth * grey) for grey in range(256)])
    under = ImageChops.multiply(under, shadow.convert("RGB"))
    under.paste(view, mask=mask)
    return under


def table_top(size: tuple[int, int], rng: Random) -> Image.Image:
    """A table top, RGB: a plain colour, speckled, or with a grain along or across."""
    noise = np.random.default_rng(rng.getrandbits(64))
    brightness, strength = rng.uniform(0.7, 1), rng.uniform(0.03, 0.14)
    cells = rng.choice(((4, 4), (96, 96), (5, 70), (70, 5)))  # plain, speckled, grain along or across
    texture = 128 + 40 * spread(noise.standard_normal(cells, dtype=np.float32), size)
    grey = Image.fromarray(texture.clip(0, 255).astype(np.uint8))
    light = [brightness * (1 + strength * (value - 128) / 40) for value in range(256)]
    bands = [grey.point([min(255, round(part * of)) for of in light]) for part in rng.choice(SURROUNDS)]
    return Image.merge("RGB", bands)


def illuminate(image: Image.Image, rng: Random) -> Image.Image:
    """Light a view as a lamp or a window would: unevenly, in a colour, with shadows; RGB."""
    light = smooth_field(image.size, rng, rng.uniform(0.82, 0.95), 1.0, cells=3)
    angle, fall = rng.uniform(0, 2 * pi), rng.uniform(0, 0.4)
    across = np.linspace(-cos(angle), cos(angle), image.width, dtype=np.float32)
    down = np.linspace(-sin(angle), sin(angle), image.height, dtype=np.float32)
    light = light * (1 + fall / 2 * (across + down[:, None] - 1))
    if rng.random() < 0.5:
        light *= cast_shadow(image.size, rng)
    exposure, warmth = rng.uniform(0.66, 1.08), rng.gauss(0.01, 0.06)
    colour = np.array([1 + warmth, 1 + rng.gauss(0, 0.015), 1 - warmth], dtype=np.float32)
    lit = np.asarray(image) * (light[..., None] * (exposure / light.max() * colour / colour.max()))
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def cast_shadow(size: tuple[int, int], rng: Random) -> NDArray[np.float32]:
    """The shadow of a head, of an arm or of the telephone, [height, width]: 1 where there is none."""
    cells, depth, side = 64, rng.uniform(0.5, 0.88), rng.uniform(0, 2 * pi)
    x, y = np.meshgrid(np.linspace(-1, 1, cells), np.linspace(-1, 1, cells))
    along, beside = x * cos(side) + y * sin(side), y * cos(side) - x * sin(side)
    shape, start = rng.choice(("edge", "head", "arm")), rng.uniform(-0.3, 0.9)
    if shape == "edge":
        inside = start - along
    elif shape == "head":
        inside = 1 - np.hypot((along - start - 0.5) / rng.uniform(0.5, 1), beside / rng.uniform(0.4, 0.9))
    else:
        inside = np.minimum(rng.uniform(0.1, 0.35) - np.abs(beside - rng.uniform(-0.4, 0.4)), along - start)
    softness = rng.choice((0.05, 0.1, 0.25, 0.5))  # the nearer the object, the sharper its shadow
    shadow = (0.5 + inside / softness).clip(0, 1)
    shadow = 1 - (1 - depth) * shadow**2 * (3 - 2 * shadow)
    return spread(shadow.astype(np.float32), size)


def blur(image: Image.Image, rng: Random) -> Image.Image:
    """Move the camera a little, or focus beside the page: a pixel or two."""
    if rng.random() < 0.5:
        return image.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.75)))
    angle, length = rng.uniform(0, pi), rng.uniform(0.5, 1.4)
    grid = np.arange(-2, 3)
    x, y = np.meshgrid(grid, grid)
    along, beside = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
    kernel = (1 - np.abs(beside)).clip(0) * (length + 0.5 - np.abs(along)).clip(0, 1)
    return image.filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist(), float(kernel.sum())))


def sensor_noise(image: Image.Image, rng: Random) -> Image.Image:
    """Add the grain of a small sensor: of light mostly, of colour a little, and coarser; RGB."""
    noise = np.random.default_rng(rng.getrandbits(64))
    width, height = image.size
    strength = rng.uniform(0.5, 2.2) ** 2
    grain = strength * noise.standard_normal((height, width, 1), dtype=np.float32)
    coarse = [max(1, height // 3), max(1, width // 3), 3]
    chroma = (128 + strength * noise.standard_normal(coarse, dtype=np.float32)).clip(0, 255).astype(np.uint8)
    spread = (
        np.asarray(Image.fromarray(chroma).resize(image.size, Image.Resampling.BILINEAR), dtype=np.float32)
        - 128
    )
    return Image.fromarray((np.asarray(image) + grain + spread).clip(0, 255).astype(np.uint8))
