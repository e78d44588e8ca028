"""tablesense's Deformable DETR as a model of transformers.

`tablesense export --custom-code` puts this file and `geometry.py` into the folder that it writes, where
transformers runs them with `trust_remote_code=True`. They need no tablesense there.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection

from tablesense.geometry import ExactDeformableDetrModel, feature_strides, height_for_proposals


class TableDetrConfig(DeformableDetrConfig):  # type: ignore[misc]
    """`DeformableDetrConfig` under a name of its own, without which transformers would take its own model."""

    model_type = "tablesense_detr"


class TableDetrForObjectDetection(DeformableDetrForObjectDetection):  # type: ignore[misc]
    """`DeformableDetrForObjectDetection` whose coordinates are relative to the page to the pixel."""

    config_class = TableDetrConfig

    def __init__(self, config: TableDetrConfig) -> None:
        super().__init__(config)
        self.model.__class__ = ExactDeformableDetrModel
        self.model.strides = feature_strides(self)

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None, **options: Any) -> Any:
        """As in transformers, but with the padding that the network was trained with: up to multiples of 32.

        The features near a page's right and lower edges are others with more padding, and boxes with them.

        Args:
            pixel_values: Normalised pages, [batch_size, 3, height, width]; padding is 0.
            pixel_mask: 1 where the page is and 0 on padding, [batch_size, height, width].
            options: As in transformers.
        """
        if pixel_mask is None:
            pixel_mask = torch.ones_like(pixel_values[:, 0], dtype=torch.long)
        height, width = self._padded_size(pixel_mask)
        more = (0, max(0, width - pixel_mask.shape[2]), 0, max(0, height - pixel_mask.shape[1]))
        pixel_values, pixel_mask = (
            pad(each[..., :height, :width], more) for each in (pixel_values, pixel_mask)
        )
        return super().forward(pixel_values, pixel_mask=pixel_mask, **options)

    def _padded_size(self, pixel_mask: Tensor) -> tuple[int, int]:
        """Height and width that hold the pages, and a cell for each proposal."""
        height, width = (32 * ceil(int(pixel_mask.any(axis).sum(1).max()) / 32) for axis in (2, 1))
        if self.config.two_stage:
            proposals = self.config.two_stage_num_proposals
            height = height_for_proposals(height, width, self.model.strides, proposals)
        return height, width
