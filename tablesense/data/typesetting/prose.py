"""Text around tables: paragraphs, headings, lists, formulas, letters, references and frames."""

from __future__ import annotations

from tablesense.data.typesetting.look import Look, tint
from tablesense.data.typesetting.words import Writer, quoted


def paragraph(w: Writer, look: Look, width: float, height: float) -> str:
    """One paragraph of at most about `height`."""
    letters = width / (look.size * (0.6 if look.mono else 0.46))
    lines = height / (look.size * 1.15 + look.leading)
    length = int(min(w.choice((120, 300, 600, 1100)), letters * lines))
    text = w.text(max(40, length))
    if w.chance(0.06):
        lead, rest = text[: len(text) // 3], text[len(text) // 3 :]
        style = w.choice(("strong", "emph", "underline"))
        return f"par({style}({quoted(lead)}) + {quoted(rest)})"
    return f"par({quoted(text)})"


def heading(w: Writer, look: Look, width: float, height: float) -> str:
    """A section's heading."""
    text = w.term(1, 7)
    if w.chance(0.2):
        text = text.upper()
    if look.numbered:
        number = ".".join(str(w.count(1, 9)) for _ in range(w.count(1, 3)))
        text = f"{number}   {text}"
    size = look.size * (1 if look.mono else w.between(1, 1.6 if width > 220 else 1.15))
    style = f'font: {quoted(look.heads)}, size: {size:.1f}pt, weight: "bold", fill: rgb("{look.accent}")'
    body = f"text({style}, {quoted(text)})"
    if look.mono:
        body = f"underline({quoted(text)})"
    align = "center" if w.chance(0.15) else "left"
    bar = ""
    if w.chance(0.08):
        bar = f', fill: rgb("{tint(look.accent, w.choice((0.15, 0.4)))}"), inset: 3pt, width: 100%'
    above, below = (
        look.spacing + look.size * w.between(0.4, 1.4),
        max(4.0, look.spacing * w.between(0.6, 1.1)),
    )
    return (
        f"block(above: {above:.1f}pt, below: {below:.1f}pt, sticky: true{bar}, "
        f"align({align}, par(justify: false, first-line-indent: 0pt, {body})))"
    )


def bullets(w: Writer, look: Look, width: float, height: float) -> str:
    """A list with bullets or numbers, now and then nested."""
    longest = w.choice((25, 70, 200))
    lines = max(1, int(height / (look.size * 1.4)))
    items = []
    for _ in range(min(w.count(2, 9), lines)):
        text = quoted(w.text(w.count(10, longest)))
        if w.chance(0.12):
            nested = ", ".join(quoted(w.term(1, 5)) for _ in range(w.count(2, 4)))
            text += f" + list({nested})"
        items.append(text)
    kind = "enum" if w.chance(0.4) else "list"
    form = w.choice(('numbering: "(a)"', 'numbering: "1)"', 'numbering: "1."', 'numbering: "i."'))
    style = form if kind == "enum" else f"marker: {w.choice(('[•]', '[--]', '[▪]', '[◦]'))}"
    indent, hang = w.between(0, width * 0.08), w.between(4, max(5, width * 0.06))
    justify = str(look.justified and width > 220).lower()
    return (
        f"{{ set par(justify: {justify}, first-line-indent: 0pt); "
        f"{kind}({style}, indent: {indent}pt, body-indent: {hang}pt, {', '.join(items)}) }}"
    )


def definitions(w: Writer, look: Look, width: float, height: float) -> str:
    """Terms, each with its explanation: two columns to the eye, but running text."""
    number = min(w.count(3, 9), max(2, int(height / (look.size * 2.6))))
    items = ", ".join(
        f"terms.item({quoted(w.choice((w.acronym(), w.term(1, 2))))}, {quoted(w.text(w.count(30, 160)))})"
        for _ in range(number)
    )
    return (
        f"{{ set par(justify: false); terms(hanging-indent: {w.between(0.05, 0.2) * width:.1f}pt, {items}) }}"
    )


def formula(w: Writer, look: Look, width: float, height: float) -> str:
    """A displayed formula or an array of them, some with a number."""

    def term() -> str:
        a, b = w.choice("abcxyzkpqr"), w.choice("nmijtuvw")
        return w.choice((
            f"{a}_{b}", f"{a}^2", f"({a} + {b})/{w.count(2, 9)}", f"sqrt({a} - {b})",
            f"sum_({b}=1)^N {a}_{b}", f"integral_0^{b} f({a}) dif {a}", f"alpha {a}", f"e^(-{a} {b})",
            f"log {b}", f"{w.count(1, 99)} {a}",
        ))  # fmt: skip

    def side() -> str:
        return " + ".join(term() for _ in range(w.count(1, 4 if width > 300 else 2)))

    lines = [f"{side()} &= {side()}" for _ in range(w.choice((1, 1, 1, 2, 4)))]
    if w.chance(0.12):
        rows = "; ".join(", ".join(term() for _ in range(3)) for _ in range(3))
        lines = [f"A = mat({rows})"]
    number = f'math.equation(block: true, numbering: n => "({w.count(1, 99)})", ' if w.chance(0.5) else "("
    stacked = " \\ ".join(lines)
    return f"block(width: 100%, {number}$ {stacked} $))"


def references(w: Writer, look: Look, width: float, height: float) -> str:
    """A bibliography with hanging indents."""
    number = min(w.count(3, 18), max(2, int(height / (look.size * 3.4))))
    entries = []
    for k in range(number):
        names = ", ".join(f"{w.name()}, {w.acronym()[0]}." for _ in range(w.count(1, 3)))
        pages = f"{w.count(1, 400)}-{w.count(401, 900)}"
        text = f"{names} ({w.year()}). {w.term(3, 9)}. {w.name()} {w.count(1, 90)}, {pages}."
        entries.append(
            f"par(hanging-indent: {round(look.size * 1.6)}pt, {quoted(f'[{k + 1}] ' * look.numbered + text)})"
        )
    size = look.size * 0.9
    return f"{{ set text(size: {size:.1f}pt); set par(first-line-indent: 0pt); {'; '.join(entries)} }}"


def quotation(w: Writer, look: Look, width: float, height: float) -> str:
    """An indented or italic quotation."""
    body = quoted(w.text(int(min(300, max(60, width * height / (look.size**2 * 0.8))))))
    inset = w.between(15, 45)
    return f"pad(x: {inset}pt, {w.choice(('emph', 'par'))}({body}))"


def framed(w: Writer, look: Look, width: float, height: float) -> str:
    """Text in a box, with a title or a list: framed like a table, yet none."""
    fill = tint(look.accent, 0.12) if look.accent != "000000" else w.choice(("ffffff", "eeeeee", "dddddd"))
    dark = w.chance(0.08) and not look.mono
    ink = "ffffff" if dark else "000000"
    title = quoted(w.term(1, 5))
    inner = [f"strong({title})"] if w.chance(0.7) else []
    inner.append(paragraph(w, look, width * 0.9, height * 0.6))
    if w.chance(0.4):
        inner.append(bullets(w, look, width * 0.9, height * 0.4))
    share = w.choice((100, 100, 70, 55))
    return (
        f"align({w.choice(('left', 'center'))}, block(width: {share}%, breakable: false, "
        f'fill: rgb("{"222222" if dark else fill}"), stroke: {w.choice(("none", "0.5pt", "1pt", "2pt"))}, '
        f"inset: {w.between(4, 12)}pt, radius: {w.choice((0, 0, 5))}pt, "
        f'align(left, {{ set text(fill: rgb("{ink}")); {"; ".join(inner)} }})))'
    )


def address(w: Writer, look: Look, width: float, height: float) -> str:
    """A block of short lines: an address, a signature, the lines of a form."""
    if w.chance(0.5):
        lines = [quoted(w.term(1, 4)) for _ in range(w.count(3, 6))]
        shift = w.choice((0, 0, width * 0.55))
        return f"pad(left: {shift:.0f}pt, {' + linebreak() + '.join(lines)})"
    blanks = [
        f"{quoted(w.term(1, 3) + ': ')} + box(width: 1fr, line(length: 100%, stroke: 0.5pt))"
        for _ in range(w.count(3, 7))
    ]
    return "{ " + "; ".join(f"par({blank})" for blank in blanks) + " }"


def code(w: Writer, look: Look, width: float, height: float) -> str:
    """Lines of a program or of a terminal."""
    rows = min(w.count(3, 16), max(2, int(height / (look.size * 1.2))))
    letters = max(12, int(width / (look.size * 0.55)))
    lines = [
        ("  " * w.count(0, 3) + f"{w.word()}({w.word()}) = {w.word()}[{w.count(0, 99)}];")[:letters]
        for _ in range(rows)
    ]
    return f"raw(block: true, {quoted(chr(10).join(lines)).replace(chr(10), chr(92) + 'n')})"


def many_columns(w: Writer, look: Look, width: float, height: float) -> str:
    """A list of short entries in several columns, as an index has."""
    columns = max(2, min(4, int(width / 110)))
    entries = w.count(9, 36)
    entries = min(entries, max(columns * 2, int(columns * height / (look.size * 1.3))))
    lines = [quoted(w.term(1, 3) + (f", {w.count(1, 300)}" if look.numbered else "")) for _ in range(entries)]
    return f"columns({columns}, par(justify: false, {' + linebreak() + '.join(lines)}))"
