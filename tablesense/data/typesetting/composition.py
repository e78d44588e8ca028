"""A page's composition: what stands on it, in which order, and how much of it."""

from __future__ import annotations

from collections.abc import Callable

from tablesense.data.typesetting import figures, prose, statements, tables
from tablesense.data.typesetting.look import Look, draw_look, tint
from tablesense.data.typesetting.paper import paper
from tablesense.data.typesetting.words import CHINESE, LANGUAGES, Writer, quoted

Part = Callable[[Writer, Look, float, float], str]

_TABLES: dict[str, dict[Part, float]] = {
    "report": {
        tables.data_table: 0.72,
        tables.text_table: 0.16,
        statements.statement: 0.05,
        statements.contents: 0.07,
    },
    "annual": {
        tables.data_table: 0.35,
        tables.text_table: 0.05,
        statements.statement: 0.56,
        statements.contents: 0.04,
    },
    "typewriter": {
        tables.data_table: 0.64,
        tables.text_table: 0.1,
        statements.statement: 0.1,
        statements.contents: 0.16,
    },
    "listing": {
        tables.data_table: 0.7,
        tables.text_table: 0.12,
        statements.statement: 0.08,
        statements.contents: 0.1,
    },
}
_OTHER_TABLES: dict[Part, float] = {
    tables.data_table: 0.85,
    tables.text_table: 0.1,
    statements.statement: 0.05,
}

_TEXTS: dict[Part, float] = {
    prose.paragraph: 0.62,
    prose.heading: 0.16,
    prose.bullets: 0.08,
    prose.definitions: 0.015,
    prose.formula: 0.025,
    prose.references: 0.02,
    prose.quotation: 0.02,
    prose.framed: 0.02,
    prose.address: 0.015,
    prose.code: 0.01,
    prose.many_columns: 0.01,
}

_FIGURES: dict[Part, float] = {
    figures.chart: 0.6,
    figures.panels: 0.08,
    figures.diagram: 0.1,
    figures.photograph: 0.14,
    figures.map_sketch: 0.08,
}

# How often tables have a page to themselves, as UNLV's often do.
_LONE = {"listing": 0.85, "typewriter": 0.55, "annual": 0.35, "slide": 0.3}

# A table leaves three marks: at its corners, and in its last cell, which stands outside of the corners where
# the table is taller than the page. The block keeps it whole and moves it to where it fits.
PRELUDE = """
#let mark(..values) = context {
  let p = here().position(); [#metadata((p.page, p.x.pt(), p.y.pt(), ..values.pos()))<table>] }
#let seal = mark()
#let truth(room, body) = block(breakable: false, {
  place(top + left, mark(room)); body; place(bottom + right, mark()) })
"""


def compose(w: Writer, with_tables: bool) -> tuple[Look, str]:
    """The look and the typst source of one page, in the writer's language.

    Args:
        w: What draws and writes everything on the page.
        with_tables: Whether the page has tables.
    """
    look = draw_look(w)
    return look, PRELUDE + paper(w, look) + "\n".join(f"#({part})" for part in _flow(w, look, with_tables))


def _flow(w: Writer, look: Look, with_tables: bool) -> list[str]:
    """The page's parts in reading order; what does not fit is left for a second page nobody sees."""
    height = look.area[1] * look.columns
    lone = with_tables and w.chance(_LONE.get(look.genre, 0.2))
    plan = _plan(w, look, with_tables, lone)
    # The estimates of heights run high, so a full page aims at more than its height.
    extent = height * (1.25 if w.chance(0.72) else w.between(0.3, 1.0))
    top = [_title(w, look)] if w.chance(0.75 if look.genre == "news" else 0.25) else []
    if look.genre in ("report", "paper") and w.chance(0.25):
        top.append(_footnote(w, look))
    parts: list[str] = []
    used = look.size * 4 * len(top)
    tables_height = look.area[1] * (w.between(0.55, 0.97) if lone else w.choice((0.2, 0.4, 0.65, 0.9)))
    if plan.count("table") > 1:
        tables_height = min(tables_height, 0.85 * height / plan.count("table"))
    texts = 0 if lone else max(1, w.choice((len(plan) + 1, 2, 1)))
    for kind in plan:
        if kind == "table":
            parts += _lead(w, look, lone)
            parts.append(_table(w, look, tables_height, lone))
            used += tables_height * 0.75
        else:
            parts.append(_figure(w, look))
            used += look.area[1] * 0.3
        for _ in range(w.count(0, texts)):
            if used < extent:
                used = _text(w, look, parts, used)
    # Text before the tables as well as after, so that they stand anywhere on the page.
    before: list[str] = []
    room = max(0.0, height * 0.9 - used)
    ahead, target = 0.0, room * w.random.random()
    while not lone and ahead < target:
        ahead = _text(w, look, before, ahead)
    used += ahead
    while not lone and used < extent:
        used = _text(w, look, parts, used)
    return top + before + parts


def _plan(w: Writer, look: Look, with_tables: bool, lone: bool) -> list[str]:
    """How many tables and figures, shuffled."""
    many = w.pick({1: 0.52, 2: 0.26, 3: 0.13, 4: 0.06, 5: 0.03})
    if lone:
        many = w.pick({1: 0.75, 2: 0.18, 3: 0.07})
    number = many if with_tables else 0
    drawings = w.pick({0: 0.82, 1: 0.14, 2: 0.04} if with_tables else {0: 0.45, 1: 0.3, 2: 0.15, 3: 0.1})
    if look.genre == "typewriter" or lone:
        drawings = min(drawings, int(w.chance(0.15)))
    plan = ["table"] * number + ["figure"] * drawings
    w.random.shuffle(plan)
    return plan


def _text(w: Writer, look: Look, parts: list[str], used: float) -> float:
    part = w.pick(_TEXTS)
    room = look.area[1] * w.between(0.06, 0.3)
    source = part(w, look, look.column, room)
    parts.append(source)
    lines = 1 + len(source) * look.size * (0.6 if look.mono else 0.48) / look.column
    return used + min(room, lines * (look.size * 1.15 + look.leading)) + look.spacing


def _title(w: Writer, look: Look) -> str:
    text = w.term(2, 9)
    size = look.size * (1.1 if look.mono else w.choice((1.4, 1.9, 2.6)))
    if look.genre == "news":
        size *= 1.5
        text = text.upper() if w.chance(0.4) else text
    size = min(size, max(look.size, look.column / 7))
    ink, fill = w.choice(
        (("ffffff", "333333"), ("ffffff", tint(look.accent, 0.9)), (look.accent, tint(look.accent, 0.2)))
    )
    banner = w.chance(0.15)
    body = (
        f'text(font: {quoted(look.heads)}, size: {size:.1f}pt, weight: "bold", '
        f'fill: rgb("{ink if banner else look.accent}"), {quoted(text)})'
    )
    body = f"par(justify: false, first-line-indent: 0pt, {body})"
    if banner:
        body = f'block(width: 100%, inset: 8pt, fill: rgb("{fill}"), {body})'
    body = f"align({w.choice(('left', 'center', 'right'))}, block(below: {look.size * 1.2:.1f}pt, {body}))"
    if look.columns > 1 and w.chance(0.7):
        return _across(f"block(width: 100%, {body})", "top", look.size)
    return body


def _across(body: str, where: str, clearance: float) -> str:
    """Something that spans all columns, at the top or the bottom."""
    return f'place({where}, float: true, scope: "parent", clearance: {clearance:.1f}pt, {body})'


def _footnote(w: Writer, look: Look) -> str:
    notes = "; ".join(f"par({quoted(f'{k + 1}  {w.text(w.count(20, 200))}')})" for k in range(w.count(1, 3)))
    rule = "line(length: 30%, stroke: 0.5pt)"
    size = max(5, look.size * 0.8)
    return (
        f"place(bottom, float: true, clearance: {look.size:.1f}pt, block(width: 100%, {{ {rule}; "
        f"set text(size: {size:.1f}pt); "
        f"set par(leading: {size * 0.1:.1f}pt, spacing: 3pt, first-line-indent: 0pt); {notes} }}))"
    )


def _lead(w: Writer, look: Look, lone: bool) -> list[str]:
    """What introduces a table: nothing, a line or a heading."""
    draw = w.random.random()
    if draw < 0.15:
        return [prose.heading(w, look, look.column, 20)]
    if draw < 0.3 and not lone:
        return [f"par({quoted(w.sentence())})"]
    return []


def _table(w: Writer, look: Look, height: float, lone: bool) -> str:
    """A table with its caption and notes, in a column or across the page."""
    across = look.columns > 1 and w.chance(0.3)
    width = look.area[0] if across else look.column
    if w.chance(0.05 if not lone else 0.02) and width > 320:
        half = (width - 16) / 2
        other = _titled(w, look, half, height) if w.chance(0.7) else _drawn(w, look, half, min(height, half))
        pair = [_titled(w, look, half, height), other]
        w.random.shuffle(pair)
        body = f"grid(columns: (1fr, 1fr), column-gutter: 16pt, {', '.join(pair)})"
    else:
        body = _titled(w, look, width, height)
    space = max(4.0, look.spacing + look.size * w.between(0, 1.4))
    if across:
        return _across(body, w.choice(("top", "bottom", "auto")), space)
    return f"block(above: {space:.1f}pt, below: {space:.1f}pt, width: 100%, breakable: false, {body})"


def _titled(w: Writer, look: Look, width: float, height: float) -> str:
    kind = w.pick(_TABLES.get(look.genre, _OTHER_TABLES))
    share = 1.0 if w.chance(0.68) else w.between(0.45, 1.0)
    if kind is statements.contents:
        share = max(share, 0.75)
    room = max(width * share, min(width, 90.0))
    align = w.pick({"left": 0.4, "center": 0.55, "right": 0.05})
    within = align if w.chance(0.5) else "left"  # a table narrower than its room
    body = f"align({within}, truth({room:.1f}, {kind(w, look, room, height)}))"
    body = f"align({align}, block(width: {room:.1f}pt, {body}))"
    gap = f"v({max(4.5, look.size * w.between(0.4, 1)):.1f}pt)"
    stack = [body]
    if w.chance(0.68):
        caption = [_caption(w, look, w.language.table)]
        stack = [body, gap, *caption] if look.caption_below else [*caption, gap, body]
    if w.chance(0.3):
        stack += [gap, _note(w, look)]
    return (
        f"block(breakable: false, width: 100%, {{ set block(above: 0pt, below: 0pt); {'; '.join(stack)} }})"
    )


def _caption(w: Writer, look: Look, word: str) -> str:
    number = w.choice(
        (f"{w.count(1, 40)}", f"{w.count(1, 9)}.{w.count(1, 30)}", f"{w.count(1, 9)}-{w.count(1, 9)}")
    )
    separator = w.choice((": ", ". ", " \u2013 ", "   ", ".—"))
    label = f"{word} {number}{separator}" if w.chance(0.8) else ""
    text = w.term(2, 9) if w.chance(0.75) else w.sentence()
    if w.chance(0.25 if look.mono else 0.1):
        label, text = label.upper(), text.upper()
    line_break = " + linebreak() + " if label and w.chance(0.15) else " + "
    content = f"{quoted(label)}{line_break}{quoted(text)}"
    style = {
        "bold": 'set text(weight: "bold")',
        "italic": 'set text(style: "italic")',
        "accent": f'set text(fill: rgb("{look.accent}"), weight: "bold")',
    }.get(look.caption_style, "set text()")
    size = look.size * w.between(0.82, 1.02)
    return (
        f"align({look.caption_align}, block(width: 100%, {{ {style}; set text(size: {size:.1f}pt); "
        f"par(justify: false, leading: {look.size * 0.1:.1f}pt, first-line-indent: 0pt, {content}) }}))"
    )


def _note(w: Writer, look: Look) -> str:
    start = w.choice((f"{w.language.source}: ", "* ", "(1) ", "a ", ""))
    lines = [
        start + (w.term(2, 6) if w.chance(0.6) else w.text(w.count(40, 220)))
        for _ in range(w.choice((1, 1, 1, 2, 3)))
    ]
    style = w.choice(("normal", "italic"))
    size = max(5, look.size * w.between(0.65, 0.95))
    content = " + linebreak() + ".join(map(quoted, lines))
    return (
        f'align(left, block(width: 100%, {{ set text(size: {size:.1f}pt, style: "{style}"); '
        f"par(leading: {size * 0.1:.1f}pt, first-line-indent: 0pt, {content}) }}))"
    )


def _figure(w: Writer, look: Look) -> str:
    across = look.columns > 1 and w.chance(0.3)
    width = (look.area[0] if across else look.column) * w.choice((1.0, 1.0, w.between(0.5, 0.95)))
    height = min(width * w.between(0.3, 0.9), look.area[1] * w.choice((0.25, 0.4, 0.6)))
    gap = f"v({look.size * 0.5:.1f}pt)"
    body = f"align(center, {_drawn(w, look, width, height)})"
    if w.chance(0.2) and width > 260:
        half = (width - 12) / 2
        pair = ", ".join(_drawn(w, look, half, height) for _ in range(2))
        body = f"grid(columns: ({half:.1f}pt, {half:.1f}pt), column-gutter: 12pt, {pair})"
    if w.chance(0.75):
        caption = _caption(w, look, w.language.figure)
        body = f"{caption}; {gap}; {body}" if w.chance(0.35) else f"{body}; {gap}; {caption}"
    block = f"block(breakable: false, width: 100%, {{ set block(above: 0pt, below: 0pt); {body} }})"
    if across:
        return _across(block, w.choice(("top", "bottom", "auto")), 10)
    space = max(5.0, look.spacing + look.size * 0.5)
    return f"block(above: {space:.1f}pt, below: {space:.1f}pt, {block})"


def _drawn(w: Writer, look: Look, width: float, height: float) -> str:
    return w.pick(_FIGURES)(w, look, width, max(60.0, height))


def draw_language(w: Writer, has_chinese: bool) -> Writer:
    """A writer of a drawn language; English in six pages of ten."""
    others = list(LANGUAGES[1:]) + ([CHINESE] if has_chinese else [])
    language = LANGUAGES[0] if w.chance(0.6) else w.choice(others)
    return Writer(w.random, language)
