"""Where the ink is, the boxes are; and what a view of a page may and may not be."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tablesense.data.page import Box
from tablesense.data.transforms import (
    Preset,
    adjust_light,
    augment,
    crop,
    degrade_print,
    degrade_scan,
    fit,
    in_view,
    rotate,
    zoom_out,
)

PRESETS: tuple[Preset, ...] = ("none", "light", "scan")


def page(boxes: list[Box], size: tuple[int, int], mode: str = "L") -> Image.Image:
    """A white page with black boxes: a box covers its pixels up to, not including, x1 and y1."""
    image = Image.new(mode, size, "white")
    for x0, y0, x1, y1 in boxes:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill="black")
    return image


def draw_boxes(rng: Random, size: tuple[int, int]) -> list[Box]:
    """A few boxes, apart from each other and from the page's edge by 4% of its longest side."""
    margin = max(size) // 25
    boxes: list[Box] = []
    for _ in range(rng.randint(1, 8)):
        width, height = (rng.randint(side // 8, side // 2) for side in size)
        x, y = (
            rng.randint(margin, side - extent - margin)
            for side, extent in zip(size, (width, height), strict=True)
        )
        box = (float(x), float(y), float(x + width), float(y + height))
        if all(
            box[2] + margin <= x0 or x1 + margin <= box[0] or box[3] + margin <= y0 or y1 + margin <= box[1]
            for x0, y0, x1, y1 in boxes
        ):
            boxes.append(box)
    return boxes


def ink_bounds(image: Image.Image, box: Box, reach: int = 5) -> Box:
    """The bounds of the ink in a box and around it, half of the way to the image's edges at most."""
    pixels = np.asarray(image.convert("L").filter(ImageFilter.MedianFilter(3)), dtype=float)
    x0, y0, x1, y1 = box
    margins = x0, y0, image.width - x1, image.height - y1
    left, top, right, bottom = (round(min(reach, max(0, margin) / 2)) for margin in margins)
    low_x, low_y = max(0, round(x0) - left), max(0, round(y0) - top)
    window = pixels[low_y : round(y1) + bottom, low_x : round(x1) + right]
    dark = np.median(pixels[round(y0) : round(y1), round(x0) : round(x1)])
    ink = window < (dark + np.percentile(window, 99.5)) / 2 if window.max() > dark + 60 else window >= 0
    rows, columns = np.nonzero(ink.any(1))[0], np.nonzero(ink.any(0))[0]
    return (
        float(low_x + columns[0]),
        float(low_y + rows[0]),
        float(low_x + columns[-1] + 1),
        float(low_y + rows[-1] + 1),
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_ink_lies_where_the_boxes_say(preset: Preset, mode: str) -> None:
    kept = left_out = 0
    for seed in range(120):
        rng = Random(f"ink/{seed}")
        size = rng.choice([(560, 760), (760, 560), (1300, 1800)])
        boxes = draw_boxes(rng, size)
        view, moved = augment(page(boxes, size, mode), boxes, 384, preset, Random(seed))
        assert len(moved) == len(boxes)
        for box in moved:
            if in_view(box, view):
                kept += 1
                assert ink_bounds(view, box) == pytest.approx(box, abs=1.5), seed
            else:
                left_out += 1
    assert kept > 150
    assert (left_out == 0) == (preset == "none")


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


@pytest.mark.parametrize("preset", PRESETS)
def test_pages_are_never_flipped_or_turned(preset: Preset) -> None:
    image = Image.new("L", (400, 400), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((50, 50, 150, 349), fill="black")  # the left half of the first table
    draw.rectangle((250, 50, 349, 200), fill="black")  # the upper half of the second
    boxes = [(50.0, 50.0, 250.0, 350.0), (250.0, 50.0, 350.0, 350.0)]
    for seed in range(60):
        view, ((x0, y0, x1, y1), second) = augment(image, boxes, 200, preset, Random(seed))
        pixels = np.asarray(view.convert("L"), dtype=float)
        middle = round((x0 + x1) / 2)
        rows = slice(round(y0), round(y1))
        left, right = pixels[rows, round(x0) : middle].mean(), pixels[rows, middle : round(x1)].mean()
        if in_view((x0, y0, x1, y1), view):
            assert left + 40 < right
        if in_view(second, view):
            x0, y0, x1, y1 = second
            middle = round((y0 + y1) / 2)
            columns = slice(round(x0), round(x1))
            upper, lower = pixels[round(y0) : middle, columns], pixels[middle : round(y1), columns]
            assert upper.mean() + 40 < lower.mean()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(300, 400), (2000, 500), (40, 30), (900, 9)])
def test_no_view_is_larger_than_asked_for(preset: Preset, size: tuple[int, int]) -> None:
    longest = {max(augment(Image.new("L", size, 255), [], 160, preset, Random(s))[0].size) for s in range(40)}
    assert max(longest) <= 160
    assert min(longest) >= 0.85 * 160 - 1


def test_none_keeps_the_aspect_and_leaves_nothing_to_chance() -> None:
    box = (165.4, 233.9, 827.0, 1169.5)
    views = [augment(page([box], (1654, 2339)), [box], 800, "none", Random(seed)) for seed in range(3)]
    assert views[0][0].size == (566, 800)
    assert views[0][1][0] == pytest.approx((56.6, 80, 283, 400))
    assert len({view.tobytes() for view, _ in views}) == 1


def test_a_page_is_stretched_by_an_eighth_at_most() -> None:
    box = (0.0, 0.0, 600.0, 600.0)
    aspects = []
    for seed in range(200):
        _, ((x0, y0, x1, y1),) = augment(Image.new("L", (600, 600)), [box], 384, "light", Random(seed))
        aspects.append((x1 - x0) / (y1 - y0))
    assert 0.875 < min(aspects) < 0.9
    assert 1.12 < max(aspects) < 1.145


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_chance_gives_the_same_picture(preset: Preset) -> None:
    boxes = [(60.0, 60.0, 200.0, 120.0)]
    image = page(boxes, (300, 400), "RGB")
    views = [[augment(image, boxes, 256, preset, Random(s)) for s in range(30)] for _ in range(2)]
    assert [(v.tobytes(), b) for v, b in views[0]] == [(v.tobytes(), b) for v, b in views[1]]
    assert len({view.tobytes() for view, _ in views[0]}) == (1 if preset == "none" else 30)


def test_the_page_itself_is_left_as_it_was() -> None:
    boxes = [(60.0, 60.0, 200.0, 120.0)]
    for mode in ("L", "RGB"):
        image = page(boxes, (300, 300), mode)
        before = image.tobytes()
        for seed in range(40):
            augment(image, boxes, 256, "scan", Random(seed))
        assert (image.tobytes(), boxes) == (before, [(60.0, 60.0, 200.0, 120.0)])


EFFECTS: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "crop": lambda image, rng: crop(image, [], rng)[0],
    "zoom_out": lambda image, rng: zoom_out(image, [], rng, dark=False)[0],
    "dark zoom_out": lambda image, rng: zoom_out(image, [], rng, dark=True)[0],
    "rotate": lambda image, rng: rotate(image, [], rng.gauss(0, 2))[0],
    "degrade_print": degrade_print,
    "degrade_scan": lambda image, rng: degrade_scan(image, [], rng),
    "adjust_light": adjust_light,
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(40, 30), (7, 5), (768, 1), (1, 1)])
@pytest.mark.parametrize("effect", EFFECTS.values(), ids=EFFECTS.keys())
def test_every_effect_works_on_small_pages(
    effect: Callable[[Image.Image, Random], Image.Image], size: tuple[int, int], mode: str
) -> None:
    image = Image.new(mode, size, "white")
    for seed in range(60):
        result = effect(image, Random(seed))
        assert result.mode in ("L", mode)
        assert min(result.size) >= 1
        if effect not in (EFFECTS["crop"], EFFECTS["zoom_out"], EFFECTS["dark zoom_out"]):
            assert result.size == size


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(40, 30), (2550, 3300)])
def test_a_scan_can_be_made_of_any_page(size: tuple[int, int], mode: str) -> None:
    boxes = [(size[0] * 0.25, size[1] * 0.25, size[0] * 0.75, size[1] * 0.5)]
    image = page([(round(a), round(b), round(c), round(d)) for a, b, c, d in boxes], size, mode)
    for seed in range(100 if max(size) < 100 else 6):
        view, (box,) = augment(image, boxes, 96, "scan", Random(seed))
        assert ink_bounds(view, box) == pytest.approx(box, abs=5 if max(size) < 100 else 1.5)


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


def test_a_scan_has_dark_edges_on_any_side_and_none_reaches_a_table() -> None:
    image, box = Image.new("L", (120, 90), 255), (5.0, 3.0, 110.0, 80.0)
    seen = np.zeros(4, dtype=int)
    for seed in range(600):
        pixels = np.asarray(degrade_scan(image, [box], Random(seed)), dtype=float)
        outermost = pixels[:, 0].mean(), pixels[0].mean(), pixels[:, -1].mean(), pixels[-1].mean()
        seen += np.array(outermost) < 110
        table = pixels[3:80, 5:110]
        sides = table[:, 0].mean(), table[0].mean(), table[:, -1].mean(), table[-1].mean()
        assert min(sides) > 125, seed  # white paper in poor light
    assert (seen > 8).all()
    assert seen.sum() < 150


def test_strokes_never_vanish_in_print() -> None:
    image = page([(10, 20, 90, 22)], (100, 40))  # a rule 2 pixels thick
    for seed in range(100):
        assert np.asarray(degrade_print(image, Random(seed)))[20:22, 20:80].max() < 130


def test_fit_gives_at_least_one_pixel() -> None:
    assert fit(Image.new("L", (4000, 2)), 384).size == (384, 1)
    assert fit(Image.new("L", (2, 4000)), 384, stretch=0.5).size == (1, 384)
    assert fit(Image.new("RGB", (100, 50)), 200, stretch=0.5).size == (200, 200)
