"""A sweep's YAML, with the line on which each thing stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tablesense.errors import UserError

Place = tuple[str, ...]
"""Where in the file: ("parameters", "training.lr", "min")."""


@dataclass(frozen=True)
class SweepFile:
    """A sweep's YAML.

    Attributes:
        path: The file.
        content: What it says.
        lines: The line of every key, counted from 1.
        repeated: The places of keys that are given a second time, which YAML lets pass.
    """

    path: Path
    content: dict[str, Any]
    lines: dict[Place, int]
    repeated: tuple[Place, ...] = ()

    def line(self, *place: str) -> int:
        """The line of a place, or of the nearest thing around it that is there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(path: Path) -> SweepFile:
    """Read a sweep.

    Raises:
        UserError: There is no such file, or it is no mapping in YAML.
    """
    try:
        text = path.read_text()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"the sweep {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the sweep {path}: expected a YAML file, found bytes that are no text") from error
    except yaml.YAMLError as error:
        raise UserError(f"the sweep {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "parameters" not in content:
        found = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else "something else"
        raise UserError(
            f"{path} is not a sweep: expected a mapping with method, metric and parameters, found {found}; "
            "sweeps/detr_bayes.yaml is one"
        )
    lines: dict[Place, int] = {}
    repeated: list[Place] = []
    _walk(node, (), lines, repeated)
    return SweepFile(path, content, lines, tuple(repeated))


def _walk(node: yaml.Node | None, place: Place, lines: dict[Place, int], repeated: list[Place]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                repeated.append(inner)
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, str(index))] = value.start_mark.line + 1
            _walk(value, (*place, str(index)), lines, repeated)
