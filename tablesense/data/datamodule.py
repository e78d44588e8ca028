"""`TableDataModule`: pages from disk, or synthetic ones, to padded batches."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, TypedDict

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler

from tablesense.data.page import Page, Pages
from tablesense.data.reading import read_pages, report, split_by_document
from tablesense.data.synthetic import SyntheticConfig, synthetic_pages
from tablesense.data.transforms import Preset, augment, in_view
from tablesense.errors import UserError

log = logging.getLogger(__name__)


class Sample(TypedDict):
    """One page as the network sees it.

    `image` is uint8 [3, height, width]; `boxes` [tables, 4] cxcywh relative to the page; `labels`
    [tables]; `size` the width and height of the frame that the page's truth is given in; `name` says
    which page it is.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    size: tuple[float, float]
    name: str


class Batch(TypedDict):
    """Pages padded to one size.

    `pixel_values` is uint8 [batch_size, 3, height, width] with 0 as padding, `pixel_mask` bool
    [batch_size, height, width], True on the page; `targets` one dict a page with `labels`, `boxes`
    (cxcywh relative to the page, not to the padding) and `size` (width, height).
    """

    pixel_values: Tensor
    pixel_mask: Tensor
    targets: list[dict[str, Tensor]]
    names: list[str]


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
            # Twice the final size leaves the scan effects strokes to work on.
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
            {"boxes": s["boxes"], "labels": s["labels"], "size": torch.tensor(s["size"])} for s in samples
        ],
        "names": [sample["name"] for sample in samples],
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


class TableDataModule(LightningDataModule):
    """Pages with tables, for training, validation and test.

    Args:
        path: A data set's folder or annotation file; null for synthetic pages, which are made once
            and kept.
        format: The layout of `path`: "coco", "icdar2013" or "csv"; "auto" looks.
        val_path: A data set to validate on; null takes the "val" split of `path`, or holds documents
            back from training.
        test_path: A data set to test on; null takes the "test" split of `path`, or else what is
            validated on.
        val_fraction: The share of pages held back where `path` has no "val" split.
        split_seed: Another one holds other documents back.
        class_names: The classes to find. Null takes those with "table" in their name, or all when
            there are none; case and separators do not count.
        synthetic: How many synthetic pages, and which.
        image_size: The longest side of a page, in pixels, as the network sees it.
        augment: "none", "light" or "scan": how far training pages are changed.
        batch_size: Pages in a batch, on each device.
        num_workers: Processes that decode pages.
    """

    def __init__(
        self,
        path: Path | None = None,
        format: str = "auto",
        val_path: Path | None = None,
        test_path: Path | None = None,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        class_names: list[str] | None = None,
        synthetic: SyntheticConfig = SyntheticConfig(),
        image_size: int = 384,
        augment: Preset = "scan",
        batch_size: int = 8,
        num_workers: int = 2,
    ) -> None:
        super().__init__()
        for name, value in ("image_size", image_size), ("batch_size", batch_size):
            if value < 1:
                raise UserError(f"data.{name}: expected at least 1, found {value}")
        if num_workers < 0:
            raise UserError(f"data.num_workers: expected 0 or more, found {num_workers}")
        self.path, self.format, self.val_path, self.test_path = path, format, val_path, test_path
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.wanted_classes = class_names
        self.synthetic = synthetic
        self.image_size, self.augment = image_size, augment
        self.batch_size, self.num_workers = batch_size, num_workers

    def prepare_data(self) -> None:
        """Make the synthetic pages, once and on one process only."""
        if self.path is None:
            synthetic_pages(self.synthetic)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes to find, in the order of their indices."""
        if self.wanted_classes is not None:
            return tuple(canonical(name) for name in self.wanted_classes)
        if self.path is None:
            return ("table",)
        found = {
            canonical(label) for pages in self._main.splits.values() for p in pages for label in p.labels
        }
        if not found:
            raise UserError(f"data.path: no table is annotated in {self.path}")
        return tuple(sorted({name for name in found if "table" in name} or found))

    @cached_property
    def _main(self) -> Pages:
        if self.path is None:
            root = synthetic_pages(self.synthetic)
            splits = {split: self._read(root / split, "coco", "all") for split in ("train", "val")}
            return Pages(splits)
        pages = self._named("data.path", self.path, self.format)
        if lost := report(pages):
            log.warning("%s: %s", self.path, lost)
        return pages

    @staticmethod
    def _named(key: str, path: Path, format: str) -> Pages:
        try:
            return read_pages(path, format)
        except UserError as error:
            raise UserError(f"{key}: {error}") from error

    def _read(self, path: Path, format: str, split: str) -> list[Page]:
        pages = read_pages(path, format)
        return [page for found in pages.splits.values() for page in found]

    def _whole(self, key: str, path: Path) -> list[Page]:
        """All pages of a data set, whatever its splits; of one split where it has `split`."""
        pages = self._named(key, path, "auto")
        if lost := report(pages):
            log.warning("%s: %s", path, lost)
        split = key.removeprefix("data.").removesuffix("_path")
        return pages.splits.get(split) or [page for found in pages.splits.values() for page in found]

    @cached_property
    def _train_val(self) -> tuple[list[Page], list[Page]]:
        splits = self._main.splits
        train = splits.get("train") or splits.get("all") or []
        if not train:
            raise UserError(f"data.path: {self.path} has no pages to train on, only {', '.join(splits)}")
        if self.val_path is not None:
            return train, self._whole("data.val_path", self.val_path)
        if splits.get("val"):
            return train, splits["val"]
        train, val = split_by_document(train, self.val_fraction, self.split_seed)
        if not val:
            raise UserError(f"data.path: {self.path} is a single document: give data.val_path to validate on")
        return train, val

    @cached_property
    def train_pages(self) -> list[Page]:
        """What is trained on."""
        return self._checked(self._train_val[0], "train")

    @cached_property
    def val_pages(self) -> list[Page]:
        """What is validated on."""
        if self.val_path is not None:
            return self._checked(self._whole("data.val_path", self.val_path), "val")
        return self._checked(self._train_val[1], "val")

    @cached_property
    def test_pages(self) -> list[Page]:
        """What is tested on."""
        if self.test_path is not None:
            return self._checked(self._whole("data.test_path", self.test_path), "test")
        if self._main.splits.get("test"):
            return self._checked(self._main.splits["test"], "test")
        return self.val_pages

    def _checked(self, pages: list[Page], split: str) -> list[Page]:
        """Leave other classes out, say so, and refuse a split that nothing can be learnt from."""
        known, ignored = set(self.class_names), Counter[str]()
        result = []
        for page in pages:
            keep = [i for i, label in enumerate(page.labels) if canonical(label) in known]
            if len(keep) < len(page.labels):
                ignored.update(label for label in page.labels if canonical(label) not in known)
                page = Page(
                    page.path,
                    page.document,
                    page.size,
                    tuple(page.boxes[i] for i in keep),
                    tuple(page.labels[i] for i in keep),
                    page.number,
                )
            result.append(page)
        if ignored:
            counts = ", ".join(f"{n} {name}" for name, n in ignored.most_common(5))
            log.warning("%s pages: boxes of classes that are not looked for: %s", split, counts)
        if not any(page.boxes for page in result):
            found = ", ".join(sorted(ignored)) or "none"
            raise UserError(
                f"data: no {' or '.join(self.class_names)} on any {split} page; other classes there: {found}: "
                "give data.class_names, or other pages"
            )
        return result

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, shuffled."""
        dataset = PageDataset(self.train_pages, self.class_names, self.image_size, self.augment)
        landscape = [page.size[0] > page.size[1] for page in self.train_pages]
        full = len(dataset) >= self.batch_size
        sampler = AspectBatchSampler(RandomSampler(dataset), self.batch_size, full, landscape)
        return self._loader(dataset, batch_sampler=sampler, persistent_workers=self.num_workers > 0)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, in order."""
        return self._evaluation(self.val_pages)

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, in order."""
        return self._evaluation(self.test_pages)

    def _evaluation(self, pages: list[Page]) -> DataLoader[Any]:
        # Pages of one shape side by side: less padding, and the metrics do not mind the order.
        pages = sorted(pages, key=lambda page: page.size[0] / page.size[1])
        dataset = PageDataset(pages, self.class_names, self.image_size, "none")
        return self._loader(dataset, batch_size=self.batch_size)

    def _loader(self, dataset: PageDataset, **options: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            num_workers=self.num_workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            **options,
        )


def canonical(name: str) -> str:
    """A class name without case and separators: "Table_Rotated" and "table rotated" are one class."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
