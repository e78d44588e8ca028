"""From a stream of pages to the tables on them: pages are decoded while the network works on others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tablesense.data.augment.geometry import fit
from tablesense.data.page import Page
from tablesense.data.processes import cores
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Failure
from tablesense.predict.network import Finds, Network
from tablesense.predict.pdf import PDFIUM, PdfFrame, forget, is_pdf, read_frame


class _Decoded(NamedTuple):
    page: Page
    frame: PdfFrame | None
    planes: NDArray[np.uint8]  # [3, height, width]


def detect(
    network: Network, pages: Iterable[Page | Failure], batch_size: int = 4, threshold: float | None = None
) -> Generator[FoundPage | Failure, None, None]:
    """Find the tables of pages.

    A few batches are in memory at a time, however many pages there are.

    Args:
        network: Which network.
        pages: Taken as they are needed.
        batch_size: How many pages the network is given at once.
        threshold: The lowest score that counts as a find; None for the network's own.

    Yields:
        In the order of the pages, what was found on each; a failure in the place of a page that could not
        be decoded, and each failure that came among the pages.
    """
    lowest = network.threshold if threshold is None else threshold
    group: list[_Decoded | Failure] = []
    for each in _decoded(pages, network.image_size, ahead=2 * batch_size):
        group.append(each)
        waiting = sum(isinstance(one, _Decoded) for one in group)
        if waiting == batch_size or not waiting:
            yield from _found(network, group, lowest)
            group = []
    yield from _found(network, group, lowest)


def _decoded(pages: Iterable[Page | Failure], size: int, ahead: int) -> Iterator[_Decoded | Failure]:
    """Decode pages in other threads, which the decoders leave Python's lock to, in their order."""
    rest, pool = iter(pages), ThreadPoolExecutor(max(2, cores()), "decode")
    under_way: deque[Future[_Decoded | Failure]] = deque()
    try:
        while True:
            under_way.extend(
                pool.submit(_decode, page, size) for page in islice(rest, ahead - len(under_way))
            )
            if not under_way:
                return
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(page: Page | Failure, size: int) -> _Decoded | Failure:
    if isinstance(page, Failure):
        return page
    pdf = is_pdf(page.path)
    try:
        with PDFIUM if pdf else nullcontext():
            image = page.open(size)
            frame = read_frame(page.path, page.number or 0) if pdf else None
            if pdf:
                forget(page.number or 0)
        image = fit(image, size)
    except Exception as error:  # whatever it is, the other pages are worth having
        message = " ".join(str(error).split()) or type(error).__name__
        return Failure(page.path, page.number, message)
    planes = np.stack([np.asarray(plane) for plane in image.split()])
    return _Decoded(page, frame, np.broadcast_to(planes, (3, *planes.shape[1:])))


def _found(network: Network, group: list[_Decoded | Failure], lowest: float) -> Iterator[FoundPage | Failure]:
    decoded = [each for each in group if isinstance(each, _Decoded)]
    finds = iter(network(*_batch(decoded)) if decoded else ())
    for each in group:
        if isinstance(each, Failure):
            yield each
        else:
            yield _page(each, next(finds), network.class_names, lowest)


def _batch(
    decoded: list[_Decoded], multiple: int = 32
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float64]]:
    """Pad pages at the right and at the bottom, as `tablesense.data.batches.collate` does for training."""
    height, width = (max(page.planes.shape[axis] for page in decoded) for axis in (1, 2))
    height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    pixels = np.zeros((len(decoded), 3, height, width), np.uint8)
    mask = np.zeros((len(decoded), height, width), bool)
    for i, page in enumerate(decoded):
        _, h, w = page.planes.shape
        pixels[i, :, :h, :w] = page.planes
        mask[i, :h, :w] = True
    return pixels, mask, np.array([page.page.size for page in decoded], np.float64)


def _page(decoded: _Decoded, finds: Finds, class_names: tuple[str, ...], lowest: float) -> FoundPage:
    kept = finds.scores >= lowest
    return FoundPage(
        decoded.page,
        finds.boxes[kept].astype(np.float64),
        finds.scores[kept],
        tuple(class_names[label] for label in finds.labels[kept].tolist()),
        class_names,
        decoded.frame,
    )
