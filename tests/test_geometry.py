"""Where Deformable DETR takes its features to stand on the page."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tablesense.detr import Detr, DetrConfig, build_detr

CONFIG = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=1, num_queries=5, ffn_dim=32)
PAGE = 340, 270  # height and width; neither ends with a cell


def proposals(detr: Detr, canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres of the usable proposals of a white page in the corner of a canvas, and the features' shape."""
    pixels, mask = torch.zeros(1, 3, *canvas), torch.zeros(1, *canvas, dtype=torch.bool)
    pixels[:, :, : PAGE[0], : PAGE[1]] = 1
    mask[:, : PAGE[0], : PAGE[1]] = True
    seen: list[Tensor] = []
    model = detr.network.model
    original = model.gen_encoder_output_proposals

    def keep(*inputs: object) -> tuple[Tensor, Tensor]:
        features, logits = original(*inputs)
        seen.append(logits)
        return features, logits

    model.gen_encoder_output_proposals = keep
    with torch.no_grad():
        detr.eval()(pixels, mask)
    del model.gen_encoder_output_proposals
    usable = seen[0].isfinite().all(-1)
    return seen[0][usable].sigmoid(), usable


def test_proposals_are_centred_on_their_cells() -> None:
    boxes, usable = proposals(build_detr(CONFIG, 1), (384, 288))
    shapes, start, found = [(24, 18), (12, 9), (6, 5)], 0, []
    for stride, (height, width) in zip((16, 32, 64), shapes, strict=True):
        cells = usable[0, start : start + height * width].view(height, width).nonzero()
        start += height * width
        # (row + .5) * stride pixels from the top, of 340; as far from the left, of 270.
        found += [
            ((column + 0.5) * stride / PAGE[1], (row + 0.5) * stride / PAGE[0])
            for row, column in cells.tolist()
        ]
    torch.testing.assert_close(boxes[:, :2], torch.tensor(found), rtol=0, atol=1e-5)


@pytest.mark.parametrize("canvas", [(352, 288), (384, 288), (384, 384), (448, 320)])
def test_padding_moves_no_proposal(canvas: tuple[int, int]) -> None:
    detr = build_detr(CONFIG, 1)
    expected, found = proposals(detr, (340, 270))[0], proposals(detr, canvas)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_original_takes_its_count_of_cells_for_the_size_of_the_page() -> None:
    """What `exact_geometry` is for; without it the last row's centre would stand where it does here."""
    boxes, _ = proposals(build_detr(DetrConfig(**vars(CONFIG) | {"exact_geometry": False}), 1), (384, 288))
    exact, _ = proposals(build_detr(CONFIG, 1), (384, 288))
    lowest, lowest_exact = boxes[:, 1].max().item(), exact[:, 1].max().item()
    assert lowest == pytest.approx(21.5 / 22, abs=1e-4)
    assert lowest_exact == pytest.approx(336 / 340, abs=1e-4)  # (10 + .5) * 32 pixels


def test_coordinates_stay_in_single_precision_under_autocast() -> None:
    detr = build_detr(CONFIG, 1)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        outputs = detr(torch.zeros(1, 3, 96, 96), torch.ones(1, 96, 96, dtype=torch.bool))
    assert outputs["pred_boxes"].dtype == outputs["enc_outputs"]["pred_boxes"].dtype == torch.float32
