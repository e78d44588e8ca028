"""A run in a sentence and a few figures, and what tells runs apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tablesense.experiment.recorded import Run

ARCHITECTURES = {"deformable_detr": "Deformable DETR", "detr": "DETR"}

SCORES = {
    "val/f1": ("F1", "precision and recall in one"),
    "val/precision": ("Precision", "share of the finds that are right"),
    "val/recall": ("Recall", "share of the tables that are found"),
    "val/wf1": ("Weighted F1", "for closely fitting boxes (cTDaR)"),
    "val/map": ("mAP", "over all scores (COCO)"),
}


@dataclass(frozen=True)
class Fact:
    """One figure of a run.

    Attributes:
        value: It, as text.
        note: A few more words.
        score: It as a number, where more is better.
    """

    value: str
    note: str = ""
    score: float | None = None


def headline(run: Run) -> dict[str, Fact]:
    """The figures that a person asks for first by their labels, as far as the run has them."""
    facts = {
        label: Fact(f"{run.best[name]:.3f}", note, round(run.best[name], 3))
        for name, (label, note) in SCORES.items()
        if name in run.best
    }
    if run.best_epoch is not None:
        facts["Best epoch"] = Fact(str(run.best_epoch), f"of {_epochs(run)}, by F1")
    if seconds := run.about.get("seconds"):
        facts["Time"] = Fact(duration(seconds), "from start to end")
    if speeds := run.series.get("train/images_per_second"):
        facts["Images a second"] = Fact(f"{median(speeds.values()):.3g}", "in training")
    if total := run.about.get("parameters", {}).get("total"):
        facts["Parameters"] = Fact(millions(total), "of the network")
    return facts


def sentence(run: Run) -> str:
    """What was trained on what, for how long, where."""
    network = run.config.get("model", {}).get("detr", {})
    arch = str(network.get("arch", "detector"))
    text = f"A {ARCHITECTURES.get(arch, arch)}"
    if backbone := network.get("backbone"):
        text += f" with the backbone {backbone}"
    if total := run.about.get("parameters", {}).get("total"):
        text += f", {millions(total)} parameters"
        trainable = run.about["parameters"].get("trainable", total)
        text += f" ({millions(trainable)} of them trained)" if trainable != total else ""
    text += f", trained {_on(run)}for {_epochs(run)}"
    if device := run.about.get("device"):
        cores = run.about.get("cpus")
        text += f" on {device}" + (f" with {cores} CPU cores" if cores else "")
    return text + "."


def _on(run: Run) -> str:
    train, val = run.data.get("train", {}), run.data.get("val", {})
    names = " and ".join(map(str, run.data.get("datasets", [])))
    if not train:
        path = run.config.get("data", {}).get("path")
        return f"on {path} " if path else ""
    text = f"on {train.get('pages', 0):,} pages" + (f" ({names})" if names else "")
    return text + (f", validated on {val['pages']:,} others, " if val.get("pages") else " ")


def _epochs(run: Run) -> str:
    asked = run.config.get("trainer", {}).get("max_epochs")
    planned = asked if isinstance(asked, int) and asked > run.epochs else None
    if planned:
        return f"{run.epochs} of {planned} epochs"
    return f"{run.epochs} epoch{'s' * (run.epochs != 1)}"


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 22 min, 3 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def millions(number: int) -> str:
    """4,773,524 as 4.77 M, and small numbers as they are."""
    return f"{number / 1e6:.3g} M" if number >= 1e6 else f"{number:,}"


def differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The dotted keys whose values are not the same in all configurations, with the value in each."""
    flat = [dict(_leaves(config)) for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config)
    rows = [(key, [_text(config[key]) if key in config else "-" for config in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _leaves(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    leaves = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((f"{prefix}{key}", value))
    return leaves


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def environment(run: Run) -> dict[str, str]:
    """What the run was made with, by label."""
    about = run.about
    rows = {
        "command": about.get("command"),
        "started": about.get("started"),
        "time": duration(about["seconds"]) if about.get("seconds") else None,
        "device": about.get("device"),
        "CPU cores": about.get("cpus"),
        "seed": about.get("seed"),
    }
    if git := about.get("git"):
        changes = " with changes that were not committed" if git.get("dirty") else ""
        rows["code (git commit)"] = f"{git.get('commit')}{changes}"
    rows |= about.get("versions", {})
    return {label: str(value) for label, value in rows.items() if value is not None}


def cautions(runs: Sequence[Run]) -> list[str]:
    """Why the scores of runs cannot be compared as they are."""
    found = [run.found for run in runs if run.found]
    reasons = []
    if len({tuple((page.name, page.size, page.boxes.numel()) for page in run.pages) for run in found}) > 1:
        reasons.append(
            "These runs were validated on different pages: their scores say little about which is better."
        )
    if len({(run.score_threshold, run.iou_threshold) for run in found}) > 1:
        reasons.append(
            "These runs count finds from different scores or IoUs: F1, precision and recall differ by that."
        )
    return reasons
