"""`TableDataModule`: pages from disk, or synthetic ones, to padded batches."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, get_args

import torch
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, RandomSampler

from tablesense.data.batches import AspectBatchSampler, PageDataset, canonical, collate
from tablesense.data.page import Page
from tablesense.data.reading import FORMATS, read_pages, report, split_by_document
from tablesense.data.synthetic import SyntheticConfig, synthetic_pages
from tablesense.data.transforms import Preset
from tablesense.errors import UserError

warn = rank_zero_only(logging.getLogger(__name__).warning)


class TableDataModule(LightningDataModule):
    """Pages with tables, for training, validation and test.

    Args:
        path: A data set's folder or annotation file; null for synthetic pages, which are made once
            and kept.
        format: The layout of `path`, `val_path` and `test_path`: "coco", "icdar2013" or "csv"; "auto"
            looks at each.
        val_path: A data set to validate on: its "val" split, or all of it where it has none. Null
            takes the "val" split of `path`, or holds documents back from training.
        test_path: A data set to test on, in the same way. Null takes the "test" split of `path`, or
            else what is validated on.
        val_fraction: The share of pages held back where `path` has no "val" split.
        split_seed: Another one holds other documents back.
        class_names: The classes to find. Null takes those with "table" in their name, or all when
            there are none; case and separators do not count.
        synthetic: How many synthetic pages, and which.
        image_size: The longest side of a page, in pixels, as the network sees it.
        augment: "none", "light" or "scan": how far training pages are changed.
        batch_size: Pages in a batch, on each device.
        num_workers: Processes that decode pages.

    Attributes:
        dropped: How many boxes of the data sets read so far were left out or changed, by reason.
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
        sizes = ("image_size", image_size, 1), ("batch_size", batch_size, 1), ("num_workers", num_workers, 0)
        for name, found, least in sizes:
            if found < least:
                raise UserError(f"data.{name}: expected {least} or more, found {found}")
        if augment not in get_args(Preset):
            raise UserError(f"data.augment: expected one of {', '.join(get_args(Preset))}, found {augment}")
        if class_names is not None and not class_names:
            raise UserError("data.class_names: expected null or at least one name, found none")
        self.path, self.format, self.val_path, self.test_path = path, format, val_path, test_path
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.wanted_classes = class_names
        self.synthetic = synthetic
        self.image_size, self.augment = image_size, augment
        self.batch_size, self.num_workers = batch_size, num_workers
        self.dropped = Counter[str]()

    def prepare_data(self) -> None:
        """Make the synthetic pages where they are needed, once and on one process only."""
        verb = self.trainer.state.fn if self.trainer else TrainerFn.FITTING
        scored = self.val_path
        if verb == TrainerFn.TESTING:
            scored = self.test_path or self.val_path
        if self.path is None and (scored is None or verb == TrainerFn.FITTING):
            synthetic_pages(self.synthetic)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes to find, in the order of their indices."""
        if self.wanted_classes is not None:
            return tuple(dict.fromkeys(map(canonical, self.wanted_classes)))
        if self.path is None:
            return ("table",)
        pages = [page for of_split in self._splits.values() for page in of_split]
        found = {canonical(label) for page in pages for label in page.labels}
        if not found:
            raise UserError(f"data.path: no table is annotated in {self.path}")
        return tuple(sorted({name for name in found if "table" in name} or found))

    @cached_property
    def train_pages(self) -> list[Page]:
        """What is trained on."""
        return self._checked(self._train_val[0], "train")

    @cached_property
    def val_pages(self) -> list[Page]:
        """What is validated on."""
        if self.val_path is not None:
            return self._other("val", self.val_path)
        return self._checked(self._train_val[1], "val")

    @cached_property
    def test_pages(self) -> list[Page]:
        """What is tested on."""
        if self.test_path is not None:
            return self._other("test", self.test_path)
        if self.path is not None and self._splits.get("test"):
            return self._checked(self._splits["test"], "test")
        return self.val_pages

    @cached_property
    def _splits(self) -> dict[str, list[Page]]:
        """The pages of `path`, or synthetic ones, under the names of their splits."""
        if self.path is None:
            return read_pages(synthetic_pages(self.synthetic), "coco", "synthetic").splits
        return self._read("data.path", self.path)

    @cached_property
    def _train_val(self) -> tuple[list[Page], list[Page]]:
        """The pages of `path` to train on and to validate on: neither need be there for the other."""
        train, val = self._splits.get("train") or self._splits.get("all", []), self._splits.get("val", [])
        if val or not train or self.val_path is not None:
            return train, val
        if not 0 < self.val_fraction < 1:
            raise UserError(f"data.val_fraction: expected between 0 and 1, found {self.val_fraction}")
        train, val = split_by_document(train, self.val_fraction, self.split_seed)
        if not val:
            raise UserError(f"data.path: {self.path} is a single document: give data.val_path to validate on")
        return train, val

    def _other(self, split: str, path: Path) -> list[Page]:
        """The `split` of another data set, or all its pages where it has none of that name."""
        key = f"data.{split}_path"
        splits = self._read(key, path)
        return self._checked(splits.get(split) or [page for of in splits.values() for page in of], split, key)

    def _read(self, key: str, path: Path) -> dict[str, list[Page]]:
        try:
            pages = read_pages(path, self.format)
        except UserError as error:
            wrong = key if self.format in ("auto", *FORMATS) else "data.format"
            raise UserError(f"{wrong}: {error}") from error
        self.dropped.update(pages.dropped)
        if lost := report(pages):
            warn("%s: %s", path, lost)
        return pages.splits

    def _checked(self, pages: list[Page], split: str, key: str | None = None) -> list[Page]:
        """Leave other classes out, say so, and refuse pages that nothing can be learnt from."""
        key = key or ("data.synthetic" if self.path is None else "data.path")
        if not pages:
            raise UserError(
                f"{key}: expected {split} pages in {self.path}, found only {', '.join(self._splits)} pages: "
                f"give {'a train split' if split == 'train' else 'data.val_path'}"
            )
        known, ignored = set(self.class_names), Counter[str]()
        result = []
        for page in pages:
            keep = [canonical(label) in known for label in page.labels]
            if not all(keep):
                ignored.update(label for label, kept in zip(page.labels, keep, strict=True) if not kept)
                boxes, labels = tuple(compress(page.boxes, keep)), tuple(compress(page.labels, keep))
                page = replace(page, boxes=boxes, labels=labels)
            result.append(page)
        counts = ", ".join(f"{n} {name}" for name, n in ignored.most_common(5))
        if not any(page.boxes for page in result):
            raise UserError(
                f"{key}: no {' or '.join(self.class_names)} on any {split} page, found "
                f"{counts or 'no boxes'}: give data.class_names, or other pages"
            )
        if ignored:
            self.dropped["of a class that is not looked for"] += ignored.total()
            warn("%s pages: boxes of classes that are not looked for: %s", split, counts)
        return result

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, shuffled."""
        dataset = PageDataset(self.train_pages, self.class_names, self.image_size, self.augment)
        landscape = [page.size[0] > page.size[1] for page in self.train_pages]
        # No batch norm is trained, so a smaller last batch does no harm, and every page is seen.
        sampler = AspectBatchSampler(RandomSampler(dataset), self.batch_size, False, landscape)
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

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move the pixels alone: the truth is padded and checked on the host and then moved in one piece."""
        moved = {key: batch[key].to(device, non_blocking=True) for key in ("pixel_values", "pixel_mask")}
        return {**batch, **moved}
