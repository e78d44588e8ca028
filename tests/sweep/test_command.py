"""The command of a sweep is expanded as `wandb agent` does it."""

from __future__ import annotations

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from tablesense.sweep.command import expand

VALUES = {"training.lr": 1e-05, "a.b": True, "c": False, "d": None, "e": "two words", "f": [1, 2], "g": 4}


@pytest.mark.parametrize(
    "macro",
    [
        *("args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_json"),
        *("args_append_hydra", "args_override_hydra"),
    ],
)
def test_values_are_written_as_the_agent_writes_them(macro: str) -> None:
    agents = create_sweep_command_args({"args": {key: {"value": value} for key, value in VALUES.items()}})
    assert expand(["${" + macro + "}"], VALUES) == agents[macro]


def test_environment_variables_are_filled_in_as_the_agent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "there")
    monkeypatch.delenv("NOWHERE", raising=False)
    command = ["a-${envvar:HERE}", "${envvar:NOWHERE}", "plain"]
    assert expand(command, {}) == create_sweep_command(list(command)) == ["a-there", "NOWHERE", "plain"]


def test_the_program_and_the_interpreter() -> None:
    command = ["${env}", "${interpreter}", "${program}", "fit", "${unknown}", 3]
    assert expand(command, {}, "train.py") == ["/usr/bin/env", "python", "train.py", "fit", "3"]
