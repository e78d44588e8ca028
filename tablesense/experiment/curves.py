"""Which curves of a training are shown, in the order in which a person asks, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tablesense.experiment.charts import Figure, colour, line, plot
from tablesense.experiment.recorded import Run, Series
from tablesense.experiment.summary import SCORES


@dataclass(frozen=True)
class Curves:
    """A chart over epochs.

    Attributes:
        title: What it shows.
        says: How to read it.
        lines: The label of each metric; a `*` stands for the rest of its name, as `{}` does in the label.
            Labels that differ only behind a comma share a colour.
        more: What else there is to say where one run is shown with all of its lines.
        compared: The metrics that stand in it when several runs are compared, the second one dotted.
        apart: The metrics that are charts of their own then, each with its title and how to read it.
        unit: What stands beside it.
        log: Whether it is drawn on a logarithmic scale.
        stacked: Whether its metrics are parts of a whole.
        share: Whether its values lie in 0 to 1.
    """

    title: str
    says: str
    lines: dict[str, str]
    more: str = ""
    compared: tuple[str, ...] = ()
    apart: dict[str, tuple[str, str]] = field(default_factory=dict)
    unit: str = ""
    log: bool = False
    stacked: bool = False
    share: bool = False


def _by_layer(title: str, metric: str, what: str) -> Curves:
    name = f"loss_{metric}"
    lines = {f"train/{name}": "last layer", f"val/{name}": "last layer, validation"}
    return Curves(
        title,
        what,
        lines | {f"train/{name}_*": "{}"},
        more="Later decoder layers should do better than earlier ones.",
        compared=(f"train/{name}", f"val/{name}"),
        log=True,
    )


CURVES: dict[str, tuple[Curves, ...]] = {
    "How it learnt": (
        Curves(
            "Loss",
            "What training makes small. Both lines should fall; where validation rises while training still "
            "falls, the network learns its pages by heart.",
            {
                "train/loss_epoch": "training",
                "train/loss": "training, each step",
                "val/loss": "validation",
            },
            compared=("train/loss_epoch", "val/loss"),
        ),
        Curves(
            "Scores on the validation pages",
            "1 is perfect. F1 weighs precision (finds that are right) against recall (tables found); "
            "weighted F1 and mAP want boxes that fit closely.",
            {
                "val/f1": "F1",
                "val/precision": "precision",
                "val/recall": "recall",
                "val/wf1": "weighted F1",
                "val/map": "mAP",
            },
            apart={name: (label, f"{note[0].upper()}{note[1:]}.") for name, (label, note) in SCORES.items()},
            share=True,
        ),
    ),
    "Its losses, part by part": (
        Curves(
            "Parts of the loss",
            "Classification (table or not), L1 (distance of the boxes' sides) and GIoU (overlap) of the last "
            "decoder layer, unweighted.",
            {
                "train/loss_ce": "classification",
                "train/loss_bbox": "L1",
                "train/loss_giou": "GIoU",
                "val/loss_ce": "classification, validation",
                "val/loss_bbox": "L1, validation",
                "val/loss_giou": "GIoU, validation",
            },
            log=True,
        ),
        _by_layer("Classification loss", "ce", "How well tables are told from the rest of the page."),
        _by_layer("L1 loss", "bbox", "How far the boxes' sides are from the true ones."),
        _by_layer("GIoU loss", "giou", "How badly boxes overlap with the true ones."),
        Curves(
            "Shares of the loss",
            "What each weighted part contributes to the sum that is trained on. A part with next to nothing "
            "is hardly learnt: see model.loss.lambda_*.",
            {"train/share_cls": "classification", "train/share_l1": "L1", "train/share_iou": "GIoU"},
            apart={
                f"train/share_{key}": (f"Share of {label}", "Of the weighted sum that is trained on.")
                for key, label in (("cls", "classification"), ("l1", "L1"), ("iou", "GIoU"))
            },
            stacked=True,
            share=True,
        ),
        Curves(
            "Classification against L1",
            "The last layer's classification loss over its L1 loss, both unweighted.",
            {"train/loss_ratio_cls_l1": "classification / L1"},
            compared=("train/loss_ratio_cls_l1",),
            log=True,
        ),
    ),
    "How queries and tables were matched": (
        Curves(
            "IoU of matched boxes",
            "How well the box of a query overlaps with the table that it was given in training. It should "
            "rise.",
            {"train/matched_iou": "matched IoU"},
            compared=("train/matched_iou",),
            share=True,
        ),
        Curves(
            "Queries in use",
            "The share of the queries that were given a table at least once in the epoch. Close to 0, a few "
            "queries do all the work.",
            {"train/queries_matched": "queries ever matched"},
            compared=("train/queries_matched",),
            share=True,
        ),
        Curves(
            "Error in the number of finds",
            "By how many the likely finds of a page differ from its tables, on average. It should fall.",
            {"train/cardinality_error": "training", "val/cardinality_error": "validation"},
            compared=("train/cardinality_error", "val/cardinality_error"),
        ),
    ),
    "The optimiser": (
        Curves(
            "Learning rate",
            "How far a step goes.",
            {"train/lr": "transformer", "train/lr_*": "{}"},
            more="Each group of parameters has its own.",
            compared=("train/lr",),
        ),
        Curves(
            "Size of the gradient",
            "Its norm before clipping: the mean and the highest of an epoch. Peaks go with an unsteady loss.",
            {"train/grad_norm": "mean", "train/grad_norm_max": "highest"},
            compared=("train/grad_norm", "train/grad_norm_max"),
            log=True,
        ),
        Curves(
            "Gradient by group of parameters",
            "A group far below the others hardly learns.",
            {"train/grad_norm_*": "{}"},
            log=True,
        ),
    ),
    "Speed and memory": (
        Curves(
            "Time of a batch",
            "Waiting for pages, and training on them. Where waiting is more than a sliver, more "
            "data.num_workers make it faster.",
            {"train/data_time": "waiting for pages", "train/step_time": "training"},
            apart={
                "train/data_time": ("Waiting for a batch", "More data.num_workers make it shorter."),
                "train/step_time": ("Training on a batch", "Forward, backward and the optimiser's step."),
            },
            unit="seconds",
            stacked=True,
        ),
        Curves(
            "Images a second",
            "In training, without validation.",
            {"train/images_per_second": "images a second"},
            compared=("train/images_per_second",),
        ),
        Curves(
            "Memory",
            "The most that was in use so far: of the GPU where there is one, else of the process.",
            {"train/memory_gb": "memory"},
            compared=("train/memory_gb",),
            unit="GB",
        ),
    ),
}


def draw(runs: Sequence[Run]) -> tuple[dict[str, list[Figure]], list[str]]:
    """Draw the curves of one run, or of several over one another.

    Returns:
        The charts under the headings of their groups, and the titles of those for which nothing was logged.
    """
    groups: dict[str, list[Figure]] = {}
    missing = []
    for heading, charts in CURVES.items():
        figures = []
        for chart in charts:
            drawn = list(_compared(chart, runs)) if len(runs) > 1 else list(_single(chart, runs[0]))
            figures += drawn
            if not drawn and (len(runs) == 1 or chart.compared or chart.apart):
                missing.append(chart.title)
        if figures:
            groups[heading] = figures
    return groups, missing


def _single(chart: Curves, run: Run) -> Iterable[Figure]:
    traces, colours = [], dict[str, str]()
    for label, points in _lines(chart, run.series).items():
        part, _, which = label.partition(", ")
        own = colours.setdefault(part, colour(len(colours)))
        options: dict[str, Any] = {"stackgroup": "whole", "mode": "lines"} if chart.stacked else {}
        if which == "each step":
            options |= {"mode": "lines", "opacity": 0.4, "line": {"color": own, "width": 1}}
        elif which:
            options |= {"line": {"color": own, "width": 2, "dash": "dot"}}
        traces.append(line(points, label, own, **options))
    if traces:
        yield Figure(
            chart.title, f"{chart.says} {chart.more}".rstrip(), plot(traces, y=chart.unit, yaxis=_axis(chart))
        )


def _compared(chart: Curves, runs: Sequence[Run]) -> Iterable[Figure]:
    charts: list[tuple[tuple[str, ...], str, str]]
    charts = [((metric,), title, says) for metric, (title, says) in chart.apart.items()]
    for metrics, title, says in charts or [(chart.compared, chart.title, chart.says)]:
        traces = [
            line(
                run.series[name],
                run.name + (f", {chart.lines.get(name, '')}" if len(metrics) > 1 else ""),
                colour(i),
                line={"color": colour(i), "width": 2, "dash": "dot" if k else "solid"},
                meta=i,
            )
            for k, name in enumerate(metrics)
            for i, run in enumerate(runs)
            if name in run.series
        ]
        if not traces:
            continue
        if len(metrics) > 1 and {trace["line"]["dash"] for trace in traces} == {"dot", "solid"}:
            solid, dotted = (chart.lines.get(name, name) for name in metrics)
            says += f" Solid: {solid}; dotted: {dotted.rpartition(', ')[2]}."
        yield Figure(title, says, plot(traces, y=chart.unit, yaxis=_axis(chart)), legend=False)


def _axis(chart: Curves) -> dict[str, Any]:
    if chart.log:
        return {"type": "log"}
    if chart.share:
        return {"range": [0, 1.02]}
    return {"rangemode": "tozero"}


def _lines(chart: Curves, series: dict[str, Series]) -> dict[str, Series]:
    """The chart's lines by label."""
    lines: dict[str, Series] = {}
    for pattern, label in chart.lines.items():
        for name in _names(pattern, series):
            lines.setdefault(label.format(_part(name[len(pattern) - 1 :])), series[name])
    return lines


def _names(pattern: str, series: dict[str, Series]) -> list[str]:
    if not pattern.endswith("*"):
        return [pattern] if pattern in series else []
    names = sorted(name for name in series if name.startswith(pattern[:-1]) and not name.endswith("_max"))
    groups = {name: name.removesuffix("_norms_and_biases") for name in names}
    # Norms and biases have the learning rates of their group.
    return [name for name in names if name == groups[name] or series[name] != series.get(groups[name])]


def _part(ending: str) -> str:
    """What stands at the end of a metric's name: a decoder layer, the encoder, or a group of parameters."""
    if ending.isdigit():
        return f"decoder layer {int(ending) + 1}"
    return "encoder" if ending == "enc" else ending.replace("_", " ")
