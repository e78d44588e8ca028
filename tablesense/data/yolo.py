"""YOLO label files: what Ultralytics trains on, what Roboflow, CVAT and Label Studio export."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from math import isfinite, nan
from pathlib import Path
from reprlib import repr as brief
from typing import Any, NamedTuple

from tablesense.data.documents import naming
from tablesense.data.folder import IMAGE_SUFFIXES, contents, image_size, inside, locate_folders
from tablesense.data.images import files_below
from tablesense.data.page import Box, Page, keep_valid
from tablesense.data.splits import split_of
from tablesense.data.table import Faults, Pages
from tablesense.errors import UserError

EXPECTED = "YOLO data.yaml, or labels/ of .txt beside images/"

_KEYS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_USUAL_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
_NAMES_A_SPLIT = re.compile(rf"^['\"]?({'|'.join(_KEYS)})['\"]?[ \t]*:", re.MULTILINE)
_NAMES_CLASSES = re.compile(r"^['\"]?(names|nc)['\"]?[ \t]*:", re.MULTILINE)
_CLASSES = "classes.txt"
_LEAST, _MOST = -1, 2  # a relative coordinate beyond these is none
_GLANCE = 1000  # entries of a folder that recognition looks at


class _Folder(NamedTuple):
    """Images of one folder, which is relative to the data set's; `whole` where no list chose them."""

    place: str
    names: list[str]
    whole: bool


class _DataSet(NamedTuple):
    """Where the images of each split are; `names` is None where classes have none."""

    root: Path
    names: Mapping[int, str] | None
    splits: dict[str, list[_Folder]]


def read_yolo(path: Path) -> Pages:
    """Read a folder of YOLO labels and images, or its `data.yaml`.

    `data.yaml` (or the one other `.yaml` that names splits and classes) has `train`, `val` and `test`,
    each a folder (searched with all below it), a `.txt` list of images, or a list of those, and `names` as a
    list or a dict, or only `nc`: classes are then `class_0`, `class_1`, ... as Ultralytics calls them. A
    place is relative to `path`, and that to the file's own folder. Where there is no such place, a `../`
    at its start is left out, as Ultralytics does with what Roboflow writes. A `path` that is not
    here, such as an absolute one of another machine, stands for the file's own folder. The lines of a
    list are relative to the list's folder, else to `path`. An absolute place or line counts if it lies below
    the data set's folder, or below the `path` of the other machine. All else that leads out of the folder is
    refused. A `test` that is not there is counted, as exports name one that they do not have.

    Without a `data.yaml`, images lie in `images/` beside `labels/`, the split told by the folders in it (see
    `splits.split_of`), or in `train/images/` beside `train/labels/`; `classes.txt` names the classes, a
    line each, else they are `class_0`, ...

    The label file of an image is `.txt` with its stem, in the folder that has `labels` for the last
    `images` of the image's own, else beside the image. An image without one, or with an empty one, is a
    page without tables; but a split that has not one label file was not annotated: its images are left out
    and counted, as are label files without image.

    A row is `class x y w h`, the centre and size as fractions of the image's, or `class x1 y1 x2 y2 x3 y3
    ...`, a polygon (three points or more) whose smallest upright box is taken; each row by itself, where
    Ultralytics takes all rows of a file for polygons when one is. Six numbers are refused: the sixth is a
    confidence, so the row is a prediction and no truth. So are rows that are not numbers, classes that have
    no name, coordinates below -1 or above 2 (pixels, most likely), and `kpt_shape` (poses). Boxes that
    leave their page by less are clipped or left out, and counted, as in the other readers.

    A page's size is read from its image's header, the one thing that needs each image file; memory is for
    the names of the files and the pages' columns. The document is told by the name (see `documents.naming`)
    and the copies that Roboflow makes of one image, `a_png.rf.<hash>.jpg`, are of one document.

    Source: https://docs.ultralytics.com/datasets/detect; `check_det_dataset`, `img2label_paths` and
    `verify_image_label` of `ultralytics.data.utils`.

    Raises:
        UserError: There is no such data set, it names images that are missing or lead out of its folder,
            or a label file is faulty; or not one image has a label file.
    """
    pages = Pages()
    data = _data_set(path, pages.dropped)
    folders = list(chain.from_iterable(data.splits.values()))
    if not folders:
        raise UserError(f"no images in {path}: expected {EXPECTED}; found {contents(data.root)}")
    rule = naming(os.path.join(folder.place, name) for folder in folders for name in folder.names)
    labelled = False
    for split, of_split in data.splits.items():
        if not any(True for _ in _label_files(data.root, of_split)):
            for folder in of_split:
                for name in folder.names:
                    pages.dropped.note(
                        "image of a split without label files", data.root / folder.place / name
                    )
            continue
        labelled = True
        for folder in of_split:
            for name in folder.names:
                image = data.root / folder.place / name
                size = image_size(image)
                boxes: list[Box] = []
                labels: list[str] = []
                for where, box, label in _rows(data.root, folder.place, name, data.names):
                    scaled = box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]
                    kept = keep_valid([scaled], [label], size, pages.dropped, where)
                    boxes += kept[0]
                    labels += kept[1]
                document = rule(os.path.join(folder.place, name))
                pages.add(split, Page(image, document, size, tuple(boxes), tuple(labels)))
    if not labelled:
        looked_for = data.root / _label_places(folders[0].place)[0] / f"{_stem(folders[0].names[0])}.txt"
        raise UserError(f"no label file for any image of {path}: the first that lacks is {looked_for}")
    _note_orphans(data.root, folders, pages.dropped)
    return pages


def looks_like_yolo(path: Path) -> bool:
    """Whether this is a YOLO data set or its `data.yaml`, by the first entries of folders. Never raises.

    It is one with a `.yaml` whose top has a split and `names` or `nc`, or with `labels/` beside `images/`,
    at once or in folders of splits, where a `.txt` is empty or starts with a row of numbers.
    """
    try:
        if path.is_file():
            return path.suffix.lower() in (".yaml", ".yml") and _describes(path)
        return bool(_descriptions(path)) or any(
            _has_rows(path / _label_places(images)[0]) for images in _image_folders(path)
        )
    except (OSError, ValueError, UserError):
        return False


# -- the data set ----------------------------------------------------------------------------------


def _data_set(path: Path, dropped: Faults) -> _DataSet:
    if path.is_file():
        return _described(path, dropped)
    if not path.is_dir():
        raise UserError(f"{path} does not exist: expected a folder with {EXPECTED}, or its data.yaml")
    described = _descriptions(path)
    usual = [path / name for name in _USUAL_NAMES if path / name in described]
    if len(described) > 1 and not usual:
        names = ", ".join(file.name for file in described[:3])
        raise UserError(
            f"{len(described)} descriptions of a data set in {path} ({names}): give the path of one"
        )
    if described:
        return _described((usual or described)[0], dropped)
    places = _image_folders(path)
    if not places:
        raise UserError(f"no annotations in {path}: expected {EXPECTED}; found {contents(path)}")
    return _undescribed(path, places, dropped)


def _described(file: Path, dropped: Faults) -> _DataSet:
    """What a `data.yaml` says."""
    content = _yaml(file)
    places = {_KEYS[key]: content[key] for key in _KEYS if content.get(key)}
    if not places:
        keys = ", ".join(map(str, islice(content, 6))) or "none"
        raise UserError(
            f"{file} describes no YOLO data set: expected train, val and names; its keys are {keys}"
        )
    if "kpt_shape" in content:
        raise UserError(f"{file} has kpt_shape, so its labels are poses: expected boxes or polygons")
    names = _names(content, file)
    root, bases = _root(file, content.get("path"))
    splits: dict[str, list[_Folder]] = {}
    for split, written in places.items():
        folders: list[_Folder] = []
        for each in written if isinstance(written, list) else [written]:
            if not isinstance(each, str):
                raise UserError(f"{file}: {split} is {brief(each)}: expected a folder or a .txt of images")
            place = root / _inner(each, root, bases, file)
            if place.is_dir():
                within = place.relative_to(root)
                folders += (
                    _Folder(os.path.normpath(within / folder), images, True)
                    for folder, images in files_below(place, IMAGE_SUFFIXES)
                )
            elif place.is_file():
                folders += _listed(place, root, bases, dropped)
            elif split == "test":
                dropped.note("test split that is not there", f"{file}: {each}")
            else:
                raise UserError(f"{file} names {each!r} for {split}, which is not there: looked for {place}")
        if folders:
            splits[split] = folders
    return _DataSet(root, names, splits)


def _yaml(file: Path) -> dict[Any, Any]:
    import yaml  # 15 ms that only a description needs

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{file} describes no YOLO data set: expected train, val and names; found {brief(content)}"
        )
    return content


def _names(content: Mapping[Any, Any], file: Path) -> dict[int, str]:
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int):
        return {i: f"class_{i}" for i in range(count)}
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    found: dict[int, str] = {}
    for key, name in pairs:
        if not str(key).isdecimal() or not isinstance(name, str | int | float):
            raise UserError(f"{file}: names has {brief(key)}: {brief(name)}: expected a number and its name")
        found[int(key)] = str(name)
    if not found:
        raise UserError(
            f"{file}: names is {brief(names)}: expected a list of class names, or 0: table and so on"
        )
    if isinstance(count, int) and count != len(found):
        raise UserError(f"{file}: nc is {count}, but names has {len(found)} classes: make them agree")
    return found


def _root(file: Path, written: object) -> tuple[Path, list[str]]:
    """The folder that places are relative to, and what absolute ones below it start with, "/" at the end."""
    home = file.parent
    if not isinstance(written, str | None) or "\0" in (written or ""):
        raise UserError(f"{file}: path is {brief(written)}: expected a folder")
    root = Path(os.path.normpath(home / (written or "")))
    bases = []
    if not root.is_dir():
        bases, root = [str(root)], home
    elif not _below(root, home) and not _below(root.resolve(), home.resolve()):
        raise UserError(
            f"{file}: path {written!r} leads out of the folder that the file lies in: put the file there"
        )
    bases += [os.path.abspath(root), os.path.realpath(root)]
    return root, [os.path.join(base, "") for base in bases]


def _below(path: Path, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _inner(written: str, root: Path, bases: list[str], file: Path) -> str:
    """A place of `file` as a path below `root`."""
    if written.startswith("../") and "\0" not in written and not (root / written).exists():
        written = written.removeprefix("../")
    name = os.path.normpath(_relative(written, bases))
    inside(file, name)
    return name


def _relative(name: str, bases: list[str]) -> str:
    """An absolute path below the data set's folder, here or on another machine, as a relative one."""
    base = next((base for base in bases if name.startswith(base)), "")
    return name.removeprefix(base)


def _listed(file: Path, root: Path, bases: list[str], dropped: Faults) -> Iterator[_Folder]:
    """The images that a list names, in its order."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of images: {error}") from error
    names = [_relative(name, bases) for line in lines if (name := line.strip())]
    homes = locate_folders(names, (file.parent, root), file)
    seen: set[str] = set()
    for home, group in groupby(zip(homes, names, strict=True), key=lambda each: each[0]):
        own = []
        for _, name in group:
            image = os.path.join(home, os.path.basename(name))
            if image in seen:
                dropped.note("image that a list names again", f"{file}: {name}")
            else:
                seen.add(image)
                own.append(os.path.basename(name))
        if own:
            yield _Folder(os.path.relpath(home, root), own, False)


def _undescribed(path: Path, places: list[str], dropped: Faults) -> _DataSet:
    """A data set that only its folders describe."""
    splits: dict[str, list[_Folder]] = {}
    for place in places:
        for folder, names in files_below(path / place, IMAGE_SUFFIXES):
            full = os.path.normpath(os.path.join(place, folder))
            splits.setdefault(split_of(Path(full).as_posix()) or "all", []).append(_Folder(full, names, True))
    if len(splits) > 1:
        for stray in splits.pop("all", []):
            for name in stray.names:
                dropped.note("image outside the folders of train, val and test", path / stray.place / name)
    homes = [path, *(path / _label_places(place)[0] for place in places)]
    file = next((home / _CLASSES for home in homes if (home / _CLASSES).is_file()), None)
    if file is None:
        return _DataSet(path, None, splits)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as a list of class names: {error}") from error
    # An empty line is a class that no row has: those below it keep their numbers.
    classes = {i: name for i, line in enumerate(lines) if (name := line.strip())}
    return _DataSet(path, classes, splits)


def _descriptions(folder: Path) -> list[Path]:
    """The files of a folder that describe a YOLO data set."""
    files = sorted(file for kind in ("yaml", "yml") for file in folder.glob(f"*.{kind}"))
    return [file for file in files if _describes(file)]


def _describes(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(2**18)
    except OSError:
        return False
    return bool(_NAMES_A_SPLIT.search(head) and _NAMES_CLASSES.search(head))


def _image_folders(path: Path) -> list[str]:
    """`images`, or those of splits such as `train/images`, that have `labels` beside them."""
    if (path / "images").is_dir() and (path / "labels").is_dir():
        return ["images"]
    with os.scandir(path) as entries:
        splits = sorted(entry.name for entry in islice(entries, _GLANCE) if split_of(entry.name))
    return [
        f"{split}/images"
        for split in splits
        if all((path / split / each).is_dir() for each in ("images", "labels"))
    ]


def _has_rows(labels: Path) -> bool:
    """Whether the first label file at or just below a folder starts with a row of numbers, or is empty."""
    folders = [labels]
    for folder in folders:
        with os.scandir(folder) as entries:
            first = list(islice(entries, _GLANCE))
        for entry in first:
            if entry.name.endswith(".txt") and entry.name != _CLASSES:
                with open(entry.path, encoding="utf-8-sig") as rows:
                    cells = rows.readline(10_000).split()
                return not cells or (len(cells) >= 5 and all(map(isfinite, map(float, cells))))
        if folder == labels:
            folders += [Path(entry.path) for entry in first if entry.is_dir()][:8]
    return False


# -- labels ----------------------------------------------------------------------------------------


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _label_places(place: str) -> list[str]:
    """Where the label files of a folder of images may lie, relative to the data set as it is."""
    parts = list(Path(place).parts)
    if "images" not in parts:
        return [place]
    last = len(parts) - 1 - parts[::-1].index("images")
    return [os.sep.join([*parts[:last], "labels", *parts[last + 1 :]]), place]


def _label_files(root: Path, folders: Iterable[_Folder]) -> Iterator[str]:
    for folder in folders:
        for place in _label_places(folder.place):
            home = os.path.join(root, place)
            if os.path.isdir(home):
                for name in folder.names:
                    file = os.path.join(home, f"{_stem(name)}.txt")
                    if os.path.isfile(file):
                        yield file


def _rows(
    root: Path, place: str, name: str, names: Mapping[int, str] | None
) -> Iterator[tuple[str, Box, str]]:
    """Each row of an image's label file: where it stands, its box as fractions, its class name."""
    for folder in _label_places(place):
        file = os.path.join(root, folder, f"{_stem(name)}.txt")
        try:
            with open(file, encoding="utf-8-sig") as lines:
                for i, line in enumerate(lines, start=1):
                    if cells := line.split():
                        where = f"{file}, line {i}"
                        yield where, *_row(cells, names, where)
            return
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file} cannot be read as YOLO labels: {error}") from error


def _row(cells: list[str], names: Mapping[int, str] | None, where: str) -> tuple[Box, str]:
    try:
        kind, *numbers = map(float, cells)
    except ValueError:
        raise UserError(f"{where}: expected numbers, class x y w h; found {brief(' '.join(cells))}") from None
    if len(numbers) == 5:
        raise UserError(
            f"{where} has a sixth number, a confidence, so it is a prediction: expected the truth"
        )
    if len(numbers) < 4 or len(numbers) % 2:
        raise UserError(
            f"{where}: expected class x y w h, or class x1 y1 x2 y2 x3 y3 ...; found {len(cells)} numbers"
        )
    if not kind.is_integer() or kind < 0 or (names is not None and int(kind) not in names):
        known = (
            "a number from 0" if names is None else ", ".join(f"{i} ({name})" for i, name in names.items())
        )
        raise UserError(f"{where}: class is {cells[0]}: expected one of {known:.300}")
    far = next((n for n in numbers if isfinite(n) and not _LEAST <= n <= _MOST), None)
    if far is not None:
        raise UserError(
            f"{where} has {far:g}: expected fractions of the image's width and height, from 0 to 1"
        )
    label = f"class_{int(kind)}" if names is None else names[int(kind)]
    if len(numbers) == 4:
        x, y, width, height = numbers
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), label
    if not all(map(isfinite, numbers)):
        return (nan, nan, nan, nan), label  # smallest and largest would depend on the order
    across, down = numbers[::2], numbers[1::2]
    return (min(across), min(down), max(across), max(down)), label


def _note_orphans(root: Path, folders: Iterable[_Folder], dropped: Faults) -> None:
    """Count the label files, in folders of their own, that belong to no image."""
    seen: set[str] = set()
    for folder in folders:
        labels, *beside = _label_places(folder.place)
        if not beside or not folder.whole or labels in seen:
            continue
        seen.add(labels)
        stems = set(map(_stem, folder.names)) | {_stem(_CLASSES)}
        try:
            with os.scandir(root / labels) as entries:
                found = {_stem(entry.name) for entry in entries if entry.name.endswith(".txt")}
        except OSError:
            continue
        for stem in sorted(found - stems):
            dropped.note("label file without image", root / labels / f"{stem}.txt")
