"""Opening pages at the size that is asked for, and the boxes that are kept."""

from __future__ import annotations

import time
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


@pytest.mark.parametrize(("longest", "expected"), [(384, (288, 384)), (100, (75, 100)), (None, (1250, 1667))])
def test_a_pdf_page_is_rendered_at_the_size_asked_for(
    tmp_path: Path, longest: int | None, expected: tuple[int, int]
) -> None:
    write_pdf(tmp_path / "a.pdf", (300, 300), (600, 800))
    image = Page(tmp_path / "a.pdf", "a", (600, 800), number=1).open(longest)
    assert image.mode == "RGB"
    assert image.size == expected
    ink = np.asarray(image.convert("L")) < 128
    assert ink[-2:, -2:].all()
    assert ink.mean() == pytest.approx(0.25, abs=0.01)


def test_a_page_of_a_pdf_is_named_with_its_number_from_1() -> None:
    assert Page(Path("folder/a.pdf"), "a", (600, 800), number=1).name == "a.pdf, page 2"
    assert Page(Path("folder/a.png"), "a", (600, 800)).name == "a.png"


def test_a_rotated_page_comes_as_displayed(real_data: Path) -> None:
    pages = read_pages(real_data / "icdar2013").splits["all"]
    rotated = [page for page in pages if page.document == "eu-015" and page.size[0] > page.size[1]]
    assert rotated
    assert all(max(page.open(300).size) == 300 for page in rotated)
    assert all(image.width > image.height for image in (page.open(300) for page in rotated))


@pytest.mark.parametrize(
    ("longest", "expected"), [(384, (375, 500)), (800, (750, 1000)), (None, (3000, 4000))]
)
def test_a_jpeg_is_decoded_at_the_nearest_larger_eighth(
    tmp_path: Path, longest: int | None, expected: tuple[int, int]
) -> None:
    black_box((3000, 4000), (1500, 2000, 3000, 4000), "RGB").save(tmp_path / "a.jpg", quality=90)
    image = Page(tmp_path / "a.jpg", "a", (3000, 4000)).open(longest)
    assert (image.mode, image.size) == ("RGB", expected)
    assert (np.asarray(image.convert("L")) < 128).mean() == pytest.approx(0.25, abs=0.005)


def test_a_small_view_of_a_large_jpeg_saves_time_and_memory(tmp_path: Path) -> None:
    black_box((6000, 8000), (100, 100, 3000, 4000), "RGB").save(tmp_path / "a.jpg")
    page = Page(tmp_path / "a.jpg", "a", (6000, 8000))
    started = time.process_time()
    assert page.open(384).size == (750, 1000)
    reduced = time.process_time() - started
    started = time.process_time()
    page.open()
    assert reduced < (time.process_time() - started) / 2


@pytest.mark.parametrize("mode", ["1", "L"])
def test_pages_without_colour_come_as_grey(tmp_path: Path, mode: str) -> None:
    black_box((400, 300), (200, 150, 400, 300), mode).save(tmp_path / "a.png")
    image = Page(tmp_path / "a.png", "a", (400, 300)).open(100)
    assert (image.mode, image.size) == ("L", (400, 300))
    assert np.asarray(image)[150:, 200:].max() == 0
    assert (np.asarray(image) == 255).mean() == 0.75


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "png"), ("P", "png"), ("CMYK", "jpg"), ("L", "tif")])
def test_other_files_come_as_rgb_or_grey(tmp_path: Path, mode: str, suffix: str) -> None:
    image = black_box((400, 300), (200, 150, 400, 300), "RGB").convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    opened = Page(tmp_path / f"a.{suffix}", "a", (400, 300)).open()
    assert opened.mode == ("L" if mode == "L" else "RGB")
    ink = np.asarray(opened.convert("L")) < 128
    assert ink.mean() == pytest.approx(0.25, abs=0.005)
    assert ink[200:, 300:].all()


def test_files_are_closed(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", (300, 400))
    black_box((300, 400), (0, 0, 9, 9)).save(tmp_path / "a.png")
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no list of open files on this system")
    opened = [Page(tmp_path / "a.png", "a", (300, 400)).open() for _ in range(3)]
    opened += [Page(tmp_path / "a.pdf", "a", (300, 400), number=0).open(100) for _ in range(3)]
    links = [str(link.resolve()) for link in descriptors.iterdir()]
    assert not [link for link in links if link.startswith(str(tmp_path))]


def test_what_is_no_image_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(OSError, match=r"a\.png"):
        Page(tmp_path / "a.png", "a", (1, 1)).open()
    with pytest.raises(OSError, match=r"b\.png"):
        Page(tmp_path / "b.png", "b", (1, 1)).open()


def test_a_truncated_image_is_an_os_error_not_half_a_page(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300), dtype=np.uint8)
    for suffix in ("png", "jpg"):
        file = tmp_path / f"a.{suffix}"
        Image.fromarray(noise).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(OSError, match="truncated"):
            Page(file, "a", (300, 200)).open(100)


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
        "outside the page": 2,
        "partly outside the page, clipped": 1,
    }
