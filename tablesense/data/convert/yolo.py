"""Writing YOLO: `data.yaml`, `images/<split>/` and `labels/<split>/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tablesense.data.convert.text import class_names
from tablesense.data.page import Page
from tablesense.data.table import PageTable

PLACES = ("data.yaml", "images", "labels")
"""What is written into the folder."""


def images_folder(split: str) -> str:
    """Where the images of a split lie; those of a data set without splits are there to train on."""
    return f"images/{'train' if split == 'all' else split}"


def write_yolo(folder: Path, splits: Mapping[str, PageTable]) -> None:
    """Write the annotations of pages that are image files.

    A label file has one line a box, `class cx cy width height`, relative to the page, to twelve
    digits; that of a page without tables is empty. `data.yaml` names the splits relative to itself,
    without the key "path": a relative one would be looked for elsewhere.

    Source: https://docs.ultralytics.com/datasets/detect.

    Args:
        folder: Gets `data.yaml` and `labels/`.
        splits: The pages by split, each of an image file, no two of a split with one stem.
    """
    names = class_names(splits)
    index = {name: i for i, name in enumerate(names)}
    content: dict[str, Any] = {}
    for split, pages in splits.items():
        images = images_folder(split)
        content[images.rsplit("/", 1)[-1]] = images
        labels = folder / images.replace("images", "labels", 1)
        labels.mkdir(parents=True)
        for page in pages:
            (labels / f"{page.path.stem}.txt").write_text(_lines(page, index), encoding="utf-8")
    content["names"] = dict(enumerate(names))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _lines(page: Page, index: dict[str, int]) -> str:
    width, height = page.size
    lines = []
    for (x0, y0, x1, y1), label in zip(page.boxes, page.labels, strict=True):
        sides = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
        lines.append(" ".join([str(index[label]), *(f"{side:.12g}" for side in sides)]) + "\n")
    return "".join(lines)
