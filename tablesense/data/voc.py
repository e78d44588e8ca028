"""Pascal VOC XML: PubTables-1M as downloaded, the VOC devkit's folders, what most tools export."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from math import inf
from pathlib import Path
from reprlib import repr as brief
from xml.etree.ElementTree import Element

from tablesense.data.documents import naming
from tablesense.data.folder import IMAGE_SUFFIXES, contents, image_size
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.splits import split_of
from tablesense.data.table import Faults, Pages
from tablesense.data.xml import (
    Listing,
    inner_path,
    join,
    listing,
    parse_xml,
    root_tag,
    some_xml,
)
from tablesense.errors import UserError

EXPECTED = "Pascal VOC .xml in train/, val/, test/, Annotations/ or beside the images"

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LIST = re.compile(r"(?:.*/)?(?:(\w+)_filelist|ImageSets/(?:Main/)?(\w+))\.txt")
_IMAGE_FOLDER = re.compile(
    r"(?<![a-z])(?:JPEG|JPG|PNG)?(?:images?|imgs?|jpe?gs?|pngs?|scans?|pages?)(?![a-z])", re.I
)
_LISTED_SPLITS = ("train", "val", "test", "trainval")

# What is left out of a data set, by name.
_NO_IMAGE, _NO_ANNOTATION = "annotation without image", "image without annotation"
_UNLISTED, _LISTED_ALONE = "annotation in no file list", "in a file list, without annotation"
_STRAY = "annotation outside the folders of train, val and test"


def read_voc(path: Path) -> Pages:
    """Read every Pascal VOC XML below a folder.

    Splits: by file lists where there are any (`train_filelist.txt` as PubTables-1M has them, `ImageSets/`
    or `ImageSets/Main/` with `train.txt`, `val.txt`, `test.txt` as VOC has; `trainval.txt` only where
    `train.txt` lacks), else by the folder: `train/`, `val/`, `Annotations_Test/` (see `splits.split_of`),
    else "all". A list names XML files by their path, or these or their images by the stem alone, which
    then stands for no file in the folder of another split. An XML that is in no list is left out and
    counted, except in the folder of a split that has none, and so is a listed one that is not there. Where
    some folders name a split, XML outside them is left out and counted. Other lists, such as
    `images_filelist.txt`, are not needed: the folders are listed instead.

    The image of an XML is the one with its stem: in `<filename>`, the name before a renaming often
    survives. Failing that it is the one that `<filename>` names, with or without its suffix. It lies beside
    the XML, or in a folder of images (`images/`, `JPEGImages/`, `Images_Test/`, with the XML's own
    subfolders or without) beside one of the folders that the XML is in, the nearest first, and never in the
    folder of another split. `<path>`, the place on the annotator's disk, is ignored.

    An XML without objects is a page without tables. An image without an XML is counted and left out: each
    image of PubTables-1M and of VOC has its XML, and tools write one for each image that was looked
    at, so a missing one says "not annotated", not "no table". An XML without an image is counted and left
    out too, as Table Transformer's own reader does: half of PubTables-1M's training images are a separate
    download. None with an image is an error.

    Boxes are kept as the numbers that are written. VOC itself counted pixels from 1 and meant the last one
    to be inside; PubTables-1M and most tools write continuous corners from 0, and the files do not say
    which, so a box in VOC's own sense is at most a pixel off. `difficult`, `truncated` and `occluded`
    objects are tables like others. A corner that is missing or not a number is an error; nan is
    counted "not finite" and corners in the wrong order "zero area", as in the other readers. The page's
    size is `<size>`, or the image's own where that is missing or 0. The document is told by the XML's
    name, see `documents.naming`.

    Memory is for the names of the files and the pages' columns; one XML is held at a time.

    Sources: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge"; Smock et al.,
    "PubTables-1M"; github.com/microsoft/table-transformer, `src/table_datasets.py`.

    Args:
        path: The folder that holds both the annotations and the images.

    Raises:
        UserError: There are no annotations or no images to them, an XML or a list is faulty, or one image
            belongs to two annotations of a split.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: expected one with {EXPECTED}")
    files = listing(path, _LIST)
    if not files.annotations:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    pages = Pages()
    document = naming(join(place, name) for place, names in files.annotations.items() for name in names)
    places = _image_places(files)
    used: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place, name, splits in _in_splits(path, files, pages.dropped):
        file = os.path.join(path, place, name)
        root = _root(file) if splits else None
        found = _find(name[:-4], _filename(root, place, file), places[place], files.images)
        if found is None:
            pages.dropped.note(_NO_IMAGE, file)
            continue
        at, image = found
        if root is None:  # it is left out, but its image is not one without annotation
            used["left out"][at].add(image)
            continue
        image_file = Path(os.path.join(path, at, image))
        size = _size(root, file) or image_size(image_file)
        boxes, labels = keep_valid(*_objects(root, file), size, pages.dropped, file)
        page = Page(image_file, document(join(place, name)), size, boxes, labels)
        for split in splits:
            if image in used[split][at]:
                raise UserError(f"{image_file} is the image of {file} and of another annotation: keep one")
            used[split][at].add(image)
            pages.add(split, page)
    if pages.dropped[_NO_IMAGE] and not used:
        raise UserError(
            f"no image to any of the {pages.dropped[_NO_IMAGE]} annotations in {path}, the first of them "
            f"{pages.dropped.examples[_NO_IMAGE][0]}: give the folder that holds both, the images beside "
            "the annotations or in images/"
        )
    for at in sorted({at for of_place in places.values() for at, _ in of_place}):
        annotated: set[str] = set().union(*(images[at] for images in used.values() if at in images))
        for image in sorted(files.images[at] - annotated):
            pages.dropped.note(_NO_ANNOTATION, path / at / image)
    return pages


def looks_like_voc(path: Path) -> bool:
    """Whether a folder holds Pascal VOC XML, by the root element of a few files. Never raises."""
    return any(root_tag(file) == "annotation" for file in some_xml(path))


# -- splits ----------------------------------------------------------------------------------------


def _in_splits(path: Path, files: Listing, dropped: Faults) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each annotation's folder, name and splits, in order; none for one that is in no list."""
    listed = _listed(path, files)
    with_list = set(chain.from_iterable(listed.values()))
    of_folder = {place: split_of(place) for place in files.annotations}
    unmatched = set(listed)
    for place in sorted(files.annotations):
        by_folder = of_folder[place]
        for name in files.annotations[place]:
            keys = [key for key in _keys(place, name[:-4]) if _means(key, by_folder, listed)]
            if keys:
                unmatched.difference_update(keys)
                yield place, name, listed[keys[0]]
            elif by_folder and by_folder not in with_list:
                yield place, name, (by_folder,)
            elif with_list:
                dropped.note(_UNLISTED, path / place / name)
                yield place, name, ()
            elif any(of_folder.values()):
                dropped.note(_STRAY, path / place / name)
                yield place, name, ()
            else:
                yield place, name, ("all",)
    if listed and len(unmatched) == len(listed):
        raise UserError(
            f"none of the {len(listed)} names in the file lists of {path} is an annotation there, the first "
            f"is {brief(min(listed))}: put the lists right or move them away"
        )
    for key in sorted(unmatched):
        dropped.note(_LISTED_ALONE, key)


def _keys(place: str, stem: str) -> Iterator[str]:
    """What an annotation may be called in a list, as `_lines` reads it."""
    yield join(place, stem)
    if place:
        yield stem
    bare, suffix = os.path.splitext(stem)
    if suffix.lower() in IMAGE_SUFFIXES:  # "page.jpg.xml", listed as "page.jpg"
        yield bare


def _means(key: str, split: str | None, listed: dict[str, tuple[str, ...]]) -> bool:
    """Whether a list's entry stands for an annotation: a bare stem not for one in another split's folder."""
    return key in listed and (split is None or "/" in key or split in listed[key])


def _listed(path: Path, files: Listing) -> dict[str, tuple[str, ...]]:
    """The splits that each path without suffix is listed for."""
    of_split: defaultdict[str, list[str]] = defaultdict(list)
    for name in files.lists:
        match = _LIST.fullmatch(name)
        if match and (split := (match[1] or match[2]).lower()) in _LISTED_SPLITS:
            of_split[split].append(name)
    trainval = of_split.pop("trainval", [])
    if trainval and "train" not in of_split:
        of_split["train"] = trainval
    listed: dict[str, tuple[str, ...]] = {}
    for split, names in of_split.items():
        for name in names:
            for key in _lines(path, name, files):
                if split not in listed.get(key, ()):
                    listed[key] = (*listed.get(key, ()), split)
    return listed


def _lines(path: Path, name: str, files: Listing) -> Iterator[str]:
    """The entries of a list: paths without suffix, or stems where no annotations lie in their folder."""
    file = path / name
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for line in lines:
                if entry := line.strip():
                    key = inner_path(entry, os.path.dirname(name), file)
                    stem, suffix = os.path.splitext(key)
                    if suffix.lower() in IMAGE_SUFFIXES or suffix.lower() == ".xml":
                        key = stem  # what follows the dot of "report.v2" is no suffix
                    folder, stem = os.path.split(key)
                    yield key if folder in files.annotations and suffix.lower() == ".xml" else stem
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of files: {error}") from error


# -- images ----------------------------------------------------------------------------------------

_Places = list[tuple[str, tuple[str, ...]]]


def _image_places(files: Listing) -> dict[str, _Places]:
    """Where the images of each folder of annotations may lie, the nearest first, with the suffixes there."""
    suffixes = {at: sorted(set(map(_suffix, names))) for at, names in files.images.items()}
    beside: defaultdict[str, set[str]] = defaultdict(set)
    for at in files.images:
        parts = at.split("/")
        for depth, name in enumerate(parts):
            if _IMAGE_FOLDER.search(name):
                beside["/".join(parts[:depth])].add("/".join(parts[: depth + 1]))
    places: dict[str, _Places] = {}
    for place in files.annotations:
        parts = place.split("/") if place else []
        candidates = [place]
        for depth in range(len(parts), -1, -1):
            base, below = "/".join(parts[:depth]), parts[depth:]
            for folder in sorted(beside.get(base, ())):
                candidates += ["/".join([folder, *below]), "/".join([folder, *below[1:]]), folder]
            candidates.append(base)
        split = split_of(place)
        places[place] = [
            (at, ("", *suffixes[at]))
            for at in dict.fromkeys(candidates)
            if at in suffixes and (split is None or split_of(at) in (None, split))
        ]
    return places


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1]


def _find(stem: str, filename: str, places: _Places, images: dict[str, set[str]]) -> tuple[str, str] | None:
    """The folder and the name of the image with this stem, else of the one called `filename`."""
    written = _suffix(filename)
    for at, suffixes in places:
        for suffix in (written, *suffixes):
            if stem + suffix in images[at]:
                return at, stem + suffix
    folder, name = os.path.split(filename)
    for at, suffixes in places if name else ():
        within = join(at, folder) if folder else at
        for suffix in suffixes if within in images else ():
            if name + suffix in images[within]:
                return within, name + suffix
    return None


# -- one annotation --------------------------------------------------------------------------------


def _root(file: str) -> Element:
    root = parse_xml(file)
    if root.tag != "annotation":
        raise UserError(f"{file} is not Pascal VOC: expected <annotation>, found <{brief(root.tag)[1:-1]}>")
    return root


def _filename(root: Element | None, place: str, file: str) -> str:
    name = "" if root is None else (root.findtext("filename") or "").strip()
    if "/" in name or "\\" in name:
        inner_path(name, place, file)
        name = os.path.normpath(name.replace("\\", "/"))
        while name.startswith("../"):  # it stays in the data set, and is looked for in all of it
            name = name.removeprefix("../")
    return name


def _size(root: Element, file: str) -> tuple[float, float] | None:
    size = root.find("size")
    if size is None:
        return None
    written = [(size.findtext(side) or "").strip() for side in ("width", "height")]
    try:
        width, height = (float(side or 0) for side in written)
    except ValueError:
        width = height = -1
    if not (0 <= width < inf and 0 <= height < inf):
        raise UserError(f"{file}: expected a size of width and height in pixels, found {brief(written)}")
    return (width, height) if width and height else None


def _objects(root: Element, file: str) -> tuple[list[Box], list[str]]:
    boxes: list[Box] = []
    labels: list[str] = []
    for i, item in enumerate(root.findall("object"), start=1):
        label = (item.findtext("name") or "").strip()
        if not label:
            raise UserError(f"{file}: object {i} has no name: expected one such as table")
        box = item.find("bndbox")
        try:
            if box is None:
                raise ValueError
            x0, y0, x1, y1 = (float(box.findtext(corner) or "") for corner in _CORNERS)
        except ValueError:
            found = "no bndbox" if box is None else brief({each.tag: each.text for each in box})
            raise UserError(
                f"{file}: object {i}: expected a bndbox of numbers {', '.join(_CORNERS)}; found {found}"
            ) from None
        boxes.append((x0, y0, x1, y1))
        labels.append(label)
    return boxes, labels
