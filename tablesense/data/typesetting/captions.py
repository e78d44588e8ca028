"""What stands over and under a table: its caption, its notes."""

from __future__ import annotations

from tablesense.data.typesetting.look import Look
from tablesense.data.typesetting.words import Writer, quoted


def caption(w: Writer, look: Look, word: str) -> str:
    """A caption that calls what it stands by `word`, mostly with a number."""
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


def note(w: Writer, look: Look) -> str:
    """A source, or notes, in smaller letters."""
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
