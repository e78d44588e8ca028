"""`ExperimentLogger` with Lightning's own loggers, as a notebook uses it."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tablesense import (
    DetrConfig,
    ExperimentLogger,
    LoggingConfig,
    SyntheticConfig,
    TableDataModule,
    TableDETRModule,
)

SMALL = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=2, num_queries=10, ffn_dim=32)
EPOCHS = 4
DYNAMICS = {
    "train/lr_transformer",
    "train/loss_ratio_cls_l1",
    "train/share_cls",
    "train/share_l1",
    "train/share_iou",
    "train/matched_iou",
    "train/queries_matched",
    "train/cardinality_error",
    "train/grad_norm",
    "train/grad_norm_max",
    "train/grad_norm_transformer",
    "train/grad_norm_backbone",
    "train/data_time",
    "train/step_time",
    "train/data_share",
    "train/images_per_second",
    "train/memory_gb",
}


def fit(
    folder: Path,
    pages: Path,
    logger: Any,
    config: LoggingConfig | None = None,
    max_epochs: int = EPOCHS,
    ckpt_path: Path | None = None,
    **options: Any,
) -> Trainer:
    data = TableDataModule(
        synthetic=SyntheticConfig(pages=8, val_pages=6, cache_dir=pages),
        image_size=96,
        batch_size=2,
        num_workers=0,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        logger=logger,
        callbacks=[ExperimentLogger(config, folder)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(TableDETRModule(detr=SMALL, image_size=96), data, ckpt_path=ckpt_path, weights_only=True)
    return trainer


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pages: Path) -> Path:
    """The folder of a run with a CSV and a TensorBoard logger."""
    folder = tmp_path_factory.mktemp("experiment") / "001"
    loggers = [
        CSVLogger(folder.parent, "", folder.name),
        TensorBoardLogger(folder.parent, "", f"{folder.name}/board"),
    ]
    fit(folder, pages, loggers)
    return folder


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_epoch_has_its_figures_once(run: Path) -> None:
    for name in DYNAMICS:
        assert len([row for row in rows(run) if row[name]]) == EPOCHS, name
    shares = [sum(float(row[f"train/share_{part}"]) for part in ("cls", "l1", "iou"))
              for row in rows(run) if row["train/share_cls"]]  # fmt: skip
    assert shares == pytest.approx([1] * EPOCHS)
    losses = [row for row in rows(run) if row["train/loss_ratio_cls_l1"]]
    for row in losses:
        ratio = float(row["train/loss_ce"]) / (float(row["train/loss_bbox"]) + 1e-6)
        assert float(row["train/loss_ratio_cls_l1"]) == pytest.approx(ratio, rel=1e-4)


def test_two_loggers_get_the_same_scalars(run: Path) -> None:
    board = EventAccumulator(str(run / "board"))
    board.Reload()
    assert set(board.Tags()["scalars"]) >= DYNAMICS
    for name in "val/f1", "train/grad_norm", "train/loss":
        in_board = [event.value for event in board.Scalars(name)]
        assert in_board == pytest.approx([float(row[name]) for row in rows(run) if row[name]], rel=1e-5)


def test_tensorboard_shows_what_it_can(run: Path) -> None:
    board = EventAccumulator(str(run / "board"))
    board.Reload()
    tags = board.Tags()
    assert "evaluation/pages" in tags["images"]
    assert {"data/train_box_area", "data/val_box_aspect"} <= set(tags["histograms"])
    assert any("architecture" in tag for tag in tags["tensors"])


def test_the_folder_says_what_was_run(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    assert described["state"] == "finished"
    assert described["versions"]["torch"]
    assert described["parameters"]["total"] >= described["parameters"]["trainable"] > 0
    assert "DeformableDetr" in (run / "architecture.txt").read_text()
    data = json.loads((run / "data.json").read_text())
    assert data["datasets"] == ["synthetic"]
    for split, number in ("train", 8), ("val", 6):
        found = data[split]
        assert found["pages"] == number == sum(found["tables_per_page"].values())
        assert found["tables"] == sum(found["box_area"]["counts"]) == sum(found["box_aspect"]["counts"])
        assert found["pages_without_tables"] == found["tables_per_page"].get("0", 0)
    assert {"report.html", "found.png"} <= {path.name for path in run.iterdir()}


def test_without_a_logger_a_run_trains_and_has_its_files(tmp_path: Path, pages: Path) -> None:
    fit(tmp_path / "001", pages, False)
    assert (tmp_path / "001" / "report.html").is_file()
    assert json.loads((tmp_path / "001" / "run.json").read_text())["state"] == "finished"


def test_every_part_can_be_switched_off(tmp_path: Path, pages: Path) -> None:
    off = LoggingConfig(
        log_hyperparameters=False,
        log_model_summary=False,
        log_dataset_stats=False,
        log_dynamics=False,
        log_evaluation=False,
        report=False,
    )
    fit(tmp_path / "001", pages, CSVLogger(tmp_path, "", "001"), off)
    assert {path.name for path in (tmp_path / "001").iterdir()} <= {
        "run.json",
        "metrics.csv",
        "hparams.yaml",
        "checkpoints",
    }
    assert not DYNAMICS & rows(tmp_path / "001")[0].keys() - {"train/cardinality_error"}


def test_a_run_that_fails_says_so(tmp_path: Path, pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("as asked")

    monkeypatch.setattr(TableDETRModule, "on_train_epoch_end", fail)
    with pytest.raises(ValueError, match="as asked"):
        fit(tmp_path / "001", pages, False)
    assert json.loads((tmp_path / "001" / "run.json").read_text())["state"] == "failed"


def test_an_alarm_is_said_and_kept(tmp_path: Path, pages: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tablesense"):
        fit(tmp_path / "001", pages, False, LoggingConfig(report=False))
    (alarm,) = json.loads((tmp_path / "001" / "run.json").read_text())["alarms"]
    assert "every query says no-object" in alarm["title"]
    assert alarm["text"] in caplog.text


def test_what_comes_after_a_training_changes_nothing_of_it(
    tmp_path: Path, pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("as asked")

    def kept() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*.json")}

    folder = tmp_path / "001"
    trainer = fit(folder, pages, False, LoggingConfig(report=False), max_epochs=1)
    before, again = kept(), (trainer.lightning_module, trainer.datamodule)  # type: ignore[attr-defined]
    trainer.limit_val_batches = 1
    trainer.validate(*again, verbose=False)
    monkeypatch.setattr(TableDETRModule, "test_step", fail)
    with pytest.raises(ValueError, match="as asked"):
        trainer.test(*again, verbose=False)
    assert kept() == before
    assert {"truth.json", "best.json", "last.json", "run.json"} <= {path.name for path in before}


def test_an_epoch_that_is_not_validated_raises_no_alarm(tmp_path: Path, pages: Path) -> None:
    config = LoggingConfig(report=False)
    fit(tmp_path / "001", pages, False, config, check_val_every_n_epoch=EPOCHS + 1)
    assert json.loads((tmp_path / "001" / "run.json").read_text())["alarms"] == []


def test_a_training_that_goes_on_knows_its_best_epoch(
    tmp_path: Path, pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    best: list[bool] = []
    monkeypatch.setattr(
        "tablesense.experiment.tracker.show_best", lambda loggers, epoch, metrics: shown.append(epoch)
    )
    monkeypatch.setattr("tablesense.experiment.tracker.log_weights", lambda *given: best.append(given[-1]))
    config, last = LoggingConfig(report=False), tmp_path / "last.ckpt"
    without = LoggingConfig(report=False, log_evaluation=False)
    fit(tmp_path / "001", pages, False, config, max_epochs=1).save_checkpoint(last)
    assert shown == [1]
    fit(tmp_path / "002", pages, False, config, max_epochs=2, ckpt_path=last)
    assert shown == [1]  # nothing is found in either epoch
    assert best == [True, True]
    fit(tmp_path / "003", pages, False, config, max_epochs=1)
    assert shown == [1, 1]
    kept = torch.load(last, weights_only=True)
    kept["callbacks"]["ExperimentLogger"]["best_f1"] = 0.5
    torch.save(kept, last)
    for folder, switches in ("004", config), ("005", without):
        fit(tmp_path / folder, pages, False, switches, max_epochs=2, ckpt_path=last)
    assert shown == [1, 1]
    assert best == [True, True, True, False, False]
