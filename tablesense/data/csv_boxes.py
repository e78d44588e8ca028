"""One CSV of boxes beside a folder of images, as UNLV's tables are published."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tablesense.data.documents import naming
from tablesense.data.folder import IMAGE_SUFFIXES, contents, image_size, locate_folders
from tablesense.data.page import Page, keep_valid
from tablesense.data.table import Pages, progress
from tablesense.errors import UserError

COLUMNS = ("filename", "xmin", "ymin", "xmax", "ymax", "class")
EXPECTED = f"a .csv of {','.join(COLUMNS)}"

_SEPARATORS = ",;\t"


def read_csv_boxes(path: Path) -> Pages:
    """Read a folder with one CSV of boxes and its images, as the split "all".

    A row is one box in pixels: `filename,xmin,ymin,xmax,ymax,class`, further columns ignored. A row
    without coordinates names a page without a table, and so does every image of the folder that
    no row names. Images lie in `images/`, else beside the CSV. The document is told by the
    file name (see `documents.naming`).

    Cells are separated by commas, or by semicolons or tabs where the first line has more of those. With
    semicolons numbers may have a decimal comma, as Excel writes both where a comma is one. The text is
    UTF-8, with or without a byte order mark.

    The size of each image is read from its header, since the CSV has none. Rows are read as a stream into
    columns: memory is for the names of the images and 40 bytes a box.

    Raises:
        UserError: There is not one such CSV, a cell is faulty, or images are missing or lie outside the
            folder.
    """
    file = _table(path)
    content = _content(file)
    images = file.parent / "images"
    folder = images if images.is_dir() else file.parent
    homes = locate_folders(content.names, (folder, file.parent), file)
    rows: dict[str, dict[str, int]] = {}  # of each folder's images: which page they are
    page_of = np.zeros(len(homes), np.int64)  # of each name: several may lead to one image
    for i, (home, name) in enumerate(zip(homes, content.names, strict=True)):
        of_home = rows.setdefault(home, {})
        page_of[i] = of_home.setdefault(os.path.basename(name), i)
    of_folder = rows.setdefault(str(folder), {})
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not entry.name.startswith("."):
                of_folder.setdefault(entry.name, len(homes))
    box_pages = page_of[content.images]
    order = np.argsort(box_pages, kind="stable")
    starts = np.searchsorted(box_pages[order], np.arange(len(homes) + 2))
    boxes, box_labels = content.boxes[order], content.labels[order]
    places = {home: os.path.relpath(home, file.parent) for home in sorted(rows)}
    rule = naming(os.path.join(place, name) for home, place in places.items() for name in rows[home])
    pages = Pages()
    for home, place in places.items():
        for name in sorted(rows[home]):
            image = Path(home, name)
            size = image_size(image)
            first, last = starts[rows[home][name] : rows[home][name] + 2]
            labels = [content.classes[label] for label in box_labels[first:last].tolist()]
            kept = keep_valid(boxes[first:last].tolist(), labels, size, pages.dropped, image)
            pages.add("all", Page(image, rule(os.path.join(place, name)), size, *kept))
    return pages


def box_tables(folder: Path) -> list[Path]:
    """The CSV files of a folder whose first line has the columns of a box."""
    return [file for file in sorted(folder.glob("*.csv")) if not _lacking(_header(file))]


def looks_like_csv(folder: Path) -> bool:
    """Whether a folder has a table of boxes. Never raises."""
    try:
        return bool(box_tables(folder))
    except UserError:
        return False


def _table(path: Path) -> Path:
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = box_tables(path) or sorted(path.glob("*.csv"))
    else:
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or such a file")
    if not files:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    header = _header(files[0])
    lacking = _lacking(header)
    if lacking:
        raise UserError(
            f"{files[0]} lacks {', '.join(lacking)}: expected columns {','.join(COLUMNS)}; "
            f"found {','.join(header) or 'an empty file'}"
        )
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:3])
        raise UserError(f"{len(files)} files of boxes in {path} ({names}): give the path of one")
    return files[0]


def _header(file: Path) -> list[str]:
    return next((cells for _, cells in _rows(file)), [])


def _lacking(header: list[str]) -> list[str]:
    return [column for column in COLUMNS if column not in header]


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row's line and cells, the header's first."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:  # Excel starts a file with a mark
            rows = csv.reader(lines, delimiter=_separator(file))
            for cells in rows:
                yield rows.line_num, [cell.strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise UserError(f"{file} cannot be read as CSV: {error}: save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as CSV: {error}") from error


def _separator(file: Path) -> str:
    """What the first line has most of; a comma where it has none."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        return max(_SEPARATORS, key=lines.readline().count)


class _Content(NamedTuple):
    """What a CSV says: image names, class names, and by box its image, its class and xyxy in pixels."""

    names: list[str]
    classes: list[str]
    images: NDArray[np.int32]
    labels: NDArray[np.int32]
    boxes: NDArray[np.float64]


def _content(file: Path) -> _Content:
    rows = _rows(file)
    header = next(rows)[1]
    places = [header.index(column) for column in COLUMNS]
    decimal_comma = _separator(file) == ";"
    names: dict[str, int] = {}
    classes: dict[str, int] = {}
    images, labels, boxes = array("i"), array("i"), array("d")
    for line, cells in rows:
        progress["rows"] += 1
        if not any(cells):
            continue
        name, *corners, label = (cells[place] if place < len(cells) else "" for place in places)
        if not name:
            raise UserError(f"{file}, line {line}: filename is empty")
        image = names.setdefault(name, len(names))
        if any(corners):
            if not label:
                raise UserError(f"{file}, line {line}: class is empty: expected a name such as table")
            for column, cell in zip(COLUMNS[1:], corners, strict=False):
                try:
                    boxes.append(float(cell.replace(",", ".") if decimal_comma else cell))
                except ValueError:
                    raise UserError(f"{file}, line {line}: {column} is {cell!r}: expected a number") from None
            images.append(image)
            labels.append(classes.setdefault(label, len(classes)))
    return _Content(
        list(names),
        list(classes),
        np.frombuffer(images, np.int32),
        np.frombuffer(labels, np.int32),
        np.frombuffer(boxes).reshape(-1, 4),
    )
