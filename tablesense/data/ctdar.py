"""ICDAR 2019 cTDaR: page images, archival and modern, each with its tables as polygons in XML."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from math import isfinite, nan
from pathlib import Path
from reprlib import repr as brief
from xml.etree.ElementTree import Element

from tablesense.data.folder import contents, image_size
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.splits import split_of
from tablesense.data.table import Pages
from tablesense.data.xml import inner_path, join, listing, parse_xml, root_tag, some_xml
from tablesense.errors import UserError

EXPECTED = "cTDaR .xml (<document><table><Coords>) beside the images or in test_ground_truth/"

_TRACK = re.compile(r"track[ _-]?[ab]\d?", re.IGNORECASE)
_ICDAR2013 = ("-reg.xml", "-str.xml")  # <document> as well, of another competition


def read_ctdar(path: Path) -> Pages:
    """Read every page of cTDaR below a folder: the whole repository, a track of it, or a flat folder.

    A table's box is the smallest upright one around the polygon of its `Coords` (points "x,y x,y ...",
    read as a series of numbers with commas or blanks between them). The cells of track B are ignored. All
    tables are of the class "table", and a document without one is a page without tables.

    The split is told by the folders (`training/`, `test/`, `test_ground_truth/`, see `splits.split_of`),
    else it is "all"; where some folders name a split, truths outside them (`samples/`) are left out and
    counted. The image is the one with the XML's stem, whatever its suffix (in the archival part the XML's
    own `filename` may end in .xml): the one beside the XML first, then that of the same track, never one of
    another split. It may also be the one with the stem of `filename`. Its header tells the size. A page that
    several tracks share is read once, from track A where it has it; its other truths are counted, as is a
    second truth of one image. Pages of one name in several folders of a track are pages of their own. An
    image without truth is counted and left out. Each image is a document of its own: names tell nothing more.

    Source: Gao et al., "ICDAR 2019 Competition on Table Detection and Recognition (cTDaR)";
    github.com/cndplab-founder/ICDAR2019_cTDaR.

    Raises:
        UserError: There are no truths, images are missing, or a truth is faulty.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: expected one with {EXPECTED}")
    files = listing(path)
    if not files.annotations:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    of_stem: defaultdict[str, list[str]] = defaultdict(list)
    for place, names in files.images.items():
        for name in names:
            of_stem[os.path.splitext(name)[0]].append(join(place, name))
    truths = sorted(
        (split_of(place) or "all", _track(place), place, name)
        for place, names in files.annotations.items()
        for name in names
    )
    in_splits = any(split != "all" for split, *_ in truths)
    pages = Pages()
    tracks: dict[tuple[str, str], str] = {}  # of the first truth of each split and stem
    used: set[tuple[str, str]] = set()
    read = 0
    annotated: set[str] = set()
    missing: list[Path] = []
    for split, track, place, name in truths:
        file, stem = path / place / name, name[:-4]
        if split == "all" and in_splits:
            pages.dropped.note("annotation outside the folders of train and test", file)
            annotated.add(stem)
            continue
        if tracks.setdefault((split, stem), track) != track:
            pages.dropped.note("page of another track as well", file)
            continue
        read += 1
        root = _root(file)
        written = _written_stem(root, place, file)
        image = _nearest(of_stem.get(stem) or of_stem.get(written) or [], place)
        if image is None:
            missing.append(file)
            continue
        if (split, image) in used:
            pages.dropped.note("second truth of an image", file)
            continue
        used.add((split, image))
        annotated.add(os.path.splitext(os.path.basename(image))[0])
        size = image_size(path / image)
        boxes = _boxes(root, file)
        kept = keep_valid(boxes, ["table"] * len(boxes), size, pages.dropped, file)
        pages.add(split, Page(path / image, stem, size, *kept))
    if missing:
        raise UserError(
            f"{len(missing)} of {read} images are missing in {path}; the first is that of {missing[0]}"
        )
    for stem in sorted(of_stem.keys() - annotated):
        for image in sorted(of_stem[stem]):
            pages.dropped.note("image without annotation", path / image)
    return pages


def looks_like_ctdar(path: Path) -> bool:
    """Whether a folder holds cTDaR truths, by a few of its files. Never raises.

    A truth is a `<document>` whose name starts with "cTDaR", or that has a table with `Coords`.
    """
    for file in some_xml(path):
        if file.lower().endswith(_ICDAR2013) or root_tag(file) != "document":
            continue
        if os.path.basename(file).lower().startswith("ctdar"):
            return True
        try:
            if parse_xml(file).find(".//table/Coords") is not None:
                return True
        except UserError:
            continue
    return False


def _track(place: str) -> str:
    """The track that a folder is of, "" where it tells none; track A sorts before track B."""
    tracks = _TRACK.findall(place)
    return re.sub(r"[ _-]", "", tracks[-1]).lower() if tracks else ""


def _nearest(images: list[str], place: str) -> str | None:
    """Of images with one stem, the one that belongs to the truths of this folder."""
    split = split_of(place)
    of_split = [each for each in images if split is None or split_of(os.path.dirname(each)) in (None, split)]

    def distance(image: str) -> tuple[bool, bool, str]:
        folder = os.path.dirname(image)
        return folder != place, _track(folder) != _track(place), image

    return min(of_split, key=distance, default=None)


def _root(file: Path) -> Element:
    root = parse_xml(file)
    if root.tag != "document":
        raise UserError(f"{file} is not a cTDaR truth: expected <document>, found <{brief(root.tag)[1:-1]}>")
    return root


def _written_stem(root: Element, place: str, file: Path) -> str:
    name = root.get("filename", "").strip()
    return os.path.splitext(os.path.basename(inner_path(name, place, file)))[0]


def _boxes(root: Element, file: Path) -> list[Box]:
    """The box around each table's polygon."""
    boxes: list[Box] = []
    for i, table in enumerate(root.iter("table"), start=1):
        coords = table.find("Coords")
        points = "" if coords is None else coords.get("points", "")
        try:
            numbers = [float(number) for number in points.replace(",", " ").split()]
        except ValueError:
            numbers = []
        if len(numbers) < 4 or len(numbers) % 2:
            raise UserError(
                f"{file}: table {i}: expected Coords with points such as 10,20 90,20 90,60 10,60; "
                f"found {'no Coords' if coords is None else brief(points)}"
            )
        if not all(map(isfinite, numbers)):
            numbers = [nan] * len(numbers)  # smallest and largest would depend on the order
        x, y = numbers[::2], numbers[1::2]
        boxes.append((min(x), min(y), max(x), max(y)))
    return boxes
