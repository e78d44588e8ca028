"""What the readers ask of a folder: what it holds, where its images are, how large they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tablesense.data.decode import displayed_size
from tablesense.errors import UserError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
"""In lower case."""


def contents(folder: Path) -> str:
    """What a folder holds, in a few words for a message: "3 .csv, 1 folder"."""
    with os.scandir(folder) as entries:
        kinds = Counter("folder" if entry.is_dir() else Path(entry.name).suffix.lower() for entry in entries)
    words = [
        f"{count} {'folders' if kind == 'folder' and count > 1 else kind or 'without a suffix'}"
        for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:4]
    ]
    return ", ".join(words) or "nothing"


def inside(root: Path, name: str) -> None:
    """Refuse a file name that leads out of the data set, or cannot be a name at all.

    Only the text is looked at: a link that lies in the data set may lead anywhere. A path from the
    root of the disk is refused wherever it leads, as it would name another file on another machine.

    Args:
        root: The data set's folder, or the file that holds the name, for the message.
        name: As an annotation has it, relative to a folder of the data set.

    Raises:
        UserError: It leads out.
    """
    outside = name.startswith("/") or os.path.isabs(name) or "\0" in name
    if outside or (".." in name and os.path.normpath(name).split(os.sep, 1)[0] == ".."):
        raise UserError(
            f"{root} names a file {name!r}, which leads out of the data set: expected a path relative to "
            "its folder, without .."
        )


def locate_folders(names: Sequence[str], folders: Iterable[Path], source: Path) -> list[str]:
    """The folder that each image file lies in, with one listing a folder: there may be a million files.

    Args:
        names: File names, which may lead through subfolders.
        folders: Where to look; the first that has a name wins.
        source: The annotation file that names them, for the message.

    Raises:
        UserError: Some are missing, or lead out of the data set.
    """
    folders = list(dict.fromkeys(folders))
    there = [folder for folder in folders if folder.is_dir()]
    listings: dict[str, list[tuple[str, frozenset[str]]]] = {}

    def listed(head: str) -> list[tuple[str, frozenset[str]]]:
        """The folders that a name's own folders may lead to, and what they hold."""
        found = []
        for folder in there:
            home = str(folder / head)
            try:
                with os.scandir(home) as entries:
                    found.append((home, frozenset(entry.name for entry in entries)))
            except OSError:
                continue
        return found

    homes: list[str] = []
    missing: dict[str, None] = {}
    for name in names:
        inside(source, name)
        head, tail = os.path.split(name)
        if head not in listings:
            if len(listings) > 10_000:  # a folder for each page: names come folder by folder, or nearly
                listings.clear()
            listings[head] = listed(head)
        for home, files in listings[head]:
            if tail in files:
                homes.append(home)
                break
        else:
            missing[name] = None
    if missing:
        first = (there or folders)[0] / next(iter(missing))
        raise UserError(
            f"{len(missing)} of {len(set(names))} images named in {source} are missing; the first is {first}"
        )
    return homes


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as displayed, from its header.

    Raises:
        UserError: The file is not an image, or too large to be one of a page.
    """
    try:
        return displayed_size(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from error
