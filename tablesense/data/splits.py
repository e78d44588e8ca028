"""Which split a folder stands for, told by its name."""

from __future__ import annotations

import re

SPELLINGS = {"train": ("train",), "val": ("valid", "validation", "val", "dev"), "test": ("test",)}

SPLIT_OF = {spelling: split for split, spellings in SPELLINGS.items() for spelling in spellings}
_CONTENT = "images?|imgs?|jpe?gs?|annotations?|xmls?|labels?|data|ground[_-]?truth|gt|part"
_SPLIT_NAME = re.compile(
    rf"(?:.*[_\-. ])?(?P<word>{'|'.join(SPLIT_OF)})(?:ing|[_-]?set)?\d*(?:[_\-. ]?(?:{_CONTENT})\d*)*",
    re.IGNORECASE,
)


def split_of(folder: str) -> str | None:
    """The split that a path's folders name, the deepest first: "train", "val" or "test", else None.

    A folder names a split where its name is, or ends in, the word: "train", "training", "val2017",
    "TestSet", "Annotations_Test". What it holds may follow: "train_images", "test_ground_truth",
    "Images_Train_Part1". "test_report" names none: it may be a document.

    Args:
        folder: A path with "/" between folders, relative to the data set's own folder.
    """
    for name in reversed(folder.split("/")):
        if match := _SPLIT_NAME.fullmatch(name):
            return SPLIT_OF[match["word"].lower()]
    return None
