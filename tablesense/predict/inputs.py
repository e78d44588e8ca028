"""From what a person names (files, folders, patterns) to a stream of pages."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from hashlib import blake2b
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError

from tablesense.data.decode import open_pdf
from tablesense.data.folder import IMAGE_SUFFIXES, contents
from tablesense.data.images import files_below, frames
from tablesense.data.page import Page
from tablesense.data.table import Faults
from tablesense.errors import UserError
from tablesense.predict.pdf import OPEN, PDFIUM, is_pdf

SUFFIXES = IMAGE_SUFFIXES | {".pdf"}
RESERVED = "predictions.coco"
"""A name that no document gets: results of all documents have it."""
LONGEST = 235
"""Of a name in bytes: with ".json" or "_page0001.png", and while it is written, it has to fit in 255."""
STDIN = "stdin"
"""What the document that came through a pipe is called."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file with pages, not yet opened.

    Attributes:
        path: The file.
        name: What its results are called: its path below the folder that was named, without the suffix,
            with "/" between folders; no two documents of one call have the same.
        title: What results and messages call its file; "" for its path.
    """

    path: Path
    name: str
    title: str = ""

    def __str__(self) -> str:
        return self.title or str(self.path)


@dataclass(frozen=True, slots=True)
class Failure:
    """A page, or a whole file, that could not be read.

    Attributes:
        path: The file.
        number: The page, from 0; None for the whole file.
        reason: Why, in a few words.
    """

    path: Path
    number: int | None
    reason: str

    def __str__(self) -> str:
        where = str(self.path) if self.number is None else f"{self.path}, page {self.number + 1}"
        return f"{where}: {self.reason}"


def keep_stdin(stream: IO[bytes], folder: Path) -> Path:
    """Write down what comes through a pipe, so that it is read like any file.

    Args:
        stream: Is read to its end.
        folder: Gets the file.

    Returns:
        The file, by its name a PDF or not.

    Raises:
        UserError: Nothing came, or what is neither an image nor a PDF.
    """
    file = folder / f"{STDIN}.image"
    try:
        with file.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
    except OSError as error:
        raise UserError(f"-: what comes from stdin cannot be kept in {folder}: {error.strerror}") from error
    with file.open("rb") as copy:
        head = copy.read(1024)
    if not head:
        raise UserError("-: nothing came from stdin: expected an image or a PDF")
    if b"%PDF-" in head:
        return file.rename(file.with_suffix(".pdf"))
    try:
        with Image.open(file):
            return file
    except UnidentifiedImageError:
        raise UserError(
            f"-: expected an image or a PDF from stdin, found something that starts with {head[:16]!r}"
        ) from None
    except Exception:  # whatever Pillow's readers raise: what is wrong with it is said where it is read
        return file


def find_documents(inputs: Sequence[str | Path], stdin: Path | None = None) -> list[Document]:
    """Find the files that inputs name, each once, in the order of the inputs and of their paths.

    Args:
        inputs: Files, folders (all images and PDFs at and below them), or patterns such as
            `scans/**/*.png`. What exists under its very name is no pattern.
        stdin: The file that "-" stands for, whose document is called "stdin".

    Raises:
        UserError: There is nothing under one of the names, or no image or PDF.
    """
    found: dict[str, tuple[Path, Path]] = {}  # by the absolute path: the file, and it below what was named
    for each in inputs:
        for path, below in [(stdin, Path(STDIN))] if stdin and each == "-" else _files(each):
            found.setdefault(os.path.abspath(path), (path, below))
    names = _names({place: below for place, (_, below) in found.items()})
    return [
        Document(path, names[place], STDIN if path == stdin else "") for place, (path, _) in found.items()
    ]


def _files(given: str | Path) -> Iterator[tuple[Path, Path]]:
    """Each file of an input, and its path below the input's folder."""
    root = Path(os.path.expanduser(given))  # os.path: what cannot be a name does not exist
    if os.path.isfile(root):
        if root.suffix.lower() not in SUFFIXES:
            raise UserError(f"{root} is no image or PDF: expected one of {', '.join(sorted(SUFFIXES))}")
        yield root, Path(root.name)
    elif os.path.isdir(root):
        empty = True
        for folder, names in files_below(root, SUFFIXES):
            for name in names:
                empty = False
                yield root / folder / name, Path(folder, name)
        if empty:
            raise UserError(f"no images or PDFs in {root}: found {contents(root)}")
    elif has_magic(str(root)):
        fixed = Path(*_before_pattern(root))
        matches = [Path(match) for match in sorted(glob(str(root), recursive=True))]
        files = [path for path in matches if path.is_file() and path.suffix.lower() in SUFFIXES]
        if not files:
            raise UserError(f"no images or PDFs match {root}: found {len(matches)} files of other kinds")
        yield from ((path, path.relative_to(fixed)) for path in files)
    else:
        raise UserError(f"{root} does not exist: expected images, PDFs, folders of them, or a pattern")


def _before_pattern(path: Path) -> list[str]:
    """The folders of a pattern up to its first that is one."""
    parts = []
    for part in path.parts[:-1]:
        if has_magic(part):
            break
        parts.append(part)
    return parts


def _names(files: dict[str, Path]) -> dict[str, str]:
    """A name for each file: without its suffix, else with it, else with a number of its whole path.

    What is longer than `LONGEST` is cut short and gets a number too. Upper and lower case count as the
    same: on many file systems they are.
    """
    names: dict[str, str] = {"": RESERVED}
    left = dict(files)
    for rule in (_stem, _whole, _numbered):
        proposed = {place: rule(place, below) for place, below in left.items()}
        times = Counter(name.casefold() for name in proposed.values())
        taken = {name.casefold() for name in names.values()}
        for place, name in proposed.items():
            alone = times[name.casefold()] == 1 and name.casefold() not in taken
            if rule is _numbered or (alone and len(os.fsencode(os.path.basename(name))) <= LONGEST):
                names[place] = name
                del left[place]
    del names[""]
    return names


def _stem(place: str, below: Path) -> str:
    return below.with_suffix("").as_posix()


def _whole(place: str, below: Path) -> str:
    return below.as_posix()


def _numbered(place: str, below: Path) -> str:
    start = below.with_name(below.name[:50]).as_posix()  # a letter takes up to four bytes
    return f"{start}.{blake2b(os.fsencode(place), digest_size=5).hexdigest()}"


def read_pages(
    documents: Iterable[Document], opened: Callable[[int], None] = lambda pages: None
) -> Iterator[Page | Failure]:
    """Read which pages documents have, one after the other, as they are asked for.

    Only headers are read. Of a PDF one page's size is read at a time, so that the first page of a long
    one is there at once.

    Args:
        documents: What to open.
        opened: Is told the number of pages of each document before they come.

    Yields:
        Each page, or what could not be read in its place.
    """
    for document in documents:
        if is_pdf(document.path):
            yield from _pdf_pages(document, opened)
            continue
        faults = Faults()
        found = frames(document.path, faults)
        opened(len(found))
        yield from _faulty(document, faults)
        for size, number in found:
            yield Page(document.path, document.name, size, number=number)


def _pdf_pages(document: Document, opened: Callable[[int], None]) -> Iterator[Page | Failure]:
    from pypdfium2 import PdfiumError  # 60 ms that only PDFs need

    path = document.path
    try:
        with PDFIUM:
            count = len(open_pdf(path, OPEN))
    except (PdfiumError, OSError):
        opened(0)
        faults = Faults()
        with PDFIUM:
            frames(path, faults)
        if not faults:  # it can be read again
            faults.note("broken PDF", path)
        yield from _faulty(document, faults)
        return
    opened(count)
    for number in range(count):
        try:
            with PDFIUM:
                size = open_pdf(path, OPEN).get_page_size(number)
        except (PdfiumError, OSError):
            size = (0.0, 0.0)
        if min(size) > 0:
            yield Page(path, document.name, size, number=number)
        else:
            yield Failure(path, number, "broken page of a PDF")


def _faulty(document: Document, faults: Faults) -> Iterator[Failure]:
    for reason in faults:
        yield Failure(document.path, None, reason)
