"""The LightningModule, as a notebook uses it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from tablesense import (
    DetrConfig,
    LossConfig,
    SyntheticConfig,
    TableDataModule,
    TableDETRModule,
    TrainingConfig,
    UserError,
)
from tablesense.callbacks import BestCheckpoint, RunReport, last_checkpoint
from tablesense.data.sources import Mix, SourceConfig
from tablesense.data.synthetic import synthetic_pages

SMALL = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=2, num_queries=10, ffn_dim=32)


def trainer(folder: Path, **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": CSVLogger(folder),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
        "log_every_n_steps": 1,
    }
    return Trainer(**settings | options)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> SyntheticConfig:
    return SyntheticConfig(pages=8, val_pages=4, cache_dir=tmp_path_factory.mktemp("pages"))


def data(pages: SyntheticConfig, **options: Any) -> TableDataModule:
    return TableDataModule(synthetic=pages, image_size=96, batch_size=2, num_workers=0, **options)


def small(**options: Any) -> TableDETRModule:
    return TableDETRModule(**{"detr": SMALL, "image_size": 96} | options)


def test_it_needs_no_arguments_and_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    module = TableDETRModule().eval()
    outputs = module(torch.zeros(1, 3, 64, 96, dtype=torch.uint8))
    assert outputs["pred_logits"].shape == (1, 60, 1)
    assert module.class_names == ("table",)


def test_a_checkpoint_needs_nothing_else(
    tmp_path: Path, pages: SyntheticConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = small(score_threshold=0.4)
    run = trainer(tmp_path, max_steps=1)
    run.fit(module, data(pages))
    run.save_checkpoint(tmp_path / "a.ckpt")
    monkeypatch.setattr("tablesense.backbone._packaged_lite0", lambda: tmp_path / "not there")
    loaded = TableDETRModule.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).eval()
    assert (loaded.class_names, loaded.image_size, loaded.score_threshold) == (("table",), 96, 0.4)
    image = torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8)
    expected, found = module.eval()(image), loaded(image)
    torch.testing.assert_close(found["pred_boxes"], expected["pred_boxes"])


def test_padding_is_zero_after_normalisation() -> None:
    module = small()
    seen: list[torch.Tensor] = []
    module.detr.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mask = torch.ones(1, 64, 96, dtype=torch.bool)
    mask[:, :, 64:] = False
    module(torch.full((1, 3, 64, 96), 255, dtype=torch.uint8), mask)
    assert (seen[0][..., 64:] == 0).all()
    # White, by the mean and standard deviation of .5 that the backbone was trained with.
    torch.testing.assert_close(seen[0][..., :64], torch.ones(1, 3, 64, 64))


def test_postprocessing_gives_boxes_of_the_page_best_first() -> None:
    module = small()
    outputs = {
        "pred_logits": torch.tensor([[[-2.0], [1.0]]]),
        "pred_boxes": torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.9, 0.5, 0.4, 0.5]]]),
    }
    (found,) = module.postprocess(outputs, torch.tensor([[1000, 800]]))
    assert found["labels"].tolist() == [0, 0]
    torch.testing.assert_close(found["scores"], torch.tensor([1.0, -2.0]).sigmoid())
    expected = torch.tensor([[700.0, 200.0, 1000.0, 600.0], [400.0, 320.0, 600.0, 480.0]])
    torch.testing.assert_close(found["boxes"], expected)


def test_a_part_of_a_table_is_no_table_where_the_whole_counts() -> None:
    whole, part, beside = [0.5, 0.5, 0.4, 0.4], [0.5, 0.4, 0.4, 0.15], [0.5, 0.7, 0.4, 0.3]
    sizes = torch.tensor([[100, 100]])

    def found(scores: list[float], **options: float) -> list[float]:
        logits = torch.tensor([[[score] for score in scores]]).logit()
        outputs = {"pred_logits": logits, "pred_boxes": torch.tensor([[whole, part, beside]])}
        (page,) = small(**options).postprocess(outputs, sizes)
        return [round(score, 3) for score in page["scores"].tolist()]

    assert found([0.9, 0.6, 0.8]) == [0.9, 0.8]  # of the third one half lies in the first
    assert found([0.6, 0.9, 0.8]) == [0.9, 0.8, 0.6]  # the part is surer of itself
    assert found([0.4, 0.3, 0.2]) == [0.4, 0.3, 0.2]  # the whole does not count
    assert found([0.9, 0.6, 0.8], nms_iou=1.0) == [0.9, 0.8, 0.6]


def test_the_same_table_found_twice_counts_once() -> None:
    outputs = {
        "pred_logits": torch.tensor([[[1.0], [2.0], [0.0]]]),
        "pred_boxes": torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.22, 0.2], [0.5, 0.8, 0.2, 0.2]]]),
    }
    sizes = torch.tensor([[100, 100]])
    assert small().postprocess(outputs, sizes)[0]["scores"].tolist() == pytest.approx([0.8808, 0.5], abs=1e-4)
    assert len(small(nms_iou=1.0).postprocess(outputs, sizes)[0]["scores"]) == 3


def test_metrics_are_logged_once_an_epoch_and_never_in_the_sanity_check(
    tmp_path: Path, pages: SyntheticConfig
) -> None:
    trainer(tmp_path, max_epochs=2, num_sanity_val_steps=2).fit(small(), data(pages))
    (file,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(file.open()))
    assert len([row for row in rows if row["val/f1"]]) == 2
    for name in (
        "val/recall",
        "val/wf1",
        "val/map",
        "val/map_50",
        "val/map_75",
        "val/loss",
        "train/loss_epoch",
    ):
        assert len([row for row in rows if row[name]]) == 2, name
    values = [float(value) for row in rows for value in row.values() if value]
    assert all(value >= 0 for value in values)
    assert len([row for row in rows if row["train/lr"]]) == 8


def test_each_data_set_gets_scores_of_its_own(tmp_path: Path, pages: SyntheticConfig) -> None:
    made = synthetic_pages(pages)
    both = [SourceConfig(made, name="first"), SourceConfig(made / "val", name="second", role="val")]
    run = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=1)
    module = small(score_threshold=0.01)
    mixed = TableDataModule(sources=both, image_size=96, batch_size=3, num_workers=0)
    run.fit(module, mixed)
    (file,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(file.open()))
    for name in "val/f1", "val/first/f1", "val/second/f1", "val/first/wf1", "val/second/recall":
        assert len([row for row in rows if row[name]]) == 2, name
    metrics = run.callback_metrics
    assert (
        metrics["val/first/recall"] == metrics["val/second/recall"] == metrics["val/recall"]
    )  # the same pages
    (scores,) = run.validate(module, TableDataModule(made, image_size=96, num_workers=0), verbose=False)
    assert "val/synthetic/f1" not in scores
    assert not [name for name in scores if name.count("/") > 1]


class Seen(Callback):
    """The pages that were trained on."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], float]] = []

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.append((batch["names"], float(batch["pixel_values"].float().mean())))


@pytest.mark.parametrize("after", [3, 4, 6, 8])
def test_a_training_goes_on_with_the_pages_that_it_had_not_seen(
    tmp_path: Path, pages: SyntheticConfig, after: int
) -> None:
    settings: dict[str, Any] = {"limit_train_batches": 4, "limit_val_batches": 1, "logger": False}
    straight, begun, goes_on = Seen(), Seen(), Seen()
    seed_everything(2, verbose=False)
    trainer(tmp_path, max_epochs=3, callbacks=[straight], **settings).fit(small(), data(pages))
    checkpoint = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=after, save_top_k=-1)
    broken_off = trainer(tmp_path, max_epochs=3, max_steps=after, callbacks=[begun, checkpoint], **settings)
    broken_off.fit(small(), data(pages))
    (kept,) = (tmp_path / "kept").iterdir()
    run = trainer(tmp_path, max_epochs=3, callbacks=[goes_on], **settings)
    run.fit(small(), data(pages), ckpt_path=kept)
    assert len(straight.batches) == 12
    assert begun.batches + goes_on.batches == straight.batches


def test_a_few_batches_can_be_overfitted(tmp_path: Path, pages: SyntheticConfig) -> None:
    seen = Seen()
    run = trainer(tmp_path, max_epochs=2, overfit_batches=2, callbacks=[seen], logger=False)
    run.fit(small(), data(pages, augment="none"))
    names = [name for name, _ in seen.batches]
    assert len(names) == 4
    assert names[:2] == names[2:]


def test_gradient_accumulation_works_in_a_notebook_too(tmp_path: Path, pages: SyntheticConfig) -> None:
    module = small(training=TrainingConfig(gradient_accumulation_steps=2))
    run = trainer(tmp_path, max_epochs=1, limit_val_batches=0, num_sanity_val_steps=0)
    run.fit(module, data(pages))
    assert run.global_step == 2


def test_two_different_accumulations_are_refused(tmp_path: Path, pages: SyntheticConfig) -> None:
    module = small(training=TrainingConfig(gradient_accumulation_steps=2))
    with pytest.raises(UserError, match="give the first alone"):
        trainer(tmp_path, accumulate_grad_batches=4).fit(module, data(pages))


def test_a_checkpoint_does_not_tell_where_its_first_weights_came_from(
    tmp_path: Path, pages: SyntheticConfig
) -> None:
    run = trainer(tmp_path, max_steps=1, logger=False)
    run.fit(small(), data(pages))
    run.save_checkpoint(tmp_path / "first.ckpt")
    module = small(detr=replace(SMALL, pretrained=str(tmp_path / "first.ckpt")))
    run = trainer(tmp_path, max_steps=1, logger=False)
    run.fit(module, data(pages))
    run.save_checkpoint(tmp_path / "second.ckpt")
    assert module.config.pretrained
    assert "first.ckpt" not in str(
        torch.load(tmp_path / "second.ckpt", weights_only=True) | {"state_dict": {}}
    )
    TableDETRModule.load_from_checkpoint(tmp_path / "second.ckpt")


def test_the_average_of_the_weights_is_what_is_saved(tmp_path: Path, pages: SyntheticConfig) -> None:
    module = small(training=TrainingConfig(ema_decay=0.9, lr=1e-2, warmup_epochs=0))
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, data(pages))
    saved = torch.load(run.checkpoint_callback.best_model_path, weights_only=True)  # type: ignore[union-attr]
    name = "detr.network.class_embed.0.weight"
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])


def test_the_last_checkpoint_is_the_last_state_whatever_its_score(
    tmp_path: Path, pages: SyntheticConfig
) -> None:
    """Nothing is found in any epoch, so the first stays the best."""
    callbacks = [BestCheckpoint(tmp_path), last_checkpoint(tmp_path)]
    trainer(tmp_path, max_epochs=3, callbacks=callbacks).fit(small(), data(pages))
    steps = {
        name: torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["global_step"]
        for name in ("best", "last")
    }
    assert steps == {"best": 4, "last": 12}


def test_validation_without_tables_and_finds_goes_on(tmp_path: Path, pages: SyntheticConfig) -> None:
    empty = data(pages)
    bare = [table.relabel(lambda name: None) for table in empty.val_pages.tables]
    empty.__dict__["val_pages"] = Mix(bare)
    run = trainer(tmp_path, max_epochs=1, callbacks=[BestCheckpoint(tmp_path)])
    run.fit(small(), empty)
    assert "val/f1" not in run.callback_metrics
    assert not (tmp_path / "best.ckpt").exists()


def test_a_checkpoint_is_scored_as_it_was_saved_after_a_fit_too(
    tmp_path: Path, pages: SyntheticConfig
) -> None:
    training = TrainingConfig(ema_decay=0.9, lr=1e-2, warmup_epochs=0)
    module, run = small(training=training), trainer(tmp_path, max_epochs=1)
    run.fit(module, data(pages))
    path = run.checkpoint_callback.best_model_path  # type: ignore[union-attr]
    (again,) = run.test(module, data(pages), ckpt_path=path, weights_only=True, verbose=False)
    (fresh,) = trainer(tmp_path).test(TableDETRModule.load_from_checkpoint(path), data(pages), verbose=False)
    assert again["test/loss"] == pytest.approx(fresh["test/loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["form"]}, "classes are table there and form here"),
        ({"detr": replace(SMALL, hidden_dim=64)}, "model.detr.hidden_dim is 32 there and 64 here"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path, pages: SyntheticConfig, options: dict[str, Any], message: str
) -> None:
    run = trainer(tmp_path, max_steps=1)
    run.fit(small(), data(pages))
    run.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=message):
        TableDETRModule.load_from_checkpoint(tmp_path / "a.ckpt", **options)


def test_batches_without_a_finite_loss_are_named_and_stop_the_run_in_the_end(
    tmp_path: Path, pages: SyntheticConfig, caplog: pytest.LogCaptureFixture
) -> None:
    module = small()
    torch.nn.init.constant_(module.detr.network.class_embed[0].weight, float("nan"))
    with pytest.raises(UserError, match=r"not finite in 5 batches in a row, the last with .*\.jpg"):
        trainer(tmp_path, max_epochs=3, num_sanity_val_steps=0, limit_val_batches=0).fit(module, data(pages))
    assert len([record for record in caplog.records if "batch skipped" in record.getMessage()]) == 5


def test_one_bad_batch_does_not_stop_or_spoil_the_run(
    tmp_path: Path, pages: SyntheticConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = small()
    forward, calls = module.criterion.forward, []

    def fail_once(*inputs: Any) -> dict[str, torch.Tensor]:
        losses = forward(*inputs)
        calls.append(1)
        return losses | {"loss": losses["loss"] * float("nan")} if len(calls) == 2 else losses

    monkeypatch.setattr(module.criterion, "forward", fail_once)
    trainer(tmp_path, max_epochs=1, num_sanity_val_steps=0, limit_val_batches=0).fit(module, data(pages))
    assert len(calls) == 4
    assert all(p.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["table", "figure"]}, "the data's classes are table, the network's table, figure"),
        ({"image_size": 128}, "data.image_size is 96, the network's 128"),
    ],
)
def test_data_for_another_network_is_refused(
    tmp_path: Path, pages: SyntheticConfig, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        trainer(tmp_path, max_steps=1).fit(small(**options), data(pages))


def test_a_loss_that_does_not_fit_the_network_is_refused() -> None:
    with pytest.raises(UserError, match="expected focal or varifocal for model"):
        TableDETRModule(detr=SMALL, loss=LossConfig(classification="softmax"))


@pytest.mark.parametrize(
    ("key", "value"), [("score_threshold", 50), ("score_threshold", float("nan")), ("nms_iou", -0.1)]
)
def test_thresholds_that_are_none_are_refused(key: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"model\.{key}: expected .* found {value}"):
        small(**{key: value})


@pytest.mark.parametrize(("device", "times"), [("cpu", 1), ("cuda", 0)])
def test_freed_memory_is_kept_where_it_is_trained_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, device: str, times: int
) -> None:
    calls: list[None] = []
    monkeypatch.setattr("tablesense.module.keep_freed_memory", lambda: calls.append(None))
    module: Any = small()
    strategy = SimpleNamespace(root_device=torch.device(device))
    module._trainer = SimpleNamespace(strategy=strategy, accumulate_grad_batches=1)
    module.setup("fit")
    assert len(calls) == times


def test_a_line_has_the_figures_of_its_epoch_alone(
    tmp_path: Path,
    pages: SyntheticConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Validated in every second epoch; in the fourth nothing is found, so that precision is not defined."""
    module = small(score_threshold=0.001)
    postprocess = module.postprocess

    def found(outputs: dict[str, Any], sizes: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        gone = module.current_epoch > 1
        return [page | {"scores": page["scores"] * (not gone)} for page in postprocess(outputs, sizes)]

    monkeypatch.setattr(module, "postprocess", found)
    options = {"max_epochs": -1, "max_steps": 4, "limit_train_batches": 1, "check_val_every_n_epoch": 2}
    run = trainer(tmp_path, callbacks=[RunReport(tmp_path), BestCheckpoint(tmp_path)], **options)
    run.fit(module, data(pages))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    figures = [line.split("  ")[1:] for line in lines]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert [len(some) for some in figures] == [1, 7, 1, 6]
    assert not [figure for figure in figures[3] if figure.startswith("val/precision")]
    assert "val/precision" not in run.callback_metrics


def test_a_fast_dev_run_is_not_said_to_lack_a_score(
    tmp_path: Path, pages: SyntheticConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    callbacks = [RunReport(tmp_path), BestCheckpoint(tmp_path)]
    trainer(tmp_path, callbacks=callbacks, fast_dev_run=True).fit(small(), data(pages))
    said = capsys.readouterr().out
    assert "epoch 1/1" in said
    assert "no val/f1 was defined" not in said


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_precision_that_the_processor_has_no_instructions_for_is_said(
    tmp_path: Path,
    pages: SyntheticConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    known: dict[str, Any],
    said: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    run = trainer(tmp_path, max_steps=1, precision="bf16-mixed", limit_val_batches=0)
    run.callbacks.append(RunReport(tmp_path))  # type: ignore[attr-defined]
    run.fit(small(), data(pages))
    assert ("trainer.precision=bf16-mixed is slow on this processor" in caplog.text) is said


def test_detr_trains_too(tmp_path: Path, pages: SyntheticConfig) -> None:
    detr = DetrConfig(
        arch="detr",
        out_indices=(4,),
        two_stage=False,
        box_refinement=False,
        hidden_dim=32,
        num_encoder_layers=1,
        num_decoder_layers=2,
        num_queries=10,
        ffn_dim=32,
    )
    module = small(detr=detr, loss=LossConfig(classification="softmax"))
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, data(pages))
    assert run.callback_metrics["val/loss"].isfinite()


def test_a_few_pages_are_learnt(tmp_path: Path, pages: SyntheticConfig) -> None:
    detr = DetrConfig(hidden_dim=64, num_encoder_layers=1, num_decoder_layers=2, num_queries=10, ffn_dim=64)
    training = TrainingConfig(lr=1e-3, warmup_epochs=2)
    seed_everything(1)
    module = small(detr=detr, image_size=128, loss=LossConfig(iou_power=0.5), training=training)
    train = synthetic_pages(pages) / "train"
    same = TableDataModule(
        path=train, val_path=train, augment="none", image_size=128, batch_size=4, num_workers=0
    )
    run = trainer(tmp_path, max_epochs=60, check_val_every_n_epoch=60, gradient_clip_val=0.5)
    run.fit(module, same)
    assert run.callback_metrics["val/map_50"] > 0.15
    assert run.callback_metrics["train/loss_epoch"] < 14  # from 20
