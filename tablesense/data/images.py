"""A folder of images and PDFs, or one of them, without truth: pages to find tables on."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from pathlib import Path

from PIL import Image

from tablesense.data.documents import naming
from tablesense.data.folder import IMAGE_SUFFIXES, contents, image_size
from tablesense.data.page import Page
from tablesense.data.table import Faults, Pages
from tablesense.errors import UserError

EXPECTED = "images or PDFs without annotations, for prediction only"

_PDF = ".pdf"
_SUFFIXES = IMAGE_SUFFIXES | {_PDF}
_FAULTY = (OSError, EOFError, ValueError, SyntaxError, TypeError, LookupError, RuntimeError, struct.error)

Frames = list[tuple[tuple[float, float], int | None]]
"""Width and height of each page of a file, and its number."""


def read_images(path: Path) -> Pages:
    """Read every page of the images and PDFs at and below a folder, or of one file, as the split "all".

    There is no truth: no page has boxes, which does not say that it has no table, so these pages cannot
    be trained on or scored. Each page of a PDF and each frame of a TIFF is a page; of an animation the first
    picture is. Linked folders are followed, hidden files and folders left out, and files
    that are neither images nor PDFs passed over.

    The document of a PDF's or TIFF's pages is its path, relative to the folder, without suffix; that
    of an image is told by its name (see `documents.naming`), after the folder that it lies in.

    Only headers are read: an image whose pixels are cut short is found when it is opened. A file that
    cannot be read is left out and counted under "missing file" (a link to nothing, or it has gone since),
    "unreadable image", "image of too many pixels, scale it down" (Pillow's limit, twice
    `PIL.Image.MAX_IMAGE_PIXELS`), "encrypted PDF" (it asks for a password), "broken PDF", "unreadable PDF"
    (its folder or disk) or "PDF without pages"; a page that has no size, under "broken page of a PDF".

    Raises:
        UserError: There are no images or PDFs, or not one page can be read.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder of images and PDFs, or one such file")
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            raise UserError(f"{path} is no image or PDF: expected one of {', '.join(sorted(_SUFFIXES))}")
        root, found = path.parent, [("", [path.name])]
    else:
        root, found = path, list(files_below(path, _SUFFIXES))
    if not found:
        raise UserError(f"no images or PDFs in {path}: found {contents(path)}")
    rule = naming(name for _, names in found for name in names if not name.lower().endswith(_PDF))
    pages = Pages()
    count = 0
    for folder, names in found:
        for name in names:
            file = Path(root, folder, name)
            for size, number in frames(file, pages.dropped):
                document = rule(name) if number is None else os.path.splitext(name)[0]
                pages.add("all", Page(file, os.path.join(folder, document), size, number=number))
                count += 1
    if not count:
        faults = "; ".join(
            f"{count} {reason}, {pages.dropped.examples[reason][0]}"
            for reason, count in pages.dropped.most_common()
        )
        raise UserError(f"not one page of {path} can be read: {faults}")
    return pages


def files_below(root: Path, suffixes: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """The files of some kinds at and below a folder, folder by folder, in the order of their paths.

    Args:
        root: Its links to folders are followed, once each; hidden files and folders are left out.
        suffixes: Of the files, in lower case.

    Yields:
        A folder, relative to `root` ("" for itself), and the names of its files, sorted; none for a
        folder without such files.

    Raises:
        UserError: A folder cannot be read.
    """
    waiting, seen = [""], set()
    while waiting:
        folder = waiting.pop()
        place = os.path.join(root, folder)
        names, folders = [], []
        try:
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        folders.append(os.path.join(folder, entry.name))
                    elif os.path.splitext(entry.name)[1].lower() in suffixes:
                        names.append(entry.name)
        except OSError as error:
            raise UserError(f"{place} cannot be read: {error.strerror}") from error
        waiting += sorted(folders, reverse=True)
        if names:
            yield folder, sorted(names)


def frames(file: Path, dropped: Faults) -> Frames:
    """The pages of an image or PDF, from its header.

    Args:
        file: Its name says which of both it is.
        dropped: Counts what cannot be read; see `read_images`.

    Returns:
        The size of each page as displayed, and its number from 0, None for an image of one page.
    """
    is_pdf = file.suffix.lower() == _PDF
    try:
        if is_pdf:
            return _pdf_pages(file, dropped)
        sizes = _sizes(file)
    except FileNotFoundError:
        dropped.note("missing file", file)
        return []
    except Image.DecompressionBombError:
        dropped.note("image of too many pixels, scale it down", file)
        return []
    except (UserError, *_FAULTY):
        dropped.note("unreadable PDF" if is_pdf else "unreadable image", file)
        return []
    return [(size, i if len(sizes) > 1 else None) for i, size in enumerate(sizes)]


def _sizes(file: Path) -> list[tuple[int, int]]:
    """The size of each frame of a TIFF, which Pillow turns as its orientation says, or of another image."""
    with Image.open(file) as image:
        if image.format == "TIFF":
            sizes = []
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                sizes.append(image.size)
            return sizes
    return [image_size(file)]


def _pdf_pages(file: Path, dropped: Faults) -> Frames:
    from pypdfium2 import PdfDocument, PdfiumError  # 60 ms that only PDFs need

    try:
        document = PdfDocument(file)
    except PdfiumError:
        dropped.note(_pdf_fault(file), file)
        return []
    pages: Frames = []
    try:
        for number in range(len(document)):
            try:
                size = document.get_page_size(number)
            except PdfiumError:
                size = (0.0, 0.0)
            if min(size) > 0:
                pages.append((size, number))
            else:
                dropped.note("broken page of a PDF", f"{file}, page {number + 1}")
    finally:
        document.close()
    return pages


def _pdf_fault(file: Path) -> str:
    """Why a PDF does not open: pypdfium2 refuses one without pages too, with the error of an earlier file."""
    from pypdfium2 import raw

    document = raw.FPDF_LoadDocument(os.fsencode(file), None)
    if document:
        raw.FPDF_CloseDocument(document)
        return "PDF without pages"
    locked = raw.FPDF_GetLastError() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
    return "encrypted PDF" if locked else "broken PDF"
