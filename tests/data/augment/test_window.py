"""Windows hold tables whole or not at all, and may end at one."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from drawn_page import draw_boxes, page

from tablesense.data.augment.geometry import in_view
from tablesense.data.augment.window import crop, draw_window


def test_a_crop_holds_each_table_whole_or_not_at_all() -> None:
    cropped = left_out = 0
    for seed in range(400):
        rng = Random(f"crop/{seed}")
        size = rng.choice([(150, 200), (200, 150)])
        boxes = draw_boxes(rng, size)
        view, moved = crop(page(boxes, size), boxes, rng)
        inside = [box for box in moved if in_view(box, view)]
        for x0, y0, x1, y1 in inside:
            assert 0 <= x0 < x1 <= view.width
            assert 0 <= y0 < y1 <= view.height
        ink = (np.asarray(view) == 0).sum()
        assert ink == sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in inside)
        cropped += view.size != size
        left_out += len(boxes) - len(inside)
    assert cropped > 150
    assert left_out > 50


def test_a_page_that_is_one_table_is_not_cropped() -> None:
    boxes = [(0.0, 0.0, 200.0, 150.0)]
    for seed in range(20):
        view, moved = crop(page(boxes, (200, 150)), boxes, Random(seed))
        assert (view.size, moved) == ((200, 150), boxes)


@pytest.mark.parametrize("at_table", [False, True])
def test_no_window_cuts_a_table(at_table: bool) -> None:
    drawn = left_out = 0
    for seed in range(300):
        rng = Random(f"window/{seed}")
        boxes = draw_boxes(rng, (200, 150))
        window = draw_window((200, 150), boxes, rng, at_table)
        if window is not None:
            left, top, right, bottom = window
            assert 0 <= left < right <= 200
            assert 0 <= top < bottom <= 150
            inside = [x0 >= left and y0 >= top and x1 <= right and y1 <= bottom for x0, y0, x1, y1 in boxes]
            beside = [x1 <= left or y1 <= top or x0 >= right or y0 >= bottom for x0, y0, x1, y1 in boxes]
            assert all(a != b for a, b in zip(inside, beside, strict=True))
            drawn += 1
            left_out += sum(beside)
    assert drawn > 150
    assert left_out > 20


def test_a_window_may_end_just_beyond_a_table_on_any_side() -> None:
    box, ends = (70.0, 60.0, 130.0, 90.0), np.zeros(4, dtype=int)
    for seed in range(300):
        window = draw_window((200, 150), [box], Random(seed), at_table=True)
        if window is not None:
            left, top, right, bottom = window
            width, height = right - left, bottom - top
            gaps = np.array([
                (box[0] - left) / width,
                (box[1] - top) / height,
                (right - box[2]) / width,
                (bottom - box[3]) / height,
            ])  # fmt: skip
            assert ((gaps >= 0) & (gaps <= 0.02 * 200 / 45)).any()
            ends += (gaps >= 0) & (gaps <= 0.02)
    assert (ends > 20).all()


def test_there_is_no_window_where_every_one_would_cut_a_table() -> None:
    assert draw_window((200, 150), [(1.0, 1.0, 199.0, 149.0)], Random(0), smallest=0.45) is None
    assert draw_window((200, 150), [(1.0, 1.0, 199.0, 149.0)], Random(0), at_table=True, tries=1) is None
