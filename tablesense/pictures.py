"""Pages with their tables drawn on them, for looking at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from tablesense.experiment.evaluation import ScoredPage

TRUTH, FOUND = "#1f9d55", "#d6336c"
HEIGHT = 560
"""Of a page in a sheet, in pixels."""


def contact_sheet(pages: Sequence[ScoredPage], score_threshold: float, columns: int = 4) -> Image.Image:
    """Draw the truth (green) and what was found (red, with its score) on pages, side by side.

    Args:
        pages: What to draw, at least one, each with its picture; pages without a table are welcome.
        score_threshold: The lowest score that counts as a find.
        columns: Pages in a row.
    """
    return in_rows([_drawn(page, score_threshold) for page in pages], columns)


def in_rows(pictures: Sequence[Image.Image], columns: int, ground: str = "#8a8f98") -> Image.Image:
    """Set pictures side by side, in rows as high as their highest.

    Args:
        pictures: At least one, RGB.
        columns: Pictures in a row.
        ground: The colour around them.
    """
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    width = max(sum(picture.width + 8 for picture in row) for row in rows)
    sheet = Image.new("RGB", (width + 8, sum(height + 8 for height in heights) + 8), ground)
    top = 8
    for row, height in zip(rows, heights, strict=True):
        left = 8
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width + 8
        top += height + 8
    return sheet


def _drawn(page: ScoredPage, score_threshold: float) -> Image.Image:
    assert page.picture is not None
    image = Image.open(page.picture).convert("RGB")
    image = image.resize((max(1, round(HEIGHT * image.width / image.height)), HEIGHT), reducing_gap=2.0)
    draw, scale = ImageDraw.Draw(image), HEIGHT / page.size[1]
    font = ImageFont.load_default(14)
    for box in page.boxes.tolist():
        x0, y0, x1, y1 = (side * scale for side in box)
        draw.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), outline=TRUTH, width=2)
    for corners, score in zip(page.found.tolist(), page.scores.tolist(), strict=True):
        if score < score_threshold:
            continue
        x0, y0, x1, y1 = (side * scale for side in corners)
        draw.rectangle((x0, y0, x1, y1), outline=FOUND, width=2)
        label = f"{score:.2f}"
        draw.rectangle(draw.textbbox((x0 + 3, y0 + 3), label, font=font), fill="white")
        draw.text((x0 + 3, y0 + 3), label, fill=FOUND, font=font)
    return image
