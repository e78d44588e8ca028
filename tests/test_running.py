"""What `fit` builds of a configuration, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from tablesense.callbacks import BestCheckpoint
from tablesense.loggers import LoggingConfig
from tablesense.running import TableCLI


class Builder(TableCLI):
    """Builds everything, and trains nothing."""

    def fit(self, **given: Any) -> None:
        """Nothing."""


def built(*options: str) -> Trainer:
    return build(*options).trainer


def build(*options: str) -> TableCLI:
    small = ["--model.detr.hidden_dim=32", "--trainer.accelerator=cpu"]
    return Builder.from_arguments(["fit", *small, *options])


def test_one_callback_needs_no_list_and_a_checkpoint_of_ones_own_does_not_become_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = built(
        "--logging.wandb=off", "--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=val/loss"
    )
    monitored = [own.monitor for own in trainer.checkpoint_callbacks if isinstance(own, ModelCheckpoint)]
    assert monitored == ["val/f1", None, "val/loss"]
    assert isinstance(trainer.checkpoint_callback, BestCheckpoint)


@pytest.mark.parametrize(("options", "mode"), [([], "offline"), (["--trainer.fast_dev_run=true"], "off")])
def test_weights_and_biases_is_not_told_of_a_fast_dev_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], mode: str
) -> None:
    told: list[str | bool] = []

    def record(settings: LoggingConfig, *_: object) -> list[Logger]:
        told.append(settings.wandb)
        return []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tablesense.running.build_loggers", record)
    built("--logging.wandb=offline", *options)
    assert told == [mode]


@pytest.mark.parametrize(("known", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_the_precision_is_what_the_device_is_fast_in_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool, precision: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tablesense.precision.cpu_has_bf16", lambda: known)
    cli = build("--logging.wandb=off")
    assert cli.trainer.precision == cli._resolved()["trainer"]["precision"] == precision
    assert built("--logging.wandb=off", "--trainer.precision=64-true").precision == "64-true"


def test_a_plugin_that_brings_a_precision_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = built("--logging.wandb=off", "--trainer.plugins=lightning.pytorch.plugins.DoublePrecision")
    assert own.precision == "64-true"
