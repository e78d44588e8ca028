"""The losses of the DETR family, computed for all decoder layers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torchvision.ops import box_convert, generalized_box_iou_loss

from tablesense.errors import UserError
from tablesense.matcher import HungarianMatcher, Target, pad_targets


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses and costs of the matching.

    Attributes:
        classification: "softmax" with a no-object class (DETR), "focal" (sigmoid, Deformable DETR) or
            "varifocal" (arXiv:2008.13367): a sigmoid score that learns the IoU of its box.
        lambda_cls: Weight of the classification loss.
        lambda_l1: Weight of the L1 loss of the boxes.
        lambda_iou: Weight of the generalised IoU loss.
        cost_cls: Weight of the classification in the matching.
        cost_l1: Weight of the L1 distance in the matching.
        cost_iou: Weight of the generalised IoU in the matching.
        eos_coef: Softmax: weight of the no-object class.
        focal_alpha: Focal: weight of the positives. The negatives weigh 1 - focal_alpha, under varifocal too.
        focal_gamma: Focal and varifocal: exponent that plays down easy negatives.
        iou_power: Varifocal: the target score of a matched box is IoU ** iou_power. Below 1, scores run
            higher, so that the fixed threshold of .5 stands nearer to the best one; 0 makes it 1.
        encoder_matches: Two-stage: proposals matched to each table. 1 is the paper's one-to-one matching.
        decoder_matches: Queries matched to each table in every decoder layer. 1 is DETR's own matching. With
            more, as in DETA (arXiv:2212.06137), a network learns in a fraction of the time, finds each
            table several times and needs `model.nms_iou`. A page with many tables takes fewer, so that
            there are queries for all.
    """

    classification: Literal["softmax", "focal", "varifocal"] = "varifocal"
    lambda_cls: float = 1.0
    lambda_l1: float = 5.0
    lambda_iou: float = 2.0
    cost_cls: float = 2.0
    cost_l1: float = 5.0
    cost_iou: float = 2.0
    eos_coef: float = 0.1
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    iou_power: float = 0.65
    encoder_matches: int = 6
    decoder_matches: int = 4

    def __post_init__(self) -> None:
        """Refuse weights that make no loss.

        Raises:
            UserError: A weight is negative or not finite, or there is nothing to match or to learn from.
        """
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and not 0 <= value < inf:
                raise UserError(f"model.loss.{name}: expected 0 or more, found {value}")
        for name in "encoder_matches", "decoder_matches":
            if getattr(self, name) < 1:
                raise UserError(f"model.loss.{name}: expected 1 or more, found {getattr(self, name)}")
        if self.focal_alpha > 1:
            raise UserError(f"model.loss.focal_alpha: expected between 0 and 1, found {self.focal_alpha}")
        if self.classification == "softmax" and self.eos_coef == 0:
            raise UserError(
                "model.loss.eos_coef: expected more than 0, found 0: pages without tables have no loss"
            )


class Matching(NamedTuple):
    """What was matched in the last decoder layer of one batch, for looking at; nothing is learnt from it.

    Attributes:
        queries: Whether each query was given a table on any page of the batch, bool [num_queries].
        pairs: The number of pairs of a query and its table, a scalar.
        iou: The sum of their IoU, a scalar.
    """

    queries: Tensor
    pairs: Tensor
    iou: Tensor


class DetrCriterion(nn.Module):
    """DETR's loss (arXiv:2005.12872, section 3.1): match, then score the matched and the unmatched.

    Its interface is that of DETR's own `SetCriterion`; the sums are over dense tensors with a place for
    every query, so that nothing but the matching leaves the device.

    Args:
        num_classes: The number of classes, "no object" not counted.
        config: Kinds and weights of the losses.

    Attributes:
        matching: What the last call matched; None before the first.
    """

    def __init__(self, num_classes: int, config: LossConfig) -> None:
        super().__init__()
        self.num_classes, self.config = num_classes, config
        self.matching: Matching | None = None
        self.matcher = HungarianMatcher(
            config.cost_cls,
            config.cost_l1,
            config.cost_iou,
            focal=config.classification != "softmax",  # with the papers' alpha and gamma, whatever the loss's
        )

    def forward(self, outputs: dict[str, Any], targets: Sequence[Target]) -> dict[str, Tensor]:
        """Compute the losses in float32, whatever autocast says.

        Args:
            outputs: `pred_logits` [batch_size, num_queries, classes], `pred_boxes`
                [batch_size, num_queries, 4] in cxcywh, and optionally `aux_outputs` (a list of such
                dicts) and `enc_outputs` (one more).
            targets: One dict an image: `labels` [T_i] in 0..num_classes-1, `boxes` [T_i, 4].

        Returns:
            The unweighted `loss_ce`, `loss_bbox`, `loss_giou` of the last layer; the same with `_0`,
            `_1`, ... for the layers before it and `_enc` for the encoder; `cardinality_error`, the mean
            distance between the number of tables found and true on a page (not a loss); and `loss`,
            the weighted total. A batch that no layer can be computed on gives a loss that is not finite.

        Raises:
            ValueError: A label is outside 0..num_classes-1.
        """
        self._check(targets)
        with torch.autocast(outputs["pred_logits"].device.type, enabled=False):
            return self._losses(outputs, targets)

    def _check(self, targets: Sequence[Target]) -> None:
        """Refuse labels that a softmax would take for "no object" and a GPU answer with a device assert."""
        found = set(torch.cat([target["labels"] for target in targets]).tolist())
        if found and not 0 <= min(found) <= max(found) < self.num_classes:
            raise ValueError(
                f"labels must lie in 0..{self.num_classes - 1} for {self.num_classes} classes, "
                f"found {sorted(found)}"
            )

    def _losses(self, outputs: dict[str, Any], targets: Sequence[Target]) -> dict[str, Tensor]:
        layers = [*(outputs.get("aux_outputs") or []), outputs]
        logits = torch.stack([layer["pred_logits"] for layer in layers]).float()
        boxes = torch.stack([layer["pred_boxes"] for layer in layers]).float()
        labels, truth, valid = pad_targets(targets, logits.device)
        sizes = [len(target["labels"]) for target in targets]
        num_boxes = self._num_boxes(sum(sizes), logits.device)

        costs = [self.matcher.cost(logits, boxes, labels, truth)]
        encoder = outputs.get("enc_outputs")
        most = truth.shape[1]
        matches = [max(1, min(self.config.decoder_matches, logits.shape[2] // most))]
        if encoder is not None:
            # Proposals compete for tables of any class: the first stage only tells table from page.
            first = torch.zeros_like(labels)
            enc_logits, enc_boxes = encoder["pred_logits"].float()[None], encoder["pred_boxes"].float()[None]
            costs.append(self.matcher.cost(enc_logits, enc_boxes, first, truth))
            matches.append(self.config.encoder_matches)
        assigned = self._assign(costs, matches, sizes, valid)
        self.matching = _matching(assigned[0][-1], boxes[-1], truth)

        names = [f"_{i}" for i in range(len(layers) - 1)] + [""]
        share = num_boxes * matches[0]
        losses, total = self._terms(logits, boxes, labels, truth, assigned[0], share, names)
        if encoder is not None:
            share = num_boxes * matches[1]
            more, add = self._terms(enc_logits, enc_boxes, first, truth, assigned[1], share, ["_enc"])
            losses, total = losses | more, total + add
        losses["loss"] = total
        losses["cardinality_error"] = self._cardinality_error(outputs["pred_logits"].float(), sizes)
        return losses

    def _assign(
        self, costs: Sequence[Tensor], matches: Sequence[int], sizes: Sequence[int], valid: Tensor
    ) -> list[Tensor]:
        """The table of each query or -1: one to one where `matches` is 1, else one to many."""
        single = [cost for cost, number in zip(costs, matches, strict=True) if number == 1]
        ones = iter(self.matcher.one_to_one_each(single, sizes) if single else [])
        return [
            next(ones) if number == 1 else self.matcher.one_to_many(cost, valid, number)
            for cost, number in zip(costs, matches, strict=True)
        ]

    @staticmethod
    def _num_boxes(number: int, device: torch.device) -> Tensor | float:
        """Tables in the batch, averaged over the processes so that each table weighs the same; at least 1."""
        # In scoring a process may have a batch more than another, so none must wait for the others.
        if not (torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()):
            return float(max(number, 1))
        total = torch.as_tensor(float(number), device=device)
        dist.all_reduce(total)
        return (total / dist.get_world_size()).clamp(min=1)

    def _terms(
        self,
        logits: Tensor,
        boxes: Tensor,
        labels: Tensor,
        truth: Tensor,
        assigned: Tensor,
        num_boxes: Tensor | float,
        names: Sequence[str],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The three losses of each layer, and their weighted sum.

        Args:
            logits: [layers, batch_size, queries, classes].
            boxes: [layers, batch_size, queries, 4].
            labels: [batch_size, T].
            truth: [batch_size, T, 4].
            assigned: The table of each query or -1, [layers, batch_size, queries].
            num_boxes: What the sums are divided by.
            names: What is added to the losses' names for each layer.
        """
        matched = assigned >= 0
        table = assigned.clamp(min=0)
        layers = len(assigned)
        goal = truth[None].expand(layers, -1, -1, -1).gather(2, table[..., None].expand(-1, -1, -1, 4))
        label = labels[None].expand(layers, -1, -1).gather(2, table)
        # Unmatched boxes are compared with themselves: their loss and gradient are 0, also where a box is
        # not finite, which a multiplication by 0 would not ensure.
        own = torch.where(matched[..., None], boxes, goal)
        l1 = (own - goal).abs().sum(-1)
        # Torchvision's own eps of 1e-7 is seen in the sixth digit, and in the fourth for small tables.
        giou = generalized_box_iou_loss(_corners(own), _corners(goal), eps=1e-12)
        zero = l1.new_zeros(())
        terms = {
            "loss_ce": self._classification(logits, own, goal, label, matched, num_boxes),
            "loss_bbox": torch.where(matched, l1, zero).sum((1, 2)) / num_boxes,
            "loss_giou": torch.where(matched, giou, zero).sum((1, 2)) / num_boxes,
        }
        weights = self.config.lambda_cls, self.config.lambda_l1, self.config.lambda_iou
        total = sum(weight * values.sum() for weight, values in zip(weights, terms.values(), strict=True))
        named = {f"{key}{name}": values[i] for key, values in terms.items() for i, name in enumerate(names)}
        return named, torch.as_tensor(total)

    def _classification(
        self,
        logits: Tensor,
        boxes: Tensor,
        goal: Tensor,
        label: Tensor,
        matched: Tensor,
        num_boxes: Tensor | float,
    ) -> Tensor:
        config = self.config
        if config.classification == "softmax":
            label = label.masked_fill(~matched, self.num_classes)
            weight = torch.where(matched, 1.0, config.eos_coef)
            loss = nn.functional.cross_entropy(logits.flatten(0, -2), label.flatten(), reduction="none")
            return (loss.view_as(weight) * weight).sum((1, 2)) / weight.sum((1, 2))
        onehot = nn.functional.one_hot(label, logits.shape[-1]) * matched[..., None]
        score = logits.sigmoid()
        if config.classification == "focal":
            loss = nn.functional.binary_cross_entropy_with_logits(logits, onehot.float(), reduction="none")
            miss = torch.where(onehot.bool(), 1 - score, score) ** config.focal_gamma
            weight = miss * torch.where(onehot.bool(), config.focal_alpha, 1 - config.focal_alpha)
        else:
            with torch.no_grad():
                quality = paired_iou(boxes, goal).clamp(0, 1) ** config.iou_power
                target = onehot * quality[..., None]
                weight = (1 - config.focal_alpha) * score**config.focal_gamma * (1 - onehot) + target
            loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (loss * weight).sum((1, 2, 3)) / num_boxes

    @torch.no_grad()
    def _cardinality_error(self, logits: Tensor, sizes: Sequence[int]) -> Tensor:
        if self.config.classification == "softmax":
            found = logits.argmax(-1) != logits.shape[-1] - 1
        else:
            found = logits.amax(-1) > 0
        truth = torch.tensor(sizes, device=logits.device, dtype=torch.float)
        return (found.sum(1) - truth).abs().mean()


@torch.no_grad()
def _matching(assigned: Tensor, boxes: Tensor, truth: Tensor) -> Matching:
    """Of the last layer: assigned [batch_size, queries], boxes [batch_size, queries, 4], truth as padded."""
    matched = assigned >= 0
    goal = truth.gather(1, assigned.clamp(min=0)[..., None].expand(-1, -1, 4))
    iou = torch.where(matched, paired_iou(boxes, goal), boxes.new_zeros(()))
    return Matching(matched.any(0), matched.sum(), iou.sum())


def _corners(boxes: Tensor) -> Tensor:
    corners: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return corners


def paired_iou(boxes: Tensor, goal: Tensor) -> Tensor:
    """IoU of boxes with their partners: two tensors [..., 4] in cxcywh give [...] in [0, 1]."""
    first, second = _corners(boxes), _corners(goal)
    overlap = torch.min(first[..., 2:], second[..., 2:]) - torch.max(first[..., :2], second[..., :2])
    intersection = overlap.clamp(min=0).prod(-1)
    union = boxes[..., 2:].prod(-1) + goal[..., 2:].prod(-1) - intersection
    return intersection / union.clamp(min=1e-7)
