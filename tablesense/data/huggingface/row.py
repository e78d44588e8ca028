"""One row of a data set of `datasets`: its columns, and what is kept of it."""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from reprlib import repr as brief
from typing import Any, NamedTuple

from PIL import Image

from tablesense.data.folder import image_size, inside
from tablesense.data.huggingface.stored import Part
from tablesense.errors import UserError

Row = dict[str, Any]

_BOXES = ("bbox", "bboxes", "boxes")
_LABELS = ("category", "categories", "category_id", "label", "labels")
_DOCUMENTS = ("document", "doc_name")
_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "WEBP": ".webp",
}
_IN_A_FOLDER = 10_000


class Columns(NamedTuple):
    """What the columns, or the keys within `objects`, are called; None for one that is not there."""

    image: str
    objects: str | None
    boxes: str
    labels: str
    classes: list[str] | None
    sizes: bool
    document: str | None

    def names(self) -> list[str]:
        """Those to read."""
        content = [self.objects] if self.objects else [self.boxes, self.labels]
        others = ["width", "height"] if self.sizes else []
        return [self.image, *content, *others, *([self.document] if self.document else [])]


def columns_of(part: Part) -> Columns:
    """Which columns of a part hold what.

    Raises:
        UserError: There is none of images, of boxes or of labels.
    """
    features = part.features
    image = (
        "image"
        if "image" in features
        else next((name for name, feature in features.items() if type(feature).__name__ == "Image"), None)
    )
    within = _single(features["objects"]) if "objects" in features else features
    within = within if isinstance(within, dict) else {}
    boxes, labels = (next((name for name in names if name in within), None) for names in (_BOXES, _LABELS))
    if image is None or boxes is None or labels is None:
        found = ", ".join(features) + (f"; in objects {', '.join(within)}" if "objects" in features else "")
        raise UserError(
            f"{part.place} has no rows of object detection: expected columns image and objects, with bbox "
            f"and category; found {found:.300}"
        )
    return Columns(
        image,
        "objects" if "objects" in features else None,
        boxes,
        labels,
        getattr(_single(within[labels]), "names", None),
        "width" in features and "height" in features,
        next((name for name in _DOCUMENTS if name in features), None),
    )


def _single(feature: Any) -> Any:
    """What a list of `datasets` holds, however deep."""
    while type(feature).__name__ in ("List", "LargeList", "Sequence"):
        feature = feature.feature
    return feature[0] if isinstance(feature, list) else feature


def record(row: Row, columns: Columns, where: str, number: int, root: Path, place: Path) -> Row:
    """One row as it is kept: its image in a file, its boxes as they are, its labels as names.

    Args:
        row: Of the columns `columns.names()`.
        columns: What they hold.
        where: The row's place, for messages.
        number: The row's number in the data set.
        root: The data set's folder.
        place: Where images are written.

    Raises:
        UserError: Its boxes or labels are faulty, or its image is a path that leads nowhere.
    """
    boxes, labels = _objects(row, columns, where)
    value = row[columns.image]
    if isinstance(value, dict):
        content, written = value.get("bytes"), value.get("path") or ""
    else:
        content, written = (None, value) if isinstance(value, str) else (value, "")
    kept: Row = {"boxes": boxes, "labels": labels}
    if content is None and not written:
        return {"fault": "row without image", "where": where}
    if content is None:
        name = _in_place(written, root, where)
        file, kept["path"] = root / name, name
    else:
        try:
            with Image.open(BytesIO(content)) as image:
                suffix = _SUFFIXES.get(image.format or "", f".{image.format}".lower())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return {"fault": "unreadable image", "where": where}
        stem = re.sub(r"[^\w.-]+", "_", os.path.splitext(os.path.basename(written))[0])[-80:]
        name = f"{number // _IN_A_FOLDER:04}/{number:08}{'-' if stem else ''}{stem}{suffix}"
        file, kept["file"] = place / name, name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    kept["name"] = os.path.basename(written or name)
    width, height = (row["width"], row["height"]) if columns.sizes else (None, None)
    if all(isinstance(side, int | float) and 0 < side < 1e9 for side in (width, height)):
        kept["size"] = width, height
    else:
        try:
            kept["size"] = image_size(file)
        except (UserError, Image.DecompressionBombError):
            return {"fault": "unreadable image", "where": where}
    if columns.document and row[columns.document] not in (None, ""):
        kept["document"] = str(row[columns.document])
    return kept


def _in_place(written: str, root: Path, where: str) -> str:
    """The path of an image that is stored as one, relative to the data set's folder."""
    base = os.path.join(os.path.abspath(root), "")
    name = written.removeprefix(base) if os.path.isabs(written) else written
    inside(Path(where), name)
    if not (root / name).is_file():
        raise UserError(f"{where} names the image {root / name}, which is missing")
    return name


def _objects(row: Row, columns: Columns, where: str) -> tuple[list[list[float]], list[str]]:
    objects = row[columns.objects] if columns.objects else row
    if isinstance(objects, list):
        each = [item or {} for item in objects]
        written, kinds = ([item.get(name) for item in each] for name in (columns.boxes, columns.labels))
    else:
        written, kinds = ((objects or {}).get(name) or [] for name in (columns.boxes, columns.labels))
    if len(written) != len(kinds):
        raise UserError(f"{where}: {len(written)} of {columns.boxes}, but {len(kinds)} of {columns.labels}")
    boxes = []
    for box in written:
        try:
            x, y, z, w = map(float, box or ())
        except (TypeError, ValueError):
            raise UserError(f"{where}: {columns.boxes}: expected four numbers; found {brief(box)}") from None
        boxes.append([x, y, z, w])
    return boxes, [_label(kind, columns, where) for kind in kinds]


def _label(kind: object, columns: Columns, where: str) -> str:
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(kind, int) and kind >= 0:
        if columns.classes is None:
            return f"class_{kind}"
        if kind < len(columns.classes):
            return columns.classes[kind]
    known = ", ".join(columns.classes or ["a name or a number from 0"])
    raise UserError(f"{where}: {columns.labels} is {brief(kind)}: expected one of {known:.300}")
