"""The index of a large data set: read once, and from then on opened in a moment."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Timer
from uuid import uuid4

from tablesense.data.folder import IMAGE_SUFFIXES
from tablesense.data.table import Pages, progress
from tablesense.errors import UserError
from tablesense.files import cache_folder

VERSION = 3
"""Part of an index's name: raise it with every change to what a reader yields, or to the columns."""

LARGE = 20_000
"""Pages from which an index is kept: below, COCO is read in 0.8 s, and the columns take 3 MB of a process."""

_MANY, _DEPTH = 1000, 3
_LISTS = {".yaml", ".yml", ".txt"}  # a file of these says where the annotations are; others are them
_PATIENCE = 2.0  # seconds
_MANIFEST = "manifest.json"

Trace = tuple[int, int]


def open_index(path: Path, format: str, read: Callable[[Path], Pages], least: int = LARGE) -> Pages:
    """The pages of a data set: from its index where that is up to date, else read, and kept when large.

    An index lies in `$XDG_CACHE_HOME/tablesense/index/<key>/`, or below `~/.cache`: the columns of each
    split, to be mapped by all processes that use them, and what the reader left out. Its path is
    printed when it is built; deleting it makes the next call read the data set again.

    An index is used as long as nothing that it was made from has changed: size and time of the
    files that are no images and the time of the folders, up to 3 levels below `path`, and the time of the
    folders that the pages lie in; of each at most 1,000. The time of a folder changes with what is
    added, removed or renamed in it. So what goes unseen is
    - a file that is edited in place in a folder of more than 1,000 of them, such as one XML a page, or in
      a data set that has more than 1,000 in all,
    - a change in folders deeper than that, or among more than 1,000 of them,
    - an image that is replaced in place by one of another size,
    - for a path to one file, everything but this file and the folders of its images; of a .yaml or .txt,
      which says where the annotations are, the folder it lies in is looked at as above.

    An index appears when it is complete. Of processes that build the same one at once, one wins and
    all find it. Older indexes of the data set are removed; a process that has one open keeps it, but
    cannot start further processes with it.

    Args:
        path: The data set's folder or annotation file.
        format: What it is read as: another format has another index.
        read: The reader.
        least: How many pages are worth an index.

    Raises:
        UserError: The reader's own. An index that cannot be written is said on stderr, and done without.
    """
    stem = sha256(f"{format}\n{path.resolve()}".encode(errors="surrogatepass")).hexdigest()[:16]
    home = cache_folder() / "index"
    for folder in home.glob(f"{stem}-v{VERSION}-*"):
        try:
            if _up_to_date(folder):
                return Pages.open(folder)
        # Cut short by a full disk or a power failure.
        except (UserError, OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(folder, ignore_errors=True)
    traces = _traces(_sources(path))
    start = time.perf_counter()
    with _patience(f"Reading {path}, which takes a while.") as say:
        pages = read(path)
        count = sum(map(len, pages.splits.values()))
        if count < least:
            return pages
        folders = {os.path.abspath(name) for table in pages.splits.values() for name in table.folders}
        if len(folders) <= _MANY:
            traces = _traces(folders) | traces
        # In one order, as the folder's name is made of it: the order in a set differs between processes.
        said = {"path": str(path.resolve()), "format": format, "traces": traces}
        manifest = json.dumps(said, sort_keys=True)
        folder = home / f"{stem}-v{VERSION}-{sha256(manifest.encode()).hexdigest()[:16]}"
        try:
            _write(pages, manifest, folder)
        except OSError as error:
            say(f"The index of {path} cannot be kept in {home}: {error.strerror or error}.")
            return pages
    for other in home.glob(f"{stem}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    took = time.perf_counter() - start
    say(
        f"Read {count:,} pages of {path} in {took:.0f} s. Their index is {folder}: "
        "delete it to have them read anew."
    )
    try:
        return Pages.open(folder)
    except UserError:  # another process has just removed it, for the data have changed again
        return pages


def _write(pages: Pages, manifest: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(".draft-*"):  # of a process that was killed
        if time.time() - old.stat().st_mtime > 24 * 3600:
            shutil.rmtree(old, ignore_errors=True)
    draft = folder.parent / f".draft-{uuid4().hex}"
    try:
        pages.save(draft)
        (draft / _MANIFEST).write_text(manifest, encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _up_to_date(folder: Path) -> bool:
    traces: dict[str, list[int]] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["traces"]
    return {path: list(trace) for path, trace in _traces(traces).items()} == traces


def _traces(paths: Iterable[str]) -> dict[str, Trace]:
    """Size and time of change of files and folders, in nanoseconds; a folder's size says nothing."""
    found = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[path] = (-1 if os.path.isdir(path) else status.st_size, status.st_mtime_ns)
    return found


def _sources(path: Path) -> list[str]:
    """The files and folders whose change is a change of the data set, images aside."""
    path = path.absolute()
    if path.is_file() and path.suffix.lower() not in _LISTS:
        return [str(path)]
    files: list[str] = []
    folders: list[str] = []
    queue = deque([(str(path.parent if path.is_file() else path), 0)])
    while queue and len(folders) < _MANY:
        folder, depth = queue.popleft()
        folders.append(folder)
        if depth < _DEPTH:
            inner, outer = _listed(folder)
            files += outer
            queue.extend((name, depth + 1) for name in inner)
    return folders + (files if len(files) <= _MANY else [])


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """The folders in a folder, and its files that are no images: of either none when there are many."""
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                suffix = os.path.splitext(entry.name)[1].lower()
                if suffix in IMAGE_SUFFIXES:
                    continue
                (folders if entry.is_dir() else files).append(entry.path)
                if len(folders) > _MANY and len(files) > _MANY:
                    break
    except OSError:
        return [], []
    return sorted(folders) if len(folders) <= _MANY else [], files if len(files) <= _MANY else []


@contextmanager
def _patience(line: str) -> Iterator[Callable[[str], None]]:
    """Say `line` and count what is read, should it take long; yields what says another line at once."""
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    before = progress.copy()
    spinner = Spinner("dots")

    def say(text: str) -> None:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # else another process of the same training says it
            console.print(text, highlight=False, markup=False, soft_wrap=True)

    def count() -> Spinner:
        counts = [f"{n:,} {what}" for what, n in (progress - before).items()]
        spinner.update(text=", ".join(counts))
        return spinner

    live = Live(get_renderable=count, console=console, transient=True, refresh_per_second=8)

    def show() -> None:
        say(line)
        if console.is_terminal:
            live.start()

    timer = Timer(_PATIENCE, show)
    timer.daemon = True
    timer.start()
    try:
        yield say
    finally:
        timer.cancel()
        timer.join()
        live.stop()
