"""The image files of a converted data set: linked, copied, or drawn from PDFs and TIFFs."""

from __future__ import annotations

import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from math import ceil
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any, Literal

from PIL import Image, ImageChops

from tablesense.data.folder import image_size
from tablesense.data.page import Page
from tablesense.errors import UserError

Format = Literal["png", "jpeg"]
SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg"}

_CHUNK = 4  # pages that a process is given at once
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """An image file to make.

    Attributes:
        row: Which page it is.
        split: Of the page.
        page: The page.
        target: The file; where it exists, it is complete.
    """

    row: int
    split: str
    page: Page
    target: Path


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
    """Copy image files and draw pages of PDFs and TIFFs, in `workers` processes.

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
    if workers <= 1:
        for chunk in chunks:
            yield from make(chunk)
        return
    others = set(active_children())
    with _one_thread_each():
        # Not fork: the progress bar has a thread.
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
        try:
            yield from _in_turn(pool, make, chunks, 3 * workers)
        except BrokenProcessPool as error:
            raise UserError(
                "a process that draws pages was killed, perhaps for its memory: the same command goes on, "
                "with a lower --dpi it takes less"
            ) from error
        except BaseException:
            # What is not finished is not wanted, and a second Ctrl+C must not find this waiting for it.
            with _uninterrupted():
                for process in set(active_children()) - others:
                    process.kill()
                pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    if current_thread() is not main_thread():  # it is the one that is interrupted
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """What a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl+C is for the one that gives out work
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Of a parent that was killed, the processes of a pool would wait for work for ever."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)


def _in_turn(
    pool: ProcessPoolExecutor,
    make: Callable[[list[Job]], list[Made]],
    chunks: Iterator[list[Job]],
    ahead: int,
) -> Iterator[Made]:
    """Results in the order of the jobs, of which only a few are under way at any time."""
    waiting: deque[Future[list[Made]]] = deque(pool.submit(make, chunk) for chunk in islice(chunks, ahead))
    while waiting:
        made = waiting.popleft().result()
        if chunk := next(chunks, None):
            waiting.append(pool.submit(make, chunk))
        yield from made


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _make(jobs: list[Job], draft: Path, dpi: int, format: Format) -> list[Made]:
    part = draft / str(os.getpid())
    try:
        return [
            _copy(job, part) if job.page.number is None else _draw(job, part, dpi, format) for job in jobs
        ]
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
