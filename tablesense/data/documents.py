"""Which document a page belongs to, told by the names of the images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence

_PAGE_NUMBER = re.compile(r"(?<=.)[_-](?:page[_-]?)?\d+$", re.IGNORECASE)
_COPY = re.compile(r"_[A-Za-z]+\.rf\.[0-9A-Za-z]+$")


def documents(names: Sequence[str], own: Iterable[object] | None = None) -> list[str]:
    """The document of each image.

    It is the stem of the file name, less a page number at its end: `_<digits>`, `-<digits>` or the same
    with "page" before the digits ("PMC123_00004.jpg" and "PMC123_page5.jpg" are both of "PMC123"). Where
    that would put all images in one document ("img_0001", "img_0002"), the number tells images apart, not
    pages of a document, and each image is its own. The copies that Roboflow makes of one image,
    "a_png.rf.<hash>.jpg", are of one document.

    Args:
        names: File names, with or without folders.
        own: What the annotations themselves name as each image's document; None or "" where they do not.
    """
    rule = naming(names)
    if own is None:
        return [rule(name) for name in names]
    return [str(given or rule(name)) for name, given in zip(names, own, strict=True)]


def naming(names: Iterable[str]) -> Callable[[str], str]:
    """The rule of `documents` for these file names, as a function from a name to its document.

    It reads no further than to the second document, so a million names cost no list of documents.
    """
    rest = iter(names)
    first = _unnumbered(next(rest, ""))
    alone = True
    for name in rest:
        alone = False
        if _unnumbered(name) != first:
            return _unnumbered
    return _unnumbered if alone else _stem


def _stem(name: str) -> str:
    return _COPY.sub("", os.path.splitext(os.path.basename(name))[0])


def _unnumbered(name: str) -> str:
    return _PAGE_NUMBER.sub("", _stem(name))
