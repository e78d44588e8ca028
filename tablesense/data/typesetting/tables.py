"""Tables, in the many ways that documents rule, fill, align and space them."""

from __future__ import annotations

from tablesense.data.typesetting.columns import (
    Column,
    code_column,
    draw_columns,
    label_column,
    number_column,
    text_column,
)
from tablesense.data.typesetting.faces import Face, draw_face, dressed, letter_width, wrapped
from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted


def data_table(w: Writer, look: Look, width: float, height: float) -> str:
    """A table of labels and figures, as wide as `width` or narrower, about as tall as `height` at most."""
    face = draw_face(w, look)
    letter = face.size * (0.6 if look.mono else 0.5)
    full = w.chance(0.6)
    letters, padding = (width - 4) / letter, 2 * face.pad / letter
    columns = draw_columns(w, letters, padding)
    bars: list[int] = [1] if w.chance(0.08) else []
    if w.chance(0.07):  # the same few columns again and again, side by side
        few = columns[: w.count(2, 3)]
        times = min(w.count(2, 4), int(letters / sum(column.letters + padding for column in few)))
        if times > 1:
            columns = few * times
            bars = [len(few) * k for k in range(1, times)] if w.chance(0.6) else []
    table = Rows(w, look, face, columns)
    table.cells += [f"table.vline(x: {x}, stroke: {face.rule()})" for x in bars]
    low, high = w.pick({(2, 5): 0.15, (4, 12): 0.22, (8, 26): 0.23, (70, 70): 0.4})
    table.fill(min(w.count(low, high), max(2, int(height / face.row) - 3)))
    widths = "1fr" if full else "auto"
    first = f"{w.between(1, 3)}fr" if full else "auto"
    others = ", ".join([widths] * (len(columns) - 1))
    extra = 0 if full else w.choice((0, w.between(2, 24), w.between(8, 40) if look.mono else 0))
    return table.source(f"({first}, {others},)", extra)


def text_table(w: Writer, look: Look, width: float, height: float) -> str:
    """A table whose cells hold sentences that wrap."""
    face = draw_face(w, look)
    face.gap = max(face.gap, 1.5)
    number = min(w.count(2, 5), max(2, int(width / (face.size * 9))))
    longest = w.choice((40, 90, 200))
    columns = [label_column(w, 2) if w.chance(0.7) else code_column(w)]
    if w.chance(0.35):  # one column of text among figures: what typewritten reports are full of
        columns = [text_column(w, longest)] + [number_column(w) for _ in range(number - 1)]
        columns = columns[::-1] if w.chance(0.2) else columns
    else:
        columns += [
            text_column(w, longest) if w.chance(0.7) else label_column(w, 4) for _ in range(number - 1)
        ]
    shares = [w.between(1, 2.2) if column.letters > 25 else w.between(0.5, 1.1) for column in columns]
    narrowest = min(shares) / sum(shares) * width / (face.size * 0.5)
    lines = 1 + longest * 0.5 / max(6, narrowest)
    table = Rows(w, look, face, columns)
    table.fill(min(w.count(2, 14), max(2, int(height / (face.row + lines * face.line)))), plain=True)
    return table.source("(" + ", ".join(f"{share}fr" for share in shares) + ",)", 0)


def spread_table(w: Writer, look: Look, width: float, height: float) -> str:
    """A table of few columns, far apart, with nothing drawn between them."""
    face = draw_face(w, look)
    face.rules = w.choice(("none", "none", "underlined", "header"))
    face.head_fill = face.stripe = face.side_fill = None
    face.head_ink = "000000"
    letter = face.size * letter_width(look)
    columns = [label_column(w, w.count(1, 3))]
    for _ in range(w.count(1, 4)):
        columns.append(number_column(w) if w.chance(0.7) else label_column(w, 1))
    while len(columns) > 2 and sum(column.letters for column in columns) * letter > width * 0.55:
        columns.pop()
    empty = width - sum(column.letters * letter + 2 * face.pad for column in columns)
    gap = max(12, round(empty / (len(columns) - 1) * w.between(0.5, 0.9), 1))
    table = Rows(w, look, face, columns)
    table.fill(min(w.choice((w.count(2, 8), w.count(6, 25))), max(2, int(height / face.row) - 3)), plain=True)
    return table.source(f"({', '.join(['auto'] * len(columns))},)", gap)


class Rows:
    """The cells of a table with the rules between them, in typst's order."""

    def __init__(self, w: Writer, look: Look, face: Face, columns: list[Column]) -> None:
        self.w, self.look, self.face, self.columns = w, look, face, columns
        self.cells: list[str] = []
        self.fills: list[str | None] = []
        self.empty = w.choice((0.0, 0.0, 0.0, 0.05, 0.2, 0.5))
        self.bold_labels = w.chance(0.12)

    def hline(self, weight: float = 1, start: int = 0, end: int | None = None) -> None:
        """A rule under the row before."""
        stop = "" if end is None else f", end: {end}"
        self.cells.append(f"table.hline(start: {start}{stop}, stroke: {self.face.rule(weight)})")

    def row(self, cells: list[str], fill: str | None = None) -> None:
        """One row; every cell is a typst expression."""
        self.cells += cells
        self.fills.append(fill)

    def fill(self, count: int, plain: bool = False) -> None:
        """The heading, then so many rows."""
        w, face, n = self.w, self.face, len(self.columns)
        rules = face.rules
        heavy = w.choice((1, 1, 2))
        if rules in ("booktabs", "rows"):
            self.hline(heavy)
        headed = w.chance(0.92)
        if headed:
            self._heading(plain)
            if rules in ("booktabs", "header", "rows", "columns", "frame"):
                self.hline(1 if rules != "columns" else heavy)
        span = w.count(2, 5) if w.chance(0.1) and n > 2 and not plain else 1
        count -= count % span if count > span else count - span
        sections = 0.0 if w.chance(0.65) or span > 1 else w.between(0.06, 0.25)
        breathe = 0 if w.chance(0.8) or span > 1 else w.count(2, 6)
        total = w.chance(0.3)
        for i in range(count):
            last = i == count - 1
            if sections and not last and w.chance(sections):
                self._section(rules)
            if last and total and rules != "none" and span == 1:
                self.hline(0.7, w.choice((0, 0, 1)))
            self._data(i, last and total, span)
            if last:
                self.cells[-1] += " + seal"
            closed = i % span == span - 1
            if (rules == "rows" or (span > 1 and closed and rules == "booktabs")) and not last:
                self.hline(0.6, 0 if closed else 1)
            if breathe and i % breathe == breathe - 1 and not last:
                self.cells.append(f"table.cell(colspan: {n}, inset: 0pt, v({round(face.size * 0.5, 1)}pt))")
                self.fills.append(None)
        if rules in ("booktabs", "rows", "frame") or (rules == "header" and w.chance(0.5)):
            self.hline(heavy if rules != "header" else 1)

    def _heading(self, plain: bool) -> None:
        w, face, columns = self.w, self.face, self.columns
        n = len(columns)
        weight = w.choice(("bold", "bold", "regular"))
        if self.look.mono:
            weight = "regular"
        style = f'text(weight: "{weight}", fill: rgb("{face.head_ink}"), '
        if w.chance(0.08):
            title = quoted(w.term(2, 5))
            self.row([f"table.cell(colspan: {n}, align: center, {style}{title}))"], face.head_fill)
        if n >= 4 and w.chance(0.3):
            start, cells, spans = 1, [quoted("")], []
            while start < n:
                span = min(w.count(2, 4), n - start)
                cells.append(f"table.cell(colspan: {span}, align: center, {style}{quoted(w.term(1, 2))}))")
                spans.append((start, start + span))
                start += span
            self.row(cells, face.head_fill)
            if face.rules in ("booktabs", "header", "rows", "underlined"):
                for begin, end in spans:
                    self.hline(0.6, begin, end)
        narrow = w.count(6, 14)
        words = w.choice((1, 2, 2, 4, 6))
        years, crowded = w.chance(0.2) and not plain, n > 7
        cells = []
        for i, column in enumerate(columns):
            text = w.year() if years and i else w.term(1, words)
            if crowded and not (years and i):
                text = w.choice((w.acronym(), w.term(1, 1)[:6]))
            if i == 0 and w.chance(0.3):
                text = ""
            if w.chance(0.1):
                text = text.upper()
            label = wrapped(w, text, max(narrow, column.letters * 0.8))
            if face.rules == "underlined" and text:
                label = f"underline(offset: 2pt, {label})"
            align = "center" if column.align != "left" and w.chance(0.7) else column.align
            cells.append(f"table.cell(align: {align} + bottom, {style}{label}))")
        self.row(cells, face.head_fill)
        if self.look.mono and face.rules in ("none", "underlined") and w.chance(0.6):
            dashes = [quoted("-" * max(3, round(column.letters * w.between(0.5, 0.9)))) for column in columns]
            self.row(dashes)

    def _section(self, rules: str) -> None:
        w, n = self.w, len(self.columns)
        label = quoted(self.w.term(1, 4))
        style = w.pick({"strong": 0.5, "emph": 0.3, "underline": 0.1, "upper": 0.1})
        align = "center" if w.chance(0.2) else "left"
        fill = tint("000000", 0.12) if rules == "grid" and w.chance(0.4) else None
        self.row([f"table.cell(colspan: {n}, align: {align}, {style}({label}))"], fill)
        if rules in ("rows", "grid"):
            self.hline(0.6)

    def _data(self, index: int, total: bool, span: int) -> None:
        w, face = self.w, self.face
        cells = []
        for i, column in enumerate(self.columns):
            if i == 0 and span > 1:
                if index % span == 0:
                    middle = w.choice(("top", "horizon"))
                    cells.append(
                        f"table.cell(rowspan: {span}, align: left + {middle}, {quoted(w.term(1, 2))})"
                    )
                continue
            text = "" if i and w.chance(self.empty) else column.say()
            if column.letters > 25 or (i == 0 and column.letters > 22 and not self.look.mono):
                cell = quoted(text)
            else:
                cell = (
                    quoted(text.replace(" ", "\u00a0"))
                    if column.letters < 14 and len(text) < 16
                    else quoted(text)
                )
            if total or (self.bold_labels and i == 0):
                cell = f"strong({cell})"
            if i == 0 and index and w.chance(0.08):
                cell = f"pad(left: {round(face.size)}pt, {cell})"
            cells.append(cell)
        self.row(cells, face.stripe if face.stripe and index % 2 == 0 else None)

    def source(self, widths: str, extra: float) -> str:
        """The table as a typst expression.

        Args:
            widths: The columns' widths as a typst array.
            extra: Space between the columns, on top of their padding.
        """
        face, w = self.face, self.w
        aligns = ", ".join(column.align for column in self.columns)
        fills = ", ".join("none" if fill is None else f'rgb("{fill}")' for fill in self.fills)
        side = f'rgb("{face.side_fill}")' if face.side_fill else "none"
        vertical = w.choice(("top", "top", "horizon", "bottom")) if face.rules == "grid" else "top"
        stroke = {
            "grid": face.rule(),
            "columns": f"(x: {face.rule()})",
        }.get(face.rules, "none")
        if face.rules == "grid" and w.chance(0.15):
            stroke = f'{w.choice((1.5, 2.5))}pt + rgb("{self.look.paper}")' if face.stripe else stroke
        rules = stroke if stroke != "none" else "none"
        # A table without rules starts and ends at its letters, so outer padding would only be empty.
        inner = f"(x: {face.pad}pt, y: {face.gap}pt)"
        gutter = (
            f", column-gutter: {extra}pt" if extra and face.rules in ("none", "underlined", "header") else ""
        )
        table = (
            f"table(columns: {widths}, align: (x, y) => (({aligns},).at(x)) + {vertical}, inset: {inner}, "
            f"stroke: {rules}, fill: (x, y) => {{ let f = ({fills},).at(y, default: none); "
            f"if f == none and x == 0 {{ {side} }} else {{ f }} }}{gutter}, {', '.join(self.cells)})"
        )
        outer = face.rules in ("frame", "columns") or (face.rules in ("rows", "grid") and w.chance(0.2))
        if outer:
            table = f"block(stroke: {face.rule(w.choice((1, 2)))}, {table})"
        return dressed(self.look, face, table)
