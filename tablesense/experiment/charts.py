"""Charts as plotly's JSON: made without plotly's Python, drawn in the page by its JavaScript."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tablesense.experiment.analysis import Analysis
    from tablesense.experiment.recorded import Found, Series

Trace = dict[str, Any]

COLOURS = ("#2f7ed8", "#e4692a", "#2a9d62", "#a259c4", "#c9a21a", "#d6336c", "#159aa8", "#7f8794")
"""Readable on white and on black."""


@dataclass(frozen=True)
class Figure:
    """A chart with its words.

    Attributes:
        title: What it shows.
        says: How to read it.
        plot: plotly's `data` and `layout`.
        legend: Whether it needs a legend of its own.
    """

    title: str
    says: str
    plot: dict[str, Any]
    legend: bool = True


def colour(i: int) -> str:
    """The colour of line or run i: as many different ones as are asked for."""
    if i < len(COLOURS):
        return COLOURS[i]
    red, green, blue = colorsys.hls_to_rgb(i * 0.618 % 1, 0.5, 0.6)
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))


def line(points: Series, name: str, colour: str, **options: Any) -> Trace:
    """One line of a chart over epochs.

    Args:
        points: Its values.
        name: What stands in the legend.
        colour: Its colour.
        options: More of plotly's.
    """
    xs = sorted(points)
    return {
        "x": xs,
        "y": [_short(points[x]) for x in xs],
        "name": name,
        "mode": "lines" if len(xs) > 30 else "lines+markers",
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 5},
        **options,
    }


def plot(traces: Sequence[Trace], x: str = "epoch", y: str = "", **layout: Any) -> dict[str, Any]:
    """A chart from its lines.

    Args:
        traces: The lines.
        x: What stands under it.
        y: What stands beside it.
        layout: More of plotly's; `xaxis` and `yaxis` are added to what is set here.
    """
    axis = {
        "automargin": True,
        "zeroline": False,
        "exponentformat": "e",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "transparent",
        "spikecolor": COLOURS[-1],
        "spikethickness": 1,
    }
    xaxis = axis | {"title": {"text": x, "standoff": 8}} | layout.pop("xaxis", {})
    yaxis = axis | {"title": {"text": y, "standoff": 8}, "hoverformat": ".4~g"} | layout.pop("yaxis", {})
    if x == "epoch":
        highest = max((max(trace["x"], default=0) for trace in traces), default=0)
        xaxis |= {"rangemode": "tozero", "tickformat": "d", "hoverformat": ".2~f"} | (
            {"dtick": 1} if highest <= 8 else {"nticks": 9}
        )
    if yaxis.get("type") == "log":
        yaxis |= _logarithmic(traces)
    base = {
        "showlegend": False,  # the page has its own, which wrap
        "hovermode": "x unified",
        "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
        "xaxis": xaxis,
        "yaxis": yaxis,
    }
    return {"data": list(traces), "layout": base | layout}


def _logarithmic(traces: Sequence[Trace]) -> dict[str, Any]:
    """An axis with three round values or more; plotly's own are single digits between powers of ten."""
    values = [value for trace in traces for value in trace["y"] if value > 0]
    low, high = min(values, default=1), max(values, default=1)
    if high < 3 * low:  # too little for powers and their halves
        return {"type": "linear"}
    ticks: list[float] = []
    for steps in (1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8):
        ticks = [float(f"{step}e{power}") for power in range(-9, 10) for step in steps]
        ticks = [tick for tick in ticks if low / 1.1 <= tick <= high * 1.1]
        if len(ticks) >= 3:
            break
    return {"type": "log", "tickvals": ticks, "tickformat": "~g"}


def precision_recall(found: Mapping[str, Found]) -> Figure:
    """Precision over recall at every score, with the run's threshold as a dot.

    Args:
        found: What each run found, by the run's name; with one run its last epoch is drawn as well.
    """
    traces = []
    for i, (name, run) in enumerate(found.items()):
        for label, analysis, dash in _epochs(name, run, len(found)):
            traces.append(
                _curve(analysis.recall, analysis.precision, label, i, dash, analysis.scores)
                | {"hovertemplate": "precision %{y:.3f}, recall %{x:.3f} at score %{customdata:.2f}"}
            )
        precision, recall, _ = run.analysis.fixed
        if precision is not None and recall is not None:
            traces.append(_dot(recall, precision, f"at score {run.score_threshold:g}", i, len(found)))
    return Figure(
        "Precision and recall",
        "Each point is a score from which finds could count: a lower one finds more tables (to the right), "
        "and more that are none (down). The dot is the score of this run. The nearer to the top right, the "
        "better.",
        _unit_square(traces, "recall: share of the tables that are found", "precision"),
    )


def thresholds(found: Mapping[str, Found]) -> Figure:
    """F1 over the score from which finds count, with the run's own and the best one marked.

    Args:
        found: What each run found, by the run's name; with one run its last epoch is drawn as well.
    """
    traces: list[Trace] = []
    for i, (name, run) in enumerate(found.items()):
        for label, analysis, dash in _epochs(name, run, len(found)):
            traces.append(_curve(analysis.scores, analysis.f1, label, i, dash))
        f1, best = run.analysis.fixed[2], run.analysis.best_threshold
        if f1 is not None:
            traces.append(_dot(run.score_threshold, f1, f"at score {run.score_threshold:g}", i, len(found)))
        if best is not None:
            label = f"best: {run.analysis.best_f1:.3f} at score {best:.2f}"
            star = {"symbol": "star", "size": 13}
            traces.append(_dot(best, run.analysis.best_f1, label, i, len(found), **star))
    lines = sorted({run.score_threshold for run in found.values()})
    return Figure(
        "F1 and the score from which finds count",
        "The dot is the score that counts in this run, the star the one that would have given the best F1 on "
        "these pages. Far apart, they say that scores are too low or too high throughout; a broad top says "
        "that the choice hardly matters.",
        _unit_square(
            traces,
            "score from which finds count",
            "F1",
            shapes=[
                {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
                | {"line": {"color": COLOURS[-1], "width": 1, "dash": "dot"}}
                for x in lines
            ],
        ),
    )


def _unit_square(traces: Sequence[Trace], x: str, y: str, **layout: Any) -> dict[str, Any]:
    """A chart of two values from 0 to 1."""
    axis = {"range": [0, 1.02]}
    return plot(traces, x, y, hovermode="closest", xaxis=axis, yaxis=axis, **layout)


def _epochs(name: str, run: Found, runs: int) -> Iterable[tuple[str, Analysis, str]]:
    yield (f"{run.which} epoch" if runs == 1 else name), run.analysis, "solid"
    if runs == 1 and run.last is not None:
        yield "last epoch", run.last, "dot"


def _curve(
    x: list[float], y: list[float], name: str, i: int, dash: str, scores: list[float] | None = None
) -> Trace:
    return {
        "x": [_short(value) for value in x],
        "y": [_short(value) for value in y],
        "name": name,
        "mode": "lines" if len(x) > 1 else "markers",
        "line": {"color": colour(i), "width": 2, "dash": dash},
        "meta": i,
    } | ({"customdata": [_short(score) for score in scores]} if scores is not None else {})


def _dot(x: float, y: float, name: str, i: int, runs: int, **marker: Any) -> Trace:
    return {
        "x": [_short(x)],
        "y": [_short(y)],
        "name": name,
        "mode": "markers",
        "marker": {"color": colour(i) if runs > 1 else COLOURS[1], "size": 11} | marker,
        "showlegend": runs == 1,
        "meta": i,
    }


def bars(counts: Mapping[str, Mapping[str, int]], x: str) -> dict[str, Any]:
    """Groups of bars of one height scale, each name's as shares of its own total.

    Args:
        counts: For each name in the legend, how often each value occurs.
        x: What the values are.
    """
    values = sorted({value for of_name in counts.values() for value in of_name}, key=int)
    traces = []
    for i, (name, of_name) in enumerate(counts.items()):
        numbers = [of_name.get(value, 0) for value in values]
        traces.append(
            {
                "type": "bar",
                "x": values,
                "y": _shares(numbers),
                "name": name,
                "customdata": numbers,
                "hovertemplate": "%{y:.1%} (%{customdata:,})",
                "marker": {"color": colour(i)},
            }
        )
    return plot(traces, x, "share of the pages", xaxis={"type": "category"}, yaxis={"tickformat": ".0%"})


def histogram(counts: Mapping[str, Mapping[str, list[float]]], x: str, **axis: Any) -> dict[str, Any]:
    """Outlines of histograms over one another, each as shares of its own total.

    Args:
        counts: For each name in the legend, the `edges` of the bins and the `counts` in them.
        x: What was counted.
        axis: More of plotly's for the x axis.
    """
    traces = []
    for i, (name, of_name) in enumerate(counts.items()):
        numbers = [int(count) for count in of_name["counts"]]
        shares, edges = _shares(numbers), of_name["edges"]
        traces.append(
            {
                "x": edges,
                "y": [*shares, shares[-1] if shares else 0],
                "name": name,
                "mode": "lines",
                "fill": "tozeroy" if i == 0 else "none",
                "fillcolor": f"{colour(i)}33",
                "line": {"color": colour(i), "width": 2, "shape": "hv"},
                "customdata": [*numbers, numbers[-1] if numbers else 0],
                "hovertemplate": "%{y:.1%} (%{customdata:,})",
            }
        )
    return plot(
        traces, x, "share of the tables", xaxis=axis, yaxis={"tickformat": ".0%", "rangemode": "tozero"}
    )


def _shares(numbers: Sequence[int]) -> list[float]:
    total = sum(numbers)
    return [round(number / total, 4) if total else 0.0 for number in numbers]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
