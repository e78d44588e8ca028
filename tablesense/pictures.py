"""Pages with their tables drawn on them, for looking at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from tablesense.data.batches import PageDataset, collate
from tablesense.data.page import Page
from tablesense.module import TableDETRModule

TRUTH, FOUND = "#1f9d55", "#d6336c"
HEIGHT = 560
"""Of a page in a sheet, in pixels."""


def contact_sheet(module: TableDETRModule, pages: Sequence[Page], columns: int = 4) -> Image.Image:
    """Draw the truth (green) and what the detector finds (red, with its score) on pages, side by side.

    Args:
        module: The detector; it is left in the mode that it is in.
        pages: What to draw; pages without a table are welcome.
        columns: Pages in a row.
    """
    sheets = [_drawn(page, *found) for page, found in zip(pages, _find(module, pages), strict=True)]
    rows = [sheets[i : i + columns] for i in range(0, len(sheets), columns)]
    width = max(sum(sheet.width + 8 for sheet in row) for row in rows)
    picture = Image.new("RGB", (width + 8, len(rows) * (HEIGHT + 8) + 8), "#8a8f98")
    for i, row in enumerate(rows):
        left = 8
        for sheet in row:
            picture.paste(sheet, (left, 8 + i * (HEIGHT + 8)))
            left += sheet.width + 8
    return picture


def _find(module: TableDETRModule, pages: Sequence[Page]) -> Iterable[tuple[list[list[float]], list[float]]]:
    dataset = PageDataset(pages, module.class_names, module.image_size, "none")
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            for i, page in enumerate(pages):
                batch = collate([dataset[i]])
                outputs = module(
                    batch["pixel_values"].to(module.device), batch["pixel_mask"].to(module.device)
                )
                (found,) = module.postprocess(outputs, torch.tensor([page.size]))
                keep = found["scores"] >= module.score_threshold
                yield found["boxes"][keep].tolist(), found["scores"][keep].tolist()
    finally:
        module.train(training)


def _drawn(page: Page, boxes: list[list[float]], scores: list[float]) -> Image.Image:
    image = page.open(2 * HEIGHT).convert("RGB")
    image = image.resize((max(1, round(HEIGHT * image.width / image.height)), HEIGHT), reducing_gap=2.0)
    draw, scale = ImageDraw.Draw(image), HEIGHT / page.size[1]
    font = ImageFont.load_default(14)
    for box in page.boxes:
        x0, y0, x1, y1 = (side * scale for side in box)
        draw.rectangle((x0 - 3, y0 - 3, x1 + 3, y1 + 3), outline=TRUTH, width=2)
    for corners, score in zip(boxes, scores, strict=True):
        x0, y0, x1, y1 = (side * scale for side in corners)
        draw.rectangle((x0, y0, x1, y1), outline=FOUND, width=2)
        label = f"{score:.2f}"
        draw.rectangle(draw.textbbox((x0 + 3, y0 + 3), label, font=font), fill="white")
        draw.text((x0 + 3, y0 + 3), label, fill=FOUND, font=font)
    return image
