"""COCO detection JSON: PubLayNet, DocLayNet, TableBank, our synthetic pages and most export tools."""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tablesense.data.documents import naming
from tablesense.data.folder import contents, image_size, locate_folders
from tablesense.data.json_members import members
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.splits import SPELLINGS, SPLIT_OF
from tablesense.data.table import Pages, progress
from tablesense.errors import UserError

EXPECTED = "annotations.json, train.json, annotations/*.json, train/annotations.json"

_SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_OF)})(?:ing|[_-]?set)?\d*(?![a-z])", re.IGNORECASE)
_ANNOTATION_FOLDERS = ("annotations", "COCO")  # the second is DocLayNet's, as is "PNG"
_IMAGE_FOLDERS = ("images", "PNG")
_LIST = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
_USUAL_NAMES = ("annotations.json", "_annotations.coco.json")


def read_coco(path: Path) -> Pages:
    """Read a folder of COCO annotations and images, or one annotation file.

    The annotation files are `annotations.json`, `train.json` / `val.json` / `test.json`,
    `annotations/*.json` or `<split>/annotations.json`; a file belongs to the split that its stem
    names ("instances_train2017"), else to the one its folder names, else to "all". Several files of
    one split are read together. Images lie in `images/<split>/`, `<split>/`, `images/`, beside the
    file, or wherever their `file_name` leads from one of these. Every category is kept, under its
    name, whatever its id. Files are read as a stream: two million boxes take some hundred megabytes.

    A box is `bbox`. Where that is absent or null it is the smallest box around the points of the
    `segmentation` when this is polygons, or around its pixels when it is a run-length code. Crowds are
    counted and left out.

    A page's document is the image's own "document" or "doc_name" where it has one, and else told by the
    name of its file, compared with all names of its split: see `documents.naming`.

    Raises:
        UserError: There are no annotations, they are not COCO, or images are missing or lie outside the
            data set's folder.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or one such file")
    files = [path] if path.is_file() else annotation_files(path)
    if not files:
        raise UserError(f"no annotations in {path}: expected one of {EXPECTED}; found {contents(path)}")
    pages = Pages()
    for split in (*SPELLINGS, "all"):
        of_split = [file for file in files if _split(file) == split]
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        loaded = [(file, _load(file)) for file in of_split]
        # There may be a file for each document: only together do the names tell pages from documents.
        rule = naming(name for _, content in loaded for name in content.names)
        for file, content in loaded:
            _read(file, content, split, rule, pages, seen)
        _refuse_repeats(seen, of_split)
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


def looks_like_coco(folder: Path) -> bool:
    """Whether a folder holds COCO files, told by their names, or else by how one starts. Never raises."""
    return any(_is_named(file) or _starts_as_coco(file) for file in annotation_files(folder))


def _is_named(file: Path) -> bool:
    return file.name in _USUAL_NAMES or file.stem.startswith("instances") or _split(file) != "all"


def _starts_as_coco(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(2**18)
    except OSError:
        return False
    return bool(_LIST.search(head.replace(b"\0", b"")))  # in UTF-16 and -32 the other bytes are 0


def _split(file: Path) -> str:
    """The one split that a file's stem or, failing that, its folder's whole name stands for."""
    in_stem = {SPLIT_OF[word.lower()] for word in _SPLIT_WORD.findall(file.stem)}
    if len(in_stem) == 1:
        return in_stem.pop()
    of_folder = _SPLIT_WORD.fullmatch(file.parent.name)
    return SPLIT_OF[of_folder[1].lower()] if of_folder and not in_stem else "all"


@dataclass
class _Content:
    """What an annotation file says, in columns; which of its lists comes first does not matter.

    Ids are compared as text, as exporters write 1 here and "1" there, and numbered as they are met.
    """

    image_numbers: dict[str, int] = field(default_factory=dict)
    category_numbers: dict[str, int] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    # of each image; its size is 0, 0 where the file has none
    names: list[str] = field(default_factory=list)
    documents: list[str | None] = field(default_factory=list)
    sizes: array[float] = field(default_factory=lambda: array("d"))
    images: array[int] = field(default_factory=lambda: array("i"))
    # of each annotation
    boxes: array[float] = field(default_factory=lambda: array("d"))
    crowd: array[int] = field(default_factory=lambda: array("b"))
    box_images: array[int] = field(default_factory=lambda: array("i"))
    box_categories: array[int] = field(default_factory=lambda: array("i"))

    def add_image(self, image: dict[str, Any], file: Path) -> None:
        name = str(image["file_name"])
        self.images.append(self.image_numbers.setdefault(str(image["id"]), len(self.image_numbers)))
        self.names.append(name)
        own = (image.get(key) for key in ("document", "doc_name"))
        self.documents.append(next((str(each) for each in own if each is not None and each != ""), None))
        self.sizes.extend(_size(image, file))

    def add_annotation(self, annotation: dict[str, Any], file: Path) -> None:
        image, category = str(annotation["image_id"]), str(annotation["category_id"])
        crowd = bool(annotation.get("iscrowd"))
        self.boxes.extend((0, 0, 0, 0) if crowd else _box(annotation, file))
        self.crowd.append(crowd)
        self.box_images.append(self.image_numbers.setdefault(image, len(self.image_numbers)))
        self.box_categories.append(self.category_numbers.setdefault(category, len(self.category_numbers)))

    def add_category(self, category: dict[str, Any], file: Path) -> None:
        number = self.category_numbers.setdefault(str(category["id"]), len(self.category_numbers))
        self.labels[number] = str(category["name"])


def _read(
    file: Path,
    content: _Content,
    split: str,
    rule: Callable[[str], str],
    pages: Pages,
    seen: defaultdict[str, Counter[str]],
) -> None:
    """Add the pages of one file, and count the images of the split in `seen`, by folder and name."""
    rows = _rows(content, file)
    homes = locate_folders(content.names, _image_folders(file, split), file)
    crowd = np.frombuffer(content.crowd, bool)
    for row in rows[crowd].tolist():
        pages.dropped.note("crowd", content.names[row])
    order = np.argsort(rows, kind="stable")
    order = order[~crowd[order]]
    starts = np.searchsorted(rows[order], np.arange(len(homes) + 1)).tolist()
    boxes = np.frombuffer(content.boxes).reshape(-1, 4)[order]
    categories = np.frombuffer(content.box_categories, np.int32)[order]
    sizes = np.frombuffer(content.sizes).reshape(-1, 2)
    for row, home in enumerate(homes):
        name = os.path.basename(content.names[row])
        document = content.documents[row] or rule(content.names[row])
        seen[home][name] += 1
        path = Path(home, name)
        width, height = sizes[row].tolist()
        size = (width, height) if width else image_size(path)
        of_page = slice(starts[row], starts[row + 1])
        labels = [content.labels[category] for category in categories[of_page].tolist()]
        kept = keep_valid(boxes[of_page].tolist(), labels, size, pages.dropped, path)
        pages.add(split, Page(path, document, size, *kept))


def _load(file: Path) -> _Content:
    content = _Content()
    add = {
        "images": content.add_image,
        "annotations": content.add_annotation,
        "categories": content.add_category,
    }
    keys: list[str] = []
    faulty = set(add)
    try:
        for key, value in members(file, f"COCO: expected an object with lists {', '.join(add)}"):
            keys.append(key)
            if key not in add or not isinstance(value, Iterator):
                continue
            faulty.discard(key)
            for item in value:
                if not isinstance(item, dict):
                    faulty.add(key)
                    break
                add[key](item, file)
                progress[key] += 1
    except KeyError as error:
        raise UserError(f"{file} is not COCO: an image, annotation or category has no {error}") from None
    for key in add:
        if key in faulty:
            found = ", ".join(sorted(keys)[:6]) or "nothing"
            raise UserError(f"{file} is not COCO: expected {key} as a list of objects; its keys are {found}")
    return content


def _rows(content: _Content, file: Path) -> NDArray[np.int32]:
    """The index of each annotation's image, all of which must be there once, as must its category."""
    images = np.frombuffer(content.images, np.int32)
    row_of = np.full(len(content.image_numbers), -1, np.int32)
    row_of[images] = np.arange(len(images))
    rows = row_of[np.frombuffer(content.box_images, np.int32)]
    named = np.array([number in content.labels for number in content.category_numbers.values()], bool)
    faulty = np.flatnonzero((rows < 0) | ~named[np.frombuffer(content.box_categories, np.int32)])
    if len(faulty):
        annotation = _annotation(file, int(faulty[0]))
        said = f"{file}: annotation {annotation.get('id')} has"
        if content.category_numbers[str(annotation["category_id"])] not in content.labels:
            raise UserError(
                f"{said} category_id {annotation['category_id']}, expected one of its categories: "
                f"{', '.join(_ids(content)) or 'there are none'}"
            )
        raise UserError(f"{said} image_id {annotation['image_id']}, which is not the id of one of its images")
    repeated = len(images) - np.count_nonzero(row_of >= 0)
    if repeated:
        raise UserError(f"{file}: {repeated} images have the id of another; make ids unique")
    return rows


def _ids(content: _Content) -> list[str]:
    return [written for written, number in content.category_numbers.items() if number in content.labels]


def _annotation(file: Path, i: int) -> dict[str, Any]:
    """Read the file again for one annotation: its own id is needed when it is at fault, and kept for none."""
    lists = (value for key, value in members(file, "COCO") if key == "annotations")
    annotations = (item for value in lists if isinstance(value, Iterator) for item in value)
    annotation: dict[str, Any] = next(islice(annotations, i, None))
    return annotation


def _box(annotation: dict[str, Any], file: Path) -> Box:
    if annotation.get("bbox") is None and annotation.get("segmentation"):
        return _around(annotation, file)
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{file}: annotation {annotation.get('id')}: expected a bbox of four numbers, "
            f"[x, y, width, height]; found {_short(annotation['bbox'])}"
        ) from None
    return x, y, x + width, y + height


def _around(annotation: dict[str, Any], file: Path) -> Box:
    """The box around polygons or a run-length code."""
    shape = annotation["segmentation"]
    try:
        if isinstance(shape, dict):
            return _around_runs(shape)
        points = np.concatenate([np.asarray(polygon, float).reshape(-1, 2) for polygon in shape])
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x0, y0, x1, y1
    except (TypeError, ValueError, KeyError, OverflowError):
        raise UserError(
            f"{file}: annotation {annotation.get('id')} has no 'bbox', and a segmentation that is neither "
            f"polygons of [x, y, ...] nor a run-length code: {_short(shape)}"
        ) from None


def _around_runs(code: dict[str, Any]) -> Box:
    from pycocotools import mask  # compiled, and hardly any data set needs it

    height, width = (index(side) for side in code["size"])
    if min(height, width) < 1:
        raise ValueError(code["size"])
    if isinstance(code["counts"], list):
        code = mask.frPyObjects(code, height, width)
    x, y, w, h = mask.toBbox(code).tolist()
    return x, y, x + w, y + h


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _size(image: dict[str, Any], file: Path) -> tuple[float, float]:
    """Width and height; 0, 0 where the file has none."""
    width, height = image.get("width"), image.get("height")
    if not width or not height:
        return 0, 0
    if not all(isinstance(side, (int, float)) and 0 < side < 1e9 for side in (width, height)):
        raise UserError(f"{file}: image {image['file_name']}: width and height are {width!r} and {height!r}")
    return width, height


def _image_folders(file: Path, split: str) -> list[Path]:
    """Where the images of an annotation file may lie, the most particular place first."""
    roots = [file.parent]
    if file.parent.name in _ANNOTATION_FOLDERS or _SPLIT_WORD.fullmatch(file.parent.name):
        roots.append(file.parent.parent)
    as_written = [match[0] for match in _SPLIT_WORD.finditer(file.stem)]  # "train2017"
    splits = [*as_written, *SPELLINGS.get(split, ())]
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


def _refuse_repeats(seen: dict[str, Counter[str]], files: Sequence[Path]) -> None:
    for folder, names in seen.items():
        name, times = names.most_common(1)[0]
        if times > 1:
            where = " and ".join(file.name for file in files[:3])
            raise UserError(
                f"{Path(folder, name)} is named {times} times in {where}: keep one, "
                "or give the path of one file"
            )
