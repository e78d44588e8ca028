"""Showing a run in a tracker: what Weights & Biases and TensorBoard have beyond scalars."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image

from tablesense.experiment.alarms import Alarm
from tablesense.experiment.analysis import KINDS, Analysis
from tablesense.experiment.evaluation import FOLDER, ScoredPage, Which

Shown = Mapping[Which, tuple[Sequence[ScoredPage], Analysis]]
"""The epochs that are shown, "best" and "last": their pages and how well tables are found on them."""


def define_axes(loggers: Iterable[Logger]) -> None:
    """Have W&B draw what is logged once an epoch over epochs."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            run = logger.experiment
            run.define_metric("epoch", hidden=True)
            # No `summary="max"`: it would make a dict of the value that a sweep compares.
            run.define_metric("val/*", step_metric="epoch")


def show_architecture(
    loggers: Iterable[Logger], text: str, experiment: str, figures: Mapping[str, Any]
) -> None:
    """Show what the network looks like.

    Args:
        loggers: Who is told. A run of W&B that goes on has it already.
        text: The description.
        experiment: The experiment's name; W&B's artifact is `<experiment>_architecture`.
        figures: Numbers of parameters, the artifact's metadata.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger) and not logger.experiment.resumed:
            artifact = _artifact(f"{experiment}_architecture", "model_architecture", figures)
            with artifact.new_file("architecture.txt", mode="w", encoding="utf-8") as file:
                file.write(text)
            logger.experiment.log_artifact(artifact)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("model/architecture", f"```\n{text}\n```")


def show_data(loggers: Iterable[Logger], data: Mapping[str, Any]) -> None:
    """Show the histograms of the training and validation pages; see `tablesense.experiment.dataset`."""
    histograms = {
        f"data/{split}_{name}": data[split][name]
        for split in ("train", "val")
        for name in ("box_area", "box_aspect")
        if data.get(split, {}).get("tables")
    }
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            logger.experiment.summary.update(
                {
                    name: wandb.Histogram(np_histogram=(np.array(h["counts"]), np.array(h["edges"])))
                    for name, h in histograms.items()
                }
            )
        elif isinstance(logger, TensorBoardLogger):
            for name, h in histograms.items():
                edges, counts = np.array(h["edges"]), np.array(h["counts"])
                centres = (edges[1:] + edges[:-1]) / 2
                logger.experiment.add_histogram_raw(
                    name,
                    min=edges[0],
                    max=edges[-1],
                    num=counts.sum(),
                    sum=(centres * counts).sum(),
                    sum_squares=(centres**2 * counts).sum(),
                    bucket_limits=edges[1:].tolist(),
                    bucket_counts=counts.tolist(),
                )


def watch(loggers: Iterable[Logger], network: torch.nn.Module) -> None:
    """Have W&B draw histograms of the gradients every 100 steps."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.watch(network, log="gradients", log_freq=100, log_graph=False)


def alert(loggers: Iterable[Logger], alarm: Alarm) -> None:
    """Have W&B send an alarm to whoever asked for such messages there."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.alert(title=alarm.title, text=f"Epoch {alarm.epoch}. {alarm.text}")
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("alarms", f"**{alarm.title}** {alarm.text}", alarm.epoch)


def show_best(loggers: Iterable[Logger], epoch: int, metrics: Mapping[str, float]) -> None:
    """Keep the best epoch's figures in W&B's summary, where `val/f1` itself is that of the last epoch."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            best = {f"best/{name.removeprefix('val/')}": value for name, value in metrics.items()}
            logger.experiment.summary.update({"best/epoch": epoch, **best})


def show_evaluation(
    loggers: Iterable[Logger], shown: Shown, class_names: Sequence[str], worst: int, sheet: Image.Image | None
) -> None:
    """Show where the detector is right and where it fails.

    Args:
        loggers: Who is told.
        shown: The best and the last epoch.
        class_names: In the order of the labels.
        worst: How many of the worst pages.
        sheet: The fixed pages of the best epoch as one picture.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.log(_media(shown, class_names, worst))
        elif isinstance(logger, TensorBoardLogger):
            if sheet is not None:
                logger.experiment.add_image("evaluation/pages", np.asarray(sheet), dataformats="HWC")
            for which, (_, analysis) in shown.items():
                errors = "\n".join(f"| {kind} | {n} |" for kind, n in analysis.errors.items())
                logger.experiment.add_text(
                    f"evaluation/{which}/errors", f"| error | number |\n|-|-|\n{errors}"
                )


def _media(shown: Shown, class_names: Sequence[str], worst: int) -> dict[str, Any]:
    """Pages with boxes that can be switched, curves and tables, as W&B takes them."""
    import wandb

    media: dict[str, Any] = {}
    errors = wandb.Table(columns=["error", *shown, "meaning"])
    for kind, meaning in KINDS.items():
        errors.add_data(kind, *(analysis.errors[kind] for _, analysis in shown.values()), meaning)
    slices = wandb.Table(columns=["epoch", "group", "part", "tables", "precision", "recall", "f1"])
    for which, (pages, analysis) in shown.items():
        at = f"evaluation/{which}"
        fixed = [page for page in pages if page.fixed]
        failing = [pages[i] for i in analysis.worst(worst)]
        for name, some in ("pages", fixed), ("worst_pages", failing):
            if drawn := _images(some, class_names):
                media[f"{at}/{name}"] = drawn
        table = wandb.Table(columns=["threshold", "precision", "recall", "f1"])
        for row in zip(analysis.scores, analysis.precision, analysis.recall, analysis.f1, strict=True):
            table.add_data(*row)
        if analysis.scores:
            title = f"Precision and recall, {which} epoch"
            media[f"{at}/precision_recall"] = wandb.plot.line(table, "recall", "precision", title=title)
            title = f"F1 over the score threshold, {which} epoch"
            media[f"{at}/f1_over_threshold"] = wandb.plot.line(table, "threshold", "f1", title=title)
        for part in analysis.slices:
            slices.add_data(which, part.group, part.name, part.tables, part.precision, part.recall, part.f1)
    return media | {"evaluation/errors": errors, "evaluation/slices": slices}


def _images(pages: Sequence[ScoredPage], class_names: Sequence[str]) -> list[Any]:
    """Pages with their boxes, all on canvases of one size, which W&B shows a list of pictures with."""
    pictures = [(page, Image.open(page.picture)) for page in pages if page.picture]
    width = max((picture.width for _, picture in pictures), default=0)
    height = max((picture.height for _, picture in pictures), default=0)
    images = []
    for page, picture in pictures:
        canvas = Image.new("RGB", (width, height), "lightgrey")
        canvas.paste(picture)
        scale = picture.width / page.size[0] / width, picture.height / page.size[1] / height
        images.append(_image(page, canvas, scale, class_names))
    return images


def _image(
    page: ScoredPage, canvas: Image.Image, scale: tuple[float, float], class_names: Sequence[str]
) -> Any:
    import wandb

    names = dict(enumerate(class_names))
    truth = zip(page.boxes.tolist(), page.labels.tolist(), strict=True)
    finds = zip(page.found.tolist(), page.found_labels.tolist(), page.scores.tolist(), strict=True)
    data = {
        "truth": [_box(sides, label, scale, names[label]) for sides, label in truth],
        "finds": [
            {**_box(sides, label, scale, f"{score:.2f}"), "scores": {"score": score}}
            for sides, label, score in finds
        ],
    }
    boxes = {key: {"box_data": some, "class_labels": names} for key, some in data.items()}
    scores = ", ".join(f"{score:.2f}" for score in page.scores.tolist()[:5])
    tables = f"{len(page.boxes)} table{'s' * (len(page.boxes) != 1)}"
    caption = f"{page.name}: {tables}; highest scores {scores or 'none'}"
    return wandb.Image(canvas, boxes=boxes, caption=caption, file_type="jpg")


def _box(sides: Sequence[float], label: int, scale: tuple[float, float], caption: str) -> dict[str, Any]:
    """A box as W&B takes it, in shares of the picture."""
    (x0, y0, x1, y1), (x, y) = sides, scale
    position = {"minX": x0 * x, "minY": y0 * y, "maxX": x1 * x, "maxY": y1 * y}
    return {"position": position, "class_id": label, "box_caption": caption}


ONLY_TO_GO_ON = (
    "optimizer_states",
    "lr_schedulers",
    "callbacks",
    "loops",
    "averaging_state",
    "current_model_state",
    "TableDataModule",
)
"""What a checkpoint holds that only going on with the training needs."""


def log_weights(
    loggers: Iterable[Logger], checkpoint: Path, experiment: str, metrics: Mapping[str, float], best: bool
) -> None:
    """Keep the best weights as W&B's artifact `<experiment>_weights`, less `ONLY_TO_GO_ON`.

    Args:
        loggers: Who is told.
        checkpoint: The best one.
        experiment: The experiment's name.
        metrics: The best epoch's, the artifact's metadata.
        best: Whether the run had no better ones before it was gone on with.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
            for name in ONLY_TO_GO_ON:
                kept.pop(name, None)
            artifact = _artifact(f"{experiment}_weights", "model", metrics)
            with artifact.new_file("best.ckpt", mode="wb") as file:
                torch.save(kept, file)
            logger.experiment.log_artifact(artifact, aliases=["best", "latest"] if best else ["latest"])


def log_predictions(loggers: Iterable[Logger], folder: Path, experiment: str) -> None:
    """Keep what was found, in COCO's format, as W&B's artifact `<experiment>_predictions`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            artifact = _artifact(f"{experiment}_predictions", "predictions", {})
            for path in sorted((folder / FOLDER).glob("*.json")):
                artifact.add_file(str(path))
            logger.experiment.log_artifact(artifact)


def _artifact(name: str, kind: str, metadata: Mapping[str, Any]) -> Any:
    import wandb

    return wandb.Artifact(re.sub(r"[^\w.-]", "_", name), type=kind, metadata=dict(metadata))
