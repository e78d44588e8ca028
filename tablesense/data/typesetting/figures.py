"""Figures that are no tables: charts, diagrams, maps, photographs and framed text."""

from __future__ import annotations

from math import cos, pi, sin

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted

_SERIES = ("1f4e8c", "c0392b", "d9822b", "0b6e4f", "6b3fa0", "f2c14e", "444444", "999999", "2f9fd0", "c8c8c8")


class Canvas:
    """Shapes placed on a rectangle of fixed size; typst draws them in order."""

    def __init__(self, width: float, height: float, hyphenate: bool = True) -> None:
        self.width, self.height, self.hyphenate = width, height, hyphenate
        self.shapes: list[str] = []

    def put(self, x: float, y: float, shape: str) -> None:
        """Place a typst expression."""
        self.shapes.append(f"place(dx: {x:.1f}pt, dy: {y:.1f}pt, {shape})")

    def rect(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A rectangle; `style` holds typst's arguments for its fill and stroke."""
        self.put(x, y, f"rect(width: {max(0.1, width):.1f}pt, height: {max(0.1, height):.1f}pt, {style})")

    def line(self, x0: float, y0: float, x1: float, y1: float, stroke: str) -> None:
        """A straight line."""
        self.put(
            0, 0, f"line(start: ({x0:.1f}pt, {y0:.1f}pt), end: ({x1:.1f}pt, {y1:.1f}pt), stroke: {stroke})"
        )

    def path(self, points: list[tuple[float, float]], stroke: str) -> None:
        """A line through points."""
        start, *rest = (f"({x:.1f}pt, {y:.1f}pt)" for x, y in points)
        moves = ", ".join(f"curve.line({point})" for point in rest)
        self.put(0, 0, f"curve(stroke: {stroke}, curve.move({start}), {moves})")

    def polygon(self, points: list[tuple[float, float]], style: str) -> None:
        """A closed shape."""
        corners = ", ".join(f"({x:.1f}pt, {y:.1f}pt)" for x, y in points)
        self.put(0, 0, f"polygon({style}, {corners})")

    def text(self, x: float, y: float, text: str, size: float, place: str = "", turn: int = 0) -> None:
        """Text that hangs from its point; `place` says by which of its corners or sides."""
        body = f"text(size: {size:.1f}pt, {quoted(text.replace(' ', chr(160)))})"  # no room to wrap in
        if turn:
            body = f"rotate({turn}deg, reflow: true, {body})"
        if place:
            # A box without size lets the text hang from its point.
            body = f"box(width: 0pt, height: 0pt, place({place}, {body}))"
        self.put(x, y, body)

    def source(self, look: Look) -> str:
        """The drawing as a typst expression."""
        whole = "" if self.hyphenate else ", hyphenate: false"
        return (
            f"block(width: {self.width:.1f}pt, height: {self.height:.1f}pt, breakable: false, "
            f"{{ set text(font: {quoted(look.figures)}{whole}); {'; '.join(self.shapes)} }})"
        )


def chart(w: Writer, look: Look, width: float, height: float) -> str:
    """A bar, line, scatter or pie chart with axes, grid and legend."""
    canvas = Canvas(width, height)
    small = max(4.5, look.size * w.between(0.5, 0.8))
    coloured = not look.mono and w.chance(0.6)
    fills = w.random.sample(
        _SERIES[:8] if coloured else ("000000", "444444", "777777", "aaaaaa", "dddddd"), 5
    )
    if w.chance(0.35):
        back = w.choice(("ffffff", "f0f0f0", "dff4f7", "fdf6e3", "cccccc"))
        canvas.rect(0, 0, width, height, f'fill: rgb("{back}"), stroke: {w.choice((0.5, 1, 1.5))}pt')
    kind = w.pick({"bars": 0.35, "lines": 0.3, "scatter": 0.1, "pie": 0.15, "rows": 0.1})
    left, top, right, bottom = small * 4, small * 2, width - small * 2, height - small * 3.2
    legend = w.choice(("none", "right", "top", "bottom"))
    if legend == "right" and width > 150:
        right -= min(width * 0.25, small * 9)
    elif legend == "bottom":
        bottom -= small * 2
    if w.chance(0.4):
        canvas.text(width / 2, small * 0.4, w.term(2, 5), small * 1.2, "top + center")
        top += small
    series = w.count(1, 4)
    if kind == "pie":
        _pie(w, canvas, (left, top, right, bottom), fills, small)
    else:
        _axes(w, canvas, (left, top, right, bottom), small)
        plot = {"bars": _bars, "rows": _rows, "lines": _lines, "scatter": _scatter}[kind]
        plot(w, canvas, (left, top, right, bottom), fills[:series], small)
    if legend != "none":
        for k in range(series if kind != "pie" else 4):
            x, y = {
                "right": (right + small, top + small * (1 + 1.7 * k)),
                "top": (left + k * (right - left) / 4, max(0, top - small * 1.3)),
                "bottom": (left + k * (right - left) / 4, height - small * 1.6),
            }[legend]
            canvas.rect(x, y, small * 0.8, small * 0.8, f'fill: rgb("{fills[k]}"), stroke: 0.3pt')
            canvas.text(x + small * 1.2, y, w.term(1, 1)[:12], small)
    return canvas.source(look)


Frame = tuple[float, float, float, float]


def _axes(w: Writer, canvas: Canvas, frame: Frame, small: float) -> None:
    left, top, right, bottom = frame
    if w.chance(0.35):
        fill = w.choice(("d0d0d0", "eeeeee", "ffffff"))
        canvas.rect(left, top, right - left, bottom - top, f'fill: rgb("{fill}"), stroke: 0.5pt')
    ticks = w.count(3, 9)
    grid = w.pick({"none": 0.3, "y": 0.45, "both": 0.25})
    step = 10 ** w.count(0, 3)
    for k in range(ticks + 1):
        y = bottom - k * (bottom - top) / ticks
        if grid != "none":
            canvas.line(left, y, right, y, f"{w.choice((0.3, 0.5))}pt + luma({w.choice((0, 120, 180))})")
        canvas.text(left - 2, y, w.grouped(k * step), small, "right + horizon")
    marks = w.count(3, 12)
    slanted = w.chance(0.25)
    for k in range(marks):
        x = left + (k + 0.5) * (right - left) / marks
        if grid == "both":
            canvas.line(x, top, x, bottom, "0.3pt + luma(150)")
        label = w.year() if marks > 6 else w.term(1, 1)[:9]
        canvas.text(x, bottom + 2, label, small * 0.9, "top + center", -90 if slanted else 0)
    canvas.line(left, bottom, right, bottom, "0.7pt")
    canvas.line(left, top, left, bottom, "0.7pt")
    if w.chance(0.5):
        canvas.text(small * 0.3, (top + bottom) / 2, w.term(1, 2), small, "left + horizon", -90)


def _bars(w: Writer, canvas: Canvas, frame: Frame, fills: list[str], small: float) -> None:
    left, top, right, bottom = frame
    groups, stacked = w.count(3, 14), w.chance(0.3)
    slot = (right - left) / groups
    outline = w.choice(("none", "0.4pt"))
    for g in range(groups):
        base = bottom
        for k, fill in enumerate(fills):
            height = (bottom - top) * w.between(0.05, 0.95) / (len(fills) if stacked else 1)
            bar = slot * 0.7 / (1 if stacked else len(fills))
            x = left + g * slot + slot * 0.15 + (0 if stacked else k * bar)
            canvas.rect(x, base - height, bar, height, f'fill: rgb("{fill}"), stroke: {outline}')
            if len(fills) == 1 and w.chance(0.5):
                canvas.text(x + bar / 2, base - height - 1, w.decimal(), small * 0.8, "bottom + center")
            base -= height if stacked else 0


def _rows(w: Writer, canvas: Canvas, frame: Frame, fills: list[str], small: float) -> None:
    left, top, right, bottom = frame
    bars = w.count(3, 10)
    slot = (bottom - top) / bars
    for b in range(bars):
        x = left
        for fill in fills:
            length = (right - left) * w.between(0.1, 0.95) / len(fills)
            canvas.rect(
                x, top + b * slot + slot * 0.2, length, slot * 0.6, f'fill: rgb("{fill}"), stroke: 0.3pt'
            )
            x += length


def _lines(w: Writer, canvas: Canvas, frame: Frame, fills: list[str], small: float) -> None:
    left, top, right, bottom = frame
    for fill in fills:
        number, level = w.count(4, 60), w.between(0.15, 0.85)
        points = []
        for k in range(number):
            level = min(0.98, max(0.02, level + w.random.gauss(0, 0.5 / number**0.5)))
            points.append((left + k * (right - left) / (number - 1), bottom - level * (bottom - top)))
        canvas.path(points, f'{w.choice((0.6, 1, 1.6))}pt + rgb("{fill}")')
        if number < 15 and w.chance(0.6):
            for x, y in points:
                canvas.rect(x - 1.5, y - 1.5, 3, 3, f'fill: rgb("{fill}")')


def _scatter(w: Writer, canvas: Canvas, frame: Frame, fills: list[str], small: float) -> None:
    left, top, right, bottom = frame
    for fill in fills:
        cx, cy = w.between(0.2, 0.8), w.between(0.2, 0.8)
        for _ in range(w.count(10, 50)):
            x, y = (min(0.98, max(0.02, w.random.gauss(c, 0.15))) for c in (cx, cy))
            canvas.put(
                left + x * (right - left),
                top + y * (bottom - top),
                f'circle(radius: 1.2pt, fill: rgb("{fill}"))',
            )


def _pie(w: Writer, canvas: Canvas, frame: Frame, fills: list[str], small: float) -> None:
    left, top, right, bottom = frame
    cx, cy = (left + right) / 2, (top + bottom) / 2
    radius, flat = min(right - left, bottom - top) / 2.2, w.choice((1.0, 1.0, 0.5))
    shares = [w.between(0.3, 1) for _ in range(w.count(3, 7))]
    angle = w.between(0, 6)
    for k, share in enumerate(shares):
        sweep = 2 * pi * share / sum(shares)
        arc = [angle + sweep * i / 12 for i in range(13)]
        points = [(cx, cy)] + [(cx + radius * cos(a), cy + radius * flat * sin(a)) for a in arc]
        canvas.polygon(points, f'fill: rgb("{fills[k % len(fills)]}"), stroke: 0.5pt')
        middle = angle + sweep / 2
        label = f"{w.count(1, 60)}%" if w.chance(0.6) else w.term(1, 1)[:9]
        canvas.text(
            cx + radius * 1.15 * cos(middle),
            cy + radius * 1.15 * flat * sin(middle),
            label,
            small,
            "center + horizon",
        )
        angle += sweep


def panels(w: Writer, look: Look, width: float, height: float) -> str:
    """A grid of small charts: rows and columns, yet no table."""
    across = w.count(2, max(2, min(4, int(width / 90))))
    down = w.count(2, max(2, min(4, int(height / 60))))
    cells = [chart(w, look, width / across - 4, height / down - 4) for _ in range(across * down)]
    tracks = f"({width / across - 4:.1f}pt,) * {across}"
    return f"grid(columns: {tracks}, gutter: 4pt, {', '.join(cells)})"


def diagram(w: Writer, look: Look, width: float, height: float) -> str:
    """Boxes joined by arrows, as in an organisation chart or a flow diagram."""
    canvas = Canvas(width, height)
    small = max(5, look.size * w.between(0.55, 0.8))
    across, down = w.count(1, 4), w.count(2, 4)
    cell_w, cell_h = width / across, height / down
    fill = (
        "ffffff"
        if look.mono or w.chance(0.5)
        else w.choice(("e8eef7", "fdebd0", "e5e5e5", tint(look.accent, 0.25)))
    )
    for row in range(down):
        for column in range(across):
            if w.chance(0.15):
                continue
            x, y = column * cell_w + cell_w * 0.12, row * cell_h + cell_h * 0.2
            box_w, box_h = cell_w * 0.76, cell_h * 0.55
            canvas.rect(
                x, y, box_w, box_h, f'fill: rgb("{fill}"), stroke: 0.6pt, radius: {w.choice((0, 0, 4))}pt'
            )
            for k in range(w.count(1, max(1, int(box_h / small / 1.4) - 1))):
                letters = int(box_w / small * 1.6)
                canvas.text(
                    x + box_w / 2, y + 2 + k * small * 1.2, w.words(4)[:letters], small, "top + center"
                )
            if row + 1 < down:
                canvas.line(x + box_w / 2, y + box_h, x + box_w / 2, y + cell_h, "0.6pt")
            if column + 1 < across and w.chance(0.5):
                canvas.line(x + box_w, y + box_h / 2, x + cell_w, y + box_h / 2, "0.6pt")
    return canvas.source(look)


def photograph(w: Writer, look: Look, width: float, height: float) -> str:
    """Grey or coloured patches of light, as a photograph looks from afar."""
    columns, rows = w.count(6, 22), w.count(6, 18)
    levels = w.random.choices(range(15, 245), k=columns * rows + columns + 1)
    soft = [(levels[k] + levels[k + 1] + levels[k + columns]) // 3 for k in range(columns * rows)]
    pixels = ", ".join(map(str, soft))
    return (
        f'image(bytes(({pixels})), format: (encoding: "luma8", width: {columns}, height: {rows}), '
        f'width: {width:.1f}pt, height: {height:.1f}pt, fit: "stretch", scaling: "smooth")'
    )


def map_sketch(w: Writer, look: Look, width: float, height: float) -> str:
    """Regions with ragged borders and names."""
    canvas = Canvas(width, height)
    if w.chance(0.5):
        canvas.rect(0, 0, width, height, "stroke: 0.6pt")
    for _ in range(w.count(3, 9)):
        cx, cy = w.between(0.2, 0.8) * width, w.between(0.2, 0.8) * height
        radius = min(width, height) * w.between(0.08, 0.28)
        corners = w.count(8, 26)
        points = [
            (
                min(width, max(0, cx + radius * w.between(0.6, 1.3) * cos(2 * pi * k / corners))),
                min(height, max(0, cy + radius * w.between(0.6, 1.3) * sin(2 * pi * k / corners))),
            )
            for k in range(corners)
        ]
        fill = w.choice(("ffffff", "dddddd", "b5b5b5", "888888"))
        canvas.polygon(points, f'fill: rgb("{fill}"), stroke: {w.choice((0.4, 0.8))}pt')
        canvas.text(cx, cy, w.name(), max(5, look.size * 0.65), "center + horizon")
    return canvas.source(look)
