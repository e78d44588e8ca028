"""Telling that two images are of the same page, among a million and whatever their encoding and size.

A difference hash of 256 bits, which compares neighbouring areas, does not do for text, most of which is white
or an even grey: copies of a page differ in up to 21 bits, and pages that are no copies in 24, once in 7. The
signs of the lowest frequencies do: copies differ in up to 14 bits, other pages in 36 (191 scans of UNLV), 83
(111 pages of ICDAR 2013) or 97 (60 synthetic pages) at least. Copies were JPEG at quality 40, half size, and
450 pixels. `imagehash.phash` does nearly the same; it brings PyWavelets, for what are five lines here.

Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), DCT hash.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Prints = NDArray[np.uint8]
Pairs = NDArray[np.int64]

BYTES = 32
NEAR = 20
"""The most of the 256 bits in which copies of a page differ."""

_SIDE = 64
_PLAIN = 4.0  # levels of 255; the emptiest page with a table that was measured (UNLV) has 6.3
_COSINES = np.cos(np.pi * np.arange(1, 17)[:, None] * (2 * np.arange(_SIDE) + 1) / (2 * _SIDE))
# The lowest frequencies say the same of most pages: spread, they leave each stretch of bits some that differ.
_ORDER = np.random.default_rng(0).permutation(8 * BYTES)
_ONES = np.array([i.bit_count() for i in range(256)], np.uint8)
_NEIGHBOURS = 10
_BLOCK = 1 << 14  # rows at a time: what lies between takes 4 MB


def fingerprint(image: Image.Image) -> Prints | None:
    """The signs of the 16 x 16 lowest frequencies of a page, less those that are even in a direction.

    Args:
        image: The page, in any size and mode.

    Returns:
        uint8 [32]; None for a page with next to nothing on it: such pages are all alike.
    """
    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    levels = np.asarray(grey, np.float64)
    if levels.std() < _PLAIN:
        return None
    frequencies = _COSINES @ (levels - levels.mean()) @ _COSINES.T
    return np.packbits(frequencies.ravel()[_ORDER] > 0)


def near_pairs(prints: Prints) -> Pairs:
    """Pages whose fingerprints differ in `NEAR` bits or fewer, as a forest: n - 1 pairs for n copies.

    All are sorted by their bits, starting at each byte in turn, and compared with those that follow closely:
    copies that differ in some bits agree in one of the 32 starts at least. So the time grows as n log n.

    Args:
        prints: [n, 32].

    Returns:
        [m, 2], indices of pages, the smaller first, in order.
    """
    from scipy.sparse import coo_array  # 0.2 s that processes which open pages need not wait for
    from scipy.sparse.csgraph import minimum_spanning_tree

    number = len(prints)
    first: list[Pairs] = []
    second: list[Pairs] = []
    apart: list[NDArray[np.int64]] = []
    for start in range(BYTES):
        leading = np.take(prints, range(start, start + 8), axis=1, mode="wrap")
        order = np.argsort(np.ascontiguousarray(leading).view(">u8").ravel(), kind="stable")
        ordered = prints[order]
        for step in range(1, min(_NEIGHBOURS, number - 1) + 1):
            distance = _apart(ordered[:-step], ordered[step:])
            near = np.flatnonzero(distance <= NEAR)
            first.append(order[near])
            second.append(order[near + step])
            apart.append(distance[near])
    if not first:
        return np.empty((0, 2), np.int64)
    ends = np.sort(np.stack([np.concatenate(first), np.concatenate(second)], axis=1), axis=1)
    low, high = ends.T
    _, once = np.unique(low * number + high, return_index=True)
    # One more than the distance: a graph has no edges of length 0.
    graph = coo_array((np.concatenate(apart)[once] + 1, (low[once], high[once])), shape=(number, number))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    pairs = np.sort(np.stack(tree.coords, axis=1).astype(np.int64), axis=1)
    return pairs[np.lexsort(pairs.T[::-1])]


def _apart(one: Prints, other: Prints) -> NDArray[np.int64]:
    """In how many bits they differ, row by row."""
    distance = np.empty(len(one), np.int64)
    for start in range(0, len(one), _BLOCK):
        block = slice(start, start + _BLOCK)
        distance[block] = _ONES[one[block] ^ other[block]].sum(axis=1)
    return distance


def alike(one: Image.Image, other: Image.Image) -> bool:
    """Whether two images with near fingerprints are of the same page, looked at in 16 times the detail.

    Copies correlate with about .9 and more at this size, the nearest other pages of UNLV with .57. Forms
    that differ in a few figures only count as the same.
    """
    pixels = [
        np.asarray(image.convert("L").resize((256, 256), Image.Resampling.BILINEAR), np.float64).ravel()
        for image in (one, other)
    ]
    return bool(np.asarray(np.corrcoef(pixels))[0, 1] >= 0.8)
