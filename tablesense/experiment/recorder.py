"""Keeps what is found on the validation pages: every epoch as files, at the end as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from tablesense.data.page import Page
from tablesense.experiment.analysis import Analysis, analyse
from tablesense.experiment.evaluation import (
    FOLDER,
    Finds,
    ScoredPage,
    Which,
    look,
    read_evaluation,
    write_info,
    write_results,
    write_truth,
)

PICTURE_SIZE = 720
"""The longest side of a page's picture, in pixels."""


class Recorder:
    """What was found in the best and in the last epoch.

    Args:
        folder: The run's.
        class_names: In the order of the labels.
        score_threshold: The lowest score that counts as a find.
        pictures: How many pages are shown whatever is found on them, and how many of the worst.
    """

    def __init__(
        self, folder: Path, class_names: Sequence[str], score_threshold: float, pictures: int
    ) -> None:
        self.folder, self.class_names, self.pictures = folder, tuple(class_names), pictures
        self.info: dict[str, Any] = {
            "score_threshold": score_threshold,
            "iou_threshold": 0.5,
            "class_names": list(class_names),
        }
        self._pages: Sequence[Page] = ()
        self._finds: dict[int, Finds] = {}
        self._whole: dict[int, Finds] = {}  # of the last epoch that was validated to its end

    def begin(self, pages: Sequence[Page]) -> None:
        """Forget the last epoch's finds.

        Args:
            pages: The validation pages, in the order of their indices.
        """
        self._pages, self._finds = pages, {}

    def add(self, batch: Mapping[str, Any], predictions: Sequence[Mapping[str, Tensor]]) -> None:
        """Keep what was found on a batch; see `tablesense.experiment.evaluation.look`."""
        self._finds |= look(batch, predictions, self.info["score_threshold"])

    @property
    def epoch(self) -> int:
        """The last epoch that was written; 0 before the first, and on processes that write nothing."""
        epoch: int = self.info.get("last", {}).get("epoch", 0)
        return epoch

    @property
    def highest(self) -> float:
        """The highest score of this epoch."""
        return max((score for page in self._finds.values() for score in page.scores), default=0.0)

    @property
    def number(self) -> int:
        """How many finds count."""
        threshold = self.info["score_threshold"]
        return sum(score >= threshold for page in self._finds.values() for score in page.scores)

    def end(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write what was found in an epoch, as the last and, when `val/f1` is higher than ever, as the best.

        Every process brings its share; the first one writes.

        Args:
            epoch: Counted from 1.
            metrics: The epoch's.
        """
        if dist.is_available() and dist.is_initialized():
            shares: list[dict[int, Finds]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(shares, self._finds)
            self._finds = {index: page for share in shares for index, page in share.items()}
            if dist.get_rank() > 0:
                return
        if not self._finds:
            return
        known, self._whole = self._whole.keys(), dict(sorted(self._finds.items()))
        if self._whole.keys() != known:
            self._write_truth({})
        best = self.info.get("best", {}).get("metrics", {}).get("val/f1", float("-inf"))
        whiches: list[Which] = ["last", "best"] if metrics.get("val/f1", float("-inf")) > best else ["last"]
        for which in whiches:
            write_results(self.folder, which, self._whole)
            self.info[which] = {"epoch": epoch, "metrics": dict(metrics)}
        write_info(self.folder, self.info)

    @property
    def whiches(self) -> list[Which]:
        """The validations that differ: the best, and the last where it is another one."""
        if "best" not in self.info:
            return ["last"] if "last" in self.info else []
        return ["best"] if self.info["best"] == self.info["last"] else ["best", "last"]

    def finish(self) -> dict[Which, tuple[Sequence[ScoredPage], Analysis]]:
        """Analyse the epochs and keep pictures of the pages that are shown of them."""
        analyses = {which: self._analyse(read_evaluation(self.folder, which)) for which in self.whiches}
        if self._whole and self.pictures:
            places = {place for analysis in analyses.values() for place in analysis.worst(self.pictures)}
            known = list(self._whole)
            shown = sorted({*self._fixed(), *(known[place] for place in places)})
            self._write_truth({index: self._keep_picture(index) for index in shown})
        # Read once more, now with their pictures.
        return {which: (read_evaluation(self.folder, which), analyses[which]) for which in analyses}

    def _analyse(self, pages: Sequence[ScoredPage]) -> Analysis:
        return analyse(pages, self.class_names, self.info["score_threshold"], self.info["iou_threshold"])

    def _fixed(self) -> list[int]:
        """Pages spread over the data set, a quarter of them without tables where there are such."""
        empty = [index for index in self._whole if not self._pages[index].boxes]
        full = [index for index in self._whole if self._pages[index].boxes]
        some = _spread(empty, max(self.pictures // 4, self.pictures - len(full)))
        return sorted(some + _spread(full, self.pictures - len(some)))

    def _keep_picture(self, index: int) -> str:
        path = Path("pages") / f"{index:06d}.jpg"
        place = self.folder / FOLDER / path
        place.parent.mkdir(exist_ok=True)
        image = self._pages[index].open(2 * PICTURE_SIZE)
        scale = PICTURE_SIZE / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image.resize(size, reducing_gap=2.0).save(place, quality=70, optimize=True)
        return path.as_posix()

    def _write_truth(self, pictures: Mapping[int, str]) -> None:
        pages = {index: self._pages[index] for index in self._whole}
        fixed = self._fixed() if pictures else ()
        write_truth(self.folder, pages, self._whole, self.class_names, pictures, fixed)


def _spread(items: Sequence[int], number: int) -> list[int]:
    """Some of the items, at even distances."""
    number = max(0, min(number, len(items)))
    return [items[(2 * i + 1) * len(items) // (2 * number)] for i in range(number)]
