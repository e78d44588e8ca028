"""Hard pages: turned tables, tables side by side, forms and other things that pass for tables."""

from __future__ import annotations

from dataclasses import replace

from tablesense.data.typesetting import drawings, figures, forms, lists, office, prose
from tablesense.data.typesetting.composition import across, flow, source, titled
from tablesense.data.typesetting.look import HUES, Look, draw_look
from tablesense.data.typesetting.paper import paper
from tablesense.data.typesetting.repertoire import HARD, Part
from tablesense.data.typesetting.scripts import mirrored, unmirrored
from tablesense.data.typesetting.words import Writer

# What fills a page without tables.
_FILLING: dict[Part, float] = {
    forms.form: 0.36,
    prose.many_columns: 0.08,
    lists.listing: 0.1,
    lists.questions: 0.1,
    lists.directory: 0.08,
    lists.dialogue: 0.05,
    lists.parallel: 0.05,
    prose.references: 0.06,
}
_DRAWN: dict[Part, float] = {
    drawings.schedule: 0.25,
    drawings.floor_plan: 0.15,
    drawings.heat_map: 0.15,
    drawings.puzzle: 0.1,
    drawings.graph_paper: 0.1,
    figures.panels: 0.15,
    figures.diagram: 0.1,
}


def compose_hard(w: Writer, with_tables: bool) -> tuple[Look, str]:
    """The look and the typst source of one hard page, in the writer's language.

    Args:
        w: What draws and writes everything on the page.
        with_tables: Whether the page has tables.
    """
    look = _harder(w, draw_look(w))
    if with_tables:
        kind = w.pick({"flow": 0.69, "sideways": 0.1, "letter": 0.1, "close": 0.11})
    else:
        kind = w.pick({"flow": 0.42, "letter": 0.1, "filled": 0.4, "drawn": 0.08})
    if kind in ("sideways", "letter"):
        look = replace(look, columns=1)
    setup = paper(w, look) + _stamped(w, look, 0.25 if kind == "letter" else 0.05)
    match kind:
        case "sideways":
            parts = _sideways(w, look)
        case "letter":
            parts = _letter(w, look, with_tables)
        case "close":
            parts = _close(w, look)
        case "filled":
            parts = _filled(w, look)
        case "drawn":
            height = look.area[1] * w.between(0.4, 0.85)
            parts = [unmirrored(w, w.pick(_DRAWN)(w, look, look.column, height))]
            parts += flow(w, look, False, HARD)[: w.count(0, 4)]
        case _:
            parts = flow(w, look, with_tables, HARD)
    return look, source(setup, [mirrored(w, part) for part in parts])


def draw_turn(w: Writer, look: Look) -> int:
    """By how many degrees the whole page is turned against the clock: landscape ones often are."""
    if not w.chance(0.4 if look.width * look.squeeze > look.height else 0.035):
        return 0
    return w.choice((90, 90, 270))


def _harder(w: Writer, look: Look) -> Look:
    """The look with more colour, smaller print, narrower margins and more columns, each now and then."""
    if look.accent == "000000" and not look.mono and w.chance(0.35):
        look = replace(look, accent=w.choice(HUES))
    if w.chance(0.1):  # up to the paper's edge
        left, top, right, bottom = look.margins
        near = w.between(5, 14)
        look = replace(
            look,
            margins=w.choice((
                (near, near, near, near), (near, top, right, bottom), (left, top, near, bottom),
                (left, near, right, bottom), (near, top, near, bottom), (left, top, right, near),
            )),
        )  # fmt: skip
    if look.columns == 1 and look.genre in ("report", "annual") and look.width > 480 and w.chance(0.2):
        look = replace(look, columns=2, size=min(look.size, 10.5))
    if w.chance(0.12):
        size = w.between(5, 7)
        scale = size / look.size
        look = replace(
            look,
            size=size,
            smallest=4.2,
            leading=round(look.leading * scale, 2),
            spacing=round(look.spacing * scale, 2),
            indent=round(look.indent * scale, 2),
        )
    return look


def _stamped(w: Writer, look: Look, share: float) -> str:
    """Now and then a stamp anywhere on the page, over whatever stands there."""
    if not w.chance(share):
        return ""
    x, y = look.width * w.between(0.08, 0.75), look.height * w.between(0.05, 0.88)
    mark = office.stamp(w, look, 100, 60)
    return f"#set page(foreground: place(top + left, dx: {x:.0f}pt, dy: {y:.0f}pt, {mark}))\n"


def _sideways(w: Writer, look: Look) -> list[str]:
    """A table that is turned with its caption, on a page whose heads and numbers are not."""
    share = 0.97 if w.chance(0.65) else w.between(0.5, 0.85)
    wide, tall = look.area[1] * share, look.area[0] * w.between(0.45, 0.92)
    number = 2 if w.chance(0.12) else 1
    bodies = [titled(w, look, wide, tall / number, HARD) for _ in range(number)]
    body = f"stack(spacing: {w.between(9, 20)}pt, {', '.join(bodies)})" if number > 1 else bodies[0]
    block = f"block(width: {wide:.1f}pt, breakable: false, {body})"
    turned = f"rotate({w.choice((-90, -90, -90, 90))}deg, reflow: true, {block})"
    table = f"align({w.pick({'center': 0.7, 'left': 0.2, 'right': 0.1})}, {turned})"
    if share > 0.9:
        return [table]
    texts = flow(w, look, False, HARD)[: w.count(0, 5)]
    return [table, *texts] if w.chance(0.6) else [*texts[:1], table, *texts[1:]]


def _close(w: Writer, look: Look) -> list[str]:
    """Tables with little between them: side by side, one under another, or four together."""
    spanning = look.columns > 1 and w.chance(0.5)
    width = look.area[0] if spanning else look.column
    beside = width > 260 and w.chance(0.6)
    gap = w.between(11, 28)
    rows = w.pick({1: 0.7, 2: 0.3}) if beside else w.pick({2: 0.7, 3: 0.3})
    height = min(look.area[1] * 0.75 / rows, look.area[1] * w.choice((0.15, 0.25, 0.4)))
    if beside:
        share = w.choice((0.5, 0.5, w.between(0.35, 0.65)))
        widths = [(width - gap) * share, (width - gap) * (1 - share)]
    else:
        widths = [width]
    cells = [titled(w, look, each, height, HARD) for _ in range(rows) for each in widths]
    tracks = ", ".join(f"{each:.1f}pt" for each in widths)
    body = (
        f"grid(columns: ({tracks},), column-gutter: {gap}pt, row-gutter: {w.between(8, 18)}pt, "
        f"{', '.join(cells)})"
    )
    space = max(6.0, look.spacing + look.size * 0.5)
    if spanning:
        tables = across(body, w.choice(("top", "bottom", "auto")), space)
    else:
        tables = f"block(above: {space:.1f}pt, below: {space:.1f}pt, width: 100%, breakable: false, {body})"
    parts = flow(w, look, False, HARD)
    ahead = w.count(0, 2)
    return [*parts[:ahead], tables, *parts[ahead:]]


def _letter(w: Writer, look: Look, with_tables: bool) -> list[str]:
    """A letter, an order or an invoice."""
    width, height = look.area
    parts = [office.letterhead(w, look, width, 80)] if w.chance(0.85) else []
    if w.chance(0.8):
        parts.append(office.addresses(w, look, width, 80))
    if w.chance(0.7):
        parts.append(prose.heading(w, look, width, 20))
    number = w.count(0, 1) if with_tables else w.count(2, 4)
    parts += [prose.paragraph(w, look, width, height * 0.12) for _ in range(number)]
    if with_tables:
        for _ in range(w.pick({1: 0.8, 2: 0.2})):
            body = titled(w, look, width, height * w.choice((0.15, 0.3, 0.45)), HARD)
            parts.append(f"block(above: 9pt, below: 9pt, width: 100%, breakable: false, {body})")
    elif w.chance(0.3):
        parts.append(prose.bullets(w, look, width, height * 0.15))
    if w.chance(0.5):
        parts.append(prose.paragraph(w, look, width, height * 0.1))
    if w.chance(0.6):
        parts.append(office.signature(w, look, width, 60))
    if w.chance(0.4):
        conditions = office.small_print(w, look, width, height * 0.15)
        parts.append(f"place(bottom, float: true, {conditions})" if w.chance(0.7) else conditions)
    return parts


def _filled(w: Writer, look: Look) -> list[str]:
    """A page of one thing that passes for a table, with a line or two before and after."""
    part = w.pick(_FILLING)
    parts = [prose.heading(w, look, look.column, 20)] if w.chance(0.6) else []
    if w.chance(0.4):
        parts.append(prose.paragraph(w, look, look.column, 40))
    height = look.area[1] * w.between(0.5, 0.95)
    if part is forms.form and look.columns > 1:
        parts.insert(0, across(part(w, look, look.area[0], height * 0.9), "top", 10))
    else:
        parts += [part(w, look, look.column, height * 0.9) for _ in range(look.columns)]
    if w.chance(0.3):
        parts.append(office.signature(w, look, look.column, 60))
    return parts
