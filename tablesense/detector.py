"""`Detector`: a DETR that takes pages as they are and answers with scored boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from timm import get_pretrained_cfg
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_convert

from tablesense.detr import DetrConfig, build_detr
from tablesense.predict.network import WITHIN

if TYPE_CHECKING:
    from tablesense.predict.found import FoundPage
    from tablesense.predict.notebook import Source


class Detector(nn.Module):
    """A network with what it needs to be used: normalisation, page size, class names, thresholds.

    `tablesense.module.TableDETRModule` is one that can be trained. This one does without Lightning and
    torchmetrics, which take a second and a half to import.

    Args:
        detr: The network.
        class_names: What it finds, in the order of the labels.
        image_size: The longest side of the pages that it is given, in pixels.
        score_threshold: The lowest score that counts as a find.
        nms_iou: Of finds of one class that overlap by more than this IoU only the best stays, and none that
            lies within a larger one with a better score that counts as a find; 1 keeps all.
        channels_last: See `tablesense.training.TrainingConfig`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        detr: DetrConfig,
        class_names: Sequence[str],
        image_size: int,
        score_threshold: float,
        nms_iou: float,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.config = detr
        self.class_names, self.image_size = tuple(class_names), image_size
        self.score_threshold, self.nms_iou = score_threshold, nms_iou
        self.detr = build_detr(detr, len(self.class_names))
        self.channels_last = channels_last
        if channels_last:
            self.detr = self.detr.to(memory_format=torch.channels_last)
        norm = get_pretrained_cfg(detr.backbone)
        self.register_buffer("mean", torch.tensor(norm.mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(norm.std).view(3, 1, 1) * 255, persistent=False)

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> dict[str, Any]:
        """Run the network on pages.

        Args:
            pixel_values: uint8 [batch_size, 3, height, width], padded at the right and the bottom.
            pixel_mask: bool [batch_size, height, width], False on padding; None where there is none.

        Returns:
            DETR's outputs; see `tablesense.detr.Detr`.
        """
        if pixel_mask is None:
            pixel_mask = torch.ones_like(pixel_values[:, 0], dtype=torch.bool)
        # Normalise, then pad: padding is the mean colour to the network, whatever the page's.
        pixels = (pixel_values - self.mean) / self.std * pixel_mask[:, None]
        if self.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        outputs: dict[str, Any] = self.detr(pixels, pixel_mask)
        return outputs

    def postprocess(self, outputs: dict[str, Any], sizes: Tensor) -> list[dict[str, Tensor]]:
        """Turn outputs into scored boxes.

        Args:
            outputs: What `forward` returned.
            sizes: Width and height of each page in the units wanted, [batch_size, 2].

        Returns:
            One dict a page, torchmetrics' detection format: `boxes` [finds, 4] xyxy, `scores` and
            `labels` [finds], best first; at most num_queries finds.
        """
        logits = outputs["pred_logits"].float()
        if self.config.arch == "detr":
            scores, labels = logits.softmax(-1)[..., :-1].max(-1)
        else:
            scores, labels = logits.sigmoid().max(-1)
        boxes = box_convert(outputs["pred_boxes"].float(), "cxcywh", "xyxy").clamp(0, 1)
        boxes = boxes * sizes.to(boxes).repeat(1, 2)[:, None]
        pages = []
        for box, score, label in zip(boxes, scores, labels, strict=True):
            keep = batched_nms(box, score, label, self.nms_iou)  # best first
            if self.nms_iou < 1:
                keep = keep[~nested(box[keep], label[keep], score[keep] >= self.score_threshold)]
            pages.append({"boxes": box[keep], "scores": score[keep], "labels": label[keep]})
        return pages

    def detect(
        self,
        source: Source,
        threshold: float | None = None,
        batch_size: int = 4,
        tile: float | None = None,
    ) -> list[FoundPage]:
        """Find the tables of documents and pictures; see `tablesense.predict.notebook.detect_any`."""
        from tablesense.predict.notebook import detect_any

        return detect_any(self, source, threshold, batch_size, tile)


def nested(boxes: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Which finds of a page lie within a larger one of their class that counts and has a better score.

    Args:
        boxes: xyxy, best first, [n, 4].
        labels: [n].
        counts: Whether others may be parts of it, [n].

    Returns:
        Whether more than `WITHIN` of its area lies there, [n].
    """
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    shared = (torch.minimum(boxes[:, None, 2:], boxes[:, 2:]) - low).clamp(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    larger = (areas > areas[:, None]) & (labels == labels[:, None]) & counts
    return ((shared > WITHIN * areas[:, None]) & larger).tril(-1).any(1)


def load_detector(checkpoint: Mapping[str, Any]) -> Detector:
    """The network that a checkpoint of `tablesense.module.TableDETRModule` holds, in evaluation mode.

    Args:
        checkpoint: As `torch.load` reads it.

    Raises:
        KeyError: It is something else.
        RuntimeError: Its weights are of another network.
    """
    kept, weights = checkpoint["hyper_parameters"], checkpoint["state_dict"]
    detr = replace(DetrConfig(**kept["detr"]), backbone_weights=None)
    names = ("class_names", "image_size", "score_threshold", "nms_iou")
    detector = Detector(detr, *(kept[name] for name in names))
    detector.load_state_dict({key: weights[key] for key in weights if key.startswith("detr.")})
    return detector.eval()
