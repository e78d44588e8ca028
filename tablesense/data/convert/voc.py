"""Writing Pascal VOC: `Annotations/*.xml`, `JPEGImages/` and `ImageSets/Main/<split>.txt`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tablesense.data.convert.text import class_names, number
from tablesense.data.page import Page
from tablesense.data.table import PageTable
from tablesense.errors import UserError

PLACES = ("Annotations", "ImageSets", "JPEGImages")
"""What is written into the folder."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def images_folder(split: str) -> str:
    """Where the images of a split lie: those of all splits in one folder."""
    return "JPEGImages"


def write_voc(folder: Path, splits: Mapping[str, PageTable]) -> None:
    """Write the annotations of pages that are image files.

    The layout is that of the VOC development kit, which annotation tools and trainers take, and not
    that of PubTables-1M, which only its own code does. Corners are pixels from the top left of the
    page, counted from 0, with their fractions, as PubTables-1M and export tools write them; the
    challenge itself counted whole pixels from 1. A data set without splits gets no `ImageSets`.

    Source: Everingham and Winn, "The PASCAL Visual Object Classes Challenge 2012 Development Kit".

    Args:
        folder: Gets `Annotations/` and `ImageSets/`.
        splits: The pages by split, each of an image file, no two with one stem.

    Raises:
        UserError: The name of a class cannot stand in XML.
    """
    for name in class_names(splits):
        if _NOT_XML.search(name):
            raise UserError(f"the class {name!r} has a character that XML cannot hold: rename it")
    annotations, lists = folder / "Annotations", folder / "ImageSets" / "Main"
    annotations.mkdir(parents=True)
    for split, pages in splits.items():
        for page in pages:
            (annotations / f"{page.path.stem}.xml").write_text(annotation(page), encoding="utf-8")
        if split != "all":
            lists.mkdir(parents=True, exist_ok=True)
            with (lists / f"{split}.txt").open("w", encoding="utf-8") as file:
                file.writelines(f"{page.path.stem}\n" for page in pages)


def annotation(page: Page, scores: Sequence[float] = ()) -> str:
    """The XML of a page that is an image file.

    Args:
        page: With boxes in pixels of the image. What XML cannot hold in its names becomes "?".
        scores: One for each box where it was found by a network; a `<score>`, which readers of truth ignore.
    """
    width, height = map(number, page.size)
    lines = [
        "<annotation>",
        f"  <folder>{_text(page.path.parent.name)}</folder>",
        f"  <filename>{_text(page.path.name)}</filename>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>0</segmented>",
    ]
    for i, (box, label) in enumerate(zip(page.boxes, page.labels, strict=True)):
        corners = "".join(
            f"<{name}>{number(side)}</{name}>"
            for name, side in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        lines += [
            "  <object>",
            f"    <name>{_text(label)}</name>",
            *([f"    <score>{scores[i]:.5f}</score>"] if scores else []),
            "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>",
            f"    <bndbox>{corners}</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))
