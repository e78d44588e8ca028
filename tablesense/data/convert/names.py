"""What the image files of a converted data set are called."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tablesense.data.page import Page
from tablesense.data.table import PageTable

FOLDERS = 3
"""How many folders a name has at most; those that need more get a number of their path instead."""
LONGEST = 240
"""The most bytes of a name: file systems take 255, the page's number and the suffix included."""

# Lists of files have one a line, split at blanks; a name that starts with a dot is hidden.
_UNSAFE = re.compile(r"^\.|[\s/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")


def output_stem(page: Page, folders: int = 0) -> str:
    """The name of a page's image file, without its suffix: the source's stem, and the page's number.

    A name that would be too long is cut, and ends with a number of the source's path.

    Args:
        page: Of the source.
        folders: How many of the folders that it lies in stand in front.
    """
    stem = page.path.stem
    words = [stem, _digest(page.path)] if folders > FOLDERS else [*page.path.parts[-1 - folders : -1], stem]
    name = _UNSAFE.sub("_", "_".join(words))
    if len(name.encode()) > LONGEST:
        end = f"_{_digest(page.path)}"
        name = name.encode()[: LONGEST - len(end)].decode(errors="ignore") + end  # of whole characters
    return name if page.number is None else f"{name}_page{page.number + 1:04d}"


def _digest(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path), digest_size=5).hexdigest()


def name_depths(splits: Mapping[str, PageTable]) -> dict[str, NDArray[np.int8]]:
    """How many folders each name needs so that no two pages have one stem, in any of the splits.

    Upper and lower case count as the same: on many file systems they are.

    Returns:
        `folders` of `output_stem` for each page.
    """
    tables = list(splits.values())
    starts = np.cumsum([0, *map(len, tables)])
    depths = np.zeros(starts[-1], np.int8)
    keys = np.zeros(starts[-1], np.uint64)  # numbers for names: eight bytes a page
    pending = np.arange(starts[-1])
    while len(pending):
        for row in pending.tolist():
            table = int(np.searchsorted(starts, row, "right")) - 1
            stem = output_stem(tables[table][row - int(starts[table])], int(depths[row])).lower()
            digest = hashlib.blake2b(stem.encode("utf-8"), digest_size=8).digest()
            keys[row] = int.from_bytes(digest, "little")
        _, which, times = np.unique(keys, return_inverse=True, return_counts=True)
        pending = np.flatnonzero((times[which] > 1) & (depths <= FOLDERS))
        depths[pending] += 1
    return {split: depths[starts[i] : starts[i + 1]] for i, split in enumerate(splits)}
