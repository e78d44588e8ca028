"""`TableDataModule`: pages from disk, or synthetic ones, to padded batches."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from tablesense.data.batches import PageDataset, collate
from tablesense.data.classes import canonical, tables_among
from tablesense.data.reading import FORMATS, read_pages, report, split_by_document
from tablesense.data.sampling import EvaluationOrder, TrainingLoader, TrainingOrder
from tablesense.data.sources import Mix, SourceConfig, strata
from tablesense.data.synthetic import SyntheticConfig, synthetic_pages
from tablesense.data.table import Faults, PageTable
from tablesense.data.transforms import Preset
from tablesense.errors import UserError

warn = rank_zero_only(logging.getLogger(__name__).warning)

Split = Literal["train", "val", "test"]


class TableDataModule(LightningDataModule):
    """Pages with tables, for training, validation and test.

    Args:
        path: A data set's folder or annotation file; null for synthetic pages, which are made once
            and kept.
        format: The layout of `path`, `val_path` and `test_path`: a key of
            `tablesense.data.reading.FORMATS`; "auto" looks at each.
        sources: Several data sets instead of `path`, each with a weight; see `SourceConfig`.
        val_path: A data set to validate on: its "val" split, or all of it where it has none. Null
            takes the "val" split of each source, or holds documents back from training.
        test_path: A data set to test on, in the same way. Null takes the "test" splits of the
            sources, or else what is validated on.
        val_fraction: The share of pages held back where a source has no "val" split.
        split_seed: Another one holds other documents back.
        class_names: The classes to find. Null takes those that name a table, or all when there are
            none; case and separators do not count. See `tablesense.data.classes`.
        class_map: Other names for classes of the data, such as {"Tabelle": "table"}; null leaves one out.
        unknown_classes: Boxes of classes that are not looked for: "ignore" counts and leaves them out,
            "refuse" ends with their names.
        synthetic: How many synthetic pages, and which.
        image_size: The longest side of a page, in pixels, as the network sees it.
        augment: How far training pages are changed: a preset of `tablesense.data.transforms`.
        mosaic: The share of training pages in whose place one made of snippets of several is seen.
        batch_size: Pages in a batch, on each device.
        num_workers: Processes that decode pages.

    Attributes:
        dropped: How many boxes of the data sets read so far were left out or changed, by reason.
    """

    def __init__(
        self,
        path: Path | None = None,
        format: str = "auto",
        sources: list[SourceConfig] | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        class_names: list[str] | None = None,
        class_map: dict[str, str | None] | None = None,
        unknown_classes: Literal["ignore", "refuse"] = "ignore",
        synthetic: SyntheticConfig = SyntheticConfig(),
        image_size: int = 384,
        augment: Preset = "scan",
        mosaic: float = 0.0,
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
        if not 0 <= mosaic <= 1:
            raise UserError(f"data.mosaic: expected a share from 0 to 1, found {mosaic}")
        if class_names is not None and not class_names:
            raise UserError("data.class_names: expected null or at least one name, found none")
        if unknown_classes not in ("ignore", "refuse"):
            raise UserError(f"data.unknown_classes: expected ignore or refuse, found {unknown_classes}")
        self.path, self.format, self.val_path, self.test_path = path, format, val_path, test_path
        self.val_fraction, self.split_seed = val_fraction, split_seed
        self.wanted_classes, self.class_map, self.unknown_classes = class_names, class_map, unknown_classes
        self.synthetic = synthetic
        self.image_size, self.augment, self.mosaic = image_size, augment, mosaic
        self.batch_size, self.num_workers = batch_size, num_workers
        # What a person changes to have other pages.
        self._key = "data.sources" if sources else "data.synthetic" if path is None else "data.path"
        self.sources = self._named(sources)
        self.dropped = Faults()
        self._read_splits: dict[str, dict[str, PageTable]] = {}
        self._loader: TrainingLoader | None = None
        self._begun: dict[str, Any] = {}

    def _named(self, sources: list[SourceConfig] | None) -> dict[str, SourceConfig]:
        if not sources:
            source = SourceConfig(self.path, format=self.format)
            return {source.title: source}
        if self.path is not None:
            raise UserError(f"data.path is {self.path}, and data.sources is given: put it among the sources")
        named: dict[str, SourceConfig] = {}
        for source in sources:
            if source.title in named:
                raise UserError(f"data.sources: two are called {source.title}: give each a name of its own")
            named[source.title] = source
        for role, verb in ("train", "train"), ("val", "validate"):
            elsewhere = role == "val" and self.val_path is not None
            if not elsewhere and not any(source.role in ("both", role) for source in sources):
                raise UserError(f"data.sources: expected one or more to {verb} on, found none")
        return named

    def prepare_data(self) -> None:
        """Make the synthetic pages where they are needed, once and on one process only."""
        verb = self.trainer.state.fn if self.trainer else TrainerFn.FITTING
        scored = self.val_path
        if verb == TrainerFn.TESTING:
            scored = self.test_path or self.val_path
        wanted = any(source.path is None for source in self.sources.values())
        if wanted and (scored is None or verb == TrainerFn.FITTING):
            synthetic_pages(self.synthetic)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes to find, in the order of their indices."""
        if self.wanted_classes is not None:
            return tuple(dict.fromkeys(map(canonical, self.wanted_classes)))
        names: set[str] = set()
        for name, source in self.sources.items():
            if source.path is not None:
                names.update(*(table.label_counts() for table in self._splits(name).values()))
            else:  # known before the pages are set
                hard = self.synthetic.difficulty == "hard"
                names.update(("table", "table rotated") if hard else ("table",))
        if not names:
            raise UserError(f"{self._key}: no table is annotated in {self._places}")
        return tables_among(names)

    @cached_property
    def train_pages(self) -> Mix:
        """What is trained on."""
        pages = self._checked({name: self._train_val(name)[0] for name in self._with("train")}, "train")
        strata(pages, self.sources)  # to say what is wrong with weights before a run is made
        return pages

    @cached_property
    def val_pages(self) -> Mix:
        """What is validated on."""
        if self.val_path is not None:
            return self._other("val", self.val_path)
        return self._checked({name: self._train_val(name)[1] for name in self._with("val")}, "val")

    @cached_property
    def test_pages(self) -> Mix:
        """What is tested on."""
        if self.test_path is not None:
            return self._other("test", self.test_path)
        # Pages are made to train and to validate on: none of the synthetic ones are for tests.
        read = (name for name, source in self.sources.items() if source.path is not None)
        found = {name: table for name in read if (table := self._splits(name).get("test"))}
        return self._checked(found, "test") if found else self.val_pages

    # -- reading -----------------------------------------------------------------------------------

    @property
    def _places(self) -> str:
        return ", ".join(str(source.path or "synthetic pages") for source in self.sources.values())

    def _with(self, role: Literal["train", "val"]) -> list[str]:
        return [name for name, source in self.sources.items() if source.role in ("both", role)]

    def _splits(self, name: str) -> dict[str, PageTable]:
        """The pages of a source under the names of their splits, read once."""
        if name not in self._read_splits:
            source = self.sources[name]
            if source.path is None:
                splits = read_pages(synthetic_pages(self.synthetic), "coco", name).splits
            else:
                splits = self._read(self._key, source.path, source.format, name, source.class_map)
            self._read_splits[name] = splits
        return self._read_splits[name]

    def _train_val(self, name: str) -> tuple[PageTable | None, PageTable | None]:
        """The pages of a source to train on and to validate on: neither need be there for the other."""
        splits, source = self._splits(name), self.sources[name]
        train, val = splits.get("train") or splits.get("all"), splits.get("val")
        if source.role == "val":
            return None, val or train
        if val or not train or self.val_path is not None or source.role == "train":
            return train, val
        if not 0 < self.val_fraction < 1:
            raise UserError(f"data.val_fraction: expected between 0 and 1, found {self.val_fraction}")
        train, val = split_by_document(train, self.val_fraction, self.split_seed)
        if not val:
            raise UserError(
                f"{self._key}: {source.path} is a single document: give data.val_path to validate on"
            )
        share = len(val) / (len(val) + len(train))
        if not 0.5 <= share / self.val_fraction <= 2 and abs(share - self.val_fraction) > 0.05:
            warn(
                "%s: %.0f %% of the pages are held back, not %.0f %%, for documents are not divided: "
                "data.val_path gives others",
                source.path, 100 * share, 100 * self.val_fraction,
            )  # fmt: skip
        return train, val

    def _other(self, split: Split, path: Path) -> Mix:
        """The `split` of another data set, or all its pages where it has none of that name."""
        key = f"data.{split}_path"
        splits = self._read(key, path, self.format, None, None)
        chosen = splits.get(split)
        return self._checked({split: chosen} if chosen else splits, split, key)

    def _read(
        self, key: str, path: Path, format: str, name: str | None, class_map: dict[str, str | None] | None
    ) -> dict[str, PageTable]:
        if format == "images":
            raise UserError(
                f"{key}: {path} is read as images, which have no annotations to learn from or to score"
            )
        try:
            pages = read_pages(path, format, name)
        except UserError as error:
            wrong = key if format in ("auto", *FORMATS) or key == "data.sources" else "data.format"
            raise UserError(f"{wrong}: {error}") from error
        self.dropped.include(pages.dropped)
        if lost := report(pages):
            warn("%s: %s", path, lost)
        other_names = {
            canonical(old): new for old, new in {**(self.class_map or {}), **(class_map or {})}.items()
        }

        def rename(label: str) -> str | None:
            label = canonical(label)
            if label not in other_names:
                return label
            new = other_names[label]
            return None if new is None else canonical(new)

        return {split: table.relabel(rename) for split, table in pages.splits.items()}

    def _checked(self, tables: Mapping[str, PageTable | None], split: Split, key: str | None = None) -> Mix:
        """Leave other classes out, say so, and refuse pages that nothing can be learnt from."""
        key = key or self._key
        found = [table for table in tables.values() if table]
        if not found:
            splits = dict.fromkeys(split for name in tables for split in self._splits(name))
            raise UserError(
                f"{key}: expected {split} pages in {self._places}, found only {', '.join(splits)} pages: "
                f"give {'a train split' if split == 'train' else 'data.val_path'}"
            )
        bare = [name for name, table in tables.items() if name in self.sources and not table]
        if bare:
            raise UserError(
                f"{key}: {bare[0]} has no {split} pages: give its role as "
                f"{'val' if split == 'train' else 'train'}, or leave it out"
            )
        known, unknown = set(self.class_names), Faults()
        for table in found:
            unknown.update({name: n for name, n in table.label_counts().items() if name not in known})
        mix = Mix([table.relabel(lambda name: name if name in known else None) for table in found])
        counts = ", ".join(f"{n} {name}" for name, n in unknown.most_common(5))
        if not any(table.label_counts() for table in mix.tables):
            raise UserError(
                f"{key}: no {' or '.join(self.class_names)} on any {split} page, found "
                f"{counts or 'no boxes'}: give data.class_names, or other pages"
            )
        if unknown and self.unknown_classes == "refuse":
            raise UserError(
                f"{key}: {split} pages have boxes of classes that are not looked for: {counts}: name them in "
                "data.class_map or data.class_names, or set data.unknown_classes=ignore"
            )
        if unknown:
            self.dropped["of a class that is not looked for"] += unknown.total()
            warn("%s pages: boxes of classes that are not looked for: %s", split, counts)
        return mix

    # -- loading -----------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, shuffled."""
        pages = self.train_pages
        width, height = pages.sizes.T
        order = TrainingOrder(
            strata(pages, self.sources),
            width > height,
            self.batch_size,
            int(os.environ.get("PL_GLOBAL_SEED", 0)),  # what seed_everything was given
            *self._process,
        )
        # No batch norm is trained, so a smaller last batch does no harm, and every page is seen.
        self._loader = TrainingLoader(
            PageDataset(pages, self.class_names, self.image_size, self.augment, self.mosaic),
            self.trainer,
            sampler=order,
            persistent_workers=self.num_workers > 0,
            **self._options,
        )
        if self._begun:
            self._loader.load_state_dict(self._begun)
            self._begun = {}
        return self._loader

    # Lightning gives loaders their state back, but not once the module has asked for the number of steps.
    def state_dict(self) -> dict[str, Any]:
        """Where training is, for a checkpoint."""
        return self._loader.state_dict() if self._loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there with the next training loader."""
        self._begun = state_dict

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, always in the same order."""
        return self._evaluation(self.val_pages)

    def test_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, always in the same order."""
        return self._evaluation(self.test_pages)

    def _evaluation(self, pages: Mix) -> DataLoader[Any]:
        # Pages of one shape side by side: less padding, and the metrics do not mind the order.
        width, height = pages.sizes.T
        order = EvaluationOrder(np.argsort(width / height, kind="stable"), *self._process)
        dataset = PageDataset(pages, self.class_names, self.image_size, "none")
        return DataLoader(dataset, sampler=order, **self._options)

    @property
    def _process(self) -> tuple[int, int]:
        """Which process this is, of how many."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "collate_fn": collate,
            "pin_memory": torch.cuda.is_available(),
        }

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move the pixels alone: the truth is padded and checked on the host and then moved in one piece."""
        moved = {key: batch[key].to(device, non_blocking=True) for key in ("pixel_values", "pixel_mask")}
        return {**batch, **moved}
