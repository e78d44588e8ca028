"""What only the pages of PDFs have: a frame of their own, a label, and a library for one thread at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tablesense.data.decode import close_pdf, open_pdf_page, render
from tablesense.data.page import Box

if TYPE_CHECKING:
    from PIL import Image
    from pypdfium2 import PdfPage

PDFIUM = RLock()
"""Held by whoever calls pdfium, which knows nothing of threads."""

OPEN = 10
"""PDFs that stay open: whoever reads ahead is in the next ones, and would close what pages are drawn from."""

RENEWED = 100
"""After so many of its pages a document is opened anew: pdfium keeps what it has read of it, and a long one
would take more and more memory."""


@dataclass(frozen=True, slots=True)
class PdfFrame:
    """How a page lies in the coordinates that its own text and lines are written in.

    Attributes:
        visible: Left, bottom, right and top of what is displayed (the CropBox within the MediaBox), in
            those coordinates: their origin is the PDF's own, y runs upwards, and /Rotate is not applied.
            A unit is a point (1/72 inch), and stays the unit of the text where /UserUnit makes it larger.
        rotation: How the page is turned with the clock to be displayed: 0, 90, 180 or 270 degrees.
        label: What the PDF calls the page, such as "iv"; "" where it says nothing.
    """

    visible: Box
    rotation: int = 0
    label: str = ""

    def undo(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn boxes of the displayed page into the PDF's own coordinates.

        Args:
            boxes: [n, 4], xyxy in points from the upper left corner of the page as displayed.

        Returns:
            Left, bottom, right and top of each, [n, 4].
        """
        left, bottom, right, top = self.visible
        x0, y0, x1, y1 = boxes.reshape(-1, 4).T
        sides = {
            0: (left + x0, top - y1, left + x1, top - y0),
            90: (left + y0, bottom + x0, left + y1, bottom + x1),
            180: (right - x1, bottom + y0, right - x0, bottom + y1),
            270: (right - y1, top - x1, right - y0, top - x0),
        }
        return np.stack(sides[self.rotation], 1)


def is_pdf(path: Path) -> bool:
    """Whether a file is taken for a PDF, by its name."""
    return path.suffix.lower() == ".pdf"


def read_page(path: Path, number: int, longest_side: int) -> tuple[Image.Image, PdfFrame]:
    """Draw a page of a PDF, and read how it lies there; the page is opened once for both.

    Args:
        path: The PDF.
        number: The page, from 0.
        longest_side: Of the picture, in pixels.

    Raises:
        OSError: The PDF or the page is broken.
        ValueError: There is no such page, or it needs a password.
    """
    with PDFIUM:
        with open_pdf_page(path, number, OPEN) as page:
            image, frame = render(page, longest_side), _frame(page, number)
        if number % RENEWED == RENEWED - 1:
            close_pdf(path)
    return image, frame


def _frame(page: PdfPage, number: int) -> PdfFrame:
    return PdfFrame(page.get_bbox(), page.get_rotation(), page.pdf.get_page_label(number))
