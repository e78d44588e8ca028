"""What the pages are like that a run is trained and validated on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tablesense.data.sources import Mix

AREA_EDGES = np.linspace(0, 1, 21)
"""Of the histogram of boxes' areas, as a share of the page's."""
ASPECT_EDGES = np.geomspace(1 / 16, 16, 17)
"""Of the histogram of boxes' width / height; narrower and wider ones are counted at its ends."""


def statistics(pages: Mix) -> dict[str, Any]:
    """Count what is on pages.

    Returns:
        `pages`, `documents`, `pages_without_tables`, `tables`, `classes` (tables by class),
        `tables_per_page` (pages by number of tables), and the histograms `box_area` (share of the page) and
        `box_aspect` (width / height), each with `edges` and `counts`.
    """
    counts = np.concatenate([np.zeros(0, np.int64), *(table.counts for table in pages.tables)])
    numbers = {int(number): int(count) for number, count in enumerate(np.bincount(counts)) if count}
    sides, areas = [np.empty((0, 2))], [np.empty(0)]
    for table in pages.tables:
        boxes, on = table.boxes
        sides.append(boxes[:, 2:] - boxes[:, :2])
        areas.append(table.sizes.prod(1)[on])
    width, height = np.concatenate(sides).T
    classes = sum((table.label_counts() for table in pages.tables), Counter[str]())
    return {
        "pages": len(pages),
        "documents": sum(len(np.unique(table.documents)) for table in pages.tables),
        "pages_without_tables": numbers.get(0, 0),
        "tables": len(width),
        "classes": dict(classes.most_common()),
        "tables_per_page": {str(number): numbers[number] for number in sorted(numbers)},
        "box_area": _histogram(width * height / np.concatenate(areas), AREA_EDGES),
        "box_aspect": _histogram(width / height, ASPECT_EDGES),
    }


def _histogram(values: Any, edges: Any) -> dict[str, list[float]]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": counts.tolist()}
