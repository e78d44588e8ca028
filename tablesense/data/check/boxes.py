"""What is odd about the boxes of one page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tablesense.data.check.kinds import CROWDED, NESTED, TINY, TWINS, WHOLE_PAGE
from tablesense.data.page import Page

MANY = 60
"""The tables that the small recipe's network can find on a page, `DetrConfig.num_queries`."""

SMALL = 8.0
"""The shortest side of a box, in pixels as the network sees them, of which anything can be made out: one
step of the finest feature map of the shipped recipes."""


def box_faults(page: Page, image_size: int) -> Iterator[str]:
    """The faults of a page's boxes, one for each box at fault.

    Args:
        page: With boxes of the classes that are looked for, clipped to the page.
        image_size: The page's longest side as the network sees it, in pixels.

    Yields:
        `TWINS` for a box with an IoU above .95 to an earlier one of its class, `NESTED` for one that has
        nine tenths of its area in another at least a fifth larger, `WHOLE_PAGE` above .98 of the page,
        `TINY` below 8 pixels, and `CROWDED` once for a page of more than 60 boxes.
    """
    if not page.boxes:
        return
    boxes = np.array(page.boxes)
    width, height = page.size
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(axis=1)
    common = _intersections(boxes)
    union = area[:, None] + area - common
    labels = np.array(page.labels)
    twin = (common > 0.95 * union) & (labels[:, None] == labels)
    larger = area > 1.2 * area[:, None]
    counts = {
        TWINS: np.tril(twin, -1).any(axis=1).sum(),
        NESTED: ((common >= 0.9 * area[:, None]) & larger).any(axis=1).sum(),
        WHOLE_PAGE: (area > 0.98 * width * height).sum(),
        TINY: (sides.min(axis=1) * image_size / max(page.size) < SMALL).sum(),
        CROWDED: len(boxes) > MANY,
    }
    for fault, count in counts.items():
        yield from [fault] * int(count)


def _intersections(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that each two boxes share, [n, n]."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared: NDArray[np.float64] = (high - low).clip(0).prod(axis=2)
    return shared
