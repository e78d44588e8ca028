"""What a training is told by the agent of a sweep that started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from tablesense.errors import UserError

FOLDER = "TABLESENSE_TRIAL"
"""Environment variable: the folder of a trial of `tablesense sweep --local`."""

PARAMETERS = "parameters.yaml"
"""The file in that folder with the trial's values."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        parameters: The values that the sweep chose, by dotted key.
        run_id: The run's id in Weights & Biases; None in a sweep that is run locally.
        folder: The folder of a trial that is run locally; None under an agent of Weights & Biases.
    """

    parameters: Mapping[str, Any]
    run_id: str | None = None
    folder: Path | None = None

    @classmethod
    def from_environment(cls) -> Trial | None:
        """The trial that this process is, or None where no agent started it.

        Raises:
            UserError: The agent's file of values cannot be read.
        """
        folder = os.environ.get(FOLDER)
        if folder:
            return cls(_read(Path(folder) / PARAMETERS), folder=Path(folder))
        # `wandb agent` sets these three: https://docs.wandb.ai/models/track/environment-variables
        run_id, values = os.environ.get("WANDB_RUN_ID"), os.environ.get("WANDB_SWEEP_PARAM_PATH")
        if not (os.environ.get("WANDB_SWEEP_ID") and run_id and values):
            return None
        kept = _read(Path(values))
        kept.pop("wandb_version", None)
        return cls({key: entry["value"] for key, entry in kept.items()}, run_id=run_id)

    @staticmethod
    def end_with_sweep() -> None:
        """End tidily when the local sweep that started this process is gone, as it is after a `kill -9`.

        The sweep holds the other end of the standard input and writes nothing: it ends when the sweep does.
        """

        def watch() -> None:
            while os.read(0, 1):
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        Thread(target=watch, daemon=True).start()

    def check(self, config: Mapping[str, Any]) -> None:
        """Assert that what will be trained is what the sweep chose.

        Args:
            config: What the command line came to, by dotted key.

        Raises:
            UserError: A value of the sweep is missing from it, or another one stands in its place.
        """
        lost = [
            f"{key}={value!r} became {config[key]!r}" if key in config else f"{key} is no key of it"
            for key, value in self.parameters.items()
            if key not in config or not same(value, config[key])
        ]
        if lost:
            raise UserError(
                f"the sweep's values did not reach the training: {'; '.join(lost)}: expected a sweep whose "
                "`command` ends with ${args}"
            )


def same(wanted: Any, given: Any) -> bool:
    """Whether a value of a sweep arrived, be it as another type of the same text, such as a path."""
    if isinstance(wanted, (list, tuple)) and isinstance(given, (list, tuple)):
        return len(wanted) == len(given) and all(map(same, wanted, given))
    return bool(wanted == given) or str(wanted) == str(given)


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"the sweep's values cannot be read: {path}: {error}") from error
    return kept or {}
