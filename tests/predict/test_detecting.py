"""From pages to finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import current_thread
from typing import Any

import numpy as np
import pytest
import torch

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

    def decode(page: Page, size: int) -> Failure:
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
    closed: list[int] = []
    monkeypatch.setattr(pdf, "close_pdf", lambda: closed.append(1))
    pages = read_pages([Document(write_pdf("a.pdf", *[None] * 5), "a")])
    assert len(list(detect(network, pages))) == 5
    assert len(closed) == 2


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
