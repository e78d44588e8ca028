"""Where a run is kept: its folder, a CSV of its metrics, and Weights & Biases."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from tablesense.errors import UserError


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


def new_run_folder(config: LoggingConfig) -> Path:
    """Make the next free folder of an experiment: runs/detr/001, runs/detr/002, ...

    Two runs that start at the same moment get two folders. Only the first process of a run makes one;
    for the others, which write nothing and are told by the first where checkpoints go, it is the parent.

    Raises:
        UserError: The folder cannot be made.
    """
    parent = config.dir / config.name
    if getattr(rank_zero_only, "rank", 0) > 0:
        return parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(path.name) for path in parent.iterdir() if path.name.isdigit()), default=0)
        while True:
            folder = parent / f"{number:03d}"
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(f"logging.dir: the folder {parent} cannot be made: {error.strerror}") from error
    return folder


def build_loggers(config: LoggingConfig, folder: Path) -> list[Logger]:
    """The loggers of a run: CSV always, Weights & Biases as `config.wandb` says."""
    loggers: list[Logger] = [CSVLogger(folder.parent.parent, name=folder.parent.name, version=folder.name)]
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


def _wandb(config: LoggingConfig, folder: Path, offline: bool) -> WandbLogger:
    logger = WandbLogger(
        name=f"{folder.parent.name}-{folder.name}",
        project=config.project,
        save_dir=folder,
        offline=offline,
        log_model=False,
    )
    # Lightning passes an option that wandb has dropped and warns about.
    logger._wandb_init.pop("anonymous", None)
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
