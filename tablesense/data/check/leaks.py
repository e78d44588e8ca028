"""What is in two splits, or twice in one: files, documents, and pages that only look the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tablesense.data.check.chosen import Chosen
from tablesense.data.check.fingerprint import Prints, near_pairs
from tablesense.data.check.kinds import LEAKED, REPEATED, SHARED_DOCUMENTS, SHARED_FILES
from tablesense.data.check.look import page_name, same_pages
from tablesense.data.page import Page
from tablesense.data.processes import in_processes
from tablesense.data.table import Faults, PageTable

Numbers = NDArray[np.int64]

FEWER = "try fewer with --workers"
_CHUNK = 8  # pairs that a process is given at once


def shared_documents(splits: Mapping[str, PageTable], faults: Faults) -> None:
    """Count the documents that have pages in more than one split.

    A page that is all of its document and gives it its name, such as train/0001.png beside val/0001.png,
    is none: whether two such pages are one, their contents say.
    """
    found = [np.unique(table.documents, return_index=True, return_counts=True) for table in splits.values()]
    # A number for each name: a million names would be no small thing to compare.
    keys = [
        np.array([hash(table.document_name(int(i))) for i in documents], np.int64)
        for table, (documents, _, _) in zip(splits.values(), found, strict=True)
    ]
    if not keys:
        return
    every, times = np.unique(np.concatenate(keys), return_counts=True)
    divided: dict[int, dict[str, str]] = {}
    of_pages: set[int] = set()
    for (split, table), of_split, (documents, first, pages) in zip(splits.items(), keys, found, strict=True):
        for i in np.flatnonzero(np.isin(of_split, every[times > 1])):
            key, name, page = int(of_split[i]), table.document_name(int(documents[i])), table[int(first[i])]
            divided.setdefault(key, {})[split] = name
            if pages[i] > 1 or page.number is not None or page.path.stem != name:
                of_pages.add(key)
    faults[SHARED_DOCUMENTS] += len(of_pages)
    for within in [within for key, within in divided.items() if key in of_pages][: Faults.KEPT]:
        faults.examples.setdefault(SHARED_DOCUMENTS, []).append(
            f"{next(iter(within.values()))}: {' and '.join(within)}"
        )


def file_key(page: Page) -> int:
    """A number that is the same for a page of the same file, in this process."""
    return hash((str(page.path), page.number))


def shared_files(chosen: Chosen, keys: Numbers, faults: Faults) -> None:
    """Count pages that an earlier split, or the same one, has from the same file.

    Args:
        chosen: The pages.
        keys: The `file_key` of each.
        faults: Is added to.
    """
    _note_copies(chosen, keys, np.arange(len(keys)), faults, SHARED_FILES, _in_both)


def copies(
    chosen: Chosen,
    prints: Prints,
    comparable: NDArray[np.bool_],
    keys: Numbers,
    workers: int,
    faults: Faults,
    advance: Callable[[int, int], None],
) -> None:
    """Count pages that look like one of an earlier split, or of the same one.

    Args:
        chosen: The pages.
        prints: The fingerprint of each, uint8 [n, 32].
        comparable: Which have one, [n].
        keys: The `file_key` of each: what is one file is not counted here.
        workers: Processes that open pages whose fingerprints are near, to look closer.
        faults: Is added to.
        advance: Is told how many pairs were looked at, and of how many.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = np.flatnonzero(comparable)
    _, first = np.unique(keys[rows], return_index=True)
    rows = rows[np.sort(first)]
    pairs = rows[near_pairs(prints[rows])]
    same = np.zeros(len(pairs), bool)
    done = 0
    processes = min(workers, -(-len(pairs) // _CHUNK))
    for answers in in_processes(same_pages, _page_pairs(chosen, pairs), processes, FEWER):
        same[done : done + len(answers)] = answers
        done += len(answers)
        advance(done, len(pairs))
    one, other = pairs[same].T
    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(chosen), len(chosen)))
    _, group = connected_components(graph.tocsr(), directed=False)
    met = np.unique(pairs[same])
    _note_copies(chosen, group[met].astype(np.int64), met, faults, LEAKED, _like)


def _page_pairs(chosen: Chosen, pairs: Numbers) -> Iterator[list[tuple[Page, Page]]]:
    for start in range(0, len(pairs), _CHUNK):
        yield [(chosen[i], chosen[j]) for i, j in pairs[start : start + _CHUNK].tolist()]


def _note_copies(
    chosen: Chosen,
    group: Numbers,
    rows: NDArray[np.intp],
    faults: Faults,
    across: str,
    say: Callable[[Chosen, int, int], str],
) -> None:
    """Note each page that has one of its group before it: in an earlier split, else in its own."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    head = rows[first[inverse]]  # rows are in order, so the first of a group is of its earliest split
    for row, earliest in zip(rows[head != rows].tolist(), head[head != rows].tolist(), strict=True):
        leaked = chosen.split[row] != chosen.split[earliest]
        faults.note(across if leaked else REPEATED, say(chosen, row, earliest))


def _in_both(chosen: Chosen, row: int, earlier: int) -> str:
    splits = dict.fromkeys(chosen.names[chosen.split[i]] for i in (earlier, row))
    return f"{page_name(chosen[row])}: {' and '.join(splits)}"


def _like(chosen: Chosen, row: int, earlier: int) -> str:
    def place(i: int) -> str:
        return f"{page_name(chosen[i])} ({chosen.names[chosen.split[i]]})"

    return f"{place(row)} looks like {place(earlier)}"
