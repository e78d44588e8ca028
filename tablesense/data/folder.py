"""What the readers ask of a folder: what it holds, where its images are, how large they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from tablesense.errors import UserError


def contents(folder: Path) -> str:
    """What a folder holds, in a few words for a message: "3 .csv, 1 folder"."""
    with os.scandir(folder) as entries:
        kinds = Counter("folder" if entry.is_dir() else Path(entry.name).suffix.lower() for entry in entries)
    words = [
        f"{count} {'folders' if kind == 'folder' and count > 1 else kind or 'without a suffix'}"
        for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:4]
    ]
    return ", ".join(words) or "nothing"


def locate(names: Sequence[str], folders: Iterable[Path], source: Path) -> dict[str, Path]:
    """Find image files with one listing a folder: a data set has hundreds of thousands.

    Args:
        names: File names, which may lead through subfolders.
        folders: Where to look; the first that has a name wins.
        source: The annotation file that names them, for the message.

    Raises:
        UserError: Some are missing.
    """
    folders = list(dict.fromkeys(folders))
    listings: dict[str, frozenset[str]] = {}

    def exists(file: str) -> bool:
        folder, name = os.path.split(file)
        if folder not in listings:
            try:
                with os.scandir(folder) as entries:
                    listings[folder] = frozenset(entry.name for entry in entries)
            except OSError:
                listings[folder] = frozenset()
        return name in listings[folder]

    found: dict[str, Path] = {}
    missing: list[str] = []
    for name in dict.fromkeys(names):
        candidates = (os.path.join(folder, name) for folder in folders)
        file = next(filter(exists, candidates), None)
        if file is None:
            missing.append(name)
        else:
            found[name] = Path(file)
    if missing:
        first = next(filter(Path.is_dir, folders), folders[0]) / missing[0]
        total = len(found) + len(missing)
        raise UserError(
            f"{len(missing)} of {total} images named in {source} are missing; the first is {first}"
        )
    return found


def image_size(path: Path) -> tuple[int, int]:
    """Width and height from the header of an image.

    Raises:
        UserError: The file is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from error
