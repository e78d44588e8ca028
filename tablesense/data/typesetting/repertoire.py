"""What stands on pages, and how often: kinds of tables, of text and of figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tablesense.data.typesetting import (
    drawings,
    figures,
    forms,
    lists,
    nested,
    office,
    prose,
    statements,
    tables,
)
from tablesense.data.typesetting.look import Look
from tablesense.data.typesetting.words import Writer

Part = Callable[[Writer, Look, float, float], str]
"""Draws a part of at most a width and about a height, in points, and gives its typst source."""


@dataclass(frozen=True)
class Repertoire:
    """The parts that pages are composed of, each with its weight.

    Attributes:
        tables: Tables, by genre.
        other_tables: Tables of any other genre.
        texts: What stands around tables and figures.
        figures: What is drawn.
        many: How many tables a page with tables has that they do not have to themselves.
        across: How often a table spans the columns of its page.
        pairs: How often a table has another one or a figure beside it; then the same for tables that have
            the page to themselves.
        small: How often a table is set in print smaller than its page's.
    """

    tables: dict[str, dict[Part, float]]
    other_tables: dict[Part, float]
    texts: dict[Part, float]
    figures: dict[Part, float]
    many: dict[int, float]
    across: float
    pairs: tuple[float, float]
    small: float = 0.0


_TABLES: dict[str, dict[Part, float]] = {
    "report": {
        tables.data_table: 0.72,
        tables.text_table: 0.16,
        statements.statement: 0.05,
        statements.contents: 0.07,
    },
    "annual": {
        tables.data_table: 0.35,
        tables.text_table: 0.05,
        statements.statement: 0.56,
        statements.contents: 0.04,
    },
    "typewriter": {
        tables.data_table: 0.64,
        tables.text_table: 0.1,
        statements.statement: 0.1,
        statements.contents: 0.16,
    },
    "listing": {
        tables.data_table: 0.7,
        tables.text_table: 0.12,
        statements.statement: 0.08,
        statements.contents: 0.1,
    },
}
_OTHER_TABLES: dict[Part, float] = {
    tables.data_table: 0.85,
    tables.text_table: 0.1,
    statements.statement: 0.05,
}

_TEXTS: dict[Part, float] = {
    prose.paragraph: 0.62,
    prose.heading: 0.16,
    prose.bullets: 0.08,
    prose.definitions: 0.015,
    prose.formula: 0.025,
    prose.references: 0.02,
    prose.quotation: 0.02,
    prose.framed: 0.02,
    prose.address: 0.015,
    prose.code: 0.01,
    prose.many_columns: 0.01,
}

_FIGURES: dict[Part, float] = {
    figures.chart: 0.6,
    figures.panels: 0.08,
    figures.diagram: 0.1,
    figures.photograph: 0.14,
    figures.map_sketch: 0.08,
}

STANDARD = Repertoire(
    tables=_TABLES,
    other_tables=_OTHER_TABLES,
    texts=_TEXTS,
    figures=_FIGURES,
    many={1: 0.52, 2: 0.26, 3: 0.13, 4: 0.06, 5: 0.03},
    across=0.3,
    pairs=(0.05, 0.02),
)

# Contents with leaders are tables in UNLV's truth, and so on standard pages; in most other truths they are
# not. Hard pages have none, so that pages of both kinds can be mixed.
HARD = Repertoire(
    tables={
        "report": {
            tables.data_table: 0.42,
            tables.text_table: 0.13,
            nested.nested_table: 0.26,
            statements.statement: 0.06,
            tables.spread_table: 0.13,
        },
        "annual": {
            tables.data_table: 0.2,
            tables.text_table: 0.04,
            nested.nested_table: 0.2,
            statements.statement: 0.45,
            tables.spread_table: 0.11,
        },
        "typewriter": {
            tables.data_table: 0.48,
            tables.text_table: 0.12,
            nested.nested_table: 0.1,
            statements.statement: 0.12,
            tables.spread_table: 0.18,
        },
        "listing": {
            tables.data_table: 0.53,
            tables.text_table: 0.15,
            nested.nested_table: 0.15,
            statements.statement: 0.06,
            tables.spread_table: 0.11,
        },
    },
    other_tables={
        tables.data_table: 0.48,
        tables.text_table: 0.12,
        nested.nested_table: 0.26,
        statements.statement: 0.03,
        tables.spread_table: 0.11,
    },
    texts={
        prose.paragraph: 0.555,
        prose.heading: 0.15,
        prose.bullets: 0.06,
        prose.definitions: 0.02,
        prose.formula: 0.025,
        prose.references: 0.015,
        prose.quotation: 0.015,
        prose.framed: 0.025,
        prose.address: 0.015,
        prose.many_columns: 0.015,
        forms.form: 0.03,
        lists.listing: 0.02,
        lists.questions: 0.01,
        lists.directory: 0.01,
        lists.dialogue: 0.01,
        lists.verse: 0.005,
        lists.parallel: 0.005,
        office.signature: 0.005,
        office.small_print: 0.01,
    },
    figures={
        figures.chart: 0.45,
        figures.panels: 0.08,
        figures.diagram: 0.09,
        figures.photograph: 0.08,
        figures.map_sketch: 0.05,
        drawings.schedule: 0.08,
        drawings.heat_map: 0.06,
        drawings.graph_paper: 0.04,
        drawings.puzzle: 0.02,
        drawings.floor_plan: 0.03,
        drawings.bar_code: 0.02,
    },
    many={1: 0.42, 2: 0.28, 3: 0.17, 4: 0.09, 5: 0.04},
    across=0.5,
    pairs=(0.1, 0.05),
    small=0.15,
)
