"""From a decoded page to a training image: crop, scale, degrade, and keep the boxes right."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from tablesense.data.page import Box

Preset = Literal["none", "light", "scan"]
Boxes = list[Box]


def fit(image: Image.Image, longest_side: int, stretch: float = 1.0) -> Image.Image:
    """Scale a page so that its longest side has `longest_side` pixels.

    Args:
        image: Any mode.
        longest_side: Pixels.
        stretch: Width to height, compared with the page's own; 1 keeps the aspect.
    """
    width, height = image.width * stretch, image.height
    scale = longest_side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def augment(
    image: Image.Image, boxes: Boxes, longest_side: int, preset: Preset, rng: Random
) -> tuple[Image.Image, Boxes]:
    """Draw one training view of a page. Pages are never flipped: text has one direction.

    "light" crops or zooms out, stretches and changes light and colour a little; "scan" does what
    copiers, scanners and fax machines do as well: skew, dark edges, binarisation, thick strokes, blur
    and noise. A crop never cuts a table: it holds each whole or not at all.

    Args:
        image: The page.
        boxes: xyxy in pixels of `image`.
        longest_side: The largest size of the result, in pixels.
        preset: How far to go.
        rng: Where all chance comes from.

    Returns:
        The view in its final size, and each of the boxes in its pixels: those that a crop left out lie
        outside it.
    """
    if preset == "none":
        return fit_with_boxes(image, boxes, longest_side)
    if max(image.size) > 2 * longest_side:
        # Strokes a few pixels wide, whatever the file's resolution: what the scan effects work on.
        image, boxes = fit_with_boxes(image, boxes, 2 * longest_side)
    scan = preset == "scan" and rng.random() < 0.5
    if scan and rng.random() < 0.5:
        image, boxes = rotate(image, boxes, rng.gauss(0, 0.6))
    chance = rng.random()
    if chance < 0.4:
        image, boxes = crop(image, boxes, rng)
    elif chance < 0.6:
        image, boxes = zoom_out(image, boxes, rng, dark=scan and rng.random() < 0.4)
    if scan:
        image = degrade_print(image, rng)
    longest_side = int(longest_side * rng.uniform(0.85, 1))
    image, boxes = fit_with_boxes(image, boxes, longest_side, stretch=rng.uniform(0.88, 1.14))
    return (degrade_scan(image, boxes, rng) if scan else adjust_light(image, rng)), boxes


def fit_with_boxes(
    image: Image.Image, boxes: Boxes, longest_side: int, stretch: float = 1.0
) -> tuple[Image.Image, Boxes]:
    """`fit`, with the boxes."""
    fitted = fit(image, longest_side, stretch)
    x, y = fitted.width / image.width, fitted.height / image.height
    return fitted, [(x0 * x, y0 * y, x1 * x, y1 * y) for x0, y0, x1, y1 in boxes]


def crop(image: Image.Image, boxes: Boxes, rng: Random, tries: int = 12) -> tuple[Image.Image, Boxes]:
    """Cut out a random window, of 45% of the page's sides or more, that cuts through no table.

    Windows that do are drawn again; after `tries` of them the page stays as it is.
    """
    for _ in range(tries):
        scale = rng.uniform(0.45, 1)
        width = max(1, round(image.width * scale))
        height = max(1, round(image.height * min(1, scale * rng.uniform(0.8, 1.25))))
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        right, bottom = left + width, top + height
        if all(
            (left <= x0 and top <= y0 and x1 <= right and y1 <= bottom)
            or (right <= x0 or bottom <= y0 or x1 <= left or y1 <= top)
            for x0, y0, x1, y1 in boxes
        ):
            view = image.crop((left, top, right, bottom))
            return view, [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in boxes]
    return image, boxes


def in_view(box: Box, image: Image.Image) -> bool:
    """Whether a box has an area, and its middle lies inside an image."""
    x0, y0, x1, y1 = box
    return x0 < x1 and y0 < y1 and 0 < x0 + x1 < 2 * image.width and 0 < y0 + y1 < 2 * image.height


def zoom_out(image: Image.Image, boxes: Boxes, rng: Random, dark: bool) -> tuple[Image.Image, Boxes]:
    """Set the page on a larger sheet: white, or the dark surround of a copied book."""
    width, height = (round(side * rng.uniform(1, 1.35)) for side in image.size)
    left, top = rng.randint(0, width - image.width), rng.randint(0, height - image.height)
    grey = rng.randint(0, 70) if dark else 255
    sheet = Image.new(image.mode, (width, height), grey if image.mode == "L" else (grey,) * 3)
    sheet.paste(image, (left, top))
    return sheet, [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in boxes]


def rotate(image: Image.Image, boxes: Boxes, degrees: float) -> tuple[Image.Image, Boxes]:
    """Turn the page about its centre; a box becomes the one that bounds its turned corners, clipped."""
    white = 255 if image.mode == "L" else (255, 255, 255)
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=white)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    centre = np.array([image.width / 2, image.height / 2])
    matrix = np.array([[cos, sin], [-sin, cos]])
    result: Boxes = []
    for x0, y0, x1, y1 in boxes:
        corners = (np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - centre) @ matrix.T + centre
        low, high = (side.clip(0, image.size) for side in (corners.min(0), corners.max(0)))
        result.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    return turned, result


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
