"""Object detection rows of the library `datasets`, from disk: what it saves, and parquet as on the hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from tablesense.data.documents import naming
from tablesense.data.huggingface.extraction import extracted, left_out, read_rows
from tablesense.data.huggingface.stored import DICT, EXPECTED, is_saved
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.table import Pages
from tablesense.errors import UserError

_GLANCE, _PLACES, _DEPTH = 1000, 50, 2  # entries, folders and levels that recognition looks at
_BEYOND = 1.0  # pixels; `keep_valid` counts a box as leaving its page from there
_SEVERAL = 0.1  # the share of impossible boxes that says that corners were meant, or sizes


def read_huggingface(path: Path) -> Pages:
    """Read rows of images and boxes, `[x, y, width, height]` in pixels, that the library `datasets` wrote.

    The path is a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, a folder with
    parquet files as downloaded from the hub (`data/train-00000-of-00001.parquet`, `train/0000.parquet`), or
    one such file. Nothing is downloaded and no code of the data set runs.

    Columns: `image` (an Image, else encoded bytes, else a path), and `objects` with `bbox` (or `bboxes`,
    `boxes`) and `category` (or `categories`, `category_id`, `label`, `labels`), as a dict of lists or a list
    of dicts; without `objects`, these two are columns of their own. A category is a ClassLabel, a
    name, or a number, which is then called `class_<number>`. A row without objects is a page without tables.
    Where there are `width` and `height`, boxes are in a frame of that size, else in the image's
    pixels. The document is the column `document` or `doc_name`, else told by the image's own name (see
    `documents.naming`); where all images have one name, each is its own. The split is told by its name or
    the file's (see `splits.split_of`), else it is "all"; where some name one, other rows are left out and
    counted. So are rows without an image, or with one that cannot be read.

    The hub's habit is COCO's boxes, `[x, y, width, height]`, but some data sets hold corners
    `[x0, y0, x1, y1]`, and nothing in them says so: for those there is `read_huggingface_xyxy`, the
    format "huggingface_xyxy". The format is never guessed. It is refused where the numbers contradict it:
    a tenth of the boxes or more is impossible as read, and every one possible in the other way.

    Images are bytes within Arrow. The first reading writes each as it is, one after another, to a file in
    `$XDG_CACHE_HOME/tablesense/huggingface/<key>/` (or below `~/.cache`), with the rows in `rows.jsonl`;
    later ones read that alone. A reading that was interrupted goes on where it was. The key is of the names,
    sizes and times of the data set's files, so that changed data are extracted anew. Deleting the folder
    frees its space, which is that of the images. An image that is stored as a path is used where it is,
    which must be in the data set's folder.

    Sources: https://huggingface.co/docs/datasets/object_detection; `datasets.Features`, `load_from_disk`.

    Raises:
        UserError: The library is missing, there are no such rows or columns, a row is faulty, an image's path
            is missing or leads out of the folder, boxes are of the other kind, or there is no space.
    """
    return _read(path, corners=False)


def read_huggingface_xyxy(path: Path) -> Pages:
    """As `read_huggingface`, with boxes `[x0, y0, x1, y1]` in pixels."""
    return _read(path, corners=True)


def looks_like_huggingface(path: Path) -> bool:
    """Whether `datasets` wrote this, by the names of files: a few folders are looked at. Never raises."""
    if path.suffix == ".parquet":
        return path.is_file()
    if (path / DICT).is_file() or is_saved(path):
        return True
    places = [(path, 0)]
    for place, depth in places:
        try:
            with os.scandir(place) as entries:
                first = list(islice(entries, _GLANCE))
        except OSError:
            continue
        if any(entry.name.endswith(".parquet") for entry in first):
            return True
        if depth < _DEPTH:
            folders = [entry.path for entry in first if entry.is_dir() and not entry.name.startswith(".")]
            places += [(Path(folder), depth + 1) for folder in folders[: _PLACES - len(places)]]
    return False


def _read(path: Path, corners: bool) -> Pages:
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or one .parquet")
    root = path.parent if path.is_file() else path
    place = extracted(path, root)
    key = "file" if _one_name(place) else "name"
    rule = naming(row.get("path") or row[key] for row in read_rows(place) if "name" in row)
    pages = Pages()
    for fault, count in left_out(place).items():
        pages.dropped.note("rows of a split that is none of train, val and test", fault)
        pages.dropped["rows of a split that is none of train, val and test"] += count - 1
    boxes = impossible = possible_otherwise = 0
    for row in read_rows(place):
        if "fault" in row:
            pages.dropped.note(row["fault"], row["where"])
            continue
        width, height = size = tuple(row["size"])
        as_read: list[Box] = []
        for numbers in row["boxes"]:
            ways = _corners(numbers), tuple(numbers)
            as_read.append(ways[corners])
            boxes += 1
            impossible += not _possible(ways[corners], width, height)
            possible_otherwise += _possible(ways[not corners], width, height)
        file = root / row["path"] if "path" in row else place / row["file"]
        document = row.get("document") or rule(row.get("path") or row[key])
        kept = keep_valid(as_read, row["labels"], size, pages.dropped, file)
        pages.add(row["split"], Page(file, document, size, *kept))
    if impossible >= max(1, _SEVERAL * boxes) and possible_otherwise == boxes:
        found, other, key = "[x, y, width, height]", "[x0, y0, x1, y1]", "huggingface_xyxy"
        if corners:
            found, other, key = other, found, "huggingface"
        raise UserError(
            f"{path}: {impossible} of {boxes} boxes are impossible as {found}, and all fit as {other}: "
            f"read it as the format {key}"
        )
    return pages


def _one_name(place: Path) -> bool:
    """Whether several images are all of one name, such as "image.png", which then tells no document."""
    names = (row["name"] for row in read_rows(place) if "file" in row)
    first, second = next(names, None), next(names, None)
    return second is not None and first == second and all(name == first for name in names)


def _corners(numbers: Iterable[float]) -> Box:
    x, y, width, height = numbers
    return x, y, x + width, y + height


def _possible(box: Box, width: float, height: float) -> bool:
    """Whether a box has an area and lies on its page."""
    x0, y0, x1, y1 = box
    return -_BEYOND <= x0 < x1 <= width + _BEYOND and -_BEYOND <= y0 < y1 <= height + _BEYOND
