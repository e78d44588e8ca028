"""`TableDETRModule`: a DETR detector of tables as a LightningModule."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf
from typing import Any, TypeVar

import torch
from lightning import Callback, LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import MetricCollection
from torchvision.ops import box_convert

from tablesense.detector import Detector
from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.losses import DetrCriterion, LossConfig
from tablesense.memory import keep_freed_memory
from tablesense.metrics import CocoMAP, CTDaRWeightedF1, DetectionF1
from tablesense.pretrained import different_network
from tablesense.training import MovingAverage, TrainingConfig, parameter_groups, schedule

log = logging.getLogger(__name__)

PATIENCE = 5
"""Batches in a row whose loss may be not finite before training stops."""


Options = TypeVar("Options", DetrConfig, LossConfig, TrainingConfig)


class TableDETRModule(Detector, LightningModule):
    """A DETR-family detector of tables with its losses, metrics, optimiser and schedule.

    `TableDETRModule()` is the small Deformable DETR of `configs/detr.yaml`; nothing is downloaded. A
    checkpoint of it needs nothing else to be loaded: the shape of the network, the class names, the
    size of the pages and the threshold are in it.

    Args:
        detr: The network.
        loss: The weights of the losses.
        training: How it is trained.
        class_names: What it finds, in the order of the labels.
        image_size: The longest side of the pages that it is given, in pixels.
        score_threshold: The lowest score that counts as a find, fixed for a run so that F1 can be
            compared between runs.
        nms_iou: Of finds of one class that overlap by more than this IoU only the best stays, and none that
            lies within a larger one with a better score that counts as a find; 1 keeps all. A DETR needs no
            such step once it is fully trained, but learns late to find each table only once, and tables do
            not lie on tables.
    """

    def __init__(
        self,
        detr: DetrConfig = DetrConfig(),
        loss: LossConfig = LossConfig(),
        training: TrainingConfig = TrainingConfig(),
        class_names: Sequence[str] = ("table",),
        image_size: int = 384,
        score_threshold: float = 0.5,
        nms_iou: float = 0.5,
    ) -> None:
        if not 0 <= score_threshold <= 1:
            raise UserError(f"model.score_threshold: expected between 0 and 1, found {score_threshold}")
        if not 0 <= nms_iou < inf:
            raise UserError(f"model.nms_iou: expected 0 or more, found {nms_iou}")
        detr, loss = _options(detr, DetrConfig), _options(loss, LossConfig)
        training = _options(training, TrainingConfig)
        if (loss.classification == "softmax") != (detr.arch == "detr"):
            expected = "softmax" if detr.arch == "detr" else "focal or varifocal"
            raise UserError(
                f"model.loss.classification: expected {expected} for model.detr.arch={detr.arch}, "
                f"found {loss.classification}"
            )
        super().__init__(detr, class_names, image_size, score_threshold, nms_iou, training.channels_last)
        self.loss_config, self.training_config = loss, training
        # Plain types, so that a checkpoint can be read without running code from it.
        self.save_hyperparameters(
            {
                "detr": asdict(self.config),
                "loss": asdict(self.loss_config),
                "training": asdict(self.training_config),
                "class_names": list(self.class_names),
                "image_size": image_size,
                "score_threshold": score_threshold,
                "nms_iou": nms_iou,
            },
            logger=False,
        )
        self.criterion = DetrCriterion(len(self.class_names), self.loss_config)
        metrics = MetricCollection(
            [DetectionF1(score_threshold), CTDaRWeightedF1(score_threshold), CocoMAP()], compute_groups=False
        )
        self.val_metrics, self.test_metrics = metrics.clone("val/"), metrics.clone("test/")
        self.source_names: tuple[str, ...] = ()
        self._of_sources = torch.nn.ModuleList()
        self._not_finite = 0

    # -- steps -------------------------------------------------------------------------------------

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """Compute the loss of one batch; a batch whose loss is not finite is named and skipped."""
        losses = self.criterion(self(batch["pixel_values"], batch["pixel_mask"]), batch["targets"])
        loss: Tensor = losses.pop("loss")
        if not loss.isfinite():
            return self._skip(batch)
        self._not_finite = 0
        size = len(batch["names"])
        self.log("train/loss", loss, prog_bar=True, batch_size=size)
        means = _named("train", losses) | {"train/loss_epoch": loss.detach()}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        groups = self.trainer.optimizers[0].param_groups
        self.log("train/lr", next(group["lr"] for group in groups if group["name"] == "transformer"))
        return loss

    def _skip(self, batch: dict[str, Any]) -> Tensor | None:
        self._not_finite += 1
        pages = ", ".join(batch["names"])
        log.warning("the loss is not finite: batch skipped (%s)", pages)
        if self._not_finite >= PATIENCE:
            raise UserError(
                f"the loss was not finite in {PATIENCE} batches in a row, the last with {pages}: "
                "lower training.lr, or set trainer.precision=32-true"
            )
        if self.trainer.world_size > 1:
            # Every process must take part in the step: a loss of 0 that reaches every parameter.
            return torch.stack([p.sum() * 0 for p in self.parameters() if p.requires_grad]).sum()
        return None

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """Score one batch; `found` is what `postprocess` made of it."""
        return self._evaluate(batch, "val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        """Score one batch; `found` is what `postprocess` made of it."""
        return self._evaluate(batch, "test")

    def on_validation_epoch_start(self) -> None:
        """Forget the figures of the last validation: one that is not defined in this one would stay."""
        known = self.trainer.callback_metrics
        for name in [name for name in known if name.startswith("val/")]:
            del known[name]

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the epoch."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test."""
        self._log_metrics("test")

    def _evaluate(self, batch: dict[str, Any], stage: str) -> dict[str, Any]:
        outputs = self(batch["pixel_values"], batch["pixel_mask"])
        losses = self.criterion(outputs, batch["targets"])
        sizes = torch.stack([target["size"] for target in batch["targets"]])
        truth = [
            {
                "boxes": box_convert(target["boxes"], "cxcywh", "xyxy") * target["size"].repeat(2),
                "labels": target["labels"],
            }
            for target in batch["targets"]
        ]
        found = self.postprocess(outputs, sizes)
        self._metrics(stage).update(found, truth)
        for name, metrics in zip(self.source_names, self.source_metrics, strict=True):
            mine = [i for i, source in enumerate(batch["sources"]) if source == name]
            if mine:
                metrics.update([found[i] for i in mine], [truth[i] for i in mine])
        if not self.trainer.sanity_checking and losses["loss"].isfinite():
            self.log_dict(_named(stage, losses), on_epoch=True, batch_size=len(truth), sync_dist=True)
        return {"found": found}

    def _metrics(self, stage: str) -> MetricCollection:
        return self.val_metrics if stage == "val" else self.test_metrics

    @property
    def source_metrics(self) -> list[MetricCollection]:
        """The metrics of each of `source_names`, where pages of several data sets are scored."""
        return [metrics for metrics in self._of_sources if isinstance(metrics, MetricCollection)]

    def _log_metrics(self, stage: str) -> None:
        for metrics in (self._metrics(stage), *self.source_metrics):
            if not self.trainer.sanity_checking:
                values = {name: value.float() for name, value in metrics.compute().items()}
                self.log_dict(values, prog_bar=False)
            metrics.reset()

    # -- optimisation ------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuse data that the network was not built for, and pass the accumulation to the trainer.

        Where pages of several data sets are scored, each gets F1 of its own, as `val/<name>/f1`.
        """
        data = getattr(self.trainer, "datamodule", None)
        names = getattr(data, "class_names", self.class_names)
        if tuple(names) != self.class_names:
            raise UserError(
                f"the data's classes are {', '.join(names)}, the network's {', '.join(self.class_names)}: "
                "give data.class_names, or TableDETRModule(class_names=...)"
            )
        size = getattr(data, "image_size", self.image_size)
        if size != self.image_size:
            raise UserError(f"data.image_size is {size}, the network's {self.image_size}: give both the same")
        if self.trainer.strategy.root_device.type == "cpu":  # the network is moved there after this
            keep_freed_memory()
        scored = "test" if stage == "test" else "val"
        sources = getattr(getattr(data, f"{scored}_pages", None), "sources", ())
        self.source_names = sources if len(sources) > 1 else ()
        own = [DetectionF1(self.score_threshold), CTDaRWeightedF1(self.score_threshold)]
        self._of_sources = torch.nn.ModuleList(
            MetricCollection(own, compute_groups=False).clone(f"{scored}/{name}/")
            for name in self.source_names
        )
        steps = self.training_config.gradient_accumulation_steps
        if stage == "fit" and self.trainer.accumulate_grad_batches != steps:
            if self.trainer.accumulate_grad_batches != 1:
                raise UserError(
                    f"training.gradient_accumulation_steps is {steps} and trainer.accumulate_grad_batches "
                    f"{self.trainer.accumulate_grad_batches}: give the first alone"
                )
            self.trainer.accumulate_grad_batches = steps

    def configure_callbacks(self) -> list[Callback]:
        """Average the weights, where `training.ema_decay` asks for it."""
        decay = self.training_config.ema_decay
        training = self.trainer.state.fn == TrainerFn.FITTING
        return [MovingAverage(decay)] if training and decay is not None else []

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up for each step."""
        optimizer = torch.optim.AdamW(parameter_groups(self.detr, self.training_config))
        total, epochs = float(self.trainer.estimated_stepping_batches), self.trainer.max_epochs or 0
        per_epoch = self.trainer.num_training_batches / self.training_config.gradient_accumulation_steps
        if epochs > 0 and self.trainer.max_steps < 0:
            per_epoch = total / epochs  # an epoch's last batches make a step of their own
        factor = schedule(self.training_config, per_epoch, total)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the weights of another network before they are loaded.

        Raises:
            UserError: Another architecture, or other classes.
        """
        # Not its hyperparameters: what is given to load_from_checkpoint stands in their place there.
        kept = checkpoint.get("network", {})
        differences = different_network(kept.get("detr", {}), asdict(self.config))
        names = tuple(kept.get("class_names", self.class_names))
        if names != self.class_names:
            differences.append(f"classes are {', '.join(names)} there and {', '.join(self.class_names)} here")
        if differences:
            raise UserError(f"the checkpoint is of another network: {'; '.join(differences)}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out where the first weights came from: a checkpoint holds all of its own."""
        detr = checkpoint["hyper_parameters"]["detr"] | {"backbone_weights": None, "pretrained": None}
        checkpoint["hyper_parameters"] = {**checkpoint["hyper_parameters"], "detr": detr}
        checkpoint["network"] = {"detr": detr, "class_names": list(self.class_names)}


def _options(value: Options | Mapping[str, Any], kind: type[Options]) -> Options:
    """Options as they are given in Python, or as a checkpoint keeps them."""
    return kind(**value) if isinstance(value, Mapping) else value


def _named(stage: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses under their names in the log: "val/loss_giou", "train/loss_ce_enc"."""
    return {f"{stage}/{name}": value.detach() for name, value in losses.items()}
