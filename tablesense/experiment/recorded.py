"""What a training recorded, read back from its folder."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tablesense.errors import UserError

if TYPE_CHECKING:
    from tablesense.experiment.analysis import Analysis
    from tablesense.experiment.evaluation import ScoredPage, Which

SIGNS = ("run.json", "config.yaml", "metrics.csv")
"""The files that a folder is told by; a notebook's run may have one of them only."""

Series = dict[float, float]
"""A metric's values by epoch: 1 is the end of the first, 1.5 the middle of the second."""


@dataclass(frozen=True)
class Found:
    """What a run found on its validation pages.

    Attributes:
        which: The epoch that `pages` and `analysis` are of.
        pages: The pages.
        analysis: How well it did.
        last: The same of the last epoch, where that is another one.
        class_names: In the order of the labels.
        score_threshold: The lowest score that counts as a find.
        iou_threshold: The lowest IoU of a find with its table.
    """

    which: Which
    pages: list[ScoredPage]
    analysis: Analysis
    last: Analysis | None
    class_names: tuple[str, ...]
    score_threshold: float
    iou_threshold: float


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: The end of its folder's path, long enough to tell it from the others.
        config: Its configuration, nested.
        series: Its metrics.
        best_epoch: The epoch with the best `val/f1`; None where there is none yet.
        best: The metrics of that epoch.
        about: What `run.json` says: command, state, seconds, device, ...
        data: What `data.json` says of its pages.
        architecture: The layers of its network, as text.
        found: What it found; None where that was not recorded.
        absent: Files that are not there.
    """

    name: str
    config: dict[str, Any]
    series: dict[str, Series]
    best_epoch: int | None
    best: dict[str, float]
    about: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    architecture: str = ""
    found: Found | None = None
    absent: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs have been trained, the last of them perhaps not to its end."""
        return math.ceil(max((x for points in self.series.values() for x in points), default=0))


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read runs; a folder that is named twice is read once.

    Args:
        folders: Such as runs/detr/001.

    Raises:
        UserError: A folder is no run's, or a file in it cannot be read.
    """
    for folder in folders:
        if not any((folder / file).is_file() for file in SIGNS):
            found = f"none of {', '.join(SIGNS)} in it" if folder.is_dir() else "no such folder"
            raise UserError(f"{folder}: expected the folder of a run, such as runs/detr/001, found {found}")
    places = list(dict.fromkeys(folder.resolve() for folder in folders))
    return [_read(place, name) for place, name in zip(places, _names(places), strict=True)]


def _names(places: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, of two parts or more, that tell them apart."""
    for length in range(2, 1 + max(len(place.parts) for place in places)):
        names = ["/".join(place.parts[-length:]).lstrip("/") for place in places]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def _read(folder: Path, name: str) -> Run:
    from tablesense.experiment.privacy import private

    absent: list[str] = []

    def optional(file: str, read: Callable[[str], Any], otherwise: Any) -> Any:
        if (folder / file).is_file():
            return private(_parsed(folder / file, read))
        absent.append(file)
        return otherwise

    series = optional("metrics.csv", _series, {})
    info = optional("evaluation/info.json", _mapping, {})
    found = _found(folder, info, absent)
    best_epoch, best = _best(series, info.get("best") or {})
    return Run(
        name,
        optional("config.yaml", _configuration, {}),
        series,
        best_epoch,
        best,
        optional("run.json", _mapping, {}),
        optional("data.json", _mapping, {}),
        optional("architecture.txt", str, ""),
        found,
        tuple(absent),
    )


def _parsed(path: Path, read: Callable[[str], Any]) -> Any:
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, csv.Error, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UserError(f"{path} cannot be read: {reason}") from error


def _mapping(text: str) -> dict[str, Any]:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, found {type(content).__name__}")
    return content


def _configuration(text: str) -> dict[str, Any]:
    content = yaml.safe_load(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected keys and values, found {type(content).__name__}")
    return content


def _series(text: str) -> dict[str, Series]:
    rows = []
    for row in csv.DictReader(text.splitlines()):
        values = {k: v for k, v in row.items() if isinstance(k, str) and v}  # the last may be half a row
        if values.get("epoch", "").isdigit():
            rows.append((int(values.pop("epoch")), int(values.pop("step", -1)), values))
    ends: dict[int, int] = {}
    for epoch, step, values in rows:
        if any(name.startswith("val/") or name == "train/loss_epoch" for name in values):
            ends[epoch] = max(step, ends.get(epoch, -1))
    series: dict[str, Series] = defaultdict(dict)
    for epoch, step, values in rows:
        place = _place(epoch, step, ends)
        for name, value in values.items():
            try:
                number = float(value)
            except ValueError:
                continue
            if math.isfinite(number):
                series[name][place] = number
    return dict(series)


def _place(epoch: int, step: int, ends: dict[int, int]) -> float:
    """Where a step is in the training, in epochs; `ends` are the epochs' last steps, counted from 0."""
    if step < 0 or not ends:
        return epoch + 1.0
    first, last = min(ends), max(ends)
    usual = (ends[last] - ends[first]) / (last - first) if last > first else (ends[last] + 1) / (last + 1)
    end = ends.get(epoch, ends.get(epoch - 1, -1) + usual)
    start = ends.get(epoch - 1, end - usual)
    share = (step - start) / (end - start) if end > start else 1
    return epoch + round(min(1.0, max(0.0, share)), 4)


def _best(series: dict[str, Series], info: dict[str, Any]) -> tuple[int | None, dict[str, float]]:
    f1 = series.get("val/f1", {})
    epoch = info.get("epoch") or (math.ceil(max(f1, key=f1.__getitem__)) if f1 else None)
    if epoch is None:
        return None, {}
    logged = {name: points[epoch] for name, points in series.items() if epoch in points}
    return epoch, logged | {k: float(v) for k, v in (info.get("metrics") or {}).items()}


def _found(folder: Path, info: dict[str, Any], absent: list[str]) -> Found | None:
    place = folder / "evaluation"
    there: list[Which] = [which for which in ("best", "last") if (place / f"{which}.json").is_file()]
    if not there or not (place / "truth.json").is_file():
        absent.append("evaluation/best.json" if (place / "truth.json").is_file() else "evaluation/truth.json")
        return None
    from tablesense.experiment.analysis import analyse
    from tablesense.experiment.evaluation import read_evaluation

    categories = _parsed(place / "truth.json", _mapping).get("categories", [])
    class_names = tuple(entry["name"] for entry in sorted(categories, key=lambda entry: entry["id"]))
    score, iou = float(info.get("score_threshold", 0.5)), float(info.get("iou_threshold", 0.5))
    pages = read_evaluation(folder, there[0])
    last = None
    if len(there) == 2 and info.get("best") != info.get("last"):
        last = analyse(read_evaluation(folder, "last"), class_names, score, iou)
    return Found(there[0], pages, analyse(pages, class_names, score, iou), last, class_names, score, iou)
