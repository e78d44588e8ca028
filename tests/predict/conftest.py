"""A network that finds ink, and PDFs with ink in known places."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import find_objects, label

from tablesense.predict.network import Finds

WritePdf = Callable[..., Path]


class InkNetwork:
    """Finds one table on each page that is not white: the bounds of its ink, with a score of .8."""

    image_size = 400
    class_names = ("table",)
    threshold = 0.5

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(
        self, pixel_values: NDArray[np.uint8], pixel_mask: NDArray[np.bool_], sizes: NDArray[np.float64]
    ) -> list[Finds]:
        self.batches.append(len(pixel_values))
        return [self._find(*page) for page in zip(pixel_values, pixel_mask, sizes, strict=True)]

    def _find(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], size: NDArray[np.float64]) -> Finds:
        rows, columns = np.nonzero((pixels.min(0) < 128) & mask)
        if not len(rows):
            return Finds(np.empty((0, 4)), np.empty(0, np.float32), np.empty(0, int))
        scale = size / (mask[0].sum(), mask[:, 0].sum())
        low = np.array([columns.min(), rows.min()]) * scale
        high = np.array([columns.max() + 1, rows.max() + 1]) * scale
        return Finds(np.concatenate([low, high])[None], np.array([0.8], np.float32), np.array([0]))


class InksNetwork(InkNetwork):
    """Finds each connected piece of ink, if it is not lost in the page: 12 pixels or more wide and high."""

    def _find(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], size: NDArray[np.float64]) -> Finds:
        pieces = find_objects(label((pixels.min(0) < 128) & mask)[0])
        boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in pieces], float).reshape(-1, 4)
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= 12).all(1)]
        scale = size / (mask[0].sum(), mask[:, 0].sum())
        scores = np.full(len(boxes), 0.8, np.float32)
        return Finds(boxes * np.tile(scale, 2), scores, np.zeros(len(boxes), int))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `icdar2013/`."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    folder = Path(os.environ.get("TABLESENSE_DATA", default)).resolve()
    if not (folder / "icdar2013").is_dir():
        pytest.skip(f"no icdar2013/ in {folder}: set TABLESENSE_DATA to its folder")
    return folder


@pytest.fixture
def network() -> InkNetwork:
    return InkNetwork()


@pytest.fixture
def network_of_many() -> InksNetwork:
    return InksNetwork()


@pytest.fixture
def write_pdf(tmp_path: Path) -> WritePdf:
    """Write a PDF whose pages each have a black rectangle, x, y, width, height in the PDF's coordinates."""

    def write(
        name: str,
        *rectangles: tuple[int, int, int, int] | None,
        media: tuple[int, ...] | None = (0, 0, 300, 400),
        crop: tuple[int, ...] | None = None,
        rotation: int | None = 0,
        more: str = "",
        inherited: str = "",
        labels: str = "",
    ) -> Path:
        first = 3
        kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(rectangles)))
        objects = [
            f"<< /Type /Catalog /Pages 2 0 R {labels} >>",
            f"<< /Type /Pages /Kids [{kids}] /Count {len(rectangles)} {inherited} >>",
        ]
        boxes = f"/MediaBox [{' '.join(map(str, media))}]" if media else ""
        boxes += f" /CropBox [{' '.join(map(str, crop))}]" if crop else ""
        boxes += "" if rotation is None else f" /Rotate {rotation}"
        for i, rectangle in enumerate(rectangles):
            drawn = f"{' '.join(map(str, rectangle))} re f" if rectangle else ""
            content = f"/Contents {first + 2 * i + 1} 0 R"
            objects.append(f"<< /Type /Page /Parent 2 0 R {boxes} {more} {content} >>")
            objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        text, places = b"%PDF-1.4\n", []
        for i, each in enumerate(objects, start=1):
            places.append(len(text))
            text += f"{i} 0 obj\n{each}\nendobj\n".encode()
        table = "".join(f"{place:010} 00000 n \n" for place in places)
        text += (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
        ).encode()
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        return file

    return write


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """Write a white image with a black rectangle, x0, y0, x1, y1."""

    def write(
        name: str,
        box: tuple[int, int, int, int] | None = (20, 30, 60, 70),
        size: tuple[int, int] = (100, 200),
    ) -> Path:
        image = Image.new("L", size, 255)
        if box:
            image.paste(0, box)
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
        return file

    return write
