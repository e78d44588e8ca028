"""What a run tells the person who started it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from tablesense.module import TableDETRModule
from tablesense.pictures import contact_sheet


class RunReport(Callback):
    """A line for each epoch and a few at the end, on the standard output, whatever the progress bar does.

    Args:
        folder: Where the run is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is trained on what."""
        parameters = list(pl_module.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        print(f"run folder: {self.folder}", flush=True)
        print(
            f"{sum(p.numel() for p in parameters):,} parameters, {trained:,} of them trained; "
            f"{len(data.train_pages):,} pages to train on, {len(data.val_pages):,} to validate on",
            flush=True,
        )

    @rank_zero_only
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line of the epoch's figures."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        shown = ("train/loss", "val/loss", "val/f1", "val/precision", "val/recall", "val/wf1", "val/map")
        figures = "  ".join(f"{name} {metrics[name]:.3f}" for name in shown if name in metrics)
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}", flush=True)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the best checkpoint, draw what it finds on a few pages, and say what comes next."""
        checkpoint = trainer.checkpoint_callback
        if not getattr(checkpoint, "best_model_path", ""):
            return
        best = self.folder / "checkpoints" / Path(checkpoint.best_model_path).name  # type: ignore[union-attr]
        score = getattr(checkpoint, "best_model_score", None)
        print(f"best val/f1 {float(score):.3f}: {best}" if score is not None else f"checkpoint: {best}")
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        pages = data.val_pages[:: max(1, len(data.val_pages) // 8)][:8]
        picture = self.folder / "found.png"
        contact_sheet(TableDETRModule.load_from_checkpoint(best, map_location="cpu"), pages).save(picture)
        print(f"pages it was validated on, truth in green, finds in red: {picture}")
        print(f"next: tablesense test --config {self.folder / 'config.yaml'} --ckpt_path {best}", flush=True)
