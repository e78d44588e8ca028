"""Pages in columns: a million of them take little memory, and processes share it."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import index
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tablesense.data.page import Page
from tablesense.errors import UserError

Columns = dict[str, NDArray[Any]]

progress: Counter[str] = Counter()
"""What this process has read so far, for displays: "pages", and what a reader counts before those."""

_WORDS, _FAULTS, _ROWS = "words.json", "faults.json", "rows.npy"
_COLUMNS = (
    *("letters", "first_letter", "folder_letters", "first_folder_letter"),
    *("document_letters", "first_document_letter", "folder", "document", "number", "size"),
    *("boxes", "label", "first_box"),
)


class Faults(Counter[str]):
    """What a reader left out or changed, counted by reason; reported, never silent.

    Attributes:
        examples: The first few places of each reason: a file, or a file and a line.
    """

    KEPT = 3

    def __init__(self, counts: Any = ()) -> None:
        super().__init__(counts)
        examples = counts.examples if isinstance(counts, Faults) else {}
        self.examples: dict[str, list[str]] = {reason: list(places) for reason, places in examples.items()}

    def note(self, reason: str, where: str | Path) -> None:
        """Count one more of a reason."""
        self[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if where and len(examples) < self.KEPT:
            examples.append(str(where))

    def include(self, others: Faults) -> None:
        """Add those of another data set."""
        self.update(others)
        for reason, places in others.examples.items():
            kept = self.examples.setdefault(reason, [])
            kept.extend(places[: self.KEPT - len(kept)])

    def __reduce__(self) -> tuple[Any, ...]:  # a Counter's own forgets attributes
        return Faults, (dict(self),), {"examples": self.examples}


class PageTable(Sequence[Page]):
    """Pages in columns, read-only; a `Page` is made when it is asked for.

    The columns are NumPy arrays, of this process or mapped from the files of a folder; a mapped table
    goes to another process as the folder's name. Text lies as UTF-8 in one array of letters, and where
    each piece of it starts in another.

    Args:
        columns: `letters` uint8 and `first_letter` int64 [n + 1]: the file names. `folder` int32 [n], an
            index of the folders' paths in `folder_letters` and `first_folder_letter`. `document` int32
            [n], an index of the documents' names in `document_letters` and `first_document_letter`.
            `size` float64 [n, 2]. `number` int32 [n], -1 for none. `first_box` int64 [n + 1] into
            `boxes` float64 [m, 4] and `label` int32 [m], an index into `labels`.
        labels: Class names; None for a class whose boxes are left out.
        source: What the data set is called.
        rows: Which pages, in which order; None for all.
        place: The folder that the columns are mapped from.
    """

    def __init__(
        self,
        columns: Columns,
        labels: Sequence[str | None],
        source: str = "",
        rows: NDArray[np.int64] | None = None,
        place: Path | None = None,
    ) -> None:
        self._columns, self._labels, self._rows, self._place = columns, tuple(labels), rows, place
        self.source = source

    # -- as a sequence -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._columns["folder"] if self._rows is None else self._rows)

    @overload
    def __getitem__(self, i: int) -> Page: ...
    @overload
    def __getitem__(self, i: slice) -> PageTable: ...
    def __getitem__(self, i: int | slice) -> Page | PageTable:
        """One page, or a part of the table."""
        if isinstance(i, slice):
            return self.select(np.arange(len(self))[i])
        i, pages = index(i), len(self)
        if not -pages <= i < pages:
            raise IndexError(f"page {i} of {pages}")
        row = i % pages if self._rows is None else int(self._rows[i])
        columns, names = self._columns, self._labels
        first, last = columns["first_box"][row : row + 2].tolist()
        boxes, labels = columns["boxes"][first:last].tolist(), columns["label"][first:last].tolist()
        kept = [
            (box, name)
            for box, label in zip(boxes, labels, strict=True)
            if (name := names[label]) is not None
        ]
        width, height = columns["size"][row].tolist()
        number = int(columns["number"][row])
        return Page(
            Path(_word(columns, "folder_", int(columns["folder"][row])), _word(columns, "", row)),
            self.document_name(int(columns["document"][row])),
            (width, height),
            tuple((x0, y0, x1, y1) for (x0, y0, x1, y1), _ in kept),
            tuple(name for _, name in kept),
            None if number < 0 else number,
            self.source,
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(page == theirs for page, theirs in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PageTable of {len(self)} pages of {self.source or 'a data set'}"

    # -- other tables over the same columns --------------------------------------------------------

    def select(self, rows: ArrayLike) -> PageTable:
        """These pages, by index or by a mask, in this order.

        Raises:
            IndexError: There is no such page, or the mask is not as long as the table.
        """
        chosen = np.asarray(rows)
        every = np.arange(len(self)) if self._rows is None else self._rows
        return self._like(rows=every[chosen if chosen.size or chosen.dtype == bool else []])

    def named(self, source: str) -> PageTable:
        """The same pages as those of the data set `source`."""
        return self._like(source=source)

    def relabel(self, name: Callable[[str], str | None]) -> PageTable:
        """The same pages with other class names; boxes whose name becomes None are left out."""
        return self._like(labels=[None if label is None else name(label) for label in self._labels])

    def _like(self, **changes: Any) -> PageTable:
        own: dict[str, Any] = {
            "labels": self._labels,
            "source": self.source,
            "rows": self._rows,
            "place": self._place,
        }
        return PageTable(self._columns, **(own | changes))

    # -- by column ---------------------------------------------------------------------------------

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Width and height of each page, [n, 2]."""
        return self._of(self._columns["size"])

    @property
    def documents(self) -> NDArray[np.int32]:
        """The document of each page as a number, [n]; see `document_name`."""
        return self._of(self._columns["document"])

    def document_name(self, document: int) -> str:
        """The name of one of `documents`."""
        return _word(self._columns, "document_", document)

    @property
    def folders(self) -> list[str]:
        """The folders that the pages lie in, those of pages that are not selected included."""
        return [
            _word(self._columns, "folder_", i) for i in range(len(self._columns["first_folder_letter"]) - 1)
        ]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many boxes are on each page, [n]."""
        kept = np.array([label is not None for label in self._labels], bool)
        first = self._columns["first_box"]
        if kept.all():
            return self._of(np.diff(first))
        before = np.concatenate([[0], np.cumsum(kept[self._columns["label"]])])
        return self._of(before[first[1:]] - before[first[:-1]])

    @property
    def boxes(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All boxes, xyxy [m, 4], and the index of the page that each is on, [m]."""
        rows = np.arange(len(self)) if self._rows is None else self._rows
        first = self._columns["first_box"]
        starts, counts = first[rows], first[rows + 1] - first[rows]
        pages = np.repeat(np.arange(len(rows)), counts)
        places = np.arange(len(pages)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        kept = np.array([label is not None for label in self._labels], bool)
        kept = kept[self._columns["label"][places]] if len(places) else np.empty(0, bool)
        return self._columns["boxes"][places[kept]], pages[kept]

    def label_counts(self) -> Counter[str]:
        """How many boxes each class has."""
        boxes, first = self._columns["label"], self._columns["first_box"]
        if self._rows is not None:
            times = np.bincount(self._rows, minlength=len(first) - 1)
            boxes = np.repeat(boxes, np.repeat(times, np.diff(first)))
        counts = Counter[str]()
        for label, count in zip(self._labels, np.bincount(boxes, minlength=len(self._labels)), strict=True):
            if label is not None and count:
                counts[label] += int(count)
        return counts

    def _of(self, column: NDArray[Any]) -> NDArray[Any]:
        return column if self._rows is None else column[self._rows]

    # -- on disk and between processes -------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the columns to a new folder, as `.npy` files; folders of pages become absolute paths."""
        folder.mkdir(parents=True)
        folders = _Words()
        for path in self.folders:
            folders.append(os.path.abspath(path))
        for name, values in (self._columns | folders.columns("folder_")).items():
            np.save(folder / f"{name}.npy", values)
        if self._rows is not None:
            np.save(folder / _ROWS, self._rows)
        words = {"labels": self._labels, "source": self.source}
        (folder / _WORDS).write_text(json.dumps(words), encoding="utf-8")

    @staticmethod
    def open(folder: Path) -> PageTable:
        """Map what `save` wrote.

        Raises:
            UserError: It is not there, or not whole.
        """
        try:
            words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
            columns = {name: _mapped(folder / f"{name}.npy") for name in _COLUMNS}
            rows = _mapped(folder / _ROWS) if (folder / _ROWS).exists() else None
            return PageTable(columns, words["labels"], words["source"], rows, folder.absolute())
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise UserError(
                f"{folder} cannot be read as an index of pages: {error}: delete it and start again"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._place is not None:
            del state["_columns"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place is not None:
            self._columns = PageTable.open(self._place)._columns


def _mapped(file: Path) -> NDArray[Any]:
    return np.asarray(np.load(file, mmap_mode="r"))  # each access to a `memmap` would build another one


def _word(columns: Columns, kind: str, i: int) -> str:
    start, end = columns[f"first_{kind}letter"][i : i + 2].tolist()
    return columns[f"{kind}letters"][start:end].tobytes().decode("utf-8", "surrogatepass")


class Pages:
    """What a reader finds in one data set.

    Attributes:
        dropped: How many boxes and pages were left out or changed, by reason.
    """

    def __init__(self) -> None:
        self.dropped = Faults()
        self._writers: dict[str, _Writer] = {}
        self._splits: dict[str, PageTable] | None = None

    def add(self, split: str, page: Page) -> None:
        """Add a page to the split "train", "val", "test", or "all" where the data set has none."""
        if self._splits is not None:
            raise RuntimeError("no page can be added once the splits were asked for")
        if split not in self._writers:
            self._writers[split] = _Writer()
        self._writers[split].add(page)
        progress["pages"] += 1

    def extend(self, split: str, pages: Iterable[Page]) -> None:
        """Add pages."""
        for page in pages:
            self.add(split, page)

    @property
    def splits(self) -> dict[str, PageTable]:
        """The pages by split. Once this was asked for, no page can be added."""
        if self._splits is None:
            self._splits = {name: writer.table() for name, writer in self._writers.items()}
            self._writers = {}
        return self._splits

    def save(self, folder: Path) -> None:
        """Write everything to a new folder: each split's table, and what was left out."""
        folder.mkdir(parents=True)
        for split, table in self.splits.items():
            table.save(folder / split)
        faults = {"splits": list(self.splits), "counts": self.dropped, "examples": self.dropped.examples}
        (folder / _FAULTS).write_text(json.dumps(faults), encoding="utf-8")

    @staticmethod
    def open(folder: Path) -> Pages:
        """Map what `save` wrote.

        Raises:
            UserError: It is not there, or not whole.
        """
        pages = Pages()
        try:
            faults = json.loads((folder / _FAULTS).read_text(encoding="utf-8"))
            pages.dropped.update(faults["counts"])
            pages.dropped.examples = faults["examples"]
            pages._splits = {split: PageTable.open(folder / split) for split in faults["splits"]}
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise UserError(
                f"{folder} cannot be read as an index of pages: {error}: delete it and start again"
            ) from error
        return pages


class _Words:
    """Text that grows: the letters of all words, and where each starts."""

    def __init__(self) -> None:
        self.letters, self.first = bytearray(), array("q", [0])

    def append(self, word: str) -> None:
        # What JSON calls text may hold halves of letters, and a file's name bytes that are none.
        self.letters += word.encode("utf-8", "surrogatepass")
        self.first.append(len(self.letters))

    def columns(self, kind: str) -> Columns:
        return {
            f"{kind}letters": np.frombuffer(self.letters, np.uint8),
            f"first_{kind}letter": np.frombuffer(self.first, np.int64),
        }


class _Writer:
    """Columns that grow."""

    def __init__(self) -> None:
        self.names, self.folder_names, self.document_names = _Words(), _Words(), _Words()
        self.folder, self.document, self.number, self.label = (array("i") for _ in range(4))
        self.size, self.boxes = array("d"), array("d")
        self.first_box = array("q", [0])
        self.folders: dict[str, int] = {}
        self.documents: dict[str, int] = {}
        self.labels: dict[str, int] = {}

    def add(self, page: Page) -> None:
        folder, name = os.path.split(page.path)
        self.names.append(name)
        if folder not in self.folders:
            self.folder_names.append(folder)
        self.folder.append(self.folders.setdefault(folder, len(self.folders)))
        if page.document not in self.documents:
            self.document_names.append(page.document)
        self.document.append(self.documents.setdefault(page.document, len(self.documents)))
        self.number.append(-1 if page.number is None else page.number)
        self.size.extend(page.size)
        for box, label in zip(page.boxes, page.labels, strict=True):
            self.boxes.extend(box)
            self.label.append(self.labels.setdefault(label, len(self.labels)))
        self.first_box.append(len(self.label))

    def table(self) -> PageTable:
        columns: Columns = {
            **self.names.columns(""),
            **self.folder_names.columns("folder_"),
            **self.document_names.columns("document_"),
            "folder": np.frombuffer(self.folder, np.int32),
            "document": np.frombuffer(self.document, np.int32),
            "number": np.frombuffer(self.number, np.int32),
            "size": np.frombuffer(self.size).reshape(-1, 2),
            "boxes": np.frombuffer(self.boxes).reshape(-1, 4),
            "label": np.frombuffer(self.label, np.int32),
            "first_box": np.frombuffer(self.first_box, np.int64),
        }
        return PageTable(columns, list(self.labels))
