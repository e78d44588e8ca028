"""How well tables are found and where it fails: curves over the score threshold, and kinds of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tablesense.experiment.evaluation import ScoredPage
from tablesense.experiment.slices import Slice, ratios, slices
from tablesense.metrics import match

KINDS = {
    "missed": "a table on which nothing was found",
    "loose": "a table that was found, by a box that fits too badly",
    "split": "a table that was found in several pieces",
    "merged": "a table that was found together with another, in one box",
    "wrong class": "a table that was found as one of another class",
    "duplicate": "a find on a table that another find has already",
    "false": "a find where there is no table, on a page that has others",
    "false on an empty page": "a find on a page without tables",
}
"""The kinds of errors. The first five are tables that were not found, the last three finds that are wrong."""

CURVE_POINTS = 400
"""A curve has no more points than this, however many finds there are."""

_PART, _TOUCH = 0.5, 0.1


@dataclass(frozen=True)
class Analysis:
    """How well tables are found on some pages.

    Attributes:
        scores: Score thresholds, from high to low; the curves have a point for each.
        precision: At each threshold.
        recall: At each threshold.
        f1: At each threshold.
        fixed: Precision, recall and F1 at the threshold that is fixed for the run; None where one is not
            defined, as precision is without finds.
        best_threshold: Where F1 is highest; None where nothing was found.
        best_f1: F1 there.
        kinds: The errors of each page at the fixed threshold, by kind; see `KINDS`.
        slices: Parts of the tables, group by group.
    """

    scores: list[float]
    precision: list[float]
    recall: list[float]
    f1: list[float]
    fixed: tuple[float | None, float | None, float | None]
    best_threshold: float | None
    best_f1: float
    kinds: list[Counter[str]]
    slices: list[Slice]

    @property
    def errors(self) -> dict[str, int]:
        """All errors by kind, those that did not occur too."""
        total: Counter[str] = sum(self.kinds, Counter())
        return {kind: total[kind] for kind in KINDS}

    @property
    def page_errors(self) -> list[int]:
        """The number of errors of each page."""
        return [kinds.total() for kinds in self.kinds]

    def worst(self, number: int) -> list[int]:
        """The places of the pages with the most errors, worst first; pages without errors are not in it."""
        order = sorted(range(len(self.kinds)), key=lambda i: -self.page_errors[i])
        return [i for i in order[:number] if self.page_errors[i]]


def analyse(
    pages: Sequence[ScoredPage],
    class_names: Sequence[str],
    score_threshold: float,
    iou_threshold: float = 0.5,
) -> Analysis:
    """Compare what was found with the truth.

    Args:
        pages: The pages.
        class_names: In the order of the labels.
        score_threshold: The lowest score that counts as a find.
        iou_threshold: The lowest IoU of a find with its table.
    """
    thresholds = torch.tensor([iou_threshold], dtype=torch.float64)
    given = [
        match(page.found, page.found_labels, page.boxes, page.labels, thresholds)[0].tolist()
        for page in pages
    ]
    tables = sum(len(page.boxes) for page in pages)
    scores = torch.cat([page.scores for page in pages]) if pages else torch.zeros(0)
    right = torch.tensor([table >= 0 for of_page in given for table in of_page], dtype=torch.double)
    curve = _curve(scores, right, tables)
    kept = scores >= score_threshold
    fixed = ratios(float(right[kept].sum()), float(right[kept].sum()), int(kept.sum()), tables)
    best = max(range(len(curve[3])), key=curve[3].__getitem__, default=None)
    # Of the finds at the threshold: a find's table does not hang on finds with lower scores.
    counts = [int((page.scores >= score_threshold).sum()) for page in pages]
    kinds = [_kinds(page, table[:n]) for page, table, n in zip(pages, given, counts, strict=True)]
    return Analysis(
        *_thinned(curve, best),
        fixed=fixed,
        best_threshold=None if best is None else curve[0][best],
        best_f1=0.0 if best is None else curve[3][best],
        kinds=kinds,
        slices=list(slices(pages, class_names, [table[:n] for table, n in zip(given, counts, strict=True)])),
    )


Curve = tuple[list[float], list[float], list[float], list[float]]


def _curve(scores: Tensor, right: Tensor, tables: int) -> Curve:
    """Score thresholds from high to low with precision, recall and F1 at each."""
    order = scores.argsort(descending=True, stable=True)
    scores, right = scores[order], right[order].cumsum(0)
    found = torch.arange(1, len(scores) + 1, dtype=torch.double)
    last = torch.ones(len(scores), dtype=torch.bool)  # finds of one score are all in or all out
    last[:-1] = scores[1:] != scores[:-1]
    scores, right, found = scores[last], right[last], found[last]
    precision, recall = right / found, right / max(tables, 1)
    return scores.tolist(), precision.tolist(), recall.tolist(), (2 * right / (found + tables)).tolist()


def _thinned(curve: Curve, best: int | None) -> Curve:
    points = len(curve[0])
    if points <= CURVE_POINTS:
        return curve
    kept = {round(i * (points - 1) / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)} | {best or 0}
    scores, precision, recall, f1 = ([line[i] for i in sorted(kept)] for line in curve)
    return scores, precision, recall, f1


def _kinds(page: ScoredPage, given: Sequence[int]) -> Counter[str]:
    """The errors of one page.

    Args:
        page: The page.
        given: The table of each find that counts, or -1.
    """
    kinds: Counter[str] = Counter()
    if not len(page.boxes):
        kinds["false on an empty page"] = len(given)
        return kinds
    found, labels = page.found[: len(given)], page.found_labels[: len(given)]
    low = torch.maximum(found[:, None, :2], page.boxes[:, :2])
    high = torch.minimum(found[:, None, 2:], page.boxes[:, 2:])
    common = (high - low).clamp(min=0).prod(2)  # (finds, tables)
    of_find, of_table = ((box[:, 2:] - box[:, :2]).prod(1) for box in (found, page.boxes))
    inside, covered = common / of_find[:, None].clamp(min=1e-9), common / of_table.clamp(min=1e-9)
    iou = common / (of_find[:, None] + of_table - common).clamp(min=1e-9)

    matched = set(given) - {-1}
    merging = (covered >= _PART).sum(1) >= 2
    pieces: Counter[int] = Counter()
    confused = set()
    for i, table in enumerate(given):
        if table >= 0:
            continue
        nearest = int(iou[i].argmax())
        if iou[i, nearest] < _TOUCH and inside[i].max() < _PART and not merging[i]:
            kinds["false"] += 1
        elif nearest in matched:
            # One box over several tables tells of the tables that it merges, if any of them is not found.
            over = {int(k) for k in (covered[i] >= _PART).nonzero()}
            if not (merging[i] and over - matched):
                kinds["duplicate"] += 1
        elif labels[i] != page.labels[nearest] and iou[i, nearest] >= _PART:
            confused.add(nearest)
        else:
            pieces[nearest] += 1
    for table in range(len(page.boxes)):
        if table in matched:
            continue
        if table in confused:
            kinds["wrong class"] += 1
        elif bool((merging & (covered[:, table] >= _PART)).any()):
            kinds["merged"] += 1
        elif pieces[table] >= 2:
            kinds["split"] += 1
        elif pieces[table] == 1:
            kinds["loose"] += 1
        else:
            kinds["missed"] += 1
    return kinds
