"""The image files of a converted data set: linked, copied, or drawn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from math import ceil
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageChops

from tablesense.data.decode import displayed_size
from tablesense.data.folder import IMAGE_SUFFIXES, image_size
from tablesense.data.page import Page
from tablesense.data.processes import in_processes
from tablesense.errors import UserError

Format = Literal["png", "jpeg"]
SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg"}

_CHUNK = 4  # pages that a process is given at once


@dataclass(frozen=True, slots=True)
class Job:
    """An image file to make.

    Attributes:
        row: Which page it is.
        split: Of the page.
        page: The page.
        target: The file; where it exists, it is complete.
        drawn: Whether the page is decoded and saved anew; else its file is linked or copied.
    """

    row: int
    split: str
    page: Page
    target: Path
    drawn: bool


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a job.

    Attributes:
        row: Which page it was.
        name: What it is called, and after a fault more about that.
        size: Width and height of a drawing in pixels; (0, 0) for a copy, (-1, -1) where there is no file.
        fault: Why there is none.
        coarser: Whether the page of a PDF is so large that it was drawn at fewer dpi.
    """

    row: int
    name: str
    size: tuple[int, int] = (0, 0)
    fault: str = ""
    coarser: bool = False


def is_drawn(page: Page, sizes: bool) -> bool:
    """Whether a page's own file cannot be the image file of the new data set.

    That is a file of several pages, or one that readers of folders do not know by its suffix.

    Args:
        page: Of the source.
        sizes: Whether the new data set says the size of the picture that boxes are given in. If it does not,
            a photo that was annotated before it was turned upright is drawn too, as it was annotated.
    """
    return (
        page.number is not None
        or page.path.suffix.lower() not in IMAGE_SUFFIXES
        or not (sizes or _is_annotated_as_displayed(page))
    )


def _is_annotated_as_displayed(page: Page) -> bool:
    """False where the truth is of an upright page and the picture of a broad one, or the other way round."""
    try:
        width, height = displayed_size(page.path)
    except (OSError, ValueError):  # what is missing is counted when it is copied, what is damaged when drawn
        return not page.path.is_file()
    return (width - height) * (page.size[0] - page.size[1]) >= 0


def link(source: Path, target: Path) -> bool:
    """Make a relative symbolic link, unless the file is there.

    Returns:
        Whether it could be made: some file systems have no links, and some systems ask for a right.
    """
    file = source if not source.is_symlink() else source.resolve()
    try:
        os.symlink(os.path.join(_way(target.parent, file.parent), file.name), target)
    except FileExistsError:
        return True
    except (OSError, NotImplementedError):
        return False
    return True


@lru_cache(maxsize=1024)
def _way(start: Path, end: Path) -> str:
    return os.path.relpath(end.resolve(), start.resolve())


def make_images(
    jobs: Iterable[Job], draft: Path, dpi: int, format: Format, workers: int
) -> Generator[Made, None, None]:
    """Copy image files and draw what is to be drawn, in `workers` processes.

    Args:
        jobs: Taken as they are needed.
        draft: A folder for unfinished files, on the file system of the targets.
        dpi: Pixels for each inch of a PDF's page.
        format: Of the pages that are drawn.
        workers: How many processes; 1 is this one.

    Yields:
        What came of each job, in no order that can be relied on.

    Raises:
        UserError: A file cannot be written, or a process was killed.
    """
    make = partial(_make, draft=draft, dpi=dpi, format=format)
    waiting = iter(jobs)
    chunks = iter(lambda: list(islice(waiting, _CHUNK)), [])
    advice = "the same command goes on, with a lower --dpi it takes less"
    with closing(in_processes(make, chunks, workers, advice)) as made:
        yield from chain.from_iterable(made)


def _make(jobs: list[Job], draft: Path, dpi: int, format: Format) -> list[Made]:
    part = draft / str(os.getpid())
    try:
        return [_draw(job, part, dpi, format) if job.drawn else _copy(job, part) for job in jobs]
    except OSError as error:
        raise UserError(f"{jobs[0].target.parent} cannot be written: {error.strerror or error}") from error


def _copy(job: Job, part: Path) -> Made:
    if not job.page.path.is_file():
        return _failed(job, "missing")
    if not job.target.exists():
        shutil.copyfile(job.page.path, part)
        part.replace(job.target)
    return Made(job.row, job.page.name)


def _draw(job: Job, part: Path, dpi: int, format: Format) -> Made:
    page = job.page
    # A PDF's in whole pixels; a millionth keeps 1650.0000000000002 of them from becoming 1651.
    longest = ceil(max(page.size) * dpi / 72 - 1e-6) if page.path.suffix.lower() == ".pdf" else None
    if job.target.exists():
        size = image_size(job.target)
    elif not page.path.is_file():
        return _failed(job, "missing")
    else:
        try:
            image = _grey(page.open(longest))
        except (OSError, ValueError) as error:
            return _failed(job, "not to be decoded", f": {error}")
        options: dict[str, Any] = {"compress_level": 4} if format == "png" else {"quality": 92}
        image.save(part, format, **options, **({"dpi": (dpi, dpi)} if longest else {}))
        part.replace(job.target)
        size = image.size
    return Made(job.row, page.name, size, coarser=longest is not None and max(size) < longest - 1)


def _failed(job: Job, fault: str, more: str = "") -> Made:
    return Made(job.row, job.page.name + more, (-1, -1), fault)


def _grey(image: Image.Image) -> Image.Image:
    """The same image with one channel where it has no colour: a third of the bytes."""
    if image.mode != "RGB":
        return image
    red, green, blue = image.split()
    coloured = ImageChops.difference(red, green).getbbox() or ImageChops.difference(green, blue).getbbox()
    return image if coloured else red
