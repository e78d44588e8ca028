"""One builder over the DETR families of transformers, and the outputs that DETR's own code gives."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import log
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    DeformableDetrConfig,
    DeformableDetrForObjectDetection,
    DetrForObjectDetection,
    PretrainedConfig,
    PreTrainedModel,
    TimmBackboneConfig,
)
from transformers import DetrConfig as HFDetrConfig

from tablesense.backbone import build_backbone, check_backbone
from tablesense.errors import UserError
from tablesense.geometry import ExactDeformableDetrModel, feature_strides, height_for_proposals
from tablesense.pretrained import from_transformers, load_run

CLASS_PRIOR = 0.01
"""Score of every query before training, as in the focal loss paper (arXiv:1708.02002, section 4.1)."""


@dataclass(frozen=True)
class DetrConfig:
    """The network. The defaults are the small Deformable DETR of `configs/detr.yaml`.

    Attributes:
        arch: The family: "deformable_detr" (arXiv:2010.04159) or "detr" (arXiv:2005.12872).
        backbone: The name of a timm model.
        backbone_weights: "imagenet", the path of a file of weights for that timm model, or null for
            random ones. "imagenet" needs no network for tf_efficientnet_lite0 (its weights come with
            the installation); for other backbones timm downloads them once.
        out_indices: Which of the backbone's feature maps are used (0 has stride 2, 1 stride 4, ...).
        frozen_stages: How many of the backbone's first stages keep their weights.
        pretrained: What the whole network starts from: a checkpoint of an earlier run (best.ckpt), or
            one of transformers (a folder or a name on the hub). Its shape must be the one given here;
            class heads start anew where the number of classes is another.
        hidden_dim: Width of the transformer, a multiple of `num_heads` and of 32.
        num_encoder_layers: Depth of the encoder.
        num_decoder_layers: Depth of the decoder.
        num_heads: Attention heads.
        ffn_dim: Width of the feed-forward layers.
        dropout: Dropout in the transformer, in [0, 1).
        num_queries: The most tables that can be found on a page.
        num_feature_levels: Deformable: scales; beyond those of `out_indices` each halves the last.
        num_points: Deformable: sampling points for each head and level.
        box_refinement: Deformable: each decoder layer refines the boxes of the one before.
        two_stage: Deformable: the encoder proposes the boxes that the decoder starts from.
        exact_geometry: Deformable: place features to the pixel, not to the cell; see
            `tablesense.geometry`. The paper's code and published checkpoints do not.
    """

    arch: Literal["deformable_detr", "detr"] = "deformable_detr"
    backbone: str = "tf_efficientnet_lite0"
    backbone_weights: str | None = "imagenet"
    out_indices: tuple[int, ...] = (3, 4)
    frozen_stages: int = 3
    pretrained: str | None = None
    hidden_dim: int = 128
    num_encoder_layers: int = 2
    num_decoder_layers: int = 3
    num_heads: int = 8
    ffn_dim: int = 512
    dropout: float = 0.0
    num_queries: int = 60
    num_feature_levels: int = 3
    num_points: int = 4
    box_refinement: bool = True
    two_stage: bool = True
    exact_geometry: bool = True

    def __post_init__(self) -> None:
        """Refuse what no network can be built from.

        Raises:
            UserError: A value is out of its range, or belongs to another family.
        """
        at_least_one = ["hidden_dim", "num_encoder_layers", "num_decoder_layers", "num_heads", "ffn_dim"]
        for name in [*at_least_one, "num_queries", "num_points"]:
            if getattr(self, name) < 1:
                raise UserError(f"model.detr.{name}: expected at least 1, found {getattr(self, name)}")
        if self.hidden_dim % self.num_heads or self.hidden_dim % 32:
            raise UserError(
                f"model.detr.hidden_dim: expected a multiple of 32 and of num_heads ({self.num_heads}), "
                f"found {self.hidden_dim}"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"model.detr.dropout: expected 0 <= dropout < 1, found {self.dropout}")
        if self.frozen_stages < 0:
            raise UserError(f"model.detr.frozen_stages: expected 0 or more, found {self.frozen_stages}")
        maps = list(self.out_indices)
        if not maps or min(maps) < 0 or maps != sorted(set(maps)):
            raise UserError(f"model.detr.out_indices: expected feature maps in ascending order, found {maps}")
        if self.arch == "detr" and (self.two_stage or self.box_refinement or len(self.out_indices) != 1):
            raise UserError(
                "model.detr.arch=detr has one feature map, no proposals and no refinement: set "
                "model.detr.out_indices=[4], model.detr.two_stage=false and model.detr.box_refinement=false"
            )
        if self.two_stage and not self.box_refinement:
            raise UserError("model.detr.two_stage=true needs model.detr.box_refinement=true")
        if self.num_feature_levels < len(self.out_indices) and self.arch != "detr":
            raise UserError(
                f"model.detr.num_feature_levels: expected at least {len(self.out_indices)} "
                f"(one for each of out_indices), found {self.num_feature_levels}"
            )


class SinglePrecisionLinear(nn.Linear):
    """A linear layer that autocast leaves in float32.

    In bfloat16 the coordinates of a box have eight bits: on a page of 1,333 pixels it is up to three off.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if not torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.float())


class Detr(nn.Module):
    """A transformers detector that answers as DETR's own code does.

    transformers computes the outputs of the intermediate decoder layers only on the way to its own
    loss. For Deformable DETR the `loss_function` setter lets `_layers` stand there and hand them over,
    in training and in evaluation alike. For DETR that needs `auxiliary_loss`, under which transformers
    5.23 also feeds each layer with the normed output of the one before, as neither the paper's network
    nor any published checkpoint does; so here the heads read the decoder's hidden states.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        network.loss_function = _layers
        self.network = network

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor) -> dict[str, Any]:
        """Run the network.

        Args:
            pixel_values: Normalised images, [batch_size, 3, height, width]; padding is 0.
            pixel_mask: True where the page is and False on padding, [batch_size, height, width].

        Returns:
            `pred_logits` [batch_size, num_queries, num_classes (+1 for "detr": no object)],
            `pred_boxes` [batch_size, num_queries, 4] in cxcywh relative to the visible page,
            `aux_outputs` (a list of the same two for every decoder layer before the last), and for a
            two-stage network `enc_outputs` (the same two for every token of the encoder).
        """
        if isinstance(self.network, DetrForObjectDetection):
            return self._detr_outputs(pixel_values, pixel_mask)
        pixel_values, pixel_mask = self._hold_proposals(pixel_values, pixel_mask)
        output = self.network(pixel_values=pixel_values, pixel_mask=pixel_mask.long(), labels=[])
        *aux_outputs, last = output.auxiliary_outputs
        outputs = {**last, "aux_outputs": aux_outputs}
        if getattr(output, "enc_outputs_class", None) is not None:
            outputs["enc_outputs"] = {
                "pred_logits": output.enc_outputs_class,
                "pred_boxes": output.enc_outputs_coord_logits.sigmoid(),
            }
        return outputs

    def _hold_proposals(self, pixel_values: Tensor, pixel_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pad images that are too small to have a token for each proposal of a two-stage network."""
        config = self.network.config
        if not config.two_stage:
            return pixel_values, pixel_mask
        height, width = pixel_mask.shape[1:]
        strides = feature_strides(self.network)
        below = height_for_proposals(height, width, strides, config.num_queries) - height
        if below == 0:
            return pixel_values, pixel_mask
        return nn.functional.pad(pixel_values, (0, 0, 0, below)), nn.functional.pad(
            pixel_mask, (0, 0, 0, below)
        )

    def _detr_outputs(self, pixel_values: Tensor, pixel_mask: Tensor) -> dict[str, Any]:
        network = self.network
        output = network(pixel_values=pixel_values, pixel_mask=pixel_mask.long(), output_hidden_states=True)
        aux_outputs = []
        for state in output.decoder_hidden_states[1:-1]:  # before the first layer ... after the last
            normed = network.model.decoder.layernorm(state)
            logits, boxes = network.class_labels_classifier(normed), network.bbox_predictor(normed).sigmoid()
            aux_outputs.append({"pred_logits": logits, "pred_boxes": boxes})
        return {"pred_logits": output.logits, "pred_boxes": output.pred_boxes, "aux_outputs": aux_outputs}


def _layers(
    logits: Tensor,
    labels: Any,
    device: Any,
    pred_boxes: Tensor,
    config: Any,
    outputs_class: Tensor,
    outputs_coord: Tensor,
    **_: Any,
) -> tuple[None, None, list[dict[str, Tensor]]]:
    """Stand in for transformers' loss: every decoder layer's logits and boxes, the last one's last."""
    pairs = zip(outputs_class, outputs_coord, strict=True)
    return None, None, [{"pred_logits": c, "pred_boxes": b} for c, b in pairs]


def build_detr(config: DetrConfig, num_classes: int) -> Detr:
    """Build the network that `config` describes.

    Args:
        config: Its shape and where its weights come from.
        num_classes: The number of classes, "no object" not counted.

    Raises:
        UserError: An unknown backbone, or weights that are not there or do not fit.
    """
    if config.pretrained is not None and config.pretrained.endswith(".ckpt"):
        detr = build_detr(replace(config, pretrained=None, backbone_weights=None), num_classes)
        load_run(detr, Path(config.pretrained), asdict(config))
        return detr
    check_backbone(config.backbone, config.out_indices)
    build = {"deformable_detr": _deformable_detr, "detr": _detr}[config.arch]
    hf_config, model_class = build(config, num_classes)
    if config.pretrained is None:
        network, new_heads = model_class(hf_config), True
    else:
        network, new_heads = from_transformers(config.pretrained, hf_config, model_class)
    # transformers replaces every BatchNorm2d inside a timm model by a frozen class of its own, and with
    # it loses the activation that timm fuses into BatchNormAct2d. Ours keeps it.
    weights = (
        config.backbone_weights if config.pretrained is None else network.model.backbone.model.state_dict()
    )
    network.model.backbone.model = build_backbone(
        config.backbone, config.out_indices, weights, config.frozen_stages
    )
    if config.arch == "deformable_detr" and config.exact_geometry:
        network.model.__class__ = ExactDeformableDetrModel  # the same weights, read another way
        network.model.strides = feature_strides(network)
    if not config.two_stage:  # whose layers add to the coordinates of proposals, which are in float32
        for name, layer in network.named_modules():
            if type(layer) is nn.Linear and ("bbox" in name or name.endswith("reference_points")):
                layer.__class__ = SinglePrecisionLinear  # the same weights
    if config.pretrained is None and not config.two_stage:
        # As in the code of both papers. The .02 of transformers makes one query of them all: the boxes of
        # a new DETR differ by 4e-7, the reference points of a Deformable DETR by .004.
        nn.init.normal_(network.model.query_position_embeddings.weight)
    if new_heads and config.arch == "deformable_detr":
        for head in network.class_embed:
            nn.init.constant_(head.bias, -log((1 - CLASS_PRIOR) / CLASS_PRIOR))
    return Detr(network)


def _common(config: DetrConfig, num_classes: int) -> dict[str, Any]:
    return {
        "backbone_config": TimmBackboneConfig(
            backbone=config.backbone,
            out_indices=list(config.out_indices),
            use_pretrained_backbone=False,
            features_only=True,
        ),
        "num_labels": num_classes,
        "d_model": config.hidden_dim,
        "encoder_layers": config.num_encoder_layers,
        "decoder_layers": config.num_decoder_layers,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "decoder_ffn_dim": config.ffn_dim,
        "dropout": config.dropout,
        "num_queries": config.num_queries,
    }


def _deformable_detr(config: DetrConfig, num_classes: int) -> tuple[PretrainedConfig, type[PreTrainedModel]]:
    return DeformableDetrConfig(
        **_common(config, num_classes),
        num_feature_levels=config.num_feature_levels,
        encoder_n_points=config.num_points,
        decoder_n_points=config.num_points,
        with_box_refine=config.box_refinement,
        two_stage=config.two_stage,
        two_stage_num_proposals=config.num_queries,
    ), DeformableDetrForObjectDetection


def _detr(config: DetrConfig, num_classes: int) -> tuple[PretrainedConfig, type[PreTrainedModel]]:
    return HFDetrConfig(**_common(config, num_classes)), DetrForObjectDetection
