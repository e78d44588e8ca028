"""Where the trials of a local sweep are kept: a file, or a database that several machines share."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablesense.errors import UserError
from tablesense.sweep.plan import Sweep

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

BEAT = 5
"""Seconds between two signs of life of a running trial."""

GRACE = 60
"""Seconds without one after which a trial is given up for lost, and run again."""


def open_study(sweep: Sweep, storage: str, count: int, parallel: bool) -> optuna.Study:
    """Open the study of a sweep, or make it.

    A trial of which nothing was heard for `GRACE` seconds, because its machine or the sweep was killed, is
    run again with the same values.

    Args:
        sweep: What is varied.
        storage: A file (SQLite), or the URL of a database, such as postgresql://user@host/name.
        count: How many trials there will be.
        parallel: Whether trials run at once: the sampler then takes those that run into account.

    Raises:
        UserError: The storage cannot be reached, or holds another sweep of this name.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shared = "://" in storage
    url = _driver(storage) if shared else f"sqlite:///{Path(storage).absolute()}"
    try:
        backend = _connect(url)
        study = optuna.create_study(
            study_name=sweep.name,
            storage=backend,
            sampler=_sampler(sweep, parallel or shared),
            pruner=optuna.pruners.NopPruner(),  # the engine asks the sweep's own rule
            direction="maximize" if sweep.maximize else "minimize",
            load_if_exists=True,
        )
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ValueError, OSError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"--storage {_named(storage)} cannot be reached: {reason}") from error
    except ImportError as error:
        hint = "pip install 'tablesense[postgres]'" if "postgresql" in url else "install it"
        raise UserError(f"--storage {_named(storage)}: its driver is missing: {hint}") from error
    _same_sweep(sweep, study, storage)
    if sweep.method == "grid":
        _queue_grid(sweep, study, count)
    return study


def _named(storage: str) -> str:
    """The storage without its password."""
    return re.sub(r"(//[^:/@]*):[^@/]*@", r"\1:***@", storage)


def _connect(url: str) -> optuna.storages.RDBStorage:
    """The storage; a little later, where another worker makes its tables at this moment."""
    import optuna
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for attempt in range(10):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.storages.RDBStorage(
                    url,
                    heartbeat_interval=BEAT,
                    grace_period=GRACE,
                    heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
                )
        except (IntegrityError, ProgrammingError, OperationalError) as error:
            if attempt == 9 or ("exist" not in str(error) and not isinstance(error, IntegrityError)):
                raise
            time.sleep(0.3)
    raise AssertionError("the last attempt returns or raises")


def _driver(url: str) -> str:
    """SQLAlchemy's name of the driver for a plain URL."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def _sampler(sweep: Sweep, parallel: bool) -> optuna.samplers.BaseSampler:
    """W&B's method as one of Optuna's samplers.

    Without a seed: a sweep that goes on would draw the same values again.
    """
    import optuna

    if sweep.method != "bayes":  # a grid's points stand in the queue
        return optuna.samplers.RandomSampler()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(multivariate=True, constant_liar=parallel, n_startup_trials=8)


def _same_sweep(sweep: Sweep, study: optuna.Study, storage: str) -> None:
    """Refuse to mix two searches under one name."""
    keys = ("method", "metric", "parameters", "early_terminate", "command")
    now: dict[str, Any] = json.loads(json.dumps({key: sweep.file.content.get(key) for key in keys}))
    before = study.user_attrs.get("sweep")
    if before is None:
        study.set_user_attr("sweep", now)
        return
    changed = [key for key in keys if key in before and before[key] != now[key]]
    if changed:
        raise UserError(
            f"{_named(storage)} holds a sweep named {sweep.name} that differs in {' and '.join(changed)}: "
            "give this one another name, or another --storage"
        )


def _queue_grid(sweep: Sweep, study: optuna.Study, count: int) -> None:
    """Put a grid's points in the queue, from which each is taken once, by whichever worker.

    Optuna's own GridSampler can be used inside of its own loop alone.
    """
    queued = {trial.user_attrs.get("point") for trial in study.get_trials(deepcopy=False) if not lost(trial)}
    for index, values in enumerate(sweep.points(count)):
        if index not in queued:
            chosen = {name: sweep.parameters[name].chosen(value) for name, value in values.items()}
            study.enqueue_trial(chosen, user_attrs={"values": values, "point": index})


def lost(trial: FrozenTrial) -> bool:
    """Whether a trial was stopped from outside, and so is run again as another one."""
    return trial.state.name == "FAIL" and "failed" not in trial.user_attrs


def give_first_beats(study: optuna.Study, own: Collection[int]) -> None:
    """Give trials that were cut off before their first sign of life one.

    Optuna would take them for running for ever; now they are given up for lost `GRACE` seconds later.

    Args:
        study: The study of `open_study`.
        own: The numbers of the trials that run in this process.
    """
    from optuna.storages._rdb.models import TrialHeartbeatModel
    from sqlalchemy.orm import Session

    storage: Any = study._storage
    before = datetime.now() - timedelta(seconds=GRACE)
    for trial in study.get_trials(deepcopy=False):
        started = trial.state.name == "RUNNING" and trial.number not in own and trial.datetime_start
        if not started or started > before:
            continue
        with Session(storage._backend.engine) as session:
            silent = TrialHeartbeatModel.where_trial_id(trial._trial_id, session) is None
        if silent:
            storage.record_heartbeat(trial._trial_id)
