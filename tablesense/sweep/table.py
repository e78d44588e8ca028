"""What a person sees of a local sweep: a live table on a terminal, else a line for whatever happens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tablesense.sweep.best import best_trial, best_value, history
from tablesense.sweep.plan import Sweep
from tablesense.sweep.storage import lost

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "done", "PRUNED": "stopped early", "RUNNING": "running", "WAITING": "waits"}


class Board:
    """The trials of a local sweep, on the standard output.

    Args:
        sweep: The sweep.
        study: Where its trials are kept.
        count: How many trials there will be.
        jobs: How many run at once.
    """

    def __init__(self, sweep: Sweep, study: Study, count: int, jobs: int) -> None:
        self.sweep, self.study, self.count, self.jobs = sweep, study, count, jobs
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:  # in a log file a trial is one line, however long
            self.console = Console(highlight=False, soft_wrap=True, width=400)
        self._live = (
            Live(console=self.console, auto_refresh=False, transient=True)
            if self.console.is_terminal
            else None
        )
        self._shown = 0.0

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.console.print(self.table())

    def say(self, text: str) -> None:
        """A line that stays, above the table where there is a live one."""
        self.console.print(text, markup=False)

    def show(self) -> None:
        """Draw the live table, once a second at most: the trials that run, the best one, the last ones."""
        if self._live and time.monotonic() - self._shown > 1:
            self._shown = time.monotonic()
            self._live.update(self.table(rows=max(3, self.console.height - 10), live=True), refresh=True)

    def logged(self, number: int, values: Sequence[float], epochs: int) -> None:
        """Tell of an epoch, where no table does."""
        if not self._live:
            epoch = f"epoch {len(values)}/{epochs}"
            self.say(f"trial {number}: {epoch}  {self.sweep.metric} {values[-1]:.3f}")

    def table(self, rows: int | None = None, live: bool = False) -> Table:
        """The trials, the best one marked.

        Args:
            rows: The most trials that there is room for: the best one and the last.
            live: Leave out their values, which were printed when they began.
        """
        trials, best = self._trials(), best_trial(self.study, self.sweep.maximize)
        table = Table(title=self.summary(), title_justify="left")
        for heading in "trial", "state", "epochs", self.sweep.metric, "best", "time":
            table.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
        if not live:
            table.add_column("values", overflow="fold")
        shown = trials if rows is None else trials[-rows:]
        if best is not None and all(trial.number != best.number for trial in shown):
            shown = [best, *shown[1:]]
        better = max if self.sweep.maximize else min
        for trial in shown:
            logged = history(trial)
            mark = best is not None and trial.number == best.number
            cells = [
                str(trial.number),
                state(trial),
                f"{len(logged)}/{self.sweep.epochs(trial.user_attrs.get('values', {}))}",
                f"{logged[-1]:.3f}" if logged else "",
                f"{better(logged):.3f}" + (" *" if mark else "") if logged else "",
                _duration(trial),
            ]
            values = [] if live else [short(trial.user_attrs.get("values", {}))]
            table.add_row(*cells, *values, style="bold" if mark else None)
        return table

    def _trials(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if state(trial) != "waits"]

    def summary(self) -> str:
        """How many trials have ended and how, the best of them, and the time that is left, in one line."""
        trials, best = self._trials(), best_trial(self.study, self.sweep.maximize)
        states = [state(trial) for trial in trials]
        ended = sum(states.count(name) for name in ("done", "stopped early", "failed"))
        parts = [f"{self.sweep.name}: {ended} of {self.count} trials"]
        parts += [f"{states.count(name)} {name}" for name in ("stopped early", "failed")]
        if best is not None:
            value = best_value(best, self.sweep.maximize)
            parts.append(f"best {self.sweep.metric} {value:.3f} (trial {best.number})")
        lasted = [
            trial.duration.total_seconds()
            for trial, name in zip(trials, states, strict=True)
            if trial.duration and name in ("done", "stopped early")
        ]
        if lasted and ended < self.count:
            seconds = sum(lasted) / len(lasted) * (self.count - ended) / self.jobs
            parts.append(f"about {_clock(seconds)} left")
        return " · ".join(parts)


def state(trial: FrozenTrial) -> str:
    """A trial's state in a word; "lost" is one whose machine or sweep was stopped, and that is run again."""
    if trial.state.name == "FAIL":
        return "lost" if lost(trial) else "failed"
    return STATES[trial.state.name]


def short(values: Mapping[str, Any]) -> str:
    """A trial's values in one line, each under the last part of its key."""
    names = {key: key.rsplit(".", 1)[-1] for key in values}
    return "  ".join(
        f"{names[key]} {value:.3g}" if isinstance(value, float) else f"{names[key]} {value}"
        for key, value in values.items()
    )


def _duration(trial: FrozenTrial) -> str:
    if trial.datetime_start is None or lost(trial):  # a lost one was found lost any time later
        return ""
    end = trial.datetime_complete or datetime.now()
    return _clock((end - trial.datetime_start).total_seconds())


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
