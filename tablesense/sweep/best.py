"""The best trial of a local sweep, as a configuration to fit again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tablesense.sweep.plan import Sweep

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def best_trial(study: Study, maximize: bool) -> FrozenTrial | None:
    """The trial with the best value of the metric at any of its epochs; one that was stopped counts last."""
    from optuna.trial import TrialState

    ended = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.value is not None
    ]
    whole = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    return (max if maximize else min)(whole or ended, key=lambda t: best_value(t, maximize), default=None)


def best_value(trial: FrozenTrial, maximize: bool) -> float:
    """The best value at any epoch of an ended trial; Optuna's own, of one that was stopped, is the last."""
    logged = (value for value in history(trial) if isfinite(value))
    return (max if maximize else min)(logged, default=trial.value or 0.0)


def history(trial: FrozenTrial) -> list[float]:
    """The values of the metric that a trial has logged, in their order."""
    return [value for _, value in sorted(trial.intermediate_values.items())]


def write_best(sweep: Sweep, trial: FrozenTrial, path: Path) -> str:
    """Write the best trial's values as a configuration.

    Flags that stand in the sweep's command are written too, so that a fit with the command's own --config and
    this file is the trial once more.

    Returns:
        The command that fits it again.
    """
    words = sweep.words({})
    configs, flags = _read(words[words.index("fit") + 1 :], sweep.config)
    command = shlex.join(["tablesense", "fit", *(f"--config={config}" for config in [*configs, path])])
    values: dict[str, Any] = {}
    for key, value in (flags | dict(trial.user_attrs["values"])).items():
        *parents, name = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    value = best_value(trial, sweep.maximize)
    head = f"# {sweep.name}, trial {trial.number}: {sweep.metric} {value:.4f}. Again:\n#   {command}\n"
    path.write_text(head + yaml.safe_dump(values, sort_keys=False))
    return command


def _read(words: list[str], config: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The configuration files among the words of a command, and the values of its flags in `config`."""
    configs: list[str] = []
    flags: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        key, given, text = word.partition("=")
        key = key.removeprefix("--")
        if not given:
            text = next(rest, "")
        if key in ("config", "-c"):
            configs.append(text)
        else:
            value = config.get(key, text)
            plain = value is None or isinstance(value, (bool, int, float, str, list))
            flags[key] = value if plain else text
    return configs, flags
