"""The pages that are opened: all, or some drawn from all splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tablesense.data.page import Page
from tablesense.data.table import PageTable

_CHUNK = 16  # pages that a process is given at once


class Chosen:
    """Pages of several splits in a row, numbered from 0.

    Args:
        splits: In the order in which pages are met: of two copies, the later is the one at fault.
        limit: How many are drawn; None for all.

    Attributes:
        split: Which of `names` each page belongs to, [n].
        names: Of the splits.
    """

    SEED = 0

    def __init__(self, splits: Mapping[str, PageTable], limit: int | None = None) -> None:
        self.names, self._tables = tuple(splits), tuple(splits.values())
        sizes = [len(table) for table in self._tables]
        self.total = sum(sizes)
        rows = np.arange(self.total)
        if limit is not None and limit < self.total:
            rows = np.sort(np.random.default_rng(self.SEED).choice(self.total, limit, replace=False))
        starts = np.cumsum([0, *sizes])
        self.split = np.searchsorted(starts, rows, side="right") - 1
        self._rows = rows - starts[self.split]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> Page:
        return self._tables[int(self.split[i])][int(self._rows[i])]

    def chunks(self) -> Iterator[list[Page]]:
        """All of them, a few at a time."""
        for start in range(0, len(self), _CHUNK):
            yield [self[i] for i in range(start, min(start + _CHUNK, len(self)))]
