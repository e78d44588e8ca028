"""COCO: layouts, names of splits and documents, boxes, and what is refused."""

from __future__ import annotations

import io
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask

from tablesense.data.coco import read_coco
from tablesense.data.folder import contents, locate_folders
from tablesense.data.json_members import members
from tablesense.errors import UserError

Write = Callable[..., None]


def write_coco(path: Path, names: list[str], **changes: Any) -> None:
    """One box (10, 20, 40, 50) on each image, in a category of id 7."""
    content = {
        "images": [{"id": i, "file_name": name, "width": 100, "height": 80} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 7, "bbox": [10, 20, 30, 30]} for i in range(len(names))
        ],
        "categories": [{"id": 7, "name": "table"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    ("annotations", "image", "split"),
    [
        ("annotations.json", "a.png", "all"),
        ("annotations.json", "images/a.png", "all"),
        ("train.json", "train/a.png", "train"),
        ("val.json", "images/val/a.png", "val"),
        ("test.json", "images/a.png", "test"),
        ("annotations/instances_train2017.json", "train2017/a.png", "train"),
        ("annotations/instances_val2017.json", "images/val2017/a.png", "val"),
        ("annotations/tablebank_latex_test.json", "images/a.png", "test"),
        ("COCO/train.json", "PNG/a.png", "train"),
        ("train/annotations.json", "train/images/a.png", "train"),
        ("test/annotations.json", "images/test/a.png", "test"),
        ("valid/_annotations.coco.json", "valid/a.png", "val"),
        ("tables.json", "images/a.png", "all"),
        ("latest.json", "a.png", "all"),
    ],
)
def test_layouts(tmp_path: Path, write_images: Write, annotations: str, image: str, split: str) -> None:
    root = tmp_path / "data"
    write_coco(root / annotations, ["a.png"])
    write_images(f"data/{image}")
    for path in (root, root / annotations):
        pages = read_coco(path)
        assert {name: [page.path for page in of] for name, of in pages.splits.items()} == {
            split: [root / image]
        }


def test_file_name_may_lead_through_folders(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "annotations" / "val.json", ["scans/b/1.png"])
    write_images("scans/b/1.png")
    assert read_coco(tmp_path).splits["val"][0].path == tmp_path / "scans/b/1.png"


def test_the_folder_of_the_split_wins_over_another_file_of_that_name(
    tmp_path: Path, write_images: Write
) -> None:
    for split in ("train", "val"):
        write_coco(tmp_path / f"{split}.json", ["1.png"])
        write_images(f"{split}/1.png", "images/1.png")
    splits = read_coco(tmp_path).splits
    assert list(splits) == ["train", "val"]
    assert [splits[split][0].path for split in splits] == [tmp_path / "train/1.png", tmp_path / "val/1.png"]


def test_files_of_one_split_are_read_together_and_notes_are_left_alone(
    tmp_path: Path, write_images: Write
) -> None:
    write_coco(tmp_path / "annotations/word_train.json", ["w_1.png"])
    write_coco(tmp_path / "annotations/latex_train.json", ["l_1.png"])
    (tmp_path / "info.json").write_text("[]")
    write_images("images/w_1.png", "images/l_1.png")
    assert [page.path.name for page in read_coco(tmp_path).splits["train"]] == ["l_1.png", "w_1.png"]


def test_instances_win_over_the_captions_beside_them(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "annotations/instances_val2017.json", ["1.png"])
    (tmp_path / "annotations/captions_val2017.json").write_text("{}")
    write_images("val2017/1.png")
    assert len(read_coco(tmp_path).splits["val"]) == 1


def test_an_image_in_two_files_of_a_split_is_refused(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "train.json", ["1.png"])
    write_coco(tmp_path / "train_small.json", ["1.png"])
    write_images("images/1.png")
    with pytest.raises(UserError, match=r"1\.png is named 2 times in train\.json and train_small\.json"):
        read_coco(tmp_path)


def test_an_image_named_twice_in_a_file_is_refused(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "train.json", ["b.png", "1.png", "images/1.png", "./1.png"])
    write_images("images/b.png", "images/1.png")
    with pytest.raises(UserError, match=r"images/1\.png is named 3 times in train\.json: keep one"):
        read_coco(tmp_path)


def test_boxes_labels_and_what_is_dropped(tmp_path: Path, write_images: Write) -> None:
    boxes: list[tuple[str | int, list[float], int]] = [
        (0, [10, 20, 30, 40.5], 0),  # whole
        ("x", [90, 70, 30, 30], 0),  # clipped at the page's edge
        (0, [5, 5, 0, 10], 0),  # no area
        (0, [200, 5, 10, 10], 0),  # outside
        (0, [0, 0, 100, 80], 1),  # crowd
        (0, [float("nan"), 0, 5, 5], 0),
    ]
    write_coco(
        tmp_path / "annotations.json",
        ["a.png", "empty.png"],
        annotations=[
            {"id": i, "image_id": 0, "category_id": category, "bbox": box, "iscrowd": crowd}
            for i, (category, box, crowd) in enumerate(boxes)
        ],
        categories=[{"id": 0, "name": "table"}, {"id": "x", "name": "figure"}],
    )
    write_images("a.png", "empty.png")
    pages = read_coco(tmp_path)
    page, empty = pages.splits["all"]
    assert page.boxes == ((10, 20, 40, 60.5), (90, 70, 100, 80))
    assert page.labels == ("table", "figure")
    assert (empty.boxes, empty.labels, empty.size) == ((), (), (100, 80))
    assert pages.dropped == {
        "crowd": 1,
        "zero area": 1,
        "outside the page": 1,
        "not finite": 1,
        "partly outside the page, clipped": 1,
    }


def test_size_comes_from_the_image_where_the_json_has_none(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "annotations.json", ["a.png"], images=[{"id": 0, "file_name": "a.png"}])
    write_images("a.png", size=(123, 77))
    assert read_coco(tmp_path).splits["all"][0].size == (123, 77)


@pytest.mark.parametrize(
    ("names", "documents"),
    [
        (["PMC1_00004", "PMC1_00005", "PMC2_00000"], ["PMC1", "PMC1", "PMC2"]),
        (["a-1", "b-22"], ["a", "b"]),
        (["a_page5", "a-Page6", "a_page_7", "b"], ["a", "a", "a", "b"]),
        (["0147_090", "0147_125", "12"], ["0147", "0147", "12"]),
        (["homepage12", "_7", "1401.0001_2"], ["homepage12", "_7", "1401.0001"]),
        (["img_001", "img_002"], ["img_001", "img_002"]),
        (["img_001"], ["img"]),
    ],
)
def test_documents(tmp_path: Path, write_images: Write, names: list[str], documents: list[str]) -> None:
    files = [f"{name}.png" for name in names]
    write_coco(tmp_path / "annotations.json", files)
    write_images(*files)
    assert [page.document for page in read_coco(tmp_path).splits["all"]] == documents


def test_a_file_for_each_document_tells_its_pages_from_those_of_the_others(
    tmp_path: Path, write_images: Write
) -> None:
    names = {kind: [f"report_{kind}_{page}.png" for page in range(3)] for kind in "abc"}
    for kind, pages in names.items():
        write_coco(tmp_path / "annotations" / f"report{kind}.json", pages)
        write_images(*(f"images/{page}" for page in pages))
    documents = [page.document for page in read_coco(tmp_path).splits["all"]]
    assert documents == [f"report_{kind}" for kind in "abc" for _ in range(3)]


def test_an_image_says_which_document_it_is_of(tmp_path: Path, write_images: Write) -> None:
    images = [
        {"id": 0, "file_name": "a_1.png", "document": "report"},
        {"id": 1, "file_name": "a_2.png", "doc_name": "report.pdf"},
        {"id": 2, "file_name": "a_3.png"},
        {"id": 3, "file_name": "b_3.png", "document": ""},
        {"id": 4, "file_name": "b_4.png", "document": 0},
        {"id": 5, "file_name": "b_5.png", "document": None, "doc_name": 7},
    ]
    write_coco(tmp_path / "annotations.json", [], images=images)
    write_images(*(str(image["file_name"]) for image in images))
    documents = [page.document for page in read_coco(tmp_path).splits["all"]]
    assert documents == ["report", "report.pdf", "a", "b", "0", "7"]


def test_missing_images_are_counted_and_the_first_named(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "train.json", ["a.png", "b.png", "c.png"])
    write_images("images/b.png")
    expected = (
        f"2 of 3 images named in {tmp_path / 'train.json'} are missing; "
        f"the first is {tmp_path / 'images' / 'a.png'}"
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        read_coco(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"annotations": [{"id": 3, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9]}]},
            "annotation 3 has category_id 1, expected one of its categories: 7",
        ),
        (
            {"annotations": [{"id": 3, "image_id": 5, "category_id": 7, "bbox": [0, 0, 9, 9]}]},
            "annotation 3 has image_id 5, which is not the id of one of its images",
        ),
        (
            {"annotations": [{"id": 3, "image_id": 0, "category_id": 7, "bbox": [0, 0, 9]}]},
            "annotation 3: expected a bbox of four numbers, [x, y, width, height]; found [0, 0, 9]",
        ),
        ({"annotations": [{"id": 3, "image_id": 0, "category_id": 7}]}, "has no 'bbox'"),
        ({"annotations": {}}, "is not COCO: expected annotations as a list of objects"),
        ({"images": [{"id": 0}]}, "is not COCO: an image, annotation or category has no 'file_name'"),
        (
            {"images": [{"id": 0, "file_name": "a.png", "width": "wide", "height": 1}]},
            "image a.png: width and height are 'wide' and 1",
        ),
        ({"images": [{"id": 0, "file_name": "a.png"}] * 2}, "1 images have the id of another"),
        ({"annotations": [1]}, "is not COCO: expected annotations as a list of objects"),
        (
            {"annotations": [{"id": 3, "image_id": 0, "category_id": 7, "bbox": [0, 0, 10**400, 9]}]},
            "annotation 3: expected a bbox of four numbers, [x, y, width, height]; found [0, 0, 1000",
        ),
        (
            {"images": [{"id": 0, "file_name": "a.png", "width": float("inf"), "height": 1}]},
            "image a.png: width and height are inf and 1",
        ),
        *(
            (
                {"annotations": [{"id": 3, "image_id": 0, "category_id": 7, "segmentation": segmentation}]},
                "annotation 3 has no 'bbox', and a segmentation that is neither polygons of [x, y, ...] "
                f"nor a run-length code: {segmentation}",
            )
            for segmentation in (
                [[1, 2, 3]],
                [[]],
                "1 2 3",
                [["a", "b"]],
                {"counts": [4]},
                {"counts": [4], "size": [0, 0]},
                {"counts": 4, "size": [8, 8]},
            )
        ),
        *(
            ({"images": [{"id": 0, "file_name": name}]}, f"names a file {name!r}, which leads out of")
            for name in ("../a.png", "b/../../a.png", "/a.png", "..", "a\0.png")
        ),
    ],
)
def test_faulty_content_is_refused_in_one_line(
    tmp_path: Path, write_images: Write, changes: dict[str, Any], message: str
) -> None:
    write_coco(tmp_path / "train.json", ["a.png"], **changes)
    write_images("a.png")
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        read_coco(tmp_path)
    assert str(tmp_path / "train.json") in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["category_id", "image_id"])
def test_the_first_faulty_annotation_is_named_whatever_the_order_of_the_lists(
    tmp_path: Path, write_images: Write, key: str
) -> None:
    good = {"image_id": 0, "category_id": 7, "bbox": [0, 0, 9, 9]}
    annotations = [{"id": i, **good, **({key: "none"} if i > 1 else {})} for i in range(4)]
    write_coco(tmp_path / "annotations.json", ["a.png"], annotations=annotations)
    content = json.loads((tmp_path / "annotations.json").read_text())
    (tmp_path / "annotations.json").write_text(json.dumps(dict(reversed(content.items()))))
    write_images("a.png")
    with pytest.raises(UserError, match=rf"annotation 2 has {key} none"):
        read_coco(tmp_path)


def test_a_box_is_that_around_the_segmentation_where_there_is_none(
    tmp_path: Path, write_images: Write
) -> None:
    runs = np.zeros((80, 100), np.uint8, order="F")
    runs[20:50, 10:40] = 1
    compressed = mask.encode(runs)
    counts = [10 * 80 + 20, *[30, 50] * 29, 30, 59 * 80 + 30]
    shapes = [
        {"segmentation": [[10, 20, 40, 20, 30, 50], [15, 25, 15, 50.0]]},
        {"segmentation": [[10, 20, 40, 50]], "bbox": None},
        {"segmentation": compressed | {"counts": compressed["counts"].decode()}},
        {"segmentation": {"counts": counts, "size": [80, 100]}},
        {"segmentation": [[0, 0, 1, 1]], "bbox": [10, 20, 30, 30]},
        {"segmentation": {"counts": "broken"}, "bbox": [10, 20, 30, 30]},
        {"segmentation": {"counts": "broken"}, "iscrowd": 1},
    ]
    annotations = [{"id": i, "image_id": 0, "category_id": 7, **shape} for i, shape in enumerate(shapes)]
    write_coco(tmp_path / "annotations.json", ["a.png"], annotations=annotations)
    write_images("a.png")
    pages = read_coco(tmp_path)
    assert pages.splits["all"][0].boxes == ((10, 20, 40, 50),) * 6
    assert pages.dropped == {"crowd": 1}
    assert pages.dropped.examples == {"crowd": ["a.png"]}


def test_a_name_may_lead_up_within_the_data_set(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "annotations.json", ["b/../a.png", "b/..c.png"])
    write_images("a.png", "b/..c.png")
    assert [page.path.name for page in read_coco(tmp_path).splits["all"]] == ["a.png", "..c.png"]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_it_does_not_matter_where_the_parts_of_a_file_end(
    tmp_path: Path, write_images: Write, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    names = ['"}],[{\\.png', "表 ü.png", "😀.png"]
    annotations = [
        {"id": i, "image_id": i, "category_id": "t", "bbox": [1.25, 2e1, 3, 4e-0 * 2], "note": {"x": [[{}]]}}
        for i in range(3)
    ]
    changes = {
        "annotations": annotations,
        "categories": [{"name": "Tabelle", "id": "t"}],
        "info": {},
        "n": 12,
    }
    write_images(*names)
    expected = None
    for indent, encoding, ascii in (
        (None, "utf-8", True),
        (2, "utf-8-sig", False),
        ("\t", "utf-16", False),
        (None, "utf-32-le", True),
    ):
        write_coco(tmp_path / "annotations.json", names, **changes)
        content = json.loads((tmp_path / "annotations.json").read_text())
        text = json.dumps(content, indent=indent, ensure_ascii=ascii)
        (tmp_path / "annotations.json").write_text(text, encoding=encoding)
        if expected is None:
            expected = read_coco(tmp_path).splits
            assert [page.path.name for page in expected["all"]] == names
            monkeypatch.setattr("tablesense.data.json_members.CHUNK", chunk)
        assert read_coco(tmp_path).splits == expected


@pytest.mark.parametrize("chunk", range(1, 12))
def test_a_number_is_read_to_its_end_wherever_a_part_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("tablesense.data.json_members.CHUNK", chunk)
    numbers = "0.12, 7, 1e-3, 2E+5, -40.25"
    (tmp_path / "a.json").write_text(f'{{"numbers": [{numbers}], "last": 0.5}}')
    found = {
        key: list(value) if key == "numbers" else value for key, value in members(tmp_path / "a.json", "")
    }
    assert found == {"numbers": [0.12, 7, 1e-3, 2e5, -40.25], "last": 0.5}


def test_a_file_is_never_in_memory_as_a_whole(tmp_path: Path, write_images: Write) -> None:
    annotations = [
        {"id": i, "image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4], "note": "x" * 20_000}
        for i in range(600)
    ]
    write_coco(tmp_path / "annotations.json", ["a.png"], annotations=annotations)
    write_images("a.png")
    size = (tmp_path / "annotations.json").stat().st_size
    tracemalloc.start()
    try:
        assert len(read_coco(tmp_path).splits["all"][0].boxes) == 600
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "is not JSON: Expecting value: line 1, character 13 of the file"),
        (
            '{"images": [\n{"id": 1, "file_name": "ü"}\n,\n{"id" 2}]}',
            "is not JSON: Expecting ':' delimiter: line 4, character 50",
        ),
        ('{"info": "' + "x" * 100, "is not JSON: Unterminated string starting at: line 1, character 10"),
        ('{"info": 1,}', 'is not JSON: expected a key in "": line 1, character 12'),
        ('{"info": [1,]}', "is not JSON: Expecting value: line 1, character 13"),
        ('{"info": [1 2]}', "is not JSON: expected ,: line 1, character 13"),
        ('{"info"= 1}', "is not JSON: expected :: line 1, character 8"),
        ('{"info": 1} {}', "is not JSON: text after the end: line 1, character 13"),
        ("", "is not JSON: expected {: line 1, character 1"),
        ('{"n": ' + "[" * 100_000, "is not JSON: nested too deep"),
        ('{"n": ' + "9" * 5000 + "}", "is not JSON: Exceeds the limit"),
        ('{"info": "\udc80"}', "is not JSON: 'utf-8' codec can't decode byte 0x80 in position 10"),
        (
            "[1, 2]",
            "is not COCO: expected an object with lists images, annotations, categories; found a list",
        ),
        (
            '{"shapes": [], "version": 1}',
            "expected images as a list of objects; its keys are shapes, version",
        ),
    ],
)
@pytest.mark.parametrize("chunk", [1 << 20, 9])
def test_what_is_not_coco_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str, chunk: int
) -> None:
    monkeypatch.setattr("tablesense.data.json_members.CHUNK", chunk)
    (tmp_path / "annotations.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        read_coco(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_fault_far_from_the_end_is_told_without_reading_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tablesense.data.json_members.CHUNK", 16)
    file = tmp_path / "annotations.json"
    file.write_text('{"images": [{"id": one}, ' + '{"id": 1}, ' * 10_000)
    read = 0

    class Counted(io.TextIOWrapper):
        def read(self, size: int | None = -1, /) -> str:
            nonlocal read
            text = super().read(size)
            read += len(text)
            return text

    def counted(path: Path, mode: str = "r", **options: Any) -> Any:
        return io.open(path, mode) if mode == "rb" else Counted(io.open(path, "rb"), **options)  # noqa: UP020

    monkeypatch.setattr(Path, "open", counted)
    with pytest.raises(UserError, match=r"Expecting value: line 1, character 20"):
        read_coco(file)
    assert 0 < read < 500


def test_a_broken_image_is_refused_when_its_size_is_needed(tmp_path: Path) -> None:
    write_coco(tmp_path / "annotations.json", [], images=[{"id": 0, "file_name": "a.png"}])
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        read_coco(tmp_path)


def test_contents_counts_by_kind(tmp_path: Path, write_images: Write) -> None:
    assert contents(tmp_path) == "nothing"
    write_images("a.png", "b.PNG", "one/c.png")
    (tmp_path / "README").touch()
    assert contents(tmp_path) == "2 .png, 1 without a suffix, 1 folder"


def test_images_are_found_in_the_first_folder_that_has_them_with_one_listing_each(
    tmp_path: Path, write_images: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images("one/a.png", "two/a.png", "two/b.png", "two/in/c.png", "one/in/d.png")
    names = ["a.png", "b.png", "in/c.png", "in/d.png", "./b.png"]
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (listed.append(str(folder)), scandir(folder))[1])
    folders = (tmp_path / "none", tmp_path / "one", tmp_path / "two")
    homes = locate_folders(names, folders, tmp_path)
    assert homes == [str(tmp_path / home) for home in ("one", "two", "two/in", "one/in", "two")]
    assert sorted({*listed}) == sorted(str(tmp_path / home) for home in ("one", "two", "one/in", "two/in"))
    assert locate_folders([*names, "a.png"], folders, tmp_path) == [*homes, homes[0]]
    with pytest.raises(
        UserError, match=r"2 of 3 images named in .* are missing; the first is .*/one/in/x\.png"
    ):
        locate_folders(["in/x.png", "a.png", "in/x.png", "y.png"], folders, tmp_path)


def test_training_is_a_split_as_train_is(tmp_path: Path, write_images: Write) -> None:
    for split in ("training", "validation"):
        write_images(f"{split}/a.png")
        content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content))
    splits = read_coco(tmp_path).splits
    assert [page.path for page in splits["train"]] == [tmp_path / "training" / "a.png"]
    assert [page.path for page in splits["val"]] == [tmp_path / "validation" / "a.png"]
