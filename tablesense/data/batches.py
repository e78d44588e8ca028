"""From pages with their truth to padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset, Sampler

from tablesense.data.page import Page
from tablesense.data.transforms import Preset, augment, in_view
from tablesense.errors import UserError


class Sample(TypedDict):
    """One page as the network sees it.

    `image` is uint8 [3, height, width]; `boxes` [tables, 4] cxcywh relative to the page; `labels`
    [tables]; `size` the width and height of the frame that the page's truth is given in; `name` says
    which page it is, and `index` its place in the data set.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    size: tuple[float, float]
    name: str
    index: int


class Batch(TypedDict):
    """Pages padded to one size.

    `pixel_values` is uint8 [batch_size, 3, height, width] with 0 as padding, `pixel_mask` bool
    [batch_size, height, width], True on the page; `targets` one dict a page with `labels`, `boxes`
    (cxcywh relative to the page, not to the padding) and `size` (width, height); `names` and `indices`
    say which pages they are.
    """

    pixel_values: Tensor
    pixel_mask: Tensor
    targets: list[dict[str, Tensor]]
    names: list[str]
    indices: list[int]


class PageDataset(Dataset[Sample]):
    """Pages with their truth, decoded and transformed one at a time."""

    def __init__(
        self, pages: Sequence[Page], class_names: Sequence[str], image_size: int, preset: Preset
    ) -> None:
        self.pages, self.image_size, self.preset = pages, image_size, preset
        self.index = {name: i for i, name in enumerate(class_names)}

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, i: int) -> Sample:
        """Decode page `i`.

        Raises:
            UserError: The file cannot be decoded.
        """
        page = self.pages[i]
        try:
            image = page.open(self.image_size if self.preset == "none" else 2 * self.image_size)
        except Exception as error:
            raise UserError(f"{page.path} cannot be read as a page: {error}") from error
        x, y = image.width / page.size[0], image.height / page.size[1]
        boxes = [(x0 * x, y0 * y, x1 * x, y1 * y) for x0, y0, x1, y1 in page.boxes]
        labels = [self.index[canonical(label)] for label in page.labels]
        rng = Random(int(torch.randint(2**62, ()).item()))
        image, boxes = augment(image, boxes, self.image_size, self.preset, rng)
        kept = [j for j, box in enumerate(boxes) if in_view(box, image)]
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        corners = torch.tensor([boxes[j] for j in kept], dtype=torch.float).reshape(-1, 4)
        corners /= torch.tensor([image.width, image.height, image.width, image.height])
        low, high = corners[:, :2], corners[:, 2:]
        return {
            "image": pixels,
            "boxes": torch.cat([(low + high) / 2, high - low], 1),
            "labels": torch.tensor([labels[j] for j in kept], dtype=torch.long),
            "size": page.size,
            "name": page.name,
            "index": i,
        }


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
    }


class AspectBatchSampler(BatchSampler):
    """Batches of pages of one orientation, so that little of a batch is padding.

    Gives as many batches as `BatchSampler` would, on every process: pages that fill no batch of their
    own orientation come together at the end.

    Args:
        sampler: The order of the pages.
        batch_size: Pages in a batch.
        drop_last: Leave out the last batch when it is not full.
        landscape: Whether each page is wider than high.
    """

    def __init__(
        self, sampler: Sampler[int], batch_size: int, drop_last: bool, landscape: Sequence[bool]
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.landscape = landscape

    def __iter__(self) -> Iterator[list[int]]:
        """Go through the pages once."""
        waiting: dict[bool, list[int]] = {False: [], True: []}
        for i in self.sampler:
            group = waiting[self.landscape[i]]
            group.append(i)
            if len(group) == self.batch_size:
                yield group
                waiting[self.landscape[i]] = []
        rest = waiting[False] + waiting[True]
        for start in range(0, len(rest), self.batch_size):
            batch = rest[start : start + self.batch_size]
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch


def canonical(name: str) -> str:
    """A class name without case and separators: "Table_Rotated" and "table rotated" are one class."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
