"""Deformable DETR with the exact place of every feature on its page."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor
from transformers import DeformableDetrModel, PreTrainedModel


class ExactDeformableDetrModel(DeformableDetrModel):  # type: ignore[misc]
    """`DeformableDetrModel` whose coordinates are relative to the page to the pixel.

    The original (and transformers) counts the cells of each feature map that are not padding, and takes
    their number for the size of the page. A page ends inside a cell, so each map has its own idea of where
    the page ends, up to half a cell off: 32 pixels at stride 64, a tenth of a page of 340. The boxes of a
    small network then depend on how a page happens to be padded: trained on pages of 326 to 384 pixels, it
    put those of pages of exactly 384 three to four pixels to the right and too low, and F1 at IoU .9 was
    .06 on ICDAR 2013. Here the page's size comes from the pixel mask.
    """

    strides: tuple[int, ...]
    """Pixels from one cell of each feature map to the next."""

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor, **options: Any) -> Any:  # noqa: D102
        # [batch_size, 2]: the page's width and height in pixels.
        self._page = torch.stack([pixel_mask[:, 0].sum(1), pixel_mask[:, :, 0].sum(1)], 1).float()
        self._level = 0
        return super().forward(pixel_values, pixel_mask=pixel_mask, **options)

    def get_valid_ratio(self, mask: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The page's share of one feature map: called once for each level, in their order.

        Args:
            mask: [batch_size, height, width] of the level.
            dtype: Not used: half precision would round coordinates to a pixel or two.

        Returns:
            [batch_size, 2], of the width and the height.
        """
        stride = self.strides[self._level]
        self._level += 1
        cells = self._page.new_tensor([mask.shape[2], mask.shape[1]])
        return self._page / (stride * cells)

    def gen_encoder_output_proposals(
        self, enc_output: Tensor, padding_mask: Tensor, spatial_shapes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Features and proposals of the first stage, each proposal centred on its cell.

        Args:
            enc_output: [batch_size, tokens, hidden_dim].
            padding_mask: True on padding, [batch_size, tokens].
            spatial_shapes: Height and width of each level.

        Returns:
            The features, and the logits of cxcywh boxes, [batch_size, tokens, 4]; infinite where there is
            padding, or a cell too near to the page's edge.
        """
        features, _ = super().gen_encoder_output_proposals(enc_output, padding_mask, spatial_shapes)
        levels = []
        for level, (height, width) in enumerate(spatial_shapes):
            y, x = torch.meshgrid(
                torch.arange(height, device=enc_output.device) + 0.5,
                torch.arange(width, device=enc_output.device) + 0.5,
                indexing="ij",
            )
            pixels = torch.stack([x, y], -1).view(1, -1, 2) * self.strides[level]
            centre = pixels / self._page[:, None]
            levels.append(torch.cat([centre, torch.full_like(centre, 0.05 * 2**level)], -1))
        boxes = torch.cat(levels, 1)
        usable = ((boxes > 0.01) & (boxes < 0.99)).all(-1) & ~padding_mask
        return features, torch.logit(boxes).masked_fill(~usable[..., None], torch.inf)


def feature_strides(network: PreTrainedModel) -> tuple[int, ...]:
    """Pixels from cell to cell of each feature map of a Deformable DETR."""
    strides: list[int] = list(network.model.backbone.model.feature_info.reduction())
    while len(strides) < network.config.num_feature_levels:
        strides.append(2 * strides[-1])
    return tuple(strides)


def height_for_proposals(height: int, width: int, strides: Sequence[int], proposals: int) -> int:
    """The height up to which pages of a two-stage network are padded, to have a cell for each proposal.

    Args:
        height: Of the pages in pixels, as is `width`.
        width: It stays.
        strides: Pixels from cell to cell of each feature map.
        proposals: How many cells there must be, over all feature maps.
    """
    while sum(ceil(height / stride) * ceil(width / stride) for stride in strides) < proposals:
        height += strides[-1]
    return height
