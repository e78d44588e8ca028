"""Rows of Hugging Face `datasets`: saved and parquet, kinds of columns, extraction, what is refused."""

from __future__ import annotations

import builtins
import json
import re
import socket
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tablesense.data.huggingface import (
    extraction,
    looks_like_huggingface,
    read_huggingface,
    read_huggingface_xyxy,
)
from tablesense.data.page import Page
from tablesense.data.table import Pages
from tablesense.errors import UserError

datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
datasets.disable_progress_bars()

CLASSES = datasets.ClassLabel(names=["table", "figure"])
BOX = datasets.List(datasets.Value("float32"))
LISTS = {"bbox": datasets.List(BOX), "category": datasets.List(CLASSES)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where images are extracted to; and there is no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*_: object) -> None:
        raise AssertionError("a data set on disk needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path / "cache" / "tablesense" / "huggingface"


def encoded(format: str = "PNG", size: tuple[int, int] = (100, 80)) -> bytes:
    content = BytesIO()
    Image.new("L", size, 255).save(content, format)
    return content.getvalue()


def rows(count: int = 1, **columns: Any) -> Any:
    """Rows with an image and one box each; columns add to these or replace them: a value and its feature."""
    columns = {"objects": ({"bbox": [[10, 20, 30, 40]], "category": [1]}, LISTS), **columns}
    table = {name: [value] * count for name, (value, _) in columns.items()}
    features = {name: feature for name, (_, feature) in columns.items()}
    if "image" not in columns:
        table["image"] = [{"bytes": encoded(), "path": f"doc_{i}.png"} for i in range(count)]
        features["image"] = datasets.Image()
    return datasets.Dataset.from_dict(table, features=datasets.Features(features))


def parquet(file: Path, dataset: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_parquet(str(file), batch_size=18)


def only(pages: Pages) -> Page:
    ((page,),) = pages.splits.values()
    return page


def test_a_saved_data_set_and_its_splits(tmp_path: Path, cache: Path) -> None:
    saved = datasets.DatasetDict(train=rows(2), validation=rows(1), test=rows(1), extra=rows(3))
    saved.save_to_disk(str(tmp_path / "set"))
    pages = read_huggingface(tmp_path / "set")
    assert {split: len(table) for split, table in pages.splits.items()} == {"train": 2, "val": 1, "test": 1}
    (place,) = cache.glob("*/")
    assert pages.splits["train"][1] == Page(
        place / "0000" / "00000001-doc_1.png", "doc_1", (100, 80), ((10, 20, 40, 60),), ("figure",)
    )
    assert pages.splits["train"][1].path.read_bytes() == encoded()
    assert pages.dropped == {"rows of a split that is none of train, val and test": 3}
    rows(2).save_to_disk(str(tmp_path / "one"))
    assert {split: len(table) for split, table in read_huggingface(tmp_path / "one").splits.items()} == {
        "all": 2
    }


def test_parquet_as_on_the_hub(tmp_path: Path) -> None:
    parquet(tmp_path / "a/data/train-00000-of-00002-ae8972f6.parquet", rows(2))
    parquet(tmp_path / "a/data/train-00001-of-00002-ae8972f6.parquet", rows(1))
    parquet(tmp_path / "a/data/validation-00000-of-00001.parquet", rows(1))
    parquet(tmp_path / "b/default/train/0000.parquet", rows(1))
    parquet(tmp_path / "b/default/test/0000.parquet", rows(1))
    parquet(tmp_path / "c.parquet", rows(3))

    def counts(name: str) -> dict[str, int]:
        return {split: len(table) for split, table in read_huggingface(tmp_path / name).splits.items()}

    assert counts("a") == {"train": 3, "val": 1}
    assert counts("b") == {"test": 1, "train": 1}
    assert counts("c.parquet") == {"all": 3}


@pytest.mark.parametrize(
    ("objects", "feature", "labels"),
    [
        ({"bbox": [[1, 2, 3, 4]], "category": [0]}, LISTS, ("table",)),
        (
            [{"bbox": [1, 2, 3, 4], "category": 1}],
            datasets.List({"bbox": BOX, "category": CLASSES}),
            ("figure",),
        ),
        (
            {"bboxes": [[1, 2, 3, 4]], "label": ["table rotated"]},
            {"bboxes": datasets.List(BOX), "label": datasets.List(datasets.Value("string"))},
            ("table rotated",),
        ),
        (
            {"bbox": [[1, 2, 3, 4]], "categories": [7]},
            {"bbox": datasets.List(BOX), "categories": datasets.List(datasets.Value("int64"))},
            ("class_7",),
        ),
        ({"bbox": [], "category": []}, LISTS, ()),
        (None, LISTS, ()),
    ],
)
def test_objects_are_a_dict_of_lists_or_a_list_of_dicts(
    tmp_path: Path, objects: Any, feature: Any, labels: tuple[str, ...]
) -> None:
    parquet(tmp_path / "a.parquet", rows(objects=(objects, feature)))
    page = only(read_huggingface(tmp_path / "a.parquet"))
    assert page.labels == labels
    assert page.boxes == ((1, 2, 4, 6),) * len(labels)


def test_boxes_may_be_columns_of_their_own(tmp_path: Path) -> None:
    table = rows(
        bboxes=([[1, 2, 3, 4]], datasets.List(BOX)), category_id=([0], datasets.List(CLASSES))
    ).remove_columns("objects")
    parquet(tmp_path / "a.parquet", table)
    assert only(read_huggingface(tmp_path / "a.parquet")).boxes == ((1, 2, 4, 6),)


def test_sizes_and_documents_of_their_own(tmp_path: Path) -> None:
    integer = datasets.Value("int32")
    table = rows(width=(200, integer), height=(160, integer), doc_name=("report", datasets.Value("string")))
    parquet(tmp_path / "a.parquet", table)
    page = only(read_huggingface(tmp_path / "a.parquet"))
    assert (page.size, page.document) == ((200, 160), "report")
    parquet(tmp_path / "b.parquet", rows(width=(None, integer), height=(0, integer)))
    assert only(read_huggingface(tmp_path / "b.parquet")).size == (100, 80)


def test_one_name_for_all_images_tells_no_document(tmp_path: Path) -> None:
    image = ({"bytes": encoded(), "path": "image.png"}, datasets.Image())
    parquet(tmp_path / "a.parquet", rows(3, image=image))
    (table,) = read_huggingface(tmp_path / "a.parquet").splits.values()
    assert len({page.document for page in table}) == 3
    number = datasets.Value("int32")
    parquet(tmp_path / "b.parquet", rows(1, image=image, document=(0, number)))
    assert only(read_huggingface(tmp_path / "b.parquet")).document == "0"


def test_parquet_of_another_library(tmp_path: Path) -> None:
    """Without the features that `datasets` adds, an image is bytes, and a category a number."""
    import pyarrow
    from pyarrow.parquet import write_table

    objects = {"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [0]}
    write_table(pyarrow.table({"image": [encoded("JPEG")], "objects": [objects]}), tmp_path / "a.parquet")
    page = only(read_huggingface(tmp_path / "a.parquet"))
    assert (page.labels, page.path.name) == (("class_0",), "00000000.jpg")


def test_an_image_that_is_stored_as_a_path_is_used_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "scans").mkdir(parents=True)
    Image.new("L", (100, 80)).save(folder / "scans" / "p_1.png")
    for written in ("scans/p_1.png", str(folder / "scans" / "p_1.png")):
        parquet(folder / "a.parquet", rows(image=(written, datasets.Value("string"))))
        page = only(read_huggingface(folder))
        assert (page.path, page.size) == (folder / "scans" / "p_1.png", (100, 80))
    for written, message in {
        "../secret.png": "names a file '../secret.png', which leads out of the data set",
        "/etc/secret.png": "names a file '/etc/secret.png', which leads out of the data set",
        "scans/gone.png": f"a.parquet, row 0 names the image {folder}/scans/gone.png, which is missing",
    }.items():
        parquet(folder / "a.parquet", rows(image=(written, datasets.Value("string"))))
        with pytest.raises(UserError, match=re.escape(message)):
            read_huggingface(folder)


def test_images_that_cannot_be_read_are_counted_and_named(tmp_path: Path) -> None:
    images = [{"bytes": content, "path": None} for content in (encoded(), b"no image", b"")]
    table = datasets.concatenate_datasets(
        [rows(image=(value, datasets.Image(decode=False))) for value in (*images, None)]
    )
    parquet(tmp_path / "a.parquet", table)
    pages = read_huggingface(tmp_path / "a.parquet")
    assert len(pages.splits["all"]) == 1
    assert pages.dropped == {"unreadable image": 2, "row without image": 1}
    assert pages.dropped.examples["row without image"] == [f"{tmp_path}/a.parquet, row 3"]


def test_boxes_of_the_other_kind_are_refused_not_guessed(tmp_path: Path) -> None:
    corners = {"bbox": [[10, 20, 90, 70], [50, 10, 95, 60]], "category": [0, 0]}
    parquet(tmp_path / "a.parquet", rows(objects=(corners, LISTS)))
    with pytest.raises(
        UserError,
        match=r"2 of 2 boxes are impossible as \[x, y, width, height\], and all fit as \[x0, y0, x1, y1\]: "
        "read it as the format huggingface_xyxy",
    ):
        read_huggingface(tmp_path / "a.parquet")
    page = only(read_huggingface_xyxy(tmp_path / "a.parquet"))
    assert page.boxes == ((10, 20, 90, 70), (50, 10, 95, 60))
    parquet(tmp_path / "b.parquet", rows(objects=({"bbox": [[50, 60, 20, 10]], "category": [0]}, LISTS)))
    with pytest.raises(UserError, match=r"1 of 1 boxes are impossible as \[x0, .* the format huggingface$"):
        read_huggingface_xyxy(tmp_path / "b.parquet")
    mixed = {"bbox": [[10, 20, 95, 70], [50, 60, 20, 10]], "category": [0, 0]}
    parquet(tmp_path / "c.parquet", rows(objects=(mixed, LISTS)))
    assert read_huggingface(tmp_path / "c.parquet").dropped == {"partly outside the page, clipped": 1}


def test_an_extraction_that_was_interrupted_goes_on_where_it_was(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(tmp_path / "set/train-00000-of-00002.parquet", rows(20))
    parquet(tmp_path / "set/train-00001-of-00002.parquet", rows(21))
    datasets.DatasetDict(train=rows(20), test=rows(21)).save_to_disk(str(tmp_path / "saved"))
    made = extraction.record
    count = 0

    def interrupted(*values: Any) -> Any:
        nonlocal count
        count += 1
        if count == 38:
            raise KeyboardInterrupt
        return made(*values)

    for name in ("set", "saved"):
        count = 0
        monkeypatch.setattr(extraction, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_huggingface(tmp_path / name)
        (place,) = (
            file.parent for file in cache.glob("*/rows.jsonl") if not (file.parent / "done.json").exists()
        )
        with (place / "rows.jsonl").open("a") as lines:
            lines.write('{"cut sho')
        pages = read_huggingface(tmp_path / name)
        assert count == 38 + 41 - 37
        every = [page for table in pages.splits.values() for page in table]
        assert [int(page.path.name[:8]) for page in every] == list(range(41))
        assert [page.path.name[9:] for page in every] == [f"doc_{i}.png" for n in (20, 21) for i in range(n)]
        assert all(page.path.is_file() for page in every)


def test_a_second_reading_needs_neither_rows_nor_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet(tmp_path / "set/a.parquet", rows(2))
    first = read_huggingface(tmp_path / "set").splits
    assert capsys.readouterr().err.startswith("Extracting 2 images of ")
    without_library(monkeypatch)
    (tmp_path / "set").rename(tmp_path / "moved")
    assert read_huggingface(tmp_path / "moved").splits == first
    assert capsys.readouterr().err == ""


def test_changed_data_are_extracted_anew(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", rows(2))
    assert len(read_huggingface(tmp_path / "a.parquet").splits["all"]) == 2
    parquet(tmp_path / "a.parquet", rows(3))
    assert len(read_huggingface(tmp_path / "a.parquet").splits["all"]) == 3


def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *others: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("datasets", "pyarrow"):
            raise ImportError(name)
        return real(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_the_library_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(tmp_path / "a.parquet", rows())
    without_library(monkeypatch)
    assert looks_like_huggingface(tmp_path)
    with pytest.raises(UserError, match=r"pip install 'tablesense\[huggingface\]'$"):
        read_huggingface(tmp_path)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, cache: Path) -> None:
    parquet(tmp_path / "a.parquet", rows())
    cache.parent.parent.write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cannot be written to .*: .*: make room, or set XDG_CACHE_HOME"):
        read_huggingface(tmp_path / "a.parquet")


def test_a_cache_that_lost_its_rows_is_said(tmp_path: Path, cache: Path) -> None:
    parquet(tmp_path / "a.parquet", rows())
    read_huggingface(tmp_path / "a.parquet")
    next(cache.glob("*/rows.jsonl")).unlink()
    with pytest.raises(UserError, match=r"rows\.jsonl cannot be read: .*: delete .* and start again"):
        read_huggingface(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"bbox": [[1, 2, 3]], "category": [0]}, "row 0: bbox: expected four numbers; found [1.0, 2.0, 3.0]"),
        ({"bbox": [None], "category": [0]}, "row 0: bbox: expected four numbers; found None"),
        ({"bbox": [[1, 2, 3, 4]], "category": []}, "row 0: 1 of bbox, but 0 of category"),
        (
            {"bbox": [[1, 2, 3, 4]], "category": [None]},
            "row 0: category is None: expected one of table, figure",
        ),
        ({"bbox": [[1, 2, 3, 4]], "category": [-1]}, "row 0: category is -1: expected one of table, figure"),
    ],
)
def test_faulty_rows_are_refused_in_one_line(tmp_path: Path, objects: Any, message: str) -> None:
    parquet(tmp_path / "a.parquet", rows(objects=(objects, LISTS)))
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}/a.parquet, {message}")):
        read_huggingface(tmp_path)


def test_rows_of_something_else_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", datasets.Dataset.from_dict({"text": ["a"], "label": [0]}))
    with pytest.raises(
        UserError, match=r"a\.parquet has no rows of object detection: .*; found text, label$"
    ):
        read_huggingface(tmp_path)


def test_faulty_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected a folder with Hugging Face rows"):
        read_huggingface(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        UserError, match=r"no annotations in .*: expected Hugging Face rows .*; found 1 \.txt"
    ):
        read_huggingface(tmp_path)
    for name in ("one", "two"):
        parquet(tmp_path / name / "train" / "0.parquet", rows())
    with pytest.raises(UserError, match=r"has 2 configurations of parquet files \(one, two\): give the path"):
        read_huggingface(tmp_path)
    (tmp_path / "one" / "train" / "0.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"one cannot be read by datasets [\d.]+: ") as raised:
        read_huggingface(tmp_path / "one")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_data_files": [{"filename": "../../secret.arrow"}]}, "'../../secret.arrow', which leads out"),
        ({"_data_files": [{"filename": "/secret.arrow"}]}, "'/secret.arrow', which leads out"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow is missing: ROOT is not whole"),
        ({"_data_files": "all"}, "state.json: expected _data_files with filename; found 'all'"),
        ([], "state.json: expected an object; found []"),
        ({"_data_files": [{"filename": "state.json"}]}, "ROOT cannot be read by datasets"),
    ],
)
def test_a_saved_data_set_that_is_not_whole_is_refused(tmp_path: Path, state: Any, message: str) -> None:
    rows().save_to_disk(str(tmp_path / "set"))
    (tmp_path / "set" / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=re.escape(message.replace("ROOT", str(tmp_path / "set")))):
        read_huggingface(tmp_path / "set")


@pytest.mark.parametrize("splits", [["../set"], ["/set"], "train", [1]])
def test_splits_that_lead_elsewhere_are_refused(tmp_path: Path, splits: Any) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(UserError, match=r"dataset_dict\.json(: expected splits| names a file .* leads out)"):
        read_huggingface(tmp_path)


def test_rows_are_recognised_by_the_names_of_their_files(tmp_path: Path) -> None:
    assert not looks_like_huggingface(tmp_path)
    assert not looks_like_huggingface(tmp_path / "nowhere")
    (tmp_path / "dataset_info.json").touch()
    assert not looks_like_huggingface(tmp_path)
    (tmp_path / "state.json").touch()
    assert looks_like_huggingface(tmp_path)
    for name in ("a/0.parquet", "b/data/0.parquet", "c/default/train/0.parquet", "d/dataset_dict.json"):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.touch()
        assert looks_like_huggingface(tmp_path / name[0])
    assert looks_like_huggingface(tmp_path / "a/0.parquet")


def test_reading_does_not_import_torch(tmp_path: Path) -> None:
    import subprocess

    parquet(tmp_path / "a.parquet", rows())
    code = (
        "import sys; from pathlib import Path; from tablesense.data.huggingface import read_huggingface; "
        f"read_huggingface(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
