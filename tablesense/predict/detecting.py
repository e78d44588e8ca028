"""From a stream of pages to the tables on them: pages are decoded while the network works on others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tablesense.data.augment.geometry import fit
from tablesense.data.page import Box, Page
from tablesense.data.processes import cores
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Failure
from tablesense.predict.network import Finds, Network
from tablesense.predict.pdf import PdfFrame, is_pdf, read_page
from tablesense.predict.tiling import merge, views

Planes = NDArray[np.uint8]


@dataclass(eq=False)
class _Decoded:
    """A page with its views, which the network has seen as far as there are finds.

    Attributes:
        page: Which page.
        frame: Of a PDF's.
        places: Where each view lies on the page, xyxy in its units; see `tablesense.predict.tiling.views`.
        planes: Each view's pixels, [3, height, width], until the network takes them.
        finds: What was found in the views.
    """

    page: Page
    frame: PdfFrame | None
    places: list[Box]
    planes: deque[Planes]
    finds: list[Finds] = field(default_factory=list)


def detect(
    network: Network,
    pages: Iterable[Page | Failure],
    batch_size: int = 4,
    threshold: float | None = None,
    tile: float | None = None,
) -> Generator[FoundPage | Failure, None, None]:
    """Find the tables of pages.

    A few batches are in memory at a time, however many pages there are.

    Args:
        network: Which network.
        pages: Taken as they are needed, by another thread.
        batch_size: How many pages, or tiles of them, the network is given at once.
        threshold: The lowest score that counts as a find; None for the network's own.
        tile: Pages that are longer are looked at in tiles of this length as well: pixels of images, points
            of PDFs. See `tablesense.predict.tiling`.

    Yields:
        In the order of the pages, what was found on each; a failure in the place of a page that could not
        be decoded, and each failure that came among the pages.
    """
    lowest = network.threshold if threshold is None else threshold
    ahead = 2 * batch_size if tile is None else max(2, cores())  # a page in tiles is a batch by itself
    group: deque[_Decoded | Failure] = deque()
    unseen: deque[_Decoded] = deque()  # each page as often as it has views left
    for each in _decoded(pages, network.image_size, tile, ahead):
        group.append(each)
        unseen.extend([each] * len(each.places) if isinstance(each, _Decoded) else ())
        while len(unseen) >= batch_size:
            _look(network, [unseen.popleft() for _ in range(batch_size)], lowest)
        yield from _done(group, network.class_names)
    if unseen:
        _look(network, list(unseen), lowest)
    yield from _done(group, network.class_names)


def _decoded(
    pages: Iterable[Page | Failure], size: int, tile: float | None, ahead: int
) -> Iterator[_Decoded | Failure]:
    """Decode pages in other threads, which the decoders leave Python's lock to, in their order.

    Where the next page lies is read in a thread too: for a PDF it may have to wait for pdfium, and the
    network would wait with it.
    """
    rest = iter(pages)
    reader, pool = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(max(2, cores()), "decode")

    def follow() -> Future[_Decoded | Failure] | None:
        page = next(rest, None)
        return None if page is None else pool.submit(_decode, page, size, tile)

    under_way: deque[Future[Future[_Decoded | Failure] | None]] = deque()
    try:
        while True:
            under_way.extend(reader.submit(follow) for _ in range(ahead - len(under_way)))
            one = under_way.popleft().result()
            if one is None:
                return
            yield one.result()
    finally:
        reader.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def _decode(page: Page | Failure, size: int, tile: float | None) -> _Decoded | Failure:
    if isinstance(page, Failure):
        return page
    frame = None
    try:
        places = views(page.size, tile)
        # In tiles the page is as large as makes each of them as long as the network wants.
        longest = size if tile is None or len(places) == 1 else round(max(page.size) * size / tile)
        if is_pdf(page.path):
            image, frame = read_page(page.path, page.number or 0, longest)
        else:
            image = page.open(longest)
        planes = deque(_planes(fit(_cut(image, page, place), size)) for place in places)
    except Exception as error:  # whatever it is, the other pages are worth having
        message = " ".join(str(error).split()) or type(error).__name__
        return Failure(page.path, page.number, message)
    return _Decoded(page, frame, places, planes)


def _cut(image: Image.Image, page: Page, place: Box) -> Image.Image:
    x, y = image.width / page.size[0], image.height / page.size[1]
    corners = round(place[0] * x), round(place[1] * y), round(place[2] * x), round(place[3] * y)
    return image if corners == (0, 0, *image.size) else image.crop(corners)


def _planes(image: Image.Image) -> Planes:
    planes = np.stack([np.asarray(plane) for plane in image.split()])
    return np.broadcast_to(planes, (3, *planes.shape[1:]))


def _look(network: Network, pages: list[_Decoded], lowest: float) -> None:
    """Show the network a batch: for each time that a page is named the next of its views."""
    sizes, planes = [], []
    for page in pages:
        x0, y0, x1, y1 = page.places[-len(page.planes)]
        sizes.append((x1 - x0, y1 - y0))
        planes.append(page.planes.popleft())
    found = network(*_batch(planes), np.array(sizes, np.float64))
    for page, (boxes, scores, labels) in zip(pages, found, strict=True):
        kept = scores >= lowest
        page.finds.append(Finds(boxes[kept], scores[kept], labels[kept]))


def _batch(planes: list[Planes], multiple: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Pad pages at the right and at the bottom, as `tablesense.data.batches.collate` does for training."""
    height, width = (max(page.shape[axis] for page in planes) for axis in (1, 2))
    height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    pixels = np.zeros((len(planes), 3, height, width), np.uint8)
    mask = np.zeros((len(planes), height, width), bool)
    for i, page in enumerate(planes):
        _, h, w = page.shape
        pixels[i, :, :h, :w] = page
        mask[i, :h, :w] = True
    return pixels, mask


def _done(group: deque[_Decoded | Failure], class_names: tuple[str, ...]) -> Iterator[FoundPage | Failure]:
    """Take the pages off the group's front of which all views were seen."""
    while group:
        first = group[0]
        if isinstance(first, Failure):
            yield first
        elif len(first.finds) == len(first.places):
            finds = merge(first.places, first.finds)
            names = tuple(class_names[label] for label in finds.labels.tolist())
            boxes = finds.boxes.astype(np.float64)
            yield FoundPage(first.page, boxes, finds.scores, names, class_names, first.frame)
        else:
            return
        group.popleft()
