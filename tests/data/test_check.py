"""`tablesense data check`: every planted fault, copies across splits, what is printed, and exit codes."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import yaml
from PIL import Image

from tablesense.data import index
from tablesense.data.check import kinds, run
from tablesense.data.check.boxes import MANY
from tablesense.data.check.fingerprint import alike, fingerprint, near_pairs
from tablesense.data.check.look import look_at
from tablesense.data.check.survey import IMAGE_SIZE, SPLIT_SEED, VAL_FRACTION
from tablesense.data.page import Page
from tablesense.data.reading import read_pages
from tablesense.data.typesetting import set_page
from tablesense.detr import DetrConfig
from tablesense.errors import UserError

Box = list[float]

SIZE = (200, 260)
BOX: Box = [20, 30, 120, 80]  # x, y, width, height


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A page of black bars that no other seed gives."""
    rows = np.random.default_rng(seed).random((26, 20)) < 0.4
    return Image.fromarray(np.where(rows, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def write_split(folder: Path, split: str, boxes: dict[str, list[Box]], **changes: Any) -> None:
    """COCO with these pages, each with a picture of its own unless it is there."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in boxes:
        if not (folder / "images" / name).exists():
            picture(crc32(name.encode())).save(folder / "images" / name)
    content = {
        "images": [
            {"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in enumerate(boxes)
        ],
        "annotations": [
            {"image_id": i, "category_id": 1, "bbox": box}
            for i, of_page in enumerate(boxes.values())
            for box in of_page
        ],
        "categories": [{"id": 1, "name": "table"}],
    }
    (folder / f"{split}.json").write_text(json.dumps(content | changes))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A clean data set: four pages to train on, two to validate on."""
    folder = tmp_path / "data"
    write_split(folder, "train", {f"a_{i}.png": [BOX] for i in range(3)} | {"b_1.png": []})
    write_split(folder, "val", {f"c_{i}.png": [BOX] for i in range(2)})
    return folder


def check(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> tuple[int, Any]:
    status = run([str(folder), "--json", "--workers=1", *options])
    return status, json.loads(capsys.readouterr().out)


def faults(found: Any) -> dict[str, int]:
    return {fault["name"]: fault["count"] for fault in found["faults"]}


# -- a data set without faults ---------------------------------------------------------------------


def test_a_clean_data_set_is_described_and_its_recipe_can_be_copied(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(data), "--workers=1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{data}: coco" in out
    assert re.search(r"train +4 +2 +3 +1 \(25%\)", out)
    assert re.search(r"val +2 +2 +2 +0 \(0%\)", out)
    assert "classes  table 5" in out
    assert "200x260 pixels; 0% landscape" in out
    assert "opened   6 of 6 pages" in out
    assert "No faults" in out
    recipe = out.partition("For a recipe:")[2]
    assert yaml.safe_load(recipe) == {"data": {"path": str(data), "format": "coco"}}


def test_json_is_one_object_with_the_same(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = check(capsys, data)
    assert status == 0
    assert (found["wrong"], found["faults"], found["refused"]) == (False, [], None)
    assert found["splits"]["train"] == {"pages": 4, "documents": 2, "tables": 3, "without_tables": 1}
    assert found["classes"] == {"table": 5}
    assert found["page_sizes"]["median"] == [200, 260]
    assert found["page_sizes"]["tables"] == {"least": 1, "median": 1, "most": 1}
    assert found["table_sizes"]["width"]["median"] == 0.6
    assert found["table_sizes"]["shorter_side"]["least"] == pytest.approx(80 * 384 / 260, abs=1e-3)
    assert (found["opened"], found["pages"], found["sample_seed"]) == (6, 6, None)


def test_other_classes_and_no_val_split_show_in_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    categories = [{"id": i, "name": name} for i, name in enumerate(("Table", "Table_Rotated", "figure"))]
    annotations = [{"image_id": i % 2, "category_id": i, "bbox": [9, 40 * i + 9, 90, 30]} for i in range(3)]
    write_split(
        tmp_path, "annotations", {"a.png": [], "b.png": []}, annotations=annotations, categories=categories
    )
    status, found = check(capsys, tmp_path, "--image-size=512")
    assert status == 0
    assert found["classes"] == {"table": 1, "table rotated": 1}
    assert found["ignored_classes"] == {"figure": 1}
    assert found["data"] == {
        "path": str(tmp_path),
        "format": "coco",
        "class_names": ["table", "table rotated"],
        "val_fraction": 0.1,
        "image_size": 512,
    }
    assert found["splits"]["all"]["tables"] == 2


def test_resolution_is_told_by_the_file_or_by_the_shape_of_paper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    picture(1, (1240, 1754)).save(tmp_path / "images" / "tagged.png", dpi=(200, 200))
    picture(2, (827, 1169)).save(tmp_path / "images" / "a4.png", dpi=(1, 1))
    picture(3, (500, 500)).save(tmp_path / "images" / "square.png")
    (tmp_path / "t.csv").write_text("filename,xmin,ymin,xmax,ymax,class\na4.png,50,50,500,300,table\n")
    _, found = check(capsys, tmp_path)
    resolution = found["resolution"]
    assert (resolution["tagged"], resolution["guessed"], resolution["unknown"]) == (1, 1, 1)
    assert resolution["dpi"]["least"] == pytest.approx(100, abs=0.1)
    assert resolution["dpi"]["most"] == pytest.approx(200, abs=0.1)


def test_real_scans_and_pdf_pages_have_no_faults(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, unit in (("unlv", "pixels"), ("icdar2013", "points")):
        status, found = check(capsys, real_data / name, "--limit=12")
        assert (status, found["faults"], found["unit"], found["opened"]) == (0, [], unit, 12)


# -- faults of images ------------------------------------------------------------------------------


def test_an_image_that_is_missing_is_the_fault_of_a_data_set_that_cannot_be_read(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "images" / "a_1.png").unlink()
    status, found = check(capsys, data)
    assert status == 1
    assert faults(found) == {kinds.REFUSED: 1}
    assert found["data"] is None
    assert "1 of 4 images" in found["refused"]
    assert "a_1.png" in found["refused"]
    assert run([str(data)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "error: the data set cannot be read" in out
    assert "images/a_1.png" in out
    assert "Training stops at once." in out


def test_an_image_that_is_lost_after_reading_is_missing(tmp_path: Path) -> None:
    seen = look_at([Page(tmp_path / "gone.png", "d", (10, 10))], 384)
    assert seen.faults == {kinds.MISSING: 1}
    assert seen.faults.examples == {kinds.MISSING: [str(tmp_path / "gone.png")]}


def test_a_pdf_may_have_the_name_of_an_image(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(1, (200, 260)).save(data / "images/c_0.png", "PDF")
    assert check(capsys, data)[0] == 0


def test_images_that_cannot_be_decoded(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (data / "images" / "a_0.png").read_bytes()
    (data / "images" / "a_0.png").write_bytes(whole[:200])
    (data / "images" / "c_0.png").write_bytes(b"")
    status, found = check(capsys, data)
    assert status == 1
    assert faults(found) == {kinds.UNREADABLE: 2}
    first, second = found["faults"][0]["examples"]
    assert re.search(r"a_0\.png: \w+", first)
    assert "c_0.png: the file is empty" in second


@pytest.mark.parametrize(
    ("size", "orientation", "fault", "status"),
    [
        ((260, 200), 1, kinds.SWAPPED, 1),
        ((200, 200), 1, kinds.RESHAPED, 1),
        ((400, 520), 1, kinds.SCALED, 0),
        ((200, 260), 6, kinds.SIDEWAYS, 0),
        ((200, 260), 3, kinds.UPRIGHTED, 0),
        ((260, 200), 6, None, 0),
        ((201, 260), 1, None, 0),
    ],
)
def test_images_of_another_size_than_annotated(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    size: tuple[int, int],
    orientation: int,
    fault: str | None,
    status: int,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("png", "jpeg"):  # under the same name: what it holds says which
        picture(5, size).save(data / "images" / "a_0.png", form, exif=exif)
        code, found = check(capsys, data)
        assert (code, faults(found)) == (status, {fault: 1} if fault else {})
    if fault == kinds.SWAPPED:
        assert found["faults"][0]["examples"] == [f"{data}/images/a_0.png: 260x200, annotated as 200x260"]


# -- faults of boxes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "fault"),
    [
        ([BOX, [300, 10, 50, 50]], "outside the page"),
        ([BOX, [20, 150, 400, 50]], "partly outside the page, clipped"),
        ([BOX, [20, 150, 0, 50]], "zero area"),
        ([BOX, [20, 150, float("nan"), 50]], "not finite"),
        ([BOX, [20.5, 30, 120, 80]], kinds.TWINS),
        ([[20, 30, 160, 120], [30, 40, 60, 60]], kinds.NESTED),
        ([[0, 0, 200, 259]], kinds.WHOLE_PAGE),
        ([BOX, [20, 150, 100, 4]], kinds.TINY),
        ([[10 + 20 * (i % 8), 5 + 20 * (i // 8), 15, 15] for i in range(MANY + 1)], kinds.CROWDED),
    ],
)
def test_odd_boxes_are_warnings(
    data: Path, capsys: pytest.CaptureFixture[str], boxes: list[Box], fault: str
) -> None:
    write_split(data, "train", {"a_0.png": boxes, "b_1.png": [BOX]})
    status, found = check(capsys, data)
    assert (status, faults(found)) == (0, {fault: 1})
    assert found["faults"][0]["severity"] == "warning"
    assert "a_0.png" in found["faults"][0]["examples"][0]


def test_a_crowd_is_a_warning(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crowd = {"image_id": 0, "category_id": 1, "bbox": BOX, "iscrowd": 1}
    write_split(data, "train", {"a_0.png": []}, annotations=[crowd, {**crowd, "iscrowd": 0}])
    status, found = check(capsys, data)
    assert (status, faults(found)) == (0, {"crowd": 1})


def test_boxes_too_small_are_so_at_the_size_of_the_training(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(data, "train", {"a_0.png": [[20, 150, 100, 4]]})
    assert faults(check(capsys, data, "--image-size=800")[1]) == {}


def test_neither_another_class_nor_a_box_beside_is_a_twin_or_nested(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    categories = [{"id": 1, "name": "table"}, {"id": 2, "name": "table rotated"}]
    annotations = [{"image_id": 0, "category_id": i, "bbox": BOX} for i in (1, 2)]
    annotations.append({"image_id": 0, "category_id": 1, "bbox": [20, 115, 120, 80]})
    write_split(data, "train", {"a_0.png": []}, annotations=annotations, categories=categories)
    assert faults(check(capsys, data)[1]) == {}


def test_many_boxes_that_do_not_fit_say_that_the_unit_is_wrong(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(data, "train", {f"a_{i}.png": [[100, 100, 180, 240]] for i in range(10)})  # two corners
    status, found = check(capsys, data)
    assert status == 1
    assert faults(found) == {kinds.MISFIT: 10, "partly outside the page, clipped": 10}


# -- what a training cannot use --------------------------------------------------------------------


def test_what_training_stops_at_before_it_opens_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[tuple[dict[str, dict[str, list[Box]]], str]] = [
        ({"test": {"a.png": [BOX]}}, kinds.NO_TRAIN),
        ({"train": {"a.png": []}, "val": {"b.png": [BOX]}}, kinds.NO_BOXES),
        ({"train": {"a.png": [BOX]}, "val": {"b.png": []}}, kinds.NO_VAL_BOXES),
        ({"train": {"a.png": [BOX]}}, kinds.ONE_DOCUMENT),
        ({"train": {"a.png": [BOX]} | {f"{name}.png": [] for name in "bcdefghi"}}, kinds.ONE_SIDED),
    ]
    for i, (splits, fault) in enumerate(plans):
        for split, boxes in splits.items():
            write_split(tmp_path / str(i), split, boxes)
        status, found = check(capsys, tmp_path / str(i))
        assert (status, faults(found)) == (1, {fault: 1})


# -- leaks -----------------------------------------------------------------------------------------


def test_a_file_and_a_document_in_two_splits(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(data, "val", {"a_2.png": [BOX], "b_7.png": [BOX], "c_1.png": []})
    status, found = check(capsys, data)
    assert status == 1
    assert faults(found) == {kinds.SHARED_FILES: 1, kinds.SHARED_DOCUMENTS: 2}
    file, documents = found["faults"]
    assert file["examples"] == [f"{data}/images/a_2.png: train and val"]
    assert documents["examples"] == ["a: train and val", "b: train and val"]


def test_pages_of_one_name_in_two_splits_are_told_by_their_contents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, split in enumerate(("train", "val")):
        names = [f"{split}/{number:06d}.png" for number in range(4)]
        (tmp_path / "images" / split).mkdir(parents=True)
        for j, name in enumerate(names):
            picture(j if j == 3 else 10 * i + j).save(tmp_path / "images" / name)
        write_split(tmp_path, split, {name: [BOX] for name in names})
    _, found = check(capsys, tmp_path)
    assert faults(found) == {kinds.LEAKED: 1}


def test_copies_of_pages_are_found_whatever_their_encoding_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    pages = [set_page(f"check/{i}").image for i in range(8)]
    for i, page in enumerate(pages):
        page.save(folder / "images" / f"{'train' if i < 6 else 'val'}{i}.png")
    copies = {
        "again_jpeg.png": (pages[0], "jpeg", {"quality": 40}),
        "again_half.png": (pages[1].resize((pages[1].width // 2, pages[1].height // 2)), "png", {}),
        "again_grey.png": (
            pages[2].convert("L").resize((2 * pages[2].width, 2 * pages[2].height)),
            "png",
            {},
        ),
    }
    for name, (page, form, options) in copies.items():
        page.save(folder / "images" / name, form, **options)
    pages[3].save(folder / "images" / "twice.png")
    for split, names in {
        "train": [f"train{i}.png" for i in range(6)] + ["twice.png"],
        "val": [f"val{i}.png" for i in (6, 7)] + list(copies),
    }.items():
        images, annotations = [], []
        for i, name in enumerate(names):
            with Image.open(folder / "images" / name) as image:
                images.append({"id": i, "file_name": name, "width": image.width, "height": image.height})
            annotations.append({"image_id": i, "category_id": 1, "bbox": [20, 30, 120, 80]})
        write_split(folder, split, {}, images=images, annotations=annotations)
    status, found = check(capsys, folder)
    assert status == 1
    assert faults(found) == {kinds.LEAKED: 3, kinds.REPEATED: 1}
    leaked, repeated = (fault["examples"] for fault in found["faults"])
    assert [
        [Path(path).name for path in re.findall(r"\S+\.png", example)] for example in leaked + repeated
    ] == [
        ["again_jpeg.png", "train0.png"],
        ["again_half.png", "train1.png"],
        ["again_grey.png", "train2.png"],
        ["twice.png", "train3.png"],
    ]
    assert "(val) looks like" in leaked[0]


def test_pages_with_nothing_on_them_are_no_copies(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a_0.png", "a_1.png", "c_0.png"):
        Image.new("L", SIZE, 255).save(data / "images" / name)
    assert faults(check(capsys, data)[1]) == {}
    assert fingerprint(Image.new("L", SIZE, 250)) is None


def test_near_fingerprints_are_found_among_many() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((20_000, 256)) < 0.5
    copies = rng.permutation(20_000)[:400].reshape(200, 2)
    for one, other in copies:
        bits[other] = bits[one]
        bits[other, rng.permutation(256)[:16]] ^= True
    found = near_pairs(np.packbits(bits, axis=1))
    expected = {tuple(sorted(pair)) for pair in copies.tolist()}
    assert {tuple(pair) for pair in found.tolist()} <= expected
    assert len(found) >= 0.98 * len(expected)


def test_many_copies_of_a_page_are_a_chain_of_pairs() -> None:
    prints = np.repeat(np.packbits(np.random.default_rng(1).random((2, 256)) < 0.5, axis=1), 50, axis=0)
    found = near_pairs(prints)
    assert len(found) == 49 * 2
    assert (found // 50 == found[:, :1] // 50).all()
    assert len(near_pairs(prints[:1])) == len(near_pairs(prints[:0])) == 0


def test_pages_of_one_layout_with_other_text_are_not_alike() -> None:
    def page(seed: int) -> Image.Image:
        lines = np.full((512, 384), 255, np.uint8)
        words = np.random.default_rng(seed).random((40, 64)) < 0.6
        lines[40:440, 32:352] = np.where(np.kron(words, np.ones((10, 5))), 0, 255)
        return Image.fromarray(lines)

    assert not alike(page(0), page(1))
    buffer = io.BytesIO()
    page(0).resize((192, 256)).save(buffer, "jpeg", quality=50)
    assert alike(page(0), Image.open(buffer))


# -- the command -----------------------------------------------------------------------------------


def test_a_sample_is_drawn_by_a_fixed_seed_and_said_to_be_one(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a_0.png", "a_1.png", "a_2.png"):
        (data / "images" / name).write_bytes(b"no image")
    status, found = check(capsys, data, "--limit=4")
    assert (found["opened"], found["pages"], found["sample_seed"]) == (4, 6, 0)
    again = check(capsys, data, "--limit=4")
    assert (status, found["faults"]) == (again[0], again[1]["faults"])
    run([str(data), "--limit=4"])
    assert "opened   4 of 6 pages" in (out := capsys.readouterr().out)
    assert "drawn by a fixed seed" in out


def test_processes_find_what_one_finds(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(data, "train", {f"d_{i}.png": [BOX] for i in range(20)})
    shutil.copy(data / "images" / "d_3.png", data / "images" / "c_1.png")
    (data / "images" / "d_18.png").write_bytes(b"")
    one, several = check(capsys, data), check(capsys, data, "--workers=2")
    assert one[0] == several[0] == 1
    assert faults(one[1]) == {kinds.UNREADABLE: 1, kinds.LEAKED: 1}
    for found in (one[1], several[1]):
        del found["seconds"]
    assert one[1] == several[1]


def test_faults_are_printed_the_worst_first_within_80_columns(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(data, "train", {"a_0.png": [BOX, BOX, [300, 10, 50, 50]], "a_1.png": [BOX]})
    (data / "images" / "a_1.png").write_bytes(b"")
    assert run([str(data)]) == 1
    out = capsys.readouterr().out
    assert re.findall(r"^(?:error|warning): .*", out, re.MULTILINE) == [
        "error: 1 page whose image cannot be read",
        "warning: 1 box outside the page",
        "warning: 1 box lying on another of their class",
    ]
    assert "  images/a_1.png: the file is empty" in out
    assert "1 error and 2 warnings: do not train on this data set as it is." in out
    report = out.partition("For a recipe")[0].partition("\n")[2]
    assert max(map(len, report.splitlines())) <= 80


def test_a_class_s_name_is_printed_as_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, pages in {"train": ("a_0.png", "b_1.png"), "val": ("c_0.png",)}.items():
        categories = [{"id": 1, "name": "table [/a]"}, {"id": 2, "name": "figure [/b]"}]
        boxes = [{"image_id": 0, "category_id": kind, "bbox": BOX} for kind in (1, 2)]
        write_split(data, split, {page: [] for page in pages}, annotations=boxes, categories=categories)
    run([str(data), "--workers=1"])
    out = capsys.readouterr().out
    assert "classes  table [/a] 2" in out
    assert "not looked for: figure [/b] 2" in out


def test_its_recipe_finds_the_index_that_the_check_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keep_all = partial(index.open_index, least=1)
    monkeypatch.setattr("tablesense.data.reading.open_index", keep_all)
    _, found = check(capsys, data)
    read_pages(Path(found["data"]["path"]), found["data"]["format"])
    assert len(list((tmp_path / "cache/tablesense/index").glob("*"))) == 1


def test_what_a_reader_leaves_out_by_a_reason_of_its_own_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tablesense.data import reading
    from tablesense.data.table import Pages

    def read(path: Path) -> Pages:
        pages = Pages()
        pages.dropped.note("image without annotation", path / "b.png")
        for name in ("a", "c"):
            picture(ord(name)).save(path / f"{name}.png")
            pages.add("all", Page(path / f"{name}.png", name, SIZE, ((9, 9, 90, 90),), ("table",)))
        return pages

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reading.FORMATS, "own", read)
        status, found = check(capsys, tmp_path, "--format=own")
        run([str(tmp_path), "--format=own"])
    assert (status, faults(found)) == (0, {"image without annotation": 1})
    assert "warning: 1 left out: image without annotation\n  b.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist: expected a data set's folder or annotation file"),
        ([], "data check: the following arguments are required: PATH; see tablesense data check --help"),
        ([".", "--format=word"], "invalid choice: 'word'"),
        ([".", "--limit=0"], "--limit: expected a whole number from 1, found 0"),
        ([".", "--workers=all"], "--workers: expected a whole number from 1, found all"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run(arguments)


def test_a_folder_without_annotations_is_a_fault_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found = check(capsys, tmp_path)
    assert (status, found["format"], faults(found)) == (1, None, {kinds.REFUSED: 1})
    assert run([str(tmp_path)]) == 1
    assert "format not recognised" in capsys.readouterr().out


def test_a_process_that_opens_pages_needs_no_torch() -> None:
    code = "import sys, tablesense.data.check.look; print('torch' in sys.modules, 'scipy' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "False False\n"


def test_numbers_are_those_of_a_training() -> None:
    import inspect

    from tablesense.data.datamodule import TableDataModule

    assert DetrConfig().num_queries == MANY
    options = inspect.signature(TableDataModule).parameters
    defaults = [options[name].default for name in ("image_size", "val_fraction", "split_seed")]
    assert defaults == [IMAGE_SIZE, VAL_FRACTION, SPLIT_SEED]
