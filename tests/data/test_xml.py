"""XML truths: what is parsed, what is refused, how a few are found among many, paths that lead out."""

from __future__ import annotations

import os
import re
import tracemalloc
from pathlib import Path

import pytest

from tablesense.data import xml
from tablesense.data.xml import inner_path, listing, parse_xml, root_tag, some_xml
from tablesense.errors import UserError

BOMB = """<!DOCTYPE a [
<!ENTITY b0 "table">
{}
]><a>&b8;</a>""".format("\n".join(f'<!ENTITY b{i} "{f"&b{i - 1};" * 10}">' for i in range(1, 9)))


def write(folder: Path, content: str | bytes, name: str = "a.xml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_tree_with_attributes_text_and_character_references(tmp_path: Path) -> None:
    file = write(tmp_path, "<a n='1'><b>caf\u00e9 &amp; &#x74;&#97;</b><!-- c --><b/></a>")
    root = parse_xml(file)
    assert (root.tag, root.attrib) == ("a", {"n": "1"})
    assert [b.text for b in root.findall("b")] == ["caf\u00e9 & ta", None]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("\ufeff<a>\u00e9</a>".encode(), "\u00e9"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>\u00e9</a>".encode("latin-1"), "\u00e9"),
        ("<?xml version='1.0' encoding='utf-16'?><a>\u00e9</a>".encode("utf-16"), "\u00e9"),
        (b"<!DOCTYPE a><a>x</a>", "x"),
        (b"<!DOCTYPE a SYSTEM 'http://nowhere.invalid/voc.dtd'><a>x</a>", "x"),
    ],
)
def test_encodings_and_document_types_without_entities_are_read(
    tmp_path: Path, content: bytes, text: str
) -> None:
    file = write(tmp_path, content)
    assert parse_xml(file).text == text
    assert root_tag(file) == "a"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "has the entity 'b0': entities are not expanded, write the text itself"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "has the entity 'x'"),
        ("<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://nowhere.invalid/x'> %x;]><a/>", "has the entity 'x'"),
        ("<!DOCTYPE a SYSTEM 'gone.dtd'><a>&x;</a>", "has the entity 'x'"),
        (f"<!DOCTYPE a [<!ENTITY {'x' * 9999} 'y'>]><a/>", "has the entity 'xxx"),
        ("<a>&x;</a>", "is not XML: undefined entity: line 1, column 3"),
        ("<a><b></a>", "is not XML: mismatched tag: line 1, column 8"),
        ("<a>", "is not XML: no element found"),
        ("", "is not XML: no element found"),
        ("<a/><a/>", "is not XML: junk after document element"),
        (b"<a>\xff</a>", "is not XML: not well-formed"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", "is not XML: unknown encoding"),
    ],
)
def test_entities_and_broken_xml_are_refused_in_one_short_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    file = write(tmp_path, content)
    with pytest.raises(UserError, match=f"^{re.escape(f'{file} {message}')}") as raised:
        parse_xml(file)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < len(str(file)) + 200


def test_an_entity_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    file = write(tmp_path, BOMB)
    tracemalloc.start()
    with pytest.raises(UserError, match="entities are not expanded"):
        parse_xml(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_size_of_a_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "LIMIT", 2**20)
    fits = b"<a>" + b" " * (2**20 - 7) + b"</a>"
    assert parse_xml(write(tmp_path, fits)).tag == "a"
    file = write(tmp_path, fits + b" ")
    with pytest.raises(
        UserError, match=rf"^{file} is larger than the 1 MB that a page's annotation may have$"
    ):
        parse_xml(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").mkdir()
    for name in ("a.xml", "nowhere.xml"):
        with pytest.raises(UserError, match=rf"^{tmp_path / name} cannot be read: (Is a|No such)"):
            parse_xml(tmp_path / name)


def test_the_root_is_told_from_the_first_bytes(tmp_path: Path) -> None:
    assert root_tag(write(tmp_path, "<?xml version='1.0'?><!-- c --><a x='1'><broken")) == "a"
    assert root_tag(write(tmp_path, BOMB)) == "a"
    assert root_tag(write(tmp_path, "no xml")) is None
    assert root_tag(write(tmp_path, b"\xff\x00")) is None
    assert root_tag(tmp_path) is None
    assert root_tag(tmp_path / "nowhere.xml") is None


def test_a_few_files_are_found_without_a_whole_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert some_xml(tmp_path) == some_xml(tmp_path / "nowhere") == []
    deep = write(tmp_path, "", "devkit/VOC2007/Annotations/1.xml")
    write(tmp_path, "", "devkit/._1.xml")
    assert some_xml(tmp_path) == [str(deep)]
    for i in range(9):
        write(tmp_path, "", f"devkit/{i}.xml")
    assert some_xml(tmp_path) == [str(tmp_path / "devkit" / f"{i}.xml") for i in range(8)]
    # Beyond the first entries: the XML beside an image, and folders with the usual names.
    monkeypatch.setattr(xml, "_GLANCE", 3)
    monkeypatch.setattr(os, "scandir", InOrder)
    for i in range(5):
        write(tmp_path, "", f"flat/{i}.jpg")
        write(tmp_path, "", f"flat/{i}.xml")
    assert len(some_xml(tmp_path / "flat")) == 3
    for i in range(5):
        write(tmp_path, "", f"usual/{i}.txt")
    beside = write(tmp_path, "", "usual/val/1.xml")
    assert some_xml(tmp_path / "usual") == [str(beside)]


class InOrder:
    """A `scandir` that gives images and texts first, folders last."""

    scandir = staticmethod(os.scandir)

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __enter__(self) -> object:
        with self.scandir(self.folder) as entries:
            return iter(sorted(entries, key=lambda entry: (entry.is_dir(), entry.name[-4:], entry.name)))

    def __exit__(self, *_: object) -> None:
        pass


def test_a_listing_follows_links_once_and_passes_hidden_files_over(tmp_path: Path) -> None:
    for name in ("d/train/b.xml", "d/train/A.XML", "d/.git/c.xml", "d/train/._b.xml", "elsewhere/1.JPG"):
        write(tmp_path, "", name)
    write(tmp_path, "", "d/lists/x.txt")
    (tmp_path / "d" / "images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d" / "train" / "again").symlink_to(tmp_path / "d")
    found = listing(tmp_path / "d", re.compile(r"lists/.*\.txt"))
    assert found.annotations == {"train": ["A.XML", "b.xml"]}
    assert found.images == {"images": {"1.JPG"}}
    assert found.lists == ["lists/x.txt"]


def test_a_path_that_annotations_name_stays_within_the_data_set() -> None:
    assert inner_path("a.jpg", "train", "x.xml") == "train/a.jpg"
    assert inner_path(r"..\images\a.jpg", "train", "x.xml") == "images/a.jpg"
    assert inner_path("..a.jpg", "", "x.xml") == "..a.jpg"
    outside = (
        "../a.jpg",
        "b/../../a.jpg",
        "/etc/a.jpg",
        r"\\host\a.jpg",
        r"C:\a.jpg",
        "c:/a.jpg",
        "..",
        "../train",
    )
    for name in outside:
        with pytest.raises(UserError, match=r"^x\.xml names a file .* leads out of the data set") as raised:
            inner_path(name, "", "x.xml")
        assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="leads out"):
        inner_path("../../a.jpg", "train", "x.xml")
