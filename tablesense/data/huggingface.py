"""Object detection rows of the library `datasets`, from disk: what it saves, and parquet as on the hub."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from reprlib import repr as brief
from typing import Any, NamedTuple

from PIL import Image

from tablesense.data.documents import naming
from tablesense.data.folder import contents, image_size, inside
from tablesense.data.images import files_below
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.splits import split_of
from tablesense.data.table import Pages, progress
from tablesense.errors import UserError
from tablesense.files import cache_folder

EXPECTED = "Hugging Face rows (dataset_info.json and state.json, or *.parquet)"

VERSION = 2
"""Part of the name of extracted data: raise it with every change to `_record`."""

_DICT, _STATE, _INFO = "dataset_dict.json", "state.json", "dataset_info.json"
_ROWS, _DONE = "rows.jsonl", "done.json"
_BOXES = ("bbox", "bboxes", "boxes")
_LABELS = ("category", "categories", "category_id", "label", "labels")
_DOCUMENTS = ("document", "doc_name")
_SHARD = re.compile(r"-\d+-of-\d+(-\w+)?$")
_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "WEBP": ".webp",
}
_BATCH = 16  # rows, with their images, that are in memory at once
_BUFFER = 2**20  # bytes of a parquet file
_IN_A_FOLDER = 10_000
_GLANCE, _PLACES, _DEPTH = 1000, 50, 2  # entries, folders and levels that recognition looks at
_BEYOND = 1.0  # pixels; `keep_valid` counts a box as leaving its page from there
_SEVERAL = 0.1  # the share of impossible boxes that says that corners were meant, or sizes

Row = dict[str, Any]


def read_huggingface(path: Path) -> Pages:
    """Read rows of images and boxes, `[x, y, width, height]` in pixels, that the library `datasets` wrote.

    The path is a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, a folder with
    parquet files as downloaded from the hub (`data/train-00000-of-00001.parquet`, `train/0000.parquet`), or
    one such file. Nothing is downloaded and no code of the data set runs.

    Columns: `image` (an Image, else encoded bytes, else a path), and `objects` with `bbox` (or `bboxes`,
    `boxes`) and `category` (or `categories`, `category_id`, `label`, `labels`), as a dict of lists or a list
    of dicts; without `objects`, these two are columns of their own. A category is a ClassLabel, a
    name, or a number, which is then called `class_<number>`. A row without objects is a page without tables.
    Where there are `width` and `height`, boxes are in a frame of that size, else in the image's
    pixels. The document is the column `document` or `doc_name`, else told by the image's own name (see
    `documents.naming`); where all images have one name, each is its own. The split is told by its name or
    the file's (see `splits.split_of`), else it is "all"; where some name one, other rows are left out and
    counted. So are rows without an image, or with one that cannot be read.

    The hub's habit is COCO's boxes, `[x, y, width, height]`, but some data sets hold corners
    `[x0, y0, x1, y1]`, and nothing in them says so: for those there is `read_huggingface_xyxy`, the
    format "huggingface_xyxy". The format is never guessed. It is refused where the numbers contradict it:
    a tenth of the boxes or more is impossible as read, and every one possible in the other way.

    Images are bytes within Arrow. The first reading writes each as it is, one after another, to a file in
    `$XDG_CACHE_HOME/tablesense/huggingface/<key>/` (or below `~/.cache`), with the rows in `rows.jsonl`;
    later ones read that alone. A reading that was interrupted goes on where it was. The key is of the names,
    sizes and times of the data set's files, so that changed data are extracted anew. Deleting the folder
    frees its space, which is that of the images. An image that is stored as a path is used where it is,
    which must be in the data set's folder.

    Sources: https://huggingface.co/docs/datasets/object_detection; `datasets.Features`, `load_from_disk`.

    Raises:
        UserError: The library is missing, there are no such rows or columns, a row is faulty, an image's path
            is missing or leads out of the folder, boxes are of the other kind, or there is no space.
    """
    return _read(path, corners=False)


def read_huggingface_xyxy(path: Path) -> Pages:
    """As `read_huggingface`, with boxes `[x0, y0, x1, y1]` in pixels."""
    return _read(path, corners=True)


def looks_like_huggingface(path: Path) -> bool:
    """Whether `datasets` wrote this, by the names of files: a few folders are looked at. Never raises."""
    if path.suffix == ".parquet":
        return path.is_file()
    if (path / _DICT).is_file() or _is_saved(path):
        return True
    places = [(path, 0)]
    for place, depth in places:
        try:
            with os.scandir(place) as entries:
                first = list(islice(entries, _GLANCE))
        except OSError:
            continue
        if any(entry.name.endswith(".parquet") for entry in first):
            return True
        if depth < _DEPTH:
            folders = [entry.path for entry in first if entry.is_dir() and not entry.name.startswith(".")]
            places += [(Path(folder), depth + 1) for folder in folders[: _PLACES - len(places)]]
    return False


def _read(path: Path, corners: bool) -> Pages:
    if not path.exists():
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or one .parquet")
    root = path.parent if path.is_file() else path
    place = _extracted(path, root)
    key = "file" if _one_name(place) else "name"
    rule = naming(row.get("path") or row[key] for row in _rows(place) if "name" in row)
    pages = Pages()
    for fault, count in json.loads((place / _DONE).read_text(encoding="utf-8"))["left out"].items():
        pages.dropped.note("rows of a split that is none of train, val and test", fault)
        pages.dropped["rows of a split that is none of train, val and test"] += count - 1
    boxes = impossible = possible_otherwise = 0
    for row in _rows(place):
        if "fault" in row:
            pages.dropped.note(row["fault"], row["where"])
            continue
        width, height = size = tuple(row["size"])
        as_read: list[Box] = []
        for numbers in row["boxes"]:
            ways = _corners(numbers), tuple(numbers)
            as_read.append(ways[corners])
            boxes += 1
            impossible += not _possible(ways[corners], width, height)
            possible_otherwise += _possible(ways[not corners], width, height)
        file = root / row["path"] if "path" in row else place / row["file"]
        document = row.get("document") or rule(row.get("path") or row[key])
        kept = keep_valid(as_read, row["labels"], size, pages.dropped, file)
        pages.add(row["split"], Page(file, document, size, *kept))
    if impossible >= max(1, _SEVERAL * boxes) and possible_otherwise == boxes:
        found, other, key = "[x, y, width, height]", "[x0, y0, x1, y1]", "huggingface_xyxy"
        if corners:
            found, other, key = other, found, "huggingface"
        raise UserError(
            f"{path}: {impossible} of {boxes} boxes are impossible as {found}, and all fit as {other}: "
            f"read it as the format {key}"
        )
    return pages


def _one_name(place: Path) -> bool:
    """Whether several images are all of one name, such as "image.png", which then tells no document."""
    names = (row["name"] for row in _rows(place) if "file" in row)
    first, second = next(names, None), next(names, None)
    return second is not None and first == second and all(name == first for name in names)


def _corners(numbers: Iterable[float]) -> Box:
    x, y, width, height = numbers
    return x, y, x + width, y + height


def _possible(box: Box, width: float, height: float) -> bool:
    """Whether a box has an area and lies on its page."""
    x0, y0, x1, y1 = box
    return -_BEYOND <= x0 < x1 <= width + _BEYOND and -_BEYOND <= y0 < y1 <= height + _BEYOND


# -- extraction ------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """Rows that lie together: of a split, or of one file of it.

    Attributes:
        split: "train", "val", "test" or None.
        place: The file or folder, for messages.
        rows: How many there are.
        features: The columns, as `datasets` describes them.
        read: Yields the rows in batches of Arrow, given the columns that are wanted and the first row.
    """

    split: str | None
    place: Path
    rows: int
    features: Any
    read: Callable[[list[str], int], Iterator[Any]]


def _extracted(path: Path, root: Path) -> Path:
    """The folder of the images and rows of a data set, complete."""
    files = _parquets(path) if path.is_file() or not _saved(path) else _saved_files(path)
    if not files:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(root)}")
    traces = [(os.path.relpath(file, root), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    key = sha256(json.dumps([VERSION, *traces]).encode(errors="surrogatepass")).hexdigest()[:16]
    home = cache_folder() / "huggingface"
    place = home / key
    if (place / _DONE).is_file():
        return place
    try:
        import datasets  # 0.8 s, and the library is optional
        from filelock import FileLock
    except ImportError:
        raise UserError(
            f"{path} needs the library datasets to be read: pip install 'tablesense[huggingface]'"
        ) from None
    try:
        parts = _saved_parts(path) if _saved(path) else _parquet_parts(files, root)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} cannot be read by datasets {datasets.__version__}: {_line(error)}"
        ) from error
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):  # another process may be at it: then wait for what it extracts
            if not (place / _DONE).is_file():
                _extract(path, root, parts, place)
    except OSError as error:
        raise UserError(
            f"the images of {path} cannot be written to {place}: {error.strerror or error}: make room, or "
            "set XDG_CACHE_HOME to another place"
        ) from error
    return place


def _extract(path: Path, root: Path, parts: list[_Part], place: Path) -> None:
    left_out: dict[str, int] = {}
    if any(part.split for part in parts):
        left_out = {str(part.place): part.rows for part in parts if not part.split}
    parts = [part for part in parts if part.split or not left_out]
    columns = [_columns(part) for part in parts]
    total = sum(part.rows for part in parts)
    print(f"Extracting {total:,} images of {path} to {place}, once.", file=sys.stderr)
    place.mkdir(exist_ok=True)
    done = _whole_lines(place / _ROWS)
    with (place / _ROWS).open("a", encoding="utf-8") as out:
        number = 0
        for part, chosen in zip(parts, columns, strict=True):
            first = max(0, min(part.rows, done - number))
            number += first
            for i, row in enumerate(_read_rows(part, chosen, first), start=first):
                record = _record(row, chosen, f"{part.place}, row {i}", number, root, place)
                out.write(json.dumps({"split": part.split or "all", **record}) + "\n")
                progress["images extracted"] += 1
                number += 1
    (place / _DONE).write_text(json.dumps({"left out": left_out}), encoding="utf-8")


def _whole_lines(file: Path) -> int:
    """How many lines an interrupted extraction wrote; one that was cut short is taken off."""
    if not file.exists():
        return 0
    lines = end = 0
    with file.open("rb+") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            lines += 1
            end += len(line)
        stream.truncate(end)
    return lines


def _rows(place: Path) -> Iterator[Row]:
    try:
        with (place / _ROWS).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, ValueError) as error:
        raise UserError(f"{place / _ROWS} cannot be read: {error}: delete {place} and start again") from error


def _read_rows(part: _Part, columns: _Columns, first: int) -> Iterator[Row]:
    if first >= part.rows:
        return
    try:
        for batch in part.read(columns.names(), first):
            yield from batch.to_pylist()
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise UserError(f"{part.place} cannot be read: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


# -- one row ---------------------------------------------------------------------------------------


class _Columns(NamedTuple):
    """What the columns, or the keys within `objects`, are called; None for one that is not there."""

    image: str
    objects: str | None
    boxes: str
    labels: str
    classes: list[str] | None
    sizes: bool
    document: str | None

    def names(self) -> list[str]:
        content = [self.objects] if self.objects else [self.boxes, self.labels]
        others = ["width", "height"] if self.sizes else []
        return [self.image, *content, *others, *([self.document] if self.document else [])]


def _columns(part: _Part) -> _Columns:
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
    return _Columns(
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


def _record(row: Row, columns: _Columns, where: str, number: int, root: Path, place: Path) -> Row:
    """One row as it is kept: its image in a file, its boxes as they are, its labels as names."""
    boxes, labels = _objects(row, columns, where)
    value = row[columns.image]
    if isinstance(value, dict):
        content, written = value.get("bytes"), value.get("path") or ""
    else:
        content, written = (None, value) if isinstance(value, str) else (value, "")
    record: Row = {"boxes": boxes, "labels": labels}
    if content is None and not written:
        return {"fault": "row without image", "where": where}
    if content is None:
        name = _in_place(written, root, where)
        file, record["path"] = root / name, name
    else:
        try:
            with Image.open(BytesIO(content)) as image:
                suffix = _SUFFIXES.get(image.format or "", f".{image.format}".lower())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return {"fault": "unreadable image", "where": where}
        stem = re.sub(r"[^\w.-]+", "_", os.path.splitext(os.path.basename(written))[0])[-80:]
        name = f"{number // _IN_A_FOLDER:04}/{number:08}{'-' if stem else ''}{stem}{suffix}"
        file, record["file"] = place / name, name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    record["name"] = os.path.basename(written or name)
    width, height = (row["width"], row["height"]) if columns.sizes else (None, None)
    if all(isinstance(side, int | float) and 0 < side < 1e9 for side in (width, height)):
        record["size"] = width, height
    else:
        try:
            record["size"] = image_size(file)
        except (UserError, Image.DecompressionBombError):
            return {"fault": "unreadable image", "where": where}
    if columns.document and row[columns.document] not in (None, ""):
        record["document"] = str(row[columns.document])
    return record


def _in_place(written: str, root: Path, where: str) -> str:
    """The path of an image that is stored as one, relative to the data set's folder."""
    base = os.path.join(os.path.abspath(root), "")
    name = written.removeprefix(base) if os.path.isabs(written) else written
    inside(Path(where), name)
    if not (root / name).is_file():
        raise UserError(f"{where} names the image {root / name}, which is missing")
    return name


def _objects(row: Row, columns: _Columns, where: str) -> tuple[list[list[float]], list[str]]:
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


def _label(kind: object, columns: _Columns, where: str) -> str:
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(kind, int) and kind >= 0:
        if columns.classes is None:
            return f"class_{kind}"
        if kind < len(columns.classes):
            return columns.classes[kind]
    known = ", ".join(columns.classes or ["a name or a number from 0"])
    raise UserError(f"{where}: {columns.labels} is {brief(kind)}: expected one of {known:.300}")


# -- what save_to_disk wrote -----------------------------------------------------------------------


def _is_saved(folder: Path) -> bool:
    return (folder / _STATE).is_file() and (folder / _INFO).is_file()


def _saved(path: Path) -> list[tuple[str | None, Path]]:
    """The folders that `save_to_disk` wrote, with the names of their splits; none where it did not."""
    if not (path / _DICT).is_file():
        return [(None, path)] if _is_saved(path) else []
    names = _json(path / _DICT).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path / _DICT}: expected splits as a list of names; found {brief(names)}")
    for name in names:
        inside(path / _DICT, name)
    return [(name, path / name) for name in names]


def _saved_files(path: Path) -> list[Path]:
    """The files that hold the rows, and those that describe them."""
    files = [path / _DICT] if (path / _DICT).is_file() else []
    for _, folder in _saved(path):
        written = _json(folder / _STATE).get("_data_files")
        try:
            names = [str(each["filename"]) for each in written or []]
        except (TypeError, LookupError):
            raise UserError(
                f"{folder / _STATE}: expected _data_files with filename; found {brief(written)}"
            ) from None
        for name in names:
            inside(folder / _STATE, name)
        files += [folder / _STATE, folder / _INFO, *(folder / name for name in names)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} is missing: {path} is not whole")
    return files


def _saved_parts(path: Path) -> list[_Part]:
    from datasets import load_from_disk

    def part(name: str | None, folder: Path) -> _Part:
        rows = load_from_disk(str(folder), keep_in_memory=False)

        def read(columns: list[str], first: int) -> Iterator[Any]:
            wanted = rows.with_format("arrow").select_columns(columns).select(range(first, len(rows)))
            yield from wanted.iter(_BATCH)

        return _Part(split_of(name or str(rows.split)), folder, len(rows), rows.features, read)

    return [part(name, folder) for name, folder in _saved(path)]


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected an object; found {brief(content)}")
    return content


# -- parquet ---------------------------------------------------------------------------------------


def _parquets(path: Path) -> list[Path]:
    """The parquet files of a data set, all of one configuration."""
    if path.is_file():
        return [path]
    found = list(files_below(path, {".parquet"}))
    configurations = {folder: folder for folder, _ in found}
    for folder in configurations:
        head, tail = os.path.split(folder)
        if split_of(tail):
            configurations[folder] = head
    if len(several := sorted(set(configurations.values()))) > 1:
        raise UserError(
            f"{path} has {len(several)} configurations of parquet files ({', '.join(several[:4]):.200}): "
            "give the path of one"
        )
    return [path / folder / name for folder, names in found for name in names]


def _parquet_parts(files: list[Path], root: Path) -> list[_Part]:
    from datasets import Features
    from pyarrow.parquet import ParquetFile

    def part(file: Path) -> _Part:
        with ParquetFile(file) as parquet:
            groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
            features = Features.from_arrow_schema(parquet.schema_arrow)

        def read(columns: list[str], first: int) -> Iterator[Any]:
            with ParquetFile(file, buffer_size=_BUFFER) as parquet:
                for group, rows in enumerate(groups):
                    if first >= rows:
                        first -= rows
                        continue
                    # One group at a time: what is read of several stays in memory until the last.
                    for batch in parquet.iter_batches(_BATCH, row_groups=[group], columns=columns):
                        if first < batch.num_rows:
                            yield batch.slice(first)
                        first = max(0, first - batch.num_rows)

        within = file.relative_to(root)
        split = split_of((within.parent / _SHARD.sub("", file.stem)).as_posix())
        return _Part(split, file, sum(groups), features, read)

    return [part(file) for file in files]
