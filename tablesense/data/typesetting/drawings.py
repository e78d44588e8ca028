"""Drawings on grids: schedules of bars, heat maps, curves on graph paper, puzzles, floor plans, bar codes."""

from __future__ import annotations

from math import cos, pi

from tablesense.data.typesetting.figures import Canvas
from tablesense.data.typesetting.look import Look
from tablesense.data.typesetting.words import Writer

_BARS = ("1f4e8c", "c0392b", "d9822b", "0b6e4f", "6b3fa0", "666666", "2f9fd0")


def schedule(w: Writer, look: Look, width: float, height: float) -> str:
    """A Gantt chart: names at the left, bars over a grid of months."""
    canvas = Canvas(width, height, hyphenate=False)
    small = max(4.2, look.size * w.between(0.5, 0.75))
    tasks = max(3, min(w.count(5, 18), int(height / (small * 1.6)) - 1))
    left, top = width * w.between(0.18, 0.32), small * 2
    months = w.count(6, 24)
    slot, step = (height - top) / tasks, (width - left) / months
    grey = w.choice(("c8c8c8", "e0e0e0", "888888"))
    for k in range(months + 1):
        canvas.line(left + k * step, top, left + k * step, height, f'0.3pt + rgb("{grey}")')
        if k < months and step > small * 1.3:
            canvas.text(left + (k + 0.5) * step, small * 0.4, str(k % 12 + 1), small, "top + center")
    letters = max(3, int((left - 4) / (small * 0.55)))
    bar_fill = w.choice(_BARS) if not look.mono else "444444"
    mixed = w.chance(0.4)
    start = 0.0
    for k in range(tasks):
        y = top + k * slot
        if w.chance(0.5):
            canvas.line(0, y, width, y, f'0.3pt + rgb("{grey}")')
        canvas.text(2, y + slot / 2, w.term(1, 3)[:letters], small, "left + horizon")
        length = w.between(0.08, 0.35) * (width - left)
        start = min(max(0.0, start + w.between(-0.05, 0.15) * (width - left)), width - left - length)
        fill = w.choice(_BARS) if mixed else bar_fill
        canvas.rect(left + start, y + slot * 0.25, length, slot * 0.5, f'fill: rgb("{fill}"), radius: 1pt')
    return canvas.source(look)


def heat_map(w: Writer, look: Look, width: float, height: float) -> str:
    """Coloured squares with names at two sides and a scale, without figures in the squares."""
    canvas = Canvas(width, height, hyphenate=False)
    small = max(4.2, look.size * w.between(0.45, 0.7))
    left, bottom, right = small * 5, height - small * 4, width - small * 4
    across, down = w.count(5, 18), w.count(5, 14)
    cell_w, cell_h = (right - left) / across, bottom / down
    hue = w.choice(((178, 24, 43), (33, 102, 172), (0, 109, 44), (84, 39, 143), (60, 60, 60)))
    edge = w.choice(("none", "0.4pt + white"))

    def shade(level: float) -> str:
        return "".join(f"{round(250 + (part - 250) * level):02x}" for part in hue)

    for i in range(across):
        canvas.text(left + (i + 0.5) * cell_w, bottom + 2, w.term(1, 1)[:6], small, "top + center", -90)
        for j in range(down):
            style = f'fill: rgb("{shade(w.random.random() ** 1.5)}"), stroke: {edge}'
            canvas.rect(left + i * cell_w, j * cell_h, cell_w, cell_h, style)
    for j in range(down):
        canvas.text(left - 2, (j + 0.5) * cell_h, w.term(1, 1)[:7], small, "right + horizon")
    for k in range(10):
        canvas.rect(
            right + small, bottom * (1 - (k + 1) / 10), small, bottom / 10, f'fill: rgb("{shade(k / 9)}")'
        )
    return canvas.source(look)


def graph_paper(w: Writer, look: Look, width: float, height: float) -> str:
    """Curves on a dense grid with heavier lines, as instruments and textbooks print them."""
    canvas = Canvas(width, height, hyphenate=False)
    small = max(4.5, look.size * w.between(0.5, 0.8))
    left, bottom = small * 3, height - small * 2
    step = w.between(4, 10)
    hue = w.choice(("9ec5e8", "c8c8c8", "f0b7a8", "a8d8b0"))
    each = w.choice((5, 10))
    for k in range(int((width - left) / step) + 1):
        weight = 0.7 if k % each == 0 else 0.25
        canvas.line(left + k * step, 0, left + k * step, bottom, f'{weight}pt + rgb("{hue}")')
    for k in range(int(bottom / step) + 1):
        weight = 0.7 if k % each == 0 else 0.25
        canvas.line(left, bottom - k * step, width, bottom - k * step, f'{weight}pt + rgb("{hue}")')
        if k % each == 0:
            canvas.text(left - 2, bottom - k * step, str(k), small, "right + horizon")
    for _ in range(w.count(1, 3)):
        turns, shift, level = w.between(0.5, 4), w.between(0, 6), w.between(0.2, 0.45)
        points = [
            (
                left + (width - left) * k / 40,
                bottom * (0.5 - level * cos(2 * pi * turns * k / 40 + shift) * (1 - k / w.count(50, 90))),
            )
            for k in range(41)
        ]
        canvas.path(points, f"{w.choice((0.7, 1.1))}pt")
    canvas.line(left, bottom, width, bottom, "1pt")
    canvas.line(left, 0, left, bottom, "1pt")
    return canvas.source(look)


def puzzle(w: Writer, look: Look, width: float, height: float) -> str:
    """A crossword or a number puzzle: a square grid with black or numbered squares."""
    cells = w.choice((9, 9, 11, 13, 15))
    side = min(width, height) / cells
    canvas = Canvas(side * cells, side * cells, hyphenate=False)
    numbers = cells == 9
    count = 0
    for i in range(cells):
        for j in range(cells):
            dark = not numbers and w.chance(0.2)
            canvas.rect(
                i * side, j * side, side, side, f"stroke: 0.4pt, fill: {'black' if dark else 'white'}"
            )
            if numbers and w.chance(0.35):
                canvas.text(
                    (i + 0.5) * side, (j + 0.5) * side, str(w.count(1, 9)), side * 0.6, "center + horizon"
                )
            elif not numbers and not dark and w.chance(0.25):
                count += 1
                canvas.text(i * side + 1, j * side + 1, str(count), max(3.5, side * 0.3))
    if numbers:
        for k in range(0, 10, 3):
            canvas.line(k * side, 0, k * side, cells * side, "1.4pt")
            canvas.line(0, k * side, cells * side, k * side, "1.4pt")
    return canvas.source(look)


def floor_plan(w: Writer, look: Look, width: float, height: float) -> str:
    """Rooms with thick walls, names and areas."""
    canvas = Canvas(width, height, hyphenate=False)
    small = max(4.5, look.size * w.between(0.5, 0.75))
    wall = w.choice((1.2, 2, 3))

    def room(x: float, y: float, wide: float, tall: float, depth: int) -> None:
        if depth and max(wide, tall) > 70:
            share = w.between(0.35, 0.65)
            if wide > tall:
                room(x, y, wide * share, tall, depth - 1)
                room(x + wide * share, y, wide * (1 - share), tall, depth - 1)
            else:
                room(x, y, wide, tall * share, depth - 1)
                room(x, y + tall * share, wide, tall * (1 - share), depth - 1)
            return
        canvas.rect(x, y, wide, tall, f"stroke: {wall}pt")
        door = min(wide, tall) * 0.3
        canvas.rect(x + wide * 0.3, y + tall - wall, door, wall * 2, "fill: white")
        letters = max(3, int(wide / small * 1.4))
        canvas.text(x + wide / 2, y + tall / 2, w.term(1, 1)[:letters], small, "center + horizon")
        if tall > small * 4:
            area = w.decimal(1, 2) + " m²"
            canvas.text(x + wide / 2, y + tall / 2 + small * 1.3, area, small * 0.85, "center + horizon")

    room(wall, wall, width - 2 * wall, height - 2 * wall, 4)
    return canvas.source(look)


def bar_code(w: Writer, look: Look, width: float, height: float) -> str:
    """A bar code with its number, or a square one."""
    if w.chance(0.5):
        canvas = Canvas(min(width, 110), 40, hyphenate=False)
        x = 4.0
        while x < canvas.width - 5:
            bar = w.choice((0.8, 0.8, 1.6, 2.4))
            canvas.rect(x, 0, bar, 32, "fill: black")
            x += bar + w.choice((0.9, 0.9, 1.8))
        canvas.text(canvas.width / 2, 33, f"{w.random.randrange(10**9):09}", 6, "top + center")
        return canvas.source(look)
    cells = 21
    side = min(width, height, 70) / cells
    canvas = Canvas(side * cells, side * cells, hyphenate=False)
    for i in range(cells):
        for j in range(cells):
            # Three corners hold a square in a ring; elsewhere chance stands for the message.
            centres = ((3, 3), (cells - 4, 3), (3, cells - 4))
            away = min(max(abs(i - x), abs(j - y)) for x, y in centres)
            if away in (0, 1, 3) or (away > 4 and w.chance(0.5)):
                canvas.rect(i * side, j * side, side, side, "fill: black")
    return canvas.source(look)
