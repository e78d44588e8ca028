"""The verbs that run a trainer: LightningCLI with tablesense's configuration surface."""

from __future__ import annotations

import argparse
import logging
import re
import warnings
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger

from tablesense.callbacks import RunReport
from tablesense.data.datamodule import TableDataModule
from tablesense.errors import UserError
from tablesense.loggers import LoggingConfig, build_loggers, new_run_folder
from tablesense.module import TableDETRModule
from tablesense.training import TrainingConfig


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
    TableCLI.from_arguments(arguments)
    return 0


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
    ):
        warnings.filterwarnings("ignore", message)


class SaveConfig(SaveConfigCallback):
    """Save the configuration that was used beside the run, and give it to the loggers once."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the resolved configuration, each value under one name."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        config.pop("config", None)
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):  # it would write the same file once more
                logger.log_hyperparams(config)


class TableCLI(LightningCLI):
    """LightningCLI with the keys `model.*`, `data.*`, `training.*`, `trainer.*` and `logging.*`."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> TableCLI:
        """Parse `arguments` and do what they say."""
        options: dict[str, Any] = {"exit_on_error": False}
        return cls(
            TableDETRModule,
            TableDataModule,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},  # a run's folder is its own
            trainer_defaults={"enable_model_summary": False},
            seed_everything_default=1,
            parser_kwargs=options | dict.fromkeys(cls.subcommands(), options),
            args=arguments,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line.

        Raises:
            UserError: There is an unknown key, or a value of the wrong type.
        """
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            known = {action.dest for action in self._subcommand_parsers[args[0]]._actions}
            raise UserError(explain(str(error), known)) from error

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

    def _parse_ckpt_path(self) -> None:
        """Bring configuration and checkpoint together before anything is built.

        A checkpoint that is scored brings its own network, classes and page size; one that training
        goes on from must be of the network that the configuration describes.
        """
        config = self.config[self.config.subcommand]
        path = config.get("ckpt_path")
        if path is None or (path in ("best", "last", "hpc", "registry") and not Path(path).exists()):
            return
        kept = _hyperparameters(Path(path))
        if self.config.subcommand == "fit":
            _refuse_other_network(Path(path), kept, config)
            return
        for key in "detr", "loss":
            config.model[key] = Namespace(kept[key])  # type: ignore[no-untyped-call]
        config.model.score_threshold, config.model.nms_iou = kept["score_threshold"], kept["nms_iou"]
        config.model.image_size = config.data.image_size = kept["image_size"]
        config.data.class_names = kept["class_names"]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; a training gets a folder of its own with its loggers and checkpoints in it."""
        trainer = self._get(self.config_init, "trainer")
        if self.subcommand != "fit":
            self.save_config_callback = None
            return super().instantiate_trainer(logger=trainer["logger"] or False, **kwargs)
        settings = self._get(self.config_init, "logging")
        folder = Path(trainer["default_root_dir"] or new_run_folder(settings))
        callbacks = [*(trainer["callbacks"] or []), RunReport(folder)]
        if trainer["enable_checkpointing"] is not False:
            callbacks.append(best_checkpoint(folder / "checkpoints"))
        if trainer["logger"] is None or trainer["logger"] is True:
            kwargs["logger"] = build_loggers(settings, folder)
        return super().instantiate_trainer(default_root_dir=str(folder), callbacks=callbacks, **kwargs)


def best_checkpoint(folder: Path) -> ModelCheckpoint:
    """Keep the checkpoint with the best `val/f1` as best.ckpt, and the last one as last.ckpt."""
    return ModelCheckpoint(
        folder, filename="best", monitor="val/f1", mode="max", save_last=True, enable_version_counter=False
    )


def _hyperparameters(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(
            "ckpt_path: expected a checkpoint of a run, such as runs/detr/001/checkpoints/best.ckpt, "
            f"found no file {path}"
        )
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["hyper_parameters"]
        names = "detr", "loss", "score_threshold", "nms_iou", "image_size", "class_names"
        return {name: kept[name] for name in names}
    except Exception as error:
        raise UserError(
            f"ckpt_path: {path} is not a checkpoint of tablesense: expected one that `tablesense fit` wrote"
        ) from error


def _refuse_other_network(path: Path, kept: dict[str, Any], config: Namespace) -> None:
    here = vars(config.model.detr)
    differences = [
        f"model.detr.{name} is {value!r} there and {here[name]!r} here"
        for name, value in kept["detr"].items()
        if name not in ("pretrained", "backbone_weights", "dropout") and _plain(here[name]) != _plain(value)
    ]
    if differences:
        raise UserError(f"ckpt_path: {path} is of another network: {'; '.join(differences)}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_UNKNOWN = re.compile(r"(?:unrecognized arguments: --|accept option '|[Kk]ey [\"'])([\w.]+)(?!.*Expected)")
_WRONG_TYPE = re.compile(r"key \"([\w.]+)\": Expected an? (.+?)\. Got value: (.+)")


def explain(message: str, known: set[str]) -> str:
    """Say in one line what was wrong with a command or a recipe.

    Args:
        message: jsonargparse's message.
        known: The right keys, from which the nearest to a wrong one is named.
    """
    message = " ".join(message.split())
    if found := _WRONG_TYPE.search(message):
        key, kind, value = found.groups()
        kind = re.sub(r"<class '([\w.]+)'>", r"\1", kind)
        kind = re.sub(r"typing\.Literal\[(.+)\]", r"one of \1", kind)
        return f"{key}: expected {kind}, found {value}"
    if "File does not exist" in message:
        return f"--config: no file {message.rsplit(': ', 1)[1]}"
    if found := _UNKNOWN.search(message):
        near = get_close_matches(found[1], known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else "see tablesense fit --help for all keys"
        return f"unknown key {found[1]}: {hint}"
    return message
