"""Forms: boxes with labels, blanks to fill in and boxes to tick. Ruled like tables, yet none."""

from __future__ import annotations

from collections.abc import Callable

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted

_PEN = ("1b2a6b", "16338f", "222222", "000000")


def form(w: Writer, look: Look, width: float, height: float) -> str:
    """A form of several sections, empty or filled in."""
    small = round(max(4.2, look.size * w.between(0.55, 0.75)), 1)
    row = round(small * w.between(2.6, 4.2), 1)
    sheet = _Sheet(w, look, width, small, row, filled=w.chance(0.6))
    shaded = (
        tint(look.accent, w.choice((0.15, 0.3)))
        if look.accent != "000000"
        else w.choice(("dddddd", "eeeeee"))
    )
    kinds = {sheet.boxes: 0.5, sheet.blanks: 0.22, sheet.ticks: 0.14, sheet.comb: 0.14}
    parts: list[str] = []
    used = 0.0
    number = 0
    while used < height - row:
        number += 1
        if w.chance(0.6):
            title = f"{number}. {w.term(1, 5)}" if w.chance(0.6) else w.term(1, 4).upper()
            fill = f'fill: rgb("{shaded}"), ' if w.chance(0.6) else ""
            stroke = "stroke: 0.5pt, " if w.chance(0.5) else ""
            style = f'font: {quoted(look.heads)}, size: {small * 1.2:.1f}pt, weight: "bold"'
            parts.append(f"block(width: 100%, inset: 2.5pt, {fill}{stroke}text({style}, {quoted(title)}))")
            used += small * 2.4
        body, tall = w.pick(kinds)(height - used)
        parts.append(body)
        used += tall
        if w.chance(0.35):
            parts.append(f"v({w.between(2, 8)}pt)")
            used += 5
    frame = "stroke: 1pt, inset: 3pt, " if w.chance(0.2) else ""
    return (
        f"block(width: 100%, breakable: false, {frame}{{ set block(above: 0pt, below: 0pt); "
        f"set par(justify: false, leading: 1pt, first-line-indent: 0pt, spacing: 2pt); {'; '.join(parts)} }})"
    )


class _Sheet:
    """What the sections of one form share."""

    def __init__(self, w: Writer, look: Look, width: float, small: float, row: float, filled: bool) -> None:
        self.w, self.look, self.width = w, look, width
        self.small, self.row, self.filled = small, row, filled
        self.pen = w.choice(_PEN)
        self.hand = w.choice((quoted(look.body), quoted("DejaVu Sans Mono"), quoted(look.figures)))
        self.slanted = "italic" if w.chance(0.5) else "normal"
        self.stroke = f"{w.choice((0.4, 0.5, 0.75))}pt"

    def entry(self, letters: float) -> str:
        """What somebody filled in, of at most so many letters; often nothing."""
        w = self.w
        if not self.filled or w.chance(0.25) or letters < 4:
            return '""'
        kinds: tuple[Callable[[], str], ...] = (w.date, w.name, lambda: w.term(1, 3), w.code, w.integer)
        text = quoted(w.choice(kinds)()[: int(letters)].replace(" ", "\u00a0"))
        style = f'font: {self.hand}, style: "{self.slanted}", size: {self.small * 1.35:.1f}pt'
        return f'text({style}, fill: rgb("{self.pen}"), {text})'

    def label(self, letters: float) -> str:
        """The name of a field."""
        text = self.w.term(1, 3)[: max(3, int(letters))]
        return f"text(size: {self.small}pt, {quoted(text)})"

    def boxes(self, height: float) -> tuple[str, float]:
        """Rows of boxes that each row divides in its own way, a small label in each corner."""
        w = self.w
        rows = []
        used = 0.0
        for _ in range(min(w.count(1, 6), max(1, int(height / self.row)))):
            shares = [w.choice((1, 1, 2, 3)) for _ in range(w.count(1, 5 if self.width > 300 else 3))]
            tall = self.row * w.pick({1: 0.9, 2.5: 0.1})
            cells = []
            for share in shares:
                letters = self.width * share / sum(shares) / (self.small * 0.62) - 2
                cells.append(f"{{ {self.label(letters)}; linebreak(); h(3pt); {self.entry(letters / 1.4)} }}")
            tracks = ", ".join(f"{share}fr" for share in shares)
            rows.append(
                f"grid(columns: ({tracks},), rows: {tall:.1f}pt, stroke: {self.stroke}, "
                f"inset: (x: 2pt, y: 1.5pt), {', '.join(cells)})"
            )
            used += tall
        return "; ".join(rows), used

    def blanks(self, height: float) -> tuple[str, float]:
        """Labels with lines to write on, one or two in a row."""
        w = self.w
        rows = []
        dotted = w.chance(0.3)
        for _ in range(min(w.count(1, 6), max(1, int(height / self.row)))):
            fields = []
            for share in [1] if w.chance(0.5) else [w.count(1, 2), w.count(1, 2)]:
                label = f"text(size: {self.small * 1.2:.1f}pt, {quoted(w.term(1, 3) + ' ')})"
                line = "repeat[.]" if dotted else f"line(length: 100%, stroke: {self.stroke})"
                entry = f"place(bottom + left, dy: -2pt, {self.entry(14)}); " if self.width > 250 else ""
                fields.append(f"{label} + box(width: {share}fr, {{ {entry}{line} }})")
            rows.append(
                f"block(width: 100%, height: {self.row:.1f}pt, align(bottom, {' + h(6pt) + '.join(fields)}))"
            )
        return "; ".join(rows), self.row * len(rows)

    def ticks(self, height: float) -> tuple[str, float]:
        """Questions with small boxes to tick."""
        w = self.w
        side = self.small
        rows = []
        for _ in range(min(w.count(1, 5), max(1, int(height / (self.row * 0.8))))):
            options = []
            for _ in range(w.count(2, 4 if self.width > 260 else 2)):
                mark = (
                    f'place(line(end: (100%, 100%), stroke: 0.9pt + rgb("{self.pen}")))'
                    if self.filled and w.chance(0.3)
                    else ""
                )
                box = f"box(width: {side}pt, height: {side}pt, stroke: 0.5pt, {{ {mark} }})"
                options.append(f"{box} + {quoted(' ' + w.term(1, 1)[:12])}")
            question = quoted(w.term(1, 4))
            gap = f" + h({w.choice((8, 14, 20))}pt) + "
            line = f"{question} + {'h(1fr)' if w.chance(0.5) else 'h(10pt)'} + {gap.join(options)}"
            body = f"text(size: {self.small * 1.15:.1f}pt, {line})"
            rows.append(f"block(width: 100%, inset: (y: {self.row * 0.12:.1f}pt), {body})")
        return "; ".join(rows), self.row * 0.8 * len(rows)

    def comb(self, height: float) -> tuple[str, float]:
        """Fields with a box for every letter."""
        w = self.w
        side = round(self.small * w.between(1.5, 2.1), 1)
        rows = []
        for _ in range(min(w.count(1, 3), max(1, int(height / (side * 1.7))))):
            count = max(3, min(w.count(4, 24), int((self.width * 0.62) / side)))
            text = w.date() if w.chance(0.3) else w.name().upper() + str(w.count(1, 9999))
            cells = ", ".join(
                f'text(size: {side * 0.7:.1f}pt, fill: rgb("{self.pen}"), {quoted(letter)})'
                for letter in (text if self.filled else "").ljust(count)[:count]
            )
            boxes = (
                f"grid(columns: ({side}pt,) * {count}, rows: {side}pt, stroke: {self.stroke}, "
                f"align: center + horizon, {cells})"
            )
            label = f"text(size: {self.small}pt, {quoted(w.term(1, 2))})"
            field = f"grid(columns: (auto, auto), column-gutter: 5pt, align: horizon, {label}, {boxes})"
            rows.append(f"block(inset: (y: {side * 0.3:.1f}pt), {field})")
        return "; ".join(rows), side * 1.7 * len(rows)
