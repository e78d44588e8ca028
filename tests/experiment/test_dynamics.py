"""Figures of an epoch, alarms, and what is left out of them."""

from __future__ import annotations

import pytest
import torch

from tablesense.experiment.alarms import Alarms
from tablesense.experiment.dynamics import Dynamics, balance
from tablesense.losses import DetrCriterion, LossConfig, Matching


def optimizer(*groups: tuple[str, float, list[float] | None]) -> torch.optim.Optimizer:
    """An optimizer of groups with a name, a rate and the gradient of their one parameter."""
    made = []
    for name, lr, gradient in groups:
        parameter = torch.nn.Parameter(torch.zeros(len(gradient or [0])))
        parameter.grad = None if gradient is None else torch.tensor(gradient)
        made.append({"name": name, "lr": lr, "params": [parameter]})
    return torch.optim.SGD(made)


def test_time_is_divided_into_waiting_and_stepping() -> None:
    dynamics = Dynamics()
    dynamics.begin(10.0)
    for began, ended in (11.0, 14.0), (15.0, 18.0):
        dynamics.step_begins(began)
        dynamics.step_ends(ended, 4, None)
    dynamics.resume(30.0)  # a validation in between is neither
    dynamics.step_begins(31.0)
    dynamics.step_ends(34.0, 4, None)
    values = dynamics.end(optimizer(("transformer", 1e-3, None)), processes=2)
    assert values["train/data_time"] == pytest.approx(1)
    assert values["train/step_time"] == pytest.approx(3)
    assert values["train/data_share"] == pytest.approx(0.25)
    assert values["train/images_per_second"] == pytest.approx(2 * 12 / 12)
    assert values["train/lr_transformer"] == 1e-3
    assert values["train/memory_gb"] > 0.05
    assert "train/matched_iou" not in values


def test_gradients_are_measured_by_group_and_together() -> None:
    dynamics = Dynamics()
    dynamics.gradients(
        optimizer(("backbone", 1, [3.0, 0.0]), ("heads and necks", 1, [4.0]), ("frozen", 1, None))
    )
    dynamics.gradients(optimizer(("backbone", 1, [0.0, 1.0]), ("heads and necks", 1, [0.0])))
    dynamics.gradients(optimizer(("backbone", 1, [float("inf"), 1.0]), ("heads and necks", 1, [2.0])))
    values = dynamics.end(optimizer(("backbone", 1, None)))
    assert values["train/grad_norm"] == pytest.approx((5 + 1) / 2)
    assert values["train/grad_norm_max"] == pytest.approx(5)
    assert values["train/grad_norm_backbone"] == pytest.approx(2)
    assert values["train/grad_norm_heads_and_necks"] == pytest.approx(2)
    assert "train/grad_norm_frozen" not in values


def test_memory_is_that_of_the_device_that_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 0)
    assert Dynamics().end(optimizer(("backbone", 1, None)))["train/memory_gb"] > 0.05


def test_an_epoch_starts_afresh() -> None:
    dynamics = Dynamics()
    dynamics.gradients(optimizer(("backbone", 1, [3.0])))
    dynamics.step_ends(1.0, 4, Matching(torch.tensor([True]), torch.tensor(1), torch.tensor(0.5)))
    dynamics.begin(5.0)
    values = dynamics.end(optimizer(("backbone", 1, None)))
    assert values.keys() == {"train/lr_backbone", "train/memory_gb"}


def test_matching_over_batches() -> None:
    dynamics = Dynamics()
    for queries, pairs, iou in ([True, False, False, False], 1, 0.5), ([True, True, False, False], 3, 2.7):
        dynamics.step_ends(0.0, 1, Matching(torch.tensor(queries), torch.tensor(pairs), torch.tensor(iou)))
    values = dynamics.end(optimizer(("backbone", 1, None)))
    assert values["train/queries_matched"] == 0.5
    assert values["train/matched_iou"] == pytest.approx(0.8)


def test_the_criterion_says_what_it_matched() -> None:
    criterion = DetrCriterion(1, LossConfig(cost_cls=0, decoder_matches=1))
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.2, 0.1]]])
    outputs = {"pred_logits": torch.zeros(1, 3, 1), "pred_boxes": boxes}
    truth = torch.tensor([[0.8, 0.8, 0.2, 0.2]])
    criterion(outputs, [{"labels": torch.tensor([0]), "boxes": truth}])
    assert criterion.matching is not None
    assert criterion.matching.queries.tolist() == [False, False, True]
    assert criterion.matching.pairs == 1
    assert criterion.matching.iou == pytest.approx(0.5)
    criterion(outputs, [{"labels": torch.zeros(0).long(), "boxes": torch.zeros(0, 4)}])
    assert criterion.matching.queries.tolist() == [False] * 3
    assert (criterion.matching.pairs, criterion.matching.iou) == (0, 0)


def test_losses_against_each_other() -> None:
    config = LossConfig(lambda_cls=2, lambda_l1=5, lambda_iou=1)
    means = {"train/loss_ce": 1.0, "train/loss_ce_0": 0.5, "train/loss_ce_enc": 0.5}
    means |= {"train/loss_bbox": 0.1, "train/loss_bbox_0": 0.3, "train/loss_giou": 2.0}
    values = balance({**means, "train/loss_epoch": 8.0, "val/loss_ce": 9.0}, config)
    assert values["train/loss_ratio_cls_l1"] == pytest.approx(1 / (0.1 + 1e-6))
    assert values["train/share_cls"] == pytest.approx(4 / 8)
    assert values["train/share_l1"] == pytest.approx(2 / 8)
    assert values["train/share_iou"] == pytest.approx(2 / 8)
    assert balance({}, config) == {}


def test_queries_that_say_no_object_are_told_once_with_a_cause() -> None:
    alarms = Alarms(warmup=2, score_threshold=0.5)
    raised = [alarms.watch(epoch, 10 - epoch, 0.0, 0.31, 0) for epoch in range(1, 9)]
    assert [len(some) for some in raised] == [0, 0, 0, 0, 1, 0, 0, 0]
    (alarm,) = raised[4]
    assert alarm.epoch == 5
    assert "every query says no-object" in alarm.title
    assert "needs more steps" in alarm.text
    stuck = Alarms(warmup=0, score_threshold=0.5)
    assert "learning rate" in [stuck.watch(epoch, 10, 0.0, 0.02, 0) for epoch in (1, 2, 3)][2][0].text


def test_losses_that_fall_with_nothing_right_are_told() -> None:
    alarms = Alarms(warmup=0.5, score_threshold=0.5)
    raised = [alarms.watch(epoch, 10 / epoch, 0.0, 0.9, 12) for epoch in range(1, 6)]
    assert [len(some) for some in raised] == [0, 0, 0, 1, 0]
    assert raised[3][0].title == "losses fall but val/f1 stays 0"
    assert "boxes" in raised[3][0].text


def test_a_training_that_learns_raises_no_alarm() -> None:
    alarms = Alarms(warmup=1, score_threshold=0.5)
    f1 = [0.0, 0.0, 0.0, 0.4, 0.5, 0.0, 0.5]
    finds = [0, 0, 0, 12, 12, 0, 12]
    assert not any(alarms.watch(i + 1, 10 / (i + 1), f1[i], 0.6, finds[i]) for i in range(7))
