"""The layouts that can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tablesense.data.convert import coco, voc, yolo
from tablesense.data.table import PageTable


class Layout(NamedTuple):
    """How a data set is laid out.

    Attributes:
        images_folder: Where the images of a split lie.
        write: Writes the annotations of pages that are image files into a folder.
        places: All that is in the folder.
        documents: Whether it says which pages belong together.
        sizes: Whether it says the size of the picture that boxes are given in. Where it does not, they are
            those of the picture as displayed.
        empty: Whether it can hold a data set without boxes.
    """

    images_folder: Callable[[str], str]
    write: Callable[[Path, Mapping[str, PageTable]], None]
    places: tuple[str, ...]
    documents: bool
    sizes: bool
    empty: bool


LAYOUTS = {
    "coco": Layout(coco.images_folder, coco.write_coco, coco.PLACES, documents=True, sizes=True, empty=True),
    "voc": Layout(voc.images_folder, voc.write_voc, voc.PLACES, documents=False, sizes=True, empty=True),
    "yolo": Layout(
        yolo.images_folder, yolo.write_yolo, yolo.PLACES, documents=False, sizes=False, empty=False
    ),
}
