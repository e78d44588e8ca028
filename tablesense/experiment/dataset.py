"""What the pages are like that a run is trained and validated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tablesense.data.classes import canonical
from tablesense.data.page import Page

AREA_EDGES = np.linspace(0, 1, 21)
"""Of the histogram of boxes' areas, as a share of the page's."""
ASPECT_EDGES = np.geomspace(1 / 16, 16, 17)
"""Of the histogram of boxes' width / height; narrower and wider ones are counted at its ends."""


def statistics(pages: Sequence[Page]) -> dict[str, Any]:
    """Count what is on pages.

    Returns:
        `pages`, `documents`, `pages_without_tables`, `tables`, `classes` (tables by class),
        `tables_per_page` (pages by number of tables), and the histograms `box_area` (share of the page) and
        `box_aspect` (width / height), each with `edges` and `counts`.
    """
    numbers = Counter(len(page.boxes) for page in pages)
    sides = np.array(
        [(x1 - x0, y1 - y0, page.size[0] * page.size[1]) for page in pages for x0, y0, x1, y1 in page.boxes]
    ).reshape(-1, 3)
    width, height, page_area = sides.T
    return {
        "pages": len(pages),
        "documents": len({page.document for page in pages}),
        "pages_without_tables": numbers[0],
        "tables": len(sides),
        "classes": dict(Counter(canonical(label) for page in pages for label in page.labels).most_common()),
        "tables_per_page": {str(number): numbers[number] for number in sorted(numbers)},
        "box_area": _histogram(width * height / page_area, AREA_EDGES),
        "box_aspect": _histogram(width / height, ASPECT_EDGES),
    }


def _histogram(values: Any, edges: Any) -> dict[str, list[float]]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}
