"""Precision, recall and F1 of parts of the tables: the small ones, those without ruling lines, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tablesense.experiment.evaluation import ScoredPage

EDGE = 0.04
"""A table is at the page's edge when it is nearer to it than this share of the page's side."""


@dataclass(frozen=True)
class Slice:
    """One part of the tables, such as the small ones.

    Attributes:
        group: What the tables are divided by: "lines", "size", "place", "tables on the page", ...
        name: Which part it is.
        tables: How many true tables are in it.
        precision: Of the finds in it; None where there are none. A find is in the part that its own
            box belongs to.
        recall: Of the tables in it; None where there are none.
        f1: None where there are neither.
    """

    group: str
    name: str
    tables: int
    precision: float | None
    recall: float | None
    f1: float | None


Part = Callable[[ScoredPage, Sequence[float], int, bool], str]
"""The name of the part that a box belongs to, from its page, its sides, its class and whether it is ruled."""


def _lines(page: ScoredPage, box: Sequence[float], label: int, ruled: bool) -> str:
    return "with ruling lines" if ruled else "without ruling lines"


def _size(page: ScoredPage, box: Sequence[float], label: int, ruled: bool) -> str:
    share = (box[2] - box[0]) * (box[3] - box[1]) / (page.size[0] * page.size[1])
    return "under 5 % of the page" if share < 0.05 else "5 to 20 %" if share < 0.2 else "over 20 %"


def _place(page: ScoredPage, box: Sequence[float], label: int, ruled: bool) -> str:
    (width, height), (x0, y0, x1, y1) = page.size, box
    nearest = min(x0 / width, y0 / height, 1 - x1 / width, 1 - y1 / height)
    return "at the page's edge" if nearest < EDGE else "inside the page"


def _number(page: ScoredPage, box: Sequence[float], label: int, ruled: bool) -> str:
    number = len(page.boxes)
    return "none" if number == 0 else "one" if number == 1 else "two" if number == 2 else "three or more"


def _source(page: ScoredPage, box: Sequence[float], label: int, ruled: bool) -> str:
    return page.source


_GROUPS: dict[str, tuple[Part, tuple[str, ...]]] = {
    "lines": (_lines, ("with ruling lines", "without ruling lines")),
    "size": (_size, ("under 5 % of the page", "5 to 20 %", "over 20 %")),
    "place": (_place, ("inside the page", "at the page's edge")),
    "tables on the page": (_number, ("none", "one", "two", "three or more")),
}
"""What tables are divided by, whatever the data: the rule, and its parts in their order."""


def slices(
    pages: Sequence[ScoredPage], class_names: Sequence[str], given: Sequence[Sequence[int]]
) -> Iterable[Slice]:
    """Divide tables and finds into parts, and score each part that has any.

    Args:
        pages: The pages.
        class_names: In the order of the labels.
        given: For each page the table of each find that counts, or -1; best find first.
    """
    groups = dict(_GROUPS)
    if len(class_names) > 1:
        groups["class"] = (lambda page, box, label, ruled: class_names[label]), tuple(class_names)
    sources = tuple(dict.fromkeys(page.source for page in pages))
    if len(sources) > 1:
        groups["data set"] = _source, sources
    for group, (part, names) in groups.items():
        true, found, right, hit = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for page, tables in zip(pages, given, strict=True):
            boxes = zip(page.boxes.tolist(), page.labels.tolist(), page.ruled, strict=True)
            where = [part(page, box, label, ruled) for box, label, ruled in boxes]
            true.update(where)
            finds = zip(page.found.tolist(), page.found_labels.tolist(), page.found_ruled, strict=True)
            for (box, label, ruled), table in zip(finds, tables, strict=False):  # the rest counts as none
                own = part(page, box, label, ruled)
                found[own] += 1
                if table >= 0:
                    right[own] += 1
                    hit[where[table]] += 1
        for name in names:
            if true[name] or found[name]:
                precision, recall, f1 = ratios(right[name], hit[name], found[name], true[name])
                yield Slice(group, name, true[name], precision, recall, f1)


def ratios(
    right: float, hit: float, found: float, tables: float
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1, each None where it would divide by nothing.

    Args:
        right: Finds that are right.
        hit: Tables that were found. Another number than `right` where a find and its table lie in
            different parts.
        found: All finds.
        tables: All tables.
    """
    precision, recall = right / found if found else None, hit / tables if tables else None
    f1 = (right + hit) / (found + tables) if found + tables else None
    return precision, recall, f1
