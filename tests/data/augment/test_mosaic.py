"""Pages of snippets: boxes and labels follow the tables that they belong to."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from drawn_page import draw_boxes
from PIL import Image, ImageDraw

from tablesense.data.augment.mosaic import (
    Labelled,
    cut_tables,
    cut_text,
    mosaic,
    overlap,
    overlapping,
    whiten,
)
from tablesense.data.page import Box

SHADES = 0, 30, 60, 90, 120, 150
"""The grey of a table says its label; text is 180."""


def document(rng: Random, size: tuple[int, int], boxes: list[Box]) -> Labelled:
    """A page of grey bars as text, with tables in the shade of their label."""
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    for y in range(8, size[1] - 12, 10):
        draw.rectangle((10, y, size[0] - 11, y + 3), fill=158)
    labels = [rng.randrange(len(SHADES)) for _ in boxes]
    for (x0, y0, x1, y1), label in zip(boxes, labels, strict=True):
        draw.rectangle((x0 - 4, y0 - 4, x1 + 3, y1 + 3), fill=255)
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=SHADES[label])
    return image, boxes, labels


def draw_document(rng: Random) -> Labelled:
    size = rng.choice([(300, 400), (400, 300), (225, 300)])
    return document(rng, size, draw_boxes(rng, size) if rng.random() < 0.7 else [])


def test_boxes_and_labels_follow_their_tables() -> None:
    made, counts, texts = 0, set(), 0
    for seed in range(80):
        rng = Random(f"mosaic/{seed}")
        first = draw_document(rng)
        image, boxes, labels = mosaic(first, lambda rng=rng: draw_document(rng), rng)
        if image is first[0]:
            continue
        made += 1
        assert image.size == first[0].size
        assert len(boxes) == len(labels)
        counts.add(len(boxes))
        pixels = np.asarray(image).astype(int)
        of_tables = np.zeros(pixels.shape, dtype=bool)
        for (x0, y0, x1, y1), label in zip(boxes, labels, strict=True):
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height
            inner = pixels[int(y0 + 3) : int(y1 - 2), int(x0 + 3) : int(x1 - 2)]
            assert np.abs(inner - SHADES[label]).max(initial=0) <= 3, seed
            outer = slice(max(0, int(y0 - 1)), int(y1 + 2)), slice(max(0, int(x0 - 1)), int(x1 + 2))
            of_tables[outer] = True
        assert pixels[~of_tables].min() > 150, seed  # no table without a box
        texts += (pixels[~of_tables] < 200).mean() > 0.01
    assert made > 60
    assert counts <= {2, 3, 4, 5, 6}
    assert len(counts) >= 4
    assert texts > made / 2


def test_a_mosaic_has_tables_of_several_pages() -> None:
    box = [(40.0, 60.0, 200.0, 140.0)]
    for seed in range(20):
        first, second = (document(Random(k), (300, 400), box) for k in (1, 5))
        assert first[2] != second[2]
        _, boxes, labels = mosaic(first, lambda second=second: second, Random(seed))
        assert len(boxes) >= 2
        assert {*first[2], *second[2]} == set(labels)


def test_fewer_than_two_tables_make_no_mosaic() -> None:
    first = document(Random(0), (200, 300), [(40.0, 60.0, 160.0, 140.0)])
    read = 0

    def another() -> Labelled:
        nonlocal read
        read += 1
        return document(Random(1), (200, 300), [])

    assert mosaic(first, another, Random(0), most_pages=5) is first
    assert read == 4


@pytest.mark.parametrize("size", [(240, 1536), (1536, 240)])
def test_no_table_becomes_a_line_on_a_narrow_page(size: tuple[int, int]) -> None:
    box = [(0.1 * size[0], 0.1 * size[1], 0.8 * size[0], 0.4 * size[1])]
    for seed in range(60):
        first, second = (document(Random(k), size, box) for k in (1, 5))
        _, boxes, _ = mosaic(first, lambda second=second: second, Random(seed))
        assert min(side for x0, y0, x1, y1 in boxes for side in (x1 - x0, y1 - y0)) >= 7


def test_the_same_chance_makes_the_same_mosaic_and_changes_no_page() -> None:
    pages = [draw_document(Random(f"same/{k}")) for k in range(4)]
    before = [image.tobytes() for image, _, _ in pages]

    def make(seed: int) -> tuple[bytes, list[Box], list[int]]:
        rng = Random(seed)
        image, boxes, labels = mosaic(pages[0], lambda: rng.choice(pages), rng)
        return image.tobytes(), boxes, labels

    assert [make(seed) for seed in range(5)] == [make(seed) for seed in range(5)]
    assert [image.tobytes() for image, _, _ in pages] == before


def test_a_snippet_holds_its_table_with_a_margin_and_no_other_one() -> None:
    for seed in range(60):
        rng = Random(f"cut/{seed}")
        image, boxes, labels = document(rng, (300, 400), draw_boxes(rng, (300, 400)))
        snippets = cut_tables(image, boxes, labels, rng)
        assert sorted(label for _, _, found in snippets for label in found) == sorted(labels)
        for snippet, ((x0, y0, x1, y1),), (label,) in snippets:
            pixels = np.asarray(snippet)
            assert (pixels[int(y0) : int(y1), int(x0) : int(x1)] == SHADES[label]).all()
            outside = pixels.copy()
            outside[int(y0) : int(y1), int(x0) : int(x1)] = 255
            assert outside.min() > 150
            assert max(x0, y0, snippet.width - x1, snippet.height - y1) <= 17


def test_snippets_are_cut_between_lines() -> None:
    rng = Random(0)
    image, boxes, labels = document(rng, (300, 400), [(10.0, 100.0, 290.0, 200.0)])
    for _ in range(20):
        ((snippet, _, _),) = cut_tables(image, boxes, labels, rng)
        assert np.asarray(snippet)[[0, -1]].min() == 255
        text = cut_text(image, np.asarray(image), boxes, rng)
        assert text is not None
        assert np.asarray(text[0])[[0, -1]].min() == 255
        assert np.asarray(text[0]).min() == 158


def test_tables_that_overlap_come_together() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (5.0, 5.0, 22.0, 8.0), (50.0, 0.0, 60.0, 9.0)]
    assert sorted(map(sorted, overlapping(boxes))) == [[0, 1, 2], [3]]
    assert not overlap((0, 0, 10, 10), (10, 0, 20, 10))
    snippets = cut_tables(Image.new("L", (80, 40), 255), boxes, [0, 1, 2, 3], Random(0))
    assert sorted(len(found) for _, found, _ in snippets) == [1, 3]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_paper_becomes_white(mode: str) -> None:
    image = Image.new(mode, (100, 100), 200 if mode == "L" else (220, 200, 180))
    image.paste(0, (10, 10, 40, 40))
    pixels = np.asarray(whiten(image))
    assert pixels[60:, 60:].min() == 255
    assert pixels[10:40, 10:40].max() == 0
