"""Tables that have forms of their own: financial statements, contents with leaders, typed schedules."""

from __future__ import annotations

from tablesense.data.typesetting.look import Look
from tablesense.data.typesetting.words import Writer, quoted


def statement(w: Writer, look: Look, width: float, height: float) -> str:
    """A financial statement: indented labels, currency signs, rules under subtotals, wide empty columns."""
    size = round(max(look.smallest, look.size * w.between(0.75, 1.0)), 2)
    letter = size * (0.6 if look.mono else 0.5)
    digits = w.count(2, 6)
    years = min(w.choice((1, 2, 2, 3, 3, 5)), max(1, int((width * 0.6) / (letter * (digits * 1.3 + 4)))))
    signs, spacer = w.chance(0.6), w.choice((w.between(4, 12), w.between(8, 30)))
    gap = w.choice((w.between(0, 1), w.between(0.5, 2.5), w.between(2, 5)))
    rows = min(
        w.choice((w.count(3, 8), w.count(6, 18), 60)),
        max(3, int(height / (size * 1.2 + 2 * gap)) - 3),
    )
    stroke = f"{w.choice((0.4, 0.5, 0.75, 1))}pt"
    leaders = w.chance(0.2)
    each = 2 if signs else 1
    n = 1 + years * each
    cells: list[str] = []

    def line(start: int = 1, weight: float = 1.0) -> None:
        cells.append(f"table.hline(start: {start}, stroke: {weight} * {stroke})")

    if w.chance(0.5):
        line(0, w.choice((1, 2)))
    heading = w.chance(0.9)
    if heading and w.chance(0.4):
        note = f"({w.words(w.count(2, 5))})"
        spanned = f"table.cell(colspan: {n - 1}, align: center, {quoted(w.term(2, 3))})"
        cells += [f"emph({quoted(note)})" if w.chance(0.5) else quoted(""), spanned]
        line(1)
    if heading:
        first = w.count(1975, 2020)
        bold = "strong" if w.chance(0.6) and not look.mono else ""
        cells.append(f"{bold}({quoted(w.term(1, 3) if w.chance(0.4) else '')})" if bold else quoted(""))
        for k in range(years):
            label = f"{bold}({quoted(str(first - k))})"
            cells += [f"table.cell(colspan: {each}, align: right, {label})"]
        line(w.choice((0, 1)))
    depth, dollar = 0, True
    for i in range(rows):
        last = i == rows - 1
        draw = w.random.random()
        if draw < 0.12 and not last:
            cells.append(
                f"table.cell(colspan: {n}, {w.choice(('strong', 'strong', 'emph'))}({quoted(w.term(1, 4))}))"
            )
            depth = 1 if w.chance(0.7) else 0
            continue
        total = last or draw > 0.86
        if total:
            line(1)
        label = quoted(w.term(1, w.choice((2, 4, 7))))
        if leaders:
            label += " + box(width: 1fr, repeat[.])"
        left = round((depth + (1 if total and w.chance(0.5) else 0)) * size * 0.9, 1)
        label = f"par(hanging-indent: {size}pt, {label})" if not leaders else label
        strong = "strong" if total and w.chance(0.5) else ""
        cells.append(f"pad(left: {left}pt, {strong}({label}))")
        for _ in range(years):
            value = "\u2013" if w.chance(0.06) else w.grouped(w.count(10 ** max(0, digits - 2), 10**digits))
            if w.chance(0.12):
                value = f"({value})"
            if signs:
                cells.append(quoted("$") if dollar or total else quoted(""))
            elif dollar or (total and w.chance(0.5)):
                value = "$" + value
            cells.append(f"{strong}({quoted(value.replace(' ', chr(160)))})")
        dollar = False
        if last:
            cells[-1] += " + seal"
        if total:
            if last or w.chance(0.3):
                line(1, w.choice((1, 2)))
            if w.chance(0.4) and not last:
                cells.append(f"table.cell(colspan: {n}, v({round(size * w.between(0.2, 0.8), 1)}pt))")
            depth, dollar = 0, w.chance(0.3)
    if w.chance(0.3):
        line(0)
    natural = w.chance(0.2) and not leaders
    columns = ["auto" if natural else "1fr"] + (["auto", "auto"] if signs else ["auto"]) * years
    aligns = ["left"] + (["right", "right"] if signs else ["right"]) * years
    # The space before a year's figures belongs to its first column.
    pads = ["0pt"] + ([f"{spacer}pt", "1.5pt"] if signs else [f"{spacer}pt"]) * years
    return (
        f"{{ set text(font: {quoted(look.figures)}, size: {size}pt); "
        f"set par(justify: false, leading: {round(size * 0.05, 2)}pt, first-line-indent: 0pt); "
        f"table(columns: ({', '.join(columns)},), stroke: none, "
        f"align: (x, y) => ({', '.join(aligns)},).at(x) + bottom, "
        f"inset: (x, y) => (left: ({', '.join(pads)},).at(x), right: 0pt, y: {gap}pt), {', '.join(cells)}) }}"
    )


def contents(w: Writer, look: Look, width: float, height: float) -> str:
    """A table of contents or list of figures: numbers, titles, leaders, page numbers."""
    size = round(max(5.5, look.size * w.between(0.85, 1.05)), 2)
    gap = round(w.choice((w.between(0, 2), w.between(1, 6))) + look.leading * 0.5, 2)
    long = w.chance(0.5)
    row = size * 1.2 * (1.6 if long else 1) + 2 * gap
    rows = min(w.choice((w.count(4, 45), 50)), max(4, int(height / row) - 1))
    leaders = w.chance(0.85)
    word = w.choice((w.language.table, w.language.figure)).upper() + " " if w.chance(0.3) else ""
    deep = 1 if word or w.chance(0.3) else 3
    chapter, number, page = w.count(1, 9), 0, w.count(1, 90)
    cells: list[str] = []
    if w.chance(0.35):
        cells += [quoted(""), quoted(""), f"underline({quoted(w.choice((w.term(1, 1), 'Page')))})"]
    for _ in range(rows):
        number += 1
        level = w.pick({0: 1, 1: 2, 2: 1}) if deep > 1 else 1
        if level == 0:
            chapter, number = chapter + 1, 0
        label = f"{word}{chapter}" + ("" if level == 0 else f"{'-' if word else '.'}{number}")
        if level == 2:
            label += f".{w.count(1, 6)}"
        title = w.term(3, 14) if long else w.term(1, 6)
        if level == 0 and w.chance(0.5):
            title = title.upper()
        page += w.count(0, 4)
        text = quoted(title + " ")
        filled = "box(width: 1fr, repeat[.])" if leaders else "h(1fr)"
        indent = f"pad(left: {level * size * 1.2 if deep > 1 else 0}pt, "
        cells += [
            f"{indent}{quoted(label)})",
            f"par(hanging-indent: {size}pt, {text} + {filled})",
            quoted(str(page)),
        ]
    cells[-1] += " + seal"
    return (
        f"{{ set text(font: {quoted(look.body)}, size: {size}pt); "
        f"set par(justify: false, leading: {round(size * w.between(0, 0.2), 2)}pt, first-line-indent: 0pt); "
        f"table(columns: (auto, 1fr, auto), align: (left + top, left + top, right + bottom), stroke: none, "
        f"inset: (x, y) => (left: (0pt, {w.between(4, 16)}pt, 0pt).at(x), right: 0pt, y: {gap}pt), "
        f"{', '.join(cells)}) }}"
    )
