"""The ICDAR 2013 table competition: born-digital PDFs, each with its table regions in `*-reg.xml`."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

from tablesense.data.folder import contents
from tablesense.data.images import files_below
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.table import Pages
from tablesense.data.xml import parse_xml, some_xml
from tablesense.errors import UserError

EXPECTED = "*-reg.xml beside *.pdf"

_TRUTH = "-reg.xml"
_ALTERNATIVE = re.compile(r"(?<=\d)[a-z]$")  # "eu-009b" is a second opinion on the tables of eu-009


def read_icdar2013(path: Path) -> Pages:
    """Read every page of every PDF below a folder, with and without tables, as the split "all".

    Boxes are turned from the PDF's frame (points from the bottom left) to the displayed one (from
    the top left of the visible page). On a page with /Rotate the competition's boxes are given as
    displayed. A table's regions are separate boxes. Where experts disagreed, the truth "a" is used
    and "b" ignored. The document is the PDF's stem, less the letter of an alternative.

    Source: Göbel, Hassan, Oro, Orsi, "ICDAR 2013 Table Competition".

    Raises:
        UserError: There are no truths, one of them has no PDF or a PDF no truth, or one is faulty.
    """
    if not path.is_dir():
        raise UserError(f"{path} is not a folder: expected one with {EXPECTED}")
    below = files_below(path, {".pdf", ".xml"})
    files = [path / folder / name for folder, names in below for name in names]
    truths = [file for file in files if file.name.endswith(_TRUTH)]
    pdfs = [file for file in files if file.suffix.lower() == ".pdf"]
    if not truths:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    pages = Pages()
    for pdf, truth in _pair(pdfs, truths):
        regions = _regions(truth)
        document = _ALTERNATIVE.sub("", pdf.stem)
        frames = _frames(pdf)
        beyond = [number for number in regions if not 0 <= number < len(frames)]
        if beyond:
            raise UserError(
                f"{truth} has a table on page {beyond[0] + 1}; {pdf.name} has {len(frames)} pages"
            )
        for number, (left, bottom, width, height) in enumerate(frames):
            boxes = [
                (x0 - left, height - (y1 - bottom), x1 - left, height - (y0 - bottom))
                for x0, y0, x1, y1 in regions[number]
            ]
            kept = keep_valid(boxes, ["table"] * len(boxes), (width, height), pages.dropped, truth)
            pages.add("all", Page(pdf, document, (width, height), *kept, number))
    return pages


def looks_like_icdar2013(path: Path) -> bool:
    """Whether a folder holds truths of the competition, by the names of a few of its files. Never raises."""
    names = (re.sub(r"-str\.xml$", _TRUTH, file) for file in some_xml(path))  # the same tables' cells
    return any(name.endswith(_TRUTH) and os.path.isfile(name) for name in names)


def _pair(pdfs: list[Path], truths: list[Path]) -> list[tuple[Path, Path]]:
    """Each PDF with its truth; alternatives that have no PDF of their own are passed over."""
    known = set(truths)
    pairs: list[tuple[Path, Path]] = []
    bare: list[Path] = []
    for pdf in pdfs:
        candidates = (pdf.with_name(f"{stem}{_TRUTH}") for stem in (pdf.stem, f"{pdf.stem}a"))
        truth = next((file for file in candidates if file in known), None)
        if truth is None:
            bare.append(pdf)
        else:
            pairs.append((pdf, truth))
    if bare:
        raise UserError(
            f"{len(bare)} of {len(pdfs)} PDFs have no {_TRUTH[1:]} beside them; the first is {bare[0]}: "
            "add its truth or move it away"
        )
    on_disk = {_ALTERNATIVE.sub("", str(pdf.with_suffix(""))) for pdf in pdfs}
    orphans = [xml for xml in truths if _ALTERNATIVE.sub("", str(xml).removesuffix(_TRUTH)) not in on_disk]
    if orphans:
        first = str(orphans[0]).removesuffix(_TRUTH) + ".pdf"
        raise UserError(
            f"{len(orphans)} of {len(truths)} PDFs with a truth are missing; the first is {first}"
        )
    return pairs


def _regions(truth: Path) -> defaultdict[int, list[Box]]:
    """The boxes of each page (from 0), in the truth's own frame, corners in order."""
    regions: defaultdict[int, list[Box]] = defaultdict(list)
    root = parse_xml(truth)
    if root.tag != "document":
        raise UserError(f"{truth} is not an ICDAR 2013 truth: expected <document>, found <{root.tag}>")
    for region in root.iter("region"):
        box = region.find("bounding-box")
        try:
            if box is None:
                raise ValueError
            x1, y1, x2, y2 = (float(box.get(name, "missing")) for name in ("x1", "y1", "x2", "y2"))
            page = int(region.get("page", "missing"))
        except ValueError:
            found = f"page={region.get('page')} and {'no box' if box is None else box.attrib}"
            raise UserError(
                f"{truth}: expected each region with a page number and a bounding-box of "
                f"x1, y1, x2, y2; found {found}"
            ) from None
        regions[page - 1].append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    return regions


def _frames(pdf: Path) -> list[tuple[float, float, float, float]]:
    """The left, bottom, width and height of each displayed page, in the frame that truths use."""
    from pypdfium2 import PdfDocument, PdfiumError  # 60 ms that only PDFs need

    frames = []
    try:
        document = PdfDocument(pdf)
        for page in document:
            # The truth of a rotated page is as displayed, so the PDF's own origin says nothing there.
            left, bottom = (0.0, 0.0) if page.get_rotation() else page.get_bbox()[:2]
            frames.append((left, bottom, *page.get_size()))
            page.close()
        document.close()
    except PdfiumError as error:
        raise UserError(f"{pdf} cannot be read as a PDF: {error}") from error
    return frames
