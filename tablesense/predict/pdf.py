"""What only the pages of PDFs have: a frame of their own, a label, and a library for one thread at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from tablesense.data.decode import _close_pdf as close_pdf
from tablesense.data.decode import _open_pdf as open_pdf
from tablesense.data.page import Box

PDFIUM = RLock()
"""Held by whoever calls pdfium, which knows nothing of threads."""

RENEWED = 100
"""After so many of its pages a document is opened anew: pdfium keeps what it has read of it."""


@dataclass(frozen=True, slots=True)
class PdfFrame:
    """How a page lies in the coordinates that its own text and lines are written in.

    Attributes:
        visible: Left, bottom, right and top of what is displayed (the CropBox within the MediaBox), in
            those coordinates: their origin is the PDF's own, y runs upwards, and /Rotate is not applied.
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


def read_frame(path: Path, number: int) -> PdfFrame:
    """Read how a page lies in its PDF.

    Args:
        path: The PDF.
        number: The page, from 0.

    Raises:
        PdfiumError: The page is broken.
    """
    with PDFIUM:
        document = open_pdf(path)
        page = document[number]
        try:
            return PdfFrame(page.get_bbox(), page.get_rotation(), document.get_page_label(number))
        finally:
            page.close()


def forget(number: int) -> None:
    """Close the document that pages are read from, now and then, so that a long one takes no more memory.

    Args:
        number: The page that was read last, from 0.
    """
    if number % RENEWED == RENEWED - 1:
        with PDFIUM:
            close_pdf()
