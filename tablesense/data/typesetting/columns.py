"""The columns of a table: what their cells say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tablesense.data.typesetting.words import Writer


@dataclass(frozen=True)
class Column:
    """One column: what its cells say, how wide they are in letters, and where they stand."""

    say: Callable[[], str]
    letters: float
    align: str


def number_column(w: Writer) -> Column:
    """Figures of one kind: counts, shares, money, years and so on."""
    digits, places = w.count(1, 6), w.count(1, 4)
    kinds: dict[str, float] = {
        "integer": 4, "decimal": 4, "percent": 2, "year": 0.6,
        "share": 1, "money": 0.8, "signed": 0.8, "small": 1.2,
    }  # fmt: skip
    kind = w.pick(kinds)
    align = w.pick({"right": 0.55, "center": 0.35, "left": 0.1})
    spread = w.count(0, 2)

    def say() -> str:
        match kind:
            case "integer":
                return w.integer(max(1, digits - w.count(0, spread)))
            case "decimal":
                return w.decimal(places, w.count(1, 3))
            case "percent":
                return w.decimal(1, 2) + "%" if places > 2 else f"{w.count(0, 99)}%"
            case "year":
                return w.year()
            case "share":
                return f"{w.count(1, 999)} ({w.decimal(1, 2)}%)"
            case "money":
                return w.choice("$£€") + w.integer(max(2, digits))
            case "signed":
                return w.choice(("-", "+", "")) + w.decimal(places, 1)
            case _:
                return str(w.count(0, 30))

    letters = {"integer": digits * 1.3, "decimal": 4 + places, "share": 11, "money": 2 + digits * 1.3}.get(
        kind, 4.5
    )
    return Column(say, letters, align)


def code_column(w: Writer) -> Column:
    """Short codes, dates, marks."""
    say = w.choice(
        (w.code, w.date, w.acronym, lambda: w.choice(("x", "\u2013", "•", "X", "", "o", "+")), w.year)
    )
    return Column(say, 7, w.pick({"left": 0.4, "center": 0.6}))


def label_column(w: Writer, words: int) -> Column:
    """Labels of up to so many words."""
    return Column(lambda: w.term(1, words), 4 + 5.5 * words * 0.8, "left")


def text_column(w: Writer, letters: int) -> Column:
    """Text of up to so many letters, which wraps."""

    def say() -> str:
        return w.text(w.count(12, letters)).rstrip(".") if w.chance(0.85) else w.term(1, 3)

    return Column(say, 26, "left")


def draw_columns(w: Writer, letters: float, padding: float) -> list[Column]:
    """Columns that fit in a width of so many letters."""
    low, high = w.pick({(2, 3): 0.2, (3, 6): 0.34, (4, 9): 0.3, (6, 16): 0.16})
    number = w.count(low, high)
    words = w.count(1, 4) if w.chance(0.8) else 6
    columns = [label_column(w, words) if w.chance(0.85) else code_column(w)]
    same = number_column(w) if w.chance(0.5) else None
    room = letters - columns[0].letters - padding
    while len(columns) < number:
        draw = w.random.random()
        if same is not None and draw < 0.85:
            column = same
        elif draw < 0.78:
            column = number_column(w)
        else:
            column = label_column(w, 2) if draw < 0.88 else code_column(w)
        room -= column.letters + padding
        if room < 0 and len(columns) > 1:
            break
        columns.append(column)
    return columns
