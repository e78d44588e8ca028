"""Boxes on pages, for looking at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tablesense.pictures import FOUND


def draw(image: Image.Image, boxes: NDArray[np.float64], words: Sequence[str]) -> Image.Image:
    """Draw boxes with a word in each on a copy of a picture, as thick as its size asks for.

    Args:
        image: Any mode.
        boxes: xyxy in its pixels, [n, 4].
        words: One for each box.
    """
    picture = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen, line = ImageDraw.Draw(picture), max(2, round(max(image.size) / 400))
    font = ImageFont.load_default(7 * line)
    for (x0, y0, x1, y1), word in zip(boxes.tolist(), words, strict=True):
        pen.rectangle((x0, y0, x1, y1), outline=FOUND, width=line)
        corner = x0 + 1.5 * line, y0 + 1.5 * line
        pen.rectangle(pen.textbbox(corner, word, font=font), fill="white")
        pen.text(corner, word, fill=FOUND, font=font)
    return picture
