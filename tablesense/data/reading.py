"""From a path to pages: recognise the format, read it, report what was left out, hold documents back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from tablesense.data import coco, csv_boxes, ctdar, huggingface, icdar2013, images, voc, yolo
from tablesense.data.folder import contents
from tablesense.data.index import open_index
from tablesense.data.page import LOST_BOXES
from tablesense.data.table import Pages, PageTable
from tablesense.errors import UserError

FORMATS: dict[str, Callable[[Path], Pages]] = {
    "coco": coco.read_coco,
    "voc": voc.read_voc,
    "yolo": yolo.read_yolo,
    "icdar2013": icdar2013.read_icdar2013,
    "ctdar": ctdar.read_ctdar,
    "csv": csv_boxes.read_csv_boxes,
    "huggingface": huggingface.read_huggingface,
    "huggingface_xyxy": huggingface.read_huggingface_xyxy,
    "images": images.read_images,
}

_LOOKS: dict[str, Callable[[Path], object]] = {
    "huggingface": huggingface.looks_like_huggingface,
    "coco": coco.looks_like_coco,
    "yolo": yolo.looks_like_yolo,
    "icdar2013": icdar2013.looks_like_icdar2013,
    "ctdar": ctdar.looks_like_ctdar,
    "voc": voc.looks_like_voc,
    "csv": csv_boxes.looks_like_csv,
}
"""How a folder of each format is told. Images alone are not told: they have nothing to learn from."""

EXPECTED = (
    "COCO .json, Pascal VOC or cTDaR .xml, YOLO data.yaml or labels/, PDFs beside *-reg.xml, "
    f"{csv_boxes.EXPECTED}, or a data set of Hugging Face"
)

_OF_SUFFIX = {".json": "coco", ".csv": "csv", ".yaml": "yolo", ".yml": "yolo", ".parquet": "huggingface"}


def read_pages(path: Path, format: str = "auto", source: str | None = None) -> Pages:
    """Read a data set from disk.

    Args:
        path: Its folder, or its annotation file.
        format: A key of `FORMATS`, or "auto" to recognise it by its files.
        source: What the data set is called; None for the name of its folder or file.

    Raises:
        UserError: The data cannot be used, or not one of its boxes can.
    """
    path = Path(path).expanduser()
    if format != "auto" and format not in FORMATS:
        names = ["auto", *FORMATS]
        nearest = get_close_matches(format.lower(), names, n=1, cutoff=0.4)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UserError(f"unknown format {format!r}: expected one of {', '.join(names)}{meant}")
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder with pages and their annotations")
    # With an index of the data set nothing need be looked at again.
    pages = open_index(
        path, format, lambda path: FORMATS[recognise(path) if format == "auto" else format](path)
    )
    if not any(map(len, pages.splits.values())):
        raise UserError(f"{path} holds no pages: its annotations name no images")
    lost = any(pages.dropped[reason] for reason in LOST_BOXES)
    if lost and not any(table.label_counts() for table in pages.splits.values()):
        raise UserError(f"not one valid box in {path}: {_counts(pages.dropped)}")
    source = source or path.resolve().stem
    for split, table in pages.splits.items():
        pages.splits[split] = table.named(source)
    return pages


def split_by_document(pages: PageTable, fraction: float, seed: int) -> tuple[PageTable, PageTable]:
    """Hold whole documents back from training.

    Documents are taken in an order that depends on `seed` and their names alone, each that leaves
    the share of pages held out within `fraction`, and one more where that comes nearer to it.

    Args:
        pages: In any order; it does not change which are held out.
        fraction: The share of pages to hold out, between 0 and 1.
        seed: Another one holds other documents out.

    Returns:
        The pages to train on and those held out, both in the order of `pages`. With two documents or
        more neither is empty; a single document is not held out.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the fraction of pages to hold out is {fraction}: expected between 0 and 1")
    counts = np.bincount(pages.documents)
    sizes = {int(document): int(counts[document]) for document in np.flatnonzero(counts)}
    order = sorted(sizes, key=lambda i: hashlib.sha256(f"{seed}:{pages.document_name(i)}".encode()).digest())
    target = fraction * len(pages)
    held: set[int] = set()
    total = 0
    for document in order:
        if total + sizes[document] <= target:
            held.add(document)
            total += sizes[document]
    rest = [document for document in order if document not in held]
    if len(rest) > 1:  # the last document is left to train on
        nearest = min(rest, key=lambda document: abs(total + sizes[document] - target))
        if not held or total + sizes[nearest] - target < target - total:
            held.add(nearest)
    held_out = np.isin(pages.documents, list(held))
    return pages.select(~held_out), pages.select(held_out)


def report(pages: Pages) -> str | None:
    """One line of the boxes that were left out or changed, None when all are as annotated."""
    return f"left out or changed: {_counts(pages.dropped)}" if pages.dropped.total() else None


def _counts(dropped: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in dropped.most_common() if count)


def recognise(path: Path) -> str:
    """The key of `FORMATS` that a folder or an annotation file is of, told by its files.

    Raises:
        UserError: It is of none, or looks like several.
    """
    if path.is_file():
        if path.suffix.lower() not in _OF_SUFFIX:
            known = ", ".join(_OF_SUFFIX)
            raise UserError(f"{path} is not annotations: expected a folder, or a file of {known}")
        return _OF_SUFFIX[path.suffix.lower()]
    found = [name for name, looks in _LOOKS.items() if looks(path)]
    if "huggingface" in found:
        return "huggingface"  # which describes itself in .json files
    if not found and len(list(path.glob("*.csv"))) == 1:
        return "csv"  # without the columns of a box: its reader says which are lacking
    if not found and coco.annotation_files(path):
        return "coco"  # likewise
    if not found:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    if len(found) > 1:
        raise UserError(f"{path} looks like {' and '.join(found)}: say which with format")
    return found[0]
