"""The verbs that run a trainer: LightningCLI with tablesense's configuration surface."""

from __future__ import annotations

import argparse
import logging
import re
import signal
import warnings
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from tablesense.callbacks import BestCheckpoint, RunReport, last_checkpoint
from tablesense.data.datamodule import TableDataModule
from tablesense.errors import UserError
from tablesense.experiment.logger import ExperimentLogger
from tablesense.explain import explain, explain_value
from tablesense.loggers import LoggingConfig, build_loggers, finish, new_run_folder
from tablesense.module import TableDETRModule
from tablesense.precision import fastest_precision
from tablesense.pretrained import different_network
from tablesense.training import TrainingConfig
from tablesense.trial import Trial


def run(arguments: list[str]) -> int:
    """Run `fit`, `validate` or `test`.

    Args:
        arguments: The verb and its options.

    Returns:
        The exit status.

    Raises:
        UserError: Something in the configuration, the data or a checkpoint is not as it should be.
    """
    _quieten()
    trial = Trial.from_environment()
    if trial and trial.folder:
        trial.end_with_sweep()
    try:
        TableCLI.from_arguments(arguments)
    except MisconfigurationException as error:  # Lightning's word for what a person can put right
        raise UserError(" ".join(str(error).split())) from error
    except ValueError as error:
        if plain := explain_value(str(error)):
            raise UserError(plain) from error
        raise
    except SIGTERMException:
        return _stopped(signal.SIGTERM)
    except KeyboardInterrupt:
        return _stopped(signal.SIGINT)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning's, once the trainer is taken down
            return _stopped(signal.SIGINT)
        raise
    return 0


def _stopped(by: signal.Signals) -> int:
    """End a training that was stopped from outside: by a person, by an agent, by a cluster.

    To W&B's agent a run that it stopped early is a run like any other, so the status is 0: after a few runs
    with another one it would give up the sweep. Weights & Biases is told 255, its own code of an interrupt,
    which makes the run "killed" there and not "crashed". Else it is what a shell expects of the signal.
    """
    finish(exit_code=255)
    trial = Trial.from_environment()
    return 0 if trial and trial.run_id else 128 + by


def _quieten() -> None:
    """Keep advertisements, and warnings that nobody who trains a detector can act on, from the terminal."""
    logging.basicConfig(format="tablesense: %(message)s", level=logging.WARNING)
    silent = re.compile("Tip:|TPU available|Loading `train_dataloader`|`Trainer.fit` stopped")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: not silent.search(record.getMessage())
    )
    for message in (
        ".*does not have many workers.*",
        ".*is deprecated, use.*",
        ".*smaller than the logging interval.*",
        ".*exists and is not empty. Previous log files.*",  # the run's own configuration
        ".*callbacks used to create the checkpoint need to be provided.*",  # scoring needs none of them
        ".*The dirpath has changed.*",  # a run that goes on has a folder of its own
        ".*is not supported by the model summary.*",  # of the size in MB, which nobody asked for
    ):
        warnings.filterwarnings("ignore", message)


class SaveConfig(SaveConfigCallback):
    """Saves the configuration that is used in the run's folder, wherever the loggers keep their files."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write config.yaml, once and on the first process.

        It does not name the run's folder: what is trained from it has a folder of its own.
        """
        path = Path(trainer.default_root_dir) / self.config_filename
        config = self.config.clone()
        config.trainer.default_root_dir = None
        self.parser.save(config, str(path), skip_none=False, overwrite=True, multifile=False)


class TableCLI(LightningCLI):
    """LightningCLI with the keys `model.*`, `data.*`, `training.*`, `trainer.*` and `logging.*`."""

    _goes_on: str | None = None
    """The run in Weights & Biases of the training that goes on."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> TableCLI:
        """Parse `arguments` and do what they say."""
        options: dict[str, Any] = {"exit_on_error": False}
        return cls(
            TableDETRModule,
            TableDataModule,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=1,
            parser_kwargs=options | dict.fromkeys(cls.subcommands(), options),
            args=arguments,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's verbs, less `predict`."""
        verbs = LightningCLI.subcommands()
        return {name: verbs[name] for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `training` and `logging`, and tie together what has one meaning."""
        parser.add_argument("--training", type=TrainingConfig, default=TrainingConfig())
        parser.add_argument("--logging", type=LoggingConfig, default=LoggingConfig())
        for field in fields(TrainingConfig):
            parser.link_arguments(f"training.{field.name}", f"model.training.{field.name}")
        parser.link_arguments("training.gradient_accumulation_steps", "trainer.accumulate_grad_batches")
        parser.link_arguments("data.image_size", "model.image_size")
        parser.link_arguments("data.class_names", "model.class_names", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line.

        Raises:
            UserError: There is an unknown key, a value of the wrong type, or a value of a sweep that did
                not arrive.
        """
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            known = {action.dest for action in self._subcommand_parsers[args[0]]._actions}
            raise UserError(explain(str(error), known)) from error
        trial = Trial.from_environment()
        if trial and args[0] == "fit":
            trial.check(dict(self.config.fit.items()))
        trainer = self.config[args[0]].trainer
        if trainer.precision is None and not trainer.plugins:
            trainer.precision = fastest_precision(trainer.accelerator)  # config.yaml names it

    def _parse_ckpt_path(self) -> None:
        """Bring configuration and checkpoint together before anything is built.

        A checkpoint that is scored brings its own network, classes, page size and thresholds; one that
        training goes on from must be of the network that the configuration describes.
        """
        verb = self.config.subcommand
        config = self.config[verb]
        if config.get("ckpt_path") is None:
            if verb != "fit" and config.model.detr.pretrained is None:
                raise UserError(
                    f"{verb}: expected a trained network, found none: give a run's checkpoint, such as "
                    "--ckpt_path=runs/detr/001/checkpoints/best.ckpt, or --model.detr.pretrained"
                )
            return
        path = Path(config.ckpt_path)
        kept = _read_checkpoint(path)
        hyper = kept["hyper_parameters"]
        if verb == "fit":
            _check_resume(path, kept, config)
            logged = kept.get("callbacks", {}).get(ExperimentLogger.__qualname__, {})
            self._goes_on = logged.get("wandb_run_id")
            return
        given = {
            "model.score_threshold": config.model.score_threshold,
            "model.nms_iou": config.model.nms_iou,
            "data.image_size": config.data.image_size,
            "data.class_names": config.data.class_names,
        }
        for part in "detr", "loss":
            config.model[part] = Namespace(hyper[part])  # type: ignore[no-untyped-call]
        config.model.score_threshold, config.model.nms_iou = hyper["score_threshold"], hyper["nms_iou"]
        config.model.image_size = config.data.image_size = hyper["image_size"]
        config.data.class_names = hyper["class_names"]
        kept_values = {key: hyper[key.split(".")[1]] for key in given}
        taken = [
            f"{key} = {kept_values[key]}"
            for key, value in given.items()
            if value is not None and value != kept_values[key]
        ]
        if taken:
            print(f"taken from the checkpoint: {', '.join(taken)}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; a training gets a folder of its own with its loggers and checkpoints in it."""
        trainer = self._get(self.config_init, "trainer")
        if self.subcommand != "fit":
            self.save_config_callback = None
            return self._trainer(logger=trainer["logger"] or False, **kwargs)
        if any(source.path is not None for source in self.datamodule.selection.named.values()):
            # What is wrong with the pages is said before a run is made
            _ = self.datamodule.train_pages, self.datamodule.val_pages
        settings = self._get(self.config_init, "logging")
        trial = Trial.from_environment()
        given = _given_folder(trainer["default_root_dir"])
        folder = given or new_run_folder(settings, trial)
        callbacks: list[Callback] = []
        if trainer["enable_checkpointing"] is not False:
            # The monitored one comes first: it is the trainer's `checkpoint_callback`.
            callbacks = [BestCheckpoint(folder / "checkpoints"), last_checkpoint(folder / "checkpoints")]
        callbacks += [
            *_listed(trainer["callbacks"]),
            ExperimentLogger(settings, folder, settings.name, self._resolved()),
            RunReport(folder),
        ]
        if trainer["fast_dev_run"] and trial is None:  # Lightning tells no logger then
            settings = replace(settings, wandb="off")
        try:
            if trainer["logger"] is not False:
                kwargs["logger"] = self._loggers(trainer["logger"], settings, folder, trial)
            return self._trainer(default_root_dir=str(folder), callbacks=callbacks, **kwargs)
        except Exception:
            if given is None and trial is None:
                with suppress(OSError):  # there is something in it
                    folder.rmdir()
            raise

    def _loggers(
        self, given: Any, settings: LoggingConfig, folder: Path, trial: Trial | None
    ) -> list[Logger]:
        """The run's own loggers, and those of the configuration, None, True, a logger or several."""
        own: list[Logger] = [] if given is True else _listed(given)
        if trial is None and any(isinstance(logger, WandbLogger) for logger in own):
            settings = replace(settings, wandb="off")  # a process has one run there
        return [*build_loggers(settings, folder, trial, self._goes_on), *own]

    def _trainer(self, **kwargs: Any) -> Trainer:
        try:
            return super().instantiate_trainer(**kwargs)
        except ValueError as error:  # an accelerator, a strategy, a precision that there is not
            raise UserError(f"trainer: {' '.join(str(error).split())}") from error

    def _resolved(self) -> dict[str, Any]:
        """The configuration that is used, as config.yaml has it, less the names of the files it came from."""
        text = self._parser(self.subcommand).dump(self.config[self.subcommand], skip_none=False)
        config: dict[str, Any] = yaml.safe_load(text)
        config.pop("config", None)
        return config


def _listed(given: Any) -> list[Any]:
    """None, one or several, as a list."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _given_folder(folder: str | None) -> Path | None:
    if folder is None:
        return None
    if (Path(folder) / "config.yaml").exists():
        raise UserError(
            f"trainer.default_root_dir: {folder} holds a run already: name another folder, or none, and "
            "each run gets its own"
        )
    return Path(folder)


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(
            "ckpt_path: expected a checkpoint of a run, such as runs/detr/001/checkpoints/best.ckpt, "
            f"found no file {path}"
        )
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        for name in "detr", "loss", "score_threshold", "nms_iou", "image_size", "class_names":
            kept["hyper_parameters"][name]
    except Exception as error:
        raise UserError(
            f"ckpt_path: {path} is not a checkpoint of tablesense: expected one that `tablesense fit` wrote"
        ) from error
    return kept


def _check_resume(path: Path, kept: dict[str, Any], config: Namespace) -> None:
    """Refuse to go on where going on would not do what was asked for."""
    anew = "start a new training from its weights with model.detr.pretrained"
    if "optimizer_states" not in kept:
        raise UserError(f"ckpt_path: {path} has weights alone, which no training goes on from: {anew}")
    differences = different_network(kept["hyper_parameters"]["detr"], vars(config.model.detr))
    if differences:
        raise UserError(f"ckpt_path: {path} is of another network: {'; '.join(differences)}")
    done, asked = kept["epoch"] + 1, config.trainer.max_epochs
    if asked is not None and 0 <= asked <= done:
        raise UserError(
            f"ckpt_path: {path} has been trained for {done} epochs, and trainer.max_epochs is {asked}: "
            f"give more, or {anew}"
        )
    before, now = kept["hyper_parameters"]["training"], vars(config.training)
    names = ["lr", "backbone_lr", "offsets_lr_ratio", "weight_decay", "lr_scaling"]
    if now["lr_scaling"] != "none":
        names.append("gradient_accumulation_steps")
    changed = [f"training.{name}" for name in names if before.get(name, now[name]) != now[name]]
    if (before.get("ema_decay") is None) != (now["ema_decay"] is None):
        changed.append("training.ema_decay")
    frozen = config.model.detr.frozen_stages
    if kept["hyper_parameters"]["detr"].get("frozen_stages", frozen) != frozen:
        changed.append("model.detr.frozen_stages")
    if changed:
        raise UserError(
            f"ckpt_path: going on keeps how {path} was trained, but {' and '.join(changed)} changed: {anew}"
        )
