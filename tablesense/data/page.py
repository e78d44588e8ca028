"""A document page with its truth: what every reader yields and every transform starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from tablesense.data.decode import decode

if TYPE_CHECKING:
    from PIL import Image

    from tablesense.data.table import Faults

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Page:
    """One page, not yet decoded.

    Attributes:
        path: The image file, or the PDF that holds the page.
        document: What the page belongs to; splits never divide a document.
        size: Width and height of the frame that `boxes` are given in: the image's pixels, or for
            a PDF its points (1/72 inch) as displayed, rotation applied.
        boxes: One (x0, y0, x1, y1) for each table, origin at the top left, in units of `size`.
        labels: The class name of each box.
        number: The page's index in its PDF or TIFF, from 0; None for an image file of one page.
        source: The data set that it comes from.
    """

    path: Path
    document: str
    size: tuple[float, float]
    boxes: tuple[Box, ...] = ()
    labels: tuple[str, ...] = ()
    number: int | None = None
    source: str = ""

    @property
    def name(self) -> str:
        """A short name for messages: the file's, with the page's number (from 1) in a PDF."""
        return self.path.name if self.number is None else f"{self.path.name}, page {self.number + 1}"

    def open(self, longest_side: int | None = None) -> Image.Image:
        """Decode the page; see `tablesense.data.decode.decode`.

        Args:
            longest_side: What an image is scaled down to if it is larger, and what a PDF page is rendered
                at, in pixels. None for an image's full size, and 150 dpi of a PDF.

        Returns:
            The page as RGB, or as grey (L) where the file has no colour.

        Raises:
            OSError: The file is missing or cannot be decoded.
            ValueError: It has no such page, needs a password, or its pixels are of no usable kind.
        """
        return decode(self.path, self.number, self.size, longest_side)

    def boxes_on(self, image: Image.Image) -> list[Box]:
        """The boxes in pixels of the page in any size, as `open` gives it."""
        x, y = image.width / self.size[0], image.height / self.size[1]
        return [(x0 * x, y0 * y, x1 * x, y1 * y) for x0, y0, x1, y1 in self.boxes]


LOST_BOXES = ("not finite", "zero area", "outside the page", "less than a pixel on the page", "crowd")
"""Reasons for which readers leave boxes out."""


def keep_valid(
    boxes: Iterable[Box],
    labels: Iterable[str],
    size: tuple[float, float],
    dropped: Faults,
    where: str | Path = "",
) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """Clip boxes to the page and leave out those that no detector can be trained on.

    Args:
        boxes: xyxy in units of `size`.
        labels: The class name of each box.
        size: The page's width and height.
        dropped: Counts each box under "not finite", "zero area", "outside the page", "less than
            a pixel on the page" (left out) or
            "partly outside the page, clipped" (kept, when more than a pixel is lost).
        where: The file that the boxes are from, for the examples in `dropped`.

    Returns:
        The boxes that remain and their labels.
    """
    kept: list[tuple[Box, str]] = []
    width, height = size
    for box, label in zip(boxes, labels, strict=True):
        x0, y0, x1, y1 = box
        if not all(map(isfinite, box)):
            dropped.note("not finite", where)
        elif x1 <= x0 or y1 <= y0:
            dropped.note("zero area", where)
        else:
            clipped = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
            if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
                beyond = x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height
                dropped.note("outside the page" if beyond else "less than a pixel on the page", where)
                continue
            if max(abs(a - b) for a, b in zip(box, clipped, strict=True)) > 1:
                dropped.note("partly outside the page, clipped", where)
            kept.append((clipped, label))
    return tuple(box for box, _ in kept), tuple(label for _, label in kept)
