"""Numbers and class names as the writers put them down."""

from __future__ import annotations

from collections.abc import Mapping

from tablesense.data.table import PageTable


def number(value: float) -> int | float:
    """A whole number without a point: tools that read pixels as integers take it, and nothing is lost."""
    return int(value) if value == int(value) else value


def class_names(splits: Mapping[str, PageTable]) -> list[str]:
    """The classes of all boxes, sorted, so that an id means the same in each split."""
    return sorted({name for pages in splits.values() for name in pages.label_counts()})
