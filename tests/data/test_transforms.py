"""Where the ink is, the boxes are; and what a view of a page may and may not be."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import get_args

import numpy as np
import pytest
from drawn_page import draw_boxes, ink_bounds, page
from PIL import Image, ImageDraw

from tablesense.data import transforms
from tablesense.data.augment.geometry import warp
from tablesense.data.page import Box
from tablesense.data.transforms import Preset, augment, in_view

PRESETS: tuple[Preset, ...] = get_args(Preset)


def ruled_page(mode: str) -> tuple[Image.Image, list[Box]]:
    """Lines of words and two ruled tables, drawn without a library whose pixels may change."""
    pixels = np.full((520, 400, 3), 255, dtype=np.uint8)
    for y in range(30, 490, 9):
        for x in range(30 + y % 7, 360, 31):
            pixels[y : y + 4, x : x + 22 + (x * y) % 7] = (20, 30, 90)
    boxes = [(40.0, 120.0, 370.0, 230.0), (60.0, 300.0, 240.0, 420.0)]
    for x0, y0, x1, y1 in ((int(a), int(b), int(c), int(d)) for a, b, c, d in boxes):
        pixels[y0 - 12 : y1 + 12] = 255
        pixels[y0:y1:2, x0:x1:6] = (90, 20, 10)
        pixels[[y0, y1 - 1], x0:x1] = 0
        pixels[y0:y1, [x0, x1 - 1]] = 0
    return Image.fromarray(pixels).convert(mode), boxes


def thirds(view: Image.Image) -> list[float]:
    """The mean of each ninth of a view: what another version of Pillow or NumPy hardly changes."""
    rows = np.array_split(np.asarray(view.convert("RGB"), dtype=float), 3)
    return [float(part.mean()) for row in rows for part in np.array_split(row, 3, 1)]


def test_recipes_that_were_trained_with_keep_their_views() -> None:
    """`frozen_views.json` holds what seeds gave when the README's figures were measured."""
    frozen = json.loads((Path(__file__).parent / "frozen_views.json").read_text())
    assert len(frozen) == 82
    for key, (size, expected, means, sharpness) in frozen.items():
        preset, mode, seed = key.split()
        image, boxes = ruled_page(mode)
        view, moved = augment(image, boxes, 160, preset, Random(int(seed)))
        assert list(view.size) == size, key
        assert np.array(moved) == pytest.approx(np.array(expected), abs=1e-3), key
        assert thirds(view) == pytest.approx(means, abs=1.0), key
        steps = np.abs(np.diff(np.asarray(view.convert("L"), dtype=float)))
        assert steps.mean() == pytest.approx(sharpness, rel=0.03), key


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what draws ink and shadows of its own, where the place of a table's ink is measured."""
    for name in ("handle", "bleed_through", "streak", "illuminate"):
        monkeypatch.setattr(transforms, name, lambda image, *rest: image)
    monkeypatch.setattr(transforms, "lay_on_table", lambda *page_matrix_size: warp(*page_matrix_size[:3]))


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_ink_lies_where_the_boxes_say(preset: Preset, mode: str) -> None:
    kept = left_out = 0
    for seed in range(50):
        rng = Random(f"ink/{seed}")
        size = rng.choice([(560, 760), (760, 560), (1300, 1800)])
        boxes = draw_boxes(rng, size, 0.1 if preset == "photo" else 0.04)  # turned tables reach farther
        view, moved = augment(page(boxes, size, mode), boxes, 384, preset, Random(seed))
        assert len(moved) == len(boxes)
        for box in moved:
            if in_view(box, view):
                kept += 1
                assert ink_bounds(view, box) == pytest.approx(box, abs=1.5), seed
            else:
                left_out += 1
    assert kept > 50
    assert (left_out == 0) == (preset == "none")


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
            for preset in PRESETS:
                augment(image, boxes, 256, preset, Random(seed))
        assert (image.tobytes(), boxes) == (before, [(60.0, 60.0, 200.0, 120.0)])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(40, 30), (2550, 3300)])
def test_a_scan_can_be_made_of_any_page(size: tuple[int, int], mode: str) -> None:
    boxes = [(size[0] * 0.25, size[1] * 0.25, size[0] * 0.75, size[1] * 0.5)]
    image = page([(round(a), round(b), round(c), round(d)) for a, b, c, d in boxes], size, mode)
    for seed in range(100 if max(size) < 100 else 6):
        view, (box,) = augment(image, boxes, 96, "scan", Random(seed))
        assert ink_bounds(view, box) == pytest.approx(box, abs=5 if max(size) < 100 else 1.5)


def test_a_view_that_cannot_spare_a_table_shows_the_page() -> None:
    image, boxes = page([], (300, 400)), [(5.0, 5.0, 295.0, 395.0)]
    for preset in PRESETS:
        for seed in range(40):
            view, (box,) = augment(image, boxes, 200, preset, Random(seed))
            assert 0 <= box[0] < box[2] <= view.width
            assert 0 <= box[1] < box[3] <= view.height


@pytest.mark.parametrize("preset", ["scan_hard", "photo"])
def test_tables_end_at_the_edge_of_some_views(preset: Preset) -> None:
    image, boxes = page([(100, 120, 300, 200)], (400, 520)), [(100.0, 120.0, 300.0, 200.0)]
    gaps = []
    for seed in range(300):
        view, (box,) = augment(image, boxes, 96, preset, Random(seed))
        if in_view(box, view):
            distances = box[0], view.width - box[2], box[1], view.height - box[3]
            sides = view.width, view.width, view.height, view.height
            gaps.append(min(d / side for d, side in zip(distances, sides, strict=True)))
    assert min(gaps) > -1e-6
    assert 15 < sum(gap <= 0.02 for gap in gaps) < 60


def test_a_photograph_has_colour_and_a_hard_scan_may_have_it() -> None:
    grey, boxes = page([], (80, 100)), list[Box]()
    for preset, share in (("scan_hard", 0), ("photo", 0.75)):
        views = [augment(grey, boxes, 64, preset, Random(seed))[0] for seed in range(60)]
        assert sum(view.mode == "RGB" for view in views) == pytest.approx(60 * share, abs=12)
