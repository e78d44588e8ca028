"""What is logged before the first step: parameters, model, data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities.model_summary.model_summary import ModelSummary

from tablesense.data.sources import Mix
from tablesense.experiment import tracker
from tablesense.experiment.dataset import statistics
from tablesense.files import write_json
from tablesense.trial import Trial


def log_hyperparameters(loggers: Sequence[Logger], config: Mapping[str, Any]) -> None:
    """Log the resolved configuration and what is known of model and data, each value under one name.

    Under an agent of Weights & Biases the swept values are there already, each under its dotted key. CSV
    loggers have no place for it: it lies in the run's folder.

    Args:
        loggers: Who is told.
        config: Nested by key.
    """
    trial = Trial.from_environment()
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            continue
        swept = isinstance(logger, WandbLogger) and trial is not None and trial.run_id
        logger.log_hyperparams(_without(config, trial.parameters) if swept and trial else dict(config))


def log_model_summary(
    loggers: Sequence[Logger], module: LightningModule, folder: Path, experiment: str
) -> dict[str, Any]:
    """Write the architecture to the run's folder, and show it.

    Args:
        loggers: Who is told.
        module: The module.
        folder: The run's; it gets `architecture.txt`.
        experiment: The experiment's name.

    Returns:
        `model/total_params`, `model/trainable_params` and `model/total_params_m` (in millions).
    """
    text = f"{ModelSummary(module, max_depth=4)}\n\n{module.detr}\n"
    (folder / "architecture.txt").write_text(text, encoding="utf-8")
    total, trained = parameters(module)
    figures = {
        "model/total_params": total,
        "model/trainable_params": trained,
        "model/total_params_m": round(total / 1e6, 3),
    }
    tracker.show_architecture(loggers, text, experiment, figures)
    return figures


def log_dataset_stats(loggers: Sequence[Logger], datamodule: Any, folder: Path) -> dict[str, Any]:
    """Count the pages, and show their histograms.

    Args:
        loggers: Who is told.
        datamodule: A `TableDataModule`. Of any other, and of None, nothing is known.
        folder: The run's; it gets `data.json`.

    Returns:
        `data/datasets` (names), `data/dropped_boxes` (by reason), and for train and val `data/<split>_size`,
        `data/<split>_tables`, `data/<split>_pages_without_tables` and `data/<split>_classes`.
    """
    splits = {name: getattr(datamodule, f"{name}_pages", None) for name in ("train", "val")}
    found = {name: pages for name, pages in splits.items() if isinstance(pages, Mix)}
    if not found:
        return {}
    names = dict.fromkeys(name for pages in found.values() for name in pages.sources)
    data: dict[str, Any] = {"datasets": list(names), "dropped": dict(getattr(datamodule, "dropped", {}))}
    data |= {name: statistics(pages) for name, pages in found.items()}
    write_json(folder / "data.json", data)
    tracker.show_data(loggers, data)
    figures: dict[str, Any] = {"data/datasets": data["datasets"], "data/dropped_boxes": data["dropped"]}
    for name in found:
        figures[f"data/{name}_size"] = data[name]["pages"]
        for key in "tables", "pages_without_tables", "classes":
            figures[f"data/{name}_{key}"] = data[name][key]
    return figures


def parameters(module: LightningModule) -> tuple[int, int]:
    """The number of parameters, and how many of them are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def _without(config: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration less the values of some dotted keys."""
    left = dict(config)
    for key in keys:
        *parents, name = key.split(".")
        place: Any = left
        for parent in parents:
            place[parent] = dict(place.get(parent, {}))
            place = place[parent]
        place.pop(name, None)
    return left
