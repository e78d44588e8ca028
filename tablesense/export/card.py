"""The model card of an exported network: nothing but what its checkpoint and its run's folder say."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

from tablesense.detector import Detector
from tablesense.experiment.recorded import SIGNS, read_runs
from tablesense.experiment.summary import ARCHITECTURES
from tablesense.geometry import feature_strides
from tablesense.predict.network import WITHIN

SCORES = {
    "val/f1": "F1",
    "val/precision": "precision",
    "val/recall": "recall",
    "val/wf1": "weighted F1 (cTDaR)",
    "val/map": "mAP (COCO)",
    "val/map_50": "mAP at IoU .5",
    "val/map_75": "mAP at IoU .75",
}

RECIPE = {
    "trainer": ("precision", "gradient_clip_val"),
    "data": ("image_size", "augment", "mosaic", "batch_size"),
    "training": (
        "lr",
        "backbone_lr",
        "weight_decay",
        "warmup_epochs",
        "schedule",
        "gradient_accumulation_steps",
        "ema_decay",
    ),
    "model.loss": ("classification", "lambda_cls", "lambda_l1", "lambda_iou"),
}
"""What of a configuration stands in the card."""


@dataclass(frozen=True)
class Training:
    """What is known of the training that a checkpoint is from; what is not is empty or None.

    Attributes:
        config: The run's configuration, nested.
        data: Statistics of its pages, as `data.json` has them.
        versions: Of the packages that it was trained with.
        epoch: The checkpoint's, from 1.
        epochs: How many were trained.
        scores: Its validation scores, by their names in the log.
        best: Whether no other epoch's `val/f1` is higher.
    """

    config: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    epoch: int | None = None
    epochs: int | None = None
    scores: dict[str, float] = field(default_factory=dict)
    best: bool = False


def read_training(checkpoint: Path, kept: dict[str, Any]) -> Training:
    """Gather what is known of a checkpoint's training.

    Args:
        checkpoint: Its file; the run's folder is the one that holds it in `checkpoints/`.
        kept: All that is in it.

    Raises:
        UserError: A file in the run's folder cannot be read.
    """
    epoch, step = kept.get("epoch"), kept.get("global_step")
    number = epoch + 1 if isinstance(epoch, int) else None
    folder = checkpoint.resolve().parent.parent
    if not any((folder / sign).is_file() for sign in SIGNS):
        return Training(epoch=number)
    (run,) = read_runs([folder])
    validations = _validations(folder / "metrics.csv")
    scores = validations.get(step - 1, {}) if isinstance(step, int) else {}
    others = [each["val/f1"] for each in validations.values() if "val/f1" in each]
    return Training(
        run.config,
        run.data,
        {name: str(value) for name, value in run.about.get("versions", {}).items()},
        number,
        run.epochs or None,
        scores,
        bool(others) and scores.get("val/f1") == max(others),
    )


def _validations(path: Path) -> dict[int, dict[str, float]]:
    """The scores of each validation by the step after which it was, counted from 0."""
    if not path.is_file():
        return {}
    validations: dict[int, dict[str, float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            scores: dict[str, float] = {}
            for name in SCORES:
                with suppress(ValueError):  # the last row may be half a row
                    scores |= {name: float(row[name])} if row.get(name) else {}
            if scores and (row.get("step") or "").isdigit():
                validations.setdefault(int(row["step"]), {}).update(scores)
    return validations


def write_card(
    module: Detector,
    name: str,
    repository: str | None = None,
    own_code: bool = False,
    training: Training | None = None,
    licence: str | None = None,
) -> str:
    """Write a model card: Markdown with the hub's YAML before it.

    Args:
        module: The network.
        name: The folder's.
        repository: OWNER/NAME on the hub, where it goes there.
        own_code: Whether transformers needs the folder's own code.
        training: What is known of the training.
        licence: Of the weights; None leaves it out.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tablesense.export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    known = training or Training()
    config = module.config
    return environment.get_template("card.md.j2").render(
        name=name,
        address=repository or name,
        repository=repository,
        own_code=own_code,
        least=least_side(module),
        licence=licence,
        module=module,
        config=config,
        family=ARCHITECTURES[config.arch],
        parameters=sum(parameter.numel() for parameter in module.detr.parameters()),
        training=known,
        splits={split: known.data[split] for split in ("train", "val") if known.data.get(split)},
        datasets=known.data.get("datasets", []),
        synthetic=_synthetic(known.config.get("data", {})),
        imagenet=_at(known.config, "model.detr").get("backbone_weights") == "imagenet",
        scores={label: known.scores[key] for key, label in SCORES.items() if key in known.scores},
        recipe=_recipe(known.config),
        version=version,
        within=WITHIN,
    )


def least_side(module: Detector) -> int:
    """Of squares of multiples of 32, the smallest with a cell for each proposal of a two-stage network."""
    side = 32
    if module.config.two_stage:
        strides = feature_strides(module.detr.network)
        while sum(ceil(side / stride) ** 2 for stride in strides) < module.config.num_queries:
            side += 32
    return side


def _synthetic(data: dict[str, Any]) -> list[str]:
    """The names of the data sets that tablesense typeset itself."""
    if sources := data.get("sources"):
        return [source.get("name") or "synthetic" for source in sources if source.get("path") is None]
    return ["synthetic"] if data and data.get("path") is None else []


def _recipe(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of `RECIPE` that the configuration has a value for, dotted."""
    values: dict[str, Any] = {}
    for place, names in RECIPE.items():
        part = _at(config, place)
        values |= {f"{place}.{name}": part[name] for name in names if part.get(name) is not None}
    return values


def _at(config: dict[str, Any], place: str) -> dict[str, Any]:
    part: Any = config
    for step in place.split("."):
        part = part.get(step) or {}
    return dict(part)
