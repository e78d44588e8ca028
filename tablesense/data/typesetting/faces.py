"""The face of a table: what all its rows share, its rules, fills, sizes and spacing."""

from __future__ import annotations

from dataclasses import dataclass

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted

# How the rules of a table run, and how often. UNLV's are mostly open, ICDAR's mostly ruled.
_RULES = {
    "grid": 0.24,
    "columns": 0.07,
    "rows": 0.11,
    "booktabs": 0.14,
    "header": 0.11,
    "underlined": 0.08,
    "frame": 0.05,
    "none": 0.20,
}
_TYPED_RULES = {
    "grid": 0.08,
    "columns": 0.04,
    "rows": 0.03,
    "booktabs": 0.1,
    "header": 0.08,
    "underlined": 0.25,
    "frame": 0.06,
    "none": 0.36,
}


@dataclass
class Face:
    """The decisions of one table: what all its rows share."""

    size: float
    pad: float
    gap: float
    line: float
    rules: str
    ink: str
    stroke: float
    head_fill: str | None
    head_ink: str
    stripe: str | None
    side_fill: str | None
    leading: float

    @property
    def row(self) -> float:
        """The height of a row of one line."""
        return self.line + 2 * self.gap

    def rule(self, weight: float = 1) -> str:
        """A stroke of the table's rules."""
        return f'{max(0.25, round(self.stroke * weight, 2))}pt + rgb("{self.ink}")'


def draw_face(w: Writer, look: Look) -> Face:
    """Draw the decisions of one table."""
    size = round(max(look.smallest, look.size * w.between(0.72, 1.02)), 2)
    coloured = look.accent != "000000" and not look.mono
    hue = look.accent if coloured else w.choice(("000000", "404040", "808080"))
    rules = w.pick(_TYPED_RULES if look.mono else _RULES)
    head_fill, head_ink, stripe = None, "000000", None
    if not look.mono and w.chance(0.8 if coloured else 0.22):
        head_fill = tint(hue, w.choice((0.15, 0.3, 0.6, 1.0, 1.0)))
        dark = sum(int(head_fill[i : i + 2], 16) for i in (0, 2, 4)) < 420
        head_ink = "ffffff" if dark else "000000"
    if not look.mono and w.chance(0.35 if coloured else 0.1):
        stripe = tint(hue, w.choice((0.08, 0.15, 0.25)))
    gap = w.choice((w.between(0, 1.5), w.between(1, 3.5), w.between(3, 7)))
    if rules in ("grid", "rows", "columns", "frame"):
        gap += 0.8
    return Face(
        size=size,
        pad=w.between(2.5, 9),
        gap=round(gap + (look.leading * 0.35 if look.leading > 5 else 0), 2),
        line=size * 1.2,
        rules=rules,
        ink=hue
        if coloured and w.chance(0.6)
        else w.choice(("000000", "000000", "000000", "555555", "999999")),
        stroke=w.choice((0.3, 0.5, 0.5, 0.75, 1.0, 1.5)),
        head_fill=head_fill,
        head_ink=head_ink,
        stripe=stripe,
        side_fill=tint(hue, w.choice((0.12, 0.3, 0.6))) if head_fill and w.chance(0.25) else None,
        leading=w.between(-0.05, 0.25),
    )


def wrapped(w: Writer, text: str, letters: float) -> str:
    """A cell's text broken into lines by hand, as headings of narrow columns are."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) > letters:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return " + linebreak() + ".join(quoted(line) for line in lines)


def letter_width(look: Look) -> float:
    """About how wide a letter of the look's tables is, in ems."""
    return 0.6 if look.mono or look.figures in ("DejaVu Sans", "Verdana") else 0.5


def dressed(look: Look, face: Face, table: str) -> str:
    """A table's source in its face's font, size and leading."""
    font = quoted(look.figures)
    return (
        f"{{ set text(font: {font}, size: {face.size}pt, hyphenate: true); "
        f"set par(justify: false, leading: {face.leading * face.size:.2f}pt, first-line-indent: 0pt); "
        f"{table} }}"
    )
