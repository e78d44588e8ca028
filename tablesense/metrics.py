"""How well tables are found: F1 at a fixed threshold, cTDaR, TableBank and COCO.

Every metric takes torchmetrics' detection format, one dict a page: predictions with ``boxes`` (n, 4),
``scores`` (n,) in 0..1 and ``labels`` (n,), truths with ``boxes`` (m, 4) and ``labels`` (m,). Boxes are xyxy
in pixels of the page. Every metric returns a dict of scalars in 0..1 and leaves out what is undefined, so
that neither -1 nor NaN ever reaches a checkpoint's or a sweep's comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn.functional import pad
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou  # type: ignore[import-untyped, unused-ignore]

__all__ = ["CTDaRWeightedF1", "CocoMAP", "DetectionF1", "TableBankAreaF1", "covered_areas", "match"]

Page = Mapping[str, Tensor]
"""The boxes of one page, predicted or true, under the keys that the module's docstring names."""


def match(
    boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor, iou_thresholds: Tensor
) -> Tensor:
    """Give the predictions of one page their tables, at several IoU thresholds at once.

    Greedy and one to one, as in COCOeval.evaluateImg: each prediction, best score first, takes the free truth
    of its class that it overlaps most, if that reaches the threshold; of equal overlaps the later truth.

    Args:
        boxes: predictions, float64 (n, 4), best score first.
        labels: their classes (n,).
        true_boxes: float64 (m, 4).
        true_labels: their classes (m,).
        iou_thresholds: float64 (t,), each over 0 and at most 1.

    Returns:
        int64 (t, n), the index of the truth that each prediction finds at each threshold, or -1.

    Example:
        >>> table, label = torch.tensor([[0.0, 0.0, 100.0, 100.0]]).double(), torch.tensor([0])
        >>> found = torch.tensor([[0.0, 0.0, 100.0, 80.0], [0.0, 0.0, 100.0, 95.0]]).double()
        >>> match(found, label.expand(2), table, label, torch.tensor([0.8, 0.9, 0.96]).double())
        tensor([[ 0, -1],
                [-1,  0],
                [-1, -1]])
    """
    iou = box_iou(boxes, true_boxes)  # (n, m); NaN, which reaches no threshold, for two boxes without area
    iou = iou.masked_fill(labels[:, None] != true_labels, 0)
    # A first column, never used up, stands for "no truth": argmax falls back on it, also when m is 0. The
    # truths are reversed because argmax takes the first of equal values and COCO the last.
    iou = pad(iou.flip(1), (1, 0))  # (n, 1 + m)
    rows = torch.arange(len(iou_thresholds))
    free = torch.ones(len(rows), iou.shape[1], dtype=torch.bool)  # (t, 1 + m)
    taken = torch.zeros(len(rows), len(iou), dtype=torch.long)  # (t, n), columns of `free`
    for i, overlap in enumerate(iou):
        reachable = free & (overlap >= iou_thresholds[:, None])
        taken[:, i] = torch.where(reachable, overlap, 0).argmax(dim=1)
        free[rows, taken[:, i]] = False
    return torch.where(taken > 0, len(true_boxes) - taken, -1)


def covered_areas(boxes: Tensor, true_boxes: Tensor) -> Tensor:
    """Measure the regions that two sets of boxes cover, counting an overlap within a set once.

    Exact: all edges together cut the page into a grid, and a cell is either wholly inside a box or outside.

    Args:
        boxes: float64 (n, 4).
        true_boxes: float64 (m, 4).

    Returns:
        float64 (3,), square pixels: covered by both sets, by ``boxes``, by ``true_boxes``.

    Example:
        >>> twice = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0]]).double()
        >>> covered_areas(twice, torch.tensor([[0.0, 0.0, 30.0, 5.0]]).double())
        tensor([ 75., 150., 150.], dtype=torch.float64)
    """
    edges = torch.cat([boxes, true_boxes])
    xs, ys = (torch.unique(edges[:, axis::2]) for axis in (0, 1))

    def inside(sides: Tensor) -> Tensor:
        x1, y1, x2, y2 = sides[:, :, None].unbind(1)  # (n, 1) each
        columns = (x1 <= xs[:-1]) & (xs[1:] <= x2)  # (n, cells across)
        rows = (y1 <= ys[:-1]) & (ys[1:] <= y2)  # (n, cells down)
        return torch.matmul(rows.T.double(), columns.double()).bool()  # (cells down, cells across)

    cells = (ys[1:] - ys[:-1])[:, None] * (xs[1:] - xs[:-1])
    predicted, true = inside(boxes), inside(true_boxes)
    return torch.stack([cells[region].sum() for region in (predicted & true, predicted, true)])


def _read_truth(page: Page) -> tuple[Tensor, Tensor]:
    """Bring boxes (m, 4) and labels (m,) to the CPU in float64 and int64; no boxes may have any shape."""
    boxes = page["boxes"].cpu().double().reshape(-1, 4)
    # A box that is not finite covers nothing, and so stays what it is: a false positive.
    boxes = torch.where(boxes.isfinite().all(dim=1, keepdim=True), boxes, 0)
    return boxes, page["labels"].cpu().long()


def _read_prediction(page: Page, score_threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Read boxes, labels and scores at or over the threshold, best first; a score of NaN is under any."""
    boxes, labels = _read_truth(page)
    scores = page["scores"].cpu()
    order = scores.argsort(descending=True, stable=True)
    # compared in the model's own precision, where float32's .7 reaches a threshold of .7
    order = order[scores[order] >= score_threshold]
    return boxes[order], labels[order], scores[order].double()


def _precision_recall_f1(sums: Tensor) -> dict[str, Tensor]:
    """Divide sums (3, ...) of what is common, predicted and true; a ratio over nothing is left out."""
    common, predicted, true = sums.to(torch.float32 if sums.is_mps else torch.float64)
    wholes = {"f1": (predicted + true) / 2, "precision": predicted, "recall": true}
    return {name: common / whole for name, whole in wholes.items() if whole.all()}


class _PageSums(Metric):
    """Adds up, over pages, what is common to prediction and truth, what is predicted and what is true.

    The sums are integers: they are the same in whatever order pages arrive and processes are joined, and they
    live on any device (MPS has no float64).
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    sums: Tensor

    def __init__(self, score_threshold: float, shape: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold: expected a number from 0 to 1, found {score_threshold}")
        self.score_threshold = score_threshold
        self.add_state("sums", torch.zeros(3, *shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Page], target: Sequence[Page]) -> None:
        """Add pages: ``preds[i]`` is what was found on the page whose tables are ``target[i]``.

        Raises:
            ValueError: when there are not as many predictions as targets.
        """
        for page, truth in zip(preds, target, strict=True):
            boxes, labels, _ = _read_prediction(page, self.score_threshold)
            self.sums += self._measure(boxes, labels, *_read_truth(truth)).to(self.sums.device)

    def _measure(self, boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor) -> Tensor:
        raise NotImplementedError


class _MatchF1(_PageSums):
    """Counts the tables that are matched, predicted and true, one column for each IoU threshold."""

    def __init__(self, score_threshold: float, iou_thresholds: tuple[float, ...], **kwargs: Any) -> None:
        super().__init__(score_threshold, (len(iou_thresholds),), **kwargs)
        self.iou_thresholds = iou_thresholds

    def _measure(self, boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor) -> Tensor:
        thresholds = torch.tensor(self.iou_thresholds, dtype=torch.float64)
        matched = (match(boxes, labels, true_boxes, true_labels, thresholds) >= 0).sum(dim=1)
        predicted, true = (torch.full_like(matched, len(each)) for each in (boxes, true_boxes))
        return torch.stack([matched, predicted, true])


class DetectionF1(_MatchF1):
    """Precision, recall and F1 of detection at one score and one IoU threshold, over all pages and classes.

    A prediction counts when its score is at or over the threshold; it is right when it is matched to a truth
    of its class (see :func:`match`). A page without tables counts: whatever is found there is wrong.

    ``compute`` returns ``f1`` = 2TP / (2TP + FP + FN), ``precision`` (left out when nothing was predicted)
    and ``recall`` (left out when there was no table); ``f1`` is left out when there was neither.

    Args:
        score_threshold: 0 to 1.
        iou_threshold: over 0, at most 1.
        kwargs: torchmetrics.Metric's own.

    Raises:
        ValueError: when a threshold is out of its range.

    Example:
        >>> metric = DetectionF1()
        >>> boxes = torch.tensor([[0.0, 0.0, 100.0, 90.0], [0.0, 200.0, 50.0, 250.0], [9.0, 9.0, 99.0, 99.0]])
        >>> page = {"boxes": boxes, "scores": torch.tensor([0.9, 0.6, 0.4]), "labels": torch.zeros(3)}
        >>> truth = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([0])}
        >>> metric.update([page], [truth])
        >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
        {'f1': 0.6667, 'precision': 0.5, 'recall': 1.0}
    """

    def __init__(self, score_threshold: float = 0.5, iou_threshold: float = 0.5, **kwargs: Any) -> None:
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"iou_threshold: expected a number over 0 and at most 1, found {iou_threshold}")
        super().__init__(score_threshold, (iou_threshold,), **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """Return ``f1``, ``precision`` and ``recall``, as far as each is defined."""
        return _precision_recall_f1(self.sums[:, 0])


class CTDaRWeightedF1(_MatchF1):
    """The score of ICDAR 2019 cTDaR track A: F1 at IoU .6 .7 .8 .9, and their mean weighted by the IoU.

    ``compute`` returns ``wf1`` and ``f1_60`` to ``f1_90``, or nothing when there was no table and none was
    predicted, where the original divides by zero. Counts are summed over all pages first, as there.

    The original (github.com/cndplab-founder/ctdar_measurement_tool) has no scores: it walks the truths in
    file order and gives each the first prediction left whose IoU is at or over the threshold, even if that
    prediction fits another truth better. Here the matching is COCO's (see :func:`match`), because the
    result should hang on the scores, not on the order of a file. Both count the same wherever the true tables
    of a page do not overlap, because a box can have an IoU over .5 with only one of them.

    Its polygons are boxes here, and its choice of which detections to submit is ``score_threshold``, which
    is therefore part of the result.

    Reference: Gao et al., "ICDAR 2019 Competition on Table Detection and Recognition (cTDaR)", ICDAR 2019.

    Args:
        score_threshold: 0 to 1.
        kwargs: torchmetrics.Metric's own.

    Raises:
        ValueError: when the threshold is out of its range.

    Example:
        >>> metric = CTDaRWeightedF1()
        >>> found = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 85.0]]), "scores": torch.tensor([0.9])}
        >>> truth = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([0])}
        >>> metric.update([{**found, "labels": torch.tensor([0])}], [truth])
        >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
        {'wf1': 0.7, 'f1_60': 1.0, 'f1_70': 1.0, 'f1_80': 1.0, 'f1_90': 0.0}
    """

    def __init__(self, score_threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(score_threshold, (0.6, 0.7, 0.8, 0.9), **kwargs)

    def compute(self) -> dict[str, Tensor]:
        """Return ``wf1`` and the F1 at each threshold, or nothing."""
        ratios = _precision_recall_f1(self.sums)
        if "f1" not in ratios:
            return {}
        f1 = ratios["f1"]
        weights = f1.new_tensor(self.iou_thresholds)
        each = {f"f1_{100 * iou:.0f}": value for iou, value in zip(self.iou_thresholds, f1, strict=True)}
        return {"wf1": (weights * f1).sum() / weights.sum(), **each}


class TableBankAreaF1(_PageSums):
    """Precision, recall and F1 by area, as TableBank reports them.

    Over all pages together: the area of truth inside detections, over the area of all detections
    (``precision``) and over the area of all truth (``recall``); ``f1`` is their harmonic mean. Left out, as
    in :class:`DetectionF1`, is what would divide by zero.

    The paper adds up areas box by box, by which overlapping detections of one table count it several times
    and recall can pass 1. Here an area is that of the region which a page's boxes cover together (see
    :func:`covered_areas`), so that a page's precision and recall stay within 1; without overlaps
    the two agree. A region belongs to its class: truth of another class is not in it.

    Reference: Li et al., "TableBank: Table Benchmark for Image-based Table Detection and Recognition", LREC
    2020, after Gilani et al., "Table Detection Using Deep Learning", ICDAR 2017.

    Args:
        score_threshold: 0 to 1.
        kwargs: torchmetrics.Metric's own.

    Raises:
        ValueError: when the threshold is out of its range.

    Example:
        >>> metric = TableBankAreaF1()
        >>> found = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 50.0]]), "scores": torch.tensor([0.9])}
        >>> truth = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([0])}
        >>> metric.update([{**found, "labels": torch.tensor([0])}], [truth])
        >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
        {'f1': 0.6667, 'precision': 1.0, 'recall': 0.5}
    """

    # Square pixels are summed in units of 2**-20: int64 then holds a million A4 pages at 300 dpi.
    _UNITS_PER_PIXEL = 2**20

    def __init__(self, score_threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(score_threshold, (), **kwargs)

    def _measure(self, boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor) -> Tensor:
        areas = torch.zeros(3, dtype=torch.float64)
        for label in torch.unique(torch.cat([labels, true_labels])):
            areas += covered_areas(boxes[labels == label], true_boxes[true_labels == label])
        return (areas * self._UNITS_PER_PIXEL).round().long()

    def compute(self) -> dict[str, Tensor]:
        """Return ``f1``, ``precision`` and ``recall``, as far as each is defined."""
        return _precision_recall_f1(self.sums)


class CocoMAP(MeanAveragePrecision):
    """COCO's mean average precision over classes, by pycocotools, without a word on the terminal.

    ``compute`` returns ``map`` (IoU .50 to .95), ``map_50`` and ``map_75``; each is left out where COCO has
    -1, that is when no table was seen. As in COCO the 100 best predictions of a page count for each class,
    and of equal scores on two pages the one seen first ranks higher.

    Pages are kept, on the CPU, until ``reset``. Processes exchange them in one message: torchmetrics' own
    exchange goes page by page, and breaks when one process has more pages than another.

    Args:
        kwargs: torchmetrics.Metric's own.

    Example:
        >>> metric = CocoMAP()
        >>> found = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 80.0]]), "scores": torch.tensor([0.9])}
        >>> truth = {"boxes": torch.tensor([[0.0, 0.0, 100.0, 100.0]]), "labels": torch.tensor([0])}
        >>> metric.update([{**found, "labels": torch.tensor([0])}], [truth])
        >>> metric.compute()
        {'map': tensor(0.7000), 'map_50': tensor(1.), 'map_75': tensor(1.)}
    """

    full_state_update = False

    def __init__(self, **kwargs: Any) -> None:
        # compute_on_cpu brings earlier pages back after the module has moved to another device
        super().__init__(
            # pycocotools' own thresholds: torchmetrics makes them in float32, where an IoU of .8 misses .8
            iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
            rec_thresholds=np.linspace(0, 1, 101).tolist(),
            backend="pycocotools",
            **{"compute_on_cpu": True, **kwargs},
        )
        self.warn_on_many_detections = False

    def update(self, preds: Sequence[Page], target: Sequence[Page]) -> None:
        """Add pages: ``preds[i]`` is what was found on the page whose tables are ``target[i]``.

        Raises:
            ValueError: when there are not as many predictions as targets.
        """
        found = (_read_prediction(page, float("-inf")) for page in preds)
        true = (_read_truth(page) for page in target)
        super().update(
            [{"boxes": boxes, "labels": labels, "scores": scores} for boxes, labels, scores in found],
            [{"boxes": boxes, "labels": labels} for boxes, labels in true],
        )

    def compute(self) -> dict[str, Tensor]:
        """Return ``map``, ``map_50`` and ``map_75``, as far as each is defined."""
        result = super().compute()
        values = {name: result[name].squeeze() for name in ("map", "map_50", "map_75")}
        return {name: value for name, value in values.items() if value >= 0}

    def _sync_dist(self, dist_sync_fn: Any = None, process_group: Any = None) -> None:
        group = process_group or self.process_group
        pages = {name: [page.cpu() for page in getattr(self, name)] for name in self._defaults}
        gathered: list[Any] = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(gathered, pages, group)
        for name in pages:
            setattr(self, name, [page for process in gathered for page in process[name]])
