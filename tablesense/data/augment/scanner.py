"""What a scanner adds to a page in its final size."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from tablesense.data.augment.geometry import Boxes, in_view


def degrade_scan(image: Image.Image, boxes: Boxes, rng: Random) -> Image.Image:
    """What the scanner adds: uneven light, dark edges, specks, noise, blur. No edge reaches a table."""
    pixels = np.array(image.convert("L"), dtype=np.float32)
    height, width = pixels.shape
    noise = np.random.default_rng(rng.getrandbits(64))
    if rng.random() < 0.3:
        pixels *= np.linspace(rng.uniform(0.75, 1), rng.uniform(0.75, 1), width, dtype=np.float32)
    if rng.random() < 0.15:
        side, edge = rng.randrange(4), rng.randint(2, max(3, width // 12))
        for x0, y0, x1, y1 in (box for box in boxes if in_view(box, image)):
            edge = max(0, min(edge, int((x0, y0, width - x1, height - y1)[side] / 2)))
        strips = pixels[:, :edge], pixels[:edge], pixels[:, width - edge :], pixels[height - edge :]
        strips[side][:] = rng.randint(0, 90)
    if rng.random() < 0.3:
        specks = noise.random((height, width)) < rng.uniform(0.0005, 0.004)
        pixels[specks] = noise.integers(0, 200, specks.sum())
    if rng.random() < 0.5:
        pixels += rng.uniform(2, 14) * noise.standard_normal((height, width), dtype=np.float32)
    black, white = rng.uniform(0, 60), rng.uniform(195, 255)
    if rng.random() < 0.5:
        pixels *= (white - black) / 255
        pixels += black
    result = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        result = result.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    return result


def adjust_light(image: Image.Image, rng: Random) -> Image.Image:
    """Small changes of brightness, contrast and colour; sometimes grey."""
    steps: list[tuple[float, Callable[[Image.Image], Image.Image]]] = [
        (0.3, lambda im: ImageOps.grayscale(im)),
        (0.5, lambda im: ImageEnhance.Contrast(im).enhance(rng.uniform(0.6, 1.5))),
        (0.5, lambda im: ImageEnhance.Brightness(im).enhance(rng.uniform(0.75, 1.1))),
        (0.3, lambda im: ImageEnhance.Color(im).enhance(rng.uniform(0, 1.8))),
        (0.15, lambda im: im.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))),
    ]
    for probability, change in steps:
        if rng.random() < probability:
            image = change(image)
    return image


def streak(image: Image.Image, rng: Random) -> Image.Image:
    """Draw the thin lines, along the page, of dirt under a sheet that is fed through a scanner."""
    pixels = np.array(image)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        x, strength = rng.randrange(image.width), rng.uniform(0.15, 0.7)
        top, bottom = sorted((rng.uniform(-0.6, 1), rng.uniform(0, 1.6)))
        line = pixels[max(0, int(top * image.height)) : max(0, int(bottom * image.height)), x]
        line[:] = (1 - strength) * line + strength * rng.choice((20, 60, 255))
    return Image.fromarray(pixels)


def jpeg(image: Image.Image, rng: Random, worst: int = 18, best: int = 75) -> Image.Image:
    """Compress and decompress as JPEG of a quality between `worst` and `best`."""
    file = BytesIO()
    image.save(file, "JPEG", quality=rng.randint(worst, best))
    return Image.open(file).convert(image.mode)
