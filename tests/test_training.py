"""Groups of parameters, schedule and averaging."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import nn

from tablesense.detr import DetrConfig, build_detr
from tablesense.errors import UserError
from tablesense.training import MovingAverage, TrainingConfig, parameter_groups, schedule


def test_every_trained_parameter_is_in_one_group_with_its_rate() -> None:
    detr = build_detr(DetrConfig(backbone_weights=None), 1)
    config = TrainingConfig(lr=1e-3, backbone_lr=1e-5, offsets_lr_ratio=0.1, weight_decay=0.05)
    groups = parameter_groups(detr, config)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in detr.parameters() if p.requires_grad)
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates["transformer"] == 1e-3
    assert rates["backbone"] == 1e-5
    assert rates["offsets"] == pytest.approx(1e-4)


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("sqrt", 2), ("linear", 4)])
def test_rates_grow_with_the_batches_of_a_step_as_told(scaling: Any, factor: float) -> None:
    detr = build_detr(DetrConfig(backbone_weights=None), 1)
    config = TrainingConfig(lr=1e-3, backbone_lr=1e-4, gradient_accumulation_steps=4, lr_scaling=scaling)
    rates = {group["name"]: group["lr"] for group in parameter_groups(detr, config)}
    assert rates["transformer"] == pytest.approx(factor * 1e-3)
    assert rates["backbone"] == pytest.approx(factor * 1e-4)


def test_norms_and_biases_do_not_decay() -> None:
    detr = build_detr(DetrConfig(backbone_weights=None), 1)
    decays = {
        id(p): group["weight_decay"]
        for group in parameter_groups(detr, TrainingConfig(weight_decay=0.05))
        for p in group["params"]
    }
    for module in detr.modules():
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
            assert decays[id(module.weight)] == 0
        elif isinstance(module, nn.Linear):
            assert decays[id(module.weight)] == 0.05
            assert decays[id(module.bias)] == 0


def test_backbone_rate_follows_the_learning_rate_where_none_is_given() -> None:
    detr = build_detr(DetrConfig(backbone_weights=None), 1)
    rates = {group["name"]: group["lr"] for group in parameter_groups(detr, TrainingConfig(lr=1e-3))}
    assert rates["backbone"] == pytest.approx(3e-4)


def test_rates_rise_step_by_step_and_fall_on_a_cosine() -> None:
    config = TrainingConfig(warmup_epochs=2, final_lr_ratio=0.1)
    factor = schedule(config, steps_per_epoch=10, total_steps=100)
    assert [factor(step) for step in (0, 9, 19)] == pytest.approx([1 / 21, 10 / 21, 20 / 21])
    assert factor(20) == 1
    assert factor(60) == pytest.approx(0.55)
    assert factor(100) == pytest.approx(0.1)
    assert factor(1000) == pytest.approx(0.1)


def test_step_schedule_drops_to_a_tenth_at_its_epoch() -> None:
    factor = schedule(TrainingConfig(warmup_epochs=0, schedule="step", drop_epoch=4), 10, 60)
    assert (factor(39), factor(40)) == (1.0, 0.1)


def test_a_run_without_an_end_keeps_its_peak() -> None:
    assert schedule(TrainingConfig(warmup_epochs=0), 10, float("inf"))(10_000) == 1


def test_average_follows_at_first_and_reaches_its_decay_later() -> None:
    from torch.optim.swa_utils import AveragedModel

    callback = MovingAverage(0.99)
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = AveragedModel(model, use_buffers=False, **callback._kwargs)
    average.update_parameters(model)  # the first is a copy
    nn.init.ones_(model.weight)
    expected = 0.0
    for n in range(1, 2000):
        average.update_parameters(model)
        decay = min(0.99, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay)
        if n == 1:
            assert average.module.weight.item() == pytest.approx(9 / 11)
    assert average.module.weight.item() == pytest.approx(expected, abs=1e-5)


def test_the_average_is_kept_where_the_network_is_going_to_be() -> None:
    module = LightningModule()
    module.layer = nn.Linear(1, 1)
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    callback = MovingAverage(0.99)
    callback.setup(trainer, module, "fit")
    assert callback._average_model is not None
    assert {p.device.type for p in callback._average_model.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", 0.0),
        ("lr", float("nan")),
        ("backbone_lr", -1.0),
        ("gradient_accumulation_steps", 0),
        ("weight_decay", -1.0),
        ("ema_decay", 1.0),
    ],
)
def test_values_that_cannot_train_are_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"training.{key}: expected"):
        TrainingConfig(**{key: value})  # type: ignore[arg-type]


def test_schedule_reaches_the_optimiser(tmp_path: object) -> None:
    parameter = nn.Parameter(torch.zeros(2, 2))
    optimizer = torch.optim.AdamW([parameter], lr=1.0)
    factor = schedule(TrainingConfig(warmup_epochs=1), 4, 8)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([factor(step) for step in range(8)])
