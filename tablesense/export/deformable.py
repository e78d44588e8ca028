"""Deformable DETR, to be traced."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.deformable_detr.modeling_deformable_detr import inverse_sigmoid

from tablesense.export.graph import Graph, attend, nearest, tokens
from tablesense.geometry import ExactDeformableDetrModel

TOGETHER = 512
"""The longest side of pages up to which all that attention samples is gathered at once."""


class DeformableGraph(Graph):
    """Deformable DETR with one stage or two, its geometry exact or not.

    `linspace`, which transformers places tokens with, divides by 0 in an exported network where a map is one
    cell high. Attention gathers the four cells around a sampling point rather than calling grid_sample: a
    cell's channels lie side by side.
    """

    def detect(self, maps: list[Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        """See `Graph`."""
        levels, memory, code = self._levels(maps, mask)
        grid = self._grid(levels, mask)
        places = torch.cat([level.cells[None] / level.extent[:, None] for level in levels], 1)
        around = _around(places, grid)
        # All pages' tokens in one matrix: linear layers then become Gemm, which adds the bias on the way.
        memory, code = memory.flatten(0, 1), code.flatten(0, 1)
        for layer in self.network.model.encoder.layers:
            attended = _sample(layer.self_attn, memory + code, memory, grid, around)
            memory = layer.self_attn_layer_norm(memory + attended)
            memory = layer.final_layer_norm(memory + layer.mlp(memory))
        return self._decode(grid, memory, *self._queries(levels, grid, memory))

    @property
    def _exact(self) -> bool:
        return isinstance(self.network.model, ExactDeformableDetrModel)

    def _levels(self, maps: list[Tensor], mask: Tensor) -> tuple[list[_Level], Tensor, Tensor]:
        """The feature maps, and their tokens and position code one level after the other."""
        model = self.network.model
        features = [project(each) for project, each in zip(model.input_proj, maps, strict=False)]
        for project in model.input_proj[len(maps) :]:
            features.append(project(maps[-1] if len(features) == len(maps) else features[-1]))
        page = torch.stack([mask[:, 0].sum(1), mask[:, :, 0].sum(1)], 1)  # width and height in pixels
        levels, memory, codes, start = [], [], [], 0
        for i, feature in enumerate(features):
            seen = nearest(mask, feature)
            counted = torch.stack([seen[:, 0].sum(1), seen[:, :, 0].sum(1)], 1)
            level = _Level(
                height=feature.shape[2],
                width=feature.shape[3],
                start=start,
                cells=_centres(feature.shape[2], feature.shape[3]),
                seen=seen.flatten(1),
                counted=counted,
                extent=page / model.strides[i] if self._exact else counted,
            )
            start = start + level.height * level.width
            code = model.position_embedding(
                shape=feature.shape, device=feature.device, dtype=feature.dtype, mask=seen
            )
            levels.append(level)
            memory.append(tokens(feature))
            codes.append(tokens(code) + model.level_embed[i])
        return levels, torch.cat(memory, 1), torch.cat(codes, 1)

    def _grid(self, levels: list[_Level], mask: Tensor) -> _Grid:
        config = self.network.config
        heads, points = config.decoder_attention_heads, config.decoder_n_points
        last = torch.stack([level.cells[-1] for level in levels]) - 0.5
        widths, areas = last[:, 0] + 1, (last + 1).prod(1)

        def spread(values: Tensor) -> Tensor:  # [levels] -> [heads * levels * points]
            return values[None, :, None].expand(heads, len(levels), points).flatten()

        head = torch.arange(heads)[:, None].expand(heads, len(levels) * points).flatten()
        return _Grid(
            last_x=spread(last[:, 0]),
            last_y=spread(last[:, 1]),
            row=spread(widths) * heads,
            start=spread(areas.cumsum(0) - areas) * heads + head,
            extent=torch.stack([level.extent for level in levels], 1),
            seen=torch.cat([level.seen for level in levels], 1),
            pages=mask.shape[0],
            apart=self.image_size > TOGETHER,
        )

    def _queries(self, levels: list[_Level], grid: _Grid, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The queries that the decoder starts from, their position code and their reference boxes."""
        model, width = self.network.model, self.network.config.d_model
        if not self.network.config.two_stage:
            both = model.query_position_embeddings.weight.repeat(grid.pages, 1)
            code, queries = both[:, :width], both[:, width:]
            return queries, code, model.reference_points(code).sigmoid()
        usable, boxes = _proposals(levels, counted=True)
        features = model.enc_output_norm(model.enc_output(memory * usable.reshape(-1, 1).float()))
        if self._exact:
            usable, boxes = _proposals(levels, counted=False)
        logits = torch.log(boxes / (1 - boxes)).masked_fill(~usable[..., None], torch.inf).flatten(0, 1)
        scores = model.decoder.class_embed[-1](features)[:, 0].reshape(usable.shape)
        best = torch.topk(scores, self.network.config.two_stage_num_proposals, dim=1)[1]
        rows = (torch.arange(grid.pages)[:, None] * usable.shape[1] + best).flatten()
        delta = model.decoder.bbox_embed[-1](features.index_select(0, rows))
        proposed = delta + logits.index_select(0, rows)
        coded = model.get_proposal_pos_embed(proposed[None])[0]
        both = model.pos_trans_norm(model.pos_trans(coded))
        return both[:, width:], both[:, :width], proposed.sigmoid()

    def _decode(
        self, grid: _Grid, memory: Tensor, queries: Tensor, code: Tensor, reference: Tensor
    ) -> tuple[Tensor, Tensor]:
        decoder, pages = self.network.model.decoder, grid.pages
        last = len(decoder.layers) - 1
        for i, layer in enumerate(decoder.layers):
            coded = (queries + code).reshape(pages, -1, queries.shape[1])
            attended = attend(layer.self_attn, coded, coded, queries.reshape(coded.shape)).flatten(0, 1)
            queries = layer.self_attn_layer_norm(queries + attended)
            around = _around(reference.reshape(pages, -1, reference.shape[1]), grid)
            attended = _sample(layer.encoder_attn, queries + code, memory, grid, around)
            queries = layer.encoder_attn_layer_norm(queries + attended)
            queries = layer.final_layer_norm(queries + layer.mlp(queries))
            if i < last and decoder.bbox_embed is not None:
                reference = _refine(decoder.bbox_embed[i](queries), reference)
        boxes = _refine(self.network.bbox_embed[last](queries), reference).reshape(pages, -1, 4)
        logits = self.network.class_embed[last](queries)
        return logits.reshape(pages, -1, logits.shape[1]), boxes


class _Level(NamedTuple):
    """A feature map. While it is traced, its height and width are not numbers but parts of the graph."""

    height: Any
    width: Any
    start: Any
    """Where its tokens start among those of all levels."""
    cells: Tensor
    """The centre of each cell in cells, [height * width, 2], x first."""
    seen: Tensor
    """1 on the page and 0 on padding, [batch_size, height * width]."""
    counted: Tensor
    """Width and height of the page in whole cells, [batch_size, 2]."""
    extent: Tensor
    """Width and height of the page in cells, as the network sees it, [batch_size, 2]."""


class _Grid(NamedTuple):
    """What sampling must know of the levels, for each head, level and point: [heads * levels * points]."""

    last_x: Tensor
    """The last column of the level."""
    last_y: Tensor
    """The last row of the level."""
    row: Tensor
    """From one row to the next, in values: each token has one for each head."""
    start: Tensor
    """The head's first value on the level."""
    extent: Tensor
    """[pages, levels, 2]: as of `_Level`."""
    seen: Tensor
    """[pages, tokens]: as of `_Level`."""
    pages: Any
    apart: bool
    """Whether the four cells around a point are gathered one after the other: slower, in a quarter of the
    memory, which is 1.2 GB for a page of 800 pixels at stride 8."""


def _centres(height: Any, width: Any) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def _proposals(levels: list[_Level], counted: bool) -> tuple[Tensor, Tensor]:
    """A box on every cell, and which of them lie on the page and not too near to its edge.

    Returns:
        bool [batch_size, tokens], and [batch_size, tokens, 4] in cxcywh relative to the page.
    """
    boxes = []
    for i, level in enumerate(levels):
        centre = level.cells[None] / (level.counted if counted else level.extent)[:, None]
        boxes.append(torch.cat([centre, torch.full_like(centre, 0.05 * 2**i)], -1))
    all_boxes = torch.cat(boxes, 1)
    within = (all_boxes > 0.01) & (all_boxes < 0.99)
    seen = torch.cat([level.seen for level in levels], 1) > 0.5
    return within[..., 0] & within[..., 1] & within[..., 2] & seen, all_boxes


def _around(places: Tensor, grid: _Grid) -> Tensor:
    """Places [pages, queries, 2 or 4] on the page in the cells of each level, [..., levels, 2 or 4]."""
    extent = grid.extent if places.shape[-1] == 2 else torch.cat([grid.extent, grid.extent], -1)
    return places[:, :, None] * extent[:, None]


def _sample(attention: Any, queries: Tensor, memory: Tensor, grid: _Grid, around: Tensor) -> Tensor:
    """Multi-scale deformable attention.

    Args:
        attention: transformers' module.
        queries: With their position code, [pages * queries, hidden_dim].
        memory: [pages * tokens, hidden_dim].
        grid: The levels.
        around: What is sampled around, in cells, [pages, queries, levels, 2 or 4].
    """
    heads, levels, points = attention.n_heads, attention.n_levels, attention.n_points
    spread = heads, levels, points
    values = attention.value_proj(memory) * grid.seen.reshape(-1, 1)
    values = values.reshape(-1, attention.d_model // heads)
    shares = attention.attention_weights(queries).reshape(-1, heads, levels * points).softmax(-1)
    around = around.flatten(0, 1)
    sides = []
    for axis, last in enumerate((grid.last_x, grid.last_y)):
        # Each axis by itself, so that all arithmetic is on long rows.
        offsets = attention.sampling_offsets
        offset = functional.linear(
            queries, offsets.weight[axis::2].contiguous(), offsets.bias[axis::2].contiguous()
        )
        centre = around[:, None, :, None, axis].expand(-1, *spread).flatten(1)
        if around.shape[-1] == 4:
            size = around[:, None, :, None, axis + 2].expand(-1, *spread).flatten(1)
            offset = offset / points * size * 0.5
        sides.append(_neighbours(centre + offset - 0.5, last))
    (left, right), (top, bottom) = sides
    cells, weights = [], []
    for y, of_y in (top, bottom):
        down = y * grid.row + grid.start
        for x, of_x in (left, right):
            cells.append((down + x * heads).reshape(-1, heads, levels * points))
            weights.append((of_y * of_x).reshape(-1, heads, levels * points) * shares)
    if not grid.apart:
        cells, weights = [torch.cat(cells, -1)], [torch.cat(weights, -1)]
    first = torch.arange(grid.pages)[:, None] * (grid.seen.shape[1] * heads)
    attended = []
    for cell, weight in zip(cells, weights, strict=True):
        index = cell.long().reshape(grid.pages, -1) + first
        found = values.index_select(0, index.flatten())
        found = found.reshape(-1, heads, weight.shape[-1], attention.d_model // heads)
        attended.append(torch.matmul(weight[:, :, None], found))
    output: Tensor = attention.output_proj(sum(attended[1:], attended[0]).flatten(1))
    return output


def _neighbours(place: Tensor, last: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The cells before and after a place, and the share of each in linear interpolation: 0 off the map.

    Args:
        place: [..., points] along one axis; 0 is the middle of the first cell.
        last: The last cell, [points].
    """
    low = place.floor()
    beyond = place - low
    before, after = (torch.minimum(cell.clamp(min=0), last) for cell in (low, low + 1))
    return (before, (1 - beyond) * (before == low).float()), (after, beyond * (after == low + 1).float())


def _refine(delta: Tensor, reference: Tensor) -> Tensor:
    """Boxes from what a head says of them and the points or boxes that it started from."""
    start = inverse_sigmoid(reference)
    if reference.shape[-1] == 2:
        return torch.cat([delta[..., :2] + start, delta[..., 2:]], -1).sigmoid()
    boxes: Tensor = (delta + start).sigmoid()
    return boxes
