"""A page made of snippets: tables and text that were cut out of several pages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.augment.geometry import Boxes, fit_with_boxes
from tablesense.data.page import Box

Labelled = tuple[Image.Image, Boxes, list[int]]
"""A page, or a snippet of one: pixels, boxes as xyxy in them, and the label of each box."""

LEAST_SIDE = 8.0
"""The pixels that each side of a table keeps, on pages of twice the size that the network sees."""


def mosaic(first: Labelled, another: Callable[[], Labelled], rng: Random, most_pages: int = 6) -> Labelled:
    """Lay tables of several pages on a fresh one, with text between them.

    A page then has two to six tables of different documents, close to each other and to text that is no
    table. Tables are cut out with a margin, and along lines without ink where there are any; text comes
    from windows that no table reaches into. Snippets are made smaller where they would not fit, but never
    turned, and stand in rows.

    Args:
        first: The page whose size the result has.
        another: Gives any other page of the data set, with or without tables; pages may repeat.
        rng: Where all chance comes from.
        most_pages: How many pages may be read for one mosaic, `first` included.

    Returns:
        The new page, its boxes and their labels: one for each table on it. `first` itself where the pages
        read have fewer than two tables, or is so narrow that one would become a line.
    """
    wanted = rng.randint(2, 6)
    pages, found = [first], len(first[1])
    while len(pages) < most_pages and (len(pages) < 2 or found < wanted):
        page, boxes, labels = another()
        pages.append((*fit_with_boxes(page, boxes, max(first[0].size)), labels))
        found += len(boxes)
    pages = [(whiten(page), boxes, labels) for page, boxes, labels in pages]
    by_page = [rng.sample(snippets, len(snippets)) for snippets in (cut_tables(*page, rng) for page in pages)]
    tables = [snippet for turn in zip_longest(*by_page) for snippet in turn if snippet is not None]
    margin, gap = (
        max(first[0].size) * rng.uniform(low, high) for low, high in ((0.03, 0.09), (0.008, 0.035))
    )
    width, height = (max(1.0, side - 2 * margin) for side in first[0].size)
    chosen: list[Labelled] = []
    filled, count = 0.0, 0
    for image, boxes, labels in tables:
        scale = min(rng.uniform(0.6, 1.1), width / image.width)
        full = count + len(boxes) > wanted or filled + scale * image.height > 1.2 * height
        if count >= 2 and full:
            continue
        chosen.append(resized((image, boxes, labels), scale))
        filled, count = filled + scale * image.height + gap, count + len(boxes)
    shrink = min(1.0, (height - gap * len(chosen)) / max(1.0, filled - gap * len(chosen)))
    sides = [
        shrink * side for _, boxes, _ in chosen for x0, y0, x1, y1 in boxes for side in (x1 - x0, y1 - y0)
    ]
    if count < 2 or min(sides) < LEAST_SIDE:
        return first
    chosen = [resized(snippet, shrink) for snippet in chosen]
    rng.shuffle(chosen)
    greys = [np.asarray(page.convert("L")) for page, _, _ in pages]
    for i in rng.choices(range(len(pages)), k=16):
        page, boxes, _ = pages[i]
        text = cut_text(page, greys[i], boxes, rng)
        if text is not None:
            text = resized(text, min(rng.uniform(0.6, 1.1), width / text[0].width))
            place = rng.randint(0, len(chosen))
            longer = [*chosen[:place], text, *chosen[place:]]
            if sum(row_heights(in_rows(longer, width, gap), gap)) <= height:
                chosen = longer
    return set_in_rows(chosen, first[0].size, margin, gap, rng)


def in_rows(snippets: list[Labelled], width: float, gap: float) -> list[list[Labelled]]:
    """Break snippets into rows of some width as words are broken into lines."""
    rows: list[list[Labelled]] = []
    left = 0.0
    for snippet in snippets:
        if not rows or snippet[0].width > left:
            rows.append([])
            left = width
        rows[-1].append(snippet)
        left -= snippet[0].width + gap
    return rows


def row_heights(rows: list[list[Labelled]], gap: float) -> list[float]:
    """How much of a page's height each row takes, `gap` included."""
    return [max(image.height for image, _, _ in row) + gap for row in rows]


def set_in_rows(
    snippets: list[Labelled], size: tuple[int, int], margin: float, gap: float, rng: Random
) -> Labelled:
    """Set snippets on a white page of some size, in rows, `gap` apart and `margin` from its edges."""
    width, height = (side - 2 * margin for side in size)
    rows = in_rows(snippets, width, gap)
    heights = row_heights(rows, gap)
    colour = any(image.mode == "RGB" for image, _, _ in snippets)
    sheet = Image.new("RGB" if colour else "L", size, "white")
    y = margin + rng.choice((0, rng.random())) * max(0.0, height - sum(heights))
    moved: Boxes = []
    moved_labels: list[int] = []
    for row, row_height in zip(rows, heights, strict=True):
        free = width - sum(image.width for image, _, _ in row) - gap * (len(row) - 1)
        x = margin + rng.choice((0, rng.random())) * max(0.0, free)
        for image, boxes, labels in row:
            dx, dy = int(x), int(y)
            sheet.paste(image, (dx, dy))
            moved += [(x0 + dx, y0 + dy, x1 + dx, y1 + dy) for x0, y0, x1, y1 in boxes]
            moved_labels += labels
            x += image.width + gap
        y += row_height
    return sheet, moved, moved_labels


def cut_tables(page: Image.Image, boxes: Boxes, labels: list[int], rng: Random) -> list[Labelled]:
    """Cut out each table with a margin of up to 4% of the page; tables that overlap come together."""
    grey = np.asarray(page.convert("L"))
    snippets: list[Labelled] = []
    for members in overlapping(boxes):
        inner = union([boxes[i] for i in members])
        others = [box for i, box in enumerate(boxes) if i not in members]
        margin = max(page.size) * rng.uniform(0.005, 0.04)
        window = quiet_window(grey, inner, margin, rng)
        while margin >= 1 and any(overlap(window, box) for box in others):
            margin /= 2
            window = quiet_window(grey, inner, margin, rng)
        left, top = window[:2]
        moved = [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1 in (boxes[i] for i in members)]
        snippets.append((page.crop(window), moved, [labels[i] for i in members]))
    return snippets


def cut_text(
    page: Image.Image, grey: NDArray[np.uint8], boxes: Boxes, rng: Random, tries: int = 12
) -> Labelled | None:
    """Cut out a window that no table reaches into and that has ink in it, or None where none is found."""
    for _ in range(tries):
        width, height = page.width * rng.uniform(0.3, 0.95), page.height * rng.uniform(0.03, 0.25)
        left, top = rng.uniform(0, page.width - width), rng.uniform(0, page.height - height)
        window = quiet_window(grey, (left, top, left + width, top + height), 0.02 * max(page.size), rng)
        if any(overlap(window, box) for box in boxes):
            continue
        part = grey[window[1] : window[3], window[0] : window[2]]
        if 0.01 < (part < 160).mean() < 0.5:
            return page.crop(window), [], []
    return None


def quiet_window(
    grey: NDArray[np.uint8], inner: Box, margin: float, rng: Random
) -> tuple[int, int, int, int]:
    """A window up to `margin` larger than `inner` on each side, whose edges cut as little ink as can be."""
    height, width = grey.shape
    x0, y0, x1, y1 = inner
    left, top = max(0, int(x0)), max(0, int(y0))
    right, bottom = min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))
    reach = int(margin)
    rows, columns = grey[:, left:right], grey[top:bottom]
    before_x, after_x = max(0, left - reach), min(width, right + reach)
    before_y, after_y = max(0, top - reach), min(height, bottom + reach)
    return (
        before_x + quietest(columns[:, before_x : left + 1].T, rng),
        before_y + quietest(rows[before_y : top + 1], rng),
        right + quietest(columns[:, right - 1 : after_x].T, rng),
        bottom + quietest(rows[bottom - 1 : after_y], rng),
    )


def quietest(lines: NDArray[np.uint8], rng: Random) -> int:
    """The index of a line with hardly more ink than the one that has least."""
    ink = 255 - lines.mean(1)
    return int(rng.choice(np.nonzero(ink <= ink.min() + 2)[0].tolist()))


def overlapping(boxes: Boxes) -> list[list[int]]:
    """The indices of boxes, in groups that overlap, by their union, no other group."""
    groups = [[i] for i in range(len(boxes))]
    merged = True
    while merged:
        merged = False
        for a in range(len(groups)):
            for b in range(len(groups) - 1, a, -1):
                if overlap(*(union([boxes[i] for i in groups[k]]) for k in (a, b))):
                    groups[a] += groups.pop(b)
                    merged = True
    return groups


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def union(boxes: Boxes) -> Box:
    """The box that just holds some boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def resized(snippet: Labelled, scale: float) -> Labelled:
    """A snippet made larger or smaller."""
    image, boxes, labels = snippet
    return (*fit_with_boxes(image, boxes, max(1, int(scale * max(image.size)))), labels)


def whiten(page: Image.Image) -> Image.Image:
    """Make the paper white, so that snippets of different pages do not stand out from a common sheet."""
    paper = np.percentile(np.asarray(page)[::8, ::8].reshape(-1, len(page.getbands())), 90, axis=0)
    if paper.min() > 250:
        return page
    return page.point([min(255, round(255 * grey / max(1, white))) for white in paper for grey in range(256)])
