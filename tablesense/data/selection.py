"""Which pages of which data sets are trained on, validated on and tested on, and the classes to find."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from lightning.pytorch.utilities import rank_zero_only

from tablesense.data.classes import canonical, tables_among
from tablesense.data.reading import FORMATS, read_pages, report, split_by_document
from tablesense.data.sources import Mix, SourceConfig, strata
from tablesense.data.synthetic import SyntheticConfig, synthetic_pages
from tablesense.data.table import Faults, PageTable
from tablesense.errors import UserError

warn = rank_zero_only(logging.getLogger(__name__).warning)

Split = Literal["train", "val", "test"]


@dataclass(eq=False)
class Selection:
    """The pages of a training. Each data set is read when it is first asked for, and once.

    The options are those of `TableDataModule`.

    Attributes:
        named: The data sets by name.
        dropped: How many boxes of the data sets read so far were left out or changed, by reason.

    Raises:
        UserError: The options contradict each other.
    """

    path: Path | None
    format: str
    sources: list[SourceConfig] | None
    val_path: Path | None
    test_path: Path | None
    val_fraction: float
    split_seed: int
    wanted_classes: list[str] | None
    class_map: dict[str, str | None] | None
    unknown_classes: Literal["ignore", "refuse"]
    synthetic: SyntheticConfig

    def __post_init__(self) -> None:
        if self.wanted_classes is not None and not self.wanted_classes:
            raise UserError("data.class_names: expected null or at least one name, found none")
        if self.unknown_classes not in ("ignore", "refuse"):
            raise UserError(f"data.unknown_classes: expected ignore or refuse, found {self.unknown_classes}")
        # What a person changes to have other pages.
        self._key = "data.sources" if self.sources else "data.synthetic" if self.path is None else "data.path"
        self.named = self._by_name()
        self.dropped = Faults()
        self._read_splits: dict[str, dict[str, PageTable]] = {}
        self._divided: dict[str, tuple[PageTable | None, PageTable | None]] = {}

    def _by_name(self) -> dict[str, SourceConfig]:
        if not self.sources:
            source = SourceConfig(self.path, format=self.format)
            return {source.title: source}
        if self.path is not None:
            raise UserError(f"data.path is {self.path}, and data.sources is given: put it among the sources")
        named: dict[str, SourceConfig] = {}
        for source in self.sources:
            source.check()
            if source.title in named:
                raise UserError(f"data.sources: two are called {source.title}: give each a name of its own")
            named[source.title] = source
        for role, verb in ("train", "train"), ("val", "validate"):
            elsewhere = role == "val" and self.val_path is not None
            if not elsewhere and not any(source.role in ("both", role) for source in self.sources):
                raise UserError(f"data.sources: expected one or more to {verb} on, found none")
        return named

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes to find, in the order of their indices."""
        if self.wanted_classes is not None:
            return tuple(dict.fromkeys(map(canonical, self.wanted_classes)))
        names: set[str] = set()
        for name, source in self.named.items():
            if source.path is not None:
                names.update(*(table.label_counts() for table in self._splits(name).values()))
            else:  # known before the pages are set
                hard = self.synthetic.difficulty == "hard"
                names.update(("table", "table rotated") if hard else ("table",))
        if not names:
            raise UserError(f"{self._key}: no table is annotated in {self._places}")
        return tables_among(names)

    @cached_property
    def train(self) -> Mix:
        """What is trained on."""
        pages = self._checked({name: self._train_val(name)[0] for name in self._with("train")}, "train")
        strata(pages, self.named)  # to say what is wrong with weights before a run is made
        return pages

    @cached_property
    def val(self) -> Mix:
        """What is validated on."""
        if self.val_path is not None:
            return self._other("val", self.val_path)
        return self._checked({name: self._train_val(name)[1] for name in self._with("val")}, "val")

    @cached_property
    def test(self) -> Mix:
        """What is tested on."""
        if self.test_path is not None:
            return self._other("test", self.test_path)
        # Pages are made to train and to validate on: none of the synthetic ones are for tests.
        read = (name for name, source in self.named.items() if source.path is not None)
        found = {name: table for name in read if (table := self._splits(name).get("test"))}
        return self._checked(found, "test") if found else self.val

    # -- reading -----------------------------------------------------------------------------------

    @property
    def _places(self) -> str:
        return ", ".join(str(source.path or "synthetic pages") for source in self.named.values())

    def _with(self, role: Literal["train", "val"]) -> list[str]:
        return [name for name, source in self.named.items() if source.role in ("both", role)]

    def _splits(self, name: str) -> dict[str, PageTable]:
        """The pages of a source under the names of their splits, read once."""
        if name not in self._read_splits:
            source = self.named[name]
            if source.path is None:
                splits = read_pages(synthetic_pages(self.synthetic), "coco", name).splits
            else:
                splits = self._read(self._key, source.path, source.format, name, source.class_map)
            self._read_splits[name] = splits
        return self._read_splits[name]

    def _train_val(self, name: str) -> tuple[PageTable | None, PageTable | None]:
        """The pages of a source to train on and to validate on, divided once."""
        if name not in self._divided:
            self._divided[name] = self._divide(name)
        return self._divided[name]

    def _divide(self, name: str) -> tuple[PageTable | None, PageTable | None]:
        """Tell the pages to train on from those to validate on: neither need be there for the other."""
        splits, source = self._splits(name), self.named[name]
        train, val = splits.get("train") or splits.get("all"), splits.get("val")
        if source.role == "val":
            if not val and source.path is not None and self._trained_on(source.path):
                raise UserError(
                    f"{self._key}: {source.path} is trained on and has no val split: give it once, with the "
                    "role both, and documents are held back"
                )
            return None, val or train
        if splits.get("train") and (unsplit := splits.get("all")):
            self.dropped["page of no split, beside those of train"] += len(unsplit)
            warn("%s: %d pages of no split are not used beside those of train", source.path, len(unsplit))
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

    def _trained_on(self, path: Path) -> bool:
        paths = [self.named[name].path for name in self._with("train")]
        return _resolved(path) in [_resolved(each) for each in paths if each is not None]

    def _other(self, split: Split, path: Path) -> Mix:
        """The `split` of another data set, or all its pages where it has none of that name."""
        key = f"data.{split}_path"
        splits = self._read(key, path, self.format, None, None)
        chosen = splits.get(split)
        if not chosen and self._trained_on(path):
            warn("%s: %s is trained on and has no %s split: scores come out too high", key, path, split)
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
        bare = [name for name, table in tables.items() if name in self.named and not table]
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
            held_back = split == "val" and not counts and key == self._key
            remedy = (
                "data.val_path, or another data.split_seed"
                if held_back
                else "data.class_names, or other pages"
            )
            raise UserError(
                f"{key}: no {' or '.join(self.class_names)} on any {split} page, found "
                f"{counts or 'no boxes'}: give {remedy}"
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


def _resolved(path: Path) -> Path:
    return Path(path).expanduser().resolve()
