"""tablesense.metrics against its anchors, brute force, pycocotools and two processes."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, distributed
from torchmetrics import Metric
from torchvision.ops import box_iou

from tablesense.metrics import CocoMAP, CTDaRWeightedF1, DetectionF1, TableBankAreaF1

Page = dict[str, Tensor]
METRICS: list[type[Metric]] = [DetectionF1, CTDaRWeightedF1, TableBankAreaF1, CocoMAP]
EMPTY = torch.zeros(0, 4)


def truth(*boxes: tuple[float, ...], label: int = 0) -> Page:
    return {"boxes": torch.tensor(boxes).reshape(-1, 4).float(), "labels": torch.full((len(boxes),), label)}


def found(*boxes: tuple[float, ...], scores: tuple[float, ...] = (), label: int = 0) -> Page:
    return {**truth(*boxes, label=label), "scores": torch.tensor(scores or [0.9] * len(boxes))}


def score(metric: Metric, preds: list[Page], target: list[Page]) -> dict[str, float]:
    metric.update(preds, target)
    return {name: value.item() for name, value in metric.compute().items()}


# Pages whose figures were worked out by hand and with the original tools
TABLES_FOUND = [
    found((100, 100, 500, 310), (100, 420, 500, 600), (520, 100, 600, 200)),
    found((60, 60, 550, 330)),
    found(),
]
TABLES = [
    truth((100, 100, 500, 300), (100, 400, 500, 600)),
    truth((50, 50, 550, 350)),
    truth((50, 50, 250, 150)),
]
MAP_FOUND = found((0, 0, 100, 100), (200, 0, 300, 100), (0, 200, 50, 250), scores=(0.9, 0.8, 0.7))
MAP_TRUTH = truth((0, 0, 100, 90), (200, 0, 300, 100))


def random_pages(
    seed: int, count: int, classes: int = 2, disjoint: bool = False
) -> tuple[list[Page], list[Page]]:
    """Small integer boxes, so that equal scores, equal IoUs and IoUs on a threshold are common."""
    generator = np.random.default_rng(seed)

    def page() -> tuple[Page, Page]:
        n, m = generator.integers(0, 7), generator.integers(0, 5)
        corners = generator.integers(0, 8, (m, 2))
        if disjoint:  # each table in a strip of its own
            corners[:, 0] = 20 * generator.permutation(m)
        true = np.concatenate([corners, corners + generator.integers(2, 12, (m, 2))], axis=1)
        near = true[generator.integers(0, m, n)] if m else np.tile([0, 0, 9, 9], (int(n), 1))
        boxes = near + generator.integers(-1, 2, (n, 4)) * generator.integers(0, 2, (n, 1))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        scores = generator.integers(1, 10, n) / 10
        labels, true_labels = generator.integers(0, classes, n), generator.integers(0, classes, m)
        return (
            {
                "boxes": torch.tensor(boxes).float(),
                "scores": torch.tensor(scores).float(),
                "labels": torch.tensor(labels),
            },
            {"boxes": torch.tensor(true).float(), "labels": torch.tensor(true_labels)},
        )

    preds, target = zip(*(page() for _ in range(count)), strict=True)
    return list(preds), list(target)


# --- the anchors


def test_detection_f1_of_the_anchor() -> None:
    assert score(DetectionF1(), TABLES_FOUND, TABLES) == {"f1": 0.75, "precision": 0.75, "recall": 0.75}
    at_90 = score(DetectionF1(iou_threshold=0.9), TABLES_FOUND, TABLES)  # the second pair's IoU is .9 exactly
    assert at_90 == {"f1": 0.5, "precision": 0.5, "recall": 0.5}


def test_ctdar_weighted_f1_of_the_anchor() -> None:
    result = score(CTDaRWeightedF1(), TABLES_FOUND, TABLES)
    assert result.pop("wf1") == pytest.approx(0.675, abs=1e-7)
    assert result == {"f1_60": 0.75, "f1_70": 0.75, "f1_80": 0.75, "f1_90": 0.5}


def test_tablebank_area_f1_of_the_anchor() -> None:
    result = score(TableBankAreaF1(), TABLES_FOUND, TABLES)
    assert {name: round(value, 6) for name, value in result.items()} == {
        "f1": 0.907872,
        "precision": 0.959501,
        "recall": 0.861515,
    }


def test_map_of_the_anchor(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    result = score(CocoMAP(), [MAP_FOUND], [MAP_TRUTH])
    assert {name: round(value, 4) for name, value in result.items()} == {
        "map": 0.9252,
        "map_50": 1,
        "map_75": 1,
    }
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


# --- what is undefined, and pages without tables


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("empty", [EMPTY, torch.zeros(0)], ids=["0x4", "0"])
def test_no_table_and_none_predicted_defines_nothing(metric: type[Metric], empty: Tensor) -> None:
    nothing = torch.zeros(0)
    page = {"boxes": empty, "scores": nothing, "labels": nothing}
    assert score(metric(), [page], [{"boxes": empty, "labels": nothing}]) == {}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (DetectionF1, {"f1": 0, "precision": 0}),
        (CTDaRWeightedF1, {"wf1": 0, "f1_60": 0, "f1_70": 0, "f1_80": 0, "f1_90": 0}),
        (TableBankAreaF1, {"f1": 0, "precision": 0}),
        (CocoMAP, {}),
    ],
)
def test_predictions_without_any_table(metric: type[Metric], expected: dict[str, float]) -> None:
    assert score(metric(), [found((0, 0, 9, 9))], [truth()]) == expected


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (DetectionF1, {"f1": 0, "recall": 0}),
        (CTDaRWeightedF1, {"wf1": 0, "f1_60": 0, "f1_70": 0, "f1_80": 0, "f1_90": 0}),
        (TableBankAreaF1, {"f1": 0, "recall": 0}),
        (CocoMAP, {"map": 0, "map_50": 0, "map_75": 0}),
    ],
)
def test_tables_without_any_prediction(metric: type[Metric], expected: dict[str, float]) -> None:
    assert score(metric(), [found()], [truth((0, 0, 9, 9))]) == expected


def test_false_positives_on_a_page_without_tables_count() -> None:
    box = (0, 0, 10, 10)
    preds, target = [found(box), found(box)], [truth(box), truth()]
    third = pytest.approx(2 / 3)
    assert score(DetectionF1(), preds, target) == {"f1": third, "precision": 0.5, "recall": 1}
    assert score(TableBankAreaF1(), preds, target) == {"f1": third, "precision": 0.5, "recall": 1}
    assert score(CTDaRWeightedF1(), preds, target)["wf1"] == third


# --- thresholds, classes, unusual input


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_score_on_the_threshold_counts(dtype: torch.dtype) -> None:
    box = (0, 0, 16, 16)
    page = {name: tensor.to(dtype) for name, tensor in found(box, scores=(0.7,)).items()}
    assert score(DetectionF1(score_threshold=0.7), [page], [truth(box)])["f1"] == 1
    page["scores"] = torch.full((1,), 0.69, dtype=dtype)
    assert score(DetectionF1(score_threshold=0.7), [page], [truth(box)])["f1"] == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("metric", METRICS)
def test_half_precision_predictions(metric: type[Metric], dtype: torch.dtype) -> None:
    preds, target = random_pages(seed=5, count=20)
    for page in preds:
        page["scores"] = page["scores"].to(dtype)
    half = [{**page, "boxes": page["boxes"].to(dtype)} for page in preds]  # small integers: exact in both
    assert score(metric(), half, target) == score(metric(), preds, target)


@pytest.mark.parametrize("metric", METRICS)
def test_a_class_confused_is_not_found(metric: type[Metric]) -> None:
    box = (0, 0, 10, 10)
    confused = score(metric(), [found(box, label=1)], [truth(box, label=0)])
    assert confused
    assert set(confused.values()) == {0}


@pytest.mark.parametrize("metric", METRICS)
def test_boxes_that_are_not_finite_find_nothing(metric: type[Metric]) -> None:
    box, inf, nan = (0, 0, 10, 10), float("inf"), float("nan")
    broken = found((nan, 0, 10, 10), (0, 0, inf, inf), box, scores=(0.9, 0.8, nan))
    result = score(metric(), [broken], [truth(box)])
    assert set(result) >= set(score(metric(), [found()], [truth(box)]))
    assert set(result.values()) == {0}


def test_thresholds_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="score_threshold: expected a number from 0 to 1, found 50"):
        TableBankAreaF1(score_threshold=50)
    with pytest.raises(ValueError, match="iou_threshold: expected a number over 0 and at most 1, found 0"):
        DetectionF1(iou_threshold=0)


@pytest.mark.parametrize("metric", METRICS)
def test_boxes_without_area_define_no_nan(metric: type[Metric]) -> None:
    point = (5, 5, 5, 5)
    assert set(score(metric(), [found(point)], [truth(point)]).values()) <= {0}


@pytest.mark.parametrize("metric", METRICS)
def test_unequal_numbers_of_pages_are_refused(metric: type[Metric]) -> None:
    with pytest.raises(ValueError, match=r"length|shorter"):
        metric().update([found(), found()], [truth()])


# --- against references


def evaluate_with_pycocotools(preds: list[Page], target: list[Page]) -> COCOeval:
    def dataset(pages: list[Page]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(pages))],
            "categories": [{"id": 0}, {"id": 1}],
            "annotations": [
                {
                    "image_id": i,
                    "category_id": page["labels"][k].item(),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "score": page.get("scores", page["labels"])[k].item(),
                }
                for i, page in enumerate(pages)
                for k, (x1, y1, x2, y2) in enumerate(page["boxes"].tolist())
            ],
        }
        for number, annotation in enumerate(coco.dataset["annotations"], start=1):
            annotation["id"] = number
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(dataset(target), dataset(preds), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_matches_and_map_are_those_of_pycocotools() -> None:
    preds, target = random_pages(seed=0, count=200)
    evaluation = evaluate_with_pycocotools(preds, target)
    every_area = [
        page for page in evaluation.evalImgs if page and page["aRng"] == evaluation.params.areaRng[0]
    ]
    matched = sum((page["dtMatches"] > 0).sum(axis=1) for page in every_area)  # at IoU .50, .55 ... .95
    boxes = sum(len(page["labels"]) for page in preds + target)

    for iou_threshold, true_positives in zip(evaluation.params.iouThrs, matched, strict=True):
        metric = DetectionF1(score_threshold=0, iou_threshold=float(iou_threshold))
        assert score(metric, preds, target)["f1"] == pytest.approx(2 * true_positives / boxes)
    assert score(CocoMAP(), preds, target) == pytest.approx(
        dict(zip(("map", "map_50", "map_75"), evaluation.stats, strict=False)), abs=1e-7
    )


def test_of_equal_overlaps_the_later_truth_is_taken_as_in_coco() -> None:
    # The first prediction fits both tables equally, the second reaches .8 only with the upper one.
    page = found((0, 0, 10, 10), (0, 0, 10, 8), scores=(0.9, 0.8))
    upper, lower = (0, 0, 10, 9), (0, 1, 10, 10)
    for tables, expected in ((truth(upper, lower), 2), (truth(lower, upper), 1)):
        assert (evaluate_with_pycocotools([page], [tables]).evalImgs[0]["dtMatches"][6] > 0).sum() == expected
        assert score(DetectionF1(iou_threshold=0.8), [page], [tables])["recall"] == expected / 2


def f1_of_the_original_ctdar_tool(preds: list[Page], target: list[Page], iou_threshold: float) -> float:
    matched = 0
    for page, tables in zip(preds, target, strict=True):
        iou = box_iou(tables["boxes"].double(), page["boxes"].double())
        left = list(range(len(page["boxes"])))
        for overlaps in iou:
            first = next((k for k in left if overlaps[k] >= iou_threshold), None)
            if first is not None:
                left.remove(first)
                matched += 1
    return 2 * matched / sum(len(page["labels"]) for page in preds + target)


def test_ctdar_equals_the_original_on_tables_that_do_not_overlap() -> None:
    preds, target = random_pages(seed=1, count=200, classes=1, disjoint=True)
    result = score(CTDaRWeightedF1(score_threshold=0), preds, target)
    for iou_threshold in (0.6, 0.7, 0.8, 0.9):
        original = f1_of_the_original_ctdar_tool(preds, target, iou_threshold)
        assert result[f"f1_{iou_threshold * 100:.0f}"] == pytest.approx(original)
    assert 0.1 < result["f1_90"] < result["f1_60"] < 0.9


def test_ctdar_does_not_hang_on_the_order_of_a_page() -> None:
    # The first truth is fitted by both predictions, the second by the first prediction only.
    tables = ((0, 0, 100, 100), (0, 0, 100, 120))
    boxes = ((0, 0, 100, 112), (0, 0, 100, 90))
    expected = {"wf1": 1, "f1_60": 1, "f1_70": 1, "f1_80": 1, "f1_90": 1}
    for flip in (False, True):
        page, target = found(*boxes, scores=(0.9, 0.8)), truth(*tables)
        target["boxes"] = target["boxes"].flip(0) if flip else target["boxes"]
        assert score(CTDaRWeightedF1(), [page], [target]) == expected
    assert f1_of_the_original_ctdar_tool([page], [truth(*tables)], 0.8) == 0.5


def test_areas_are_those_of_the_pixels() -> None:
    preds, target = random_pages(seed=2, count=100)
    common = predicted = true = 0
    for page, tables in zip(preds, target, strict=True):
        for label in (0, 1):
            masks = np.zeros((2, 40, 40), bool)  # the boxes start at -1
            for mask, each in zip(masks, (page, tables), strict=True):
                for x1, y1, x2, y2 in each["boxes"][each["labels"] == label].long() + 1:
                    mask[y1:y2, x1:x2] = True
            common += (masks[0] & masks[1]).sum()
            predicted += masks[0].sum()
            true += masks[1].sum()
    assert score(TableBankAreaF1(score_threshold=0), preds, target) == pytest.approx(
        {"f1": 2 * common / (predicted + true), "precision": common / predicted, "recall": common / true}
    )


def test_overlapping_boxes_count_their_area_once() -> None:
    twice = found((0, 0, 10, 10), (0, 0, 10, 10), (5, 0, 10, 10))
    assert score(TableBankAreaF1(), [twice], [truth((0, 0, 10, 10))]) == {
        "f1": 1,
        "precision": 1,
        "recall": 1,
    }


# --- several batches, several processes


@pytest.mark.parametrize("metric", METRICS)
def test_merged_states_are_one_run(metric: type[Metric]) -> None:
    preds, target = random_pages(seed=3, count=40)
    first, second = metric(), metric()
    first.update(preds[:7], target[:7])
    for page, truth_ in zip(preds[7:], target[7:], strict=True):
        second([page], [truth_])
    second.merge_state(first)  # puts the pages of the first before those of the second
    assert score(second, [], []) == score(metric(), preds, target)


@pytest.mark.parametrize("metric", METRICS)
def test_reset_forgets_every_page(metric: type[Metric]) -> None:
    instance = metric()
    score(instance, TABLES_FOUND, TABLES)
    instance.reset()
    assert score(instance, [MAP_FOUND], [MAP_TRUTH]) == score(metric(), [MAP_FOUND], [MAP_TRUTH])


def scores_of_a_process(rank: int, store: str) -> list[dict[str, float]]:
    """Score, on two processes together, twelve pages of which the first has five."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(minutes=1)
    )
    try:
        preds, target = random_pages(seed=4, count=12)
        share = slice(5) if rank == 0 else slice(5, None)
        return [score(metric(), preds[share], target[share]) for metric in METRICS]
    finally:
        distributed.destroy_process_group()


def test_two_processes_with_unequal_shares_are_one(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with subprocess.Popen([sys.executable, __file__, store], stdout=subprocess.PIPE, text=True) as second:
        results = [scores_of_a_process(0, store), json.loads(second.communicate()[0])]
    preds, target = random_pages(seed=4, count=12)
    assert results == 2 * [[score(metric(), preds, target) for metric in METRICS]]


if __name__ == "__main__":  # the second process of the last test
    torch.set_num_threads(1)
    print(json.dumps(scores_of_a_process(1, sys.argv[1])))
