"""The recipes of docs/cells.md, run as they stand there, with true tables in the place of found ones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pypdfium2 import PdfDocument

import tablesense
from tablesense.data.icdar2013 import read_icdar2013
from tablesense.data.page import Box, Page
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document
from tablesense.predict.outputs import Destination, write_document
from tablesense.predict.pdf import PdfFrame

Run = Callable[..., dict[str, Any]]

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"
SCANS, PDFS, FILES = (
    "img2table, for scans",
    "img2table, for PDFs with text",
    "From the files of `tablesense predict`",
)
READERS = ("pdfplumber", "camelot", PDFS)

MEDIA, CROP = (-50, -20, 350, 420), (10, 30, 330, 390)
CELLS = [
    ["name", "length", "weight"],
    ["alpha", "12.5", "307"],
    ["beta", "13.5", "411"],
    ["gamma", "14.5", "518"],
]
WIDTH, HEIGHT, LEFT, TOP = 80, 24, 40, 60
"""Of a cell of the written table; and where that is on the page as displayed, from the upper left corner."""


def recipe(heading: str, i: int = 0) -> str:
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[i]


def need(heading: str) -> None:
    library = heading.split(",")[0] if heading in (*READERS, SCANS) else "pdfplumber"
    pytest.importorskip(library, reason=f"{library} is not installed")
    if library == "img2table":
        cv2 = pytest.importorskip("cv2")
        if not hasattr(getattr(cv2, "ximgproc", None), "niBlackThreshold"):
            pytest.skip("img2table needs the OpenCV with extra modules: opencv-contrib-python-headless")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a recipe in a folder of its own, where a network would find what `finds` says."""

    def run(heading: str, finds: list[FoundPage], i: int = 0) -> dict[str, Any]:
        class Network:
            @classmethod
            def load_from_checkpoint(cls, path: str) -> type[Network]:
                return cls

            @staticmethod
            def detect(source: str) -> list[FoundPage]:
                assert (tmp_path / source).samefile(finds[0].path)
                return finds

        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(vars(tablesense), "TableDETRModule", Network)
        names: dict[str, Any] = {}
        exec(compile(recipe(heading, i), f"{heading}, block {i + 1}", "exec"), names)
        return names

    return run


def found(path: Path, number: int | None, size: tuple[float, float], *boxes: Box) -> FoundPage:
    n = len(boxes)
    page = Page(path, path.stem, size, number=number)
    frame = None
    if number is not None:
        with PdfDocument(path) as document:
            frame = PdfFrame(document[number].get_bbox(), document[number].get_rotation())
    places = np.array(boxes, float).reshape(n, 4)
    return FoundPage(page, places, np.ones(n, np.float32), ("table",) * n, ("table",), frame)


def true_tables(real_data: Path, folder: Path, name: str) -> list[FoundPage]:
    """The true tables of the PDF `name`, of which `folder` gets a copy: report.pdf."""
    pages = [page for page in read_icdar2013(real_data / "icdar2013").splits["all"] if page.document == name]
    copy = Path(shutil.copy(pages[0].path, folder / "report.pdf"))
    return [found(copy, page.number, page.size, *page.boxes) for page in pages]


def written_table(
    folder: Path, rotation: int = 0, crop: tuple[int, ...] | None = CROP, other: bool = False
) -> FoundPage:
    """A ruled table with text around it, upright as displayed, and where it is; another one below it."""
    left, bottom, right, top = crop or MEDIA
    height = right - left if rotation % 180 else top - bottom
    # From the displayed page, y upwards from its lower left corner, to the PDF's own coordinates.
    turned = {
        0: (1, 0, 0, 1, left, bottom),
        90: (0, 1, -1, 0, right, bottom),
        180: (-1, 0, 0, -1, right, top),
        270: (0, -1, 1, 0, left, top),
    }
    drawn = [" ".join(map(str, turned[rotation])), "cm 1 w /F 10 Tf"]
    places: list[Box] = []

    def text(x: float, y: float, words: str) -> None:
        drawn.append(f"BT {x} {y} Td ({words}) Tj ET")

    def table(y: float, cells: list[list[str]]) -> None:
        right, bottom = LEFT + WIDTH * len(cells[0]), y - HEIGHT * len(cells)
        drawn.extend(f"{LEFT} {y - HEIGHT * i} m {right} {y - HEIGHT * i} l S" for i in range(len(cells) + 1))
        columns = range(len(cells[0]) + 1)
        drawn.extend(f"{LEFT + WIDTH * i} {y} m {LEFT + WIDTH * i} {bottom} l S" for i in columns)
        for i, row in enumerate(cells):
            for j, words in enumerate(row):
                text(LEFT + WIDTH * j + 6, y - HEIGHT * i - 16, words)
        places.append((LEFT, height - y, right, height - bottom))

    text(LEFT, height - TOP + 12, "A line above the table")
    table(height - TOP, CELLS)
    text(LEFT, height - TOP - HEIGHT * len(CELLS) - 20, "A line below that is no part of it")
    if other:
        table(height - TOP - HEIGHT * len(CELLS) - 40, [["one", "two"], ["three", "four"]])
    file = folder / "report.pdf"
    file.write_bytes(pdf(" ".join(drawn), crop, rotation))
    size = (top - bottom, right - left) if rotation % 180 else (right - left, top - bottom)
    return found(file, 0, size, *places)


def pdf(drawn: str, crop: tuple[int, ...] | None, rotation: int) -> bytes:
    boxes = f"/MediaBox [{' '.join(map(str, MEDIA))}]"
    boxes += f" /CropBox [{' '.join(map(str, crop))}]" if crop else ""
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R {boxes} /Rotate {rotation} /Contents 4 0 R "
        "/Resources << /Font << /F 5 0 R >> >> >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    text, places = "%PDF-1.4\n", []
    for i, each in enumerate(objects, start=1):
        places.append(len(text))
        text += f"{i} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    text += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    text += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
    return text.encode()


# -- cells of written pages ------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("heading", READERS)
def test_turned_and_cropped_pages(run: Run, tmp_path: Path, heading: str, rotation: int) -> None:
    need(heading)
    assert run(heading, [written_table(tmp_path, rotation)])["tables"] == [CELLS]


@pytest.mark.parametrize("heading", READERS)
def test_one_list_of_rows_for_each_find(run: Run, tmp_path: Path, heading: str) -> None:
    need(heading)
    page = written_table(tmp_path, 90, crop=None, other=True)
    assert run(heading, [page])["tables"] == [CELLS, [["one", "two"], ["three", "four"]]]


@pytest.mark.parametrize("heading", READERS)
def test_a_find_that_holds_nothing(run: Run, tmp_path: Path, heading: str) -> None:
    need(heading)
    empty = (40.0, 300.0, 200.0, 340.0)
    page = written_table(tmp_path)
    assert run(heading, [found(page.path, 0, page.size, empty)])["tables"] == [[]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_from_the_files_of_predict(run: Run, tmp_path: Path, rotation: int) -> None:
    page = written_table(tmp_path, rotation)
    write_document(Destination(tmp_path / "found"), Document(page.path, "report"), [page], {})
    names = run(FILES, [page], 1)
    (text,) = names["texts"]
    assert "".join(text.split()) == "".join(cell for row in CELLS for cell in row)
    (picture,) = names["pictures"]
    assert picture.size == pytest.approx((3 * WIDTH * 150 / 72, 4 * HEIGHT * 150 / 72), abs=1.5)
    assert (np.asarray(picture.convert("L"))[:4] < 128).any(0).mean() > 0.95  # the upper line
    need(FILES)
    assert run(FILES, [page])["tables"] == [CELLS]


def test_cells_of_a_scan(run: Run, tmp_path: Path) -> None:
    need(SCANS)
    drawn = written_table(tmp_path).image(200)
    scale = 200 / 72
    box = (LEFT * scale, TOP * scale, (LEFT + 3 * WIDTH) * scale, (TOP + 4 * HEIGHT) * scale)
    drawn.save(tmp_path / "scan.png")
    (table,) = run(SCANS, [found(tmp_path / "scan.png", None, drawn.size, box)])["tables"]
    assert [len(row) for row in table] == [3, 3, 3, 3]
    for row in table:
        for cell in row:
            assert cell.size == pytest.approx((WIDTH * scale, HEIGHT * scale), abs=6)
            inside = np.asarray(cell.convert("L"))[8:-8, 8:-8]
            assert 0.005 < (inside < 128).mean() < 0.3


# -- cells of real pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("heading", READERS)
def test_a_real_page_that_is_turned(run: Run, tmp_path: Path, real_data: Path, heading: str) -> None:
    need(heading)
    first, second = run(heading, true_tables(real_data, tmp_path, "eu-015")[:1])["tables"]
    rows = [[cell for cell in row if cell] for row in first]
    assert ["EU Institutions", "3.597"] in rows
    assert ["Topic", "Enquiries"] in rows
    assert not any("EU Institutions" in str(cell) for row in second for cell in row)


def test_a_real_page_as_a_scan(run: Run, tmp_path: Path, real_data: Path) -> None:
    need(SCANS)
    (page,) = true_tables(real_data, tmp_path, "eu-002")[:1]
    picture = page.image(200)
    picture.save(tmp_path / "scan.png")
    boxes = page.boxes * picture.width / page.size[0]
    (table,) = run(SCANS, [found(tmp_path / "scan.png", None, picture.size, *boxes.tolist())])["tables"]
    assert [len(row) for row in table] == [6] * 6
