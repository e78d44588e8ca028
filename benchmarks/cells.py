"""How many cells of the ICDAR 2013 tables the recipes of docs/cells.md get out, given the true tables.

    python benchmarks/cells.py FOLDER [PDF]...

FOLDER holds the competition's PDFs with their `*-reg.xml` and `*-str.xml`; PDF is the name of one without its
ending, all where none is given. The recipes are run as they stand there, with the true tables in the place of
found ones. A grid has two rows and two columns or more. A true cell counts as read where a cell of its grid
has exactly its text, white space aside; cells without a text do not count.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pypdfium2 import PdfDocument

import tablesense
from tablesense.data.icdar2013 import read_icdar2013
from tablesense.data.page import Page
from tablesense.predict.found import FoundPage
from tablesense.predict.pdf import PdfFrame

RECIPES = ("pdfplumber", "camelot", "img2table, for PDFs with text")


class TrueTables:
    """Stands where the recipes have a network."""

    pages: list[FoundPage]

    @classmethod
    def load_from_checkpoint(cls, path: str) -> type[TrueTables]:
        """Whatever the path."""
        return cls

    @classmethod
    def detect(cls, source: str) -> list[FoundPage]:
        """The pages that were put here."""
        return cls.pages


def recipe(heading: str) -> str:
    text = (Path(__file__).parents[1] / "docs" / "cells.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("```python\n")[1].split("```")[0]


def found(page: Page) -> FoundPage:
    n = len(page.boxes)
    with PdfDocument(page.path) as document:
        drawn = document[page.number]
        frame = PdfFrame(drawn.get_bbox(), drawn.get_rotation())
    return FoundPage(page, np.array(page.boxes).reshape(n, 4), np.ones(n), page.labels, ("table",), frame)


def squeezed(text: str | None) -> str:
    return re.sub(r"\s+", "", text or "")


def true_cells(pdf: Path, page: FoundPage) -> list[Counter[str]]:
    """The cells' texts of each table of a page, in the order of the tables."""
    truths = (pdf.with_name(f"{pdf.stem}{letter}-str.xml") for letter in ("", "a"))
    regions = ElementTree.parse(next(filter(Path.exists, truths))).iter("region")
    cells = [region.iter("cell") for region in regions if int(region.get("page", 0)) == page.number]
    return [Counter(filter(None, (squeezed(cell.findtext("content")) for cell in table))) for table in cells]


def documents(folder: Path, names: list[str]) -> Iterator[tuple[Path, list[FoundPage]]]:
    pages = [page for page in read_icdar2013(folder).splits["all"] if page.boxes]
    for pdf in sorted({page.path for page in pages if not names or page.path.stem in names}):
        yield pdf, [found(page) for page in pages if page.path == pdf]


def main() -> None:
    warnings.simplefilter("ignore")
    vars(tablesense)["TableDETRModule"] = TrueTables
    tables = cells = 0
    grids, read, seconds = Counter[str](), Counter[str](), Counter[str]()
    for pdf, TrueTables.pages in documents(Path(sys.argv[1]).resolve(), sys.argv[2:]):
        truths = [truth for page in TrueTables.pages for truth in true_cells(pdf, page)]
        if len(truths) != sum(map(len, TrueTables.pages)):
            print(f"{pdf.name} left out: its two truths differ in the number of tables")
            continue
        tables, cells = tables + len(truths), cells + sum(map(Counter.total, truths))
        with tempfile.TemporaryDirectory() as place:
            shutil.copy(pdf, Path(place) / "report.pdf")
            os.chdir(place)
            for name in RECIPES:
                names: dict[str, Any] = {}
                start = time.perf_counter()
                exec(recipe(name), names)
                seconds[name] += time.perf_counter() - start
                for rows, truth in zip(names["tables"], truths, strict=True):
                    if len(rows) > 1 and len(rows[0]) > 1:
                        grids[name] += 1
                        read[name] += (
                            truth & Counter(squeezed(cell) for row in rows for cell in row)
                        ).total()
        print(pdf.name, len(truths), dict(grids), dict(read), flush=True)
    print(f"{tables} tables, {cells} cells with text")
    for name in RECIPES:
        share, speed = read[name] / cells, seconds[name] / tables
        print(f"{name:32} {grids[name]:3} grids  {share:4.0%} of the cells  {speed:5.2f} s a table")


if __name__ == "__main__":
    main()
