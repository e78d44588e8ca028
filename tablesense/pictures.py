"""Pages with their tables drawn on them, for looking at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

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
    sheets = [_drawn(page, score_threshold) for page in pages]
    rows = [sheets[i : i + columns] for i in range(0, len(sheets), columns)]
    width = max(sum(sheet.width + 8 for sheet in row) for row in rows)
    picture = Image.new("RGB", (width + 8, len(rows) * (HEIGHT + 8) + 8), "#8a8f98")
    for i, row in enumerate(rows):
        left = 8
        for sheet in row:
            picture.paste(sheet, (left, 8 + i * (HEIGHT + 8)))
            left += sheet.width + 8
    return picture


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
