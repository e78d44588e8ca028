"""`TableDataModule`: pages from disk, or synthetic ones, to padded batches."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image
from torch.utils.data import DataLoader

from tablesense.data.batches import PageDataset, collate
from tablesense.data.sampling import EvaluationOrder, TrainingLoader, TrainingOrder
from tablesense.data.selection import Selection
from tablesense.data.sources import Mix, SourceConfig, strata
from tablesense.data.synthetic import SyntheticConfig, synthetic_pages
from tablesense.data.table import Faults
from tablesense.data.transforms import Preset
from tablesense.errors import UserError


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
        self.selection = Selection(
            path, format, sources, val_path, test_path, val_fraction, split_seed, class_names, class_map,
            unknown_classes, synthetic,
        )  # fmt: skip
        self.image_size, self.augment, self.mosaic = image_size, augment, mosaic
        self.batch_size, self.num_workers = batch_size, num_workers
        self._loader: TrainingLoader | None = None
        self._begun: dict[str, Any] = {}

    def prepare_data(self) -> None:
        """Make the synthetic pages where they are needed, once and on one process only."""
        verb = self.trainer.state.fn if self.trainer else TrainerFn.FITTING
        chosen = self.selection
        scored = chosen.val_path
        if verb == TrainerFn.TESTING:
            scored = chosen.test_path or chosen.val_path
        wanted = any(source.path is None for source in chosen.named.values())
        if wanted and (scored is None or verb == TrainerFn.FITTING):
            synthetic_pages(chosen.synthetic)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes to find, in the order of their indices."""
        return self.selection.class_names

    @property
    def dropped(self) -> Faults:
        """How many boxes of the data sets read so far were left out or changed, by reason."""
        return self.selection.dropped

    @cached_property
    def train_pages(self) -> Mix:
        """What is trained on."""
        return self.selection.train

    @cached_property
    def val_pages(self) -> Mix:
        """What is validated on."""
        return self.selection.val

    @cached_property
    def test_pages(self) -> Mix:
        """What is tested on."""
        return self.selection.test

    def preview(self, pages: int = 6, seed: int = 0) -> Image.Image:
        """Draw training pages as they are, and beside each what the network may see of it in an epoch.

        Args:
            pages: How many.
            seed: Another one chooses others.

        Returns:
            One picture, RGB, with the tables in it.
        """
        from tablesense.data.preview import draw, sheet

        rng = np.random.default_rng(seed)
        rows = rng.choice(len(self.train_pages), min(pages, len(self.train_pages)), replace=False)
        chosen = [("train", self.train_pages[row]) for row in sorted(rows.tolist())]
        leaves = draw(chosen, self.image_size, self.augment, int(self.augment != "none"), seed)
        if not leaves:
            raise UserError("preview: not one of the training pages that were chosen can be read")
        return sheet(leaves, self.class_names)

    # -- loading -----------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of `Batch`, shuffled."""
        pages = self.train_pages
        width, height = pages.sizes.T
        drawn = strata(pages, self.selection.named)
        order = TrainingOrder(
            drawn,
            width > height,
            self.batch_size,
            int(os.environ.get("PL_GLOBAL_SEED", 0)),  # what seed_everything was given
            *self._process,
        )
        # No batch norm is trained, so a smaller last batch does no harm, and every page is seen.
        self._loader = TrainingLoader(
            PageDataset(pages, self.class_names, self.image_size, self.augment, self.mosaic, drawn),
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
