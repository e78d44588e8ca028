"""DETR, to be traced."""

from __future__ import annotations

import torch
from torch import Tensor

from tablesense.export.graph import Graph, attend, nearest, tokens


class DetrGraph(Graph):
    """DETR as in its paper: one feature map, learnt queries, a class for "no object"."""

    def detect(self, maps: list[Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """See `Graph`."""
        model, feature = self.network.model, maps[-1]
        seen = nearest(mask, feature)
        code = model.position_embedding(
            shape=feature.shape, device=feature.device, dtype=feature.dtype, mask=seen
        )
        memory, code, seen = tokens(model.input_projection(feature)), tokens(code), seen.flatten(1)
        for layer in model.encoder.layers:
            attended = attend(layer.self_attn, memory + code, memory + code, memory, seen)
            memory = layer.self_attn_layer_norm(memory + attended)
            memory = layer.final_layer_norm(memory + layer.mlp(memory))
        own = model.query_position_embeddings.weight[None].expand(memory.shape[0], -1, -1)
        queries = torch.zeros_like(own)
        for layer in model.decoder.layers:
            attended = attend(layer.self_attn, queries + own, queries + own, queries)
            queries = layer.self_attn_layer_norm(queries + attended)
            attended = attend(layer.encoder_attn, queries + own, memory + code, memory, seen)
            queries = layer.encoder_attn_layer_norm(queries + attended)
            queries = layer.final_layer_norm(queries + layer.mlp(queries))
        queries = model.decoder.layernorm(queries)
        return self.network.class_labels_classifier(queries), self.network.bbox_predictor(queries).sigmoid()
