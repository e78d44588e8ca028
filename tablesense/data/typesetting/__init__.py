"""Document pages set by typst, with tables whose boxes are known to the pixel."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tablesense.data.page import Box
from tablesense.data.synthetic import SHARE_WITHOUT_TABLES
from tablesense.data.typesetting import scripts
from tablesense.data.typesetting.composition import compose, draw_language
from tablesense.data.typesetting.hard import compose_hard, draw_turn
from tablesense.data.typesetting.look import Look, families
from tablesense.data.typesetting.words import LANGUAGES, Writer

LONGEST_SIDE = 640

_ATTEMPTS = 60
_CONTRAST = 20  # levels of 255 by which ink differs from paper


class SetPage(NamedTuple):
    """A page that was set.

    Attributes:
        image: The page as RGB, 640 pixels on its longest side.
        boxes: The ink bounds of each table as xyxy pixels.
        labels: What each of them is: "table", or "table rotated" where its letters run up or down the page.
    """

    image: Image.Image
    boxes: list[Box]
    labels: list[str]


def set_page(
    seed: str, difficulty: str = "standard", without_tables: float = SHARE_WITHOUT_TABLES
) -> SetPage:
    """Set one page.

    Args:
        seed: Everything on the page follows from it, on machines with the same fonts.
        difficulty: "standard" or "hard".
        without_tables: The share of seeds that give a page without tables.
    """
    with_tables = Random(seed).random() >= without_tables
    for attempt in range(_ATTEMPTS):
        page = _attempt(Random(f"{seed}#{attempt}"), difficulty, with_tables)
        if page is not None:
            return page
    raise RuntimeError(f"no page could be set for seed {seed!r} in {_ATTEMPTS} attempts")


def _attempt(random: Random, difficulty: str, with_tables: bool) -> SetPage | None:
    """A page, or None where a table did not fit or cannot be told from what surrounds it."""
    writer = Writer(random, LANGUAGES[0])
    turn = 0
    if difficulty == "hard":
        writer = scripts.draw_language(writer)
        look, source = compose_hard(writer, with_tables)
        turn = draw_turn(writer, look)
    else:
        writer = draw_language(writer, bool(families("chinese")))
        look, source = compose(writer, with_tables)
    pdf, frames = compile_page(source)
    if bool(frames) != with_tables or not all(frame.fits(look) for frame in frames):
        return None
    image = _render(pdf, look, oversample=random.choice((1, 1, 2)))
    scale = LONGEST_SIDE / max(look.width * look.squeeze, look.height)
    across = scale * look.squeeze
    boxes = [
        _shrink(image, look.paper, (frame.x0 * across, frame.y0 * scale, frame.x1 * across, frame.y1 * scale))
        for frame in frames
    ]
    found = [box for box in boxes if box is not None]
    if len(found) < len(boxes):
        return None
    labels = ["table rotated" if (frame.turn + turn) % 180 else "table" for frame in frames]
    return SetPage(*_turned(image, found, turn), labels)


def _turned(image: Image.Image, boxes: list[Box], turn: int) -> tuple[Image.Image, list[Box]]:
    """The page turned by so many degrees against the clock, and its boxes with it."""
    width, height = image.size
    match turn:
        case 90:
            boxes = [(y0, width - x1, y1, width - x0) for x0, y0, x1, y1 in boxes]
            return image.transpose(Image.Transpose.ROTATE_90), boxes
        case 270:
            boxes = [(height - y1, x0, height - y0, x1) for x0, y0, x1, y1 in boxes]
            return image.transpose(Image.Transpose.ROTATE_270), boxes
    return image, boxes


@cache
def _fonts() -> Any:
    """The fonts, read once a process."""
    from typst import Fonts

    return Fonts()


class _Frame(NamedTuple):
    """Where typst put a table, in points, and whether it kept to the room it was given.

    Attributes:
        x0: Its left.
        y0: Its top.
        x1: Its right.
        y1: Its bottom.
        turn: By how many degrees it is turned against the clock.
        whole: Whether all its rows stand in its frame, and the frame is no wider than its room.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    turn: int
    whole: bool

    def fits(self, look: Look) -> bool:
        """Whether all of the table stands on the page, within its room."""
        return (
            self.whole
            and self.x0 >= 2
            and self.y0 >= 2
            and self.x1 <= look.width - 2
            and self.y1 <= look.height - look.margins[3] + 1
        )


def _frame(
    start: tuple[float, float], seal: tuple[float, float], end: tuple[float, float], room: float
) -> _Frame:
    """The frame between two corners, those where the table's own letters start and end."""
    (x0, y0), (x1, y1) = start, end
    frame = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    across, down = frame[2] - frame[0], frame[3] - frame[1]
    # How far its letters run, and whether the last row starts before the frame ends, as its reader sees it.
    if x1 >= x0 and y1 < y0:
        return _Frame(*frame, turn=90, whole=down <= room + 1 and seal[0] < x1)
    if x1 < x0 and y1 >= y0:
        return _Frame(*frame, turn=270, whole=down <= room + 1 and seal[0] > x1)
    return _Frame(*frame, turn=0, whole=across <= room + 1 and seal[1] < y1)


def compile_page(source: str) -> tuple[bytes, list[_Frame]]:
    """The PDF, and the frame of each table of its first page."""
    from typst import Compiler

    with TemporaryDirectory(prefix="tablesense-") as folder:  # typst answers queries about files only
        path = Path(folder) / "page.typ"
        path.write_text(source, encoding="utf-8")
        compiler = Compiler(input=path, font_paths=_fonts())
        pdf = compiler.compile(format="pdf", pdf_tags=False, timestamp=0)
        corners = json.loads(compiler.query("<table>", field="value"))
    assert isinstance(pdf, bytes)
    marks = zip(corners[::3], corners[1::3], corners[2::3], strict=True)
    frames = [
        _frame((x0, y0), (x, y), (x1, y1), room)
        for (page, x0, y0, room), (_, x, y), (_, x1, y1) in marks
        if page == 1
    ]
    return pdf, frames


def _render(pdf: bytes, look: Look, oversample: int) -> Image.Image:
    from pypdfium2 import PdfDocument

    scale = LONGEST_SIDE / max(look.width * look.squeeze, look.height)
    size = round(look.width * look.squeeze * scale), round(look.height * scale)
    document = PdfDocument(pdf)
    try:
        bitmap = document[0].render(scale=scale * oversample, rev_byteorder=True)
        image: Image.Image = bitmap.to_pil().convert("RGB")  # a copy, out of pdfium's memory
    finally:
        document.close()
    return image if image.size == size else image.resize(size, Image.Resampling.BOX)


def _shrink(image: Image.Image, paper: str, frame: Box) -> Box | None:
    """The bounds of the ink inside a frame; None where there is little, or where it goes on outside."""
    # Strokes stand out of the frame by half their width; one pixel more shows what surrounds them.
    x0, y0 = max(0, int(frame[0] - 2.5)), max(0, int(frame[1] - 2.5))
    x1, y1 = min(image.width, int(frame[2] + 3.5)), min(image.height, int(frame[3] + 3.5))
    background = np.array([int(paper[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.int16)
    ink = (np.abs(np.asarray(image.crop((x0, y0, x1, y1)), dtype=np.int16) - background) > _CONTRAST).any(
        axis=2
    )
    inside = ink[1:-1, 1:-1]
    rows, columns = np.flatnonzero(inside.any(axis=1)) + 1, np.flatnonzero(inside.any(axis=0)) + 1
    if len(rows) < 6 or len(columns) < 12:
        return None
    top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
    ring = ink[top - 1 : bottom + 2, left - 1 : right + 2]
    if ring[0].any() or ring[-1].any() or ring[:, 0].any() or ring[:, -1].any():
        return None
    return float(x0 + left), float(y0 + top), float(x0 + right + 1), float(y0 + bottom + 1)
