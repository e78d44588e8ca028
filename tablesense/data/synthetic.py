"""Synthetic pages: the data set that needs no download.

typst sets document pages with tables whose boxes are known exactly. A data set of them is written
once, in COCO's format, by worker processes, and read from the cache ever after.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tablesense.data.page import Box
from tablesense.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

GENERATOR_VERSION = 9
"""Part of the cache's folder name: raise it with every change that alters a page."""

_ANNOTATIONS = "annotations.json"


@dataclass(frozen=True)
class SyntheticConfig:
    """How many synthetic pages there are, and which.

    Attributes:
        pages: Pages to train on.
        val_pages: Pages to validate on; none of them is among the training pages.
        seed: Another seed gives other pages.
        cache_dir: Where they are kept; None means `$XDG_CACHE_HOME/tablesense/synthetic`, or
            `~/.cache/tablesense/synthetic`.

    Raises:
        UserError: A number of pages is not positive.
    """

    pages: int = 3000
    val_pages: int = 300
    seed: int = 0
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        for name in ("pages", "val_pages"):
            number = getattr(self, name)
            if number < 1:
                raise UserError(
                    f"{name}: expected 1 synthetic page or more, found {number}: give a larger number"
                )


def typeset_page(seed: str) -> tuple[Image.Image, list[Box]]:
    """Set one synthetic page.

    Args:
        seed: Everything on the page follows from it, on machines with the same fonts.

    Returns:
        The page as RGB, 640 pixels on its longest side, and the exact ink bounds of each table as
        xyxy pixels, captions and notes excluded. A third of all pages have no table.
    """
    from tablesense.data.typesetting import typeset_page as typeset  # typst, NumPy and Pillow

    return typeset(seed)


def synthesize(folder: Path, pages: int, seed: str, workers: int | None = None) -> Path:
    """Write a data set of synthetic pages in COCO's format, unless it is there already.

    `folder` gets `images/*.jpg` and `annotations.json`, whose images without annotations are pages
    without tables. Page i depends on the seed and i only, not on the number of workers. The folder
    appears when it is complete: what is interrupted leaves no half data set, and of two processes
    that write the same one, one wins and both find it.

    Args:
        folder: Where the data set will be.
        pages: How many pages to set.
        seed: Another seed gives other pages.
        workers: Worker processes; None takes one for each core that this process may use.

    Returns:
        `folder`.

    Raises:
        UserError: `folder` holds something else, or cannot be written.
    """
    folder = Path(folder)
    if _complete(folder, pages, seed):
        return folder
    draft = folder.parent / f".{folder.name}.{uuid4().hex[:12]}"
    try:
        (draft / "images").mkdir(parents=True)
        found = _set_pages(draft / "images", folder, pages, seed, workers or _cores())
        found.sort(key=lambda page: page["index"])
        (draft / _ANNOTATIONS).write_text(json.dumps(_coco(found, seed)), encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:
            if not _complete(folder, pages, seed):
                raise
    except OSError as error:
        raise UserError(
            f"{folder}: expected to write synthetic pages there, found {error.strerror or error}: "
            "name a cache_dir that can be written"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def synthetic_pages(config: SyntheticConfig) -> Path:
    """The cached training and validation pages, set now if they are not there yet.

    Args:
        config: How many, and which.

    Returns:
        A folder with `train/` and `val/`, each as `synthesize` writes it.

    Raises:
        UserError: The cache cannot be written.
    """
    cache = config.cache_dir
    if cache is None:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        cache = Path(home) / "tablesense" / "synthetic"
    root = (
        Path(cache).expanduser() / f"v{GENERATOR_VERSION}-seed{config.seed}-{config.pages}+{config.val_pages}"
    )
    synthesize(root / "train", config.pages, f"{config.seed}/train")
    synthesize(root / "val", config.val_pages, f"{config.seed}/val")
    return root


def _complete(folder: Path, pages: int, seed: str) -> bool:
    """Whether the data set is there; something else in its place is the person's to decide about."""
    annotations = folder / _ANNOTATIONS
    if not annotations.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(
                f"{folder}: expected no folder or synthetic pages, found other files: name another folder"
            )
        return False
    info = json.loads(annotations.read_text(encoding="utf-8")).get("info", {})
    expected = {"pages": pages, "seed": seed, "generator": GENERATOR_VERSION}
    if any(info.get(key) != value for key, value in expected.items()):
        raise UserError(
            f"{folder}: expected {pages} pages of seed {seed} by generator {GENERATOR_VERSION}, found "
            f"{info.get('pages')} of seed {info.get('seed')} by {info.get('generator')}: "
            "name another folder or delete this one"
        )
    return True


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _set_pages(images: Path, folder: Path, pages: int, seed: str, workers: int) -> list[dict[str, Any]]:
    """Set all pages in worker processes and collect their sizes and boxes."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    console.print(
        f"Setting {pages} synthetic pages with typst for {folder}: done once, then read from there.",
        highlight=False,
        soft_wrap=True,
    )
    workers = max(1, min(workers, pages))
    # Plain subprocesses: neither fork under a caller with threads, nor multiprocessing's spawn, which
    # imports the caller's main module again, torch and all, and asks for a guard in it.
    command = [sys.executable, "-m", "tablesense.data.typesetting", str(images), str(pages), seed]
    package_root = str(Path(__file__).parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TMPDIR": str(images.parent),  # removed with the draft, should a worker be killed
        "RAYON_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen([*command, str(k), str(workers)], stdout=subprocess.PIPE, text=True, env=environment)
        for k in range(workers)
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, transient=True) as progress,
        ThreadPoolExecutor(workers) as readers,
    ):
        task = progress.add_task("pages", total=pages)

        def follow(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
            found = []
            for line in process.stdout or ():
                found.append(json.loads(line))
                progress.advance(task)
            return found

        try:
            found = [page for part in readers.map(follow, processes) for page in part]
            failed = any([process.wait() for process in processes])
        finally:
            for process in processes:  # before the readers are waited for, who read to the end
                process.kill()
                process.wait()
    if failed or len(found) != pages:
        raise RuntimeError(f"a worker that sets synthetic pages failed after {len(found)} of {pages} pages")
    return found


def _coco(found: list[dict[str, Any]], seed: str) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for page in found:
        number = page["index"] + 1
        images.append(
            {"id": number, "file_name": page["file"], "width": page["width"], "height": page["height"]}
        )
        for x0, y0, x1, y1 in page["boxes"]:
            width, height = x1 - x0, y1 - y0
            annotations.append({
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": 1,
                "bbox": [x0, y0, width, height],
                "area": width * height,
                "iscrowd": 0,
            })  # fmt: skip
    return {
        "info": {"pages": len(found), "seed": seed, "generator": GENERATOR_VERSION},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "table"}],
    }
