"""`ExperimentLogger`: everything about a run, to its folder and to every logger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from tablesense.errors import UserError
from tablesense.experiment import tracker
from tablesense.experiment.alarms import Alarms
from tablesense.experiment.dynamics import Dynamics, balance
from tablesense.experiment.environment import describe
from tablesense.experiment.privacy import private
from tablesense.experiment.recorder import Recorder
from tablesense.experiment.start import (
    log_dataset_stats,
    log_hyperparameters,
    log_model_summary,
    parameters,
)
from tablesense.files import write_json
from tablesense.loggers import LoggingConfig
from tablesense.pictures import contact_sheet
from tablesense.trial import Trial

log = logging.getLogger(__name__)


class ExperimentLogger(Callback):
    """Keeps what explains a run: parameters, model, data, gradients, how it went, where it fails.

    The run's folder gets `run.json` (command, code, versions, machine), `architecture.txt`, `data.json`,
    `evaluation/` (truth and finds in COCO's format, pictures of pages), `found.png` and `report.html`; every
    logger gets the scalars, Weights & Biases and TensorBoard what else they can show. Only the first process
    of several writes.

    Args:
        config: What is logged; None for the defaults.
        folder: The run's folder; None takes the first logger's, or else the trainer's.
        experiment: The experiment's name, for artifacts; None takes the name of the folder's folder.
        parameters: The configuration that is logged; None takes the module's own.
    """

    folder: Path
    experiment: str

    def __init__(
        self,
        config: LoggingConfig | None = None,
        folder: Path | None = None,
        experiment: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.parameters = config or LoggingConfig(), parameters
        self._given = folder, experiment
        self.run: dict[str, Any] = {}
        self._dynamics = Dynamics()
        self._recorder: Recorder | None = None
        self._alarms: Alarms | None = None
        self._tracker_id: str | None = None
        self._best_f1 = -inf
        self._best_is_here = False

    # -- the beginning -----------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the training before; what a checkpoint tells of it comes after this."""
        if stage == "fit":
            self._tracker_id, self._best_f1, self._best_is_here = None, -inf, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is known before the first step."""
        module: Any = pl_module
        folder, experiment = self._given
        self.folder = folder or Path(trainer.log_dir or trainer.default_root_dir)
        self.experiment = experiment or self.folder.resolve().parent.name
        threshold = module.score_threshold
        self._alarms = Alarms(module.training_config.warmup_epochs, threshold)
        self._recorder = None
        if self.config.log_evaluation:
            self._recorder = Recorder(self.folder, module.class_names, threshold, self.config.log_pictures)
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._describe(trainer, module)

    def _describe(self, trainer: Trainer, module: Any) -> None:
        before, self._tracker_id = self._tracker_id, None
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._tracker_id = logger.experiment.id
        if self._tracker_id != before:  # a new run there, which has no best epoch yet
            self._best_f1 = -inf
        total, trained = parameters(module)
        made_with = describe(trainer)
        self.run = {
            **made_with,
            "parameters": {"total": total, "trainable": trained},
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": 0.0,
            "state": "running",
            "alarms": [],
        }
        self._began = perf_counter()
        write_json(self.folder / "run.json", self.run)
        logged: dict[str, Any] = {}
        if self.config.log_hyperparameters:
            own = {"model": dict(module.hparams)} if self.parameters is None else self.parameters
            logged |= {**private(own), "environment": made_with}
        if self.config.log_model_summary:
            logged |= log_model_summary(trainer.loggers, module, self.folder, self.experiment)
        if self.config.log_dataset_stats:
            data = getattr(trainer, "datamodule", None)
            logged |= log_dataset_stats(trainer.loggers, data, self.folder)
        if logged:
            log_hyperparameters(trainer.loggers, logged)
        if self.config.log_gradients:
            tracker.watch(trainer.loggers, module.detr)
        tracker.define_axes(trainer.loggers)

    # -- the epochs --------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to add up."""
        self._dynamics.begin(perf_counter())

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A batch is there."""
        self._dynamics.step_begins(perf_counter())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Measure the gradients before they are clipped."""
        if self.config.log_dynamics:
            self._dynamics.gradients(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A batch was trained on."""
        module: Any = pl_module
        self._dynamics.step_ends(perf_counter(), len(batch["names"]), module.criterion.matching)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to keep what is found."""
        if self._recorder and _counts(trainer):
            loaders: Any = trainer.val_dataloaders
            pages = getattr(getattr(loaders, "dataset", None), "pages", None)
            if pages is None:  # pages of somebody's own: nothing is known of them but their tensors
                self._recorder = None
            else:
                self._recorder.begin(pages)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was found on a batch."""
        if self._recorder and _counts(trainer):
            self._recorder.add(batch, outputs["found"])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was found in this epoch."""
        self._dynamics.resume(perf_counter())
        if not _counts(trainer):
            return
        metrics = _finite(trainer.callback_metrics, "val/")
        epoch, f1, best = trainer.current_epoch + 1, metrics.get("val/f1", -inf), self._best_f1
        self._best_f1, self._best_is_here = max(f1, best), self._best_is_here or f1 >= best
        if self._recorder:
            self._recorder.end(epoch, metrics)
            if f1 > best and trainer.is_global_zero:
                tracker.show_best(trainer.loggers, epoch, metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log how the epoch went, and sound an alarm where it went wrong."""
        module: Any = pl_module
        metrics = _finite(trainer.callback_metrics)
        if self.config.log_dynamics:
            values = self._dynamics.end(trainer.optimizers[0], trainer.world_size)
            values |= balance(metrics, module.loss_config)
            # The first process speaks for all: what is not defined on one must not keep another waiting.
            pl_module.log_dict(_finite(values), rank_zero_only=True)
        epoch = trainer.current_epoch + 1
        recorder = self._recorder
        if self._alarms and recorder and recorder.epoch == epoch and "train/loss_epoch" in metrics:
            alarms = self._alarms.watch(
                epoch,
                metrics["train/loss_epoch"],
                metrics.get("val/f1"),
                recorder.highest,
                recorder.number,
            )
            for alarm in alarms:
                log.warning("%s. %s", alarm.title, alarm.text)
                tracker.alert(trainer.loggers, alarm)
                self.run["alarms"].append(asdict(alarm))
                write_json(self.folder / "run.json", self.run)

    # -- the end -----------------------------------------------------------------------------------

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show where the detector fails, keep the artifacts and write the report."""
        self._end("finished")
        self._show(trainer)

    @rank_zero_only
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write down how the run ended; a run that a person interrupts has its report too."""
        if not self.run or trainer.state.fn != TrainerFn.FITTING:
            return
        by_hand = isinstance(exception, KeyboardInterrupt) and Trial.from_environment() is None
        self._end("interrupted" if isinstance(exception, (KeyboardInterrupt, SystemExit)) else "failed")
        if by_hand:
            self._show(trainer)

    def _end(self, state: str) -> None:
        self.run |= {"state": state, "seconds": round(perf_counter() - self._began, 1)}
        write_json(self.folder / "run.json", self.run)

    def _show(self, trainer: Trainer) -> None:
        if self._recorder and (shown := self._recorder.finish()):
            pages, _ = next(iter(shown.values()))
            fixed = [page for page in pages if page.fixed and page.picture]
            sheet = contact_sheet(fixed, self._recorder.info["score_threshold"]) if fixed else None
            if sheet is not None:
                sheet.save(self.folder / "found.png")
            names = self._recorder.class_names
            tracker.show_evaluation(trainer.loggers, shown, names, self.config.log_pictures, sheet)
            if self.config.log_predictions:
                tracker.log_predictions(trainer.loggers, self.folder, self.experiment)
        self._log_weights(trainer)
        if self.config.report:
            for logger in trainer.loggers:
                logger.save()
            from tablesense.experiment.report import write_report

            try:
                write_report([self.folder], self.folder / "report.html")
            except UserError as error:  # the run is what counts
                log.warning("no report was written: %s", error)

    def _log_weights(self, trainer: Trainer) -> None:
        wanted = self.config.log_weights
        if wanted is None:
            wanted = Trial.from_environment() is None
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if wanted and best and Path(best).is_file():
            info = self._recorder.info.get("best", {}) if self._recorder else {}
            metrics = {"epoch": info["epoch"], **info["metrics"]} if info else {}
            tracker.log_weights(trainer.loggers, Path(best), self.experiment, metrics, self._best_is_here)

    # -- going on ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What makes a training that goes on the same run in Weights & Biases: its id, and its best F1."""
        return {"wandb_run_id": self._tracker_id, "best_f1": self._best_f1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave; a checkpoint of an earlier version knows no best."""
        self._tracker_id = state_dict["wandb_run_id"]
        self._best_f1 = state_dict.get("best_f1", -inf)


def _counts(trainer: Trainer) -> bool:
    """Whether a validation belongs to a training, and is not the check before it."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def _finite(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    numbers = {name: float(value) for name, value in values.items() if name.startswith(prefix)}
    return {name: value for name, value in numbers.items() if isfinite(value)}
