"""What letters, invoices and files carry: letterheads, addresses, signatures, stamps."""

from __future__ import annotations

from tablesense.data.typesetting.drawings import bar_code
from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.scripts import unmirrored
from tablesense.data.typesetting.words import Writer, quoted

_STAMP_INKS = ("b3202a", "1f3f8f", "20408f", "7a1f5c", "2e6b3a", "333333")


def letterhead(w: Writer, look: Look, width: float, height: float) -> str:
    """A name or an emblem at the top, with an address in small letters."""
    hue = look.accent if look.accent != "000000" else w.choice(("000000", "333333", "1f4e8c"))
    side = w.count(18, 40)
    emblem = w.choice((
        f'circle(radius: {side / 2}pt, fill: rgb("{hue}"))',
        f'rect(width: {side}pt, height: {side}pt, fill: rgb("{tint(hue, 0.6)}"), stroke: 1pt + rgb("{hue}"))',
        f'polygon.regular(size: {side}pt, vertices: {w.choice((3, 5, 6))}, fill: rgb("{hue}"))',
    ))  # fmt: skip
    name = f'text(size: {look.size * w.between(1.2, 2):.1f}pt, weight: "bold", fill: rgb("{hue}"), '
    name += quoted(w.choice((w.name() + " " + w.name(), w.acronym(), w.term(2, 3)))) + ")"
    address = " + linebreak() + ".join(quoted(w.term(1, 3)) for _ in range(w.count(2, 4)))
    small = f"text(size: {max(4.8, look.size * 0.7):.1f}pt, {address})"
    rule = (
        f'line(length: 100%, stroke: {w.choice((0.5, 1, 2))}pt + rgb("{hue}"))' if w.chance(0.5) else "none"
    )
    if w.chance(0.3):
        body = f"align(center, {{ {emblem}; v(2pt); {name}; linebreak(); {small} }})"
    else:
        mark = w.choice(
            (f"{emblem} + v(3pt) + {name}", f"stack(dir: ltr, spacing: 6pt, {emblem}, {name})", name)
        )
        order = [mark, f"align(right, {small})"] if w.chance(0.7) else [small, f"align(right, {mark})"]
        body = f"grid(columns: (1fr, 1fr), {', '.join(order)})"
    return (
        f"block(width: 100%, below: {look.size * w.between(1, 2.5):.1f}pt, "
        "{ set par(justify: false, leading: 1.5pt, first-line-indent: 0pt, spacing: 3pt); "
        f"{body}; {rule} }})"
    )


def addresses(w: Writer, look: Look, width: float, height: float) -> str:
    """The recipient at one side; reference, date and the like at the other."""
    lines = [quoted(w.term(1, 3)) for _ in range(w.count(3, 5))]
    colon = w.choice((": ", "  ", ":  "))
    facts = [
        f"{quoted(w.term(1, 1) + colon)} + {quoted(w.choice((w.date, w.code, w.name, w.integer))())}"
        for _ in range(w.count(1, 4))
    ]
    sides = [" + linebreak() + ".join(lines), " + linebreak() + ".join(facts)]
    if w.chance(0.15):
        sides[1] = unmirrored(w, bar_code(w, look, 110, 60))
    return (
        f"block(width: 100%, below: {look.size * w.between(1, 2.5):.1f}pt, "
        f"{{ set par(justify: false, leading: {look.size * 0.15:.1f}pt, first-line-indent: 0pt); "
        f"grid(columns: ({w.choice((1, 1.5, 2))}fr, 1fr), {', '.join(sides)}) }})"
    )


def signature(w: Writer, look: Look, width: float, height: float) -> str:
    """One to three signatures over lines with names."""
    number = w.pick({1: 0.6, 2: 0.3, 3: 0.1}) if width > 260 else 1
    pen = w.choice(("111111", "1b2a6b", "16338f"))
    blocks = []
    for _ in range(number):
        scrawl = _scrawl(w, pen, w.between(45, 95), w.between(14, 26)) if w.chance(0.8) else "v(18pt)"
        below = " + linebreak() + ".join(quoted(text) for text in (w.name() + " " + w.name(), w.term(1, 2)))
        rule = "line(length: 90%, stroke: 0.5pt); " if w.chance(0.7) else ""
        small = f"text(size: {max(5, look.size * 0.85):.1f}pt, {below})"
        blocks.append(f"block(width: 100%, {{ {scrawl}; {rule}{small} }})")
    tracks = ", ".join(["1fr"] * number)
    share = w.choice((100, 100, 60)) if number > 1 else w.choice((40, 50))
    align = w.choice(("left", "right"))
    return (
        f"align({align}, block(width: {share}%, breakable: false, above: {look.size:.1f}pt, "
        f"align(left, {{ set block(above: 0pt, below: 2pt); set par(justify: false, leading: 1.5pt, "
        f"first-line-indent: 0pt, spacing: 2pt); grid(columns: ({tracks},), column-gutter: 14pt, "
        f"{', '.join(blocks)}) }})))"
    )


def _scrawl(w: Writer, pen: str, width: float, height: float) -> str:
    """A signature: loops that run to the right and flatten."""
    x, parts = 0.0, [f"curve.move((0pt, {height * w.between(0.4, 0.8):.1f}pt))"]
    loops = w.count(4, 9)
    for k in range(loops):
        tall = height * (1 - 0.6 * k / loops)
        step = width / loops

        def point(dx: float, low: float, high: float, x: float = x, tall: float = tall) -> str:
            return f"({x + dx:.1f}pt, {height - tall * w.between(low, high):.1f}pt)"

        first = point(step * w.between(0.2, 1.1), 0.5, 1.15)
        second = point(step * w.between(-0.3, 0.6), -0.2, 0.5)
        parts.append(f"curve.cubic({first}, {second}, {point(step, 0.1, 0.7)})")
        x += step
    stroke = f'(paint: rgb("{pen}"), thickness: {w.between(0.6, 1.3)}pt, cap: "round")'
    return (
        f"block(width: {width:.0f}pt, height: {height:.0f}pt, place(top + left, curve(stroke: {stroke}, "
        f"{', '.join(parts)})))"
    )


def stamp(w: Writer, look: Look, width: float, height: float) -> str:
    """A rubber stamp, a little askew, its ink half transparent: framed words or a round seal."""
    ink = f'rgb("{w.choice(_STAMP_INKS)}{w.choice(("99", "bb", "dd"))}")'
    angle = round(w.random.gauss(0, 9))
    words = quoted(w.term(1, 2).upper()[:16])
    size = w.between(8, 15)
    if w.chance(0.6):
        date = f"; linebreak(); text(size: {size * 0.65:.1f}pt, {quoted(w.date())})" if w.chance(0.5) else ""
        body = (
            f"box(stroke: {w.choice((1, 1.5, 2))}pt + {ink}, inset: {w.between(3, 7)}pt, "
            f"radius: {w.choice((0, 0, 4))}pt, "
            f'align(center, {{ text(size: {size}pt, weight: "bold", {words}){date} }}))'
        )
    else:
        radius = w.between(22, 38)
        rings = (
            f"place(center + horizon, circle(radius: {radius}pt, stroke: 1.5pt + {ink})); "
            f"place(center + horizon, circle(radius: {radius * 0.72:.1f}pt, stroke: 0.7pt + {ink})); "
        )
        date = f"text(size: {size * 0.55:.1f}pt, {quoted(w.date())})"
        text = f"text(size: {size * 0.6:.1f}pt, {words}) + linebreak() + {date}"
        body = (
            f"box(width: {2 * radius}pt, height: {2 * radius}pt, {{ {rings}place(center + horizon, "
            f"align(center, {text})) }})"
        )
    return (
        f"rotate({angle}deg, {{ set text(fill: {ink}, hyphenate: false); "
        f"set par(justify: false, leading: 1pt, first-line-indent: 0pt); {body} }})"
    )


def small_print(w: Writer, look: Look, width: float, height: float) -> str:
    """Conditions, bank details and the like in two to four columns of very small letters."""
    size = w.between(3.8, 5.2)
    columns = max(1, min(4, int(width / w.count(110, 200))))
    lines = min(height / (size * 1.4), w.count(3, 18))
    letters = int(lines * width / columns / (size * 0.5))
    texts = ", ".join(quoted(w.text(letters)) for _ in range(columns))
    rule = "line(length: 100%, stroke: 0.4pt); " if w.chance(0.5) else ""
    return (
        f"block(width: 100%, {{ {rule}set text(size: {size}pt, fill: luma({w.choice((0, 60, 110))})); "
        f"set par(leading: {w.between(0.3, 1.3)}pt, first-line-indent: 0pt); "
        f"grid(columns: (1fr,) * {columns}, column-gutter: 8pt, {texts}) }})"
    )
