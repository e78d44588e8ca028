"""The whole check: read the data set, open its pages, compare what must not meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tablesense.data import reading
from tablesense.data.check import kinds
from tablesense.data.check.chosen import Chosen
from tablesense.data.check.facts import (
    PageFacts,
    SplitFacts,
    Spread,
    class_counts,
    page_facts,
    split_facts,
    spread,
)
from tablesense.data.check.fingerprint import BYTES
from tablesense.data.check.leaks import FEWER, copies, file_key, shared_documents, shared_files
from tablesense.data.check.look import look_at
from tablesense.data.classes import canonical, tables_among
from tablesense.data.page import Page
from tablesense.data.processes import cores, in_processes
from tablesense.data.table import Faults, Pages, PageTable
from tablesense.errors import UserError

IMAGE_SIZE = 384
"""The default of `data.image_size`."""

VAL_FRACTION, SPLIT_SEED = 0.1, 0
"""The defaults of `data.val_fraction` and `data.split_seed`."""

_ORDER = ("train", "all", "val", "test")

_CLIPPED = "partly outside the page, clipped"
_MISFITS = ("outside the page", "less than a pixel on the page", "zero area", "not finite", _CLIPPED)


@dataclass(frozen=True)
class Resolution:
    """How many dots an inch of the pages' paper has.

    Attributes:
        dpi: None where nothing tells.
        tagged: Pages whose file says it.
        guessed: Pages that have the shape of A4 or Letter.
        unknown: The other pages; those of PDFs have no resolution and do not count.
    """

    dpi: Spread | None
    tagged: int
    guessed: int
    unknown: int


@dataclass(frozen=True)
class TableFacts:
    """How large tables are.

    Attributes:
        width: As a share of their page's.
        height: As a share of their page's.
        shorter_side: In pixels as the network sees it.
    """

    width: Spread
    height: Spread
    shorter_side: Spread


@dataclass
class Survey:
    """What a data set holds, and what is wrong with it.

    Attributes:
        path: As it was given.
        format: A key of `FORMATS`; None where it was not recognised.
        image_size: The longest side of a page as the network sees it, in pixels.
        faults: By the names of `kinds`, with examples.
        refused: Why the data set cannot be read, which leaves the following empty.
        splits: By name, those that are trained on first.
        classes: The boxes of each class that is looked for.
        ignored: Those of the others.
        in_points: Whether the pages are those of PDFs.
        pages: Their sizes.
        resolution: Of the images.
        tables: Their sizes.
        total: How many pages a training, a validation or a test uses.
        opened: How many of them were opened.
        seconds: How long it took.
    """

    path: Path
    format: str | None
    image_size: int
    faults: Faults = field(default_factory=Faults)
    refused: str | None = None
    splits: dict[str, SplitFacts] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    in_points: bool = False
    pages: PageFacts | None = None
    resolution: Resolution | None = None
    tables: TableFacts | None = None
    total: int = 0
    opened: int = 0
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether a training would stop, or come out wrong."""
        return any(kinds.kind_of(fault).severity == "error" for fault, count in self.faults.items() if count)


def survey(
    path: Path,
    format: str = "auto",
    image_size: int = IMAGE_SIZE,
    workers: int | None = None,
    limit: int | None = None,
    advance: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Survey:
    """Check a data set.

    Args:
        path: Its folder or annotation file.
        format: A key of `FORMATS`, or "auto".
        image_size: The longest side of a page as the network will see it, in pixels.
        workers: Processes that open pages; None takes one for each core that this process may use.
        limit: How many pages to open, drawn from all splits by a fixed seed; None for all.
        advance: Is told what is being done, how much of it is done, and of how much.

    Raises:
        UserError: There is nothing at `path`, or a process was killed. What is wrong with the data is
            not raised.
    """
    start = time.perf_counter()
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a data set's folder or annotation file")
    found = Survey(path, None if format == "auto" else format, image_size)
    try:
        found.format = found.format or reading.recognise(path)
        pages = reading.read_pages(path, found.format)
    except UserError as error:
        found.refused = str(error)
        found.faults.note(kinds.REFUSED, str(error))
        return found
    found.faults.include(pages.dropped)
    splits = _looked_for(pages, found)
    found.splits = {split: split_facts(table) for split, table in splits.items()}
    found.pages = page_facts(splits)
    _note_misfits(found)
    _note_what_lacks(found, splits)
    # Pages of no split are used only where none is called train.
    used = {split: table for split, table in splits.items() if split != "all" or "train" not in splits}
    shared_documents(used, found.faults)
    chosen = Chosen(used, limit)
    found.total, found.opened = chosen.total, len(chosen)
    _open_pages(chosen, found, workers or cores(), advance)
    found.seconds = time.perf_counter() - start
    return found


def _looked_for(pages: Pages, found: Survey) -> dict[str, PageTable]:
    """The splits with the boxes of the classes that a training looks for where nobody names them."""
    splits = {
        split: pages.splits[split].relabel(canonical)
        for split in sorted(pages.splits, key=lambda split: _ORDER.index(split))
        if len(pages.splits[split])
    }
    counts = class_counts(splits)
    wanted = set(tables_among(counts))
    found.classes = {name: count for name, count in counts.items() if name in wanted}
    found.ignored = {name: count for name, count in counts.items() if name not in wanted}
    return {
        split: table.relabel(lambda name: name if name in wanted else None) for split, table in splits.items()
    }


def _note_misfits(found: Survey) -> None:
    misfits = sum(found.faults[reason] for reason in _MISFITS)
    left_out = misfits - found.faults[_CLIPPED]
    boxes = sum(found.classes.values()) + sum(found.ignored.values()) + left_out
    if misfits >= 10 and misfits > 0.2 * boxes:
        found.faults[kinds.MISFIT] = misfits
        places = [place for reason in _MISFITS for place in found.faults.examples.get(reason, ())]
        found.faults.examples[kinds.MISFIT] = places[: Faults.KEPT]


def _note_what_lacks(found: Survey, tables: Mapping[str, PageTable]) -> None:
    """Count what makes `fit` stop before it opens a page."""
    splits, faults = found.splits, found.faults
    train = splits.get("train") or splits.get("all")
    if train is None:
        faults.note(kinds.NO_TRAIN, f"the splits are {' and '.join(splits)}")
    elif not train.tables:
        faults.note(kinds.NO_BOXES, "")
    if "val" in splits:
        if not splits["val"].tables:
            faults.note(kinds.NO_VAL_BOXES, "")
    elif train is not None and train.documents == 1:
        faults.note(kinds.ONE_DOCUMENT, "")
    elif train is not None and train.tables:
        divided = reading.split_by_document(tables.get("train") or tables["all"], VAL_FRACTION, SPLIT_SEED)
        if not all(table.label_counts() for table in divided):
            faults.note(kinds.ONE_SIDED, "")
    if "all" in splits and "train" in splits:
        faults[kinds.UNSPLIT] += splits["all"].pages


def _open_pages(
    chosen: Chosen, found: Survey, workers: int, advance: Callable[[str, int, int], None]
) -> None:
    number = len(chosen)
    prints = np.zeros((number, BYTES), np.uint8)
    comparable, tagged = np.zeros(number, bool), np.zeros(number, bool)
    dpi = np.zeros(number, np.float32)
    keys = np.zeros(number, np.int64)
    boxes: list[NDArray[np.float32]] = []
    in_pixels: list[NDArray[np.float32]] = []
    pdfs, images = 0, 0

    def chunks() -> Iterator[list[Page]]:
        nonlocal pdfs, images
        at = 0
        for chunk in chosen.chunks():
            keys[at : at + len(chunk)] = [file_key(page) for page in chunk]
            at += len(chunk)
            pdfs += sum(page.path.suffix.lower() == ".pdf" for page in chunk)
            yield chunk

    done = 0
    look = partial(look_at, image_size=found.image_size)
    for seen in in_processes(look, chunks(), min(workers, -(-number // 16)), FEWER):
        part = slice(done, done + len(seen.dpi))
        prints[part], comparable[part] = seen.prints, seen.comparable
        dpi[part], tagged[part] = seen.dpi, seen.tagged
        boxes.append(seen.boxes)
        in_pixels.append(seen.in_pixels)
        found.faults.include(seen.faults)
        done = part.stop
        advance("opening pages", done, number)
    found.in_points = pdfs == number
    if pdfs < number:
        known = dpi > 0
        found.resolution = Resolution(
            spread(dpi[known]),
            int(tagged.sum()),
            int((known & ~tagged).sum()),
            number - pdfs - int(known.sum()),
        )
    width_height, sides = np.concatenate(boxes), np.concatenate(in_pixels)
    widths, heights = (spread(side) for side in width_height.T)
    shorter = spread(sides.min(axis=1)) if len(sides) else None
    if widths and heights and shorter:
        found.tables = TableFacts(widths, heights, shorter)
    shared_files(chosen, keys, found.faults)
    copies(
        chosen,
        prints,
        comparable,
        keys,
        workers,
        found.faults,
        partial(advance, "comparing pages that look alike"),
    )
