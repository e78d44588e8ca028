"""Pascal VOC: each layout that people have, which image is an XML's, splits, what is left out or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tablesense.data.page import Page
from tablesense.data.voc import looks_like_voc, read_voc
from tablesense.errors import UserError

Write = Callable[..., None]

SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"
BOX = (10.5, 20.25, 60, 70)


def table(box: tuple[object, ...] = BOX, name: str = "table", more: str = "") -> str:
    corners = "".join(
        f"<{corner}>{side}</{corner}>"
        for corner, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def write_xml(
    folder: Path, *names: str, objects: str = table(), filename: str | None = None, size: str = SIZE
) -> None:
    for name in names:
        file = folder / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        filename_ = f"{file.stem}.jpg" if filename is None else filename
        file.write_text(
            f"<?xml version='1.0'?>\n<annotation><folder/><filename>{filename_}</filename>"
            f"<path>/home/someone/{filename_}</path>{size}{objects}</annotation>\n"
        )


def stems(folder: Path) -> dict[str, list[str]]:
    return {split: [page.path.stem for page in table] for split, table in read_voc(folder).splits.items()}


# -- layouts ---------------------------------------------------------------------------------------


def pubtables(folder: Path, write_images: Write) -> None:
    write_xml(folder, "train/PMC1_3", "train/PMC1_4", "train/PMC2_1", "val/PMC3_1", "test/PMC4_1")
    write_images(*(f"images/PMC{page}.jpg" for page in ("1_3", "1_4", "2_1", "3_1", "4_1")))


def test_pubtables_as_downloaded(tmp_path: Path, write_images: Write) -> None:
    pubtables(tmp_path, write_images)
    write_xml(tmp_path, "train/PMC2_1", objects="")
    pages = read_voc(tmp_path)
    images, size, box = tmp_path / "images", (100, 80), ((BOX,), ("table",))
    assert pages.splits == {
        "test": [Page(images / "PMC4_1.jpg", "PMC4", size, *box)],
        "train": [
            Page(images / "PMC1_3.jpg", "PMC1", size, *box),
            Page(images / "PMC1_4.jpg", "PMC1", size, *box),
            Page(images / "PMC2_1.jpg", "PMC2", size),
        ],
        "val": [Page(images / "PMC3_1.jpg", "PMC3", size, *box)],
    }
    assert not pages.dropped
    assert looks_like_voc(tmp_path)


def test_pubtables_with_its_file_lists(tmp_path: Path, write_images: Write) -> None:
    pubtables(tmp_path, write_images)
    (tmp_path / "train_filelist.txt").write_text("train/PMC1_3.xml\ntrain/PMC2_1.xml\ntrain/PMC9_9.xml\n\n")
    (tmp_path / "val_filelist.txt").write_text("\ufeffval/PMC3_1.xml\r\n", encoding="utf-8")
    (tmp_path / "images_filelist.txt").write_text("images/PMC1_3.jpg\n")
    assert stems(tmp_path) == {"test": ["PMC4_1"], "train": ["PMC1_3", "PMC2_1"], "val": ["PMC3_1"]}
    dropped = read_voc(tmp_path).dropped
    assert dropped == {"annotation in no file list": 1, "in a file list, without annotation": 1}
    assert dropped.examples == {
        "annotation in no file list": [str(tmp_path / "train" / "PMC1_4.xml")],
        "in a file list, without annotation": ["train/PMC9_9"],
    }


def test_pubtables_as_its_archives_unpack(tmp_path: Path, write_images: Write) -> None:
    name = "PubTables-1M-Detection"
    for split in ("Train", "Val", "Test"):
        write_xml(tmp_path, f"{name}_Annotations_{split}/{split}_1", f"{name}_Annotations_{split}/{split}_2")
    write_images(
        f"{name}_Images_Train_Part1/Train_1.jpg",
        f"{name}_Images_Train_Part2/Train_2.jpg",
        *(f"{name}_Images_{split}/{split}_{i}.jpg" for split in ("Val", "Test") for i in (1, 2)),
    )
    (tmp_path / f"{name}_Filelists").mkdir()
    (tmp_path / f"{name}_Filelists" / "val_filelist.txt").write_text("val/Val_2.xml\n")
    found = {split: [page.path.name for page in pages] for split, pages in read_voc(tmp_path).splits.items()}
    assert found == {
        "test": ["Test_1.jpg", "Test_2.jpg"],
        "train": ["Train_1.jpg", "Train_2.jpg"],
        "val": ["Val_2.jpg"],
    }


@pytest.mark.parametrize("lists", ["ImageSets/Main", "ImageSets"])
@pytest.mark.parametrize("root", ["", "VOCdevkit/VOC2007/"])
def test_the_devkit(tmp_path: Path, write_images: Write, lists: str, root: str) -> None:
    write_xml(tmp_path / root / "Annotations", "000001", "000002", "000003", "000004", "000005")
    write_images(*(f"{root}JPEGImages/00000{i}.jpg" for i in range(1, 6)))
    write_images(*(f"{root}SegmentationClass/00000{i}.png" for i in range(1, 6)))
    folder = tmp_path / root / lists
    folder.mkdir(parents=True)
    for split, ids in {"train": "12", "val": "3", "trainval": "123", "test": "34"}.items():
        (folder / f"{split}.txt").write_text("".join(f"00000{i}\n" for i in ids))
    (folder / "table_train.txt").write_text("000001  1\n000002 -1\n")
    assert stems(tmp_path) == {
        "train": ["000001", "000002"],
        "val": ["000003"],
        "test": ["000003", "000004"],  # as listed, for `val` as well
    }
    pages = read_voc(tmp_path)
    assert pages.dropped == {"annotation in no file list": 1}
    assert {page.path.parent.name for page in pages.splits["train"]} == {"JPEGImages"}
    assert [page.document for page in pages.splits["train"]] == ["000001", "000002"]
    assert looks_like_voc(tmp_path)


def test_a_list_of_train_and_val_together_is_for_training(tmp_path: Path, write_images: Write) -> None:
    write_xml(tmp_path / "Annotations", "1", "2")
    write_images("JPEGImages/1.jpg", "JPEGImages/2.jpg")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("1\nJPEGImages/2.jpg\n")
    assert stems(tmp_path) == {"train": ["1", "2"]}


@pytest.mark.parametrize(
    ("annotations", "images"),
    [("", ""), ("annotations/", "images/"), ("xmls/", ""), ("", "Images/"), ("annotations/a/", "images/a/")],
)
def test_without_splits(tmp_path: Path, write_images: Write, annotations: str, images: str) -> None:
    write_xml(tmp_path, f"{annotations}1", f"{annotations}2")
    write_images(f"{images}1.jpg", f"{images}2.PNG")
    pages = read_voc(tmp_path)
    assert [page.path for page in pages.splits["all"]] == [
        tmp_path / f"{images}1.jpg",
        tmp_path / f"{images}2.PNG",
    ]
    assert not pages.dropped
    assert looks_like_voc(tmp_path)


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("{}/", "{}/"),  # Roboflow
        ("{}/annotations/", "{}/images/"),
        ("annotations/{}/", "images/{}/"),
        ("{}_annotations/", "{}_images/"),
        ("{}ing/", "{}ing/scans/"),
    ],
)
def test_folders_of_splits_keep_equal_names_apart(
    tmp_path: Path, write_images: Write, annotations: str, images: str
) -> None:
    for split in ("train", "test"):
        write_xml(tmp_path / annotations.format(split), "1")
        write_images(f"{images.format(split)}1.jpg")
    found = read_voc(tmp_path).splits
    for split in ("train", "test"):
        assert [page.path for page in found[split]] == [tmp_path / images.format(split) / "1.jpg"]


def test_a_folder_is_a_document_where_names_repeat(tmp_path: Path, write_images: Write) -> None:
    for folder in "ab":
        write_xml(tmp_path / folder, "page_1", "page_2")
        write_images(f"{folder}/page_1.jpg", f"{folder}/page_2.jpg")
    documents = [page.document for page in read_voc(tmp_path).splits["all"]]
    assert documents == ["a/page", "a/page", "b/page", "b/page"]


def test_annotations_outside_the_folders_of_splits_are_counted(tmp_path: Path, write_images: Write) -> None:
    pubtables(tmp_path, write_images)
    write_xml(tmp_path, "stray")
    write_images("stray.jpg")
    pages = read_voc(tmp_path)
    assert sorted(pages.splits) == ["test", "train", "val"]
    assert pages.dropped == {"annotation outside the folders of train, val and test": 1}


# -- one annotation --------------------------------------------------------------------------------


def test_the_image_has_the_stem_of_the_xml_else_the_written_name(tmp_path: Path, write_images: Write) -> None:
    write_xml(tmp_path, "a", filename="b.jpg")  # before a renaming
    write_xml(tmp_path, "b", filename="b.jpg")
    write_xml(tmp_path, "ann_1", filename="page 1.jpg")
    write_xml(tmp_path, "ann_2", filename="page.2")  # without its suffix
    write_xml(tmp_path, "ann_3", filename=r"more\c.jpg")
    write_xml(tmp_path, "ann_4", filename="../" + tmp_path.name + "/d.jpg")
    write_xml(tmp_path, "e.jpg", filename="")
    write_images("a.jpg", "b.jpg", "b.bmp", "page 1.jpg", "page.2.tiff", "more/c.jpg", "e.jpg")
    with pytest.raises(UserError, match=r"ann_4\.xml names a file .*leads out of the data set"):
        read_voc(tmp_path)
    (tmp_path / "ann_4.xml").unlink()
    pages = read_voc(tmp_path)
    names = [page.path.relative_to(tmp_path).as_posix() for page in pages.splits["all"]]
    assert names == ["a.jpg", "page 1.jpg", "page.2.tiff", "more/c.jpg", "b.jpg", "e.jpg"]
    assert pages.dropped.examples == {"image without annotation": [str(tmp_path / "b.bmp")]}


def test_the_size_is_the_image_s_own_where_it_is_not_written(tmp_path: Path, write_images: Write) -> None:
    zero = "<size><width>0</width><height>0</height></size>"
    for i, size in enumerate(("", "<size/>", zero, "<size><width>70.0</width><height> 90 </height></size>")):
        write_xml(tmp_path, f"{i}", size=size)
    write_images(*(f"{i}.jpg" for i in range(4)), size=(50, 40))
    sizes = [page.size for page in read_voc(tmp_path).splits["all"]]
    assert sizes == [(50, 40), (50, 40), (50, 40), (70, 90)]


def test_objects_are_kept_as_written_whatever_their_flags(tmp_path: Path, write_images: Write) -> None:
    objects = (
        table((1, 1, 100, 80), " Table rotated ", "<difficult>1</difficult><truncated>1</truncated>")
        + table((0.5, 0, 99.75, 80), "table", "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>")
        + table(("nan", 0, 9, 9))
        + table((60, 70, 10, 20))
        + table((300, 300, 400, 400))
        + table((-9, 0, 50, 50))
    )
    write_xml(tmp_path, "a", objects=objects)
    write_images("a.jpg")
    pages = read_voc(tmp_path)
    (page,) = pages.splits["all"]
    assert page.boxes == ((1, 1, 100, 80), (0.5, 0, 99.75, 80), (0, 0, 50, 50))
    assert page.labels == ("Table rotated", "table", "table")
    assert pages.dropped == {
        "not finite": 1,
        "zero area": 1,
        "outside the page": 1,
        "partly outside the page, clipped": 1,
    }
    assert pages.dropped.examples["zero area"] == [str(tmp_path / "a.xml")]


# -- what is left out or refused -------------------------------------------------------------------


def test_images_and_annotations_that_lack_the_other_are_counted(tmp_path: Path, write_images: Write) -> None:
    write_xml(tmp_path / "annotations", "1", "2", "3")
    write_images("images/1.jpg", "images/3.jpg", "images/4.jpg", "images/5.jpg")
    pages = read_voc(tmp_path)
    assert stems(tmp_path) == {"all": ["1", "3"]}
    assert pages.dropped == {"annotation without image": 1, "image without annotation": 2}
    assert pages.dropped.examples == {
        "annotation without image": [str(tmp_path / "annotations" / "2.xml")],
        "image without annotation": [str(tmp_path / "images" / f"{i}.jpg") for i in (4, 5)],
    }


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><object>", " is not XML: "),
        ("<!DOCTYPE x [<!ENTITY lol 'lol'>]><annotation>&lol;</annotation>", " has the entity 'lol'"),
        (
            "<!DOCTYPE x [<!ENTITY f SYSTEM '/etc/passwd'>]><annotation>&f;</annotation>",
            " has the entity 'f'",
        ),
        ("<document/>", " is not Pascal VOC: expected <annotation>, found <document>"),
        (
            f"<annotation>{SIZE}<object><bndbox/></object></annotation>",
            ": object 1 has no name: expected one such as table",
        ),
        (
            f"<annotation>{SIZE}{table()}<object><name>table</name></object></annotation>",
            ": object 2: expected a bndbox of numbers xmin, ymin, xmax, ymax; found no bndbox",
        ),
        (
            f"<annotation>{SIZE}{table((1, 2, 'wide', 4))}</annotation>",
            ": object 1: expected a bndbox of numbers xmin, ymin, xmax, ymax; found {'xmax': 'wide', ",
        ),
        (
            f"<annotation>{SIZE}<object><name>table</name><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            ": object 1: expected a bndbox of numbers xmin, ymin, xmax, ymax; found {'xmin': '1'}",
        ),
        (
            "<annotation><size><width>-1</width><height>5</height></size></annotation>",
            ": expected a size of width and height in pixels, found ['-1', '5']",
        ),
        (
            "<annotation><size><width>5</width><height>a5</height></size></annotation>",
            ": expected a size of width and height in pixels, found ['5', 'a5']",
        ),
        (
            "<annotation><filename>../a.jpg</filename></annotation>",
            " names a file '../a.jpg', which leads out",
        ),
        (
            "<annotation><filename>/tmp/a.jpg</filename></annotation>",
            " names a file '/tmp/a.jpg', which leads out",
        ),
    ],
)
def test_a_faulty_annotation_is_refused_in_one_line(
    tmp_path: Path, write_images: Write, xml: str, message: str
) -> None:
    (tmp_path / "a.xml").write_text(xml)
    write_images("a.jpg")
    with pytest.raises(UserError, match=f"^{re.escape(f'{tmp_path}/a.xml{message}')}") as raised:
        read_voc(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_bare_name_in_a_list_is_not_that_of_another_split(tmp_path: Path, write_images: Write) -> None:
    write_xml(tmp_path, "train/1", "train/2", "test/1")
    write_images("train/1.jpg", "train/2.jpg", "test/1.jpg")
    (tmp_path / "train_filelist.txt").write_text("1.xml\n")
    pages = read_voc(tmp_path)
    found = {split: [page.path for page in table] for split, table in pages.splits.items()}
    assert found == {"test": [tmp_path / "test" / "1.jpg"], "train": [tmp_path / "train" / "1.jpg"]}
    assert pages.dropped == {"annotation in no file list": 1}


def test_faulty_lists_are_refused_in_one_line(tmp_path: Path, write_images: Write) -> None:
    pubtables(tmp_path, write_images)
    file = tmp_path / "train_filelist.txt"
    file.write_text("train/PMC9_9.xml\ntrain/PMC8_8.xml\n")
    message = f"none of the 2 names in the file lists of {tmp_path} is an annotation there, "
    message += "the first is 'train/PMC8_8'"
    with pytest.raises(UserError, match=f"^{re.escape(message)}: put the lists right or move them away$"):
        read_voc(tmp_path)
    for name in ("../elsewhere/PMC1_3.xml", "/data/train/PMC1_3.xml"):
        file.write_text(f"train/PMC1_4.xml\n{name}\n")
        with pytest.raises(
            UserError, match=f"^{re.escape(f'{file} names a file {name!r}, which leads out')}"
        ):
            read_voc(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=rf"^{file} cannot be read as a list of files: "):
        read_voc(tmp_path)


def test_faulty_folders_are_refused_in_one_line(tmp_path: Path, write_images: Write) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder: expected one with Pascal VOC \.xml"):
        read_voc(tmp_path / "nowhere")
    write_images("1.jpg")
    with pytest.raises(UserError, match=r"^no annotations in .*: expected Pascal VOC .*; found 1 \.jpg$"):
        read_voc(tmp_path)
    write_xml(tmp_path, "2", "3")
    message = (
        rf"^no image to any of the 2 annotations in {tmp_path}, the first of them {tmp_path}/2\.xml: give "
    )
    with pytest.raises(UserError, match=message):
        read_voc(tmp_path)
    write_xml(tmp_path, "annotations/1", "backup/1", filename="")
    with pytest.raises(UserError, match=r"1\.jpg is the image of .*backup/1\.xml and of another annotation"):
        read_voc(tmp_path)


def test_recognition_looks_at_the_root_and_never_raises(tmp_path: Path) -> None:
    assert not looks_like_voc(tmp_path)
    assert not looks_like_voc(tmp_path / "nowhere")
    (tmp_path / "a.xml").write_text("<annotation")
    (tmp_path / "b.xml").write_text("<document/>")
    (tmp_path / "c.xml").write_bytes(b"\xff")
    assert not looks_like_voc(tmp_path)
    assert not looks_like_voc(tmp_path / "a.xml")
    (tmp_path / "d.xml").write_text("<!DOCTYPE annotation [<!ENTITY lol 'lol'>]><annotation/>")
    assert looks_like_voc(tmp_path)  # so that the reader says what is wrong with it
