"""The document of a page, told by the names of the images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tablesense.data.documents import naming


def documents(names: list[str]) -> list[str]:
    rule = naming(names)
    return [rule(name) for name in names]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("PMC123_00004.jpg", "PMC123"),
        ("train/PMC123_page5.jpg", "PMC123"),
        ("report-Page-12.png", "report"),
        ("report.v2_3.png", "report.v2"),
        ("cover.png", "cover"),
        ("_7.png", "_7"),
        ("scan_3_png.rf.0aB9.jpg", "scan"),
    ],
)
def test_a_page_number_at_the_end_is_no_part_of_it(name: str, document: str) -> None:
    assert documents([name, "other_1.png"]) == [document, "other"]


def test_a_number_that_tells_all_images_apart_is_part_of_it() -> None:
    assert documents(["img_1.png", "img_2.png"]) == ["img_1", "img_2"]
    assert documents(["img_1.png"]) == ["img"]
    assert documents(["img_1_png.rf.ab.jpg", "img_1_png.rf.cd.jpg", "img_2_png.rf.ef.jpg"]) == [
        *("img_1", "img_1", "img_2")
    ]
    assert documents([]) == []


def test_names_that_occur_in_several_folders_make_these_the_documents() -> None:
    pages = [f"{folder}/page_{page}.xml" for folder in "abc" for page in range(3)]
    assert documents(pages) == [f"{folder}/page" for folder in "abc" for _ in range(3)]
    assert documents(["train/a/img_1.png", "test/b/img_1.png"]) == ["a/img", "b/img"]


def test_folders_are_no_documents_where_no_name_repeats_or_they_are_splits() -> None:
    assert documents(["a/img_1.png", "b/img_2.png"]) == ["img_1", "img_2"]
    assert documents(["train/img_1.png", "train/img_2.png", "test/./img_1.png"]) == [
        "img_1",
        "img_2",
        "img_1",
    ]
    assert documents(["a/x_1.png", "b/x_1.png", "b/y_1.png"]) == ["x", "x", "y"]


def test_the_rule_is_told_from_the_first_two_documents() -> None:
    def names() -> Iterator[str]:
        yield from ("a_1.png", "a_2.png", "b_1.png")
        raise AssertionError("read on")

    assert naming(names())("c_7.png") == "c"
