"""CSV boxes: rows, pages without tables, documents, the real UNLV file, what is refused."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tablesense.data.csv_boxes import read_csv_boxes
from tablesense.data.page import Page
from tablesense.errors import UserError

Write = Callable[..., None]

HEADER = "filename,xmin,ymin,xmax,ymax,class"


def write_csv(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "tables.csv"
    file.write_text("\n".join((header, *rows)) + "\n")
    return file


def test_rows_become_boxes_and_other_images_pages_without_tables(tmp_path: Path, write_images: Write) -> None:
    file = write_csv(
        tmp_path,
        "1_1.png,10,20,30,40,table",
        "2_2.png,,,,,",
        "",
        "1_1.png,50.5,20,130,40,figure",
        "1_1.png,50,20,50,40,table",
    )
    images = tmp_path / "images"
    write_images("images/1_1.png", "images/2_2.png", "images/1_3.png")
    (images / "notes.txt").touch()
    size = (100, 80)
    for path in (tmp_path, file):
        pages = read_csv_boxes(path)
        assert pages.splits == {
            "all": [
                Page(
                    images / "1_1.png",
                    "1",
                    size,
                    ((10, 20, 30, 40), (50.5, 20, 100, 40)),
                    ("table", "figure"),
                ),
                Page(images / "1_3.png", "1", size),
                Page(images / "2_2.png", "2", size),
            ]
        }
        assert pages.dropped == {"zero area": 1, "partly outside the page, clipped": 1}


def test_images_may_lie_beside_the_csv_and_columns_come_in_any_order(
    tmp_path: Path, write_images: Write
) -> None:
    write_csv(tmp_path, "table,x,40,30,20,10,a.png", header="class,note,ymax,xmax,ymin,xmin,filename")
    write_images("a.png")
    assert read_csv_boxes(tmp_path).splits["all"] == [
        Page(tmp_path / "a.png", "a", (100, 80), ((10, 20, 30, 40),), ("table",))
    ]


def test_a_path_in_the_csv_names_the_same_image(tmp_path: Path, write_images: Write) -> None:
    write_csv(tmp_path, "images/a.png,10,20,30,40,table")
    write_images("images/a.png")
    assert len(read_csv_boxes(tmp_path).splits["all"]) == 1


def test_numbers_alone_tell_images_apart_not_pages(tmp_path: Path, write_images: Write) -> None:
    write_csv(tmp_path)
    write_images("images/img_1.png", "images/img_2.png")
    assert [page.document for page in read_csv_boxes(tmp_path).splits["all"]] == ["img_1", "img_2"]


def test_a_csv_of_something_else_beside_it_is_left_alone(tmp_path: Path, write_images: Write) -> None:
    write_csv(tmp_path, "a.png,10,20,30,40,table")
    (tmp_path / "classes.csv").write_text("name,id\ntable,0\n")
    write_images("images/a.png")
    assert len(read_csv_boxes(tmp_path).splits["all"]) == 1


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("separator", "row"),
    [
        (";", "a.png;10,5;20;30;40,25;table;"),
        ("\t", "a.png\t10.5\t20\t30\t40.25\ttable"),
        (",", '"a.png",10.5,20,30,40.25,"table"'),
    ],
)
def test_cells_may_be_separated_as_excel_writes_them(
    tmp_path: Path, write_images: Write, mark: str, separator: str, row: str
) -> None:
    write_csv(tmp_path, row, header=mark + HEADER.replace(",", separator))
    write_images("images/a.png")
    page = read_csv_boxes(tmp_path).splits["all"][0]
    assert (page.boxes, page.labels) == (((10.5, 20, 30, 40.25),), ("table",))


def test_two_names_of_one_image_are_one_page(tmp_path: Path, write_images: Write) -> None:
    write_csv(tmp_path, "images/a.png,10,20,30,40,table", "a.png,50,20,70,40,table")
    write_images("images/a.png")
    (page,) = read_csv_boxes(tmp_path).splits["all"]
    assert page.boxes == ((10, 20, 30, 40), (50, 20, 70, 40))


@pytest.mark.parametrize("name", ["../a.png", "images/../../a.png", "/etc/a.png"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, write_images: Write, name: str) -> None:
    write_images("a.png", "set/images/b.png")
    file = write_csv(tmp_path / "set", f"{name},10,20,30,40,table")
    with pytest.raises(UserError, match=re.escape(f"{file} names a file {name!r}, which leads out")):
        read_csv_boxes(tmp_path / "set")


def test_many_rows_are_read_in_little_memory(tmp_path: Path, write_images: Write) -> None:
    names = [f"{i}.png" for i in range(10)]
    write_images(*names)
    write_csv(tmp_path, *(f"{names[i % 10]},{i % 90},20,{i % 90 + 9},40,table" for i in range(5_000)))
    read_csv_boxes(tmp_path)
    tracemalloc.start()
    try:
        pages = read_csv_boxes(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pages.splits["all"].counts.tolist() == [500] * 10
    assert peak / 5_000 < 200


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.png,1,2,3,4,table", "a.png,1,wide,3,4,table"], "line 3: ymin is 'wide': expected a number"),
        (["a.png,1,2,3,,table"], "line 2: ymax is '': expected a number"),
        (["a.png,1,2,3"], "line 2: class is empty"),
        ([",1,2,3,4,table"], "line 2: filename is empty"),
        (
            ["b.png,1,2,3,4,table", "a.png,1,2,3,4,table"],
            "1 of 2 images named in ROOT/tables.csv are missing; the first is ROOT/images/b.png",
        ),
    ],
)
def test_faulty_rows_are_refused_in_one_line(
    tmp_path: Path, write_images: Write, rows: list[str], message: str
) -> None:
    file = write_csv(tmp_path, *rows)
    write_images("images/a.png")
    with pytest.raises(UserError, match=re.escape(message.replace("ROOT", str(tmp_path)))) as raised:
        read_csv_boxes(tmp_path)
    assert str(file) in str(raised.value)


def test_faulty_folders_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"nowhere does not exist: expected a folder with a \.csv of filename"
    ):
        read_csv_boxes(tmp_path / "nowhere")
    with pytest.raises(
        UserError, match=rf"no annotations in .*: expected a \.csv of {HEADER}; found nothing"
    ):
        read_csv_boxes(tmp_path)
    file = write_csv(tmp_path, header="filename,xmin,ymin,label")
    with pytest.raises(
        UserError, match=r"tables\.csv lacks xmax, ymax, class: .*; found filename,xmin,ymin,label"
    ):
        read_csv_boxes(tmp_path)
    file.write_text("")
    with pytest.raises(UserError, match=r"found an empty file"):
        read_csv_boxes(tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"tables\.csv cannot be read as CSV: .*: save it as UTF-8"):
        read_csv_boxes(tmp_path)
    write_csv(tmp_path)
    (tmp_path / "more.csv").write_text(HEADER)
    with pytest.raises(
        UserError, match=r"2 files of boxes in .* \(more\.csv, tables\.csv\): give the path of one"
    ):
        read_csv_boxes(tmp_path)


def test_unlv(real_data: Path) -> None:
    pages = read_csv_boxes(real_data / "unlv")
    every = pages.splits["all"]
    assert len(every) == 191
    assert sum(len(page.boxes) for page in every) == 252
    assert all(page.boxes for page in every)
    assert len({page.document for page in every}) == 124
    assert not pages.dropped
    first = every[0]
    assert (first.path.name, first.document, first.size) == ("0147_090.png", "0147", (2560, 3300))
    assert first.boxes == ((326, 413, 2106, 1616), (760, 1843, 1643, 2393))


def test_the_document_is_the_name_less_its_page_number(tmp_path: Path, write_images: Write) -> None:
    names = ["annual_report_2020_001.png", "annual_report_2020_002.png", "annual_report_2021_001.png"]
    (tmp_path / "boxes.csv").write_text("\n".join([HEADER, *(f"{name},1,2,30,40,table" for name in names)]))
    write_images(*names)
    documents = [page.document for page in read_csv_boxes(tmp_path).splits["all"]]
    assert documents == ["annual_report_2020", "annual_report_2020", "annual_report_2021"]


def test_a_folder_is_a_document_where_names_repeat(tmp_path: Path, write_images: Write) -> None:
    names = [f"{folder}/page_{page}.png" for folder in "ab" for page in (1, 2)]
    write_csv(tmp_path, *(f"{name},1,2,30,40,table" for name in names))
    write_images(*(f"images/{name}" for name in names))
    documents = [page.document for page in read_csv_boxes(tmp_path).splits["all"]]
    assert documents == ["images/a/page"] * 2 + ["images/b/page"] * 2
