"""The rows and images of a data set of `datasets`, written to files of their own, once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from tablesense.data.folder import contents
from tablesense.data.huggingface.row import Columns, Row, columns_of, record
from tablesense.data.huggingface.stored import (
    EXPECTED,
    Part,
    parquet_files,
    parquet_parts,
    saved_files,
    saved_folders,
    saved_parts,
)
from tablesense.data.table import progress
from tablesense.errors import UserError
from tablesense.files import cache_folder

VERSION = 2
"""Part of the name of extracted data: raise it with every change to `row.record`."""

_ROWS, _DONE = "rows.jsonl", "done.json"


def extracted(path: Path, root: Path) -> Path:
    """The folder of the images and rows of a data set, complete.

    Args:
        path: The folder or file that was given.
        root: The data set's folder.

    Raises:
        UserError: As `read_huggingface` says.
    """
    files = parquet_files(path) if path.is_file() or not saved_folders(path) else saved_files(path)
    if not files:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(root)}")
    traces = [(os.path.relpath(file, root), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    key = sha256(json.dumps([VERSION, *traces]).encode(errors="surrogatepass")).hexdigest()[:16]
    home = cache_folder() / "huggingface"
    place = home / key
    if (place / _DONE).is_file():
        return place
    try:
        import datasets  # 0.8 s, and the library is optional
        from filelock import FileLock
    except ImportError:
        raise UserError(
            f"{path} needs the library datasets to be read: pip install 'tablesense[huggingface]'"
        ) from None
    try:
        parts = saved_parts(path) if saved_folders(path) else parquet_parts(files, root)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be read by datasets {datasets.__version__}: {_line(error)}"
        ) from error
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):  # another process may be at it: then wait for what it extracts
            if not (place / _DONE).is_file():
                _extract(path, root, parts, place)
    except OSError as error:
        raise UserError(
            f"the images of {path} cannot be written to {place}: {error.strerror or error}: make room, or "
            "set XDG_CACHE_HOME to another place"
        ) from error
    return place


def _extract(path: Path, root: Path, parts: list[Part], place: Path) -> None:
    omitted: dict[str, int] = {}
    if any(part.split for part in parts):
        omitted = {str(part.place): part.rows for part in parts if not part.split}
    parts = [part for part in parts if part.split or not omitted]
    columns = [columns_of(part) for part in parts]
    total = sum(part.rows for part in parts)
    print(f"Extracting {total:,} images of {path} to {place}, once.", file=sys.stderr)
    place.mkdir(exist_ok=True)
    done = _whole_lines(place / _ROWS)
    with (place / _ROWS).open("a", encoding="utf-8") as out:
        number = 0
        for part, chosen in zip(parts, columns, strict=True):
            first = max(0, min(part.rows, done - number))
            number += first
            for i, row in enumerate(_stored_rows(part, chosen, first), start=first):
                kept = record(row, chosen, f"{part.place}, row {i}", number, root, place)
                out.write(json.dumps({"split": part.split or "all", **kept}) + "\n")
                progress["images extracted"] += 1
                number += 1
    (place / _DONE).write_text(json.dumps({"left out": omitted}), encoding="utf-8")


def _whole_lines(file: Path) -> int:
    """How many lines an interrupted extraction wrote; one that was cut short is taken off."""
    if not file.exists():
        return 0
    lines = end = 0
    with file.open("rb+") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            lines += 1
            end += len(line)
        stream.truncate(end)
    return lines


def left_out(place: Path) -> dict[str, int]:
    """The parts of a data set that were not extracted, as they are of no split, with their rows."""
    found: dict[str, int] = json.loads((place / _DONE).read_text(encoding="utf-8"))["left out"]
    return found


def read_rows(place: Path) -> Iterator[Row]:
    """The rows of extracted data, as `row.record` made them.

    Raises:
        UserError: Their file cannot be read.
    """
    try:
        with (place / _ROWS).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, ValueError) as error:
        raise UserError(f"{place / _ROWS} cannot be read: {error}: delete {place} and start again") from error


def _stored_rows(part: Part, columns: Columns, first: int) -> Iterator[Row]:
    if first >= part.rows:
        return
    try:
        for batch in part.read(columns.names(), first):
            yield from batch.to_pylist()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise UserError(f"{part.place} cannot be read: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
