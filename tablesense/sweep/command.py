"""The command of a sweep, expanded as `wandb agent` expands it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
"""What an agent starts when the sweep names no command."""

READABLE = ("${args}", "${args_no_equals}")
"""The forms of the values that `tablesense fit` reads."""

_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_MACRO = re.compile(r"\$\{.*\}")


def expand(command: Sequence[Any], parameters: Mapping[str, Any], program: str = "") -> list[str]:
    """The words of the command that starts one run.

    Args:
        command: The sweep's command, with `${…}` in it.
        parameters: The values of this run by dotted key.
        program: The sweep's program.

    Reference: https://docs.wandb.ai/models/sweeps/define-sweep-configuration, "Command macros". What the page
    leaves open is as in wandb/wandb_agent.py: values are written as Python's `str` does, an environment
    variable that is not set leaves its name, a macro that does not exist leaves nothing.
    """
    plain = [f"{key}={value}" for key, value in parameters.items()]
    macros: dict[str, list[str]] = {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": ["python"],
        "${program}": [program],
        "${args}": [f"--{word}" for word in plain],
        "${args_no_equals}": [word for key, value in parameters.items() for word in (f"--{key}", str(value))],
        "${args_no_hyphens}": plain,
        "${args_no_boolean_flags}": [
            f"--{key}" if value is True else f"--{key}={value}"
            for key, value in parameters.items()
            if value is not False
        ],
        "${args_json}": [json.dumps(dict(parameters))],
        "${args_append_hydra}": [f"+{word}" for word in plain],
        "${args_override_hydra}": [f"++{word}" for word in plain],
    }
    words: list[str] = []
    for part in command:
        word = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[1]), str(part))
        words += macros.get(word, []) if _MACRO.fullmatch(word) else [word]
    return words
