"""What is left on disk: a JSON file for each document, all of them in one file, pictures, crops."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.page import Page
from tablesense.files import draft
from tablesense.predict.destination import Destination, clear, writing
from tablesense.predict.found import DPI, FoundPage, coco_annotations, coco_categories, coco_image
from tablesense.predict.inputs import Document, Failure

FORMATS = ("json", "jsonl", "csv", "coco", "voc")

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


def write_document(
    destination: Destination,
    document: Document,
    results: Iterable[FoundPage | Failure],
    about: dict[str, Any],
) -> list[Failure]:
    """Write a document's file, and its pictures while its pages come.

    What an earlier call left of the document goes: a document of which nothing could be read gets no file.

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
    clear(destination, document)
    content, failures = _content(document, results, about, destination)
    with writing(destination.folder):
        if content["pages"]:
            with draft(destination.json(document), parents=True) as part:
                part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        else:
            destination.json(document).unlink(missing_ok=True)
    return failures


def _content(
    document: Document,
    results: Iterable[FoundPage | Failure],
    about: dict[str, Any],
    destination: Destination | None,
    dpi: float = DPI,
) -> tuple[dict[str, Any], list[Failure]]:
    """What a document's file holds, and what could not be read; pictures go to the destination, if any."""
    pages: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for result in results:
        if isinstance(result, Failure):
            failures.append(result)
            continue
        page = result.to_dict(destination.dpi if destination else dpi)
        del page["file"]
        pages.append(page)
        if destination is not None:
            failures += _write_beside(destination, document, result)
    missing = [
        {"page": None if failure.number is None else failure.number + 1, "reason": failure.reason}
        for failure in failures
    ]
    content = {"file": str(document), **about, "boxes": BOXES, "pages": pages, "failures": missing}
    return content, failures


def _write_beside(destination: Destination, document: Document, page: FoundPage) -> list[Failure]:
    """Write what is wanted of a page besides its boxes."""
    own_picture = page.page.number is None and not document.title
    drawn = destination.overlay or (destination.crops and len(page)) or (destination.voc and not own_picture)
    if drawn:
        try:
            image = page.image(destination.dpi)
        except (OSError, ValueError, MemoryError) as error:  # it could be read smaller, or it is gone by now
            message = " ".join(str(error).split()) or type(error).__name__
            return [Failure(page.path, page.page.number, f"no picture: {message}")]
    if destination.overlay:
        _save(destination, destination.overlays(document) / f"{page.number}.png", page.drawn(image))
    if destination.crops:
        for i in range(len(page)):
            file = destination.tables(document) / f"{page.number}_{i + 1}.png"
            _save(destination, file, page.cut(image, i, destination.margin))
    if destination.voc and own_picture:
        picture = destination.in_voc(document, page.path.suffix)
        with writing(destination.folder):
            _link(page.path, picture)
        _save_voc(destination, destination.in_voc(document, ".xml"), page, picture, page.size)
    elif destination.voc:
        file = destination.voc_page(document, page.number)
        picture = file.with_suffix(".png")
        _save(destination, picture, image)
        _save_voc(destination, file, page, picture, image.size)
    return []


def _link(file: Path, link: Path) -> None:
    """Have a file at another place as well: linked, or copied where the file system has no links."""
    from tablesense.data.convert import images

    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():  # perhaps of an earlier call, to another file
        link.unlink()
    if not images.link(file, link):
        with draft(link) as part:
            shutil.copyfile(file, part)


def _save_voc(
    destination: Destination, file: Path, page: FoundPage, picture: Path, size: tuple[float, float]
) -> None:
    with writing(destination.folder), draft(file, parents=True) as part:
        part.write_text(voc_xml(page, picture, size), encoding="utf-8")


def voc_xml(page: FoundPage, picture: Path, size: tuple[float, float]) -> str:
    """The XML of a page with the score of each find.

    Args:
        page: The page.
        picture: The file that it is a page of, as an image.
        size: Of the picture, in pixels.
    """
    from tablesense.data.convert.voc import annotation

    x, y = size[0] / page.size[0], size[1] / page.size[1]
    boxes: NDArray[np.float64] = (page.boxes * (x, y, x, y)).round(3)
    corners = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist())
    return annotation(Page(picture, page.document, size, corners, page.labels), page.scores.tolist())


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
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        if kind == "coco":
            _write_coco(stream, _pages(destination, documents), class_names)
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


def _write_coco(stream: IO[str], pages: Iterable[dict[str, Any]], class_names: tuple[str, ...]) -> None:
    """Write pages as they come; annotations, which stand behind all images, wait in a file."""
    count = 0
    with TemporaryFile("w+", encoding="utf-8") as annotations:
        stream.write('{"images": [')
        for i, page in enumerate(pages, start=1):
            stream.write((",\n" if i > 1 else "\n") + json.dumps(coco_image(page, i)))
            for annotation in coco_annotations(page, i, count + 1, class_names):
                annotations.write((",\n" if count else "\n") + json.dumps(annotation))
                count += 1
        stream.write('],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, stream)
    stream.write(f'],\n"categories": {json.dumps(coco_categories(class_names))}}}\n')


# -- to a pipe -------------------------------------------------------------------------------------


def write_stream(
    stream: IO[str],
    kind: str,
    documents: Mapping[Path, Document],
    results: Iterable[FoundPage | Failure],
    about: dict[str, Any],
    dpi: float,
) -> list[Failure]:
    """Write results to a stream as they come.

    Args:
        stream: Where to.
        kind: "json" (a line for each document, which holds what its file would), "jsonl" (a page a line),
            "csv" (a find a line), "coco", or "voc" (the XML of the only page).
        documents: By their paths.
        results: Of the pages of these.
        about: What is said of each document, `class_names` among it.
        dpi: Of PDF pages.

    Returns:
        What could not be read.
    """
    failures: list[Failure] = []
    if kind == "json":
        for path, of_document in groupby(results, key=lambda result: result.path):
            content, faults = _content(documents[path], of_document, about, None, dpi)
            failures += faults
            if content["pages"]:
                stream.write(json.dumps(content) + "\n")
                stream.flush()
        return failures

    def pages() -> Iterator[FoundPage]:
        for result in results:
            if isinstance(result, Failure):
                failures.append(result)
            else:
                yield result

    if kind == "voc":
        for page in pages():
            scale = dpi / 72 if page.unit == "pt" else 1
            size = round(page.size[0] * scale), round(page.size[1] * scale)
            stream.write(voc_xml(page, Path(str(documents[page.path])), size))
        return failures
    found = ({**page.to_dict(dpi), "file": str(documents[page.path])} for page in pages())
    if kind == "coco":
        _write_coco(stream, found, tuple(about["class_names"]))
        return failures
    write = row_writer(stream, kind)
    for each in found:
        write(each)
        stream.flush()
    return failures
