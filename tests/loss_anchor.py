"""A small batch whose matching and losses were worked out once, and random boxes."""

from __future__ import annotations

import torch
from torch import Tensor

QUERIES = torch.tensor(
    [[0.50, 0.50, 0.40, 0.40], [0.25, 0.25, 0.20, 0.10], [0.75, 0.70, 0.30, 0.20], [0.50, 0.20, 0.80, 0.10]]
)
LOGITS = torch.tensor(
    [[[2.0, 0, 0], [0, 1, 1], [1, 0, 2], [0, 0, 3]], [[0, 0, 3], [1, 0, 1], [0, 0, 2], [0, 0, 2]]]
)
TRUTH = [
    {
        "labels": torch.tensor([0, 0]),
        "boxes": torch.tensor([[0.52, 0.50, 0.44, 0.36], [0.70, 0.72, 0.30, 0.24]]),
    },
    {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)},
]


def random_boxes(*shape: int) -> Tensor:
    """Boxes in cxcywh that lie on the page."""
    return torch.cat([torch.rand(*shape, 2) * 0.6 + 0.2, torch.rand(*shape, 2) * 0.39 + 0.01], -1)
