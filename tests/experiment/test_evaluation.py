"""What was found, written in COCO's format and read back."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tablesense.data.batches import PageDataset, collate
from tablesense.data.page import Page
from tablesense.errors import UserError
from tablesense.experiment.evaluation import FOLDER, LOWEST, read_evaluation
from tablesense.experiment.recorder import PICTURE_SIZE, Recorder
from tablesense.metrics import CocoMAP

SIZE = (300, 400)


@pytest.fixture
def pages(tmp_path: Path) -> list[Page]:
    """Twenty pages with a table each, but for every fourth, and one landscape page."""
    Image.new("L", SIZE, 255).save(tmp_path / "page.png")
    Image.new("L", SIZE[::-1], 255).save(tmp_path / "wide.png")
    pages = [
        Page(
            tmp_path / "page.png",
            f"{i}",
            SIZE,
            ((10.0 + i, 20, 200, 300),) * bool(i % 4),
            ("table",) * bool(i % 4),
        )
        for i in range(20)
    ]
    return [*pages, Page(tmp_path / "wide.png", "wide", SIZE[::-1], ((20, 20, 300, 200),), ("table",))]


def batches(pages: list[Page]) -> list[dict]:
    dataset = PageDataset(pages, ["table"], 128, "none")
    return [collate([dataset[i], dataset[i + 1]]) for i in range(0, len(pages) - 1, 2)]


def finds(index: int) -> dict[str, torch.Tensor]:
    """Three finds: a good one, one that is off by more on each page, one that is not worth keeping."""
    boxes = torch.tensor([[12.0 + index, 22, 200, 300], [10.0, 20 + 9 * index, 250, 320], [0, 0, 50, 50]])
    scores = torch.tensor([0.9 - 0.01 * index, 0.7, LOWEST / 2])
    return {"boxes": boxes, "scores": scores, "labels": torch.zeros(3, dtype=torch.long)}


def record(folder: Path, pages: list[Page], pictures: int = 4, score_threshold: float = 0.5) -> Recorder:
    recorder = Recorder(folder, ["table"], score_threshold, pictures)
    recorder.begin(pages)
    for batch in batches(pages):
        recorder.add(batch, [finds(i) for i in batch["indices"]])
    recorder.end(1, {"val/f1": 0.3})
    return recorder


def test_pages_come_back_with_their_truth_and_finds(tmp_path: Path, pages: list[Page]) -> None:
    record(tmp_path, pages)
    read = read_evaluation(tmp_path, "best")
    assert len(read) == 20  # those that were seen
    for i, (page, scored) in enumerate(zip(pages, read, strict=False)):
        assert (scored.name, scored.size, scored.picture) == (page.name, page.size, None)
        assert scored.boxes.tolist() == [list(box) for box in page.boxes]
        kept = finds(i)
        assert torch.equal(scored.scores, kept["scores"][:2])
        assert torch.allclose(scored.found, kept["boxes"][:2].double())
        assert scored.found_labels.tolist() == [0, 0]


def test_all_finds_that_count_are_kept(tmp_path: Path, pages: list[Page]) -> None:
    recorder = record(tmp_path, pages, score_threshold=LOWEST / 5)
    assert recorder.number == 3 * 20
    for i, scored in enumerate(read_evaluation(tmp_path, "best")):
        assert torch.equal(scored.scores, finds(i)["scores"])


def test_pycocotools_scores_the_files_as_the_metric_does(tmp_path: Path, pages: list[Page]) -> None:
    record(tmp_path, pages)
    metric = CocoMAP()
    for i, page in enumerate(pages[:20]):
        truth = {
            "boxes": torch.tensor(page.boxes).reshape(-1, 4),
            "labels": torch.zeros(len(page.boxes)).long(),
        }
        found = {name: values[:2] for name, values in finds(i).items()}
        metric.update([found], [truth])
    with contextlib.redirect_stdout(io.StringIO()):
        truth_file, results = (str(tmp_path / FOLDER / name) for name in ("truth.json", "best.json"))
        coco = COCO(truth_file)
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0.1 < evaluation.stats[0] < 0.95
    assert evaluation.stats[0] == pytest.approx(float(metric.compute()["map"]), abs=1e-6)


def test_a_name_that_is_not_utf_8_can_be_written_wherever_it_is_shown(
    tmp_path: Path, pages: list[Page]
) -> None:
    odd = pages[0].path.rename(tmp_path / "\udcdcbersicht.png")
    record(tmp_path, [replace(page, path=odd) for page in pages[:-1]] + pages[-1:])
    assert read_evaluation(tmp_path, "best")[0].name.encode() == b"?bersicht.png"


def test_only_a_higher_f1_is_a_new_best_epoch(tmp_path: Path, pages: list[Page]) -> None:
    recorder = record(tmp_path, pages)
    assert recorder.whiches == ["best"]
    recorder.end(1, {"val/f1": 0.2})  # a second validation of the same epoch
    assert recorder.whiches == ["best", "last"]
    for epoch, f1 in (2, 0.2), (3, 0.4), (4, 0.4):
        recorder.begin(pages)
        for batch in batches(pages):
            recorder.add(batch, [finds(epoch) for _ in batch["indices"]])
        recorder.end(epoch, {"val/f1": f1} if epoch < 4 else {})
    info = json.loads((tmp_path / FOLDER / "info.json").read_text())
    assert (info["best"]["epoch"], info["last"]["epoch"]) == (3, 4)
    assert recorder.whiches == ["best", "last"]
    best, last = (
        [page.scores.tolist() for page in read_evaluation(tmp_path, which)] for which in ("best", "last")
    )
    assert best[0] == finds(3)["scores"][:2].tolist()
    assert last[0] == finds(4)["scores"][:2].tolist()


def test_fixed_and_worst_pages_are_kept_as_pictures(tmp_path: Path, pages: list[Page]) -> None:
    shown = record(tmp_path, pages, pictures=4).finish()
    (read, analysis) = shown["best"]
    fixed = [page for page in read if page.fixed]
    assert [bool(len(page.boxes)) for page in fixed].count(True) == 3
    assert len(fixed) == 4
    worst = [read[i] for i in analysis.worst(4)]
    for page in fixed + worst:
        assert page.picture is not None
        with Image.open(page.picture) as picture:
            assert max(picture.size) == PICTURE_SIZE
    assert len(list((tmp_path / FOLDER / "pages").iterdir())) <= 8


def test_a_validation_that_is_cut_short_takes_nothing_from_the_one_before(
    tmp_path: Path, pages: list[Page]
) -> None:
    recorder = record(tmp_path, pages)
    before = [page.scores.tolist() for page in read_evaluation(tmp_path, "best")]
    recorder.begin(pages)
    batch = batches(pages)[0]
    recorder.add(batch, [finds(i) for i in batch["indices"]])
    recorder.finish()
    assert [page.scores.tolist() for page in read_evaluation(tmp_path, "best")] == before
    assert len(before) == 20


def test_without_pictures_there_is_the_analysis_alone(tmp_path: Path, pages: list[Page]) -> None:
    shown = record(tmp_path, pages, pictures=0).finish()
    assert shown["best"][1].scores
    assert not (tmp_path / FOLDER / "pages").exists()


def test_files_that_are_broken_or_missing_are_one_clear_line(tmp_path: Path, pages: list[Page]) -> None:
    with pytest.raises(UserError, match="what the run found cannot be read"):
        read_evaluation(tmp_path, "best")
    record(tmp_path, pages)
    (tmp_path / FOLDER / "best.json").write_text("[{}]")
    with pytest.raises(UserError, match="what the run found cannot be read: 'image_id'"):
        read_evaluation(tmp_path, "best")
