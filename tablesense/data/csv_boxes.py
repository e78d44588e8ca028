"""One CSV of boxes beside a folder of images, as UNLV's tables are published."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tablesense.data.folder import contents, image_size, locate
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.table import Pages
from tablesense.errors import UserError

COLUMNS = ("filename", "xmin", "ymin", "xmax", "ymax", "class")
EXPECTED = f"a .csv of {','.join(COLUMNS)}"

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"}


def read_csv_boxes(path: Path) -> Pages:
    """Read a folder with one CSV of boxes and its images, as the split "all".

    A row is one box in pixels: `filename,xmin,ymin,xmax,ymax,class`, further columns ignored. A row
    without coordinates names a page without a table, and so does every image of the folder that
    no row names. Images lie in `images/`, else beside the CSV. The document is the file name up to
    its first `_`; where that is the same for all, each image is its own.

    Raises:
        UserError: There is not one such CSV, a cell is faulty, or images are missing.
    """
    file = _table(path)
    tables = _boxes(file)
    images = file.parent / "images"
    folder = images if images.is_dir() else file.parent
    found = locate(list(tables), (folder, file.parent), file)
    named = set(found.values())
    for image in folder.iterdir():
        if image.suffix.lower() in _SUFFIXES and image not in named and not image.name.startswith("."):
            found[image.name] = image
    files = sorted(found.items(), key=lambda item: item[1])
    documents = [image.stem.split("_")[0] for _, image in files]
    if len(set(documents)) == 1:
        documents = [image.stem for _, image in files]
    pages = Pages()
    for (name, image), document in zip(files, documents, strict=True):
        boxes, labels = zip(*tables[name], strict=True) if tables.get(name) else ((), ())
        size = image_size(image)
        pages.add("all", Page(image, document, size, *keep_valid(boxes, labels, size, pages.dropped, image)))
    return pages


def box_tables(folder: Path) -> list[Path]:
    """The CSV files of a folder whose first line has the columns of a box."""
    return [file for file in sorted(folder.glob("*.csv")) if not _lacking(_header(file))]


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
    return next(_rows(file), [])


def _lacking(header: list[str]) -> list[str]:
    return [column for column in COLUMNS if column not in header]


def _rows(file: Path) -> Iterator[list[str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:  # Excel starts a file with a mark
            for row in csv.reader(lines):
                yield [cell.strip() for cell in row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as CSV: {error}") from error


def _boxes(file: Path) -> dict[str, list[tuple[Box, str]]]:
    rows = _rows(file)
    header = next(rows)
    tables: dict[str, list[tuple[Box, str]]] = {}
    for line, cells in enumerate(rows, start=2):
        if not any(cells):
            continue
        row = dict(zip(header, cells, strict=False))
        name, *corners, label = (row.get(column, "") for column in COLUMNS)
        if not name:
            raise UserError(f"{file}, line {line}: filename is empty")
        on_page = tables.setdefault(name, [])
        if any(corners):
            if not label:
                raise UserError(f"{file}, line {line}: class is empty: expected a name such as table")
            x0, y0, x1, y1 = (
                _number(cell, f"{file}, line {line}: {column}")
                for column, cell in zip(COLUMNS[1:], corners, strict=False)
            )
            on_page.append(((x0, y0, x1, y1), label))
    return tables


def _number(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise UserError(f"{where} is {cell!r}: expected a number") from None
