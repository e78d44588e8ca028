"""Names of classes: which are the same, and which are tables."""

from __future__ import annotations

from collections.abc import Collection

_TABLE = {"table", "tabular"}
_PARTS = {
    "row", "rows", "column", "columns", "cell", "cells", "header", "headers", "body", "caption", "captions",
    "title", "titles", "note", "notes", "footnote", "footnotes", "footer", "content", "contents",
}  # fmt: skip


def canonical(name: str) -> str:
    """A class name without case and separators.

    "Table_Rotated" and "table rotated" are one class, and so are "Tables" and "table".
    """
    words = name.lower().replace("_", " ").replace("-", " ").split()
    return " ".join("table" if word == "tables" else word for word in words)


def tables_among(names: Collection[str]) -> tuple[str, ...]:
    """The classes to find where nobody says which: those that name a table, not a part of one.

    A name does that with the word "table" ("table", "table rotated", "bordered table") and without one
    such as "row", "cell", "caption" or "contents". Where no name does, all classes are meant: a data
    set of one class may call it "Tabelle" or "0".

    Args:
        names: Of a data set's classes.

    Returns:
        Canonical names, sorted.
    """
    found = {canonical(name) for name in names}
    tables = {name for name in found if _TABLE & set(name.split()) and not _PARTS & set(name.split())}
    return tuple(sorted(tables or found))
