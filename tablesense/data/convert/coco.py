"""Writing COCO: `annotations/instances_<split>.json` with its images in `images/<split>/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from tablesense.data.convert.text import class_names, number
from tablesense.data.table import PageTable

PLACES = ("annotations", "images")
"""What is written into the folder."""


def images_folder(split: str) -> str:
    """Where the images of a split lie; those of a data set without splits lie in `images/` itself."""
    return "images" if split == "all" else f"images/{split}"


def write_coco(folder: Path, splits: Mapping[str, PageTable]) -> None:
    """Write the annotations of pages that are image files.

    One file a split, named as those of COCO itself, which most tools look for. A box is
    [x, y, width, height] in pixels from the top left; each image has its "document" as well, which COCO
    does not know and which keeps the pages of a document together. Images without annotations are
    pages without tables. The files grow page by page: none is held in memory.

    Source: https://cocodataset.org/#format-data.

    Args:
        folder: Gets `annotations/`.
        splits: The pages by split, each of an image file.
    """
    places = folder / "annotations"
    places.mkdir(parents=True)
    categories = {name: i for i, name in enumerate(class_names(splits), start=1)}
    for split, pages in splits.items():
        with (places / f"instances_{split}.json").open("w", encoding="utf-8") as file:
            file.write('{"images": [')
            _list(file, _images(pages))
            file.write('],\n"annotations": [')
            _list(file, _annotations(pages, categories))
            file.write('],\n"categories": [')
            _list(file, ({"id": i, "name": name} for name, i in categories.items()))
            file.write("]}\n")


def _list(file: TextIO, items: Iterable[dict[str, Any]]) -> None:
    for i, item in enumerate(items):
        file.write(f"{',' if i else ''}\n{json.dumps(item)}")


def _images(pages: PageTable) -> Iterator[dict[str, Any]]:
    for i, page in enumerate(pages, start=1):
        width, height = map(number, page.size)
        yield {
            "id": i,
            "file_name": page.path.name,
            "width": width,
            "height": height,
            "document": page.document,
        }


def _annotations(pages: PageTable, categories: dict[str, int]) -> Iterator[dict[str, Any]]:
    made = 0
    for i, page in enumerate(pages, start=1):
        for (x0, y0, x1, y1), label in zip(page.boxes, page.labels, strict=True):
            made += 1
            width, height = x1 - x0, y1 - y0
            yield {
                "id": made,
                "image_id": i,
                "category_id": categories[label],
                "bbox": [number(x0), number(y0), number(width), number(height)],
                "area": number(width * height),
                "iscrowd": 0,
            }
