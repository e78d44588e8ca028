"""Turned, tilted and scaled pages: the box bounds the ink."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from drawn_page import draw_boxes, ink_bounds, page
from PIL import Image

from tablesense.data.augment.geometry import (
    bounds,
    corners_of,
    fit,
    in_view,
    outlines,
    pose,
    project,
    rotate,
    warp,
    zoom_out,
)


def test_a_turned_box_bounds_its_turned_corners() -> None:
    image = page([(10, 20, 40, 30)], (100, 100))
    turned, boxes = rotate(image, [(10, 20, 40, 30)], 90)  # against the clock
    assert boxes[0] == pytest.approx((20, 60, 30, 90))
    assert ink_bounds(turned, boxes[0]) == (20, 60, 30, 90)
    for degrees in (-7.5, -2, 0.4, 3, 12):
        image = page([(100, 150, 420, 330)], (520, 480))
        turned, boxes = rotate(image, [(100, 150, 420, 330)], degrees)
        assert ink_bounds(turned, boxes[0]) == pytest.approx(boxes[0], abs=1.5)


def test_a_box_that_is_turned_off_the_page_is_dropped() -> None:
    image = page([], (400, 400))
    _, boxes = rotate(image, [(0, 390, 30, 399), (390, 0, 400, 10)], 5)
    assert not in_view(boxes[0], image)
    assert not in_view(boxes[1], image)
    for box in boxes:
        assert 0 <= box[0] <= box[2] <= 400
        assert 0 <= box[1] <= box[3] <= 400


def test_a_box_beside_the_view_is_out_of_it_whatever_rounding_does() -> None:
    image = Image.new("L", (1, 1))
    edge = 49 * (1 / 49)  # where a crop 49 pixels wide ends when it is scaled to 1: .9999999999999999
    assert edge < 1
    assert not in_view((edge, 0, edge + 1, 1), image)
    assert not in_view((-1, 0, 1 - edge, 1), image)
    assert in_view((1 - edge, 0, edge, 1), image)


def test_a_larger_sheet_is_white_or_the_dark_surround_of_a_copy() -> None:
    for dark in (False, True):
        for seed in range(30):
            image = Image.new("RGB", (60, 80), (1, 200, 3))
            sheet, ((x0, y0, x1, y1),) = zoom_out(image, [(0, 0, 60, 80)], Random(seed), dark)
            assert (x1 - x0, y1 - y0) == image.size
            assert 60 <= sheet.width <= 81
            assert 80 <= sheet.height <= 108
            pixels = np.array(sheet)
            assert (pixels[int(y0) : int(y1), int(x0) : int(x1)] == (1, 200, 3)).all()
            pixels[int(y0) : int(y1), int(x0) : int(x1)] = 0 if dark else 255
            assert pixels.max() <= 70 if dark else pixels.min() == 255


def test_fit_gives_at_least_one_pixel() -> None:
    assert fit(Image.new("L", (4000, 2)), 384).size == (384, 1)
    assert fit(Image.new("L", (2, 4000)), 384, stretch=0.5).size == (1, 384)
    assert fit(Image.new("RGB", (100, 50)), 200, stretch=0.5).size == (200, 200)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_boxes_of_tilted_pages_are_right_to_half_a_pixel(mode: str) -> None:
    for seed in range(24):
        rng = Random(f"tilt/{seed}")
        size = rng.choice([(280, 380), (380, 280), (600, 800)])
        boxes = draw_boxes(rng, size)
        image = page(boxes, size, mode)
        tilt = rng.uniform(-0.06, 0.06), rng.uniform(-0.12, 0.12)
        matrix, sheet = pose(size, rng.uniform(-6, 6), rng.uniform(0.88, 1.14), tilt)
        matrix = np.diag([0.4, 0.4, 1]) @ matrix
        extent = round(0.4 * sheet[0]), round(0.4 * sheet[1])
        moved = [bounds(project(matrix, outline)) for outline in outlines(image, boxes)]
        fine = warp(image, np.diag([6, 6, 1]) @ matrix, (6 * extent[0], 6 * extent[1]))
        for box in moved:  # a corner's tip is thinner than a pixel, hence the finer picture
            around = tuple(round(6 * side) + grow for side, grow in zip(box, (-8, -8, 8, 8), strict=True))
            ink = np.asarray(fine.crop(around).convert("L")) < 128
            rows, columns = np.nonzero(ink.any(1))[0], np.nonzero(ink.any(0))[0]
            found = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            place = [(at + around[k % 2]) / 6 for k, at in enumerate(found)]
            assert place == pytest.approx(box, abs=0.5), seed
        drawn = np.asarray(warp(image, matrix, extent).convert("L"), dtype=float)
        exact = np.asarray(fine.reduce(6).convert("L"), dtype=float)
        assert np.abs(drawn - exact).mean() < 6, seed
        for shifted in (exact[1:, :] - drawn[:-1, :], exact[:-1, :] - drawn[1:, :]):
            assert np.abs(drawn - exact).mean() < 0.6 * np.abs(shifted).mean(), seed


def test_the_page_just_fits_the_sheet_that_it_is_posed_on() -> None:
    for degrees, tilt in ((0, (0, 0)), (5, (0.05, -0.1)), (-6, (-0.03, 0.12))):
        matrix, sheet = pose((300, 200), degrees, 1.1, tilt)
        corners = project(matrix, corners_of((0, 0, 300, 200)))
        assert bounds(corners) == pytest.approx((0, 0, *sheet), abs=1e-9)
    assert pose((300, 200), 0)[1] == pytest.approx((300, 200))
    corners = project(pose((300, 200), 0, 1, (0, 0.1))[0], corners_of((0, 0, 300, 200)))
    upper, lower = corners[1, 0] - corners[0, 0], corners[2, 0] - corners[3, 0]
    assert upper / lower == pytest.approx(1.1 / 0.9)  # what is farther is smaller


def test_a_table_with_an_empty_corner_gets_no_larger_than_its_ink_when_it_is_turned() -> None:
    image = page([(150, 100, 400, 130), (60, 130, 400, 260)], (460, 400))
    box = (60.0, 100.0, 400.0, 260.0)
    for degrees in (-6, 5):
        matrix, sheet = pose(image.size, degrees)
        turned = warp(image, matrix, (round(sheet[0]), round(sheet[1])))
        found = bounds(project(matrix, outlines(image, [box])[0]))
        assert ink_bounds(turned, found) == pytest.approx(found, abs=1.5)
    of_corners = bounds(project(matrix, corners_of(box)))
    assert found[0] == pytest.approx(of_corners[0], abs=1)
    assert found[1] == pytest.approx(of_corners[1] + 90 * np.sin(np.deg2rad(5)), abs=1)


def test_an_outline_keeps_the_box_and_the_margin_that_it_has() -> None:
    ink = (100, 80, 300, 200)
    image = page([ink], (400, 300))
    loose, tight, cutting, empty = (
        (88.5, 70.25, 304.0, 215.5),
        (100.0, 80.0, 300.0, 200.0),
        (110.3, 79.0, 290.6, 150.5),
        (10.0, 10.0, 60.0, 50.0),
    )
    for box, outline in zip(
        (loose, tight, cutting, empty), outlines(image, [loose, tight, cutting, empty]), strict=True
    ):
        assert bounds(outline) == pytest.approx(box)
    turned = pose(image.size, 4)[0]
    grown = [bounds(project(turned, outline)) for outline in outlines(image, [loose, tight])]
    assert grown[1][0] - grown[0][0] == pytest.approx(
        11.5 * np.cos(np.deg2rad(4)) + 15.5 * np.sin(np.deg2rad(4)), abs=0.5
    )
