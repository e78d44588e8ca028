"""From pages with their truth to padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tablesense.data.augment.mosaic import Labelled, mosaic
from tablesense.data.page import Page
from tablesense.data.sampling import Draw, Stratum
from tablesense.data.transforms import Preset, augment, in_view
from tablesense.errors import UserError


class Sample(TypedDict):
    """One page as the network sees it.

    `image` is uint8 [3, height, width]; `boxes` [tables, 4] cxcywh relative to the page; `labels`
    [tables]; `size` the width and height of the frame that the page's truth is given in; `name` says
    which page it is, `index` its place among the pages and `source` its data set.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    size: tuple[float, float]
    name: str
    index: int
    source: str


class Batch(TypedDict):
    """Pages padded to one size.

    `pixel_values` is uint8 [batch_size, 3, height, width] with 0 as padding, `pixel_mask` bool
    [batch_size, height, width], True on the page; `targets` one dict a page with `labels`, `boxes`
    (cxcywh relative to the page, not to the padding) and `size` (width, height); `names`, `indices` and
    `sources` say which pages they are, and of which data sets.
    """

    pixel_values: Tensor
    pixel_mask: Tensor
    targets: list[dict[str, Tensor]]
    names: list[str]
    indices: list[int]
    sources: list[str]


class PageDataset(Dataset[Sample]):
    """Pages with their truth, decoded and transformed one at a time.

    Args:
        pages: What there is.
        class_names: The classes in the order of their indices; the pages' boxes have no others.
        image_size: The longest side of a sample, in pixels.
        preset: How far pages are changed.
        mosaic: The share of pages in whose place one made of snippets of several is seen, from 0 to 1.
        strata: What those snippets are drawn from, as pages are; none for all pages alike.
    """

    def __init__(
        self,
        pages: Sequence[Page],
        class_names: Sequence[str],
        image_size: int,
        preset: Preset,
        mosaic: float = 0.0,
        strata: Sequence[Stratum] = (),
    ) -> None:
        self.pages, self.image_size, self.preset, self.mosaic = pages, image_size, preset, mosaic
        self.strata = strata
        self.class_index = {name: i for i, name in enumerate(class_names)}

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Decode a page. What chance does to it follows from the draw's seed; a bare index is its own seed.

        Raises:
            UserError: The file cannot be decoded.
        """
        index, seed = draw if isinstance(draw, Draw) else (draw, draw)
        page, rng = self.pages[index], Random(seed)
        image, boxes, labels = self._decode(page)
        if self.mosaic and rng.random() < self.mosaic:
            image, boxes, labels = mosaic(
                (image, boxes, labels), lambda: self._decode(self.pages[self._another(rng)]), rng
            )
        image, boxes = augment(image, boxes, self.image_size, self.preset, rng)
        kept = [j for j, box in enumerate(boxes) if in_view(box, image)]
        # Plane by plane, as batches have it; the three of a grey page are one.
        planes = torch.from_numpy(np.stack([np.asarray(plane) for plane in image.split()]))
        corners = torch.tensor([boxes[j] for j in kept], dtype=torch.float).reshape(-1, 4)
        corners /= torch.tensor([image.width, image.height, image.width, image.height])
        low, high = corners[:, :2], corners[:, 2:]
        return {
            "image": planes.expand(3, -1, -1),
            "boxes": torch.cat([(low + high) / 2, high - low], 1),
            "labels": torch.tensor([labels[j] for j in kept], dtype=torch.long),
            "size": page.size,
            "name": page.name,
            "index": index,
            "source": page.source,
        }

    def _another(self, rng: Random) -> int:
        """A page to cut snippets from, by its index."""
        if len(self.strata) < 2:
            return rng.randrange(len(self))
        (stratum,) = rng.choices(self.strata, [stratum.weight for stratum in self.strata])
        return int(rng.choice(stratum.indices))

    def _decode(self, page: Page) -> Labelled:
        changed = self.preset != "none" or self.mosaic
        try:
            image = page.open(2 * self.image_size if changed else self.image_size)
        except Exception as error:
            raise UserError(f"{page.path} cannot be read as a page: {error}") from error
        return image, page.boxes_on(image), [self.class_index[label] for label in page.labels]


def collate(samples: Sequence[Sample], multiple: int = 32) -> Batch:
    """Pad pages at the right and at the bottom to the largest of them, rounded up to `multiple`."""
    height = max(sample["image"].shape[1] for sample in samples)
    width = max(sample["image"].shape[2] for sample in samples)
    height, width = -(-height // multiple) * multiple, -(-width // multiple) * multiple
    pixel_values = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
    pixel_mask = torch.zeros(len(samples), height, width, dtype=torch.bool)
    for i, sample in enumerate(samples):
        _, h, w = sample["image"].shape
        pixel_values[i, :, :h, :w] = sample["image"]
        pixel_mask[i, :h, :w] = True
    return {
        "pixel_values": pixel_values,
        "pixel_mask": pixel_mask,
        "targets": [
            {"boxes": s["boxes"], "labels": s["labels"], "size": torch.tensor(s["size"], dtype=torch.float)}
            for s in samples
        ],
        "names": [sample["name"] for sample in samples],
        "indices": [sample["index"] for sample in samples],
        "sources": [sample["source"] for sample in samples],
    }
