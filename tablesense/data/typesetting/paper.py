"""The paper a page is set on: running heads, page numbers, bars at the edges, rules between columns."""

from __future__ import annotations

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted

_NARROWEST = 20  # points of margin that running heads need


def paper(w: Writer, look: Look) -> str:
    """The typst rules that set up the page: size, margins, running heads, fonts."""
    left, top, right, bottom = look.margins
    running = quoted(w.term(1, 6)) if w.chance(0.5) else quoted("")
    number = quoted(str(w.count(1, 400)))
    size = look.size * w.between(0.75, 1)
    head = w.choice(
        ("none", f"{running} + h(1fr) + {number}", f"h(1fr) + {running}", f"align(center, {running})")
    )
    if head != "none" and w.chance(0.35):
        head = f"block(width: 100%, stroke: (bottom: 0.6pt), inset: (bottom: 3pt), {head})"
    foot = w.choice((
        "none", f"align(center, {number})", f"h(1fr) + {number}",
        f"{running} + h(1fr) + {number}", f"{number} + h(1fr)",
    ))  # fmt: skip
    if top < _NARROWEST:
        head = "none"
    if bottom < _NARROWEST:
        foot = "none"
    small = f"set text(size: {size:.1f}pt)"
    justify, hyphenate = str(look.justified).lower(), str(w.chance(0.7)).lower()
    return (
        f"#set page(width: {look.width}pt, height: {look.height}pt, columns: {look.columns}, "
        f"margin: (left: {left}pt, top: {top}pt, right: {right}pt, bottom: {bottom}pt), "
        f'fill: rgb("{look.paper}"), background: {_background(w, look)}, '
        f"header: {{ {small}; {head} }}, footer: {{ {small}; {foot} }})\n"
        f"#set columns(gutter: {look.gutter}pt)\n"
        f'#set text(lang: "{w.language.code}", font: ({quoted(look.body)}, "Libertinus Serif"), '
        f'size: {look.size}pt, top-edge: "ascender", bottom-edge: "descender", hyphenate: {hyphenate})\n'
        f"#set par(justify: {justify}, leading: {look.leading}pt, spacing: {look.spacing}pt, "
        f"first-line-indent: {look.indent}pt)\n"
    )


def _background(w: Writer, look: Look) -> str:
    """Bars and banners at the paper's edges, rules between columns."""
    shapes: list[str] = []
    left, top, _, bottom = look.margins
    if look.columns > 1 and w.chance(0.6 if look.genre == "news" else 0.1):
        for k in range(1, look.columns):
            x = left + k * (look.column + look.gutter) - look.gutter / 2
            start = top + look.area[1] * (0.2 if look.genre == "news" else 0)  # below the headline
            rule = f"line(angle: 90deg, length: {look.height - start - bottom:.1f}pt, stroke: 0.4pt)"
            shapes.append(f"place(dx: {x:.1f}pt, dy: {start:.1f}pt, {rule})")
    if look.genre in ("typewriter", "listing") and w.chance(0.2):
        stamp = f"text(size: {w.count(9, 17)}pt, {quoted(f'{w.count(1, 999):03}')})"
        shapes.append(f"place(top + right, dx: -{w.count(20, 90)}pt, dy: {w.count(12, 30)}pt, {stamp})")
    if not look.mono and w.chance(0.15):
        color = (
            tint(look.accent, w.choice((1.0, 0.5)))
            if look.accent != "000000"
            else w.choice(("000000", "999999"))
        )
        fill = f'fill: rgb("{color}")'
        shapes.append(
            w.choice((
                f"place(rect(width: 100%, height: {top * w.between(0.15, 0.45):.1f}pt, {fill}))",
                f"place(rect(width: {left * w.between(0.1, 0.5):.1f}pt, height: 100%, {fill}))",
                f"place(top + right, dy: 20pt, rect(width: 60pt, height: 9pt, {fill}))",
                f"place(bottom, rect(width: 100%, height: {bottom * w.between(0.1, 0.35):.1f}pt, {fill}))",
            ))
        )  # fmt: skip
    return "{ " + "; ".join(shapes) + " }" if shapes else "none"
