"""What both families of networks have in common when they are traced for an exporter."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tablesense.backbone import FrozenNormConv2d, conv_shape
from tablesense.detector import Detector


class Graph(nn.Module):
    """What `Detector.forward` computes, with the module's weights, in operations that keep sizes open.

    transformers' own code makes constants of some sizes while it is traced. Here a size only ever scales,
    counts or ends a range.

    Args:
        module: It is not changed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: Detector) -> None:
        super().__init__()
        self.image_size = module.image_size
        self.network: Any = deepcopy(module.detr.network).cpu().float()
        _fold_norms(self.network.model.backbone)
        self.register_buffer("mean", module.mean.cpu())
        self.register_buffer("std", module.std.cpu())
        self.eval()

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            pixel_values: uint8 [batch_size, 3, height, width], height and width multiples of 32.
            pixel_mask: bool [batch_size, height, width], False on padding.

        Returns:
            `pred_logits` [batch_size, num_queries, num_classes (+1 for "detr": no object)] and `pred_boxes`
            [batch_size, num_queries, 4], cxcywh relative to the page.
        """
        mask = pixel_mask.float()
        pixels = (pixel_values.float() - self.mean) / self.std * mask[:, None]
        return self.detect(list(self.network.model.backbone.model(pixels)), mask)

    def detect(self, maps: list[Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """From the backbone's feature maps, and 1 on the page and 0 on padding, to logits and boxes."""
        raise NotImplementedError


def tokens(feature: Tensor) -> Tensor:
    """A feature map [batch_size, width, rows, columns] as [batch_size, rows * columns, width]."""
    return feature.flatten(2).transpose(1, 2)


def nearest(mask: Tensor, feature: Tensor) -> Tensor:
    """A mask [batch_size, height, width] at the cells of a feature map, as nearest interpolation has it."""
    rows, columns = (
        torch.div(
            torch.arange(feature.shape[axis]) * mask.shape[axis - 1],
            feature.shape[axis],
            rounding_mode="trunc",
        )
        for axis in (2, 3)
    )
    return mask.index_select(1, rows).index_select(2, columns)


def attend(
    attention: Any, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Dot-product attention with several heads.

    Args:
        attention: One of transformers' modules.
        queries: With their position code, [batch_size, queries, hidden_dim].
        keys: With theirs, [batch_size, tokens, hidden_dim].
        values: [batch_size, tokens, hidden_dim].
        seen: 1 for tokens that take part, [batch_size, tokens]; None where all do.
    """
    heads = attention.q_proj.out_features // attention.head_dim

    def split(projected: Tensor) -> Tensor:
        return projected.reshape(projected.shape[0], -1, heads, attention.head_dim).transpose(1, 2)

    query, key, value = (
        split(attention.q_proj(queries)),
        split(attention.k_proj(keys)),
        split(attention.v_proj(values)),
    )
    likeness = torch.matmul(query, key.transpose(2, 3)) * attention.scaling
    if seen is not None:
        likeness = likeness.masked_fill(seen[:, None, None] < 0.5, -torch.inf)
    attended = torch.matmul(functional.softmax(likeness, -1), value).transpose(1, 2).flatten(2)
    output: Tensor = attention.o_proj(attended)
    return output


def _fold_norms(backbone: nn.Module) -> None:
    """Make plain convolutions of those that multiply their weights by a norm's scale each time.

    TensorFlow's padding depends on the size of the image; of even maps, which those of images of multiples of
    32 are down to stride 32, it is always the same.
    """
    for module in list(backbone.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, FrozenNormConv2d):
                module.register_module(name, _folded(conv))


def _folded(conv: FrozenNormConv2d) -> nn.Module:
    plain = nn.Conv2d(**conv_shape(conv))
    plain.weight = nn.Parameter(conv.weight.detach() * conv.scale.view(-1, 1, 1, 1))
    plain.bias = nn.Parameter(conv.shift.detach().clone())
    if not conv.same:
        return plain
    sides: list[int] = []
    for kernel, stride, dilation in zip(conv.kernel_size, conv.stride, conv.dilation, strict=True):
        both = max((kernel - 1) * dilation + 1 - stride, 0)
        sides = [both // 2, both - both // 2, *sides]  # the last dimension comes first
    return nn.Sequential(nn.ZeroPad2d(tuple(sides)), plain)  # type: ignore[arg-type]
