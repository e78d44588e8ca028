"""What the image files of a converted data set are called."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tablesense.data.page import Page
from tablesense.data.table import PageTable

FOLDERS = 3
"""How many folders a name has at most; those that need more get a number of their path instead."""

# Lists of files have one a line, split at blanks; a name that starts with a dot is hidden.
_UNSAFE = re.compile(r"^\.|[\s/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")


def output_stem(page: Page, folders: int = 0) -> str:
    """The name of a page's image file, without its suffix: the source's stem, and the page's number.

    Args:
        page: Of the source.
        folders: How many of the folders that it lies in stand in front.
    """
    stem = page.path.stem
    if folders > FOLDERS:
        path = os.fsencode(page.path)
        words = [stem, hashlib.blake2b(path, digest_size=5).hexdigest()]
    else:
        words = [*page.path.parts[-1 - folders : -1], stem]
    name = _UNSAFE.sub("_", "_".join(words))
    return name if page.number is None else f"{name}_page{page.number + 1:04d}"


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
