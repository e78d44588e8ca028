"""Where rows of the library `datasets` lie: in what `save_to_disk` wrote, or in parquet files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from reprlib import repr as brief
from typing import Any, NamedTuple

from tablesense.data.folder import inside
from tablesense.data.images import files_below
from tablesense.data.splits import split_of
from tablesense.errors import UserError

EXPECTED = "Hugging Face rows (dataset_info.json and state.json, or *.parquet)"

DICT = "dataset_dict.json"
"""The file in which `DatasetDict.save_to_disk` names its splits."""

_STATE, _INFO = "state.json", "dataset_info.json"
_SHARD = re.compile(r"-\d+-of-\d+(-\w+)?$")
_BATCH = 16  # rows, with their images, that are in memory at once
_BUFFER = 2**20  # bytes of a parquet file


class Part(NamedTuple):
    """Rows that lie together: of a split, or of one file of it.

    Attributes:
        split: "train", "val", "test" or None.
        place: The file or folder, for messages.
        rows: How many there are.
        features: The columns, as `datasets` describes them.
        read: Yields the rows in batches of Arrow, given the columns that are wanted and the first row.
    """

    split: str | None
    place: Path
    rows: int
    features: Any
    read: Callable[[list[str], int], Iterator[Any]]


# -- what save_to_disk wrote -----------------------------------------------------------------------


def is_saved(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` wrote a folder."""
    return (folder / _STATE).is_file() and (folder / _INFO).is_file()


def saved_folders(path: Path) -> list[tuple[str | None, Path]]:
    """The folders that `save_to_disk` wrote, with the names of their splits; none where it did not."""
    if not (path / DICT).is_file():
        return [(None, path)] if is_saved(path) else []
    names = _json(path / DICT).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path / DICT}: expected splits as a list of names; found {brief(names)}")
    for name in names:
        inside(path / DICT, name)
    return [(name, path / name) for name in names]


def saved_files(path: Path) -> list[Path]:
    """The files that hold the rows, and those that describe them."""
    files = [path / DICT] if (path / DICT).is_file() else []
    for _, folder in saved_folders(path):
        written = _json(folder / _STATE).get("_data_files")
        try:
            names = [str(each["filename"]) for each in written or []]
        except (TypeError, LookupError):
            raise UserError(
                f"{folder / _STATE}: expected _data_files with filename; found {brief(written)}"
            ) from None
        for name in names:
            inside(folder / _STATE, name)
        files += [folder / _STATE, folder / _INFO, *(folder / name for name in names)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} is missing: {path} is not whole")
    return files


def saved_parts(path: Path) -> list[Part]:
    """What `save_to_disk` wrote, a part for each split; whatever `datasets` raises."""
    from datasets import load_from_disk

    def part(name: str | None, folder: Path) -> Part:
        rows = load_from_disk(str(folder), keep_in_memory=False)

        def read(columns: list[str], first: int) -> Iterator[Any]:
            wanted = rows.with_format("arrow").select_columns(columns).select(range(first, len(rows)))
            yield from wanted.iter(_BATCH)

        return Part(split_of(name or str(rows.split)), folder, len(rows), rows.features, read)

    return [part(name, folder) for name, folder in saved_folders(path)]


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected an object; found {brief(content)}")
    return content


# -- parquet ---------------------------------------------------------------------------------------


def parquet_files(path: Path) -> list[Path]:
    """The parquet files of a data set, all of one configuration."""
    if path.is_file():
        return [path]
    found = list(files_below(path, {".parquet"}))
    configurations = {folder: folder for folder, _ in found}
    for folder in configurations:
        head, tail = os.path.split(folder)
        if split_of(tail):
            configurations[folder] = head
    if len(several := sorted(set(configurations.values()))) > 1:
        raise UserError(
            f"{path} has {len(several)} configurations of parquet files ({', '.join(several[:4]):.200}): "
            "give the path of one"
        )
    return [path / folder / name for folder, names in found for name in names]


def parquet_parts(files: list[Path], root: Path) -> list[Part]:
    """Parquet files, a part for each; whatever `pyarrow` and `datasets` raise.

    Args:
        files: Those of `parquet_files`.
        root: The data set's folder: the split is told by a file's path in it.
    """
    from datasets import Features
    from pyarrow.parquet import ParquetFile

    def part(file: Path) -> Part:
        with ParquetFile(file) as parquet:
            groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
            features = Features.from_arrow_schema(parquet.schema_arrow)

        def read(columns: list[str], first: int) -> Iterator[Any]:
            with ParquetFile(file, buffer_size=_BUFFER) as parquet:
                for group, rows in enumerate(groups):
                    if first >= rows:
                        first -= rows
                        continue
                    # One group at a time: what is read of several stays in memory until the last.
                    for batch in parquet.iter_batches(_BATCH, row_groups=[group], columns=columns):
                        if first < batch.num_rows:
                            yield batch.slice(first)
                        first = max(0, first - batch.num_rows)

        within = file.relative_to(root)
        split = split_of((within.parent / _SHARD.sub("", file.stem)).as_posix())
        return Part(split, file, sum(groups), features, read)

    return [part(file) for file in files]
