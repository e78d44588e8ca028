"""YOLO: every way to say where images and labels lie, rows of boxes and polygons, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tablesense.data.page import Page
from tablesense.data.yolo import looks_like_yolo, read_yolo
from tablesense.errors import UserError

Write = Callable[..., None]

ROW = "0 0.5 0.5 0.2 0.5"
BOX = (40.0, 20.0, 60.0, 60.0)  # of ROW, in an image of 100 by 80


def write(folder: Path, **files: str) -> None:
    """Write text files; "__" in a name stands for "/" and the suffix is .txt, but for data.yaml's."""
    for name, text in files.items():
        suffix = ".yaml" if name == "data" else ".txt"
        file = folder / f"{name.replace('__', '/')}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def paths(root: Path, table: object) -> list[str]:
    assert isinstance(table, list) or hasattr(table, "__iter__")
    return [str(page.path.relative_to(root)) for page in table]


def test_splits_names_and_boxes_of_a_data_yaml(tmp_path: Path, write_images: Write) -> None:
    write_images("images/train/a.png", "images/train/deep/b.jpg", "images/val/c.png")
    write(
        tmp_path,
        data="path: .\ntrain: images/train\nval: images/val\nnames:\n  0: table\n  1: figure\n",
        labels__train__a=f"\ufeff{ROW}\n\n1 0.25 0.25 0.5 0.5\n",
        labels__train__deep__b="",
        labels__val__c="1.0 0.5 0.5 1 1",
    )
    size = (100, 80)
    for path in (tmp_path, tmp_path / "data.yaml"):
        pages = read_yolo(path)
        assert pages.splits == {
            "train": [
                Page(tmp_path / "images/train/a.png", "a", size, (BOX, (0, 0, 50, 40)), ("table", "figure")),
                Page(tmp_path / "images/train/deep/b.jpg", "b", size),
            ],
            "val": [Page(tmp_path / "images/val/c.png", "c", size, ((0, 0, 100, 80),), ("figure",))],
        }
        assert not pages.dropped


@pytest.mark.parametrize("place", ["../train/images", "train/images", "./train/images/", "ROOT/train/images"])
def test_a_place_that_leads_nowhere_is_looked_for_beside_the_data_yaml(
    tmp_path: Path, write_images: Write, place: str
) -> None:
    """As Roboflow writes it and Ultralytics reads it."""
    write_images("set/train/images/a.png")
    write(tmp_path / "set", data=f"train: {place.replace('ROOT', str(tmp_path / 'set'))}\nnames: [table]\n")
    write(tmp_path / "set", train__labels__a=ROW)
    page = read_yolo(tmp_path / "set").splits["train"][0]
    assert (page.path, page.boxes) == (tmp_path / "set/train/images/a.png", (BOX,))


def test_the_path_of_another_machine_stands_for_the_folder(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png", "images/b.png")
    write(
        tmp_path,
        data="path: /home/ada/set\ntrain: /home/ada/set/images\nval: val.txt\nnames: [table]",
        val="/home/ada/set/images/a.png\n",
        labels__a=ROW,
    )
    splits = read_yolo(tmp_path).splits
    assert paths(tmp_path, splits["train"]) == ["images/a.png", "images/b.png"]
    assert paths(tmp_path, splits["val"]) == ["images/a.png"]


def test_a_relative_path_may_lead_to_a_folder_within(tmp_path: Path, write_images: Write) -> None:
    write_images("set/images/a.png")
    write(tmp_path, data="path: set\ntrain: images\nnames: [table]", set__labels__a=ROW)
    assert read_yolo(tmp_path).splits["train"][0].boxes == (BOX,)


def test_lists_of_images_and_several_places(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png", "images/b.png", "images/c.png", "more/d.png", "lists/near/e.png")
    write(
        tmp_path,
        data="train: [lists/train.txt, more]\nval: val.txt\nnames: [table]",
        lists__train="images/b.png\n./near/e.png\n\nimages/a.png\nimages/b.png\n",
        val="images/c.png",
        labels__a=ROW,
        labels__c="",
        labels__unused="",
        more__d=ROW,
    )
    pages = read_yolo(tmp_path)
    train = pages.splits["train"]
    assert paths(tmp_path, train) == ["images/b.png", "lists/near/e.png", "images/a.png", "more/d.png"]
    assert [len(page.boxes) for page in train] == [0, 0, 1, 1]
    assert paths(tmp_path, pages.splits["val"]) == ["images/c.png"]
    assert pages.dropped == {"image that a list names again": 1}


def test_the_last_images_in_a_path_becomes_labels(tmp_path: Path, write_images: Write) -> None:
    """And only within the data set's folder."""
    write_images("images/set/images/x/images/a.png")
    root = tmp_path / "images" / "set"
    write(root, data="train: images\nnames: [table]", images__x__labels__a=ROW, labels__x__images__a="")
    assert read_yolo(root).splits["train"][0].boxes == (BOX,)
    write_images("images/plain/a.png")
    root = tmp_path / "images" / "plain"
    write(root, data="train: .\nnames: [table]", a=ROW)
    write(tmp_path, labels__plain__a="")
    assert read_yolo(root).splits["train"][0].boxes == (BOX,)


def test_folders_without_a_description(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png", "images/b.png")
    write(tmp_path, labels__a=f"{ROW}\n1 0.5 0.5 0.5 0.5", labels__b="", classes="table\nfigure\n")
    assert [page.labels for page in read_yolo(tmp_path).splits["all"]] == [("table", "figure"), ()]
    (tmp_path / "classes.txt").rename(tmp_path / "labels" / "classes.txt")
    pages = read_yolo(tmp_path)
    assert pages.splits["all"][0].labels == ("table", "figure")
    assert not pages.dropped
    (tmp_path / "labels" / "classes.txt").unlink()
    assert read_yolo(tmp_path).splits["all"][0].labels == ("class_0", "class_1")


def test_an_empty_line_among_the_classes_shifts_none(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png")
    write(tmp_path, labels__a=ROW.replace("0", "2", 1), classes="table\n\nfigure\n\n")
    assert read_yolo(tmp_path).splits["all"][0].labels == ("figure",)


def test_a_folder_is_a_document_where_names_repeat(tmp_path: Path, write_images: Write) -> None:
    write_images(*(f"images/{folder}/page_{page}.png" for folder in "ab" for page in (1, 2)))
    write(tmp_path, labels__a__page_1=ROW)
    documents = [page.document for page in read_yolo(tmp_path).splits["all"]]
    assert documents == ["images/a/page"] * 2 + ["images/b/page"] * 2


def test_folders_of_splits_without_a_description(tmp_path: Path, write_images: Write) -> None:
    write_images("one/images/train/a.png", "one/images/val2017/b.png", "one/images/c.png")
    write(tmp_path, one__labels__train__a=ROW, one__labels__val2017__b=ROW)
    pages = read_yolo(tmp_path / "one")
    assert {split: paths(tmp_path / "one", table) for split, table in pages.splits.items()} == {
        "train": ["images/train/a.png"],
        "val": ["images/val2017/b.png"],
    }
    assert pages.dropped == {"image outside the folders of train, val and test": 1}
    write_images("two/train/images/a.png", "two/valid/images/b.png")
    write(tmp_path, two__train__labels__a=ROW, two__valid__labels__b=ROW)
    assert list(read_yolo(tmp_path / "two").splits) == ["train", "val"]


def test_a_polygon_becomes_the_box_around_it_row_by_row(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png")
    write(tmp_path, labels__a=f"0 0.5 0.25 0.1 0.75 0.9 0.5\n{ROW}\n0 0 0 1 0 1 1 0 1\n")
    assert read_yolo(tmp_path).splits["all"][0].boxes == ((10, 20, 90, 60), BOX, (0, 0, 100, 80))


def test_boxes_that_cannot_be_trained_on_are_counted_with_their_line(
    tmp_path: Path, write_images: Write
) -> None:
    write_images("images/a.png")
    rows = [ROW, "0 0.9 0.5 0.4 0.5", "0 1.5 0.5 0.2 0.2", "0 0.5 0.5 0 0.1", "0 nan 0.5 0.1 0.1"]
    rows += ["0 0.5 0.5 -0.2 0.5", "0 0.1 0.1 0.2 nan 0.3 0.3"]
    write(tmp_path, labels__a="\n".join(rows))
    pages = read_yolo(tmp_path)
    assert pages.splits["all"][0].boxes == (BOX, (70, 20, 100, 60))
    assert pages.dropped == {
        "partly outside the page, clipped": 1,
        "outside the page": 1,
        "zero area": 2,
        "not finite": 2,
    }
    assert pages.dropped.examples["outside the page"] == [f"{tmp_path}/labels/a.txt, line 3"]


def test_what_has_no_counterpart_is_counted(tmp_path: Path, write_images: Write) -> None:
    write_images("images/train/a.png", "images/test/b.png")
    write(
        tmp_path,
        data="train: images/train\nval: images/train\ntest: images/test\nnames: [table]",
        labels__train__a=ROW,
        labels__train__gone=ROW,
    )
    pages = read_yolo(tmp_path)
    assert set(pages.splits) == {"train", "val"}
    assert pages.dropped == {"image of a split without label files": 1, "label file without image": 1}
    assert pages.dropped.examples["label file without image"] == [f"{tmp_path}/labels/train/gone.txt"]


def test_a_test_split_that_was_not_exported_is_counted(tmp_path: Path, write_images: Write) -> None:
    write_images("train/images/a.png")
    write(tmp_path, data="train: ../train/images\ntest: ../test/images\nnames: [table]", train__labels__a=ROW)
    assert read_yolo(tmp_path).dropped == {"test split that is not there": 1}


def test_copies_that_roboflow_makes_are_of_one_document(tmp_path: Path, write_images: Write) -> None:
    names = ["a_1_png.rf.0f3c.jpg", "a_1_png.rf.Zx9.jpg", "a_2_png.rf.77.jpg", "b_1_jpg.rf.1a.jpg"]
    write_images(*(f"images/{name}" for name in names))
    write(tmp_path, labels__classes="table", **{f"labels__{names[0][:-4]}": ROW})
    assert [page.document for page in read_yolo(tmp_path).splits["all"]] == ["a", "a", "a", "b"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 0.5 half 0.2 0.5", "line 2: expected numbers, class x y w h; found '0 0.5 half 0.2 0.5'"),
        ("0 0.5 0.5 0.2", "line 2: expected class x y w h, or class x1 y1 x2 y2 x3 y3 ...; found 4 numbers"),
        ("0 0.5 0.5 0.2 0.5 0.1 0.1 0.3", "found 8 numbers"),
        ("0 0.5 0.5 0.2 0.5 0.97", "line 2 has a sixth number, a confidence, so it is a prediction"),
        ("2 0.5 0.5 0.2 0.5", "line 2: class is 2: expected one of 0 (table), 1 (figure)"),
        ("-1 0.5 0.5 0.2 0.5", "line 2: class is -1: expected one of 0 (table)"),
        ("0.5 0.5 0.5 0.2 0.5", "line 2: class is 0.5: expected one of 0 (table)"),
        ("nan 0.5 0.5 0.2 0.5", "line 2: class is nan: expected one of 0 (table)"),
        ("0 50 40 20 40", "line 2 has 50: expected fractions of the image's width and height, from 0 to 1"),
        ("0 0.5 -7 0.2 0.5", "line 2 has -7: expected fractions"),
    ],
)
def test_faulty_rows_are_refused_with_file_and_line(
    tmp_path: Path, write_images: Write, row: str, message: str
) -> None:
    write_images("images/a.png")
    write(tmp_path, labels__a=f"{ROW}\n{row}\n", classes="table\nfigure")
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        read_yolo(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}/labels/a.txt, line 2")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: ../../secret\nnames: [table]", "names a file '../secret', which leads out of the data set"),
        ("train: ../beside\nnames: [table]", "names a file '../beside', which leads out of the data set"),
        ("train: /etc\nnames: [table]", "names a file '/etc', which leads out of the data set"),
        ("train: list.txt\nnames: [table]", "list.txt names a file '../beside/b.png', which leads out"),
        ("path: ../beside\ntrain: .\nnames: [table]", "path '../beside' leads out of the folder"),
        ("path: /\ntrain: .\nnames: [table]", "path '/' leads out of the folder"),
        ("train: nowhere\nnames: [table]", "names 'nowhere' for train, which is not there: looked for ROOT/"),
        (
            "train: gone.txt\nnames: [table]",
            "images named in ROOT/gone.txt are missing; the first is ROOT/im",
        ),
        ("train: 7\nnames: [table]", "train is 7: expected a folder or a .txt of images"),
        ("train: [{a: b}]\nnames: [table]", "train is {'a': 'b'}: expected a folder"),
        ("train: images", "names is None: expected a list of class names"),
        ("train: images\nnames: table", "names is 'table': expected a list of class names"),
        ("train: images\nnames: [[table]]", "names has 0: ['table']: expected a number and its name"),
        ("train: images\nnames: {zero: table}", "names has 'zero': 'table': expected a number and its name"),
        ("train: images\nnames: [table]\nnc: 2", "nc is 2, but names has 1 classes"),
        ("train: images\nnames: [table]\nkpt_shape: [4, 2]", "has kpt_shape, so its labels are poses"),
        ("path: [a]\ntrain: images\nnames: [table]", "path is ['a']: expected a folder"),
        ("model: detr", "expected train, val and names; its keys are model"),
        ("- train", "expected train, val and names; found ['train']"),
        ("train: [", "cannot be read as YAML: while parsing"),
        ("train: 2024-13-45", "cannot be read as YAML: month must be in 1..12"),
        ("[" * 1200, "cannot be read as YAML"),
    ],
)
def test_faulty_descriptions_are_refused_in_one_line(
    tmp_path: Path, write_images: Write, text: str, message: str
) -> None:
    write_images("set/images/a.png", "beside/b.png")
    root = tmp_path / "set"
    write(root, data=text, list="../beside/b.png", gone="images/z.png", labels__a=ROW)
    with pytest.raises(UserError, match=re.escape(message.replace("ROOT", str(root)))) as raised:
        read_yolo(root / "data.yaml")
    assert "\n" not in str(raised.value)


def test_faulty_folders_are_refused_in_one_line(tmp_path: Path, write_images: Write) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected a folder with YOLO data\.yaml"):
        read_yolo(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no annotations in .*: expected YOLO data\.yaml.*; found nothing"):
        read_yolo(tmp_path)
    write(tmp_path, labels__a=ROW)
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"no images in .*: expected YOLO data\.yaml"):
        read_yolo(tmp_path)
    write_images("images/b.png")
    with pytest.raises(UserError, match=r"no label file for any image of .* is .*/labels/b\.txt"):
        read_yolo(tmp_path)
    (tmp_path / "images" / "a.png").write_text("no image")
    with pytest.raises(UserError, match=r"images/a\.png cannot be read as an image"):
        read_yolo(tmp_path)
    for name in ("one.yaml", "two.yml"):
        (tmp_path / name).write_text("train: images\nnames: [table]\n")
    with pytest.raises(UserError, match=r"2 descriptions of a data set in .* \(one\.yaml, two\.yml\)"):
        read_yolo(tmp_path)


def test_a_label_file_that_is_no_text_is_refused(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png")
    write(tmp_path, labels__a="")
    (tmp_path / "labels" / "a.txt").write_bytes(b"\xff\xfe0\x00")
    with pytest.raises(UserError, match=r"labels/a\.txt cannot be read as YOLO labels"):
        read_yolo(tmp_path)


def test_yolo_is_recognised_by_its_description_or_its_rows(tmp_path: Path, write_images: Write) -> None:
    assert not looks_like_yolo(tmp_path)
    assert not looks_like_yolo(tmp_path / "nowhere")
    write_images("images/a.png")
    write(tmp_path, labels__notes="a word or two about it")
    assert not looks_like_yolo(tmp_path)
    write(tmp_path, labels__notes=ROW)
    assert looks_like_yolo(tmp_path)
    (tmp_path / "labels" / "notes.txt").rename(tmp_path / "labels" / "a.xml")
    assert not looks_like_yolo(tmp_path)
    write(tmp_path, labels__train__a="")
    assert looks_like_yolo(tmp_path)
    config = tmp_path / "deep" / "config.yaml"
    config.parent.mkdir()
    config.write_text("data:\n  train: x\nnames: [table]\n")
    assert not looks_like_yolo(config.parent)
    config.write_text("nc: 1\nval: ../valid/images\n")
    assert looks_like_yolo(config.parent)
    assert looks_like_yolo(config)
    write_images("split/train/images/a.png")
    write(tmp_path, split__train__labels__a=ROW)
    assert looks_like_yolo(tmp_path / "split")
