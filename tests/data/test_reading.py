"""Recognising a format, splitting by document, reporting, and the cost of importing."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tablesense.data.page import Page
from tablesense.data.reading import FORMATS, read_pages, recognise, report, split_by_document
from tablesense.data.table import Pages, PageTable
from tablesense.errors import UserError

Write = Callable[..., None]

HEADER = "filename,xmin,ymin,xmax,ymax,class"


def table_of(pages: list[Page]) -> PageTable:
    found = Pages()
    found.extend("all", pages)
    return found.splits["all"]


def pages_of(sizes: list[int]) -> PageTable:
    """Documents d0, d1, … of so many pages each."""
    return table_of([
        Page(Path(f"d{document}_{page}.png"), f"d{document}", (100, 80))
        for document, count in enumerate(sizes)
        for page in range(count)
    ])  # fmt: skip


def write_coco(path: Path, box: list[int]) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": box}],
        "categories": [{"id": 1, "name": "table"}],
    }
    path.write_text(json.dumps(content))


def test_real_formats_are_recognised(real_data: Path) -> None:
    assert {"coco", "icdar2013", "csv"} <= set(FORMATS)
    for name, form, count in (("icdar2013", "icdar2013", 111), ("unlv", "csv", 191)):
        pages = read_pages(real_data / name)
        assert len(pages.splits["all"]) == count
        assert pages.splits == read_pages(real_data / name, form).splits


def test_coco_is_recognised_by_folder_and_by_file(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "val.json", [1, 2, 30, 40])
    write_images("images/a.png")
    (tmp_path / "results.csv").write_text("epoch,loss\n")
    for path in (tmp_path, tmp_path / "val.json"):
        assert read_pages(path).splits["val"][0].boxes == ((1, 2, 31, 42),)


@pytest.mark.parametrize(
    ("name", "nearest"), [("icdar13", "icdar2013"), ("COCO", "coco"), ("cvs", "csv"), ("atuo", "auto")]
)
def test_an_unknown_format_is_answered_with_the_nearest(tmp_path: Path, name: str, nearest: str) -> None:
    names = ", ".join(FORMATS)
    message = f"unknown format '{name}': expected one of auto, {names}; did you mean {nearest}?"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        read_pages(tmp_path, name)


def test_a_folder_that_is_nothing_we_know_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("x,y\n")
    message = (
        f"no annotations in {tmp_path}: expected COCO .json, Pascal VOC or cTDaR .xml, YOLO data.yaml or "
        f"labels/, PDFs beside *-reg.xml, a .csv of {HEADER}, or a data set of Hugging Face; found 3 .csv"
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        read_pages(tmp_path)


def test_the_only_csv_is_told_which_columns_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("filename,x,y\n")
    with pytest.raises(UserError, match=r"boxes\.csv lacks xmin, ymin, xmax, ymax, class"):
        read_pages(tmp_path)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: expected a folder"):
        read_pages(tmp_path / "nowhere")
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        UserError, match=r"a\.txt is not annotations: expected a folder, or a file of \.json, \.csv, \.yaml"
    ):
        read_pages(tmp_path / "a.txt")


def test_two_formats_in_one_folder_are_not_guessed_between(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "annotations.json", [1, 2, 30, 40])
    (tmp_path / "tables.csv").write_text(f"{HEADER}\na.png,1,2,3,4,table\n")
    write_images("images/a.png")
    with pytest.raises(UserError, match=r"looks like coco and csv: say which with format"):
        read_pages(tmp_path)
    assert read_pages(tmp_path, "csv").splits["all"][0].boxes == ((1, 2, 3, 4),)


def test_notes_beside_labels_are_no_coco(tmp_path: Path, write_images: Write) -> None:
    """Label Studio exports YOLO with a notes.json."""
    write_images("images/a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.5\n")
    (tmp_path / "classes.txt").write_text("table\n")
    notes = tmp_path / "notes.json"
    notes.write_text('{"categories": [{"id": 0, "name": "table"}], "info": {"images": 1}}')
    assert recognise(tmp_path) == "yolo"
    for encoding in ("utf-8", "utf-16"):
        notes.write_text('{"categories": [], "images" :\n [], "annotations": []}', encoding=encoding)
        with pytest.raises(UserError, match="looks like coco and yolo"):
            recognise(tmp_path)


def test_a_json_of_something_else_alone_is_told_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "tables.json").write_text('{"pages": []}')
    with pytest.raises(UserError, match=r"tables\.json is not COCO: expected .*; its keys are pages"):
        read_pages(tmp_path)


def test_data_without_one_valid_box_or_page_is_refused(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png")
    write_coco(tmp_path / "train.json", [1, 2, 0, 40])
    with pytest.raises(UserError, match=rf"^not one valid box in {re.escape(str(tmp_path))}: 1 zero area$"):
        read_pages(tmp_path)
    (tmp_path / "train.json").write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(UserError, match=r"holds no pages"):
        read_pages(tmp_path)


@pytest.mark.parametrize("seed", range(40))
def test_documents_are_held_out_whole(seed: int) -> None:
    """Over random data sets: a partition by document, the same in any order, near the fraction."""
    dice = random.Random(seed)
    pages = pages_of([dice.randint(1, 12) for _ in range(dice.randint(2, 40))])
    fraction = dice.uniform(0.05, 0.95)
    train, held = split_by_document(pages, fraction, seed)

    assert sorted([*train, *held], key=str) == sorted(pages, key=str)
    assert not {page.document for page in train} & {page.document for page in held}
    assert train
    assert held
    largest = max(Counter(page.document for page in pages).values())
    assert abs(len(held) - fraction * len(pages)) <= largest

    shuffled = table_of(dice.sample(list(pages), len(pages)))
    assert {page.document for page in split_by_document(shuffled, fraction, seed)[1]} == {
        page.document for page in held
    }


def test_which_documents_are_held_out_depends_on_the_seed_alone() -> None:
    pages = pages_of([3] * 10)
    held = [{page.document for page in split_by_document(pages, 0.3, seed)[1]} for seed in range(3)]
    assert held == [{"d0", "d4", "d7"}, {"d2", "d4", "d8"}, {"d0", "d7", "d9"}]


def test_the_share_is_exact_where_documents_allow_it() -> None:
    assert [len(part) for part in split_by_document(pages_of([1] * 100), 0.2, 0)] == [80, 20]


def test_a_document_larger_than_the_fraction() -> None:
    _, held = split_by_document(pages_of([50, 40]), 0.1, 0)
    assert {page.document for page in held} == {"d1"}
    assert split_by_document(pages_of([5]), 0.5, 0) == (pages_of([5]), [])
    assert split_by_document(pages_of([5])[:0], 0.5, 0) == ([], [])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=r"expected between 0 and 1"):
        split_by_document(pages_of([1, 1]), fraction, 0)


def test_the_shares_of_real_documents(real_data: Path) -> None:
    for name, expected in (("icdar2013", 22), ("unlv", 38)):
        pages = read_pages(real_data / name).splits["all"]
        assert [len(split_by_document(pages, 0.2, seed)[1]) for seed in range(4)] == [expected] * 4


def test_report_is_one_line_or_nothing() -> None:
    pages = Pages()
    pages.dropped.update({"zero area": 2, "crowd": 31, "partly outside the page, clipped": 1})
    assert report(pages) == ("left out or changed: 31 crowd; 2 zero area; 1 partly outside the page, clipped")
    assert report(Pages()) is None


def test_reading_imports_no_torch() -> None:
    code = "import sys, tablesense.data.reading; print({'torch', 'pypdfium2'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_a_csv_of_something_else_is_no_hindrance(tmp_path: Path, write_images: Write) -> None:
    write_coco(tmp_path / "train.json", [1, 2, 30, 40])
    write_images("images/a.png")
    (tmp_path / "notes.csv").write_bytes("Größe;Übersicht".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    assert len(read_pages(tmp_path).splits["train"]) == 1


def test_pages_without_tables_are_read_whatever_else_is_noted(tmp_path: Path, write_images: Write) -> None:
    write_images("images/a.png", "images/b.png")
    for name in ("a", "b", "stray"):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{name}.txt").touch()
    pages = read_pages(tmp_path)
    assert pages.dropped == {"label file without image": 1}
    assert len(pages.splits["all"]) == 2
