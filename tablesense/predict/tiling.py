"""Huge pages in parts: where the parts lie, and how what is found in them becomes what is on the page.

A page is looked at whole and in tiles that overlap. Whole, nothing is cut and everything is small; in a tile
things have the size that the network knows, but some of them go on in the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from tablesense.data.page import Box
from tablesense.export.runtime import without_duplicates
from tablesense.predict.network import Finds

OVERLAP = 0.25
"""Of neighbouring tiles, in parts of their length: what is shorter than that lies in one of them whole."""
MOST = 1024
"""The most tiles of one page."""

SAME = 0.5
"""Finds of an IoU above that are one."""
WITHIN = 0.75
"""A find lies within another if that holds this share of its area."""
EDGE = 0.03
"""How near to its tile's edge a find counts as cut, in parts of the tile's length."""

Boxes = NDArray[np.float64]
Scores = NDArray[np.floating]
Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


def views(size: tuple[float, float], length: float | None) -> list[Box]:
    """What is to be looked at of a page.

    Args:
        size: The page's width and height.
        length: Of the tiles, in the same unit; None for no tiles.

    Returns:
        xyxy: the whole page, and where it is longer than `length` its tiles, row by row. Tiles are squares
        of `length`, or as high or wide as the page where that is less; they overlap by `OVERLAP` or more.

    Raises:
        ValueError: There would be more than `MOST`.
    """
    width, height = size
    whole = [(0.0, 0.0, float(width), float(height))]
    if length is None or max(size) <= length:
        return whole
    across, down = _count(width, length), _count(height, length)
    if across * down > MOST:
        raise ValueError(
            f"--tile: {across * down:,} tiles of {length:g} on a page of {width:g} x {height:g}: name a "
            "greater length"
        )
    columns, rows = _intervals(width, length, across), _intervals(height, length, down)
    return whole + [(x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(rows, columns)]


def _count(side: float, length: float) -> int:
    return max(1, ceil((side - OVERLAP * length) / (length * (1 - OVERLAP))))


def _intervals(side: float, length: float, count: int) -> list[tuple[float, float]]:
    last = max(0.0, side - length)
    return [(start, min(side, start + length)) for start in np.linspace(0, last, count).tolist()]


def merge(places: Sequence[Box], found: Sequence[Finds]) -> Finds:
    """Put together what was found in the views of one page.

    A find that ends at an edge of its tile which is none of the page is cut: it may go on beyond. Finds that
    are not cut are kept; of those that are the same, or lie within each other, the best. Only what is too
    large for a tile wins over what lies within it, whatever the scores: that can be a part of it alone.
    What is cut goes, unless its whole is not known and other parts of it are found in the neighbouring
    tiles: then it is joined with these, and takes the place of finds within it. What one tile alone saw, and
    cut, was mostly nothing on sheets of real pages: F1 is .00 to .03 higher without (benchmarks/tiling.py).

    Args:
        places: Where each view lies, xyxy in units of the page; the first is the whole page.
        found: Of each view, with boxes in the same units from the view's own corner.

    Returns:
        What is on the page, best first.
    """
    if len(places) == 1:
        return found[0]
    corners, view = np.array(places), np.repeat(np.arange(len(places)), [len(each.scores) for each in found])
    boxes = np.concatenate([each.boxes.reshape(-1, 4) for each in found]).astype(np.float64)
    boxes += np.tile(corners[view, :2], 2)
    scores = np.concatenate([each.scores for each in found])
    labels = np.concatenate([each.labels for each in found]).astype(np.int64)
    cut, large = _cut(boxes, corners[view], corners[0]), _large(boxes, corners[1:])
    stays = _keep_whole(boxes, scores, labels, view, large, cut)
    parts = [
        i
        for i in np.flatnonzero(cut.any(1)).tolist()
        if not (_overlaps(boxes[i], boxes[stays & (labels == labels[i])])[2] >= WITHIN).any()
    ]
    for group in _joined(boxes, labels, cut, parts):
        best = group[int(np.argmax(scores[group]))]
        whole = np.concatenate([boxes[group, :2].min(0), boxes[group, 2:].max(0)])
        others = np.flatnonzero(stays & (labels == labels[best]))
        overlap, inner, outer = _overlaps(whole, boxes[others])
        inside = others[inner >= WITHIN]
        if (overlap <= SAME).all() and (outer < WITHIN).all():
            boxes[best], stays[best], stays[inside] = whole, True, False
    kept = np.flatnonzero(stays)
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return Finds(boxes[kept], scores[kept], labels[kept])


def _cut(boxes: Boxes, tiles: Boxes, page: Boxes) -> Flags:
    """Whether each side of each box is an edge of its tile that the page goes on beyond, [n, 4]."""
    near = EDGE * np.maximum(tiles[:, 2] - tiles[:, 0], tiles[:, 3] - tiles[:, 1])[:, None]
    result: Flags = (np.abs(boxes - tiles) <= near) & (np.abs(tiles - page) > 1e-6 * page.max())
    return result


def _large(boxes: Boxes, tiles: Boxes) -> Flags:
    """Whether boxes are wider or higher than every tile, less its edges."""
    room = (tiles[:, 2:] - tiles[:, :2]).max(0) * (1 - 2 * EDGE)
    result: Flags = ((boxes[:, 2:] - boxes[:, :2]) > room).any(1)
    return result


def _overlaps(box: Boxes, others: Boxes) -> tuple[Boxes, Boxes, Boxes]:
    """IoU of a box with others, and which share of each of these lies in it, and of it in these."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    own, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(-1)
    least = np.finfo(np.float64).tiny
    return (
        shared / np.maximum(own + areas - shared, least),
        shared / np.maximum(areas, least),
        shared / max(own, least),
    )


def _keep_whole(
    boxes: Boxes, scores: Scores, labels: Labels, view: Labels, large: Flags, cut: Flags
) -> Flags:
    """Which finds that are not cut stay: the best of those that are one, or lie within each other."""
    which = np.flatnonzero(~cut.any(1))
    alike = boxes[which].astype(np.float32), scores[which].astype(np.float32), labels[which]
    unique = which[without_duplicates(*alike, SAME)].tolist()
    stays = np.zeros(len(boxes), bool)
    for i in sorted(unique, key=lambda i: (not large[i], -scores[i])):
        others = boxes[stays & (labels == labels[i]) & (view != view[i])]
        _, inner, outer = _overlaps(boxes[i], others)
        stays[i] = not (np.maximum(inner, outer) >= WITHIN).any()
    return stays


def _joined(boxes: Boxes, labels: Labels, cut: Flags, parts: list[int]) -> list[list[int]]:
    """Cut finds of which several are parts of one thing, by that thing; those of many first."""
    group = {i: [i] for i in parts}
    for i, j in np.argwhere(_go_on(boxes[parts], labels[parts], cut[parts])).tolist():
        one, other = group[parts[i]], group[parts[j]]
        if one is not other:
            one += other
            group |= dict.fromkeys(other, one)
    several = {id(each): each for each in group.values() if len(each) > 1}
    return sorted(several.values(), key=len, reverse=True)


def _go_on(boxes: Boxes, labels: Labels, cut: Flags) -> Flags:
    """Whether the second of each two is what lies to the right of the first, or below, of one thing."""
    alike: Flags = labels[:, None] == labels
    goes_on = np.zeros_like(alike)
    for along, across in ((0, 1), (1, 0)):
        start, end = boxes[:, along], boxes[:, along + 2]
        meet = (start[:, None] <= start) & (start <= end[:, None]) & (end[:, None] <= end)
        low, high = boxes[:, across], boxes[:, across + 2]
        shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
        span = np.maximum(high[:, None], high) - np.minimum(low[:, None], low)
        goes_on |= cut[:, None, along + 2] & cut[:, along] & meet & (shared >= SAME * span)
    return alike & goes_on
