"""Pages for the report: which ones, the boxes on them, and their pictures, small enough to be in the page."""

from __future__ import annotations

import io
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from tablesense.errors import UserError
from tablesense.experiment.recorded import Found, Run

if TYPE_CHECKING:
    from tablesense.experiment.evaluation import ScoredPage

PAGES = 24
"""How many pages are shown at most."""
FINDS = 40
"""How many finds of a page are shown at most."""
SIZES = ((720, None), (640, 70), (560, 60), (480, 50), (400, 40), (320, 30))
"""Heights of the pictures in pixels and their JPEG quality (None: the file's own); the first that fit win."""


@dataclass(frozen=True)
class Drawn:
    """A box on a page.

    Attributes:
        x: Its left side, in units of the page, as are the next three.
        y: Its upper side.
        width: From side to side.
        height: From top to bottom.
        score: Of a find.
        label: What stands in it.
    """

    x: float
    y: float
    width: float
    height: float
    score: float = 1.0
    label: str = ""


@dataclass(frozen=True)
class Shown:
    """A page of the gallery as one run saw it.

    Attributes:
        run: Which run.
        name: Which page.
        width: Of the page, in the units of its boxes.
        height: Likewise.
        picture: Its picture.
        truth: Its tables.
        finds: What was found, best first, also what does not count.
        threshold: The lowest score that counts.
        verdict: Its errors in words.
    """

    run: str
    name: str
    width: float
    height: float
    picture: Path
    truth: list[Drawn]
    finds: list[Drawn]
    threshold: float
    verdict: str


def fixed_pages(runs: Sequence[Run]) -> list[list[Shown]]:
    """The pages that are shown whatever is found on them: for each page one entry a run that has it.

    A name says little, such as page_1.png in two folders: a run's pages are each one of their own, and the
    same as another run's where source, size, tables and place among such pages are the same too.
    """
    pages: dict[tuple[object, ...], list[Shown]] = {}
    for run in runs:
        if run.found:
            before: Counter[tuple[object, ...]] = Counter()
            for i, page in enumerate(run.found.pages):
                alike = page.name, page.source, page.size, str(page.boxes.tolist())
                before[alike] += 1
                if page.fixed and page.picture:
                    row = pages.setdefault((*alike, before[alike]), [])
                    row.append(_shown(run, run.found, i, page.picture))
    return sorted(pages.values(), key=lambda shown: -len(shown))[: max(1, PAGES // (2 * len(runs)))]


def worst_pages(run: Run, number: int) -> list[Shown]:
    """The pages with the most errors, of those that have a picture and are not shown anyway."""
    if run.found is None:
        return []
    pages = run.found.pages
    worst = [i for i in run.found.analysis.worst(len(pages)) if not pages[i].fixed]
    return [_shown(run, run.found, i, picture) for i in worst if (picture := pages[i].picture)][:number]


def _shown(run: Run, found: Found, i: int, picture: Path) -> Shown:
    from tablesense.experiment.privacy import private

    page = found.pages[i]
    # With one class its name says nothing.
    names = found.class_names if len(found.class_names) > 1 else [""]
    finds = zip(page.found.tolist(), page.found_labels.tolist(), page.scores.tolist(), strict=True)
    return Shown(
        run.name,
        private(page.name),
        *page.size,
        picture,
        [
            _drawn(box, 1.0, names[label])
            for box, label in zip(page.boxes.tolist(), page.labels.tolist(), strict=True)
        ],
        [_drawn(box, score, f"{score:.2f} {names[label]}") for box, label, score in finds][:FINDS],
        found.score_threshold,
        _verdict(page, found.analysis.kinds[i], found.score_threshold),
    )


def _drawn(box: list[float], score: float, label: str) -> Drawn:
    x0, y0, x1, y1 = box
    return Drawn(round(x0, 1), round(y0, 1), round(x1 - x0, 1), round(y1 - y0, 1), score, label.strip())


def _verdict(page: ScoredPage, kinds: Counter[str], threshold: float) -> str:
    tables, finds = len(page.boxes), int((page.scores >= threshold).sum())
    errors = ", ".join(f"{number} {kind}" for kind, number in kinds.items() if number)
    return f"{_count(tables, 'table')}, {_count(finds, 'find')}: {errors or 'no errors'}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' * (number != 1)}"


def embed(pictures: Iterable[Path], budget: int) -> dict[Path, str]:
    """Turn pictures into `data:` addresses that together take no more than a number of characters.

    Args:
        pictures: Image files; the most important ones first.
        budget: How many characters there are for all of them.

    Returns:
        The addresses; of the pictures that do not fit at the smallest size, the last are left out.

    Raises:
        UserError: A picture cannot be read.
    """
    paths = list(dict.fromkeys(pictures))
    embedded: dict[Path, str] = {}
    for height, quality in SIZES:
        embedded = {path: _address(path, height, quality) for path in paths}
        if sum(map(len, set(embedded.values()))) <= budget:
            return embedded
    kept: dict[Path, str] = {}
    for path, address in embedded.items():
        budget -= len(address)
        if budget < 0:
            break
        kept[path] = address
    return kept


def _address(path: Path, height: int, quality: int | None) -> str:
    try:
        with Image.open(path) as image:
            if quality is None and image.format == "JPEG" and image.height <= height:
                content = path.read_bytes()
            else:
                content = _encoded(image, height, quality or 75)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return f"data:image/jpeg;base64,{b64encode(content).decode()}"


def _encoded(image: Image.Image, height: int, quality: int) -> bytes:
    smaller = image.convert("RGB")
    if smaller.height > height:
        width = max(1, round(smaller.width * height / smaller.height))
        smaller = smaller.resize((width, height), reducing_gap=2.0)
    file = io.BytesIO()
    smaller.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()
