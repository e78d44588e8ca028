"""How the network is trained: rates, groups of parameters, schedule, averaging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Any, Literal

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from tablesense.errors import UserError


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    Attributes:
        lr: Peak learning rate of AdamW, for all but the backbone.
        backbone_lr: Peak learning rate of the backbone; null for three tenths of `lr`.
        offsets_lr_ratio: Deformable: rate of the sampling offsets and reference points, as a share of
            `lr`; the paper takes .1.
        weight_decay: AdamW's; never applied to norms and biases.
        warmup_epochs: Epochs in which the rates rise from 0, step by step; fractions are fine.
        schedule: After that: "cosine" down to `final_lr_ratio`, or "step": a tenth from `drop_epoch` on.
        final_lr_ratio: Where the cosine ends, as a share of the peak.
        drop_epoch: Where "step" drops.
        gradient_accumulation_steps: Batches for each optimiser step.
        lr_scaling: How all rates grow with the batches of a step: not at all ("none"), in proportion
            ("linear", arXiv:1706.02677) or with their square root ("sqrt", arXiv:2205.10287). With "linear"
            the best `lr` hardly moves with `gradient_accumulation_steps`, so that both can be swept.
        ema_decay: Evaluate and save an exponential moving average of the weights; null for none.
        channels_last: Keep feature maps with channels innermost, which convolutions are faster with on
            CPUs, and in half precision on GPUs.
    """

    lr: float = 5e-4
    backbone_lr: float | None = None
    offsets_lr_ratio: float = 1.0
    weight_decay: float = 1e-4
    warmup_epochs: float = 1.0
    schedule: Literal["cosine", "step"] = "cosine"
    final_lr_ratio: float = 0.02
    drop_epoch: int = 40
    gradient_accumulation_steps: int = 1
    lr_scaling: Literal["none", "sqrt", "linear"] = "none"
    ema_decay: float | None = None
    channels_last: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot train.

        Raises:
            UserError: A value is out of its range.
        """
        at_least = {"gradient_accumulation_steps": 1, "drop_epoch": 1, "weight_decay": 0, "warmup_epochs": 0}
        at_least |= {"backbone_lr": 0, "offsets_lr_ratio": 0, "final_lr_ratio": 0}
        for name, lowest in at_least.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value < inf:
                raise UserError(f"training.{name}: expected {lowest} or more, found {value}")
        if not 0 < self.lr < inf:
            raise UserError(f"training.lr: expected more than 0, found {self.lr}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise UserError(f"training.ema_decay: expected null or between 0 and 1, found {self.ema_decay}")


def parameter_groups(detr: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Divide what is trained into groups with a rate and a decay each.

    The backbone and the sampling offsets have rates of their own; norms and biases never decay.

    Returns:
        AdamW's groups, each with a `name`; only those that have parameters.
    """
    power = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}[config.lr_scaling]
    scale = config.gradient_accumulation_steps**power
    backbone_lr = 0.3 * config.lr if config.backbone_lr is None else config.backbone_lr
    rates = {
        "transformer": config.lr,
        "backbone": backbone_lr,
        "offsets": config.lr * config.offsets_lr_ratio,
    }
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in detr.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "transformer"
        if ".backbone." in name:
            part = "backbone"
        elif "sampling_offsets" in name or "reference_points" in name:
            part = "offsets"
        groups.setdefault((part, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "name": part if decays else f"{part} norms and biases",
            "params": parameters,
            "lr": rates[part] * scale,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]


def schedule(config: TrainingConfig, steps_per_epoch: float, total_steps: float) -> Callable[[int], float]:
    """The factor on every learning rate at an optimiser step, counted from 0.

    Args:
        config: Warm-up and shape.
        steps_per_epoch: Optimiser steps in an epoch.
        total_steps: Optimiser steps of the whole run; infinite when it has no end, and the cosine then
            stays at its peak.
    """
    warmup = config.warmup_epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if config.schedule == "step":
            return 0.1 if step >= config.drop_epoch * steps_per_epoch else 1.0
        progress = min(1.0, (step - warmup) / max(1.0, total_steps - warmup))
        return config.final_lr_ratio + (1 - config.final_lr_ratio) * (1 + cos(pi * progress)) / 2

    return factor


class MovingAverage(WeightAveraging):
    """Lightning's weight averaging with a decay that starts low.

    At a constant .998 the random weights that training starts from would still be most of the average
    after the first epochs; (1 + n) / (10 + n) is below any decay at first and reaches it in time.

    Args:
        decay: What the decay ends at.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(use_buffers=False, multi_avg_fn=_moving_average(decay))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the average where the network is going to be; it is moved there only after this."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the average, so that a checkpoint that is scored next is taken as it was saved."""
        self._average_model = None


def _moving_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    def update(average: list[Tensor], current: list[Tensor], number: Tensor | int) -> None:
        n = int(number)
        torch._foreach_lerp_(average, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
