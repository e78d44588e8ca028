"""XML truths: found below a folder, told apart by their root, and parsed without trusting them."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path
from reprlib import repr as brief
from typing import NamedTuple, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ExpatError, ParserCreate

from tablesense.data.folder import IMAGE_SUFFIXES, inside
from tablesense.errors import UserError

LIMIT = 8 * 2**20
"""The largest XML file that is read, in bytes. A page with ten thousand boxes has half of it."""


_HEAD = 2**16  # bytes: most truths are smaller, and a root element starts within
_GLANCE = 1000  # entries of a folder that recognition looks at, of a million
_PLACES = 100  # folders that it looks into
_DEPTH = 3
_USUAL_FOLDERS = ("Annotations", "annotations", "train", "val", "test", "training", "xml", "xmls")
_DRIVE = re.compile(r"[A-Za-z]:/")


def parse_xml(file: str | Path) -> Element:
    """Parse one XML file whole.

    Nothing outside the file is read, and no entity of its own is expanded: a DTD that declares one
    ("billion laughs", the contents of another file) is refused, and so is a reference to one that only
    an external DTD could declare. The five that XML itself defines (`&amp;` ...) and character
    references stand for their characters.

    It is Python's own expat, filling the tree of `xml.etree` without Python code in between: 20 µs for
    a truth of 1.2 kB, as fast as `ElementTree.fromstring`. The library defusedxml parses in Python,
    2.7 times as slowly, and knows no limit of size.

    Raises:
        UserError: It cannot be read, is larger than `LIMIT`, is not well-formed, or declares entities.
    """
    builder, parser = TreeBuilder(), ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(name: str, *_: object) -> NoReturn:
        raise UserError(
            f"{file} has the entity {brief(name)}: entities are not expanded, write the text itself"
        )

    parser.EntityDeclHandler = refuse
    parser.SkippedEntityHandler = refuse
    try:
        parser.Parse(_content(file), True)
        return builder.close()
    except (ExpatError, LookupError, ValueError) as error:  # the last two: an encoding that is unknown
        raise UserError(f"{file} is not XML: {error}") from None


def _content(file: str | Path) -> bytes:
    try:
        with open(file, "rb") as stream:
            content = stream.read(_HEAD)
            if len(content) == _HEAD:
                content += stream.read(LIMIT + 1 - _HEAD)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > LIMIT:
        raise UserError(f"{file} is larger than the {LIMIT >> 20} MB that a page's annotation may have")
    return content


def root_tag(file: str | Path) -> str | None:
    """The name of an XML file's root element, from its first bytes; None where it has none. Never raises.

    Where the file has a document type, that names the root: nothing of the DTD is read.
    """
    tags: list[str] = []

    def stop(tag: str, *_: object) -> NoReturn:
        tags.append(tag)
        raise StopIteration

    parser = ParserCreate()
    parser.StartElementHandler = parser.StartDoctypeDeclHandler = stop
    try:
        with open(file, "rb") as stream:
            parser.Parse(stream.read(_HEAD), False)
    except (StopIteration, OSError, ExpatError, LookupError, ValueError):
        pass
    return tags[0] if tags else None


def some_xml(folder: Path, wanted: int = 8) -> list[str]:
    """A few XML files at or below a folder, without listing it whole. Never raises.

    It looks at the first entries of a folder, at the XML that an image among them has beside it, and
    then into the folders within, a few levels deep: a few milliseconds, however many files there are.
    """
    found: list[str] = []
    places = [(str(folder), 0)]
    for place, depth in places:
        files, within = _glance(place)
        found += files
        if len(found) >= wanted:
            break
        if depth < _DEPTH:
            places += [(each, depth + 1) for each in within][: _PLACES - len(places)]
    return found[:wanted]


def _glance(place: str) -> tuple[list[str], list[str]]:
    """XML files and folders among the first entries of a folder, sorted."""
    try:
        with os.scandir(place) as entries:
            all_first = list(islice(entries, _GLANCE))
        first = [entry for entry in all_first if not entry.name.startswith(".")]
        folders = {entry.path for entry in first if entry.is_dir()}
    except OSError:
        return [], []
    files = {entry.path for entry in first if entry.name.lower().endswith(".xml")}
    if not files:
        names = (os.path.splitext(entry.path) for entry in first)
        beside = (f"{stem}.xml" for stem, suffix in names if suffix.lower() in IMAGE_SUFFIXES)
        files = set(filter(os.path.isfile, islice(beside, _PLACES)))
    usual = {os.path.join(place, name) for name in _USUAL_FOLDERS}
    if len(all_first) == _GLANCE:  # there may be more, among them the one that matters
        folders.update(filter(os.path.isdir, usual))
    return sorted(files - folders), sorted(folders, key=lambda each: (each not in usual, each))


class Listing(NamedTuple):
    """What lies at and below a data set's folder: names by folder, each relative to it with "/" between.

    Attributes:
        annotations: The XML files, sorted.
        images: The image files.
        lists: The files that were asked for, as paths relative to the data set's folder.
    """

    annotations: dict[str, list[str]]
    images: dict[str, set[str]]
    lists: list[str]


def listing(folder: Path, lists: re.Pattern[str] | None = None) -> Listing:
    """List a data set once, its linked folders included, hidden files and folders not.

    Args:
        folder: The data set's.
        lists: Which paths, relative to it, to name among the `lists`.

    Raises:
        UserError: A folder cannot be read.
    """
    found = Listing({}, {}, [])
    waiting, seen = [""], set()
    while waiting:
        place = waiting.pop()
        try:
            status = os.stat(folder / place)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder / place) as entries:
                for entry in entries:
                    name = entry.name
                    suffix = os.path.splitext(name)[1].lower()
                    if name.startswith("."):
                        continue
                    if suffix == ".xml":
                        found.annotations.setdefault(place, []).append(name)
                    elif suffix in IMAGE_SUFFIXES:
                        found.images.setdefault(place, set()).add(name)
                    elif lists and lists.fullmatch(join(place, name)):
                        found.lists.append(join(place, name))
                    elif entry.is_dir():
                        waiting.append(join(place, name))
        except OSError as error:
            raise UserError(f"{folder / place} cannot be read: {error.strerror}") from error
    for names in found.annotations.values():
        names.sort()
    found.lists.sort()
    return found


def join(place: str, name: str) -> str:
    """A path within a data set; its own folder is ""."""
    return f"{place}/{name}" if place else name


def inner_path(name: str, place: str, where: str | Path) -> str:
    r"""The path, relative to the data set's folder, of a file that annotations name.

    Args:
        name: The name as written; `\` stands for "/".
        place: The folder that it starts from, relative to the data set's.
        where: The file that names it, for the message.

    Raises:
        UserError: It is absolute or leads out of the data set's folder.
    """
    path = name.replace("\\", "/")
    if _DRIVE.match(path):
        path = f"/{path}"
    if not path.startswith("/"):
        path = join(place, path)
    inside(Path(where), path)
    return os.path.normpath(path)
