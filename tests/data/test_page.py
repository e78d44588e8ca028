"""Opening pages at the size that is asked for, and the boxes that are kept."""

from __future__ import annotations

import tracemalloc
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tablesense.data.page import Page, keep_valid
from tablesense.data.reading import read_pages
from tablesense.data.table import Faults


def black_box(size: tuple[int, int], box: tuple[int, int, int, int], mode: str = "L") -> Image.Image:
    image = Image.new(mode, size, "white")
    x0, y0, x1, y1 = box
    ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill="black")
    return image


def write_pdf(path: Path, *sizes: tuple[int, int]) -> None:
    """A PDF of pages whose lower right quarter is black, their sizes in points."""
    first, *others = (black_box(size, (size[0] // 2, size[1] // 2, *size)) for size in sizes)
    first.save(path, save_all=True, append_images=others, resolution=72)


def test_a_page_of_a_pdf_is_named_with_its_number_from_1() -> None:
    assert Page(Path("folder/a.pdf"), "a", (600, 800), number=1).name == "a.pdf, page 2"
    assert Page(Path("folder/a.png"), "a", (600, 800)).name == "a.png"


def test_a_rotated_page_comes_as_displayed(real_data: Path) -> None:
    pages = read_pages(real_data / "icdar2013").splits["all"]
    rotated = [page for page in pages if page.document == "eu-015" and page.size[0] > page.size[1]]
    assert rotated
    assert all(max(page.open(300).size) == 300 for page in rotated)
    assert all(image.width > image.height for image in (page.open(300) for page in rotated))


@pytest.mark.parametrize(("longest", "expected"), [(384, (288, 384)), (None, (1250, 1667))])
def test_a_page_is_opened_by_its_number_and_at_the_size_asked_for(
    tmp_path: Path, longest: int | None, expected: tuple[int, int]
) -> None:
    write_pdf(tmp_path / "a.pdf", (300, 300), (600, 800))
    image = Page(tmp_path / "a.pdf", "a", (600, 800), number=1).open(longest)
    assert (image.mode, image.size) == ("RGB", expected)
    ink = np.asarray(image.convert("L")) < 128
    assert ink[-2:, -2:].all()
    assert ink.mean() == pytest.approx(0.25, abs=0.01)


def test_the_truth_decides_what_an_orientation_means(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    black_box((400, 300), (200, 150, 400, 300)).save(tmp_path / "a.png", exif=exif)
    assert Page(tmp_path / "a.png", "a", (300, 400)).open(200).size == (150, 200)
    assert Page(tmp_path / "a.png", "a", (400, 300)).open(200).size == (200, 150)


def test_files_are_closed_but_for_the_last_pdf(tmp_path: Path) -> None:
    black_box((300, 400), (0, 0, 9, 9)).save(tmp_path / "a.png")
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no list of open files on this system")
    for name in "abc":
        write_pdf(tmp_path / f"{name}.pdf", (300, 400))
        pages = (
            Page(tmp_path / f"{name}.pdf", name, (300, 400), number=0),
            Page(tmp_path / "a.png", "a", (300, 400)),
        )
        opened = [page.open(100) for page in pages * 2]
        links = [link.resolve() for link in descriptors.iterdir()]
        assert len(opened) == 4
        assert [link.name for link in links if link.is_relative_to(tmp_path)] == [f"{name}.pdf"]


def test_pages_are_small(tmp_path: Path) -> None:
    """Half a million of them, as in PubTables-1M, fit in memory."""
    tracemalloc.start()
    pages = [
        Page(tmp_path, f"document {i}", (100, 80), ((1.0, 2.0, 3.0, i + 0.5),), ("table",))
        for i in range(1000)
    ]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / len(pages) < 600


def test_boxes_are_clipped_or_left_out_and_counted() -> None:
    dropped = Faults()
    boxes = [
        (10, 10, 50, 50),
        (-0.5, 0, 100.5, 80),
        (-20, 10, 50, 50),
        (10, 10, 10, 50),
        (50, 10, 40, 50),
        (nan, 10, 40, 50),
        (10, 10, inf, 50),
        (200, 10, 240, 50),
        (99.5, 10, 140, 50),
    ]
    kept, labels = keep_valid(boxes, list("abcdefghi"), (100, 80), dropped)
    assert kept == ((10, 10, 50, 50), (0, 0, 100, 80), (0, 10, 50, 50))
    assert labels == ("a", "b", "c")
    assert dropped == {
        "not finite": 2,
        "zero area": 2,
        "outside the page": 1,
        "less than a pixel on the page": 1,
        "partly outside the page, clipped": 1,
    }
