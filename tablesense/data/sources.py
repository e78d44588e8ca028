"""The data sets of a training: one, or several with weights."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from tablesense.data.page import Page
from tablesense.data.sampling import Stratum
from tablesense.data.table import PageTable
from tablesense.errors import UserError


@dataclass(frozen=True)
class SourceConfig:
    """One data set among those of `data.sources`.

    Attributes:
        path: Its folder or annotation file; null for synthetic pages, as `data.synthetic` has them.
        name: What it is called in the log: `val/<name>/f1`. Null takes the name of the folder.
        format: Its layout; "auto" looks.
        weight: Its share among the pages that are trained on, compared with the weights of the others;
            null for all takes each page as often as any other.
        without_tables: The share of pages without a table among those drawn from it, from 0 to 1; null
            leaves it as it is.
        class_map: Other names for its classes, null for classes to leave out; before `data.class_map`.
        role: "train" trains on its training pages, "val" validates on its validation pages, "both" does both.

    """

    path: Path | None = None
    name: str | None = None
    format: str = "auto"
    weight: float | None = None
    without_tables: float | None = None
    class_map: dict[str, str | None] | None = None
    role: Literal["both", "train", "val"] = "both"

    def check(self) -> None:
        """Refuse values out of range.

        Raises:
            UserError: There is one.
        """
        if self.weight is not None and not 0 < self.weight < float("inf"):
            raise UserError(f"data.sources: {self.title}: expected a weight above 0, found {self.weight}")
        if self.without_tables is not None and not 0 <= self.without_tables <= 1:
            raise UserError(
                f"data.sources: {self.title}: expected without_tables from 0 to 1, "
                f"found {self.without_tables}"
            )
        if self.name is not None and not re.fullmatch(r"[\w.-]+", self.name):
            raise UserError(
                f"data.sources: expected a name of letters, digits, '_', '.' and '-', found {self.name!r}"
            )

    @property
    def title(self) -> str:
        """The name that it goes by."""
        if self.name is not None:
            return self.name
        if self.path is None:
            return "synthetic"
        path = Path(self.path).expanduser().resolve()
        return re.sub(r"[^\w.-]+", "_", path.name if path.is_dir() else path.stem)


class Mix(Sequence[Page]):
    """The pages of several tables in a row.

    Args:
        tables: One for each source; none for no pages.
    """

    def __init__(self, tables: Sequence[PageTable]) -> None:
        self.tables = tuple(table for table in tables if len(table))
        self.starts = list(accumulate((len(table) for table in self.tables), initial=0))

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, i: int) -> Page: ...
    @overload
    def __getitem__(self, i: slice) -> list[Page]: ...
    def __getitem__(self, i: int | slice) -> Page | list[Page]:
        """One page, or several."""
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"page {i} of {len(self)}")
        place = bisect_right(self.starts, i % len(self)) - 1
        return self.tables[place][i % len(self) - self.starts[place]]

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Width and height of each page, [pages, 2]."""
        return np.concatenate([np.empty((0, 2)), *(table.sizes for table in self.tables)])

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the data sets that the pages are from."""
        return tuple(dict.fromkeys(table.source for table in self.tables))


def strata(mix: Mix, configs: Mapping[str, SourceConfig]) -> list[Stratum]:
    """What to draw from: each source, or its pages with and without tables where their ratio is given.

    Args:
        mix: The pages to train on.
        configs: The sources by name.

    Raises:
        UserError: Some weights are given and some are not, or a ratio cannot be had.
    """
    weights = [configs[table.source].weight for table in mix.tables]
    if None in weights and any(weight is not None for weight in weights):
        bare = next(table.source for table, weight in zip(mix.tables, weights, strict=True) if weight is None)
        raise UserError(f"data.sources: {bare} has no weight and others have: give one to each, or to none")
    result = []
    for table, weight, start in zip(mix.tables, weights, mix.starts, strict=False):
        share = float(len(table)) if weight is None else weight
        empty_share = configs[table.source].without_tables
        indices = np.arange(start, start + len(table))
        if empty_share is None:
            result.append(Stratum(indices, share))
            continue
        empty = table.counts == 0
        for chosen, part, what in (
            (empty, empty_share, "without"),
            (~empty, 1 - empty_share, "with"),
        ):
            if part and not chosen.any():
                raise UserError(
                    f"data.sources: {table.source}: without_tables is {empty_share}, and it has no page "
                    f"{what} a table"
                )
            if part:
                result.append(Stratum(indices[chosen], share * part))
    return result
