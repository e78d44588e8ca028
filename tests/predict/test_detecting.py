"""From pages to finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import current_thread
from typing import Any

import numpy as np
import pypdfium2
import pytest
import torch
from PIL import Image

from tablesense.data.batches import collate
from tablesense.data.page import Page
from tablesense.predict import detecting, pdf
from tablesense.predict.detecting import detect
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document, Failure, find_documents, read_pages

Write = Callable[..., Path]


def test_boxes_are_where_the_ink_is_in_units_of_the_page(
    tmp_path: Path, write_pdf: Write, write_image: Write, network: Any
) -> None:
    write_pdf("a.pdf", (60, 100, 120, 80))
    write_image("b.png", (50, 60, 150, 260), (300, 400))
    write_image("c.png", (20, 30, 60, 70), (200, 100))
    points, upright, wide = detect(network, read_pages(find_documents([tmp_path])))
    np.testing.assert_allclose(points.boxes, [[60, 220, 180, 300]], atol=1)
    np.testing.assert_allclose(upright.boxes, [[50, 60, 150, 260]], atol=1.5)
    np.testing.assert_allclose(wide.boxes, [[20, 30, 60, 70]], atol=1)
    assert [page.unit for page in (points, upright, wide)] == ["pt", "px", "px"]
    assert points.labels == ("table",)


def test_pages_and_failures_keep_their_order(tmp_path: Path, write_image: Write, network: Any) -> None:
    files = [write_image(f"{i}.png") for i in range(7)]
    cut = files[3].read_bytes()[:60]
    files[3].write_bytes(cut)
    pages = [Page(file, file.stem, (100, 200)) for file in files]
    gone = Failure(tmp_path / "gone.pdf", None, "broken PDF")
    results = list(detect(network, [gone, *pages[:2], gone, *pages[2:]], batch_size=2))
    assert results[0] == results[3] == gone
    assert [result.path.stem for result in results] == ["gone", "0", "1", "gone", "2", "3", "4", "5", "6"]
    assert [isinstance(result, FoundPage) for result in results[4:]] == [True, False, True, True, True]
    assert isinstance(results[5], Failure)
    assert results[5].reason
    assert network.batches == [2, 2, 2]


def test_few_pages_are_decoded_before_they_are_wanted(write_image: Write, network: Any) -> None:
    file, taken = write_image("a.png"), []

    def pages() -> Iterator[Page]:
        for i in range(100):
            taken.append(i)
            yield Page(file, "a", (100, 200))

    results = detect(network, pages(), batch_size=3)
    next(results)
    assert len(taken) <= 9
    results.close()
    assert len(taken) <= 9


def test_pages_are_decoded_in_other_threads(
    write_image: Write, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def decode(page: Page, size: int, tile: float | None) -> Failure:
        threads.add(current_thread().name)
        return Failure(page.path, None, "seen")

    monkeypatch.setattr(detecting, "_decode", decode)
    assert len(list(detect(network, [Page(write_image("a.png"), "a", (100, 200))] * 5))) == 5
    assert threads
    assert all(name.startswith("decode") for name in threads)


def test_a_long_pdf_is_opened_anew_now_and_then(
    write_pdf: Write, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "RENEWED", 2)
    closed: list[Path] = []
    monkeypatch.setattr(pdf, "close_pdf", closed.append)
    file = write_pdf("a.pdf", *[None] * 5)
    assert len(list(detect(network, read_pages([Document(file, "a")])))) == 5
    assert closed == [file] * 2


def test_documents_are_opened_once_or_twice_however_far_ahead_is_read(
    write_pdf: Write, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    class Counted(pypdfium2.PdfDocument):  # type: ignore[misc]
        def __init__(self, file: Path) -> None:
            opened.append(file)
            super().__init__(file)

    monkeypatch.setattr(pypdfium2, "PdfDocument", Counted)
    monkeypatch.setattr(detecting, "cores", lambda: 2)
    documents = [Document(write_pdf(f"{i}.pdf", *[None] * 3), str(i)) for i in range(8)]
    assert len(list(detect(network, read_pages(documents), batch_size=4))) == 24
    assert max(opened.count(document.path) for document in documents) <= 2


def test_tables_too_small_for_the_network_are_found_in_tiles(tmp_path: Path, network_of_many: Any) -> None:
    """Two small ones, of which the second is cut by a tile, and one that is larger than a tile."""
    boxes = [(40, 50, 90, 80), (800, 60, 1100, 110), (100, 1100, 2100, 1250)]
    sheet = Image.new("L", (3000, 1500), 255)
    for box in boxes:
        sheet.paste(0, box)
    sheet.save(tmp_path / "sheet.png")
    small = Image.new("L", (500, 400), 255)
    small.paste(0, (50, 60, 150, 260))
    small.save(tmp_path / "small.png")
    pages = [page for page in read_pages(find_documents([tmp_path])) if isinstance(page, Page)]
    whole, same = detect(network_of_many, pages)
    assert len(whole) == 1
    network_of_many.batches.clear()
    tiled, untiled = detect(network_of_many, pages, tile=1000, batch_size=4)
    assert network_of_many.batches == [4, 4, 2]  # of the sheet 1 + 4 * 2, and the small page
    np.testing.assert_allclose(sorted(tiled.boxes.tolist()), sorted(boxes), atol=3)
    np.testing.assert_array_equal(untiled.boxes, same.boxes)


def test_a_pdf_in_tiles_has_boxes_in_points(write_pdf: Write, network_of_many: Any) -> None:
    file = write_pdf("a.pdf", (300, 900, 40, 20), None, (700, 20, 500, 30), media=(0, 0, 1300, 1000))
    first, second, third = detect(network_of_many, read_pages([Document(file, "a")]), 3, tile=500)
    np.testing.assert_allclose(first.pdf_boxes, [[300, 900, 340, 920]], atol=1.5)
    assert len(second) == 0
    np.testing.assert_allclose(third.pdf_boxes, [[700, 20, 1200, 50]], atol=1.5)


def test_tiles_keep_the_order_of_pages_and_failures(write_image: Write, network_of_many: Any) -> None:
    sizes = [(100, 200), (900, 700), (50, 60), (1600, 300), (100, 100)]
    files = [write_image(f"{i}.png", (20, 20, 45, 50), size) for i, size in enumerate(sizes)]
    gone = Failure(Path("gone.pdf"), None, "broken PDF")
    pages = [gone, *(Page(file, "a", size) for file, size in zip(files, sizes, strict=True)), gone]
    results = list(detect(network_of_many, pages, batch_size=3, tile=400))
    assert [result.path.name for result in results] == [
        "gone.pdf", *(file.name for file in files), "gone.pdf"
    ]  # fmt: skip
    assert [len(result) for result in results if isinstance(result, FoundPage)] == [1] * 5


def test_a_page_of_too_many_tiles_is_a_failure(write_image: Write, network: Any) -> None:
    (failure,) = detect(network, [Page(write_image("a.png"), "a", (100, 200))], tile=1)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("--tile: ")


def test_finds_below_the_threshold_are_left_out(write_image: Write, network: Any) -> None:
    pages = [Page(write_image("a.png"), "a", (100, 200))]
    counts = [len(next(detect(network, pages, threshold=threshold))) for threshold in (None, 0.8, 0.81)]
    assert counts == [1, 1, 0]  # the score is .8 in the precision of the network


def test_the_network_sees_what_it_was_trained_on(
    tmp_path: Path, write_pdf: Write, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tablesense.data.batches import PageDataset

    write_pdf("a.pdf", (60, 100, 120, 80))
    write_image("b.png", (50, 60, 150, 260), (900, 700))
    pages = [page for page in read_pages(find_documents([tmp_path])) if isinstance(page, Page)]
    seen: list[Any] = []

    class Stop(Exception):
        pass

    class Looks:
        image_size, class_names, threshold = 96, ("table",), 0.5

        def __call__(self, *batch: Any) -> Any:
            seen.extend(batch)
            raise Stop

    with pytest.raises(Stop):
        list(detect(Looks(), pages))
    data = PageDataset(pages, ["table"], 96, "none")
    batch = collate([data[i] for i in range(2)])
    assert torch.equal(torch.from_numpy(seen[0]), batch["pixel_values"])
    assert torch.equal(torch.from_numpy(seen[1]), batch["pixel_mask"])
    assert seen[2].tolist() == [[300, 400], [900, 700]]
