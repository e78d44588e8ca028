"""A page with its finds."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tablesense.data.page import Page
from tablesense.pictures import FOUND
from tablesense.predict.detecting import detect
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document, read_pages
from tablesense.predict.pdf import PdfFrame

Write = Callable[..., Path]


def one(file: Path, network: Any, i: int = 0) -> FoundPage:
    found = list(detect(network, read_pages([Document(file, file.stem)])))[i]
    assert isinstance(found, FoundPage)
    return found


def on_image(file: Path, *boxes: list[float]) -> FoundPage:
    scores = np.linspace(0.9, 0.6, len(boxes), dtype=np.float32)
    with Image.open(file) as image:
        page = Page(file, "a", image.size)
    return FoundPage(page, np.array(boxes, float).reshape(-1, 4), scores, ("table",) * len(boxes), ("table",))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_in_the_pdfs_own_coordinates(write_pdf: Write, network: Any, rotation: int) -> None:
    frame = {"media": (-50, -20, 300, 400), "crop": (10, 30, 290, 390), "rotation": rotation}
    found = one(write_pdf("a.pdf", (60, 100, 120, 50), **frame), network)
    assert found.size == ((360, 280) if rotation % 180 else (280, 360))
    np.testing.assert_allclose(found.pdf_boxes, [[60, 100, 180, 150]], atol=1)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"rotation": -90}, (400, 300)),
        ({"rotation": 450}, (400, 300)),
        ({"rotation": 720}, (300, 400)),
        ({"rotation": None, "inherited": "/Rotate 180"}, (300, 400)),
        ({"rotation": None, "media": None, "inherited": "/MediaBox [0 0 300 400] /Rotate -270"}, (400, 300)),
        ({"inherited": "/CropBox [20 40 280 390]"}, (260, 350)),
        ({"crop": (-100, -50, 900, 800)}, (300, 400)),
        ({"crop": (-100, 50, 900, 800), "rotation": 90}, (350, 300)),
        ({"media": (300, 400, 0, 0)}, (300, 400)),
        ({"more": "/UserUnit 2.5"}, (300, 400)),
        ({"more": "/UserUnit 2.5", "rotation": 270, "crop": (10, 20, 290, 380)}, (360, 280)),
    ],
)
def test_boxes_fit_the_text_of_odd_pages(
    write_pdf: Write, network: Any, options: dict[str, Any], size: tuple[int, int]
) -> None:
    found = one(write_pdf("a.pdf", (60, 100, 120, 50), **options), network)
    assert found.size == size
    np.testing.assert_allclose(found.pdf_boxes, [[60, 100, 180, 150]], atol=1)


def test_pixels_are_those_of_the_page_at_a_resolution(write_pdf: Write, network: Any) -> None:
    found = one(write_pdf("a.pdf", (60, 100, 120, 80)), network)
    assert found.image(144).size == (600, 800)
    np.testing.assert_allclose(found.pixel_boxes(144), [[120, 440, 360, 600]], atol=2)
    crop = np.asarray(found.crop(0, margin=10, dpi=144).convert("L"))
    assert abs(crop.shape[1] - 280) <= 3
    assert abs(crop.shape[0] - 200) <= 3
    assert crop[100, 140] == 0
    assert crop[:15].min() == 255


def test_a_crop_ends_where_the_page_ends(write_image: Write) -> None:
    found = on_image(write_image("a.png"), [5, 10, 95, 40], [-3, 150, 50, 205], [99.5, 0, 99.6, 1])
    assert found.crop(0, margin=20).size == (100, 60)
    assert found.crop(1, margin=0).size == (50, 50)
    assert found.crop(2, margin=0).size == (1, 1)
    with pytest.raises(IndexError):
        found.crop(3)


def test_as_data(write_pdf: Write, write_image: Write, network: Any) -> None:
    labels = "/PageLabels << /Nums [0 << /S /r /St 4 >>] >>"
    pdf = one(write_pdf("a.pdf", None, (60, 100, 120, 80), labels=labels), network, 1).to_dict(dpi=144)
    assert json.loads(json.dumps(pdf)) == pdf
    assert (pdf["page"], pdf["label"], pdf["width"], pdf["height"], pdf["unit"]) == (2, "v", 300, 400, "pt")
    assert (pdf["dpi"], pdf["rotation"]) == (144, 0)
    (table,) = pdf["tables"]
    assert set(table) == {"class", "score", "box", "box_px", "box_pdf"}
    assert table["box_px"] == pytest.approx([2 * side for side in table["box"]])
    image = on_image(write_image("b.png"), [1, 2, 3.12345, 4]).to_dict()
    assert (image["page"], image["unit"], image["label"]) == (1, "px", None)
    assert image["tables"] == [{"class": "table", "score": 0.9, "box": [1, 2, 3.123, 4]}]


def test_as_coco(write_image: Write, write_pdf: Write, network: Any) -> None:
    content = on_image(write_image("a.png"), [10, 20, 40, 60], [0, 0, 5, 5]).to_coco(7)
    assert content["images"][0] | {"file_name": ""} == {
        "id": 7,
        "file_name": "",
        "width": 100,
        "height": 200,
        "page": 1,
    }
    first, second = content["annotations"]
    assert (first["bbox"], first["area"], first["image_id"], first["category_id"]) == (
        [10, 20, 30, 40],
        1200,
        7,
        1,
    )
    assert (first["id"], second["id"]) == (1, 2)
    assert content["categories"] == [{"id": 1, "name": "table"}]
    pdf = one(write_pdf("a.pdf", (60, 100, 120, 80)), network).to_coco(dpi=144)
    assert (pdf["images"][0]["width"], pdf["images"][0]["dpi"]) == (600, 144)
    assert pdf["annotations"][0]["bbox"] == pytest.approx([120, 440, 240, 160], abs=3)


def test_a_notebook_shows_the_page_with_its_boxes(write_image: Write) -> None:
    found = on_image(write_image("a&b.png"), [20, 30, 60, 70])
    red = tuple(int(FOUND[i : i + 2], 16) for i in (1, 3, 5))
    picture = Image.open(BytesIO(found._repr_png_()))
    assert picture.getpixel((40, 30)) == red
    html = found._repr_html_()
    assert "a&amp;b.png: 1 find" in html
    inside = re.search(r'base64,([^"]+)"', html)
    assert inside
    assert Image.open(BytesIO(base64.b64decode(inside[1]))).size == (100, 200)


def test_the_ink_of_a_real_rotated_page_is_where_its_text_is(real_data: Path, network: Any) -> None:
    from pypdfium2 import PdfDocument

    (file,) = real_data.glob("icdar2013/**/eu-015.pdf")
    found = one(file, network)
    assert found.frame
    assert found.frame.rotation == 90
    with PdfDocument(file) as document:
        text = document[0].get_textpage()
        rectangles = np.array([text.get_rect(i) for i in range(text.count_rects())])
    rows, columns = np.nonzero(np.asarray(found.image(72).convert("L")) < 100)
    points = np.stack([columns, rows, columns, rows], 1) + 0.5
    x, y = found.frame.undo(points)[:, :2].T
    ink = np.stack([x, y], 1)
    inside = ((rectangles[:, None, :2] < ink) & (ink < rectangles[:, None, 2:])).all(2)
    assert inside.any(1).mean() > 0.95  # half of them if it is turned otherwise


def test_undoing_a_rotation_keeps_left_below_right() -> None:
    box = np.array([[1.0, 2, 3, 5]])
    for rotation in (0, 90, 180, 270):
        left, bottom, right, top = PdfFrame((0, 0, 10, 20), rotation).undo(box)[0]
        assert left < right
        assert bottom < top
