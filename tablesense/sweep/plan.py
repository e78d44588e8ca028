"""A sweep that was checked: what it varies, and the commands that it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from tablesense.sweep.command import expand
from tablesense.sweep.distributions import Distribution
from tablesense.sweep.file import SweepFile
from tablesense.sweep.hyperband import Hyperband


@dataclass(frozen=True)
class Sweep:
    """A sweep that was checked.

    Attributes:
        file: Where it came from.
        name: Its name.
        method: "bayes", "random" or "grid".
        metric: What it makes best.
        maximize: Whether more of that is better.
        target: Its value that is enough: no run begins once one has it. None for none.
        parameters: What it varies, by dotted key.
        command: What starts one run, with `${…}` in it.
        program: What stands for `${program}` in it.
        stopping: When runs are stopped early; None for never.
        run_cap: The most runs; None for no end.
        max_epochs: The epochs of a run.
        config: What the command comes to without the sweep's values, by dotted key.
    """

    file: SweepFile
    name: str
    method: str
    metric: str
    maximize: bool
    target: float | None
    parameters: Mapping[str, Distribution]
    command: tuple[str, ...]
    program: str
    stopping: Hyperband | None
    run_cap: int | None
    max_epochs: int
    config: Mapping[str, Any]

    @property
    def grid_points(self) -> int | None:
        """How many runs try everything; None where a range has no end of values."""
        points = 1
        for distribution in self.parameters.values():
            values = distribution.grid()
            if values is None:
                return None
            points *= len(values)
        return points

    def points(self, count: int) -> list[dict[str, Any]]:
        """The values of a grid's first points, in its order."""
        grids = [distribution.grid() or [] for distribution in self.parameters.values()]
        return [dict(zip(self.parameters, point, strict=True)) for point in islice(product(*grids), count)]

    def first(self, count: int) -> list[dict[str, Any]]:
        """The values of a few runs such as it may start: a grid's first ones, or the middle and the ends."""
        if self.method == "grid":
            return self.points(count)
        rows = [{name: d.middle() for name, d in self.parameters.items()}]
        rows += few({name: d.ends() for name, d in self.parameters.items()})
        return rows[:count]

    def epochs(self, values: Mapping[str, Any]) -> int:
        """The epochs of the run with these values."""
        return int(values.get("trainer.max_epochs", self.max_epochs))

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The command that starts the run with these values."""
        return expand(self.command, values, self.program)


def few(ends: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Few combinations in which every value occurs."""
    longest = max(map(len, ends.values()), default=0)
    return [{key: values[row % len(values)] for key, values in ends.items()} for row in range(longest)]
