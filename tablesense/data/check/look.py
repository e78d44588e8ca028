"""A look at some pages: are they there, are they as large as annotated, and what do they show."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tablesense.data.check.boxes import box_faults
from tablesense.data.check.fingerprint import BYTES, Prints, alike, fingerprint
from tablesense.data.check.kinds import (
    MISSING,
    RESHAPED,
    SCALED,
    SIDEWAYS,
    SWAPPED,
    UNREADABLE,
    UPRIGHTED,
)
from tablesense.data.decode import orientation
from tablesense.data.page import Page
from tablesense.data.table import Faults

_PAPERS = ((210 / 25.4, 297 / 25.4), (8.5, 11.0))  # A4 and Letter, in inches


@dataclass
class Look:
    """What was seen of some pages.

    Attributes:
        faults: With examples.
        prints: uint8 [pages, 32], see `fingerprint`.
        comparable: Which of them have a fingerprint, [pages].
        dpi: [pages], 0 where nothing tells.
        tagged: Whether the file itself says it, [pages].
        boxes: float32 [boxes, 2], width and height as shares of the page's.
        in_pixels: float32 [boxes, 2], the same in pixels as the network sees them.
    """

    faults: Faults
    prints: Prints
    comparable: NDArray[np.bool_]
    dpi: NDArray[np.float32]
    tagged: NDArray[np.bool_]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))
    in_pixels: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))


def look_at(pages: Sequence[Page], image_size: int) -> Look:
    """Open pages as a training does, and note what is wrong with them.

    Args:
        pages: With boxes of the classes that are looked for.
        image_size: The longest side of a page as the network sees it, in pixels.
    """
    number = len(pages)
    seen = Look(
        Faults(),
        np.zeros((number, BYTES), np.uint8),
        np.zeros(number, bool),
        np.zeros(number, np.float32),
        np.zeros(number, bool),
    )
    shares: list[NDArray[np.float64]] = []
    pixels: list[NDArray[np.float64]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd metadata: what matters is whether it decodes
        for i, page in enumerate(pages):
            for fault in box_faults(page, image_size):
                seen.faults.note(fault, page_name(page))
            if page.boxes:
                boxes = np.array(page.boxes)
                sides = boxes[:, 2:] - boxes[:, :2]
                shares.append(sides / page.size)
                pixels.append(sides * (image_size / max(page.size)))
            _open(page, i, image_size, seen)
    if shares:
        seen.boxes = np.concatenate(shares).astype(np.float32)
        seen.in_pixels = np.concatenate(pixels).astype(np.float32)
    return seen


def same_pages(pairs: Sequence[tuple[Page, Page]]) -> list[bool]:
    """Whether the images of each two pages are `alike`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [alike(_shown(one, 512), _shown(other, 512)) for one, other in pairs]


def page_name(page: Page) -> str:
    """The path of a page's file, with the page's number (from 1) where it has several."""
    return str(page.path.with_name(page.name))


def _open(page: Page, i: int, image_size: int, seen: Look) -> None:
    where = page_name(page)
    if not page.path.is_file():
        seen.faults.note(MISSING, where)
        return
    try:
        shown = _shown(page, 2 * image_size)
    except Exception as error:  # Pillow's and pdfium's have no class in common
        seen.faults.note(UNREADABLE, f"{where}: {_message(error)}")
        return
    if (print_ := fingerprint(shown)) is not None:
        seen.prints[i], seen.comparable[i] = print_, True
    head = None if page.path.suffix.lower() == ".pdf" else _head(page)
    if head is not None:
        seen.dpi[i], seen.tagged[i] = _dpi(head)
        if fault := _size_fault(page.size, head):
            seen.faults.note(fault, f"{where}: {_times(head.upright)}, annotated as {_times(page.size)}")


class _Head(NamedTuple):
    """What an image file says of itself.

    Attributes:
        stored: Its size in pixels as it is stored.
        upright: The same once it is turned as its EXIF orientation says.
        dpi: 0 for none.
        orientation: EXIF's, 1 for upright.
    """

    stored: tuple[int, int]
    upright: tuple[int, int]
    dpi: float
    orientation: int


def _head(page: Page) -> _Head | None:
    """What an image file says of itself; None for what Pillow does not know, such as a PDF called .png."""
    try:
        opened = Image.open(page.path)
    except UnidentifiedImageError:
        return None
    with opened as image:
        if page.number:
            image.seek(page.number)
        # PNG may have EXIF behind its pixels, where Pillow would decode them to find it.
        known = image.format != "PNG" or "exif" in image.info
        turned = orientation(image) if known else 1
        try:
            dpi = float(max(image.info["dpi"]))
        except (KeyError, TypeError, ValueError):
            dpi = 0.0
        stored = upright = image.size
        if turned in range(5, 9):
            if image.format == "TIFF":  # of which Pillow says the upright size
                stored = stored[::-1]
            else:
                upright = upright[::-1]
        return _Head(stored, upright, dpi, turned)


def _dpi(head: _Head) -> tuple[float, bool]:
    """The resolution, and whether the file says it: programs write 72 or 96 when they do not know.

    What the file says is believed where the paper would be between 4 and 20 inches long. Else the page is
    taken for A4 or Letter where its shape is within 2% of that.
    """
    short, long = sorted(head.stored)
    if head.dpi > 0 and 4 <= long / head.dpi <= 20:
        return head.dpi, True
    shape = long / short
    nearest = min(_PAPERS, key=lambda paper: abs(shape / (paper[1] / paper[0]) - 1))
    fits = abs(shape / (nearest[1] / nearest[0]) - 1) < 0.02
    return (long / nearest[1], False) if fits else (0.0, False)


def _shown(page: Page, longest_side: int) -> Image.Image:
    """The page: a PDF's in that size, an image in its own, as scaling it would take torch into memory."""
    return page.open(longest_side if page.path.suffix.lower() == ".pdf" else None)


def _size_fault(annotated: tuple[float, float], head: _Head) -> str | None:
    """How an image differs from what was annotated."""
    if _same(annotated, head.upright):
        return UPRIGHTED if 2 <= head.orientation <= 4 else None
    if _same_shape(annotated, head.upright):
        return SCALED
    if head.orientation >= 5 and _same_shape(annotated, head.stored):
        return SIDEWAYS
    return SWAPPED if _same(annotated, head.upright[::-1]) else RESHAPED


def _same_shape(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < 0.01


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) <= 1 and abs(one[1] - other[1]) <= 1


def _times(size: tuple[float, float]) -> str:
    return f"{size[0]:g}x{size[1]:g}"


def _message(error: Exception) -> str:
    lines = str(error).split("\n")
    return (lines[0] or type(error).__name__)[:120]
