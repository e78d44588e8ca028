"""Whether a table has ruling lines, told from the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MARGIN = 3
"""Pixels around a box in which its frame may lie."""
_DARKER = 10
"""Levels of grey, of 255, by which a line is darker than what lies two pixels to its sides: a hairline of a
page that was scaled down is faint, but faint all along."""
_ACROSS, _DOWN = 0.8, 0.7
"""The share of a box that a line runs along."""


def ruled(page: NDArray[np.float32], boxes: Sequence[Sequence[float]]) -> list[bool]:
    """Look for ruling lines: two across, such as a head's and a foot's, or one down between columns.

    Args:
        page: Grey levels, 0 black to 255, [height, width].
        boxes: xyxy in the page's pixels.
    """
    return [_ruled(page, box) for box in boxes]


def _ruled(page: NDArray[np.float32], box: Sequence[float]) -> bool:
    height, width = page.shape
    x0, y0 = (max(0, round(side) - _MARGIN) for side in box[:2])
    x1, y1 = min(width, round(box[2]) + _MARGIN), min(height, round(box[3]) + _MARGIN)
    crop = page[y0:y1, x0:x1]
    if min(crop.shape) < 4 * _MARGIN:
        return False
    return _lines(crop, _ACROSS) >= 2 or _lines(crop.T, _DOWN) >= 1


def _lines(crop: NDArray[np.float32], share: float) -> int:
    """Count the rows that are darker than what lies above and below them, nearly all along."""
    middle = crop[2:-2, _MARGIN:-_MARGIN]
    darker = np.minimum(crop[:-4, _MARGIN:-_MARGIN], crop[4:, _MARGIN:-_MARGIN]) - middle > _DARKER
    line = darker.mean(axis=1) > share
    return int(np.count_nonzero(np.diff(line, prepend=False) & line))
