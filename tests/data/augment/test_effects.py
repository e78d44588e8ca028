"""What paper, ink, scanner and camera do to a page, and what they leave alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from drawn_page import ink_bounds, page
from PIL import Image, ImageOps

from tablesense.data.augment.camera import blur, illuminate, lay_on_table, sensor_noise
from tablesense.data.augment.geometry import rotate, zoom_out
from tablesense.data.augment.ink import binarise_locally, degrade_print, fade, fax
from tablesense.data.augment.paper import bleed_through, crease, punch_holes, stamp, yellow
from tablesense.data.augment.scanner import adjust_light, degrade_scan, jpeg, streak
from tablesense.data.augment.window import crop

Effect = Callable[[Image.Image, Random], Image.Image]

WHOLE: dict[str, Effect] = {
    "rotate": lambda image, rng: rotate(image, [], rng.gauss(0, 2))[0],
    "degrade_print": degrade_print,
    "degrade_scan": lambda image, rng: degrade_scan(image, [], rng),
    "adjust_light": adjust_light,
    "binarise_locally": binarise_locally,
    "fax": fax,
    "fade": fade,
    "streak": streak,
    "jpeg": jpeg,
    "bleed_through": bleed_through,
    "crease": crease,
    "punch_holes": lambda image, rng: punch_holes(image, [], rng),
    "stamp": stamp,
    "yellow": yellow,
    "lay_on_table": lambda image, rng: lay_on_table(image.convert("RGB"), np.eye(3), image.size, rng),
    "illuminate": lambda image, rng: illuminate(image.convert("RGB"), rng),
    "blur": blur,
    "sensor_noise": lambda image, rng: sensor_noise(image.convert("RGB"), rng),
}
"""Effects that keep a page's size."""

EFFECTS = WHOLE | {
    "crop": lambda image, rng: crop(image, [], rng)[0],
    "zoom_out": lambda image, rng: zoom_out(image, [], rng, dark=False)[0],
    "dark zoom_out": lambda image, rng: zoom_out(image, [], rng, dark=True)[0],
}


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(40, 30), (7, 5), (768, 1), (1, 1)])
@pytest.mark.parametrize("name", EFFECTS)
def test_every_effect_works_on_small_pages(name: str, size: tuple[int, int], mode: str) -> None:
    image = Image.new(mode, size, "white")
    before = image.tobytes()
    for seed in range(12):
        result = EFFECTS[name](image, Random(seed))
        assert result.mode in ("L", "RGB")
        assert min(result.size) >= 1
        assert name not in WHOLE or result.size == size
    assert image.tobytes() == before


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


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=float)


@pytest.mark.parametrize(
    "name", ["bleed_through", "fade", "jpeg", "yellow", "blur", "sensor_noise", "binarise_locally"]
)
def test_effects_leave_ink_where_it_is(name: str) -> None:
    box = (60.0, 80.0, 141.0, 122.0)
    image = page([(60, 80, 141, 122)], (200, 200))
    for seed in range(40):
        assert ink_bounds(WHOLE[name](image, Random(seed)), box) == pytest.approx(box, abs=1), seed


def test_the_other_side_shines_through_mirrored_and_faint() -> None:
    image, back = page([], (200, 100)), page([(10, 20, 60, 80)], (200, 100))
    for seed in range(30):
        for result in (bleed_through(image, Random(seed), back), bleed_through(back, Random(seed))):
            pixels = grey(result)
            assert pixels[35:65, 150:180].mean() == pytest.approx(pixels[35:65, 155:175].mean(), abs=3)
            assert 175 < pixels[35:65, 155:175].mean() < 245
            assert pixels[:, 70:125].min() == 255
        assert grey(result)[20:80, 10:60].max() == 0


def test_a_fold_is_a_change_of_light_along_a_line() -> None:
    image = Image.new("RGB", (300, 400), (200, 200, 200))
    across = along = 0
    for seed in range(60):
        change = np.abs(grey(crease(image, Random(seed))) - 200)
        assert 3 < change.max() < 120
        assert (change < 1).mean() > 0.7
        rows, columns = (change > 2).any(1).mean(), (change > 2).any(0).mean()
        across += columns == 1
        along += rows == 1
        assert 0.2 < np.average(np.arange(400), weights=change.sum(1)) / 400 < 0.8
    assert across > 25
    assert along > 5


def test_holes_are_punched_beside_tables_only() -> None:
    image, counts = page([], (300, 420)), set()
    for seed in range(40):
        dark = grey(punch_holes(image, [], Random(seed))) < 128
        assert 0.0005 < dark.mean() < 0.006
        assert not dark[30:, 40:].any()
        edge = dark.any(0 if dark[:, 40:].any() else 1)
        counts.add(int((np.diff(edge.astype(int)) == 1).sum()))
        assert punch_holes(image, [(4.0, 4.0, 296.0, 416.0)], Random(seed)) is image
    assert counts == {2, 4}


def test_a_stamp_adds_ink_in_one_place() -> None:
    image = page([(100, 100, 300, 200)], (400, 500), "RGB")
    coloured = 0
    for seed in range(60):
        result = stamp(image, Random(seed))
        assert (np.asarray(result) <= np.asarray(image)).all()
        change = np.asarray(image, dtype=int) - np.asarray(result)
        assert (change.max(2) > 20).mean() < 0.12
        coloured += np.ptp(change.sum((0, 1))) > 500
    assert coloured > 30


def test_a_local_threshold_finds_ink_and_paper_in_uneven_light() -> None:
    image = page([(x, y, x + 12, y + 5) for x in range(20, 360, 24) for y in range(20, 460, 15)], (400, 500))
    light = np.linspace(0.45, 1, 400)
    dim = Image.fromarray((np.asarray(image) * light + 20).clip(0, 255).astype(np.uint8))
    for seed in range(20):
        result = np.asarray(binarise_locally(dim, Random(seed)))
        assert set(np.unique(result)) == {0, 255}
        assert (result == np.asarray(image)).mean() > 0.97, seed


def test_a_fax_has_half_of_the_lines_and_loses_some() -> None:
    image, lost = page([(0, 100, 200, 300)], (200, 400)), 0
    for seed in range(40):
        result = np.asarray(fax(image, Random(seed)))
        assert set(np.unique(result)) == {0, 255}
        assert (result[::2] == result[1::2]).all()
        wrong = (result != np.asarray(image)).mean()
        assert wrong < 0.02
        lost += wrong > 0
    assert lost > 4


def test_fading_takes_contrast_and_leaves_the_order() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    for seed in range(40):
        result = np.asarray(fade(ramp, Random(seed)))[0].astype(int)
        assert (np.diff(result) >= 0).all()
        assert 90 < result[-1] - result[0] <= 255


def test_streaks_run_along_the_page() -> None:
    image = Image.new("L", (100, 200), 180)
    for seed in range(40):
        changed = np.asarray(streak(image, Random(seed))) != 180
        assert 1 <= changed.any(0).sum() <= 5 or not changed.any()
        for column in changed.T[changed.any(0)]:
            assert (np.diff(column.astype(int)) == 1).sum() <= 3


def test_jpeg_leaves_its_traces_around_ink() -> None:
    image = page([(30, 30, 61, 47)], (96, 96), "RGB")
    for seed in range(10):
        change = np.abs(grey(jpeg(image, Random(seed))) - grey(image))
        assert change[24:56, 24:72].mean() > 0.5
        assert change[72:, 80:].max() <= 3


def test_a_photographed_page_lies_on_a_table() -> None:
    image = Image.new("RGB", (200, 260), (255, 255, 255))
    colours = set()
    for seed in range(40):
        view = lay_on_table(
            image, np.array([[1, 0.05, 50], [-0.05, 1, 40], [0, 0, 1]], float), (320, 330), Random(seed)
        )
        pixels = np.asarray(view)
        assert (pixels[60:260, 80:230] == 255).all()
        surround = pixels[:20].mean((0, 1))
        assert surround.mean() < 250
        colours.add(tuple((surround // 40).astype(int)))
    assert len(colours) > 8
    assert (
        lay_on_table(image, np.diag([2.0, 2.0, 1]), (320, 330), Random(0)).getextrema() == ((255, 255),) * 3
    )


def test_light_is_uneven_coloured_and_smooth_or_a_shadow() -> None:
    image = Image.new("RGB", (240, 320), (255, 255, 255))
    spread, warmth, brightest = [], [], []
    for seed in range(100):
        pixels = np.asarray(illuminate(image, Random(seed)), dtype=float)
        spread.append(np.ptp(pixels.mean(2)))
        warmth.append(pixels[..., 0].mean() / pixels[..., 2].mean())
        brightest.append(pixels.max())
        assert np.abs(np.diff(pixels.mean(2), axis=0)).max() < 45
    assert np.percentile(spread, 10) > 15
    assert np.percentile(spread, 90) < 190
    assert np.std(warmth) == pytest.approx(0.12, abs=0.05)
    assert min(brightest) > 150


def test_blur_and_noise_keep_the_light() -> None:
    image = page([(40, 40, 120, 100)], (160, 140), "RGB").point(lambda value: 60 + value // 2)
    for seed in range(30):
        for effect in (blur, sensor_noise):
            result = np.asarray(effect(image, Random(seed)), dtype=float)
            assert result.mean() == pytest.approx(np.asarray(image).mean(), abs=1.5)
        flat = np.asarray(sensor_noise(image, Random(seed)), dtype=float)[:30]
        assert 0.2 < flat.std() < 9


def test_paper_is_tinted_and_ink_is_not() -> None:
    image = page([(0, 0, 50, 50)], (100, 50), "RGB")
    for seed in range(30):
        pixels = np.asarray(yellow(image, Random(seed)))
        assert pixels[:, :50].max() == 0
        assert 150 < pixels[:, 50:].min() < 255
        assert np.ptp(grey(yellow(ImageOps.grayscale(image), Random(seed)))[:, 50:]) == 0
