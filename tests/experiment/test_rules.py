"""Ruling lines, told from pixels, on tables drawn for it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tablesense.experiment.rules import ruled

BOX = (200, 200, 1000, 700)


def draw(across: list[int], down: list[int], fill: bool = False, width: int = 3) -> np.ndarray:
    """A page of 1200 x 1600 with a table's text and lines, scaled down as the network sees it."""
    page = Image.new("L", (1200, 1600), 255)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(28)
    if fill:
        for y in range(200, 700, 100):
            pen.rectangle((200, y, 1000, y + 50), fill=210)
    for y in range(210, 690, 50):
        for x in range(210, 1000, 160):
            pen.text((x, y), str(7 * x + y), fill=0, font=font)
    for y in range(800, 1500, 40):
        pen.text((200, y), "words of a paragraph that run from one margin to the other and on", 0, font=font)
    for y in across:
        pen.line((200, y, 1000, y), fill=0, width=width)
    for x in down:
        pen.line((x, 200, x, 700), fill=0, width=width)
    page = page.resize((288, 384), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(page, dtype=np.float32)


@pytest.mark.parametrize(
    ("across", "down", "expected"),
    [
        ([], [], False),
        ([200], [], False),  # a line over a table of numbers does not rule it
        ([200, 250, 700], [], True),
        (list(range(200, 701, 50)), list(range(200, 1001, 160)), True),
        ([], [360], True),
        ([200, 700], [200, 1000], True),
    ],
)
def test_lines_are_told_from_text(across: list[int], down: list[int], expected: bool) -> None:
    page = draw(across, down)
    assert ruled(page, [[side * 0.24 for side in BOX]]) == [expected]


def test_bands_of_colour_are_no_lines() -> None:
    assert ruled(draw([], [], fill=True), [[side * 0.24 for side in BOX]]) == [False]


def test_a_paragraph_is_not_ruled() -> None:
    assert ruled(draw([200, 700], []), [[48, 192, 240, 360]]) == [False]


def test_boxes_over_the_edge_and_without_an_inside() -> None:
    page = draw([200, 250, 700], [])
    assert ruled(page, [[-50, -50, 400, 20], [10, 10, 12, 12], [280, 380, 300, 400]]) == [False] * 3
    assert ruled(page, []) == []
