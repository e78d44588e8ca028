"""A page with the tables that were found on it."""

from __future__ import annotations

import base64
from contextlib import nullcontext
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.page import Page
from tablesense.predict.drawing import draw
from tablesense.predict.pdf import PDFIUM, PdfFrame, is_pdf

DPI = 150
"""What PDF pages are drawn at where nobody says otherwise."""
MARGIN = 8.0
"""Around a crop where nobody says otherwise, in units of the page."""
SHOWN = 900
"""The longest side of a page as a notebook shows it, in pixels."""


@dataclass(frozen=True, eq=False, repr=False)
class FoundPage:
    """A page and what was found on it, best first.

    Attributes:
        page: Where the page is; it is decoded anew when its picture is asked for.
        boxes: xyxy in units of `size` from the upper left corner of the page as displayed, float64 [n, 4].
        scores: From 0 to 1, [n].
        labels: The class name of each find.
        class_names: All classes that the network knows.
        frame: How a PDF's page lies in the PDF's own coordinates; None for images.
        kept: What the page's file lives as long as.
    """

    page: Page
    boxes: NDArray[np.float64]
    scores: NDArray[np.floating]
    labels: tuple[str, ...]
    class_names: tuple[str, ...]
    frame: PdfFrame | None = None
    kept: object = field(default=None)

    # -- which page it is --------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The page's file."""
        return self.page.path

    @property
    def number(self) -> int:
        """Which page of its file it is, from 1."""
        return (self.page.number or 0) + 1

    @property
    def document(self) -> str:
        """The name of the document that it is a page of."""
        return self.page.document

    @property
    def size(self) -> tuple[float, float]:
        """Width and height: of an image in pixels, of a PDF page as displayed in points (1/72 inch).

        A page with /UserUnit is measured in the PDF's own units none the less, of so many points each: they
        are those of its text and lines. Dots per inch are then dots per 72 of these.
        """
        return self.page.size

    @property
    def unit(self) -> str:
        """What `size` and `boxes` are in: "px" or "pt"."""
        return "pt" if is_pdf(self.path) else "px"

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"{self.page.name}: {len(self)} {'find' if len(self) == 1 else 'finds'}"

    # -- boxes in other frames ---------------------------------------------------------------------

    @property
    def pdf_boxes(self) -> NDArray[np.float64] | None:
        """Left, bottom, right and top of each find in the PDF's own coordinates, [n, 4]; None for images.

        These are the coordinates of the page's text and lines: y runs upwards, the origin is the PDF's own
        and /Rotate is not applied.
        """
        return None if self.frame is None else self.frame.undo(self.boxes)

    def pixel_boxes(self, dpi: float = DPI) -> NDArray[np.float64]:
        """Boxes xyxy in pixels, [n, 4]: of an image, or of a PDF page that is drawn at `dpi`."""
        return self.boxes * self._scale(dpi)

    def _scale(self, dpi: float) -> float:
        return dpi / 72 if self.unit == "pt" else 1.0

    # -- pictures ----------------------------------------------------------------------------------

    def image(self, dpi: float = DPI) -> Image.Image:
        """Decode the page: an image in its own size, a PDF page at `dpi`, or at fewer if it is huge.

        Raises:
            OSError: The file is gone or cannot be decoded.
            ValueError: It has no such page any more.
        """
        if self.unit == "px":
            return self.page.open()
        return self._open(max(1, round(max(self.size) * dpi / 72)))

    def crop(self, i: int, margin: float = MARGIN, dpi: float = DPI) -> Image.Image:
        """Cut a find out of the page, with a margin that ends where the page ends.

        Args:
            i: Which find.
            margin: On all sides, in units of the page.
            dpi: Of a PDF page.

        Raises:
            OSError: The file is gone or cannot be decoded.
            IndexError: There is no such find.
        """
        self.boxes[i]
        return self.cut(self.image(dpi), i, margin)

    def cut(self, image: Image.Image, i: int, margin: float = MARGIN) -> Image.Image:
        """Cut a find out of what `image` gave; see `crop`."""
        x, y = image.width / self.size[0], image.height / self.size[1]
        x0, y0, x1, y1 = self.boxes[i].tolist()
        left, top = max(0, floor((x0 - margin) * x)), max(0, floor((y0 - margin) * y))
        right, bottom = ceil((x1 + margin) * x), ceil((y1 + margin) * y)
        right, bottom = min(image.width, max(right, left + 1)), min(image.height, max(bottom, top + 1))
        return image.crop((min(left, right - 1), min(top, bottom - 1), right, bottom))

    def drawn(self, image: Image.Image | None = None, dpi: float = DPI) -> Image.Image:
        """The page with its finds drawn on it.

        Args:
            image: The page in any size, which stays as it is; None for what `image` gives.
            dpi: Of a PDF page that is to be decoded.

        Raises:
            OSError: The file is gone or cannot be decoded.
        """
        image = self.image(dpi) if image is None else image
        x, y = image.width / self.size[0], image.height / self.size[1]
        words = [
            f"{score:.2f}" if len(self.class_names) == 1 else f"{label} {score:.2f}"
            for label, score in zip(self.labels, self.scores.tolist(), strict=True)
        ]
        return draw(image, self.boxes * (x, y, x, y), words)

    def _open(self, longest_side: int) -> Image.Image:
        with PDFIUM if self.unit == "pt" else nullcontext():
            return self.page.open(longest_side)

    # -- as data -----------------------------------------------------------------------------------

    def to_dict(self, dpi: float = DPI) -> dict[str, Any]:
        """Everything but the picture, for JSON.

        Args:
            dpi: What `box_px` of a PDF page is given for.

        Returns:
            `file`, `page` (from 1), `label` (the PDF's own name of the page, or None), `width`, `height`,
            `unit`, `origin`, and `tables`: for each find `class`, `score` and `box` (xyxy in that unit).
            A PDF's page has `dpi` and `rotation` as well, and its finds `box_px` (xyxy in pixels at that
            dpi) and `box_pdf` (left, bottom, right, top in the PDF's own coordinates).
        """
        tables: list[dict[str, Any]] = [
            {"class": label, "score": round(score, 5), "box": _rounded(box)}
            for label, score, box in zip(self.labels, self.scores.tolist(), self.boxes, strict=True)
        ]
        content: dict[str, Any] = {
            "file": str(self.path),
            "page": self.number,
            "label": self.frame.label or None if self.frame else None,
            "width": round(float(self.size[0]), 3),
            "height": round(float(self.size[1]), 3),
            "unit": self.unit,
            "origin": "upper left corner of the page as displayed",
        }
        if self.frame is not None:
            content |= {"dpi": dpi, "rotation": self.frame.rotation}
            own = self.frame.undo(self.boxes)
            for table, pixels, box in zip(tables, self.pixel_boxes(dpi), own, strict=True):
                table |= {"box_px": _rounded(pixels), "box_pdf": _rounded(box)}
        return content | {"tables": tables}

    def to_coco(self, image_id: int = 1, dpi: float = DPI) -> dict[str, Any]:
        """The page as a COCO data set of one image, with scores.

        Args:
            image_id: The page's; finds are numbered from 1.
            dpi: Of a PDF page, whose boxes are in pixels at that.
        """
        page = self.to_dict(dpi)
        return {
            "images": [coco_image(page, image_id)],
            "annotations": coco_annotations(page, image_id, 1, self.class_names),
            "categories": coco_categories(self.class_names),
        }

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.drawn(self._open(SHOWN)).save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self) -> str:
        picture = base64.b64encode(self._repr_png_()).decode()
        rows = "".join(
            f"<tr><td>{i}</td><td>{escape(label)}</td><td>{score:.2f}</td>"
            + "".join(f"<td>{side:.0f}</td>" for side in box)
            + "</tr>"
            for i, (label, score, box) in enumerate(
                zip(self.labels, self.scores.tolist(), self.boxes.tolist(), strict=True)
            )
        )
        heads = "".join(f"<th>{head}</th>" for head in ("", "class", "score", "x0", "y0", "x1", "y1"))
        table = f"<table><tr>{heads}</tr>{rows}</table>" if len(self) else ""
        width, height = self.size
        return (
            f"<p>{escape(repr(self))}, {width:.0f} x {height:.0f} {self.unit}</p>{table}"
            f'<img style="max-width: 100%" src="data:image/png;base64,{picture}">'
        )


def coco_categories(class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """COCO's categories of classes, numbered from 1."""
    return [{"id": i, "name": name} for i, name in enumerate(class_names, start=1)]


def coco_image(page: dict[str, Any], image_id: int) -> dict[str, Any]:
    """The COCO image of what `FoundPage.to_dict` gave; of a PDF page with its number and dpi."""
    scale = page["dpi"] / 72 if "dpi" in page else 1
    width, height = (max(1, round(page[side] * scale)) for side in ("width", "height"))
    image = {"id": image_id, "file_name": page["file"], "width": width, "height": height}
    return image | {"page": page["page"]} | ({"dpi": page["dpi"]} if "dpi" in page else {})


def coco_annotations(
    page: dict[str, Any], image_id: int, first: int, class_names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The COCO annotations of what `FoundPage.to_dict` gave, numbered from `first`."""
    annotations = []
    for i, table in enumerate(page["tables"], start=first):
        x0, y0, x1, y1 = table.get("box_px", table["box"])
        width, height = round(x1 - x0, 3), round(y1 - y0, 3)
        annotations.append(
            {
                "id": i,
                "image_id": image_id,
                "category_id": class_names.index(table["class"]) + 1,
                "bbox": [x0, y0, width, height],
                "area": round(width * height, 3),
                "iscrowd": 0,
                "score": table["score"],
            }
        )
    return annotations


def _rounded(box: NDArray[np.float64]) -> list[float]:
    return [round(side, 3) for side in box.tolist()]
