"""What a data set holds, told by its columns: no image is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tablesense.data.table import PageTable

Size = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the greatest of some numbers."""

    least: float
    median: float
    most: float


def spread(values: ArrayLike) -> Spread | None:
    """None where there are no values."""
    numbers = np.asarray(values, np.float64)
    if not numbers.size:
        return None
    return Spread(*(round(float(of(numbers)), 4) for of in (np.min, np.median, np.max)))


@dataclass(frozen=True)
class SplitFacts:
    """How much there is in a split; tables are boxes of the classes that are looked for."""

    pages: int
    documents: int
    tables: int
    without_tables: int


@dataclass(frozen=True)
class PageFacts:
    """How large pages are, in pixels or, for PDFs, points.

    Attributes:
        median: The middle of the widths and that of the heights.
        smallest: The page of the smallest area.
        largest: That of the largest.
        landscape: The share of pages wider than high.
        tables: On pages that have any; None where none has.
    """

    median: Size
    smallest: Size
    largest: Size
    landscape: float
    tables: Spread | None


def split_facts(table: PageTable) -> SplitFacts:
    """Count what is in a split."""
    counts = table.counts
    return SplitFacts(
        len(table), len(np.unique(table.documents)), int(counts.sum()), int((counts == 0).sum())
    )


def page_facts(splits: Mapping[str, PageTable]) -> PageFacts:
    """Measure the pages of all splits, of which there is one at least."""
    sizes: NDArray[np.float64] = np.concatenate([table.sizes for table in splits.values()])
    counts = np.concatenate([table.counts for table in splits.values()])
    areas = sizes.prod(axis=1)
    width, height = np.median(sizes, axis=0).tolist()

    def size(row: np.intp) -> Size:
        return float(sizes[row, 0]), float(sizes[row, 1])

    return PageFacts(
        (width, height),
        size(areas.argmin()),
        size(areas.argmax()),
        float((sizes[:, 0] > sizes[:, 1]).mean()),
        spread(counts[counts > 0]),
    )


def class_counts(splits: Mapping[str, PageTable]) -> Counter[str]:
    """How many boxes each class has in all splits, the most frequent first."""
    total = Counter[str]()
    for table in splits.values():
        total.update(table.label_counts())
    return Counter(dict(total.most_common()))
