"""Pages in columns: a million of them take little memory, and processes share it."""

from __future__ import annotations

import json
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tablesense.data.page import Page

Columns = dict[str, NDArray[Any]]

_WORDS = "words.json"


class Faults(Counter[str]):
    """What a reader left out or changed, counted by reason; reported, never silent.

    Attributes:
        examples: The first few places of each reason: a file, or a file and a line.
    """

    KEPT = 3

    def __init__(self, counts: Any = ()) -> None:
        super().__init__(counts)
        self.examples: dict[str, list[str]] = {}

    def note(self, reason: str, where: str | Path) -> None:
        """Count one more of a reason."""
        self[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < self.KEPT:
            examples.append(str(where))

    def include(self, others: Faults) -> None:
        """Add those of another data set."""
        self.update(others)
        for reason, places in others.examples.items():
            kept = self.examples.setdefault(reason, [])
            kept.extend(places[: self.KEPT - len(kept)])


class PageTable(Sequence[Page]):
    """Pages in columns, read-only; a `Page` is made when it is asked for.

    The columns are NumPy arrays, of this process or mapped from the files of a folder; a mapped table
    goes to another process as the folder's name.

    Args:
        columns: `first_letter` int64 [n + 1] into `letters` uint8: the file names. `folder` int32 [n], an
            index into `folders`. `first_document_letter` int64 [documents + 1] into `document_letters`:
            the documents' names; `document` int32 [n], an index of these. `size` float64 [n, 2]. `number`
            int32 [n], -1 for none. `first_box` int64 [n + 1] into `boxes` float64 [m, 4] and `label` int16
            [m], an index into `labels`.
        folders: Paths.
        labels: Class names.
        source: What the data set is called.
        rows: Which pages, in which order; None for all.
        place: The folder that the columns are mapped from.
    """

    def __init__(
        self,
        columns: Columns,
        folders: Sequence[str],
        labels: Sequence[str],
        source: str = "",
        rows: NDArray[np.int64] | None = None,
        place: Path | None = None,
    ) -> None:
        self._columns, self._folders, self._place = columns, tuple(folders), place
        self.labels, self.source = tuple(labels), source
        self._rows = rows

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
        if not -len(self) <= i < len(self):
            raise IndexError(f"page {i} of {len(self)}")
        row = i % len(self) if self._rows is None else int(self._rows[i])
        columns = self._columns
        first, last = columns["first_box"][row : row + 2].tolist()
        boxes, labels = columns["boxes"][first:last].tolist(), columns["label"][first:last].tolist()
        kept = [j for j, label in enumerate(labels) if self.labels[label]]
        width, height = columns["size"][row].tolist()
        number = int(columns["number"][row])
        return Page(
            Path(self._folders[columns["folder"][row]], _word(columns, "letters", "first_letter", row)),
            _word(columns, "document_letters", "first_document_letter", int(columns["document"][row])),
            (width, height),
            tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in (boxes[j] for j in kept)),
            tuple(self.labels[labels[j]] for j in kept),
            None if number < 0 else number,
            self.source,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PageTable of {len(self)} pages of {self.source or 'a data set'}"

    # -- other tables over the same columns --------------------------------------------------------

    def select(self, rows: NDArray[Any]) -> PageTable:
        """These pages, by index or by a mask, in this order."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return self._like(rows=rows if self._rows is None else self._rows[rows])

    def named(self, source: str) -> PageTable:
        """The same pages as those of the data set `source`."""
        return self._like(source=source)

    def relabel(self, name: Callable[[str], str | None]) -> PageTable:
        """The same pages with other class names; boxes whose name becomes None are left out."""
        return self._like(labels=[(label and name(label)) or "" for label in self.labels])

    def _like(self, **changes: Any) -> PageTable:
        own: dict[str, Any] = {
            "folders": self._folders,
            "labels": self.labels,
            "source": self.source,
            "rows": self._rows,
            "place": self._place,
        }
        return PageTable(self._columns, **(own | changes))

    # -- by column ---------------------------------------------------------------------------------

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Width and height of each page, [n, 2]."""
        return self._of("size")

    @property
    def documents(self) -> NDArray[np.int32]:
        """The document of each page as a number, [n]; see `document_name`."""
        return self._of("document")

    def document_name(self, document: int) -> str:
        """The name of one of `documents`."""
        return _word(self._columns, "document_letters", "first_document_letter", document)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many boxes are on each page, [n]."""
        kept = np.array([bool(label) for label in self.labels], bool)
        before = np.concatenate([[0], np.cumsum(kept[self._columns["label"]])]) if len(kept) else np.zeros(1)
        first = self._columns["first_box"]
        counts = (before[first[1:]] - before[first[:-1]]).astype(np.int64)
        return counts if self._rows is None else counts[self._rows]

    def label_counts(self) -> Counter[str]:
        """How many boxes each class has."""
        boxes = self._columns["label"]
        if self._rows is not None:
            first = self._columns["first_box"]
            chosen = np.zeros(len(first), bool)
            chosen[self._rows] = True
            boxes = boxes[np.repeat(chosen[:-1], np.diff(first))]
        counts = Counter[str]()
        for label, count in zip(self.labels, np.bincount(boxes, minlength=len(self.labels)), strict=True):
            if label and count:
                counts[label] += int(count)
        return counts

    def _of(self, column: str) -> NDArray[Any]:
        values = self._columns[column]
        return values if self._rows is None else values[self._rows]

    # -- on disk -----------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the columns to a new folder, as `.npy` files."""
        folder.mkdir(parents=True)
        for name, values in self._columns.items():
            np.save(folder / f"{name}.npy", values)
        words = {"folders": self._folders, "labels": self.labels, "source": self.source}
        if self._rows is not None:
            np.save(folder / "rows.npy", self._rows)
        (folder / _WORDS).write_text(json.dumps(words), encoding="utf-8")

    @staticmethod
    def open(folder: Path) -> PageTable:
        """Map what `save` wrote."""
        words = json.loads((folder / _WORDS).read_text(encoding="utf-8"))
        # As plain arrays: each access to a `memmap` would build another one.
        columns = {file.stem: np.asarray(np.load(file, mmap_mode="r")) for file in folder.glob("*.npy")}
        rows = columns.pop("rows", None)
        return PageTable(columns, words["folders"], words["labels"], words["source"], rows, folder)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self._place is not None:
            del state["_columns"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._place is not None:
            self._columns = PageTable.open(self._place)._columns


def _word(columns: Columns, letters: str, first: str, i: int) -> str:
    start, end = columns[first][i : i + 2].tolist()
    return columns[letters][start:end].tobytes().decode("utf-8", "surrogateescape")


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
        self._writers.setdefault(split, _Writer()).add(page)

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


class _Writer:
    """Columns that grow."""

    def __init__(self) -> None:
        self.letters, self.first_letter = bytearray(), array("q", [0])
        self.document_letters, self.first_document_letter = bytearray(), array("q", [0])
        self.folder, self.document, self.number = array("i"), array("i"), array("i")
        self.size, self.boxes, self.label = array("d"), array("d"), array("h")
        self.first_box = array("q", [0])
        self.folders: dict[str, int] = {}
        self.documents: dict[str, int] = {}
        self.labels: dict[str, int] = {}

    def add(self, page: Page) -> None:
        folder, name = os.path.split(page.path)
        self.letters += name.encode("utf-8", "surrogateescape")
        self.first_letter.append(len(self.letters))
        self.folder.append(self.folders.setdefault(folder, len(self.folders)))
        if page.document not in self.documents:
            self.document_letters += page.document.encode("utf-8", "surrogateescape")
            self.first_document_letter.append(len(self.document_letters))
        self.document.append(self.documents.setdefault(page.document, len(self.documents)))
        self.number.append(-1 if page.number is None else page.number)
        self.size.extend(page.size)
        for box, label in zip(page.boxes, page.labels, strict=True):
            self.boxes.extend(box)
            self.label.append(self.labels.setdefault(label, len(self.labels)))
        self.first_box.append(len(self.label))

    def table(self) -> PageTable:
        columns: Columns = {
            "letters": np.frombuffer(self.letters, np.uint8),
            "first_letter": np.frombuffer(self.first_letter, np.int64),
            "document_letters": np.frombuffer(self.document_letters, np.uint8),
            "first_document_letter": np.frombuffer(self.first_document_letter, np.int64),
            "folder": np.frombuffer(self.folder, np.int32),
            "document": np.frombuffer(self.document, np.int32),
            "number": np.frombuffer(self.number, np.int32),
            "size": np.frombuffer(self.size).reshape(-1, 2),
            "boxes": np.frombuffer(self.boxes).reshape(-1, 4),
            "label": np.frombuffer(self.label, np.int16),
            "first_box": np.frombuffer(self.first_box, np.int64),
        }
        return PageTable(columns, list(self.folders), list(self.labels))
