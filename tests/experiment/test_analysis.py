"""Curves, kinds of errors and slices, on pages that are made for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tablesense.experiment.analysis import CURVE_POINTS, KINDS, analyse
from tablesense.experiment.evaluation import ScoredPage
from tablesense.metrics import DetectionF1

Box = Sequence[float]
TABLE = (100, 100, 300, 200)
OTHER = (100, 300, 300, 400)


def page(
    tables: Sequence[Box],
    finds: Sequence[tuple[Box, float]],
    *,
    labels: Sequence[int] | None = None,
    found_labels: Sequence[int] | None = None,
    ruled: bool = False,
    source: str = "",
) -> ScoredPage:
    """A page of 1000 x 1000 pixels."""
    finds = sorted(finds, key=lambda find: -find[1])
    return ScoredPage(
        "page",
        (1000, 1000),
        torch.tensor([list(box) for box in tables]).double().reshape(-1, 4),
        torch.tensor(labels or [0] * len(tables)).long(),
        (ruled,) * len(tables),
        torch.tensor([list(box) for box, _ in finds]).double().reshape(-1, 4),
        torch.tensor(found_labels or [0] * len(finds)).long(),
        torch.tensor([score for _, score in finds], dtype=torch.float),
        (ruled,) * len(finds),
        source,
    )


def random_pages(seed: int, number: int = 40) -> list[ScoredPage]:
    """Pages with finds near their tables, beside them, and with scores that repeat."""
    rng = np.random.default_rng(seed)
    pages = []
    for _ in range(number):
        corners = rng.uniform(0, 700, (rng.integers(0, 4), 2))
        tables = np.hstack([corners, corners + rng.uniform(50, 300, corners.shape)])
        near = tables + rng.normal(0, 25, tables.shape)
        stray = rng.uniform(0, 500, (rng.integers(0, 3), 2))
        boxes = np.vstack([near, np.hstack([stray, stray + 200]), near[:1]])
        finds = [(box, round(rng.uniform(0.05, 1), 1)) for box in boxes]
        pages.append(page(tables.tolist(), finds))
    return pages


@pytest.mark.parametrize("seed", range(5))
def test_f1_at_every_threshold_is_the_metrics_own(seed: int) -> None:
    pages = random_pages(seed)
    analysis = analyse(pages, ["table"], 0.5)
    assert len(analysis.scores) > 5
    for threshold, f1 in zip([*analysis.scores, 0.5], [*analysis.f1, analysis.fixed[2]], strict=True):
        metric = DetectionF1(threshold)
        for one in pages:
            found = {"boxes": one.found, "labels": one.found_labels, "scores": one.scores}
            metric.update([found], [{"boxes": one.boxes, "labels": one.labels}])
        assert f1 == pytest.approx(float(metric.compute()["f1"]), abs=1e-12)
    assert analysis.best_f1 == max(analysis.f1)
    assert analysis.best_threshold == analysis.scores[analysis.f1.index(analysis.best_f1)]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_best_point() -> None:
    pages = [page([TABLE], [(TABLE, 0.1 + 0.8 * i / 2000)]) for i in range(2000)]
    whole = analyse(pages, ["table"], 0.5)
    assert len(whole.scores) <= CURVE_POINTS + 1
    assert whole.recall[0] == 1 / 2000
    assert whole.recall[-1] == whole.best_f1 == 1


@pytest.mark.parametrize(
    ("kind", "tables", "finds"),
    [
        ("missed", [TABLE], []),
        ("missed", [TABLE], [(TABLE, 0.4)]),  # under the threshold
        ("loose", [TABLE], [((100, 100, 300, 140), 0.9)]),
        ("split", [TABLE], [((100, 100, 300, 140), 0.9), ((100, 150, 300, 195), 0.8)]),
        ("merged", [TABLE, (100, 210, 300, 310)], [((95, 95, 305, 315), 0.9)]),
        ("false on an empty page", [], [(TABLE, 0.9)]),
        ("false", [TABLE], [(TABLE, 0.9), (OTHER, 0.8)]),
        ("duplicate", [TABLE], [(TABLE, 0.9), ((100, 100, 300, 160), 0.8)]),
    ],
)
def test_kinds_of_errors(kind: str, tables: list[Box], finds: list[tuple[Box, float]]) -> None:
    errors = analyse([page(tables, finds)], ["table"], 0.5).errors
    expected = dict.fromkeys(KINDS, 0)
    expected[kind] = 2 if kind == "merged" and len(tables) == 2 else 1
    assert errors == expected


def test_a_find_that_fits_one_table_and_covers_another_merges_the_other() -> None:
    tables = [(100, 100, 300, 300), (100, 310, 300, 350)]
    assert analyse([page(tables, [((100, 100, 300, 350), 0.9)])], ["table"], 0.5).errors["merged"] == 1


def test_a_table_found_as_another_class() -> None:
    wrong = page([TABLE], [(TABLE, 0.9)], labels=[0], found_labels=[1])
    analysis = analyse([wrong], ["table", "figure"], 0.5)
    assert analysis.errors["wrong class"] == sum(analysis.errors.values()) == 1
    assert {part.name for part in analysis.slices if part.group == "class"} == {"table", "figure"}


@pytest.mark.parametrize("seed", range(5))
def test_each_table_that_is_not_found_is_one_error(seed: int) -> None:
    pages = random_pages(seed)
    analysis = analyse(pages, ["table"], 0.5)
    tables = sum(len(one.boxes) for one in pages)
    recall = analysis.fixed[1]
    assert recall is not None
    lost = sum(analysis.errors[kind] for kind in ("missed", "loose", "split", "merged", "wrong class"))
    assert lost == tables - round(recall * tables)


def test_the_worst_pages_have_the_most_errors() -> None:
    pages = [page([TABLE], [(TABLE, 0.9)]), page([TABLE, OTHER], []), page([TABLE], [])]
    analysis = analyse(pages, ["table"], 0.5)
    assert analysis.page_errors == [0, 2, 1]
    assert analysis.worst(5) == [1, 2]
    assert analysis.worst(1) == [1]


def test_slices() -> None:
    pages = [
        page([TABLE], [(TABLE, 0.9)], ruled=True, source="a"),
        page([(0, 0, 900, 900)], [], source="b"),
        page([], [((10, 300, 300, 400), 0.9)], source="b"),
    ]
    parts = {(part.group, part.name): part for part in analyse(pages, ["table"], 0.5).slices}
    found = {name: (part.tables, part.precision, part.recall, part.f1) for name, part in parts.items()}
    assert found == {
        ("lines", "with ruling lines"): (1, 1.0, 1.0, 1.0),
        ("lines", "without ruling lines"): (1, 0.0, 0.0, 0.0),
        ("size", "under 5 % of the page"): (1, 0.5, 1.0, 2 / 3),
        ("size", "over 20 %"): (1, None, 0.0, 0.0),
        ("place", "inside the page"): (1, 1.0, 1.0, 1.0),
        ("place", "at the page's edge"): (1, 0.0, 0.0, 0.0),
        ("tables on the page", "none"): (0, 0.0, None, 0.0),
        ("tables on the page", "one"): (2, 1.0, 0.5, 2 / 3),
        ("data set", "a"): (1, 1.0, 1.0, 1.0),
        ("data set", "b"): (1, 0.0, 0.0, 0.0),
    }


def test_nothing_found_and_nothing_there() -> None:
    analysis = analyse([page([], [])], ["table"], 0.5)
    assert analysis.fixed == (None, None, None)
    assert (analysis.scores, analysis.best_threshold, analysis.best_f1) == ([], None, 0.0)
    assert not sum(analysis.errors.values())
