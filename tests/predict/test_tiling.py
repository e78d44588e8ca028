"""Tiles of huge pages."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tablesense.data.page import Box
from tablesense.predict.network import Finds
from tablesense.predict.tiling import merge, views

Scored = tuple[Box, float]


def looked_at(places: list[Box], *found: tuple[int, Box, float]) -> list[Finds]:
    """What each view found: the number of the view, a box in units of the page, a score."""
    finds = []
    for view, (x0, y0, _, _) in enumerate(places):
        own = [(box, score) for i, box, score in found if i == view]
        boxes = np.array([box for box, _ in own], float).reshape(-1, 4) - (x0, y0, x0, y0)
        finds.append(Finds(boxes, np.array([score for _, score in own]), np.zeros(len(own), int)))
    return finds


def merged(places: list[Box], *found: tuple[int, Box, float]) -> list[Scored]:
    boxes, scores, labels = merge(places, looked_at(places, *found))
    assert labels.tolist() == [0] * len(boxes)
    return [((x0, y0, x1, y1), score) for (x0, y0, x1, y1), score in zip(boxes.tolist(), scores, strict=True)]


# Two tiles beside each other, (0, 0, 100, 80) and (75, 0, 175, 80), behind the whole page.
TWO = views((175, 80), 100)


def test_small_pages_are_looked_at_whole() -> None:
    assert views((300, 400), None) == views((300, 400), 400) == [(0, 0, 300, 400)]


def test_tiles_cover_the_page_and_overlap() -> None:
    whole, *tiles = views((1000, 2300), 700)
    assert whole == (0, 0, 1000, 2300)
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in tiles} == {(700, 700)}
    columns, rows = sorted({(x0, x1) for x0, _, x1, _ in tiles}), sorted({(y0, y1) for _, y0, _, y1 in tiles})
    assert len(tiles) == len(columns) * len(rows) == 2 * 5
    for intervals, end in ((columns, 1000), (rows, 2300)):
        assert intervals[0][0] == 0
        assert intervals[-1][1] == end
        assert all(before[1] - after[0] >= 175 for before, after in pairwise(intervals))


def test_a_narrow_page_has_one_column() -> None:
    assert TWO == [(0, 0, 175, 80), (0, 0, 100, 80), (75, 0, 175, 80)]


def test_more_tiles_than_anyone_wants_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--tile: 15,960 tiles of 10 on a page of .*: name a greater"):
        views((1000, 900), 10)


def test_what_is_found_in_several_views_is_one_find_in_units_of_the_page() -> None:
    found = (0, (78, 11, 95, 39), 0.6), (1, (80, 10, 94, 40), 0.7), (2, (80, 10, 95, 40), 0.9)
    assert merged(TWO, *found) == [((80, 10, 95, 40), 0.9)]


def test_a_cut_find_goes_where_another_view_has_it_whole() -> None:
    whole = (82, 10, 130, 40)
    assert merged(TWO, (1, (82, 10, 100, 40), 0.9), (2, whole, 0.6)) == [(whole, 0.6)]
    assert merged(TWO, (1, (82, 10, 99, 40), 0.9), (0, whole, 0.6)) == [(whole, 0.6)]


def test_parts_in_neighbouring_tiles_are_joined() -> None:
    left, right = (10, 10, 100, 40), (75, 11, 160, 42)
    assert merged(TWO, (1, left, 0.6), (2, right, 0.9)) == [((10, 10, 160, 42), 0.9)]


def test_parts_are_joined_over_corners() -> None:
    places = views((175, 175), 100)  # four tiles
    quarters = [(40, 30, 100, 100), (75, 30, 140, 100), (40, 75, 100, 150), (75, 75, 140, 150)]
    found = [(i, box, 0.5 + i / 10) for i, box in enumerate(quarters, start=1)]
    assert merged(places, *found) == [((40, 30, 140, 150), 0.9)]


def test_parts_at_different_heights_are_not_joined() -> None:
    left, right = (10, 10, 100, 40), (75, 45, 160, 75)
    assert merged(TWO, (1, left, 0.6), (2, right, 0.9)) == []


def test_a_joined_find_takes_the_place_of_parts_within_it() -> None:
    left, right, inner = (10, 10, 100, 40), (75, 10, 160, 40), (20, 12, 60, 38)
    assert merged(TWO, (1, left, 0.7), (2, right, 0.8), (1, inner, 0.9)) == [((10, 10, 160, 40), 0.8)]


def test_a_cut_find_that_nothing_completes_goes() -> None:
    whole = (10, 10, 40, 35)
    assert merged(TWO, (1, (60, 10, 100, 40), 0.6)) == []
    assert merged(TWO, (1, (5, 5, 100, 75), 0.9), (1, whole, 0.6)) == [(whole, 0.6)]


def test_what_is_joined_goes_where_its_whole_is_known() -> None:
    left, right, whole = (30, 10, 100, 40), (75, 10, 160, 40), (35, 11, 158, 39)
    assert merged(TWO, (1, left, 0.7), (2, right, 0.8), (0, whole, 0.6)) == [(whole, 0.6)]


def test_the_edge_of_the_page_cuts_nothing() -> None:
    box = (0, 0, 60, 80)
    assert merged(TWO, (1, box, 0.6), (2, (110, 0, 175, 80), 0.5)) == [
        (box, 0.6),
        ((110, 0, 175, 80), 0.5),
    ]


def test_of_finds_within_each_other_the_best_stays() -> None:
    outer, inner = (10, 10, 70, 70), (15, 15, 65, 40)
    assert merged(TWO, (0, outer, 0.6), (1, inner, 0.9)) == [(inner, 0.9)]
    assert merged(TWO, (0, outer, 0.9), (1, inner, 0.6)) == [(outer, 0.9)]
    # Within one view it is for the network to say.
    assert merged(TWO, (1, outer, 0.9), (1, inner, 0.6)) == [(outer, 0.9), (inner, 0.6)]


def test_what_no_tile_holds_wins_over_what_lies_in_it() -> None:
    large = (5, 5, 170, 75)
    assert merged(TWO, (0, large, 0.5), (1, (15, 15, 65, 70), 0.9)) == [(large, 0.5)]


def test_classes_are_apart() -> None:
    one = Finds(np.array([[10.0, 10, 60, 60]]), np.array([0.9]), np.array([0]))
    other = Finds(np.array([[10.0, 10, 60, 60]]), np.array([0.8]), np.array([1]))
    none = Finds(np.empty((0, 4)), np.empty(0), np.empty(0, int))
    assert merge(TWO, [one, other, none]).labels.tolist() == [0, 1]


def test_nothing_is_found_on_an_empty_page() -> None:
    assert merged(TWO) == []


def test_a_thousand_random_finds_keep_their_order_and_stay_on_the_page() -> None:
    rng = np.random.default_rng(0)
    places = views((4000, 3000), 700)
    found = []
    for x0, y0, x1, y1 in places:
        low = rng.uniform(0, 0.9, (30, 2))
        high = low + (1 - low) * rng.uniform(0.1, 1, (30, 2))
        boxes = np.concatenate([low, high], 1) * ([x1 - x0, y1 - y0] * 2)
        found.append(Finds(boxes, rng.uniform(0.5, 1, 30), np.zeros(30, int)))
    boxes, scores, _ = merge(places, found)
    assert len(boxes)
    assert (np.diff(scores) <= 0).all()
    assert (boxes >= 0).all()
    assert (boxes <= (4000, 3000, 4000, 3000)).all()
