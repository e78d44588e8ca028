"""What a run keeps, and what it tells the person who started it."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from tablesense.precision import cpu_has_bf16

log = logging.getLogger(__name__)

METRICS = ("train/loss_epoch", "val/loss", "val/f1", "val/precision", "val/recall", "val/wf1", "val/map")


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint that does not tell where on the machine it was saved."""

    def state_dict(self) -> dict[str, Any]:
        """Lightning's, with paths relative to the working folder."""
        state = super().state_dict()
        for name, value in state.items():
            if isinstance(value, str) and os.path.isabs(value):
                state[name] = os.path.relpath(value)
            elif isinstance(value, dict):
                state[name] = {os.path.relpath(path): score for path, score in value.items()}
        return state


class BestCheckpoint(RunCheckpoint):
    """Keeps the checkpoint with the best `val/f1` as best.ckpt.

    An epoch in which `val/f1` is not defined (no table on the pages, and none found) is no best one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, filename="best", monitor="val/f1", mode="max", enable_version_counter=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare this epoch's `val/f1` with the best one."""
        if "val/f1" in trainer.callback_metrics:
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same, where validation comes at the end of an epoch."""
        if "val/f1" in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)


def last_checkpoint(folder: Path) -> RunCheckpoint:
    """Keeps the state at the end of every epoch as last.ckpt, to go on from.

    Lightning's `save_last` writes only when there is a new best one.
    """
    return RunCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)


class RunReport(Callback):
    """A line for each epoch and a few at the end, on the standard output, whatever the progress bar does.

    Args:
        folder: Where the run is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._validated = False

    @rank_zero_only
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is trained on what, and who is told of it."""
        parameters = list(pl_module.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        print(f"run folder: {self.folder}")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                where = (
                    logger.experiment.url
                    or f"offline; later: {_command('wandb', 'sync', Path(logger.experiment.dir).parent)}"
                )
                print(f"Weights & Biases: {where}")
        print(
            f"{sum(p.numel() for p in parameters):,} parameters, {trained:,} of them trained; "
            f"{len(data.train_pages):,} pages to train on, {len(data.val_pages):,} to validate on",
            flush=True,
        )
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if on_cpu and str(trainer.precision).startswith("bf16") and cpu_has_bf16() is False:
            log.warning(
                "trainer.precision=%s is slow on this processor, which has no instructions for it: "
                "leave it out, or take 32-true",
                trainer.precision,
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing is known of this epoch yet."""
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The figures of the validation are this epoch's."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line of the epoch's figures."""
        # On every process: reading a metric may bring it together from all of them.
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        names = [name for name in METRICS if self._validated or name.startswith("train/")]
        figures = "  ".join(f"{name} {metrics[name]:.3f}" for name in names if name in metrics)
        most = trainer.max_epochs or -1
        if trainer.is_global_zero:
            print(f"epoch {trainer.current_epoch + 1}{f'/{most}' * (most > 0)}  {figures}", flush=True)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the best checkpoint and what there is to look at, and say what comes next."""
        best = self.folder / "checkpoints" / "best.ckpt"
        score = getattr(trainer.checkpoint_callback, "best_model_score", None)
        if best.is_file():
            print(f"best val/f1 {float(score or 0):.3f}: {best}")
            self._what_to_look_at()
            print(f"next: {self._tablesense('test', best)}", flush=True)
        else:
            self._what_to_look_at()
            if trainer.checkpoint_callback and not trainer.fast_dev_run:  # type: ignore[attr-defined]
                print("no val/f1 was defined, so there is no best checkpoint", flush=True)

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say how to go on from what was trained."""
        self._how_to_go_on()

    def _what_to_look_at(self) -> None:
        looks = {
            "found.png": "pages it was validated on, truth in green, finds in red",
            "report.html": "report, for a browser",
        }
        for name, what in looks.items():
            if (self.folder / name).is_file():
                print(f"{what}: {self.folder / name}")

    def _how_to_go_on(self) -> None:
        self._what_to_look_at()
        last = self.folder / "checkpoints" / "last.ckpt"
        if last.is_file():
            print(f"to go on: {self._tablesense('fit', last)}", flush=True)

    def _tablesense(self, verb: str, checkpoint: Path) -> str:
        return _command(
            "tablesense", verb, "--config", self.folder / "config.yaml", "--ckpt_path", checkpoint
        )


def _command(*words: str | Path) -> str:
    """What a person can type into a shell, whatever is in the names of the files."""
    return shlex.join(map(str, words))
