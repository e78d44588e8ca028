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
from tablesense.data.typesetting.composition import compose, draw_language
from tablesense.data.typesetting.look import Look, families
from tablesense.data.typesetting.words import LANGUAGES, Writer

LONGEST_SIDE = 640
SHARE_WITHOUT_TABLES = 0.33

_ATTEMPTS = 60
_CONTRAST = 20  # levels of 255 by which ink differs from paper


def typeset_page(seed: str) -> tuple[Image.Image, list[Box]]:
    """Set one page.

    Args:
        seed: Everything on the page follows from it, on machines with the same fonts.

    Returns:
        The page as RGB, 640 pixels on its longest side, and the ink bounds of each table as
        xyxy pixels; no table for a third of all seeds.
    """
    with_tables = Random(seed).random() >= SHARE_WITHOUT_TABLES
    for attempt in range(_ATTEMPTS):
        page = _attempt(Random(f"{seed}#{attempt}"), with_tables)
        if page is not None:
            return page
    raise RuntimeError(f"no page could be set for seed {seed!r} in {_ATTEMPTS} attempts")


def _attempt(random: Random, with_tables: bool) -> tuple[Image.Image, list[Box]] | None:
    """A page, or None where a table did not fit or cannot be told from what surrounds it."""
    writer = draw_language(Writer(random, LANGUAGES[0]), bool(families("chinese")))
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
    return (image, found) if len(found) == len(boxes) else None


@cache
def _fonts() -> Any:
    """The fonts, read once a process."""
    from typst import Fonts

    return Fonts()


class _Frame(NamedTuple):
    """Where typst put a table and its last cell, and the width it was given, in points."""

    x0: float
    y0: float
    x1: float
    y1: float
    last: float
    room: float

    def fits(self, look: Look) -> bool:
        """Whether all of the table stands on the page, within its room."""
        return (
            self.x1 - self.x0 <= self.room + 1
            and self.last < self.y1
            and self.x0 >= 2
            and self.x1 <= look.width - 2
            and self.y1 <= look.height - look.margins[3] + 1
        )


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
        _Frame(x0, y0, x1, y1, last, room)
        for (page, x0, y0, room), (_, _, last), (_, x1, y1) in marks
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
