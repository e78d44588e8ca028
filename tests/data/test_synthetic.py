from __future__ import annotations

import hashlib
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
from unicodedata import category

import numpy as np
import pytest
from PIL import Image
from pypdfium2 import PdfDocument

from tablesense.data.synthetic import SyntheticConfig, synthesize, synthetic_pages
from tablesense.data.typesetting import SetPage, compile_page, hard, look, scripts, set_page
from tablesense.data.typesetting.composition import PRELUDE, compose, draw_language, source
from tablesense.data.typesetting.look import GENRES, draw_look
from tablesense.data.typesetting.paper import paper
from tablesense.data.typesetting.repertoire import HARD
from tablesense.data.typesetting.words import LANGUAGES, Writer, quoted
from tablesense.errors import UserError


@pytest.fixture(scope="module")
def sample() -> list[SetPage]:
    return [set_page(f"test/{i}") for i in range(60)]


@pytest.fixture(scope="module")
def hard_sample() -> list[SetPage]:
    return [set_page(f"test/{i}", "hard") for i in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("one") / "pages", 12, "test", workers=1)


def truth(folder: Path) -> Any:
    return json.loads((folder / "annotations.json").read_text(encoding="utf-8"))


def images(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_a_page_follows_from_its_seed(sample: list[SetPage], hard_sample: list[SetPage]) -> None:
    for i in (0, 7, 23):
        once = set_page(f"test/{i}")
        assert once.image.tobytes() == sample[i].image.tobytes()
        assert once[1:] == sample[i][1:]
        again = set_page(f"test/{i}", "hard")
        assert again.image.tobytes() == hard_sample[i].image.tobytes()
        assert again[1:] == hard_sample[i][1:]
    assert sample[0].image.tobytes() != sample[1].image.tobytes()


def test_standard_pages_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # The recipes' figures were measured on them. With every family there, the sources are the same anywhere.
    monkeypatch.setattr(look, "families", lambda kind: look._FAMILIES[kind])
    digest = hashlib.sha256()
    for k in range(24):
        writer = draw_language(Writer(Random(f"anchor/{k}"), LANGUAGES[0]), True)
        digest.update(compose(writer, k % 3 > 0)[1].encode())
    assert digest.hexdigest()[:32] == "e1be9acd0367749b844336003375ef0d"


@pytest.mark.parametrize("name", ["sample", "hard_sample"])
def test_a_box_is_the_ink_of_its_table(name: str, request: pytest.FixtureRequest) -> None:
    checked = 0
    for image, boxes, _ in request.getfixturevalue(name):
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


@pytest.mark.parametrize(("angle", "turn"), [(0, 0), (-90, 90), (90, 270)])
@pytest.mark.parametrize("rows", [10, 30])
def test_a_turned_table_fits_as_an_upright_one_does(angle: int, turn: int, rows: int) -> None:
    look = draw_look(Writer(Random(0), LANGUAGES[0]))
    look = replace(look, width=400, height=400, margins=(50, 50, 50, 50))
    cells = ", ".join(f'"{k}", "x"' for k in range(rows))
    table = f"truth(300, table(columns: (100pt, 150pt), {cells} + seal))"
    page = "#set page(width: 400pt, height: 400pt, margin: 50pt)\n"
    turned = f"#block(breakable: false, rotate({angle}deg, reflow: true, block(width: 300pt, {table})))"
    _, frames = compile_page(PRELUDE + page + turned)
    assert [frame.turn for frame in frames] == [turn]
    assert [frame.fits(look) for frame in frames] == [rows == 10]
    _, narrow = compile_page(PRELUDE + page + turned.replace("truth(300", "truth(240"))
    assert not any(frame.fits(look) for frame in narrow)


def test_a_table_that_is_turned_is_of_a_class_of_its_own(
    sample: list[SetPage], hard_sample: list[SetPage]
) -> None:
    assert {label for page in sample for label in page.labels} == {"table"}
    labels = [label for page in hard_sample for label in page.labels]
    assert set(labels) == {"table", "table rotated"}
    assert 0.03 < labels.count("table rotated") / len(labels) < 0.35
    assert all(len(page.boxes) == len(page.labels) for page in hard_sample)


def test_a_page_turns_with_its_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(f"turn/{i}" for i in range(9) if set(set_page(f"turn/{i}", "hard").labels) == {"table"})
    pages = {}
    for turn in (0, 90, 270):
        monkeypatch.setattr("tablesense.data.typesetting.draw_turn", lambda w, look, turn=turn: turn)
        pages[turn] = set_page(seed, "hard")
    upright = pages[0].image
    for turn, back in ((90, Image.Transpose.ROTATE_270), (270, Image.Transpose.ROTATE_90)):
        turned = pages[turn]
        assert turned.labels == ["table rotated"] * len(turned.boxes)
        assert turned.image.transpose(back).tobytes() == upright.tobytes()
        for box, was in zip(turned.boxes, pages[0].boxes, strict=True):
            crop = turned.image.crop(tuple(map(int, box))).transpose(back)
            assert crop.tobytes() == upright.crop(tuple(map(int, was))).tobytes()


def test_only_tables_are_annotated() -> None:
    parts = {*HARD.texts, *HARD.figures, *hard._FILLING, *hard._DRAWN}
    for k, part in enumerate(sorted(parts, key=lambda part: part.__name__)):
        w = Writer(Random(k), scripts.languages()[k % len(scripts.languages())])
        look = draw_look(w)
        body = scripts.mirrored(w, part(w, look, look.column, look.area[1] * 0.3))
        assert compile_page(source(paper(w, look), [body]))[1] == [], part.__name__


def test_every_letter_has_a_glyph() -> None:
    for language in scripts.languages():
        kinds = ("serif", "sans", "mono") if language.script == "latin" else (language.script,)
        words = " ".join(
            (*language.common, *language.starts, *language.ends, language.table, language.source)
        )
        letters = sorted({letter for letter in words + words.upper() if category(letter)[0] == "L"})
        for family in {family for kind in kinds for family in look.families(kind)}:
            cells = ", ".join(quoted(letter) for letter in ["\u0378", *letters])  # the first is no letter
            rows = -(-len(letters) // 20) + 1
            pdf, _ = compile_page(
                f"#set page(width: 600pt, height: {rows * 30}pt, margin: 0pt)\n"
                f"#set text(font: {quoted(family)}, size: 16pt)\n"
                f"#grid(columns: (30pt,) * 20, rows: 30pt, {cells})"
            )
            pixels = np.asarray(PdfDocument(pdf)[0].render().to_pil().convert("L"))
            drawn = [pixels[k // 20 * 30 :][:30, k % 20 * 30 :][:, :30] for k in range(len(letters) + 1)]
            missing = [
                letter
                for letter, glyph in zip(letters, drawn[1:], strict=True)
                if (glyph == drawn[0]).all() or glyph.min() > 128
            ]
            assert missing == [], (language.code, family)


def test_a_script_without_a_font_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "families", lambda kind: ("A font",) if kind == "hebrew" else ())
    written = {language.code: language.script for language in scripts.languages()}
    assert {script for script in written.values() if script != "latin"} == {"hebrew"}
    assert {"en", "de", "ru", "vi", "he"} <= set(written)


def test_boxes_of_a_page_are_apart_and_on_it(sample: list[SetPage], hard_sample: list[SetPage]) -> None:
    for image, boxes, _ in sample + hard_sample:
        assert max(image.size) == 640
        for k, (x0, y0, x1, y1) in enumerate(boxes):
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height
            for a0, b0, a1, b1 in boxes[:k]:
                assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0


def test_a_third_of_the_pages_has_no_table(sample: list[SetPage]) -> None:
    without = sum(not page.boxes for page in sample)
    assert 0.2 < without / len(sample) < 0.46


@pytest.mark.parametrize("difficulty", ["standard", "hard"])
def test_the_share_of_pages_without_tables_is_chosen(difficulty: str) -> None:
    assert all(set_page(f"all/{i}", difficulty, 0).boxes for i in range(6))
    assert not any(set_page(f"none/{i}", difficulty, 1).boxes for i in range(6))


def test_pages_differ_in_shape_and_colour(sample: list[SetPage]) -> None:
    assert len({page.image.size for page in sample}) > 5
    coloured = sum(np.ptp(np.asarray(page.image, dtype=np.int16), axis=2).max() > 60 for page in sample)
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
        assert boxes == set_page(f"test/{number - 1}").boxes
        assert all(a["area"] > 0 for a in coco.imgToAnns[number])


def test_hard_pages_are_coco_of_two_classes(tmp_path: Path) -> None:
    seed = next(f"{k}" for k in range(99) if "table rotated" in set_page(f"{k}/0", "hard", 0.1).labels)
    content = truth(synthesize(tmp_path / "pages", 4, seed, difficulty="hard", without_tables=0.1))
    settings = {"difficulty": "hard", "without_tables": 0.1}
    assert content["info"] == {"pages": 4, "seed": seed, "generator": 9, **settings}
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    assert names == {1: "table", 2: "table rotated"}
    written = [
        [names[a["category_id"]] for a in content["annotations"] if a["image_id"] == number]
        for number in range(1, 5)
    ]
    assert written == [set_page(f"{seed}/{i}", "hard", 0.1).labels for i in range(4)]


def test_standard_annotations_say_nothing_of_difficulty(folder: Path) -> None:
    assert truth(folder)["info"] == {"pages": 12, "seed": "test", "generator": 9}


def test_what_is_interrupted_goes_on(tmp_path: Path) -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from pathlib import Path; from tablesense.data.synthetic import synthesize;"
        "synthesize(Path(sys.argv[1]), 60, 'long', workers=1, resume=True)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "pages")], env=environment, stderr=subprocess.DEVNULL
    )
    record = tmp_path / ".pages.part" / "pages.jsonl"
    deadline = time.monotonic() + 15
    while (not record.exists() or record.read_text().count("\n") < 3) and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=10) != 0
    kept = record.read_text().splitlines()
    assert 3 <= len(kept) < 60
    first = record.parent / "images" / json.loads(kept[0])["file"]
    first.write_bytes(b"set before")
    with record.open("a") as file:
        file.write('{"index": 59, "fi')  # cut off
    with pytest.raises(UserError, match=r"expected half a data set of .* found one of"):
        synthesize(tmp_path / "pages", 60, "other", resume=True)
    synthesize(tmp_path / "pages", 60, "long", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pages"]
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == ["annotations.json", "images"]
    assert (tmp_path / "pages" / "images" / first.name).read_bytes() == b"set before"
    content = truth(tmp_path / "pages")
    assert [image["id"] for image in content["images"]] == list(range(1, 61))
    boxes = [[a["bbox"][:2] for a in content["annotations"] if a["image_id"] == k + 1] for k in (0, 30, 59)]
    assert boxes == [[list(box[:2]) for box in set_page(f"long/{k}").boxes] for k in (0, 30, 59)]


def test_one_process_at_a_time_goes_on_with_a_data_set(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".pages.part").mkdir()
    with (tmp_path / ".pages.part" / "settings.json").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process"):
            synthesize(tmp_path / "pages", 2, "test", resume=True)


def test_a_complete_data_set_is_not_set_again(folder: Path) -> None:
    before = (folder / "annotations.json").stat().st_mtime_ns
    synthesize(folder, 12, "test")
    assert (folder / "annotations.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="found 12 standard pages of seed test"):
        synthesize(folder, 13, "test")
    with pytest.raises(UserError, match="expected 12 hard pages of seed test"):
        synthesize(folder, 12, "test", difficulty="hard")


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A worker that cannot start stands for every way in which a run ends early.
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="failed after 0 of 4: see above"):
        synthesize(tmp_path / "pages", 4, "test")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    program = (
        "import resource, sys; from pathlib import Path; from tablesense.data.synthetic import synthesize;"
        "from tablesense.errors import UserError; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: synthesize(Path(sys.argv[1]), 1, 'test', workers=1)\n"
        "except UserError as error: sys.exit(str(error))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "pages")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in run.stderr
    assert f"a page cannot be written to {tmp_path}" in run.stderr
    assert "a process that sets synthetic pages failed after 0 of 1: see above" in run.stderr


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


def test_the_difficulty_has_a_cache_of_its_own(tmp_path: Path) -> None:
    standard = synthetic_pages(SyntheticConfig(pages=1, val_pages=1, cache_dir=tmp_path))
    hard = synthetic_pages(SyntheticConfig(pages=1, val_pages=1, cache_dir=tmp_path, difficulty="hard"))
    assert (standard.name, hard.name) == ("v9-seed0-1+1", "v9-seed0-1+1-hard")
    assert images(standard / "train") != images(hard / "train")
    with pytest.raises(UserError, match="difficulty: expected standard or hard, found easy"):
        SyntheticConfig(difficulty="easy")  # type: ignore[arg-type]


def test_a_number_of_pages_is_positive() -> None:
    with pytest.raises(UserError, match=r"^pages: expected 1"):
        SyntheticConfig(pages=0)
    with pytest.raises(UserError, match=r"^val_pages: expected 1"):
        SyntheticConfig(val_pages=-3)


@pytest.mark.parametrize("difficulty", ["standard", "hard"])
def test_only_typst_s_own_fonts_are_needed(difficulty: str) -> None:
    program = (
        "import typst; whole = typst.Fonts;"
        "typst.Fonts = lambda: whole(include_system_fonts=False);"
        "from tablesense.data.typesetting import set_page;"
        f"print(sum(len(set_page(f'bare/{{i}}', '{difficulty}').boxes) for i in range(12)))"
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
