"""COCO detection JSON: PubLayNet, DocLayNet, TableBank, our synthetic pages and most export tools."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tablesense.data.folder import contents, image_size, locate
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.table import Faults, Pages
from tablesense.errors import UserError

EXPECTED = "annotations.json, train.json, annotations/*.json, train/annotations.json"

_SPELLINGS = {"train": ("train",), "val": ("val", "valid", "validation", "dev"), "test": ("test",)}
_SPLIT_OF = {spelling: split for split, spellings in _SPELLINGS.items() for spelling in spellings}
_SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(_SPLIT_OF)})\d*(?![a-z])", re.IGNORECASE)
_ANNOTATION_FOLDERS = ("annotations", "COCO")  # the second is DocLayNet's, as is "PNG"
_IMAGE_FOLDERS = ("images", "PNG")
_USUAL_NAMES = ("annotations.json", "_annotations.coco.json")
_PAGE_NUMBER = re.compile(r"(?<=.)[_-](?:page[_-]?)?\d+$", re.IGNORECASE)


def read_coco(path: Path) -> Pages:
    """Read a folder of COCO annotations and images, or one annotation file.

    The annotation files are `annotations.json`, `train.json` / `val.json` / `test.json`,
    `annotations/*.json` or `<split>/annotations.json`; a file belongs to the split that its stem
    names ("instances_train2017"), else to the one its folder names, else to "all". Several files of
    one split are read together. Images lie in `images/<split>/`, `<split>/`, `images/`, beside the
    file, or wherever their `file_name` leads from one of these. Every category is kept, under its
    name, whatever its id.

    A page's document is the image's own "document" or "doc_name" where it has one. Otherwise it is
    the stem of the file name, less a page number at its end: `_<digits>`, `-<digits>` or the same
    with "page" before the digits ("PMC123_00004.jpg" and "PMC123_page5.jpg" are both of "PMC123").
    Where that would put all images of a file in one document ("img_0001", "img_0002"), the number
    tells images apart, not pages of a document, and each image is its own.

    Raises:
        UserError: There are no annotations, they are not COCO, or images are missing.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or one such file")
    files = [path] if path.is_file() else annotation_files(path)
    if not files:
        raise UserError(f"no annotations in {path}: expected one of {EXPECTED}; found {contents(path)}")
    pages = Pages()
    for split in (*_SPELLINGS, "all"):
        of_split = [file for file in files if _split(file) == split]
        found = [page for file in of_split for page in _read(file, split, pages.dropped)]
        _refuse_repeats(found, of_split)
        pages.extend(split, found)
    return pages


def annotation_files(folder: Path) -> list[Path]:
    """The COCO files of a data set, told by their names alone.

    Files that name a split win over `annotations.json` and `instances*.json`, and these over any
    other: the others are often notes about the data.
    """
    places = [folder, *(folder / name for name in _ANNOTATION_FOLDERS)]
    files = [file for place in places for file in place.glob("*.json") if not file.name.startswith(".")]
    in_splits = [file for name in _USUAL_NAMES for file in folder.glob(f"*/{name}") if _split(file) != "all"]
    instances = [file for file in files if file.stem.startswith("instances")]
    named = [file for file in instances or files if _SPLIT_WORD.search(file.stem)] + in_splits
    usual = [file for file in files if file.name in _USUAL_NAMES] + instances
    return sorted(set(named or usual or files))


def _split(file: Path) -> str:
    """The one split that a file's stem or, failing that, its folder's whole name stands for."""
    in_stem = {_SPLIT_OF[word.lower()] for word in _SPLIT_WORD.findall(file.stem)}
    if len(in_stem) == 1:
        return in_stem.pop()
    of_folder = _SPLIT_WORD.fullmatch(file.parent.name)
    return _SPLIT_OF[of_folder[1].lower()] if of_folder and not in_stem else "all"


def _read(file: Path, split: str, dropped: Faults) -> list[Page]:
    images, annotations, categories = _load(file)
    try:
        names = [str(image["file_name"]) for image in images]
        sources = {str(image["id"]): image for image in images}
        names_of = {str(image["id"]): name for image, name in zip(images, names, strict=True)}
        # Ids are compared as text: exporters write 1 here and "1" there.
        labels = {str(category["id"]): str(category["name"]) for category in categories}
        of_image: defaultdict[str, list[tuple[Box, str]]] = defaultdict(list)
        for annotation in annotations:
            image_id, category_id = str(annotation["image_id"]), str(annotation["category_id"])
            if category_id not in labels:
                raise UserError(
                    f"{file}: annotation {annotation.get('id')} has category_id {category_id}, "
                    f"expected one of its categories: {', '.join(labels) or 'there are none'}"
                )
            if image_id not in sources:
                raise UserError(
                    f"{file}: annotation {annotation.get('id')} has image_id {image_id}, "
                    "which is not the id of one of its images"
                )
            if annotation.get("iscrowd"):
                dropped.note("crowd", names_of[image_id])
            else:
                of_image[image_id].append((_box(annotation, file), labels[category_id]))
    except KeyError as error:
        raise UserError(f"{file} is not COCO: an image, annotation or category has no {error}") from None
    if len(sources) < len(images):
        raise UserError(
            f"{file}: {len(images) - len(sources)} images have the id of another; make ids unique"
        )

    found = locate(names, _image_folders(file, split), file)
    pages = []
    for image, name, document in zip(images, names, _documents(images, names), strict=True):
        size = _size(image, file) or image_size(found[name])
        tables = of_image[str(image["id"])]
        boxes, kept = keep_valid(
            (box for box, _ in tables), (label for _, label in tables), size, dropped, found[name]
        )
        pages.append(Page(found[name], document, size, boxes, kept))
    return pages


def _load(file: Path) -> tuple[list[dict[str, Any]], ...]:
    keys = ("images", "annotations", "categories")
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{file} is not COCO: expected an object with lists {', '.join(keys)}; found a "
            f"{type(content).__name__}"
        )
    for key in keys:
        items = content.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            found = ", ".join(sorted(content)[:6]) or "nothing"
            raise UserError(f"{file} is not COCO: expected {key} as a list of objects; its keys are {found}")
    return tuple(content[key] for key in keys)


def _box(annotation: dict[str, Any], file: Path) -> Box:
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (TypeError, ValueError):
        raise UserError(
            f"{file}: annotation {annotation.get('id')}: expected a bbox of four numbers, "
            f"[x, y, width, height]; found {annotation['bbox']}"
        ) from None
    return x, y, x + width, y + height


def _size(image: dict[str, Any], file: Path) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    if not width or not height:
        return None
    if not all(isinstance(side, (int, float)) and side > 0 for side in (width, height)):
        raise UserError(f"{file}: image {image['file_name']}: width and height are {width!r} and {height!r}")
    return width, height


def _image_folders(file: Path, split: str) -> list[Path]:
    """Where the images of an annotation file may lie, the most particular place first."""
    roots = [file.parent]
    if file.parent.name in _ANNOTATION_FOLDERS or _SPLIT_WORD.fullmatch(file.parent.name):
        roots.append(file.parent.parent)
    as_written = [match[0] for match in _SPLIT_WORD.finditer(file.stem)]  # "train2017"
    splits = [*as_written, *_SPELLINGS.get(split, ())]
    return [
        folder
        for root in roots
        for folder in (
            *(root / name / images for name in splits for images in _IMAGE_FOLDERS),
            *(root / images / name for images in _IMAGE_FOLDERS for name in splits),
            *(root / name for name in splits),
            *(root / images for images in _IMAGE_FOLDERS),
            root,
        )
    ]


def _documents(images: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    stems = [Path(name).stem for name in names]
    documents = [_PAGE_NUMBER.sub("", stem) for stem in stems]
    if len(set(documents)) == 1 < len(documents):
        documents = stems
    own = (image.get("document") or image.get("doc_name") for image in images)
    return [str(name or document) for name, document in zip(own, documents, strict=True)]


def _refuse_repeats(pages: Sequence[Page], files: Sequence[Path]) -> None:
    for path, times in Counter(page.path for page in pages).most_common(1):
        if times > 1:
            where = " and ".join(file.name for file in files[:3])
            raise UserError(
                f"{path} is named {times} times in {where}: keep one, or give the path of one file"
            )
