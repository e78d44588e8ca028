"""Bipartite matching between predictions and truth, for every decoder layer and image at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_convert

Target = dict[str, Tensor]


def pad_targets(targets: Sequence[Target], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Bring the truth of a batch to one size.

    Args:
        targets: One dict an image: `labels` [T_i], `boxes` [T_i, 4].
        device: Where the result goes.

    Returns:
        `labels` [batch_size, T] (0 where there is none), `boxes` [batch_size, T, 4] (the whole page
        where there is none, so that no arithmetic on it fails) and `valid` [batch_size, T], where T is
        the largest number of tables on a page, at least 1.
    """
    size = max([1, *(len(target["labels"]) for target in targets)])
    own = targets[0]["labels"].device if targets else device  # nothing is copied back from a GPU
    labels = torch.zeros(len(targets), size, dtype=torch.long, device=own)
    boxes = torch.tensor([0.5, 0.5, 1.0, 1.0], device=own).repeat(len(targets), size, 1)
    valid = torch.zeros(len(targets), size, dtype=torch.bool, device=own)
    for i, target in enumerate(targets):
        number = len(target["labels"])
        labels[i, :number] = target["labels"]
        boxes[i, :number] = target["boxes"].float()
        valid[i, :number] = True
    return labels.to(device), boxes.to(device), valid.to(device)


class HungarianMatcher(nn.Module):
    """The one-to-one matching of DETR (arXiv:2005.12872, section 3.1), softmax or focal.

    Attributes:
        cost_class: Weight of the classification cost.
        cost_bbox: Weight of the L1 distance between boxes.
        cost_giou: Weight of the generalised IoU.
        focal: The classification cost of Deformable DETR's sigmoid scores, not softmax's probability.
    """

    def __init__(
        self,
        cost_class: float = 1,
        cost_bbox: float = 5,
        cost_giou: float = 2,
        focal: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
    ) -> None:
        super().__init__()
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou
        self.focal, self.alpha, self.gamma = focal, alpha, gamma

    @torch.no_grad()
    def forward(self, outputs: dict[str, Any], targets: Sequence[Target]) -> list[tuple[Tensor, Tensor]]:
        """Match the last layer's predictions, as DETR's own matcher does.

        Args:
            outputs: `pred_logits` [batch_size, num_queries, classes] and `pred_boxes`
                [batch_size, num_queries, 4], cxcywh.
            targets: One dict an image: `labels` [T_i] and `boxes` [T_i, 4], cxcywh.

        Returns:
            For each image (index_i, index_j): the queries, ascending, and the table of each. Their
            length is min(num_queries, T_i).
        """
        device = outputs["pred_logits"].device
        labels, boxes, _ = pad_targets(targets, device)
        cost = self.cost(outputs["pred_logits"][None], outputs["pred_boxes"][None], labels, boxes)
        assigned = self.one_to_one(cost, [len(target["labels"]) for target in targets])[0]
        pairs = []
        for row in assigned:
            index_i = (row >= 0).nonzero().flatten()
            pairs.append((index_i, row[index_i]))
        return pairs

    @torch.no_grad()
    def cost(self, logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> Tensor:
        """Cost of giving each query to each table of its page, in float32.

        Args:
            logits: [layers, batch_size, num_queries, classes].
            boxes: [layers, batch_size, num_queries, 4], cxcywh.
            labels: [batch_size, T].
            truth: [batch_size, T, 4], cxcywh.

        Returns:
            [layers, batch_size, num_queries, T]; predictions that are not finite cost 1e6.
        """
        logits, boxes, truth = logits.float(), boxes.float(), truth.float()
        if self.focal:
            # -log p and -log(1 - p) straight from the logits, which stays exact where p saturates.
            probability = logits.sigmoid()
            positive = self.alpha * (1 - probability) ** self.gamma * nn.functional.softplus(-logits)
            negative = (1 - self.alpha) * probability**self.gamma * nn.functional.softplus(logits)
            class_cost = positive - negative
        else:
            class_cost = -logits.softmax(-1)
        layers, _, queries, _ = logits.shape
        index = labels[None, :, None].expand(layers, -1, queries, -1)
        l1 = (boxes[..., :, None, :] - truth[None, :, None]).abs().sum(-1)
        cost = (
            self.cost_class * class_cost.gather(-1, index)
            + self.cost_bbox * l1
            - self.cost_giou * pairwise_giou(boxes, truth[None])
        )
        return cost.nan_to_num(nan=1e6, posinf=1e6, neginf=1e6)

    @classmethod
    def one_to_one(cls, cost: Tensor, sizes: Sequence[int]) -> Tensor:
        """The cheapest matching of every layer and image.

        Args:
            cost: [layers, batch_size, num_queries, T].
            sizes: How many tables each page has.

        Returns:
            The table given to each query, -1 for none: [layers, batch_size, num_queries] on cost's device.
        """
        return cls.one_to_one_each([cost], sizes)[0]

    @staticmethod
    def one_to_one_each(costs: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """`one_to_one` of several cost tensors, with one copy from the device to the host for all of them."""
        flat = torch.cat([cost.flatten() for cost in costs]).cpu()
        results = []
        for cost, part in zip(costs, flat.split_with_sizes([cost.numel() for cost in costs]), strict=True):
            host = part.view(cost.shape).numpy()
            assigned = torch.full(cost.shape[:3], -1, dtype=torch.long)
            for layer in range(len(host)):
                for image, size in enumerate(sizes):
                    if size:
                        index_i, index_j = linear_sum_assignment(host[layer, image, :, :size])
                        assigned[layer, image, index_i] = torch.from_numpy(index_j)
            results.append(assigned.to(cost.device, non_blocking=True))
        return results

    @staticmethod
    def one_to_many(cost: Tensor, valid: Tensor, matches: int) -> Tensor:
        """The `matches` cheapest queries for each table; a query that several want goes to the cheapest.

        Args:
            cost: [layers, batch_size, num_queries, T].
            valid: Which tables exist, [batch_size, T].
            matches: Queries for each table.

        Returns:
            The table given to each query, -1 for none: [layers, batch_size, num_queries]. It never
            leaves the device.
        """
        cost = cost.masked_fill(~valid[None, :, None], torch.inf)
        cheapest = cost.topk(min(matches, cost.shape[2]), dim=2, largest=False).indices
        wanted = torch.zeros_like(cost, dtype=torch.bool).scatter_(2, cheapest, True)
        price, table = cost.masked_fill(~wanted, torch.inf).min(-1)
        return table.masked_fill(price.isinf(), -1)


def pairwise_giou(boxes: Tensor, truth: Tensor) -> Tensor:
    """Generalised IoU (arXiv:1902.09630) of every pair, batched over the leading dimensions.

    Args:
        boxes: [..., N, 4], cxcywh.
        truth: [..., M, 4], cxcywh.

    Returns:
        [..., N, M], each in [-1, 1]. Torchvision's `generalized_box_iou` takes no leading dimensions.
    """
    first = box_convert(boxes, "cxcywh", "xyxy")[..., :, None, :]
    second = box_convert(truth, "cxcywh", "xyxy")[..., None, :, :]
    overlap = (torch.min(first[..., 2:], second[..., 2:]) - torch.max(first[..., :2], second[..., :2])).clamp(
        min=0
    )
    hull = torch.max(first[..., 2:], second[..., 2:]) - torch.min(first[..., :2], second[..., :2])
    intersection, hull = overlap.prod(-1), hull.clamp(min=0).prod(-1)
    area = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    union = area - intersection
    # A box without any area makes 0 / 0; 1e-7 is far below the area of a pixel of the largest page.
    giou: Tensor = intersection / union.clamp(min=1e-7) - (hull - union) / hull.clamp(min=1e-7)
    return giou
