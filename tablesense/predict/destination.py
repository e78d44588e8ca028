"""The folder that results are written to: what is called how there, and what an earlier call left."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablesense.errors import UserError
from tablesense.predict.found import DPI, MARGIN
from tablesense.predict.inputs import Document

SETTINGS = ("model", "threshold", "tile", "class_names")
"""What a document's file says of the call that wrote it, and decides what is found."""


@dataclass(frozen=True)
class Destination:
    """Where results go, and which.

    Attributes:
        folder: Holds everything.
        overlay: Keep a picture of each page with its finds.
        crops: Keep a picture of each find.
        voc: Keep an XML of each page as Pascal VOC has it, beside the picture that its boxes are on: a data
            set of its own in `predictions.voc`.
        margin: Around crops, in units of the page.
        dpi: Of PDF pages.
    """

    folder: Path
    overlay: bool = False
    crops: bool = False
    voc: bool = False
    margin: float = MARGIN
    dpi: float = DPI

    def json(self, document: Document) -> Path:
        """The file of a document."""
        return self.folder / f"{document.name}.json"

    def overlays(self, document: Document) -> Path:
        """The folder of its pages with their finds drawn on them: 1.png and so on."""
        return self.folder / f"{document.name}.pages"

    def tables(self, document: Document) -> Path:
        """The folder of its finds: 1_2.png is the second of the first page."""
        return self.folder / f"{document.name}.tables"

    def in_voc(self, document: Document, ending: str) -> Path:
        """A file or folder of a document among those of `voc`."""
        return self.folder / "predictions.voc" / f"{document.name}{ending}"

    def voc_page(self, document: Document, number: int) -> Path:
        """The XML of one page of several: by names like this readers tell that pages are of one document.

        Args:
            document: Which document.
            number: The page, from 1.
        """
        name = f"{Path(document.name).name}_page{number:04}.xml"
        return self.in_voc(document, ".pages") / name


def prepare(folder: Path) -> None:
    """Make the folder, and see that it can be written, before anything else takes time.

    Raises:
        UserError: It cannot.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".predict.part"
        probe.touch()
        probe.unlink(missing_ok=True)  # another call that begins just now may have


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


# -- what an earlier call left ---------------------------------------------------------------------


def check_replaced(destination: Destination, documents: Iterable[Document]) -> None:
    """See that no document's file takes the place of anything but its own of an earlier call.

    Raises:
        UserError: It would: there are the finds of another document, or a file that somebody else wrote.
    """
    for document in documents:
        file = destination.json(document)
        if not os.path.exists(file):
            continue
        content = _read(file)
        if content is None:
            raise UserError(
                f"--out: {file} is not of tablesense predict and would be replaced: name another folder"
            )
        if os.path.realpath(content["file"]) != os.path.realpath(str(document)):
            raise UserError(
                f"--out: {file} holds the finds of {content['file']}, not of {document}: name another folder"
            )


def finished(destination: Destination, document: Document, about: dict[str, Any]) -> bool:
    """Whether all that is wanted of a document is there, and all of its pages could be read.

    Args:
        destination: What is wanted, and where.
        document: Of what.
        about: What its file would say; one with other `SETTINGS` is to be written anew.
    """
    content = _read(destination.json(document))
    try:
        return (
            content is not None
            and not content["failures"]
            and all(content.get(key) == about.get(key) for key in SETTINGS)
            and all(file.exists() for file in _wanted(destination, document, content["pages"]))
        )
    except (KeyError, TypeError):
        return False


def clear(destination: Destination, document: Document) -> None:
    """Remove what an earlier call left of a document, of the kinds that are written anew: they may be fewer.

    Nothing goes but by the names that this package gives, and where there is the document's file.

    Raises:
        UserError: Something cannot be removed.
    """
    if not destination.json(document).exists():
        return
    page = re.escape(Path(document.name).name)
    kinds = (
        (destination.overlay, destination.overlays(document), r"\d+\.png"),
        (destination.crops, destination.tables(document), r"\d+_\d+\.png"),
        (destination.voc, destination.in_voc(document, ".pages"), rf"{page}_page\d+\.(png|xml)"),
    )
    with writing(destination.folder):
        for wanted, folder, names in kinds:
            for file in list(folder.iterdir()) if wanted and folder.is_dir() else ():
                if re.fullmatch(names, file.name):
                    file.unlink()
        if destination.voc:
            for ending in (".xml", document.path.suffix):
                destination.in_voc(document, ending).unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any] | None:
    """What a document's file holds; None if there is none, or one that somebody else wrote."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and {"pages", "boxes"} <= content.keys()
    return content if ours and isinstance(content.get("file"), str) else None


def _wanted(destination: Destination, document: Document, pages: Sequence[dict[str, Any]]) -> Iterator[Path]:
    """Each file that belongs to pages, besides the document's own."""
    in_one = destination.in_voc(document, ".xml").exists()
    for page in pages:
        number = page["page"]
        if destination.overlay:
            yield destination.overlays(document) / f"{number}.png"
        if destination.crops:
            for i in range(1, len(page["tables"]) + 1):
                yield destination.tables(document) / f"{number}_{i}.png"
        if destination.voc and not in_one:
            yield destination.voc_page(document, number)
