"""How a training goes, epoch by epoch: losses, matching, gradients, rates, time, memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from time import perf_counter

import torch
from torch import Tensor
from torch.optim import Optimizer

from tablesense.losses import LossConfig, Matching


class Dynamics:
    """Adds up what happens in the steps of an epoch.

    Nothing in a step waits for the device: tensors are added up where they are, and read once an epoch.
    """

    def __init__(self) -> None:
        self.begin(perf_counter())

    def begin(self, now: float) -> None:
        """Forget the last epoch.

        Args:
            now: The time in seconds, here and below, as `time.perf_counter` gives it.
        """
        self._waited_since = self._step_began = now
        self._data_time = self._step_time = 0.0
        self._batches = self._images = 0
        self._queries: Tensor | None = None
        self._pairs: Tensor | float = 0.0
        self._iou: Tensor | float = 0.0
        self._norms: dict[str, _Norm] = {}

    def resume(self, now: float) -> None:
        """Go on after a validation within the epoch, which is no waiting for data."""
        self._waited_since = now

    def step_begins(self, now: float) -> None:
        """A batch is there: the time since the last step went to waiting for it."""
        self._data_time += now - self._waited_since
        self._step_began = now

    def step_ends(self, now: float, images: int, matching: Matching | None) -> None:
        """A batch was trained on."""
        self._step_time += now - self._step_began
        self._waited_since = now
        self._batches += 1
        self._images += images
        if matching is not None:
            self._queries = matching.queries if self._queries is None else self._queries | matching.queries
            self._pairs = self._pairs + matching.pairs
            self._iou = self._iou + matching.iou

    @torch.no_grad()
    def gradients(self, optimizer: Optimizer) -> None:
        """Measure the gradients before they are clipped, those of each group of parameters and of all."""
        norms = {}
        for group in optimizer.param_groups:
            found = [p.grad for p in group["params"] if p.grad is not None]
            if found:
                norms[_key(group["name"])] = torch.stack(torch._foreach_norm(found)).float().norm()
        if norms:
            norms[""] = torch.stack(list(norms.values())).norm()
        for name, norm in norms.items():
            self._norms.setdefault(name, _Norm()).add(norm)

    def end(self, optimizer: Optimizer, processes: int = 1) -> dict[str, float]:
        """The epoch's figures, under their names in the log.

        Args:
            optimizer: Whose rates are read.
            processes: How many take part; each knows its own images only.

        Returns:
            As far as each is defined: `train/lr_<group>`, `train/matched_iou`, `train/queries_matched`,
            `train/grad_norm`, `train/grad_norm_<group>` (means over the steps), `train/grad_norm_max`,
            `train/data_time` and `train/step_time` (seconds a batch), `train/data_share`,
            `train/images_per_second` and `train/memory_gb`.
        """
        values = {f"train/lr_{_key(group['name'])}": float(group["lr"]) for group in optimizer.param_groups}
        if self._queries is not None:
            values["train/queries_matched"] = float(self._queries.float().mean())
        if pairs := float(self._pairs):
            values["train/matched_iou"] = float(self._iou) / pairs
        for name, norm in self._norms.items():
            values |= norm.values(f"train/grad_norm_{name}".removesuffix("_"))
        if self._batches:
            seconds = self._data_time + self._step_time
            values["train/data_time"] = self._data_time / self._batches
            values["train/step_time"] = self._step_time / self._batches
            values["train/data_share"] = self._data_time / seconds
            values["train/images_per_second"] = processes * self._images / seconds
        values["train/memory_gb"] = _memory(optimizer.param_groups[0]["params"][0].device)
        return values


class _Norm:
    """Mean and maximum of a norm over steps; a norm that is not finite is left out."""

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.number: Tensor | float = 0.0
        self.highest: Tensor | None = None

    def add(self, norm: Tensor) -> None:
        finite = norm.isfinite()
        value = norm.where(finite, 0)
        self.total, self.number = self.total + value, self.number + finite
        self.highest = value if self.highest is None else torch.maximum(self.highest, value)

    def values(self, name: str) -> dict[str, float]:
        number = float(self.number)
        if not number or self.highest is None:
            return {}
        values = {name: float(self.total) / number}
        if name == "train/grad_norm":
            values[f"{name}_max"] = float(self.highest)
        return values


def balance(means: Mapping[str, float], config: LossConfig) -> dict[str, float]:
    """How the losses stand to each other.

    Args:
        means: An epoch's mean losses: `train/loss_ce`, `train/loss_bbox`, `train/loss_giou`, and the same
            with the endings of the other layers.
        config: Their weights.

    Returns:
        `train/loss_ratio_cls_l1`, the last layer's classification loss over its L1 loss, both unweighted;
        `train/share_cls`, `train/share_l1` and `train/share_iou`, what each loss is of the total that is
        trained on, all layers together.
    """
    values = {}
    if {"train/loss_ce", "train/loss_bbox"} <= means.keys():
        values["train/loss_ratio_cls_l1"] = means["train/loss_ce"] / (means["train/loss_bbox"] + 1e-6)
    weights = {"ce": config.lambda_cls, "bbox": config.lambda_l1, "giou": config.lambda_iou}
    sums = {
        part: weight * sum(v for name, v in means.items() if re.fullmatch(rf"train/loss_{part}(_\w+)?", name))
        for part, weight in weights.items()
    }
    if total := sum(sums.values()):
        names = {"ce": "cls", "bbox": "l1", "giou": "iou"}
        values |= {f"train/share_{names[part]}": value / total for part, value in sums.items()}
    return values


def _key(group: str) -> str:
    """A group's name as part of a metric's name."""
    return group.replace(" ", "_")


def _memory(device: torch.device) -> float:
    """The most memory that was taken so far, in GB: of the GPU that is trained on, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return float("nan")
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
