"""Which document a page belongs to, told by the names of the images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from tablesense.data.splits import split_of

_PAGE_NUMBER = re.compile(r"(?<=.)[_-](?:page[_-]?)?\d+$", re.IGNORECASE)
_COPY = re.compile(r"_[A-Za-z]+\.rf\.[0-9A-Za-z]+$")


def naming(names: Iterable[str]) -> Callable[[str], str]:
    """The rule that tells the document of each image, as a function from a name to its document.

    It is the stem of the file name, less a page number at its end: `_<digits>`, `-<digits>` or the same
    with "page" before the digits ("PMC123_00004.jpg" and "PMC123_page5.jpg" are both of "PMC123"). The copies
    that Roboflow makes of one image, "a_png.rf.<hash>.jpg", are of one document.

    Where that would put all images in one document ("img_0001", "img_0002"), the number tells images apart,
    not pages of a document, and each image is its own. But where one such name occurs in several folders
    ("a/page_1", "b/page_1"), the folders are the documents; those of splits ("train/page_1") are none.

    It reads no further than to the second document, so a million names cost no list of documents.

    Args:
        names: File names, with or without the folders that they lie in, relative to the data set's; the
            rule is for these and asks for the same folders.
    """
    rest = iter(names)
    first = next(rest, "")
    document = _unnumbered(first)
    places = {(_folder(first), _stem(first))}
    alone = True
    for name in rest:
        alone = False
        if _unnumbered(name) != document:
            return _unnumbered
        places.add((_folder(name), _stem(name)))
    if alone:
        return _unnumbered
    return _stem if len({stem for _, stem in places}) == len(places) else _in_folder


def _stem(name: str) -> str:
    return _COPY.sub("", os.path.splitext(os.path.basename(name))[0])


def _unnumbered(name: str) -> str:
    return _PAGE_NUMBER.sub("", _stem(name))


def _in_folder(name: str) -> str:
    return os.path.join(_folder(name), _unnumbered(name))


def _folder(name: str) -> str:
    """Where a file lies, less the folders of splits."""
    return _document_folder(os.path.dirname(name))


@lru_cache(1024)
def _document_folder(folder: str) -> str:
    parts = folder.replace(os.sep, "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".") and not split_of(part))
