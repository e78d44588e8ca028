"""Synthetic pages: the data set that needs no download.

typst sets document pages with tables whose boxes are known exactly. A data set of them is written
once, in COCO's format, by worker processes, and read from the cache ever after.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, get_args
from uuid import uuid4

from tablesense.errors import UserError
from tablesense.files import cache_folder

if TYPE_CHECKING:
    from tablesense.data.typesetting.workers import Job

Difficulty = Literal["standard", "hard"]

GENERATOR_VERSION = 9
"""Part of the cache's folder name: raise it with every change that alters a page."""

SHARE_WITHOUT_TABLES = 0.33
"""The share of pages without a table, unless another is asked for."""

_ANNOTATIONS = "annotations.json"
_SETTINGS = "settings.json"
_LABELS = ("table", "table rotated")


@dataclass(frozen=True)
class SyntheticConfig:
    """How many synthetic pages there are, and which.

    Attributes:
        pages: Pages to train on.
        val_pages: Pages to validate on; none of them is among the training pages.
        seed: Another seed gives other pages.
        cache_dir: Where they are kept; None means `$XDG_CACHE_HOME/tablesense/synthetic`, or
            `~/.cache/tablesense/synthetic`.
        difficulty: "hard" adds turned pages and tables (class `table rotated`), nested headings, merged
            cells, tables side by side, more languages, and forms, programs, schedules and stamps that
            are no tables.

    Raises:
        UserError: A number of pages is not positive, or there is no such difficulty.
    """

    pages: int = 3000
    val_pages: int = 300
    seed: int = 0
    cache_dir: Path | None = None
    difficulty: Difficulty = "standard"

    def __post_init__(self) -> None:
        for name in ("pages", "val_pages"):
            number = getattr(self, name)
            if number < 1:
                raise UserError(
                    f"{name}: expected 1 synthetic page or more, found {number}: give a larger number"
                )
        if self.difficulty not in get_args(Difficulty):
            raise UserError(
                f"difficulty: expected {' or '.join(get_args(Difficulty))}, found {self.difficulty}"
            )


def synthesize(
    folder: Path,
    pages: int,
    seed: str,
    workers: int | None = None,
    difficulty: Difficulty = "standard",
    without_tables: float = SHARE_WITHOUT_TABLES,
    resume: bool = False,
) -> Path:
    """Write a data set of synthetic pages in COCO's format, unless it is there already.

    `folder` gets `images/*.jpg` and `annotations.json`, whose images without annotations are pages
    without tables. Page i depends on the seed, the difficulty, the share and i only, not on the number
    of workers. The folder appears when it is complete: what is interrupted leaves no half data set, and
    of two processes that write the same one, one wins and both find it.

    Args:
        folder: Where the data set will be.
        pages: How many pages to set.
        seed: Another seed gives other pages.
        workers: Worker processes; None takes one for each core that this process may use.
        difficulty: "standard" or "hard", see `SyntheticConfig`.
        without_tables: The share of pages without a table, from 0 to 1.
        resume: Keep what is interrupted in a hidden folder beside `folder`, and go on with it next time; then
            only one process may write the data set.

    Returns:
        `folder`.

    Raises:
        UserError: `folder` holds something else, or cannot be written, or another process writes it.
    """
    from tablesense.data.processes import cores
    from tablesense.data.typesetting.workers import RECORD, Job, set_pages

    folder = Path(folder)
    job = Job(pages, seed, difficulty, without_tables)
    if _complete(folder, job):
        return folder
    draft = folder.parent / f".{folder.name}.{'part' if resume else uuid4().hex[:12]}"
    title = f"Setting {pages} synthetic pages with typst for {folder}: done once, then read from there."
    try:
        with _owned(draft, job):
            set_pages(draft, job, workers or cores(), title)
            _write_coco(draft, job)
        for name in (_SETTINGS, RECORD):
            (draft / name).unlink()
        try:
            draft.rename(folder)
        except OSError:
            if not _complete(folder, job):
                raise
            shutil.rmtree(draft)
    except OSError as error:
        raise UserError(
            f"{folder}: expected to write synthetic pages there, found {error.strerror or error}: "
            "name a folder, or a cache_dir, that can be written"
        ) from error
    finally:
        if not resume:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


@contextmanager
def _owned(draft: Path, job: Job) -> Iterator[None]:
    """Keep a draft for this process alone, and for pages of one job alone."""
    (draft / "images").mkdir(parents=True, exist_ok=True)
    settings = json.dumps({**asdict(job), "generator": GENERATOR_VERSION})
    with (draft / _SETTINGS).open("a+", encoding="utf-8") as file:
        _lock(file, draft)
        file.seek(0)
        found = file.read()
        if found not in ("", settings):
            raise UserError(
                f"{draft}: expected half a data set of {settings}, found one of {found}: "
                "give the same options again, or delete it"
            )
        if not found:
            file.write(settings)
            file.flush()
        yield


def _lock(file: TextIO, draft: Path) -> None:
    try:
        import fcntl
    except ImportError:  # where there are no such locks, two processes would set some pages twice
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{draft}: another process is setting these pages: wait for it to end") from None


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
        cache = cache_folder() / "synthetic"
    name = f"v{GENERATOR_VERSION}-seed{config.seed}-{config.pages}+{config.val_pages}"
    if config.difficulty != "standard":
        name += f"-{config.difficulty}"
    root = Path(cache).expanduser() / name
    synthesize(root / "train", config.pages, f"{config.seed}/train", difficulty=config.difficulty)
    synthesize(root / "val", config.val_pages, f"{config.seed}/val", difficulty=config.difficulty)
    return root


def _info(job: Job) -> dict[str, Any]:
    """What annotations say about their pages; what is as usual is not said."""
    info: dict[str, Any] = {"pages": job.pages, "seed": job.seed, "generator": GENERATOR_VERSION}
    if job.difficulty != "standard":
        info["difficulty"] = job.difficulty
    if job.without_tables != SHARE_WITHOUT_TABLES:
        info["without_tables"] = job.without_tables
    return info


def _complete(folder: Path, job: Job) -> bool:
    """Whether the data set is there; something else in its place is the person's to decide about."""
    annotations = folder / _ANNOTATIONS
    if not annotations.is_file():
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(
                f"{folder}: expected no folder or synthetic pages, found other files: name another folder"
            )
        return False
    try:
        info = json.loads(annotations.read_text(encoding="utf-8"))["info"]
        info = {**info} if "generator" in info else {}
    except (ValueError, TypeError, KeyError):
        info = {}
    expected = _info(job)
    if {key: info.get(key) for key in ("difficulty", "without_tables", *expected)} != {
        "difficulty": None, "without_tables": None, **expected,
    }:  # fmt: skip
        raise UserError(
            f"{folder}: expected {_described(expected)}, found {_described(info)}: "
            "name another folder or delete this one"
        )
    return True


def _described(info: dict[str, Any]) -> str:
    if not info:
        return f"an {_ANNOTATIONS} of other pages"
    share = f", {info['without_tables']} of them without tables" if "without_tables" in info else ""
    return (
        f"{info.get('pages')} {info.get('difficulty', 'standard')} pages of seed {info.get('seed')}{share} "
        f"by generator {info.get('generator')}"
    )


def _write_coco(draft: Path, job: Job) -> None:
    """Write the annotations from the record of the pages, one of them in memory at a time."""
    from tablesense.data.typesetting.workers import recorded

    # By index, and where two processes set the same page, once.
    lines = [line for _, line in sorted(dict(recorded(draft)).items())]
    found: set[str] = set()
    with (draft / _ANNOTATIONS).open("w", encoding="utf-8") as file:
        file.write(f'{{"info": {json.dumps(_info(job))}, "images": [')
        for k, page in enumerate(map(json.loads, lines)):
            image = {"id": page["index"] + 1, "file_name": page["file"]}
            image |= {"width": page["width"], "height": page["height"]}
            file.write(f"{', ' if k else ''}{json.dumps(image)}")
            found.update(page["labels"])
        file.write('], "annotations": [')
        number = 0
        for page in map(json.loads, lines):
            for (x0, y0, x1, y1), label in zip(page["boxes"], page["labels"], strict=True):
                number += 1
                width, height = x1 - x0, y1 - y0
                annotation = {
                    "id": number,
                    "image_id": page["index"] + 1,
                    "category_id": _LABELS.index(label) + 1,
                    "bbox": [x0, y0, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
                file.write(f"{', ' if number > 1 else ''}{json.dumps(annotation)}")
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(_LABELS) if not k or name in found]
        file.write(f'], "categories": {json.dumps(categories)}}}')
