"""Where a run is kept: its folder, a CSV of its metrics, and Weights & Biases."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from netrc import NetrcParseError, netrc
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from tablesense.errors import UserError
from tablesense.trial import Trial

_LOG = logging.getLogger(__name__)
_ENDING = Event()

# Settings of Weights & Biases; what the person has put in WANDB_... wins.
_LIMITS: dict[str, Any] = {
    "init_timeout": 20.0,  # seconds; then a training begins without the server
    "finish_timeout": 60.0,  # seconds that the end of a training waits for it
    "x_file_stream_retry_max": 1_000_000,  # in between it may come back at any time
}
_DISCREET: dict[str, Any] = {
    "x_disable_meta": True,
    "host": "",
    "program": "tablesense",
    "disable_git": True,
    "console": "off",  # warnings and tracebacks are full of paths
}


@dataclass(frozen=True)
class LoggingConfig:
    """Where a run is kept and who is told of it.

    Attributes:
        dir: The folder of all runs.
        name: The name of the experiment; its runs are numbered in `dir/name`.
        wandb: "online", "offline" (files that `wandb sync` sends later), "off", or "auto": online when
            there is a login, offline otherwise. It never asks for a key. False is "off", as YAML reads it.
        project: The project in Weights & Biases.
        machine: Tell Weights & Biases the machine's name, user, paths, repository and what it prints.
        log_hyperparameters: The resolved configuration, once, with command, commit, versions and device.
        log_model_summary: Numbers of parameters, and the architecture as a text.
        log_gradients: Histograms of the gradients in Weights & Biases every 100 steps. The norms are
            logged without it.
        log_dataset_stats: What the pages are like.
        log_dynamics: How losses, matching, gradients, rates, time and memory go, each epoch.
        log_evaluation: What is found on the validation pages, in which ways it fails, and alarms.
        log_pictures: How many pages are shown, and how many of the worst; 0 for none.
        log_predictions: What was found, as an artifact in COCO's format.
        log_weights: The best checkpoint as an artifact; null for yes but in sweeps.
        report: Write report.html at the end.
    """

    dir: Path = Path("runs")
    name: str = "detr"
    wandb: Literal["auto", "online", "offline", "off"] | Literal[False] = "auto"
    project: str = "tablesense"
    machine: bool = False
    log_hyperparameters: bool = True
    log_model_summary: bool = True
    log_gradients: bool = False
    log_dataset_stats: bool = True
    log_dynamics: bool = True
    log_evaluation: bool = True
    log_pictures: int = 8
    log_predictions: bool = True
    log_weights: bool | None = None
    report: bool = True

    def __post_init__(self) -> None:
        """Refuse a number of pictures that is none.

        Raises:
            UserError: It is negative.
        """
        if self.log_pictures < 0:
            raise UserError(f"logging.log_pictures: expected 0 or more, found {self.log_pictures}")


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


def build_loggers(
    config: LoggingConfig, folder: Path, trial: Trial | None = None, run_id: str | None = None
) -> list[Logger]:
    """The loggers of a run: CSV always, Weights & Biases as `config.wandb` says.

    Args:
        config: Where the run is kept and who is told of it.
        folder: The run's folder.
        trial: The trial of a sweep that the run is.
        run_id: The run of Weights & Biases that this one goes on with.

    Raises:
        UserError: There is no login where one was asked for, or an agent of Weights & Biases started this
            training and is not to be told of it.
    """
    loggers: list[Logger] = [CSVLogger(folder.parent.parent, name=folder.parent.name, version=folder.name)]
    mode: str = config.wandb or "off"
    name: str | None = f"{folder.parent.name}-{folder.name}"
    if trial and trial.run_id:
        if mode not in ("auto", "online"):
            raise UserError(
                f"logging.wandb={mode}: an agent of Weights & Biases started this training and waits for "
                "its metrics: expected online or auto in a sweep"
            )
        # The run's id comes from the environment.
        mode, name, run_id = "online", _trial_name(trial), None
    elif run_id:
        name = None  # it has one
    if mode == "auto":
        mode = {"offline": "offline", "dryrun": "offline", "disabled": "off"}.get(
            os.environ.get("WANDB_MODE", ""), "online" if logged_in() else "offline"
        )
    if mode == "off":
        return loggers
    if mode == "online" and not (logged_in() or (trial and trial.run_id)):
        raise UserError(
            "logging.wandb=online: there is no login: run `wandb login`, set WANDB_API_KEY, or use offline"
        )
    # Its own notes go to its log file: the run says itself what a person needs to know.
    os.environ.setdefault("WANDB_SILENT", "true")
    if not config.machine:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_DATA_DIR", str(_staging(folder)))
    return [*loggers, (_online if mode == "online" else _offline)(config, folder, name, run_id)]


def _online(config: LoggingConfig, folder: Path, name: str | None, run_id: str | None) -> WandbLogger:
    """An online run, or an offline one where the server does not answer, refuses, or lacks the run."""
    import wandb

    logger = _wandb(config, folder, name, run_id, "online")
    try:
        run = logger.experiment  # opens the run, on the first process alone
    except Exception as error:  # whatever is wrong with it: no reason not to train
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        _LOG.warning("Weights & Biases cannot be told, going on offline: %s", reason)
        wandb.teardown()  # its service keeps the run's id
        return _offline(config, folder, name, run_id)
    if isinstance(run, wandb.Run):
        # Before each artifact and table it would ask the server, and wait for it, whether the name is free.
        vars(run)["_assert_can_log_artifact"] = lambda artifact: None
        if patience := run.settings.finish_timeout:
            _ENDING.clear()
            Thread(target=_end_service, args=(wandb.setup(), patience + 5), daemon=True).start()
        atexit.register(finish)
    return logger


def _offline(config: LoggingConfig, folder: Path, name: str | None, run_id: str | None) -> WandbLogger:
    return _wandb(config, folder, name, run_id, "offline")


def _wandb(
    config: LoggingConfig,
    folder: Path,
    name: str | None,
    run_id: str | None,
    mode: Literal["online", "offline"],
) -> WandbLogger:
    settings = _LIMITS if config.machine else _LIMITS | _DISCREET
    # `wandb sync` sends a new run from its beginning, in place of what is there, and one that goes on after
    # what is there. Offline it would forget "must"; online that keeps a run whose beginning was not sent yet
    # from becoming a new one.
    resume = ("must" if mode == "online" else "allow") if run_id else None
    logger = WandbLogger(
        name=name,
        project=config.project,
        save_dir=folder,
        offline=mode == "offline",
        log_model=False,
        id=run_id,
        mode=mode,
        resume=resume,
        settings={key: value for key, value in settings.items() if f"WANDB_{key}".upper() not in os.environ},
    )
    # Lightning passes an option that wandb has dropped and warns about.
    logger._wandb_init.pop("anonymous", None)
    return logger


def _staging(folder: Path) -> Path:
    """Where the files of artifacts are copied to; their paths are uploaded, so they do not tell this one."""
    here, inside = Path("/proc/self/cwd"), Path(os.path.relpath(folder))
    return (here / inside if here.exists() and ".." not in inside.parts else folder) / "wandb"


def finish(exit_code: int | None = None) -> None:
    """End the run in Weights & Biases, if there is one: send what is left of it, for a limited time.

    Args:
        exit_code: How the process ends; None for what it ends with by itself.
    """
    wandb: Any = sys.modules.get("wandb")
    run = wandb and wandb.run
    if not run:
        return
    _ENDING.set()
    try:
        run.finish(exit_code=exit_code)
        sent = not run._finish_timed_out
    except (Exception, KeyboardInterrupt):  # the service is gone, or a person does not want to wait
        sent = False
    if not sent:
        _LOG.warning(
            "Weights & Biases did not take the rest of the run within %g seconds (WANDB_FINISH_TIMEOUT); "
            "it is on disk; later: wandb sync --include-online %s",
            run.settings.finish_timeout,
            Path(run.dir).parent,
        )
        with suppress(Exception):
            wandb.teardown()


def _end_service(wandb: Any, seconds: float) -> None:
    """End the process that sends, where it does not end by itself: it waits for some answers without end."""
    _ENDING.wait()
    time.sleep(seconds)
    with suppress(AttributeError):  # there is none, or it is another's
        wandb._connection._proc._process.kill()


def logged_in() -> bool:
    """Whether there is a key for Weights & Biases: in WANDB_API_KEY or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
