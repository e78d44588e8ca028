"""Finding tables on whatever a notebook holds: paths, pictures, arrays, bytes, and lists of them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.decode import as_grey_or_rgb
from tablesense.errors import UserError
from tablesense.predict.detecting import detect
from tablesense.predict.eager import TorchNetwork
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document, Failure, find_documents, read_pages

if TYPE_CHECKING:
    from tablesense.detector import Detector

Source = str | Path | bytes | Image.Image | NDArray[Any] | Sequence[Any]

EXPECTED = "a path, a pattern, bytes of a file, a PIL image, an array of uint8, or a list of these"


def detect_any(
    module: Detector,
    source: Source,
    threshold: float | None = None,
    batch_size: int = 4,
    tile: float | None = None,
) -> list[FoundPage]:
    """Find the tables of pages.

    The module stays on its device and in its mode.

    Args:
        module: A trained network.
        source: Paths of images, PDFs and folders, patterns, the bytes of such files, PIL images, arrays
            (uint8, [height, width] or [height, width, 3 or 4], RGB), or a list of these. Pictures are taken
            as they are, whatever their EXIF data say.
        threshold: The lowest score that counts as a find; None for the module's own.
        batch_size: How many pages, or tiles of them, the network is given at once.
        tile: Pages that are longer than this many pixels, or points of a PDF, are looked at in tiles of that
            length as well: for huge pages, whose tables the network would see too small.

    Returns:
        Each page with what was found on it, in the order of the source. A page that cannot be read is
        left out with a warning.

    Raises:
        UserError: The source is of another kind, there is nothing under a path, no page can be read, or a
            number is out of its range.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"detect: expected a threshold from 0 to 1, found {threshold}")
    if batch_size < 1:
        raise UserError(f"detect: expected a batch_size of 1 or more, found {batch_size}")
    if tile is not None and not 1 <= tile < inf:
        raise UserError(f"detect: expected a tile of 1 pixel or point or more, found {tile}")
    shelf = _Shelf()
    documents = shelf.documents(source)
    with _evaluating(module):
        results = list(detect(TorchNetwork(module), read_pages(documents), batch_size, threshold, tile))
    failures = [str(result) for result in results if isinstance(result, Failure)]
    found = [result for result in results if isinstance(result, FoundPage)]
    if failures and not found:
        raise UserError(f"not one page can be read: {failures[0]}")
    for failure in failures:
        warnings.warn(f"left out: {failure}", stacklevel=3)
    return [replace(page, kept=shelf) if page.path.parent == shelf.folder else page for page in found]


@contextmanager
def _evaluating(module: Detector) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


class _Shelf:
    """A folder for what is in memory alone, so that it is read like any file; it goes when its pages go."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._count = 0

    def documents(self, source: Source) -> list[Document]:
        """The documents of a source, in its order; what is in memory is written down."""
        if isinstance(source, str | Path):
            return find_documents([source])
        if isinstance(source, bytes | bytearray):
            return [self._keep_bytes(bytes(source))]
        if isinstance(source, Image.Image):
            return [self._keep_image(source)]
        if isinstance(source, np.ndarray):
            return [self._keep_image(_from_array(source))]
        if isinstance(source, Sequence):
            parts: Sequence[Any] = source
            return [document for each in parts for document in self.documents(each)]
        raise UserError(f"detect: expected {EXPECTED}; found {type(source).__name__}")

    def _keep_bytes(self, content: bytes) -> Document:
        place = self._place(".pdf" if b"%PDF-" in content[:1024] else ".image")
        place.write_bytes(content)
        return Document(place, place.stem)

    def _keep_image(self, image: Image.Image) -> Document:
        place = self._place(".png")
        try:
            plain = as_grey_or_rgb(image, dict(getattr(image, "tag_v2", {}))).copy()
        except (OSError, ValueError) as error:
            raise UserError(f"detect: a PIL image of mode {image.mode} cannot be read: {error}") from error
        plain.info = {}  # an orientation would be applied
        plain.save(place, compress_level=1)
        return Document(place, place.stem)

    def _place(self, suffix: str) -> Path:
        if self.folder is None:
            self.folder = Path(mkdtemp(prefix="tablesense_"))
            weakref.finalize(self, rmtree, self.folder, ignore_errors=True)
        self._count += 1
        return self.folder / f"page_{self._count}{suffix}"


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    grey, colours = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (grey or colours) or not array.size:
        raise UserError(
            "detect: expected an array of uint8 [height, width] or [height, width, 3 or 4], found "
            f"{array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array)
