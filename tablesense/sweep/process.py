"""One trial of a sweep that is run locally: the sweep's own command in a process of its own."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tablesense.trial import FOLDER, PARAMETERS

PATIENCE = 30.0
"""Seconds that a trial has to end by itself once it is asked to, as under `wandb agent`."""


class TrialProcess:
    """A trial that runs.

    Its folder holds `parameters.yaml`, `log.txt` and all that a run of `tablesense fit` keeps.

    Args:
        words: The command.
        parameters: The trial's values by dotted key.
        folder: The trial's folder.
        group: The name under which the runs of one sweep stand together in Weights & Biases.
        threads: Threads for its computing; None leaves that to torch.

    Raises:
        OSError: The command cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        parameters: Mapping[str, Any],
        folder: Path,
        group: str,
        threads: int | None = None,
    ) -> None:
        self.folder, self.started = folder, time.monotonic()
        (folder / PARAMETERS).write_text(yaml.safe_dump(dict(parameters), sort_keys=False))
        environment = {key: value for key, value in os.environ.items() if key not in _AGENTS}
        environment |= {
            "PATH": search_path(),
            FOLDER: str(folder.absolute()),
            "WANDB_RUN_GROUP": group,
            "PYTHONUNBUFFERED": "1",
        }
        if threads is not None:
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                list(words),
                env=environment,
                stdin=subprocess.PIPE,  # never written to; its end tells the trial of the sweep's
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard is for the sweep, which passes it on
            )
        self._asked_to_stop: float | None = None
        self._read_at = 0

    def exit_code(self) -> int | None:
        """How it ended, or None while it runs; one that was asked to stop and does not is killed in time."""
        code = self._process.poll()
        if code is None and self._asked_to_stop and time.monotonic() > self._asked_to_stop + PATIENCE:
            os.killpg(self._process.pid, signal.SIGKILL)
        return code

    def stop(self) -> None:
        """Ask it to end, as the agent does: with SIGTERM."""
        if self._asked_to_stop is None:
            self._asked_to_stop = time.monotonic()
            self._process.terminate()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._asked_to_stop is not None

    def values(self, metric: str, ended: bool = False) -> list[float] | None:
        """All values of a metric that it logged so far; None when there is nothing new.

        Args:
            metric: The metric.
            ended: Look even when the file seems not to have changed: it can change within a clock's tick.
        """
        file = self.folder / "metrics.csv"
        try:
            written = file.stat().st_mtime_ns
            if written == self._read_at and not ended:
                return None
            text = file.read_text()
        except OSError:  # not there yet
            return None
        if not text.endswith("\n"):  # half written
            return None
        self._read_at = written
        values = [float(row[metric]) for row in csv.DictReader(text.splitlines()) if row.get(metric)]
        return [value for value in values if not math.isnan(value)]

    def last_lines(self, count: int = 12) -> list[str]:
        """The end of what it printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return [line for line in text.splitlines() if line.strip()][-count:]


_AGENTS = {"WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_NAME"}


def search_path() -> str:
    """PATH with this Python's programs first: so `tablesense` is its own, activated or not."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
