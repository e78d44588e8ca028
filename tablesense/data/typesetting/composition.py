"""A page's composition: what stands on it, in which order, and how much of it."""

from __future__ import annotations

from dataclasses import replace

from tablesense.data.typesetting import prose, statements
from tablesense.data.typesetting.captions import caption, note
from tablesense.data.typesetting.look import Look, draw_look, tint
from tablesense.data.typesetting.paper import paper
from tablesense.data.typesetting.repertoire import STANDARD, Repertoire
from tablesense.data.typesetting.scripts import unmirrored
from tablesense.data.typesetting.words import CHINESE, LANGUAGES, Writer, quoted

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
    return look, source(paper(w, look), flow(w, look, with_tables, STANDARD))


def source(setup: str, parts: list[str]) -> str:
    """The typst source of a page of these parts."""
    return PRELUDE + setup + "\n".join(f"#({part})" for part in parts)


def flow(w: Writer, look: Look, with_tables: bool, repertoire: Repertoire) -> list[str]:
    """The page's parts in reading order; what does not fit is left for a second page nobody sees."""
    height = look.area[1] * look.columns
    lone = with_tables and w.chance(_LONE.get(look.genre, 0.2))
    plan = _plan(w, look, with_tables, lone, repertoire)
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
            parts.append(_table(w, look, tables_height, lone, repertoire))
            used += tables_height * 0.75
        else:
            parts.append(_figure(w, look, repertoire))
            used += look.area[1] * 0.3
        for _ in range(w.count(0, texts)):
            if used < extent:
                used = _text(w, look, parts, used, repertoire)
    # Text before the tables as well as after, so that they stand anywhere on the page.
    before: list[str] = []
    room = max(0.0, height * 0.9 - used)
    ahead, target = 0.0, room * w.random.random()
    while not lone and ahead < target:
        ahead = _text(w, look, before, ahead, repertoire)
    used += ahead
    while not lone and used < extent:
        used = _text(w, look, parts, used, repertoire)
    return top + before + parts


def _plan(w: Writer, look: Look, with_tables: bool, lone: bool, repertoire: Repertoire) -> list[str]:
    """How many tables and figures, shuffled."""
    many = w.pick(repertoire.many)
    if lone:
        many = w.pick({1: 0.75, 2: 0.18, 3: 0.07})
    number = many if with_tables else 0
    drawings = w.pick({0: 0.82, 1: 0.14, 2: 0.04} if with_tables else {0: 0.45, 1: 0.3, 2: 0.15, 3: 0.1})
    if look.genre == "typewriter" or lone:
        drawings = min(drawings, int(w.chance(0.15)))
    plan = ["table"] * number + ["figure"] * drawings
    w.random.shuffle(plan)
    return plan


def _text(w: Writer, look: Look, parts: list[str], used: float, repertoire: Repertoire) -> float:
    part = w.pick(repertoire.texts)
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
        return across(f"block(width: 100%, {body})", "top", look.size)
    return body


def across(body: str, where: str, clearance: float) -> str:
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


def _table(w: Writer, look: Look, height: float, lone: bool, repertoire: Repertoire) -> str:
    """A table with its caption and notes, in a column or across the page."""
    spanning = look.columns > 1 and w.chance(repertoire.across)
    width = look.area[0] if spanning else look.column
    if w.chance(repertoire.pairs[lone]) and width > 320:
        half = (width - 16) / 2
        other = (
            titled(w, look, half, height, repertoire)
            if w.chance(0.7)
            else _drawn(w, look, half, min(height, half), repertoire)
        )
        pair = [titled(w, look, half, height, repertoire), other]
        w.random.shuffle(pair)
        body = f"grid(columns: (1fr, 1fr), column-gutter: 16pt, {', '.join(pair)})"
    else:
        body = titled(w, look, width, height, repertoire)
    space = max(4.0, look.spacing + look.size * w.between(0, 1.4))
    if spanning:
        return across(body, w.choice(("top", "bottom", "auto")), space)
    return f"block(above: {space:.1f}pt, below: {space:.1f}pt, width: 100%, breakable: false, {body})"


def titled(w: Writer, look: Look, width: float, height: float, repertoire: Repertoire) -> str:
    """A table in a block as wide as `width`, mostly with a caption, now and then with notes."""
    kind = w.pick(repertoire.tables.get(look.genre, repertoire.other_tables))
    share = 1.0 if w.chance(0.68) else w.between(0.45, 1.0)
    if kind is statements.contents:
        share = max(share, 0.75)
    room = max(width * share, min(width, 90.0))
    align = w.pick({"left": 0.4, "center": 0.55, "right": 0.05})
    within = align if w.chance(0.5) else "left"  # a table narrower than its room
    if repertoire.small and w.chance(repertoire.small):
        look = replace(look, size=max(4.2, look.size * w.between(0.5, 0.8)), smallest=4.2)
    body = f"align({within}, truth({room:.1f}, {kind(w, look, room, height)}))"
    body = f"align({align}, block(width: {room:.1f}pt, {body}))"
    gap = f"v({max(4.5, look.size * w.between(0.4, 1)):.1f}pt)"
    stack = [body]
    if w.chance(0.68):
        title = caption(w, look, w.language.table)
        stack = [body, gap, title] if look.caption_below else [title, gap, body]
    if w.chance(0.3):
        stack += [gap, note(w, look)]
    return (
        f"block(breakable: false, width: 100%, {{ set block(above: 0pt, below: 0pt); {'; '.join(stack)} }})"
    )


def _figure(w: Writer, look: Look, repertoire: Repertoire) -> str:
    spanning = look.columns > 1 and w.chance(0.3)
    width = (look.area[0] if spanning else look.column) * w.choice((1.0, 1.0, w.between(0.5, 0.95)))
    height = min(width * w.between(0.3, 0.9), look.area[1] * w.choice((0.25, 0.4, 0.6)))
    gap = f"v({look.size * 0.5:.1f}pt)"
    body = f"align(center, {_drawn(w, look, width, height, repertoire)})"
    if w.chance(0.2) and width > 260:
        half = (width - 12) / 2
        pair = ", ".join(_drawn(w, look, half, height, repertoire) for _ in range(2))
        body = f"grid(columns: ({half:.1f}pt, {half:.1f}pt), column-gutter: 12pt, {pair})"
    if w.chance(0.75):
        title = caption(w, look, w.language.figure)
        body = f"{title}; {gap}; {body}" if w.chance(0.35) else f"{body}; {gap}; {title}"
    block = f"block(breakable: false, width: 100%, {{ set block(above: 0pt, below: 0pt); {body} }})"
    if spanning:
        return across(block, w.choice(("top", "bottom", "auto")), 10)
    space = max(5.0, look.spacing + look.size * 0.5)
    return f"block(above: {space:.1f}pt, below: {space:.1f}pt, {block})"


def _drawn(w: Writer, look: Look, width: float, height: float, repertoire: Repertoire) -> str:
    return unmirrored(w, w.pick(repertoire.figures)(w, look, width, max(60.0, height)))


def draw_language(w: Writer, has_chinese: bool) -> Writer:
    """A writer of a drawn language; English in six pages of ten."""
    others = list(LANGUAGES[1:]) + ([CHINESE] if has_chinese else [])
    language = LANGUAGES[0] if w.chance(0.6) else w.choice(others)
    return Writer(w.random, language)
