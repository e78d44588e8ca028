from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tablesense.data.synthetic import SyntheticConfig, synthesize, synthetic_pages, typeset_page
from tablesense.data.typesetting import compile_page
from tablesense.data.typesetting.composition import PRELUDE
from tablesense.data.typesetting.look import GENRES, draw_look
from tablesense.data.typesetting.words import LANGUAGES, Writer
from tablesense.errors import UserError

Sample = list[tuple[Image.Image, list[tuple[float, float, float, float]]]]


@pytest.fixture(scope="module")
def sample() -> Sample:
    return [typeset_page(f"test/{i}") for i in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("one") / "pages", 12, "test", workers=1)


def truth(folder: Path) -> Any:
    return json.loads((folder / "annotations.json").read_text(encoding="utf-8"))


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_a_page_follows_from_its_seed(sample: Sample) -> None:
    for i in (0, 7, 23):
        image, boxes = typeset_page(f"test/{i}")
        assert image.tobytes() == sample[i][0].tobytes()
        assert boxes == sample[i][1]
    assert sample[0][0].tobytes() != sample[1][0].tobytes()


def test_a_box_is_the_ink_of_its_table(sample: Sample) -> None:
    checked = 0
    for image, boxes in sample:
        pixels = np.asarray(image, dtype=np.int16)
        paper = np.median(pixels.reshape(-1, 3), axis=0)
        ink = np.abs(pixels - paper).max(axis=2) > 20
        for box in boxes:
            x0, y0, x1, y1 = map(int, box)
            assert (x0, y0, x1, y1) == box
            inside = ink[y0:y1, x0:x1]
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
            ring = ink[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].copy()
            ring[1:-1, 1:-1] = False
            assert not ring.any()
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("rows", [30, 41, 60])
def test_a_table_that_is_cut_short_does_not_fit(rows: int) -> None:
    look = draw_look(Writer(Random(0), LANGUAGES[0]))
    look = replace(look, width=400, height=800, margins=(50, 50, 50, 50))
    cells = ", ".join(f'"{k}", "x"' for k in range(rows))
    page = "#set page(width: 400pt, height: 800pt, margin: 50pt)\n"
    table = f"#block(breakable: false, truth(300, table(columns: 2, {cells} + seal)))"
    _, frames = compile_page(PRELUDE + page + table)
    assert [frame.fits(look) for frame in frames] == [rows == 30]


def test_boxes_of_a_page_are_apart_and_on_it(sample: Sample) -> None:
    for image, boxes in sample:
        assert max(image.size) == 640
        for k, (x0, y0, x1, y1) in enumerate(boxes):
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height
            for a0, b0, a1, b1 in boxes[:k]:
                assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0


def test_a_third_of_the_pages_has_no_table(sample: Sample) -> None:
    without = sum(not boxes for _, boxes in sample)
    assert 0.2 < without / len(sample) < 0.46


def test_pages_differ_in_shape_and_colour(sample: Sample) -> None:
    assert len({image.size for image, _ in sample}) > 5
    coloured = sum(np.ptp(np.asarray(image, dtype=np.int16), axis=2).max() > 60 for image, _ in sample)
    assert 0.15 < coloured / len(sample) < 0.9
    assert sum(GENRES.values()) == pytest.approx(1)


def test_the_number_of_workers_changes_nothing(folder: Path, tmp_path: Path) -> None:
    other = synthesize(tmp_path / "pages", 12, "test", workers=3)
    assert truth(other) == truth(folder)
    assert images(other) == images(folder)


def test_a_data_set_is_coco(folder: Path) -> None:
    from pycocotools.coco import COCO

    coco = COCO(folder / "annotations.json")
    assert [category["name"] for category in coco.cats.values()] == ["table"]
    assert len(coco.imgs) == 12
    for number, entry in coco.imgs.items():
        image = Image.open(folder / "images" / entry["file_name"])
        assert image.size == (entry["width"], entry["height"])
        boxes = [(x, y, x + w, y + h) for a in coco.imgToAnns[number] for x, y, w, h in [a["bbox"]]]
        assert boxes == typeset_page(f"test/{number - 1}")[1]
        assert all(a["area"] > 0 for a in coco.imgToAnns[number])


def test_a_complete_data_set_is_not_set_again(folder: Path) -> None:
    before = (folder / "annotations.json").stat().st_mtime_ns
    synthesize(folder, 12, "test")
    assert (folder / "annotations.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="found 12 of seed test"):
        synthesize(folder, 13, "test")


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker that cannot start stands for every way in which a run ends early.
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="after 0 of 4 pages"):
        synthesize(tmp_path / "pages", 4, "test")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    program = (
        # A shell that starts the tests in the background has children ignore the signal.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from tablesense.data.synthetic import synthesize;"
        "synthesize(Path(sys.argv[1]), 5000, 'long', workers=2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "pages")], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 15
    while not list(tmp_path.glob(".*/images/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob(".*/images/*.jpg"))
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=10) != 0
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_leave_one_data_set(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tablesense.data.synthetic import synthesize;"
        "synthesize(Path(sys.argv[1]), 4, 'race', workers=1)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "pages")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    runs = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]
    assert len(images(tmp_path / "pages")) == 4


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"years of work")
    with pytest.raises(UserError, match="found other files"):
        synthesize(tmp_path, 2, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.pdf"]


def test_training_and_validation_share_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = synthetic_pages(SyntheticConfig(pages=3, val_pages=2))
    assert root.parent == tmp_path / "tablesense" / "synthetic"
    train, val = images(root / "train"), images(root / "val")
    assert (len(train), len(val)) == (3, 2)
    assert not set(train.values()) & set(val.values())
    assert synthetic_pages(SyntheticConfig(pages=3, val_pages=2, cache_dir=root.parent)) == root


def test_a_number_of_pages_is_positive() -> None:
    with pytest.raises(UserError, match=r"^pages: expected 1"):
        SyntheticConfig(pages=0)
    with pytest.raises(UserError, match=r"^val_pages: expected 1"):
        SyntheticConfig(val_pages=-3)


def test_only_typst_s_own_fonts_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import typst; whole = typst.Fonts;"
        "typst.Fonts = lambda: whole(include_system_fonts=False);"
        "from tablesense.data.synthetic import typeset_page;"
        "print(sum(len(typeset_page(f'bare/{i}')[1]) for i in range(12)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 3


def test_importing_is_cheap() -> None:
    program = "import sys, tablesense.data.synthetic; print(*{'torch', 'typst', 'numpy'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
