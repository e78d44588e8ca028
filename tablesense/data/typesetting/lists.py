"""Text that lines up, yet is no table: programs, questions, directories, dialogues."""

from __future__ import annotations

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import LANGUAGES, Writer, quoted


def listing(w: Writer, look: Look, width: float, height: float) -> str:
    """A program: indented lines in colours, now and then numbered, framed or on grey."""
    size = round(max(4.6, look.size * w.between(0.65, 0.95)), 1)
    letters = max(16, int(width / (size * 0.62)) - 5)
    latin = Writer(w.random, LANGUAGES[0])
    rows = min(w.count(5, 40), max(3, int(height / (size * 1.35))))
    lines: list[str] = []
    depth = 0
    while len(lines) < rows:
        a, b, c = (latin.name().lower() for _ in range(3))
        n = w.count(0, 99)
        opens, line = w.choice((
            (True, f"def {a}_{b}({c}, {b}={n}):"), (True, f"for {a} in range({n}):"),
            (True, f"if {a}.{b} is None:"), (True, f"while {a} < {n}:"), (False, f"return {a}({b}[{n}])"),
            (False, f"{a} = {b}.{c}({n}, '{a}')"), (False, f"{a}[{n}] += {b} * {c}"),
            (False, f"# {latin.words(4)}"), (False, f"print({a}, {b}.{c})"), (False, ""),
        ))  # fmt: skip
        lines.append(("    " * depth + line)[:letters] if line else "")
        depth = min(depth + 1, 4) if opens else max(0, depth - w.pick({0: 0.65, 1: 0.3, 2: 0.05}))
    text = quoted("\n".join(lines)).replace("\n", "\\n")
    language = ', lang: "python"' if w.chance(0.6) and not look.mono else ""
    numbers = ""
    if w.chance(0.4):
        shade = w.choice(("000000", "888888"))
        numbers = (
            "show raw.line: it => { box(width: 2em, align(right, "
            f'text(fill: rgb("{shade}"), str(it.number)))); h(0.8em); it.body }}; '
        )
    fill = w.choice(("none", "none", 'rgb("f4f4f4")', f'rgb("{tint(look.accent, 0.06)}")'))
    stroke = w.choice(("none", "0.5pt", '(left: 2pt + rgb("999999"))', "(y: 0.5pt)"))
    return (
        f"block(width: 100%, breakable: false, inset: {w.between(0, 7)}pt, fill: {fill}, stroke: {stroke}, "
        f"{{ set par(justify: false, first-line-indent: 0pt, leading: {size * 0.1:.2f}pt); "
        f'show raw: set text(size: {size}pt, font: "DejaVu Sans Mono"); {numbers}'
        f"raw(block: true{language}, {text}) }})"
    )


def questions(w: Writer, look: Look, width: float, height: float) -> str:
    """Questions with answers to choose from, in one, two or four columns."""
    columns = w.choice((1, 2, 4) if width > 260 else (1, 2))
    form = w.choice(("A)", "a.", "(A)", "○"))
    parts: list[str] = []
    used, number = 0.0, w.count(1, 30)
    line = look.size * 1.2 + look.leading
    while used < height:
        stem = f"{number}. " + w.text(w.count(30, 160))
        letters = "ABCDEFGH"[: w.choice((4, 4, 5, 2)) if columns < 4 else 4]
        longest = 90 if columns == 1 else 22 if columns == 2 else 9
        answers = [
            quoted(f"{form.replace('A', mark).replace('a', mark.lower())} {w.term(1, 5)[:longest]}")
            for mark in letters
        ]
        tracks = ", ".join(["1fr"] * columns)
        gap = w.between(1, 4)
        parts.append(
            f"par({quoted(stem)}); pad(left: {look.size * 1.4:.1f}pt, "
            f"grid(columns: ({tracks},), row-gutter: {gap}pt, {', '.join(answers)}))"
        )
        used += line * (1 + len(stem) * look.size * 0.5 / width + len(letters) / columns)
        number += 1
    return f"{{ set par(justify: false, first-line-indent: 0pt); {'; '.join(parts)} }}"


def directory(w: Writer, look: Look, width: float, height: float) -> str:
    """Names with addresses and numbers, in columns, as at the end of a report."""
    columns = max(2, min(4, int(width / 120)))
    size = max(4.8, look.size * w.between(0.7, 0.9))
    entry = size * 1.25 * 4.5
    count = max(columns, min(w.count(4, 24), int(columns * height / entry)))
    blocks = []
    for _ in range(count):
        lines = [f"strong({quoted(w.name() + ' ' + w.name())})"]
        lines += [quoted(w.term(1, 3)[:22]) for _ in range(w.count(1, 2))]
        if w.chance(0.6):
            lines.append(
                quoted(f"+{w.count(1, 99)} {w.count(10, 999)} {w.count(100, 999)} {w.count(10, 99)}")
            )
        blocks.append(" + linebreak() + ".join(lines))
    tracks = ", ".join(["1fr"] * columns)
    return (
        f"{{ set text(size: {size:.1f}pt); set par(justify: false, leading: 1pt, first-line-indent: 0pt); "
        f"grid(columns: ({tracks},), column-gutter: 9pt, row-gutter: {w.between(4, 12)}pt, "
        f"{', '.join(blocks)}) }}"
    )


def dialogue(w: Writer, look: Look, width: float, height: float) -> str:
    """Who said what: a column of names beside running text."""
    names = [w.choice((w.name().upper() + ":", w.name() + ".", w.acronym()[:1] + ":")) for _ in range(3)]
    hang = round(max(look.size * 3, width * w.between(0.12, 0.25)), 1)
    parts: list[str] = []
    used = 0.0
    while used < height:
        text = w.text(w.choice((20, 80, 250)))
        name = f"box(width: {hang}pt, strong({quoted(w.choice(names)[:14])}))"
        parts.append(f"par(hanging-indent: {hang}pt, {name} + {quoted(text)})")
        used += (1 + len(text) * look.size * 0.5 / max(60, width - hang)) * (look.size * 1.2 + look.leading)
    return f"{{ set par(justify: false, first-line-indent: 0pt); {'; '.join(parts)} }}"


def verse(w: Writer, look: Look, width: float, height: float) -> str:
    """Short lines in stanzas."""
    rows = max(4, min(w.count(4, 24), int(height / (look.size * 1.3 + look.leading))))
    lines = [quoted(w.words(w.count(3, 7)).capitalize()) for _ in range(rows)]
    stanza = w.choice((3, 4, 6))
    parts = [" + linebreak() + ".join(lines[k : k + stanza]) for k in range(0, rows, stanza)]
    return (
        f"pad(left: {w.between(0, 0.25) * width:.0f}pt, {{ {'; '.join(f'par({part})' for part in parts)} }})"
    )


def parallel(w: Writer, look: Look, width: float, height: float) -> str:
    """Two texts side by side, paragraph by paragraph, as treaties in two languages have."""
    parts: list[str] = []
    used = 0.0
    number = w.count(1, 20)
    while used < height:
        length = w.count(60, 260)
        mark = f"({number}) " if look.numbered else ""
        parts += [quoted(mark + w.text(length)), quoted(mark + w.text(length))]
        used += (1 + length * look.size * 0.5 / (width / 2)) * (look.size * 1.2 + look.leading) + 6
        number += 1
    rule = ", stroke: (x, y) => (left: if x == 1 { 0.4pt }), inset: (x: 6pt)" if w.chance(0.25) else ""
    gutters = f"column-gutter: {w.between(8, 20)}pt, row-gutter: {w.between(4, 9)}pt"
    return (
        f"{{ set par(first-line-indent: 0pt); grid(columns: (1fr, 1fr), {gutters}{rule}, "
        f"{', '.join(parts)}) }}"
    )
