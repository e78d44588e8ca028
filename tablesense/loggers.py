"""Where a run is kept: its folder, a CSV of its metrics, and Weights & Biases."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from itertools import count
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from tablesense.errors import UserError
from tablesense.trial import Trial


@dataclass(frozen=True)
class LoggingConfig:
    """Where a run is kept and who is told of it.

    Attributes:
        dir: The folder of all runs.
        name: The name of the experiment; its runs are numbered in `dir/name`.
        wandb: "online", "offline" (files that `wandb sync` sends later), "off", or "auto": online when
            there is a login, offline otherwise. It never asks for a key.
        project: The project in Weights & Biases.
    """

    dir: Path = Path("runs")
    name: str = "detr"
    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str = "tablesense"


def new_run_folder(config: LoggingConfig, trial: Trial | None = None) -> Path:
    """Make the next free folder of an experiment: runs/detr/001, runs/detr/002, ...

    A run of a sweep is named after its id in Weights & Biases, runs/detr/sweep_0a1b2c3d; a trial of a sweep
    that is run locally has a folder already. Two runs that start at the same moment get two folders. Only
    the first process of a run makes one; for the others, which write nothing and are told by the first
    where checkpoints go, it is the parent.

    Raises:
        UserError: The folder cannot be made.
    """
    if trial and trial.folder:
        return trial.folder
    parent = config.dir / config.name
    if getattr(rank_zero_only, "rank", 0) > 0:
        return parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        taken = (int(path.name) for path in parent.iterdir() if path.name.isdigit())
        first = 1 if trial else 1 + max(taken, default=0)
        for number in count(first):
            folder = parent / (_trial_name(trial, number) if trial else f"{number:03d}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                continue
    except OSError as error:
        raise UserError(f"logging.dir: the folder {parent} cannot be made: {error.strerror}") from error
    raise AssertionError("numbers do not end")


def _trial_name(trial: Trial, attempt: int = 1) -> str:
    """The name of a run of a sweep; an agent may start the same run again, in a folder of its own."""
    return f"sweep_{trial.run_id}" + (f"-{attempt}" if attempt > 1 else "")


def build_loggers(config: LoggingConfig, folder: Path, trial: Trial | None = None) -> list[Logger]:
    """The loggers of a run: CSV always, Weights & Biases as `config.wandb` says.

    Raises:
        UserError: There is no login where one was asked for, or an agent of Weights & Biases started this
            training and could not be told of it.
    """
    loggers: list[Logger] = [CSVLogger(folder.parent.parent, name=folder.parent.name, version=folder.name)]
    if trial and trial.run_id:
        os.environ.setdefault("WANDB_SILENT", "true")
        return [*loggers, _agents_run(config, folder, trial)]
    mode: str = config.wandb
    if mode == "auto":
        mode = {"offline": "offline", "dryrun": "offline", "disabled": "off"}.get(
            os.environ.get("WANDB_MODE", ""), "online" if logged_in() else "offline"
        )
    if mode == "online" and not logged_in():
        raise UserError(
            "logging.wandb=online: there is no login: run `wandb login`, set WANDB_API_KEY, or use offline"
        )
    if mode != "off":
        # Its own notes go to its log file: the run says itself what a person needs to know.
        os.environ.setdefault("WANDB_SILENT", "true")
        loggers.append(_online(config, folder) if mode == "online" else _wandb(config, folder, offline=True))
    return loggers


def _wandb(config: LoggingConfig, folder: Path, offline: bool, name: str | None = None) -> WandbLogger:
    logger = WandbLogger(
        name=name or f"{folder.parent.name}-{folder.name}",
        project=config.project,
        save_dir=folder,
        offline=offline,
        log_model=False,
    )
    # Lightning passes an option that wandb has dropped and warns about.
    logger._wandb_init.pop("anonymous", None)
    return logger


def _agents_run(config: LoggingConfig, folder: Path, trial: Trial) -> WandbLogger:
    """The run that an agent of Weights & Biases has opened: its id and project come from the environment."""
    from wandb.errors import Error, UsageError

    if config.wandb not in ("auto", "online"):
        raise UserError(
            f"logging.wandb={config.wandb}: an agent of Weights & Biases started this training and waits for "
            "its metrics: expected online or auto in a sweep"
        )
    logger = _wandb(config, folder, offline=False, name=_trial_name(trial))
    try:
        _ = logger.experiment
    except (Error, UsageError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the sweep's server cannot be reached: {reason}") from error
    return logger


def _online(config: LoggingConfig, folder: Path) -> WandbLogger:
    """An online run, or an offline one where the server cannot be reached or refuses the key."""
    from wandb.errors import Error, UsageError

    logger = _wandb(config, folder, offline=False)
    try:
        _ = logger.experiment  # opens the run, on the first process alone
    except (Error, UsageError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        logging.getLogger(__name__).warning("Weights & Biases is not reached, going on offline: %s", reason)
        return _wandb(config, folder, offline=True)
    return logger


def logged_in() -> bool:
    """Whether there is a key for Weights & Biases: in WANDB_API_KEY or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
