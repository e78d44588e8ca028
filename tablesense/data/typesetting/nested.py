"""Tables with headings over headings, and with cells merged over columns and rows."""

from __future__ import annotations

from dataclasses import dataclass

from tablesense.data.typesetting.columns import Column, label_column, number_column
from tablesense.data.typesetting.faces import Face, draw_face, dressed, letter_width, wrapped
from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted


@dataclass(frozen=True)
class _Heading:
    """A heading and those that it stands over."""

    label: str
    under: tuple[_Heading, ...] = ()

    @property
    def leaves(self) -> int:
        """The columns that it spans."""
        return sum(heading.leaves for heading in self.under) or 1


def nested_table(w: Writer, look: Look, width: float, height: float) -> str:
    """A table with headings on two or three levels, stubs over several rows and merged cells."""
    face = draw_face(w, look)
    face.rules = w.pick({"grid": 0.42, "booktabs": 0.28, "rows": 0.18, "none": 0.12})
    if face.rules in ("grid", "rows"):
        face.gap = max(face.gap, 1.4)
    letter = face.size * letter_width(look)
    padding = 2 * face.pad / letter
    room = (width - 4) / letter
    stubs = [label_column(w, w.choice((1, 2, 3))) for _ in range(w.pick({1: 0.55, 2: 0.35, 3: 0.1}))]
    while len(stubs) > 1 and sum(stub.letters + padding for stub in stubs) > room * 0.55:
        stubs.pop()
    room -= sum(stub.letters + padding for stub in stubs)
    few = [number_column(w) for _ in range(w.choice((1, 2, 3)))]
    each = max(column.letters for column in few) + padding
    leaves = max(2, min(w.count(3, 14), int(room / each)))
    levels = 3 if leaves > 5 and w.chance(0.35) else 2
    table = _Merged(w, look, face, stubs, [few[k % len(few)] for k in range(leaves)])
    table.head(_headings(w, leaves, levels, int(each)), levels)
    table.body(
        min(w.choice((w.count(3, 9), w.count(6, 20), 60)), max(3, int(height / face.row) - levels - 2))
    )
    return dressed(look, face, table.source(full=w.chance(0.6) and leaves * each <= room))


def _headings(w: Writer, leaves: int, levels: int, letters: int) -> tuple[_Heading, ...]:
    """Headings over so many columns; groups often repeat the same headings, as years or sexes do."""
    names = [w.choice((w.year(), w.acronym(), w.term(1, 1)[:letters], "%", "n")) for _ in range(4)]
    if levels == 1:
        return tuple(_Heading(names[k % 4] if k < 4 else w.term(1, 1)[:letters]) for k in range(leaves))
    low, high = (2, 4) if levels == 2 else (4, 7)
    headings: list[_Heading] = []
    shared = w.chance(0.6)
    width = w.count(low, high)
    pattern = _headings(w, width, levels - 1, letters)
    while leaves:
        if w.chance(0.15):
            headings.append(_Heading(w.term(1, 1)[:letters]))
            leaves -= 1
            continue
        span = min(width if shared else w.count(low, high), leaves)
        under = pattern if shared and span == width else _headings(w, span, levels - 1, letters)
        label = w.year() if w.chance(0.2) else w.term(1, 3)
        headings.append(_Heading(label, under) if span > 1 else _Heading(label[:letters]))
        leaves -= span
    return tuple(headings)


class _Merged:
    """The cells of a table, each placed by its column and row, with the rules between them."""

    def __init__(self, w: Writer, look: Look, face: Face, stubs: list[Column], values: list[Column]) -> None:
        self.w, self.look, self.face = w, look, face
        self.stubs, self.values = stubs, values
        self.columns = len(stubs) + len(values)
        self.cells: list[str] = []
        self.rows = 0

    def cell(
        self,
        x: int,
        y: int,
        body: str,
        across: int = 1,
        down: int = 1,
        align: str = "left",
        fill: str | None = None,
    ) -> None:
        """Place one cell."""
        spans = (f"colspan: {across}, " if across > 1 else "") + (f"rowspan: {down}, " if down > 1 else "")
        colour = f'fill: rgb("{fill}"), ' if fill else ""
        self.cells.append(f"table.cell(x: {x}, y: {y}, {spans}{colour}align: {align}, {body})")

    def hline(self, y: int, weight: float = 1, start: int = 0, end: int | None = None) -> None:
        """A rule above row `y`."""
        stop = "" if end is None else f", end: {end}"
        self.cells.append(f"table.hline(y: {y}, start: {start}{stop}, stroke: {self.face.rule(weight)})")

    def head(self, headings: tuple[_Heading, ...], levels: int) -> None:
        """The headings, and over the stubs a label for all of them or for each."""
        w, face = self.w, self.face
        weight = "regular" if self.look.mono else w.choice(("bold", "bold", "regular"))
        self.style = f'text(weight: "{weight}", fill: rgb("{face.head_ink}"), '
        middle = w.choice(("horizon", "bottom"))
        labels = [quoted(w.term(1, 1) if w.chance(0.7) else "") for _ in self.stubs]
        if len(labels) > 1 and w.chance(0.4):
            labels = labels[:1]
        for x, label in enumerate(labels):
            across = len(self.stubs) if len(labels) == 1 else 1
            align = f"{w.choice(('left', 'center'))} + {middle}"
            self.cell(x, 0, f"{self.style}{label})", across, levels, align, face.head_fill)
        trimmed = w.chance(0.6)  # rules that leave a gap between two groups, as booktabs' cmidrule does

        def place(x: int, y: int, of: tuple[_Heading, ...]) -> None:
            for heading in of:
                span = heading.leaves
                label = wrapped(w, heading.label, max(8, span * 7))
                body = f"{self.style}{label})"
                if heading.under and trimmed and face.rules in ("booktabs", "rows"):
                    rule = f"inset: (bottom: 2pt), stroke: (bottom: {face.rule(0.6)})"
                    body = f"block(width: 100%, {rule}, {body})"
                elif heading.under and face.rules in ("booktabs", "rows"):
                    self.hline(y + 1, 0.6, x, x + span)
                down = 1 if heading.under else levels - y
                vertical = "horizon" if heading.under else middle
                self.cell(x, y, body, span, down, f"center + {vertical}", face.head_fill)
                place(x, y + 1, heading.under)
                x += span

        place(len(self.stubs), 0, headings)
        if face.rules in ("rows", "grid") and w.chance(0.3):
            x = len(self.stubs)
            for heading in headings:
                self.cells.append(f"table.vline(x: {x}, stroke: {face.rule(w.choice((1, 2)))})")
                x += heading.leaves
        self.rows = levels
        if face.rules in ("booktabs", "rows"):
            self.hline(0, w.choice((1, 2)))
            self.hline(levels)
        elif face.rules == "none" and w.chance(0.5):
            self.hline(levels)

    def body(self, count: int) -> None:
        """So many rows, in groups where there are several stubs."""
        w, face = self.w, self.face
        sections = 0.0 if w.chance(0.7) or len(self.stubs) > 1 else 0.12
        merging = 0.0 if w.chance(0.45) else w.between(0.02, 0.12)
        taken: set[tuple[int, int]] = set()
        first, group = self.rows, 0
        end = first + count
        for y in range(first, end):
            last = y == end - 1
            below = any((x, y) in taken for x in range(self.columns))  # of a cell of the row before
            if sections and not last and not below and w.chance(sections):
                fill = tint("000000", 0.1) if face.rules == "grid" and w.chance(0.5) else None
                self.cell(0, y, f"strong({quoted(w.term(1, 4))})", self.columns, fill=fill)
                continue
            if len(self.stubs) > 1 and y >= group:
                down = min(w.count(2, 5), end - y)
                if group and face.rules in ("booktabs", "rows", "none") and (face.rules != "none" or merging):
                    self.hline(y, 0.6)
                group = y + down
                align = f"left + {w.choice(('horizon', 'top'))}"
                self.cell(0, y, quoted(w.term(1, 2)), down=down, align=align, fill=face.side_fill)
            self._row(y, end, merging, taken, last)
            if face.rules == "rows" and not last:
                self.hline(y + 1, 0.6, 1 if len(self.stubs) > 1 and y + 1 < group else 0)
        self.rows = end
        if face.rules in ("booktabs", "rows"):
            self.hline(end, w.choice((1, 2)))

    def _row(self, y: int, end: int, merging: float, taken: set[tuple[int, int]], last: bool) -> None:
        w, face = self.w, self.face
        stripe = face.stripe if y % 2 else None
        total = last and w.chance(0.3)
        for x in range(1 if len(self.stubs) > 1 else 0, len(self.stubs)):
            label = quoted(w.term(1, 2) if x else self.stubs[0].say())
            label = f"strong({label})" if total else label
            seal = " + seal" if last and x == len(self.stubs) - 1 else ""
            self.cell(x, y, label + seal, align="left + horizon", fill=face.side_fill if not x else stripe)
        for k, column in enumerate(self.values):
            x = len(self.stubs) + k
            if (x, y) in taken:
                continue
            across = down = 1
            if w.chance(merging):
                if w.chance(0.6):
                    across = min(w.count(2, 3), self.columns - x)
                elif y + 1 < end:
                    down = 2
                if any((x + i, y) in taken for i in range(across)):
                    across = 1
            taken.update((x + i, y + j) for i in range(across) for j in range(down))
            text = column.say().replace(" ", "\u00a0")
            if across > 1:
                text = w.choice(("\u2013", "n/a", w.term(1, 1)[:8], text))
            body = f"strong({quoted(text)})" if total else quoted(text)
            align = "center + horizon" if across * down > 1 else f"{column.align} + horizon"
            self.cell(x, y, body, across, down, align, stripe if down == 1 else None)

    def source(self, full: bool) -> str:
        """The table as a typst expression."""
        face = self.face
        stroke = face.rule() if face.rules == "grid" else "none"
        widths = ["auto"] * len(self.stubs) + ["1fr" if full else "auto"] * len(self.values)
        table = (
            f"table(columns: ({', '.join(widths)},), inset: (x: {face.pad}pt, y: {face.gap}pt), "
            f"stroke: {stroke}, {', '.join(self.cells)})"
        )
        if face.rules in ("grid", "rows") and self.w.chance(0.15):
            table = f"block(stroke: {face.rule(self.w.choice((1, 2, 3)))}, {table})"
        return table
