"""Pages of black tables on white, and where their ink is."""

from __future__ import annotations

from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tablesense.data.page import Box


def page(boxes: list[Box], size: tuple[int, int], mode: str = "L") -> Image.Image:
    """A white page with black boxes: a box covers its pixels up to, not including, x1 and y1."""
    image = Image.new(mode, size, "white")
    for x0, y0, x1, y1 in boxes:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill="black")
    return image


def draw_boxes(rng: Random, size: tuple[int, int], apart: float = 0.04) -> list[Box]:
    """A few boxes, apart from each other and from the page's edge by a share of its longest side."""
    margin = int(apart * max(size))
    boxes: list[Box] = []
    for _ in range(rng.randint(1, 8)):
        width, height = (rng.randint(side // 8, side // 2) for side in size)
        x, y = (
            rng.randint(margin, side - extent - margin)
            for side, extent in zip(size, (width, height), strict=True)
        )
        box = (float(x), float(y), float(x + width), float(y + height))
        if all(
            box[2] + margin <= x0 or x1 + margin <= box[0] or box[3] + margin <= y0 or y1 + margin <= box[1]
            for x0, y0, x1, y1 in boxes
        ):
            boxes.append(box)
    return boxes


def ink_bounds(image: Image.Image, box: Box, reach: int = 5) -> Box:
    """The bounds of the ink in a box and around it, half of the way to the image's edges at most."""
    pixels = np.asarray(image.convert("L").filter(ImageFilter.MedianFilter(3)), dtype=float)
    x0, y0, x1, y1 = box
    margins = x0, y0, image.width - x1, image.height - y1
    left, top, right, bottom = (round(min(reach, max(0, margin) / 2)) for margin in margins)
    low_x, low_y = max(0, round(x0) - left), max(0, round(y0) - top)
    window = pixels[low_y : round(y1) + bottom, low_x : round(x1) + right]
    dark = np.median(pixels[round(y0) : round(y1), round(x0) : round(x1)])
    ink = window < (dark + np.percentile(window, 99.5)) / 2 if window.max() > dark + 60 else window >= 0
    rows, columns = np.nonzero(ink.any(1))[0], np.nonzero(ink.any(0))[0]
    return (
        float(low_x + columns[0]),
        float(low_y + rows[0]),
        float(low_x + columns[-1] + 1),
        float(low_y + rows[-1] + 1),
    )
