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
    """

    images_folder: Callable[[str], str]
    write: Callable[[Path, Mapping[str, PageTable]], None]
    places: tuple[str, ...]
    documents: bool


LAYOUTS = {
    "coco": Layout(coco.images_folder, coco.write_coco, coco.PLACES, True),
    "voc": Layout(voc.images_folder, voc.write_voc, voc.PLACES, False),
    "yolo": Layout(yolo.images_folder, yolo.write_yolo, yolo.PLACES, False),
}
