"""Pages in columns: what goes in comes out, parts and new names, between processes, and what is counted."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tablesense.data.page import Page
from tablesense.data.table import Faults, Pages, PageTable, progress
from tablesense.errors import UserError

PAGES = [
    Page(Path("/data/a/1.png"), "one", (100, 80), ((1, 2, 3, 4), (5, 6, 7, 8.5)), ("table", "figure")),
    Page(Path("/data/b/report.pdf"), "two", (595.3, 842), (), (), 0),
    Page(Path("/data/b/report.pdf"), "two", (842, 595.3), ((0, 0, 9, 9),), ("figure",), 1),
    Page(Path("/data/a/2.png"), "one", (100, 80), ((4, 4, 9, 9),), ("table",)),
]


def table_of(pages: list[Page]) -> PageTable:
    found = Pages()
    found.extend("train", pages)
    return found.splits["train"]


@pytest.fixture(params=["in memory", "mapped"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> PageTable:
    table = table_of(PAGES)
    if request.param == "in memory":
        return table
    table.save(tmp_path / "columns")
    return PageTable.open(tmp_path / "columns")


def test_what_goes_in_comes_out(table: PageTable) -> None:
    assert len(table) == 4
    assert list(table) == PAGES
    assert [table[-1], table[-4], table[np.int64(2)]] == [PAGES[3], PAGES[0], PAGES[2]]
    for beyond in (4, -5):
        with pytest.raises(IndexError, match=f"page {beyond} of 4"):
            table[beyond]
    with pytest.raises(TypeError):
        table[1.0]  # type: ignore[call-overload]


def test_equal_means_the_same_pages_in_the_same_order(table: PageTable) -> None:
    assert table == PAGES
    assert table == table_of(PAGES)
    assert table != PAGES[:3]
    assert table != PAGES[::-1]
    assert table != table.named("other")
    assert table != 4


def test_parts_of_parts(table: PageTable) -> None:
    assert table[1:3] == PAGES[1:3]
    assert table[::-1][1:] == PAGES[2::-1]
    assert table.select(np.array([3, 0, 3])) == [PAGES[3], PAGES[0], PAGES[3]]
    assert table.select(np.array([-1, -4])) == [PAGES[3], PAGES[0]]
    assert table.select([False, True, False, True]) == [PAGES[1], PAGES[3]]
    assert table.select([3, 1, 0]).select([True, False, True]).select([1]) == [PAGES[0]]
    assert table[3:].select([0, -1]) == [PAGES[3]] * 2
    for none in (table.select([]), table[2:2], table.select([False] * 4)):
        assert len(none) == 0
        assert not none
        assert none == []
        assert none.counts.tolist() == none.documents.tolist() == none.sizes.tolist() == []
        assert not none.label_counts()
    for wrong in ([4], [-5], [True] * 5):
        with pytest.raises(IndexError):
            table.select(wrong)


def test_columns_are_those_of_the_selected_pages(table: PageTable) -> None:
    assert table.sizes.tolist() == [list(page.size) for page in PAGES]
    assert table.counts.tolist() == [2, 0, 1, 1]
    assert table.label_counts() == {"table": 2, "figure": 2}
    assert [table.document_name(document) for document in table.documents] == ["one", "two", "two", "one"]
    assert table.folders == ["/data/a", "/data/b"]
    part = table.select([3, 1, 3])
    assert part.sizes.tolist() == [[100, 80], [595.3, 842], [100, 80]]
    assert part.counts.tolist() == [1, 0, 1]
    assert part.label_counts() == {"table": 2}
    assert part.documents.tolist() == table.documents[[3, 1, 3]].tolist()


def test_new_names_of_classes_merge_them_or_leave_their_boxes_out(table: PageTable) -> None:
    merged = table.relabel(lambda name: "thing")
    assert merged[0].labels == ("thing", "thing")
    assert merged.label_counts() == {"thing": 4}
    tables = table.relabel(lambda name: name.upper() if name == "table" else None)
    assert tables[0] == replace(PAGES[0], boxes=PAGES[0].boxes[:1], labels=("TABLE",))
    assert tables.counts.tolist() == [1, 0, 0, 1]
    assert tables.label_counts() == {"TABLE": 2}
    assert tables.select([2, 3]).counts.tolist() == [0, 1]
    assert tables.relabel(lambda name: f"{name}!").label_counts() == {"TABLE!": 2}  # what is out stays out
    assert table.label_counts() == {"table": 2, "figure": 2}


def test_a_class_without_a_name_is_a_class() -> None:
    page = replace(PAGES[0], labels=("", "table"))
    table = table_of([page])
    assert table[0] == page
    assert table.counts.tolist() == [2]
    assert table.label_counts() == {"": 1, "table": 1}
    assert table.relabel(lambda name: name or "none")[0].labels == ("none", "table")


def test_a_source_is_given_to_all_pages(table: PageTable) -> None:
    named = table.named("scans")[1:].relabel(str)
    assert {page.source for page in named} == {"scans"}
    assert (named.source, table.source) == ("scans", "")


def test_pages_without_boxes(tmp_path: Path) -> None:
    pages = [replace(PAGES[1], number=i) for i in range(3)]
    table = table_of(pages)
    table.save(tmp_path / "columns")
    for same in (table, PageTable.open(tmp_path / "columns")):
        assert same == pages
        assert same.counts.tolist() == [0, 0, 0]
        assert not same.label_counts()


def test_any_text_comes_back_as_it_was(tmp_path: Path) -> None:
    # a file name that is not UTF-8, half of a letter as JSON may hold it, and letters of several bytes
    pages = [
        replace(PAGES[0], path=Path("/data/t\udcfcr/b\udcff.png"), document="\ud83d", labels=("\udc80", "表"))
    ]
    pages.append(replace(PAGES[3], path=Path("/data/表/ü.png"), document="報告"))
    table = table_of(pages)
    table.save(tmp_path / "columns")
    assert table == pages
    assert PageTable.open(tmp_path / "columns") == pages
    assert pickle.loads(pickle.dumps(table)) == pages


def test_saved_folders_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table_of([replace(PAGES[0], path=Path("mine/1.png"))]).save(Path("columns"))
    opened = PageTable.open(Path("columns"))
    monkeypatch.chdir("/")
    assert opened[0].path == tmp_path / "mine" / "1.png"
    assert pickle.loads(pickle.dumps(opened)) == opened


def test_a_part_is_saved_with_its_names(tmp_path: Path) -> None:
    part = table_of(PAGES).select([3, 0]).relabel(lambda name: None if name == "figure" else name).named("x")
    part.save(tmp_path / "part")
    assert PageTable.open(tmp_path / "part") == part
    assert PageTable.open(tmp_path / "part").select([1]) == part[1:]


def test_pickled_tables(tmp_path: Path) -> None:
    many = [replace(PAGES[0], path=Path(f"/data/{i}/{i}.png"), document=str(i)) for i in range(2000)]
    table = table_of(many)
    table.save(tmp_path / "columns")
    mapped = PageTable.open(tmp_path / "columns")
    assert len(pickle.dumps(mapped)) < 1000 < len(pickle.dumps(table))
    for kind in (table, mapped):
        part = kind.named("x").select([5, 3]).relabel(lambda name: name if name == "table" else None)
        there = pickle.loads(pickle.dumps(part))
        assert there == part
        assert there.label_counts() == {"table": 2}
        assert there[::-1] == part[::-1]


def test_a_mapped_table_cannot_be_written_to(table: PageTable, tmp_path: Path) -> None:
    table.save(tmp_path / "again")
    with pytest.raises(ValueError, match="read-only"):
        PageTable.open(tmp_path / "again").sizes[0] = 0


def test_columns_that_are_gone_or_cut_are_refused_in_one_line(tmp_path: Path) -> None:
    table_of(PAGES).save(tmp_path / "columns")
    mapped = pickle.dumps(PageTable.open(tmp_path / "columns"))
    column = tmp_path / "columns" / "boxes.npy"
    column.write_bytes(column.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"columns cannot be read as an index of pages: .*: delete it") as one:
        pickle.loads(mapped)
    column.unlink()
    with pytest.raises(UserError, match=r"columns cannot be read as an index of pages: .*boxes") as other:
        PageTable.open(tmp_path / "columns")
    assert "\n" not in f"{one.value}{other.value}"


def test_pages_are_kept_by_split_and_closed_once_asked_for(tmp_path: Path) -> None:
    pages = Pages()
    before = progress["pages"]
    pages.extend("train", PAGES[:2])
    pages.add("test", PAGES[2])
    assert progress["pages"] - before == 3
    assert pages.splits == {"train": PAGES[:2], "test": PAGES[2:3]}
    with pytest.raises(RuntimeError, match="no page can be added"):
        pages.add("train", PAGES[3])
    pages.dropped.note("crowd", "a.png")
    pages.save(tmp_path / "index")
    opened = Pages.open(tmp_path / "index")
    assert list(opened.splits) == ["train", "test"]
    assert opened.splits == pages.splits
    assert opened.dropped == {"crowd": 1}
    assert opened.dropped.examples == {"crowd": ["a.png"]}
    (tmp_path / "index" / "faults.json").write_text("{}")
    with pytest.raises(UserError, match="index cannot be read as an index of pages"):
        Pages.open(tmp_path / "index")


def test_faults_keep_their_first_places() -> None:
    faults = Faults()
    for i in range(5):
        faults.note("zero area", Path(f"{i}.png"))
    faults.note("crowd", "")
    others = Faults()
    others.note("crowd", "b.json")
    faults.include(others)
    assert faults == {"zero area": 5, "crowd": 2}
    assert faults.examples == {"zero area": ["0.png", "1.png", "2.png"], "crowd": ["b.json"]}
    assert json.loads(json.dumps(faults)) == faults
    for same in (pickle.loads(pickle.dumps(faults)), copy.deepcopy(faults), faults.copy(), Faults(faults)):
        assert (same, same.examples) == (faults, faults.examples)
        same.note("crowd", "c.json")
    assert faults["crowd"] == 2
    assert faults.examples["crowd"] == ["b.json"]


def test_boxes_come_with_their_pages(table: PageTable) -> None:
    def drawn(part: PageTable) -> list[tuple[list[float], int]]:
        boxes, pages = part.boxes
        return list(zip(boxes.tolist(), pages.tolist(), strict=True))

    assert drawn(table) == [([1, 2, 3, 4], 0), ([5, 6, 7, 8.5], 0), ([0, 0, 9, 9], 2), ([4, 4, 9, 9], 3)]
    assert drawn(table.select([3, 1, 0])) == [([4, 4, 9, 9], 0), ([1, 2, 3, 4], 2), ([5, 6, 7, 8.5], 2)]
    only = table.relabel(lambda name: name if name == "figure" else None)
    assert drawn(only) == [([5, 6, 7, 8.5], 0), ([0, 0, 9, 9], 2)]
    assert drawn(table[1:2]) == drawn(table[:0]) == []
