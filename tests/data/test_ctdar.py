"""ICDAR 2019 cTDaR: the repository's layout, flat folders, polygons, tracks, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tablesense.data.ctdar import looks_like_ctdar, read_ctdar
from tablesense.data.icdar2013 import looks_like_icdar2013
from tablesense.data.page import Page
from tablesense.data.voc import looks_like_voc
from tablesense.errors import UserError

Write = Callable[..., None]

POINTS = "10,20 60,20 60,70 10,70"
CELL = "<cell start-row='0' end-row='0' start-col='0' end-col='0'><Coords points='1,2 3,4 5,6 7,8'/></cell>"


def write_truth(folder: Path, *names: str, points: tuple[str, ...] = (POINTS,), filename: str = "") -> None:
    for name in names:
        file = folder / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        cells = CELL if "TRACKB" in name else ""
        tables = "".join(f'<table id="t"><Coords points="{each}"/>{cells}</table>' for each in points)
        file.write_text(
            f"<?xml version='1.0' encoding='UTF-8'?>\n"
            f'<document filename="{filename or f"{file.stem}.jpg"}">{tables}</document>'
        )


def test_the_repository(tmp_path: Path, write_images: Write) -> None:
    training, truth = "training/TRACKA/ground_truth", "test_ground_truth/TRACKA"
    write_truth(tmp_path, f"{training}/cTDaR_t00001", f"{training}/cTDaR_t10002", f"{truth}/cTDaR_t10003")
    write_truth(tmp_path, f"{truth}/cTDaR_t00817", points=())
    write_images(
        f"{training}/cTDaR_t00001.JPG",
        f"{training}/cTDaR_t10002.jpg",
        "test/TRACKA/cTDaR_t10003.png",
        "test/TRACKA/cTDaR_t00817.TIFF",
    )
    pages = read_ctdar(tmp_path)
    size, box = (100, 80), (((10, 20, 60, 70),), ("table",))
    train, test = tmp_path / training, tmp_path / "test" / "TRACKA"
    assert pages.splits == {
        "test": [
            Page(test / "cTDaR_t00817.TIFF", "cTDaR_t00817", size),
            Page(test / "cTDaR_t10003.png", "cTDaR_t10003", size, *box),
        ],
        "train": [
            Page(train / "cTDaR_t00001.JPG", "cTDaR_t00001", size, *box),
            Page(train / "cTDaR_t10002.jpg", "cTDaR_t10002", size, *box),
        ],
    }
    assert not pages.dropped
    assert looks_like_ctdar(tmp_path)


def test_a_page_of_several_tracks_is_read_once_from_track_a(tmp_path: Path, write_images: Write) -> None:
    for track, points in (("TRACKB2", "0,0 9,9"), ("TRACKA", POINTS), ("TRACKB1", "0,0 5,5")):
        write_truth(tmp_path, f"test_ground_truth/{track}/cTDaR_t10000", points=(points,))
        write_images(f"test/{track}/cTDaR_t10000.jpg")
    write_truth(tmp_path, "test_ground_truth/TRACKB1/cTDaR_t00015")
    write_images("test/TRACKB1/cTDaR_t00015.jpg")
    pages = read_ctdar(tmp_path)
    first, second = pages.splits["test"]
    assert (first.path, first.boxes) == (tmp_path / "test/TRACKA/cTDaR_t10000.jpg", ((10, 20, 60, 70),))
    assert (second.path, second.boxes) == (tmp_path / "test/TRACKB1/cTDaR_t00015.jpg", ((10, 20, 60, 70),))
    assert pages.dropped == {"page of another track as well": 2}


def test_the_same_name_in_two_folders_of_a_track_is_two_pages(tmp_path: Path, write_images: Write) -> None:
    write_truth(tmp_path, "one/p1", "two/p1")
    write_images("one/p1.jpg", "two/p1.jpg")
    pages = read_ctdar(tmp_path)
    assert [page.path for page in pages.splits["all"]] == [tmp_path / "one/p1.jpg", tmp_path / "two/p1.jpg"]
    assert not pages.dropped
    (tmp_path / "two/p1.jpg").unlink()
    pages = read_ctdar(tmp_path)
    assert [page.path for page in pages.splits["all"]] == [tmp_path / "one/p1.jpg"]
    assert pages.dropped == {"second truth of an image": 1}


def test_the_same_name_in_training_and_test_is_two_pages(tmp_path: Path, write_images: Write) -> None:
    write_truth(
        tmp_path, "training/TRACKB1/ground_truth/cTDaR_t00827", "test_ground_truth/TRACKA/cTDaR_t00827"
    )
    write_images("training/TRACKB1/ground_truth/cTDaR_t00827.jpg", "test/TRACKA/cTDaR_t00827.jpg")
    found = read_ctdar(tmp_path).splits
    assert [page.path.parts[-3] for page in found["test"]] == ["test"]
    assert [page.path.parts[-4] for page in found["train"]] == ["training"]


@pytest.mark.parametrize(("truths", "images"), [("", ""), ("TRACKA/ground_truth/",) * 2, ("xml/", "images/")])
def test_without_splits(tmp_path: Path, write_images: Write, truths: str, images: str) -> None:
    write_truth(tmp_path, f"{truths}cTDaR_t00037", filename="cTDaR_t00037.xml")  # as some archival ones
    write_truth(tmp_path, f"{truths}page", filename="scan 7.jpg")
    write_images(f"{images}cTDaR_t00037.jpg", f"{images}scan 7.png")
    pages = read_ctdar(tmp_path)
    assert [page.path.name for page in pages.splits["all"]] == ["cTDaR_t00037.jpg", "scan 7.png"]
    assert not pages.dropped
    assert looks_like_ctdar(tmp_path)


def test_what_lacks_the_other_or_lies_outside_the_splits_is_counted(
    tmp_path: Path, write_images: Write
) -> None:
    write_truth(tmp_path, "training/cTDaR_t00001", "samples/cTDaR_s001")
    write_images("training/cTDaR_t00001.jpg", "samples/cTDaR_s001.jpg", "test/TRACKA/cTDaR_t00002.jpg")
    pages = read_ctdar(tmp_path)
    assert [page.document for page in pages.splits["train"]] == ["cTDaR_t00001"]
    assert pages.dropped.examples == {
        "annotation outside the folders of train and test": [str(tmp_path / "samples/cTDaR_s001.xml")],
        "image without annotation": [str(tmp_path / "test/TRACKA/cTDaR_t00002.jpg")],
    }


@pytest.mark.parametrize(
    ("points", "box"),
    [
        ("82,17 98,17 98,75 82,75", (82, 17, 98, 75)),
        ("28,19 71,18 73,75 29,79 20,40", (20, 18, 73, 79)),  # not upright
        ("60,70 10,20", (10, 20, 60, 70)),
        ("  10, 20   60 ,20\t60,70\n10,70 ", (10, 20, 60, 70)),
        ("10 20 60 20 60 70 10 70", (10, 20, 60, 70)),
        ("10,20,60,20,60,70,10,70", (10, 20, 60, 70)),
        ("10.5,20 60,70.25", (10.5, 20, 60, 70.25)),
    ],
)
def test_the_box_lies_around_the_polygon(
    tmp_path: Path, write_images: Write, points: str, box: tuple[float, ...]
) -> None:
    write_truth(tmp_path, "a", points=(points,))
    write_images("a.jpg")
    assert read_ctdar(tmp_path).splits["all"][0].boxes == (box,)


def test_boxes_that_nothing_is_learnt_from_are_counted(tmp_path: Path, write_images: Write) -> None:
    points = (POINTS, "1,nan 2,3 4,5", "5,5 5,70", "200,200 300,300", "-9,0 50,50")
    write_truth(tmp_path, "a", points=points)
    write_images("a.jpg")
    pages = read_ctdar(tmp_path)
    assert pages.splits["all"][0].boxes == ((10, 20, 60, 70), (0, 0, 50, 50))
    assert pages.dropped == {
        "not finite": 1,
        "zero area": 1,
        "outside the page": 1,
        "partly outside the page, clipped": 1,
    }


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<document><table>", " is not XML: "),
        ("<!DOCTYPE x [<!ENTITY lol 'lol'>]><document>&lol;</document>", " has the entity 'lol'"),
        ("<!DOCTYPE x [<!ENTITY f SYSTEM '/etc/passwd'>]><document>&f;</document>", " has the entity 'f'"),
        ("<annotation/>", " is not a cTDaR truth: expected <document>, found <annotation>"),
        (
            "<document><table/></document>",
            ": table 1: expected Coords with points such as 10,20 90,20 90,60 ",
        ),
        ("<document><table><Coords points='1,2 3'/></table></document>", ": table 1: expected Coords with "),
        (
            "<document><table><Coords points='1,2 3,x'/></table></document>",
            ": table 1: expected Coords with ",
        ),
        ("<document><table><Coords points='1,2'/></table></document>", ": table 1: expected Coords with "),
        ("<document><table><region/></table></document>", ": table 1: expected Coords with "),
    ],
)
def test_a_faulty_truth_is_refused_in_one_line(
    tmp_path: Path, write_images: Write, xml: str, message: str
) -> None:
    (tmp_path / "a.xml").write_text(xml)
    write_images("a.jpg")
    with pytest.raises(UserError, match=f"^{re.escape(f'{tmp_path}/a.xml{message}')}") as raised:
        read_ctdar(tmp_path)
    assert "\n" not in str(raised.value)


def test_faulty_folders_are_refused_in_one_line(tmp_path: Path, write_images: Write) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder: expected one with cTDaR \.xml"):
        read_ctdar(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^no annotations in .*: expected cTDaR \.xml .*; found nothing$"):
        read_ctdar(tmp_path)
    write_truth(tmp_path, "training/a", "training/b")
    write_images("training/a.jpg", "test/b.jpg")
    message = rf"^1 of 2 images are missing in {tmp_path}; the first is that of {tmp_path}/training/b\.xml$"
    with pytest.raises(UserError, match=message):
        read_ctdar(tmp_path)
    write_truth(tmp_path, "training/b", filename="../../b.jpg")
    with pytest.raises(UserError, match=r"training/b\.xml names a file .* which leads out of the data set"):
        read_ctdar(tmp_path)


def test_recognition_tells_the_competitions_apart_and_never_raises(tmp_path: Path) -> None:
    assert not looks_like_ctdar(tmp_path)
    assert not looks_like_ctdar(tmp_path / "nowhere")
    file = tmp_path / "page.xml"
    file.write_text("<document/>")  # anything
    assert not looks_like_ctdar(tmp_path)
    file.write_text("<document><table>")
    assert not looks_like_ctdar(tmp_path)
    write_truth(tmp_path, "page")
    assert looks_like_ctdar(tmp_path)
    assert not looks_like_icdar2013(tmp_path)
    assert not looks_like_voc(tmp_path)
    file.rename(tmp_path / "page-reg.xml")
    assert not looks_like_ctdar(tmp_path)
    (tmp_path / "cTDaR_t00001.xml").write_text("<!DOCTYPE document [<!ENTITY a 'b'>]><document/>")
    assert looks_like_ctdar(tmp_path)  # so that the reader says what is wrong with it
