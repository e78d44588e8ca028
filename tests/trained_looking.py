"""Small networks whose scores and boxes differ from query to query, as those of a trained one do."""

from __future__ import annotations

import torch

from tablesense.detr import DetrConfig
from tablesense.losses import LossConfig
from tablesense.module import TableDETRModule


def trained_looking(config: DetrConfig, image_size: int = 160) -> TableDETRModule:
    """Build one in evaluation mode: two classes, threshold .3."""
    torch.manual_seed(3)
    loss = LossConfig(classification="softmax" if config.arch == "detr" else "focal")
    names = ("table", "figure")
    module = TableDETRModule(config, loss, class_names=names, image_size=image_size, score_threshold=0.3)
    with torch.no_grad():
        for name, weight in module.detr.network.named_parameters():
            if name.startswith(("class", "model.decoder.class")):
                weight.normal_(std=0.5)
            elif name.endswith("layers.2.weight") and "bbox" in name:
                weight.normal_(std=0.1)
            elif name.endswith(("sampling_offsets.weight", "attention_weights.weight")):
                weight.normal_(std=0.2)
    module.nms_iou = 0.5 if config.arch != "detr" else 1.0  # whose queries all find the same here
    return module.eval()
