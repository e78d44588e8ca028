"""Windows on a page: each holds a table whole or not at all.

A table that is cut in two is neither a table to find nor a page without one, so no window cuts any: those
that would are drawn again, and after a number of tries the page stays whole.
"""

from __future__ import annotations

from random import Random

from PIL import Image

from tablesense.data.augment.geometry import Boxes
from tablesense.data.page import Box


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
        if not cuts((left, top, right, bottom), boxes):
            view = image.crop((left, top, right, bottom))
            return view, [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in boxes]
    return image, boxes


def draw_window(
    size: tuple[float, float],
    boxes: Boxes,
    rng: Random,
    at_table: bool = False,
    smallest: float = 0.45,
    tries: int = 12,
) -> Box | None:
    """Draw a window that holds each table whole or not at all.

    Args:
        size: Width and height of the sheet.
        boxes: xyxy, the tables on it.
        rng: Where all chance comes from.
        at_table: Let the window end just beyond an edge of some table, by 2% of the window's side at
            most, as on a page whose table reaches the paper's edge.
        smallest: The window's least width and height, in parts of the sheet's.
        tries: Windows that may be drawn.

    Returns:
        xyxy within the sheet; None where all the windows drawn would cut a table.
    """
    for _ in range(tries):
        scale = rng.uniform(smallest, 1)
        sides = scale * size[0], min(1, max(smallest, scale * rng.uniform(0.8, 1.25))) * size[1]
        low = [rng.uniform(0, whole - side) for whole, side in zip(size, sides, strict=True)]
        high = [start + side for start, side in zip(low, sides, strict=True)]
        if at_table and boxes:
            box, axis, gap = rng.choice(boxes), rng.randrange(2), rng.uniform(0, 0.02)
            if rng.random() < 0.5:
                low[axis] = max(0.0, box[axis] - gap * sides[axis])
                high[axis] = min(size[axis], low[axis] + sides[axis])
            else:
                high[axis] = min(size[axis], box[axis + 2] + gap * sides[axis])
                low[axis] = max(0.0, high[axis] - sides[axis])
            if high[axis] - low[axis] < smallest * size[axis] / 2:
                continue
        window = low[0], low[1], high[0], high[1]
        if not cuts(window, boxes):
            return window
    return None


def cuts(window: Box, boxes: Boxes) -> bool:
    """Whether a window holds a part of a table, but not all of it."""
    left, top, right, bottom = window
    return not all(
        (left <= x0 and top <= y0 and x1 <= right and y1 <= bottom)
        or (right <= x0 or bottom <= y0 or x1 <= left or y1 <= top)
        for x0, y0, x1, y1 in boxes
    )
