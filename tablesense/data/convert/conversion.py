"""From a data set of any layout to one of another: images first, annotations last."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tablesense.data.convert.destination import DRAFT, Plan, claim, finish
from tablesense.data.convert.images import SUFFIXES, Format, Job, is_drawn, link, make_images
from tablesense.data.convert.layouts import LAYOUTS, Layout
from tablesense.data.convert.names import name_depths, output_stem
from tablesense.data.convert.text import class_names
from tablesense.data.processes import cores
from tablesense.data.reading import read_pages, report
from tablesense.data.table import Faults, Pages, PageTable
from tablesense.errors import UserError
from tablesense.files import cache_folder
from tablesense.progress import progress_bar

Splits = Mapping[str, PageTable]
Jobs = Callable[[], Iterator[Job]]


@dataclass
class Conversion:
    """What was written.

    Attributes:
        splits: The pages as they are in the new data set.
        read: What the reader left out or clipped, in words.
        dropped: The pages that have no image.
        images: How many were "linked", "copied" and "drawn".
        without_links: Whether the file system makes no links, so that image files were copied.
        coarser: How many pages of PDFs are so large that they were drawn at fewer dpi.
        goes_on: Whether an earlier run had begun.
    """

    splits: Splits = field(default_factory=dict)
    read: str | None = None
    dropped: Faults = field(default_factory=Faults)
    images: Counter[str] = field(default_factory=Counter)
    without_links: bool = False
    coarser: int = 0
    goes_on: bool = False


def convert(
    source: Path,
    destination: Path,
    to: str,
    *,
    source_format: str = "auto",
    images: str = "link",
    dpi: int = 150,
    image_format: Format = "png",
    force: bool = False,
    workers: int | None = None,
) -> Conversion:
    """Write a data set in another layout.

    Boxes and classes stay as they are; boxes on pages of PDFs go from points to pixels. Pages keep their
    splits, and their files' names, with the page's number behind and, where two would be the same, their
    folders in front. Classes without a box are left out. Annotations are written when all images are there,
    and appear at once.

    Args:
        source: What `read_pages` reads.
        destination: A folder that is new, empty, or an earlier conversion.
        to: A key of `LAYOUTS`.
        source_format: A key of `FORMATS`, or "auto"; "images", which have no annotations, are refused.
        images: "link" makes relative symbolic links, and copies where there are none; "copy" copies.
        dpi: Pixels for each inch of a PDF's page.
        image_format: Of pages that are drawn: "png", or "jpeg" at quality 92.
        force: Replace an earlier conversion.
        workers: Processes that draw and copy; None takes one for each core that this process may use.

    Raises:
        UserError: The source cannot be read, the destination is not free or cannot be written, not
            one page has an image, or none has a box and the layout cannot say that.
    """
    layout = LAYOUTS[to]
    if source_format == "images":
        raise UserError(
            "images have no annotations, and pages that nobody annotated would count as pages without a "
            f"table: expected another --format; to annotate {source}, correct what predict --format voc finds"
        )
    pages = read_pages(source, source_format)
    splits = {split: table for split, table in pages.splits.items() if len(table)}
    if "all" in splits and len(splits) > 1:
        others = ", ".join(split for split in splits if split != "all")
        raise UserError(
            f"{source} has {len(splits['all'])} pages of no split beside those of {others}, which no layout "
            "can say: put them into a split, or convert them by themselves"
        )
    _refuse_without_boxes(source, splits, layout)
    depths = name_depths(splits)
    plan: Plan = {"to": to, "images": images, "dpi": dpi, "image format": image_format}
    plan["pages"] = _digest(splits)
    done = Conversion(read=report(pages))
    places = {name: each.places for name, each in LAYOUTS.items()}
    done.goes_on = claim(destination, source, plan, places, force)
    number = sum(map(len, splits.values()))
    drawn = np.fromiter((is_drawn(page, layout.sizes) for pages in splits.values() for page in pages), bool)
    jobs = partial(_jobs, splits, depths, drawn, destination, layout, SUFFIXES[image_format])
    sizes = np.zeros((number, 2), np.int32)  # as drawn; -1 for a page without an image
    try:
        for split in splits:
            (destination / layout.images_folder(split)).mkdir(parents=True, exist_ok=True)
        with _progress(number) as advance:
            linked = np.zeros(number, bool)
            if images == "link":
                done.without_links = not _link(jobs, linked, advance)
            processes = min(workers or cores(), -(-int((~linked).sum()) // 8))
            rest = () if linked.all() else (job for job in jobs() if not linked[job.row])
            with closing(make_images(rest, destination / DRAFT, dpi, image_format, processes)) as made_of:
                for made in made_of:
                    sizes[made.row] = made.size
                    if made.fault:
                        done.dropped.note(made.fault, made.name)
                    done.coarser += made.coarser
                    advance()
        done.splits = _converted(jobs, linked, sizes, done.images)
        if not done.splits:
            reasons = "; ".join(f"{count} {reason}" for reason, count in done.dropped.items())
            raise UserError(f"not one image of {source} can be used: {reasons}")
        _refuse_without_boxes(source, done.splits, layout)
        layout.write(destination / DRAFT, done.splits)
        finish(destination, plan)
    except OSError as error:
        raise UserError(f"{destination} cannot be written: {error.strerror or error}") from error
    return done


def _refuse_without_boxes(source: Path, splits: Splits, layout: Layout) -> None:
    if not layout.empty and not class_names(splits):
        raise UserError(
            f"{source} has no box on a page whose image can be used, so data.yaml would name no class: "
            "annotate a table, or take --to coco or voc"
        )


def _digest(splits: Splits) -> str:
    """Tells other pages apart: an image that is there already must be of the same page."""
    digest = hashlib.sha256()
    for split, table in splits.items():
        for page in table:
            digest.update(os.fsencode(f"{split}\0{page.path.absolute()}\0{page.number}\n"))
    return digest.hexdigest()


def _jobs(
    splits: Splits,
    depths: Mapping[str, NDArray[np.int8]],
    drawn: NDArray[np.bool_],
    destination: Path,
    layout: Layout,
    suffix: str,
) -> Iterator[Job]:
    """The image files of all pages; each is named when it is asked for, so that a million are no list.

    Args:
        splits: The pages.
        depths: How many folders each name has.
        drawn: Which pages are drawn, [number of pages].
        destination: The folder of the new data set.
        layout: Of the new data set.
        suffix: Of the images that are drawn.
    """
    row = 0
    for split, table in splits.items():
        folder = destination / layout.images_folder(split)
        for page, depth in zip(table, depths[split].tolist(), strict=True):
            anew = bool(drawn[row])
            ending = suffix if anew else page.path.suffix
            yield Job(row, split, page, folder / f"{output_stem(page, depth)}{ending}", anew)
            row += 1


@contextmanager
def _progress(pages: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console

    with progress_bar(Console(stderr=True)) as progress:
        yield partial(progress.advance, progress.add_task("images", total=pages))


def _link(jobs: Jobs, linked: NDArray[np.bool_], advance: Callable[[], None]) -> bool:
    """Link image files, until one cannot be: then there is no link on this file system.

    Args:
        jobs: Those of pages that are drawn and of missing files are passed over, and those of
            tablesense's own cache: what was unpacked there, a person may clear away.
        linked: Is told which pages have a link, [number of pages].
        advance: Called for each link.

    Returns:
        Whether there are links.
    """
    own = os.path.join(cache_folder().absolute(), "")
    for job in jobs():
        path = job.page.path
        if not job.drawn and path.is_file() and not os.path.abspath(path).startswith(own):
            if not link(path, job.target):
                return False
            linked[job.row] = True
            advance()
    return True


def _converted(
    jobs: Jobs, linked: NDArray[np.bool_], sizes: NDArray[np.int32], images: Counter[str]
) -> Splits:
    """The pages as they are in the new data set; counts how they came there."""
    pages = Pages()
    for job in jobs():
        width, height = sizes[job.row].tolist()
        if width < 0:
            continue
        images["drawn" if width else "linked" if linked[job.row] else "copied"] += 1
        page = replace(job.page, path=job.target, number=None)
        if width:
            x, y = width / page.size[0], height / page.size[1]
            boxes = tuple((x0 * x, y0 * y, x1 * x, y1 * y) for x0, y0, x1, y1 in page.boxes)
            page = replace(page, size=(width, height), boxes=boxes)
        pages.add(job.split, page)
    return pages.splits
