"""A sweep without a controller of Weights & Biases: the same file, run on this machine with Optuna."""

from __future__ import annotations

import os
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count as numbers
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablesense.errors import UserError
from tablesense.sweep.best import best_trial, best_value, history, write_best
from tablesense.sweep.hyperband import Stop
from tablesense.sweep.plan import Sweep
from tablesense.sweep.process import TrialProcess
from tablesense.sweep.storage import BEAT, GRACE, give_first_beats, lost, open_study
from tablesense.sweep.table import Board, short

if TYPE_CHECKING:
    import optuna

POLL = 0.2
"""Seconds between two looks at the trials that run."""

EARLY_FAILURES, EARLY = 3, 60.0
"""So many failures in so many seconds from the start end a sweep, as they end an agent."""

FIRST_FAILURES = 5
"""So many failures end a sweep, as they end an agent, where no trial before them has done well."""


@dataclass
class _Running:
    """A trial of this process."""

    trial: optuna.Trial
    values: dict[str, Any]
    process: TrialProcess
    history: list[float] = field(default_factory=list)
    fell_behind: bool = False


class LocalSweep:
    """Runs trials of a sweep until there are enough of them.

    Args:
        sweep: What is varied, and how.
        count: How many trials, those of earlier calls and of other machines on the same storage included.
        folder: Where trials, the storage and the results are kept.
        storage: A file or a database's URL; None for a file in the folder.
        jobs: How many trials run at once on this machine.

    Raises:
        UserError: The folder cannot be made, or the storage not be reached.
    """

    def __init__(
        self, sweep: Sweep, count: int, folder: Path, storage: str | None = None, jobs: int = 1
    ) -> None:
        self.sweep, self.folder, self.jobs = sweep, folder, jobs
        ends = [count, sweep.run_cap, sweep.grid_points if sweep.method == "grid" else None]
        self.count = min(end for end in ends if end is not None)
        try:
            if storage is None:
                folder.mkdir(parents=True, exist_ok=True)
            self.study = open_study(sweep, storage or str(folder / "sweep.db"), self.count, jobs > 1)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the sweep's folder {folder} cannot be made: {error.strerror}") from error
        self.board = Board(sweep, self.study, self.count, jobs)
        self.running: list[_Running] = []
        self._failures, self._successes, self._begun = 0, 0, time.monotonic()
        self._beaten, self._waits = -inf, False

    def run(self) -> None:
        """Run until `count` trials have ended, here or elsewhere.

        Raises:
            UserError: The first trials failed, one after another.
            KeyboardInterrupt: Once the trials that run have been stopped; they are run again next time.
        """
        with self.board:
            if any(history(trial) and not lost(trial) for trial in self.study.get_trials(deepcopy=False)):
                self.board.say(f"going on with {self.board.summary()}")
            try:
                while self._goes_on():
                    if any([self._look(running) for running in list(self.running)]):
                        self._judge()
                    self.board.show()
                    time.sleep(POLL)
            except BaseException:
                self._put_back()
                raise

    def _goes_on(self) -> bool:
        """Start what there is room for; whether anything runs, here or elsewhere."""
        self._keep_alive()
        elsewhere = self._running_elsewhere()  # before: one may be put back into the queue meanwhile
        enough = self._has_enough()
        while not enough and len(self.running) < self.jobs and self._taken() < self.count:
            if not self._start():
                break
        if not self.running and elsewhere and not enough:
            if not self._waits:
                self.board.say(
                    "waiting for trials on other machines; one of a sweep that was killed is run again when "
                    f"nothing was heard of it for {GRACE} s"
                )
            self._waits = True
            return True
        return bool(self.running)

    def _has_enough(self) -> bool:
        """Whether a trial has reached the value of the metric that ends the sweep."""
        target, sign = self.sweep.target, 1 if self.sweep.maximize else -1
        if target is None:
            return False
        trials = [trial for trial in self.study.get_trials(deepcopy=False) if not lost(trial)]
        return any(sign * value >= sign * target for trial in trials for value in history(trial))

    def _keep_alive(self) -> None:
        """Now and then give a sign of life for all trials that run here, and find those that gave none."""
        from optuna.storages import fail_stale_trials

        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        for running in self.running:
            self._beat(running.trial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # marked experimental
            fail_stale_trials(self.study)
        give_first_beats(self.study, {running.trial.number for running in self.running})

    def _beat(self, trial: optuna.Trial) -> None:
        storage: Any = self.study._storage
        storage.record_heartbeat(trial._trial_id)

    def _taken(self, before: float = inf) -> int:
        """How many trials with a number below one have been started anywhere, less those that were lost."""
        return sum(
            trial.state.name != "WAITING" and not lost(trial)
            for trial in self.study.get_trials(deepcopy=False)
            if trial.number < before
        )

    def _running_elsewhere(self) -> bool:
        """Whether a trial runs on another machine, or ran in a sweep that was killed a moment ago."""
        return any(trial.state.name == "RUNNING" for trial in self.study.get_trials(deepcopy=False))

    # -- one trial ---------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Start the next trial; whether there was one left."""
        from optuna.trial import TrialState

        grid = self.sweep.method == "grid"
        if grid and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that only its own loop gives signs of life; this one does too
            trial = self.study.ask()
        self._beat(trial)
        if grid and self._is_spare(trial):
            self.study.tell(trial, state=TrialState.FAIL)
            return True
        suggested = {name: d.suggest(trial, name) for name, d in self.sweep.parameters.items()}
        # A point of a grid, and a trial that is run again, bring their values.
        values = trial.user_attrs.get("values", suggested)
        if self._taken(before=trial.number) >= self.count:  # another machine took the last one meanwhile
            self._lose(trial, values)
            return False
        folder = self._new_folder(trial.number)
        trial.set_user_attr("values", values)
        trial.set_user_attr("folder", str(folder))
        if "stopped" in trial.user_attrs:  # it was to be stopped when it was lost
            trial.set_user_attr("stopped", None)
        threads = max(1, (os.cpu_count() or 1) // self.jobs) if self.jobs > 1 else None
        try:
            process = TrialProcess(self.sweep.words(values), values, folder, self.sweep.name, threads)
        except OSError as error:
            self._fail(trial, [f"{error.filename}: {error.strerror}"])
            self._count_failures()
            return True
        self.board.say(f"trial {trial.number} begins: {short(values)}")
        self.running.append(_Running(trial, values, process))
        return True

    def _is_spare(self, trial: optuna.Trial) -> bool:
        """Whether a grid's trial has no point, or one that was in the queue twice and has been run."""
        point = trial.user_attrs.get("point")
        return point is None or any(
            other.user_attrs.get("point") == point and other.state.is_finished() and not lost(other)
            for other in self.study.get_trials(deepcopy=False)
        )

    def _new_folder(self, number: int) -> Path:
        """trial-003, or trial-003-2 where a sweep before this one, with another storage, has left one."""
        for attempt in numbers(1):
            folder = self.folder / (f"trial-{number:03d}" + (f"-{attempt}" if attempt > 1 else ""))
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
        raise AssertionError("numbers do not end")

    def _look(self, running: _Running) -> bool:
        """Take what a trial has logged, and how it ended; whether there was anything new."""
        from optuna.exceptions import UpdateFinishedTrialError

        code = running.process.exit_code()
        values = running.process.values(self.sweep.metric, ended=code is not None) or []
        new = values[len(running.history) :]
        try:
            for value in new:
                running.history.append(value)
                running.trial.report(value, len(running.history))
                self.board.logged(running.trial.number, running.history, self.sweep.epochs(running.values))
            if code is not None:
                self._end(running, code)
        except UpdateFinishedTrialError:
            # This machine slept, and another one gave the trial up for lost: it is that one's now.
            self.board.say(f"trial {running.trial.number} was given up for lost: it is run again")
            running.process.stop()
            self.running.remove(running)
        return bool(new)

    def _judge(self) -> None:
        """Stop the trials that the sweep's rule gives up; what one has logged may be the end of another."""
        if self.sweep.stopping is None:
            return
        histories = {
            trial.number: history(trial) for trial in self.study.get_trials(deepcopy=False) if not lost(trial)
        }
        for running in self.running:
            others = [logged for number, logged in histories.items() if number != running.trial.number]
            stop = self.sweep.stopping.stops(running.history, others, self.sweep.maximize)
            # One that has logged its last epoch has nothing left to be spared.
            epochs = self.sweep.epochs(running.values)
            if stop and not running.process.stopping and len(running.history) < epochs:
                self._stop(running, stop)

    def _stop(self, running: _Running, stop: Stop) -> None:
        running.fell_behind = True
        running.process.stop()
        comparison = "below" if self.sweep.maximize else "above"
        figures = f"{self.sweep.metric} {stop.value:.3f}, {comparison} {stop.threshold:.3f}"
        note = f"{figures} at the band of {stop.band} epochs"
        running.trial.set_user_attr("stopped", note)
        epochs = len(running.history)
        self.board.say(f"trial {running.trial.number} is stopped after {epochs} epochs: {note}")

    def _end(self, running: _Running, code: int) -> None:
        from optuna.trial import TrialState

        number, logged = running.trial.number, [v for v in running.history if isfinite(v)]
        best = (max if self.sweep.maximize else min)(logged, default=None)
        if running.fell_behind and best is not None:
            self.study.tell(running.trial, state=TrialState.PRUNED)
            self._successes += 1
        elif code == 0 and best is not None:
            self.study.tell(running.trial, best)
            self._successes += 1
            self.board.say(f"trial {number} is done: best {self.sweep.metric} {best:.3f}")
        else:
            lines = running.process.last_lines()
            lines.append(
                f"it ended with status {code}"
                + (f", and logged no {self.sweep.metric}" if not logged else "")
            )
            self._fail(running.trial, lines)
        self.running.remove(running)
        self._count_failures()

    def _fail(self, trial: optuna.Trial, lines: list[str]) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("failed", lines)
        self.study.tell(trial, state=TrialState.FAIL)
        self._failures += 1
        self.board.say(f"trial {trial.number} failed:")
        for line in lines:
            self.board.say(f"    {line}")

    def _count_failures(self) -> None:
        if self._failures >= FIRST_FAILURES and not self._successes:
            which = f"the first {self._failures} trials failed"
        elif self._failures >= EARLY_FAILURES and time.monotonic() - self._begun <= EARLY:
            which = f"{self._failures} trials failed in the first minute"
        else:
            return
        failed = [
            trial.user_attrs["failed"] for trial in self.study.get_trials() if "failed" in trial.user_attrs
        ]
        reason = "; ".join(failed[-1][-2:])
        raise UserError(f"{which}, so the next ones would: {reason}")

    def _lose(self, trial: optuna.Trial, values: dict[str, Any]) -> None:
        """Put a trial back into the queue: the same values are run by whoever comes next."""
        from optuna.trial import TrialState

        kept = {key: trial.user_attrs[key] for key in ("point",) if key in trial.user_attrs}
        # First the queue: another worker that finds neither would take the sweep for done.
        self.study.enqueue_trial(dict(trial.params), user_attrs={"values": values, **kept})
        self.study.tell(trial, state=TrialState.FAIL)

    def _put_back(self) -> None:
        """Stop what runs, and have it run again when the sweep goes on, save what has come to its end."""
        from optuna.exceptions import OptunaError

        if self.running:
            self.board.say(f"stopping {len(self.running)} running")
        for running in self.running:
            running.process.stop()
        for running in list(self.running):
            while (code := running.process.exit_code()) is None:
                time.sleep(POLL)
            with suppress(OptunaError, ValueError, UserError):  # the storage may be what ended the sweep
                if running.fell_behind or code == 0:
                    self._look(running)
                else:
                    self._lose(running.trial, running.values)
        self.running.clear()

    # -- the outcome -------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Write `best.yaml` and the page, and say where they are; whether there is a best trial yet."""
        from tablesense.sweep.page import write_page

        best = best_trial(self.study, self.sweep.maximize)
        if best is None:
            logs = any(log.stat().st_size for log in self.folder.glob("trial-*/log.txt"))
            hint = f": see the log.txt of each in {self.folder}" if logs else ""
            self.board.say(f"no trial has come to its end{hint}")
            return False
        command = write_best(self.sweep, best, self.folder / "best.yaml")
        page = self.folder / "sweep.html"
        write_page(self.sweep, self.study, page)
        where = best.user_attrs["folder"]
        value = best_value(best, self.sweep.maximize)
        if self._has_enough():
            self.board.say(f"{self.sweep.metric} has reached the target of {self.sweep.target:g}")
        self.board.say(f"best {self.sweep.metric} {value:.3f}: trial {best.number}, {where}")
        self.board.say(f"history, parameters and their importance: {page}")
        self.board.say(f"next: {command}")
        return True
