"""What is left on disk: a JSON file for each document, all of them in one file, pictures, crops."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image

from tablesense.errors import UserError
from tablesense.files import draft
from tablesense.predict.found import DPI, MARGIN, FoundPage, coco_annotations, coco_image
from tablesense.predict.inputs import Document, Failure

FORMATS = ("json", "jsonl", "csv", "coco")

COLUMNS = ("file", "page", "class", "score", "x0", "y0", "x1", "y1", "unit", "width", "height")
"""Of a CSV file: one find a line."""

BOXES = {
    "box": "x0, y0, x1, y1 from the upper left corner of the page as displayed, in the page's unit: "
    "px are the image's pixels, pt a PDF's points",
    "box_px": "of PDFs: the same in pixels of the page drawn at the page's dpi",
    "box_pdf": "of PDFs: left, bottom, right, top in the PDF's own coordinates: those of its text and lines, "
    "y upwards, /Rotate not applied",
}
"""What each document's file says about its boxes."""


@dataclass(frozen=True)
class Destination:
    """Where results go, and which.

    Attributes:
        folder: Holds everything.
        overlay: Keep a picture of each page with its finds.
        crops: Keep a picture of each find.
        margin: Around crops, in units of the page.
        dpi: Of PDF pages.
    """

    folder: Path
    overlay: bool = False
    crops: bool = False
    margin: float = MARGIN
    dpi: float = DPI

    def json(self, document: Document) -> Path:
        """The file of a document."""
        return self.folder / f"{document.name}.json"


def prepare(folder: Path) -> None:
    """Make the folder, and see that it can be written, before anything else takes time.

    Raises:
        UserError: It cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".predict.part"
        probe.touch()
        probe.unlink()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one line that something cannot be written."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise UserError(
            f"--out: {place} cannot be written: {error.strerror or error}; what is finished is kept"
        ) from error


def finished(file: Path) -> bool:
    """Whether a document's file is there, whole, and of a document all of whose pages could be read."""
    try:
        return not json.loads(file.read_bytes())["failures"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_document(
    destination: Destination,
    document: Document,
    results: Iterable[FoundPage | Failure],
    about: dict[str, Any],
) -> list[Failure]:
    """Write a document's file, and its pictures while its pages come.

    A document of which nothing could be read gets no file.

    Args:
        destination: Where to.
        document: Which one.
        results: Of its pages.
        about: What the file says before its pages.

    Returns:
        What could not be read.

    Raises:
        UserError: Something cannot be written.
    """
    pages: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        page = result.to_dict(destination.dpi)
        del page["file"]
        pages.append(page)
        if destination.overlay or (destination.crops and len(result)):
            failures += _write_pictures(destination, document, result)
    if pages:
        missing = [
            {"page": None if failure.number is None else failure.number + 1, "reason": failure.reason}
            for failure in failures
        ]
        content = {"file": str(document.path), **about, "boxes": BOXES, "pages": pages, "failures": missing}
        with writing(destination.folder), draft(destination.json(document), parents=True) as part:
            part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return failures


def _write_pictures(destination: Destination, document: Document, page: FoundPage) -> list[Failure]:
    try:
        image = page.image(destination.dpi)
    except (OSError, ValueError, MemoryError) as error:  # it could be read smaller, or it is gone by now
        message = " ".join(str(error).split()) or type(error).__name__
        return [Failure(page.path, page.page.number, f"no picture: {message}")]
    place = destination.folder / document.name
    if destination.overlay:
        folder = place.with_name(f"{place.name}.pages")
        _save(destination, folder / f"{page.number}.png", page.drawn(image))
    if destination.crops:
        folder = place.with_name(f"{place.name}.tables")
        for i in range(len(page)):
            name = f"{page.number}_{i + 1}.png"
            _save(destination, folder / name, page.cut(image, i, destination.margin))
    return []


def _save(destination: Destination, file: Path, image: Image.Image) -> None:
    with writing(destination.folder), draft(file, parents=True) as part:
        image.save(part, "PNG", compress_level=1)


# -- all documents in one file ---------------------------------------------------------------------


def write_all(
    destination: Destination, documents: Sequence[Document], kind: str, class_names: tuple[str, ...]
) -> Path:
    """Write one file of what the documents' files hold, one document in memory at a time.

    Args:
        destination: Where the documents' files are.
        documents: Which ones; those without a file are passed over.
        kind: "jsonl" (a page a line), "csv" (a find a line) or "coco".
        class_names: The classes, for COCO's categories.

    Returns:
        The file: `predictions.jsonl`, `predictions.csv` or `predictions.coco.json`.

    Raises:
        UserError: It cannot be written.
    """
    file = destination.folder / ("predictions.coco.json" if kind == "coco" else f"predictions.{kind}")
    with (
        writing(destination.folder),
        draft(file, parents=True) as part,
        part.open("w", encoding="utf-8", newline="") as stream,
    ):
        if kind == "coco":
            _write_coco(stream, destination, documents, class_names)
        else:
            write = row_writer(stream, kind)
            for page in _pages(destination, documents):
                write(page)
    return file


def row_writer(stream: IO[str], kind: str) -> Callable[[dict[str, Any]], object]:
    """A function that writes what `FoundPage.to_dict` gave, as "jsonl" or as "csv", whose head is written."""
    if kind == "jsonl":
        return lambda page: stream.write(json.dumps(page) + "\n")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)

    def write(page: dict[str, Any]) -> None:
        for find in page["tables"]:
            which = page["file"], page["page"], find["class"], find["score"]
            table.writerow([*which, *find["box"], page["unit"], page["width"], page["height"]])

    return write


def _pages(destination: Destination, documents: Sequence[Document]) -> Iterator[dict[str, Any]]:
    for document in documents:
        file = destination.json(document)
        if file.is_file():
            content = json.loads(file.read_bytes())
            for page in content["pages"]:
                yield {"file": content["file"], **page}


def _write_coco(
    stream: IO[str], destination: Destination, documents: Sequence[Document], class_names: tuple[str, ...]
) -> None:
    images = (coco_image(page, i) for i, page in enumerate(_pages(destination, documents), start=1))
    stream.write('{"images": [')
    _write_items(stream, images)
    stream.write('],\n"annotations": [')
    _write_items(stream, _annotations(_pages(destination, documents), class_names))
    categories = [{"id": i, "name": name} for i, name in enumerate(class_names, start=1)]
    stream.write(f'],\n"categories": {json.dumps(categories)}}}\n')


def _annotations(pages: Iterable[dict[str, Any]], class_names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    first = 1
    for i, page in enumerate(pages, start=1):
        annotations = coco_annotations(page, i, first, class_names)
        first += len(annotations)
        yield from annotations


def _write_items(stream: IO[str], items: Iterable[dict[str, Any]]) -> None:
    for i, item in enumerate(items):
        stream.write((",\n" if i else "\n") + json.dumps(item))
