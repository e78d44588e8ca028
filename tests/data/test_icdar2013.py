"""ICDAR 2013: the frame of the boxes, alternatives, the real competition files, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pypdfium2 import PdfDocument

from tablesense.data.ctdar import looks_like_ctdar
from tablesense.data.icdar2013 import looks_like_icdar2013, read_icdar2013
from tablesense.data.page import Page
from tablesense.data.voc import looks_like_voc
from tablesense.errors import UserError


def write_pdf(path: Path, pages: int = 1, crop: tuple[float, ...] | None = None, rotation: int = 0) -> None:
    document = PdfDocument.new()
    for _ in range(pages):
        page = document.new_page(600, 800)
        if crop:
            page.set_cropbox(*crop)
        page.set_rotation(rotation)
    document.save(path)


def write_truth(path: Path, *tables: list[tuple[int, tuple[float, ...]]]) -> None:
    """Each table is a list of (page from 1, (x1, y1, x2, y2)) regions."""
    regions = (
        "".join(
            f"<region id='1' page='{page}'><instruction instr-id='9'/>"
            f"<bounding-box x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}'/></region>"
            for page, (x1, y1, x2, y2) in table
        )
        for table in tables
    )
    path.write_text(
        f"<document filename='x'>{''.join(f'<table>{each}</table>' for each in regions)}</document>"
    )


def test_every_page_is_kept_and_each_region_is_a_box(tmp_path: Path) -> None:
    write_pdf(tmp_path / "eu-1.pdf", pages=3)
    write_truth(tmp_path / "eu-1-reg.xml", [(1, (50, 100, 250, 300)), (3, (10, 20, 30, 60))])
    pages = read_icdar2013(tmp_path)
    assert pages.splits == {
        "all": [
            Page(tmp_path / "eu-1.pdf", "eu-1", (600, 800), ((50, 500, 250, 700),), ("table",), 0),
            Page(tmp_path / "eu-1.pdf", "eu-1", (600, 800), (), (), 1),
            Page(tmp_path / "eu-1.pdf", "eu-1", (600, 800), ((10, 740, 30, 780),), ("table",), 2),
        ]
    }
    assert not pages.dropped


def test_boxes_are_relative_to_the_visible_page(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", crop=(50, 100, 550, 700))
    write_truth(tmp_path / "a-reg.xml", [(1, (50, 100, 250, 300))])
    (page,) = read_icdar2013(tmp_path).splits["all"]
    assert page.size == (500, 600)
    assert page.boxes == ((0, 400, 200, 600),)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_page_has_its_boxes_as_displayed(tmp_path: Path, rotation: int) -> None:
    write_pdf(tmp_path / "a.pdf", crop=(50, 100, 550, 700), rotation=rotation)
    write_truth(tmp_path / "a-reg.xml", [(1, (400, 50, 450, 90))])
    (page,) = read_icdar2013(tmp_path).splits["all"]
    width, height = (500, 600) if rotation == 180 else (600, 500)
    assert page.size == (width, height)
    assert page.boxes == ((400, height - 90, 450, height - 50),)
    image = page.open(300)
    assert image.size == (width // 2, height // 2)


def test_the_truth_a_is_used_and_b_ignored(tmp_path: Path) -> None:
    for stem in ("eu-9a", "eu-7"):  # the PDF has the letter of the truth, or none
        write_pdf(tmp_path / f"{stem}.pdf")
    for number in (9, 7):
        write_truth(tmp_path / f"eu-{number}a-reg.xml", [(1, (0, 0, 100, 100))])
        write_truth(tmp_path / f"eu-{number}b-reg.xml", [(1, (0, 0, 200, 200))])
    seven, nine = read_icdar2013(tmp_path).splits["all"]
    assert (seven.document, nine.document) == ("eu-7", "eu-9")
    assert seven.boxes == nine.boxes == ((0, 700, 100, 800),)


def test_corners_may_come_in_any_order_and_folders_be_nested(tmp_path: Path) -> None:
    (tmp_path / "eu" / "more").mkdir(parents=True)
    write_pdf(tmp_path / "eu" / "more" / "a.pdf")
    write_truth(tmp_path / "eu" / "more" / "a-reg.xml", [(1, (250, 300, 50, 100))])
    assert read_icdar2013(tmp_path).splits["all"][0].boxes == ((50, 500, 250, 700),)


def test_a_folder_without_truths_says_what_it_holds(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf")
    message = f"no annotations in {tmp_path}: expected *-reg.xml beside *.pdf; found 1 .pdf"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        read_icdar2013(tmp_path)
    with pytest.raises(UserError, match=r"nowhere is not a folder: expected one with \*-reg\.xml"):
        read_icdar2013(tmp_path / "nowhere")


def test_pdfs_and_truths_must_pair(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf")
    write_truth(tmp_path / "a-reg.xml")
    write_truth(tmp_path / "b-reg.xml")
    with pytest.raises(UserError, match=r"^1 of 2 PDFs with a truth are missing; the first is .*/b\.pdf$"):
        read_icdar2013(tmp_path)
    write_pdf(tmp_path / "b.pdf")
    write_pdf(tmp_path / "c.pdf")
    with pytest.raises(UserError, match=r"^1 of 3 PDFs have no reg\.xml beside them; the first is .*/c\.pdf"):
        read_icdar2013(tmp_path)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<document><table>", "a-reg.xml is not XML: "),
        ("<!DOCTYPE x [<!ENTITY lol 'lol'>]><document>&lol;</document>", "a-reg.xml has the entity 'lol'"),
        ("<!DOCTYPE x [<!ENTITY f SYSTEM 'a.pdf'>]><document>&f;</document>", "a-reg.xml has the entity 'f'"),
        ("<annotation/>", "is not an ICDAR 2013 truth: expected <document>, found <annotation>"),
        ("<document><region page='1'/></document>", "found page=1 and no box"),
        (
            "<document><region page='1'><bounding-box x1='1' y1='?'/></region></document>",
            "bounding-box of x1, y1, x2, y2; found page=1 and {'x1': '1', 'y1': '?'}",
        ),
        (
            "<document><region page='2'><bounding-box x1='1' y1='1' x2='9' y2='9'/></region></document>",
            "a-reg.xml has a table on page 2; a.pdf has 1 page",
        ),
    ],
)
def test_faulty_truths_are_refused_in_one_line(tmp_path: Path, xml: str, message: str) -> None:
    write_pdf(tmp_path / "a.pdf")
    (tmp_path / "a-reg.xml").write_text(xml)
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        read_icdar2013(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_broken_pdf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("no pdf")
    write_truth(tmp_path / "a-reg.xml")
    with pytest.raises(UserError, match=r"a\.pdf cannot be read as a PDF"):
        read_icdar2013(tmp_path)


def test_recognition_goes_by_the_names_and_never_raises(tmp_path: Path) -> None:
    assert not looks_like_icdar2013(tmp_path)
    assert not looks_like_icdar2013(tmp_path / "nowhere")
    write_truth(tmp_path / "page.xml", [(1, (0, 0, 100, 100))])
    (tmp_path / "a-str.xml").touch()
    assert not looks_like_icdar2013(tmp_path)
    (tmp_path / "a-str.xml").unlink()
    (tmp_path / "eu" / "more").mkdir(parents=True)
    write_truth(tmp_path / "eu" / "more" / "a-reg.xml")
    assert looks_like_icdar2013(tmp_path)
    assert not looks_like_ctdar(tmp_path)
    assert not looks_like_voc(tmp_path)


def test_cells_tell_the_competition_where_regions_come_late(tmp_path: Path) -> None:
    for i in range(9):
        (tmp_path / f"a{i}-str.xml").write_text("<document/>")
    write_truth(tmp_path / "a7-reg.xml")
    assert looks_like_icdar2013(tmp_path)


def test_the_competition(real_data: Path) -> None:
    assert looks_like_icdar2013(real_data / "icdar2013")
    assert not looks_like_ctdar(real_data / "icdar2013")
    pages = read_icdar2013(real_data / "icdar2013")
    every = pages.splits["all"]
    assert len(every) == 111
    assert sum(len(page.boxes) for page in every) == 76
    assert sum(not page.boxes for page in every) == 56
    assert len({page.document for page in every}) == 27
    assert not pages.dropped
    rotated = [page for page in every if page.document == "eu-015"]
    assert [page.size for page in rotated] == [(842, 595), (842, 595)]
    assert rotated[0].boxes == ((60, 90, 356, 303), (60, 321, 356, 534))
    assert [page.boxes for page in every if page.document == "eu-009"] == [((139, 315, 461, 547),)]


@pytest.mark.parametrize("document", ["eu-002", "eu-009", "eu-015", "eu-021"])
def test_the_boxes_lie_on_the_ink(real_data: Path, document: str) -> None:
    """A truth box hugs its text: there is ink just inside each side (at most 6 points away)."""
    pages = [page for page in read_icdar2013(real_data / "icdar2013").splits["all"] if page.boxes]
    for page in (page for page in pages if page.document == document):
        image = page.open(1000)
        scale = 1000 / max(page.size)
        ink = np.asarray(image.convert("L")) < 128
        for box in page.boxes:
            x0, y0, x1, y1 = (round(side * scale) for side in box)
            inside, margin = ink[y0:y1, x0:x1], round(6 * scale)
            strips = inside[:margin], inside[-margin:], inside[:, :margin], inside[:, -margin:]
            assert all(strip.any() for strip in strips)
