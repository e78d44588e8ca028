"""tablesense.losses against the anchor, transformers' criteria, plain loops and two processes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from loss_anchor import LOGITS, QUERIES, TRUTH, random_boxes
from torch import Tensor, distributed
from torch.overrides import TorchFunctionMode
from torchvision.ops import box_convert, box_iou
from transformers.loss.loss_deformable_detr import DeformableDetrHungarianMatcher, DeformableDetrImageLoss
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from tablesense.errors import UserError
from tablesense.losses import DetrCriterion, LossConfig
from tablesense.matcher import Target

one_match = partial(LossConfig, decoder_matches=1, iou_power=1.0)
"""As in the papers, whose figures are reproduced here."""

Classification = Literal["softmax", "focal", "varifocal"]
CLASSIFICATIONS: list[Classification] = ["softmax", "focal", "varifocal"]


def random_layer(batch_size: int, queries: int, logits: int) -> dict[str, Any]:
    return {
        "pred_logits": (torch.randn(batch_size, queries, logits) * 2).requires_grad_(),
        "pred_boxes": random_boxes(batch_size, queries).requires_grad_(),
    }


def random_outputs(kind: Classification, batch_size: int = 3, encoder: bool = False) -> dict[str, Any]:
    """What a network of three decoder layers for two classes could say."""
    logits = 3 if kind == "softmax" else 2
    outputs = random_layer(batch_size, 10, logits)
    outputs["aux_outputs"] = [random_layer(batch_size, 10, logits) for _ in range(2)]
    if encoder:
        outputs["enc_outputs"] = random_layer(batch_size, 40, logits)
    return outputs


def random_targets(*sizes: int) -> list[Target]:
    return [{"labels": torch.randint(2, (n,)), "boxes": random_boxes(n)} for n in sizes]


def layers_of(outputs: dict[str, Any]) -> list[dict[str, Tensor]]:
    return [outputs, *outputs.get("aux_outputs", []), *filter(None, [outputs.get("enc_outputs")])]


@pytest.mark.parametrize(
    ("config", "logits", "expected_ce", "expected_total"),
    [
        (one_match("softmax", 1, 5, 2, cost_cls=1, eos_coef=0.1), LOGITS, 0.725555, 1.848012),
        (one_match("softmax", 1, 5, 2, cost_cls=1, eos_coef=0.4), LOGITS, 0.591891, 1.714347),
        (one_match("focal", 1, 5, 2, cost_cls=1), LOGITS[..., :2] - LOGITS[..., 2:], 0.303446, 1.425902),
        (one_match("focal", 2, 5, 2, cost_cls=2), LOGITS[..., :2] - LOGITS[..., 2:], 0.303446, 1.729348),
    ],
)
def test_the_anchor_has_the_published_losses(
    config: LossConfig, logits: Tensor, expected_ce: float, expected_total: float
) -> None:
    outputs = {"pred_logits": logits, "pred_boxes": QUERIES.expand(2, 4, 4)}
    losses = {name: value.item() for name, value in DetrCriterion(2, config)(outputs, TRUTH).items()}
    expected = {"loss_ce": expected_ce, "loss_bbox": 0.105, "loss_giou": 0.298728, "loss": expected_total}
    assert losses == pytest.approx({**expected, "cardinality_error": 0.5}, abs=5e-7)


@pytest.mark.parametrize("seed", range(5))
def test_softmax_losses_of_every_layer_are_those_of_transformers(seed: int) -> None:
    torch.manual_seed(seed)
    outputs, targets = random_outputs("softmax"), random_targets(3, 0, 12)
    ours = DetrCriterion(2, one_match("softmax", cost_cls=1, eos_coef=0.4))(outputs, targets)
    assert_equal(
        ours,
        ImageLoss(HungarianMatcher(1, 5, 2), 2, 0.4, ["labels", "boxes", "cardinality"]),
        outputs,
        targets,
    )


@pytest.mark.parametrize("seed", range(5))
def test_focal_losses_of_every_layer_are_those_of_transformers(seed: int) -> None:
    torch.manual_seed(seed)
    outputs, targets = random_outputs("focal"), random_targets(3, 0, 12)
    ours = DetrCriterion(2, one_match("focal", cost_cls=2, focal_alpha=0.25))(outputs, targets)
    matcher = DeformableDetrHungarianMatcher(2, 5, 2)
    assert_equal(
        ours, DeformableDetrImageLoss(matcher, 2, 0.25, ["labels", "boxes", "cardinality"]), outputs, targets
    )


def assert_equal(
    ours: dict[str, Tensor], criterion: ImageLoss, outputs: dict[str, Any], targets: list[Target]
) -> None:
    def renamed(layer: dict[str, Any]) -> dict[str, Any]:
        return {"logits": layer["pred_logits"], "pred_boxes": layer["pred_boxes"]}

    theirs = criterion(
        {**renamed(outputs), "auxiliary_outputs": [renamed(layer) for layer in outputs["aux_outputs"]]},
        [{"class_labels": target["labels"], "boxes": target["boxes"]} for target in targets],
    )
    names = {f"loss_{term}{layer}" for term in ("ce", "bbox", "giou") for layer in ("", "_0", "_1")}
    for name in names | {"cardinality_error"}:
        torch.testing.assert_close(ours[name], theirs[name], msg=name)
    assert ours.keys() == names | {"cardinality_error", "loss"}


@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_a_label_equal_to_the_number_of_classes_is_refused(kind: Classification) -> None:
    targets = [{"labels": torch.tensor([1, 2]), "boxes": random_boxes(2)}]
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1 for 2 classes, found \[1, 2\]"):
        DetrCriterion(2, one_match(kind))(random_outputs(kind, batch_size=1), targets)


def test_a_negative_label_is_refused() -> None:
    targets = [{"labels": torch.tensor([-1]), "boxes": random_boxes(1)}]
    with pytest.raises(ValueError, match=r"found \[-1\]"):
        DetrCriterion(2, one_match())(random_outputs("varifocal", batch_size=1), targets)


@pytest.mark.parametrize("power", [1.0, 0.5, 0.0])
def test_varifocal_is_the_papers_formula(power: float) -> None:
    """Equation 2 of arXiv:2008.13367, the target of a match being a power of its IoU."""
    torch.manual_seed(0)
    outputs, targets = random_layer(2, 6, 2), random_targets(3, 1)
    outputs["pred_boxes"] = torch.cat([targets[0]["boxes"], targets[1]["boxes"].expand(3, 4)]) + 0.02
    outputs["pred_boxes"] = outputs["pred_boxes"].expand(2, 6, 4)
    criterion = DetrCriterion(2, one_match("varifocal", focal_alpha=0.3, focal_gamma=1.5, iou_power=power))
    total = 0.0
    for image, (index_i, index_j) in enumerate(criterion.matcher(outputs, targets)):
        quality = {
            (query, int(targets[image]["labels"][table])): iou(
                outputs["pred_boxes"][image, query], targets[image]["boxes"][table]
            )
            ** power
            for query, table in zip(index_i.tolist(), index_j.tolist(), strict=True)
        }
        for query in range(6):
            for label in range(2):
                p = 1 / (1 + math.exp(-outputs["pred_logits"][image, query, label].item()))
                if (query, label) in quality:
                    q = quality[query, label]
                    total -= q * (q * math.log(p) + (1 - q) * math.log(1 - p))
                else:
                    total -= (1 - 0.3) * p**1.5 * math.log(1 - p)
    assert criterion(outputs, targets)["loss_ce"].item() == pytest.approx(total / 4, rel=1e-5)


def iou(box: Tensor, other: Tensor) -> float:
    return float(box_iou(*(box_convert(b[None], "cxcywh", "xyxy") for b in (box, other))))


def test_the_target_of_varifocal_carries_no_gradient_to_the_boxes() -> None:
    torch.manual_seed(0)
    outputs = random_layer(1, 4, 2)
    loss = DetrCriterion(2, one_match("varifocal", lambda_l1=0, lambda_iou=0))(outputs, random_targets(2))[
        "loss"
    ]
    loss.backward()
    assert outputs["pred_boxes"].grad.abs().max() == 0
    assert outputs["pred_logits"].grad.abs().max() > 0


@pytest.mark.parametrize("matches", [1, 6])
@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_a_batch_without_tables_has_a_finite_loss_and_a_gradient_for_every_class_head(
    kind: Classification, matches: int
) -> None:
    torch.manual_seed(0)
    outputs = random_outputs(kind, encoder=kind != "softmax")
    config = one_match(kind, encoder_matches=matches, decoder_matches=matches)
    losses = DetrCriterion(2, config)(outputs, random_targets(0, 0, 0))
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(value == 0 for name, value in losses.items() if "bbox" in name or "giou" in name)
    for layer in layers_of(outputs):
        logits, boxes = layer["pred_logits"].grad, layer["pred_boxes"].grad
        assert logits is not None
        assert logits.abs().min() > 0
        # Present, so that no process of DDP waits for the gradient of a box head.
        assert boxes is not None
        assert boxes.abs().max() == 0


@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_the_total_is_the_weighted_sum_of_decoder_and_encoder_losses(kind: Classification) -> None:
    torch.manual_seed(0)
    encoder = kind != "softmax"
    config = one_match(kind, lambda_cls=3, lambda_l1=7, lambda_iou=11)
    losses = DetrCriterion(2, config)(random_outputs(kind, encoder=encoder), random_targets(3, 0, 1))
    layers = ["", "_0", "_1", *(["_enc"] if encoder else [])]
    names = {f"loss_{term}{layer}" for term in ("ce", "bbox", "giou") for layer in layers}
    assert losses.keys() == names | {"loss", "cardinality_error"}
    expected = sum(
        3 * losses[f"loss_ce{layer}"] + 7 * losses[f"loss_bbox{layer}"] + 11 * losses[f"loss_giou{layer}"]
        for layer in layers
    )
    torch.testing.assert_close(losses["loss"], expected)


def test_each_layer_is_matched_on_its_own() -> None:
    torch.manual_seed(0)
    outputs, targets = random_outputs("focal"), random_targets(3, 2, 1)
    criterion = DetrCriterion(2, one_match("focal"))
    losses = criterion(outputs, targets)
    for number, layer in enumerate(outputs["aux_outputs"]):
        alone = criterion(layer, targets)
        for term in "loss_ce", "loss_bbox", "loss_giou":
            torch.testing.assert_close(losses[f"{term}_{number}"], alone[term])


@pytest.mark.parametrize("matches", [1, 6])
def test_proposals_are_told_from_the_page_but_not_by_class(matches: int) -> None:
    torch.manual_seed(0)
    outputs, targets = random_outputs("varifocal", encoder=True), random_targets(3, 0, 1)
    criterion = DetrCriterion(2, one_match(encoder_matches=matches))
    losses = criterion(outputs, targets)
    swapped = criterion(outputs, [{**target, "labels": 1 - target["labels"]} for target in targets])
    assert losses["loss_ce"] != swapped["loss_ce"]
    for term in "loss_ce_enc", "loss_bbox_enc", "loss_giou_enc":
        assert losses[term] == swapped[term]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(("matches", "expected"), [(1, 0.1), (2, 0.15), (4, 0.25)])
def test_box_losses_are_means_over_the_matches(part: str, matches: int, expected: float) -> None:
    table = torch.tensor([[0.5, 0.5, 0.4, 0.4]])
    away = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    boxes = table.repeat(1, 5, 1)
    boxes[0, :, 0] += away  # each proposal is farther from the table than the one before
    encoder = {"pred_logits": torch.zeros(1, 5, 1), "pred_boxes": boxes}
    outputs = {"pred_logits": torch.zeros(1, 5, 1), "pred_boxes": boxes, "enc_outputs": encoder}
    targets = [{"labels": torch.tensor([0]), "boxes": table}]
    config = one_match(**{"encoder_matches": 1, f"{part}_matches": matches})
    losses = DetrCriterion(1, config)(outputs, targets)
    at = {"encoder": "loss_bbox_enc", "decoder": "loss_bbox"}
    assert losses.pop(at[part]).item() == pytest.approx(expected)
    assert losses["loss_bbox" if part == "encoder" else "loss_bbox_enc"].item() == pytest.approx(0.1)


@pytest.mark.parametrize(("tables", "matched"), [(1, 4), (3, 9), (5, 10), (10, 10), (12, 10)])
def test_a_page_with_many_tables_takes_fewer_queries_for_each(tables: int, matched: int) -> None:
    columns = torch.linspace(0.05, 0.95, 10)
    queries = torch.stack([columns, *(torch.full((10,), size) for size in (0.5, 0.05, 0.2))], -1)
    table = torch.linspace(0.05, 0.95, tables)
    truth = torch.stack([table, *(torch.full((tables,), size) for size in (0.5, 0.05, 0.2))], -1)
    outputs = {"pred_logits": torch.zeros(1, 10, 1), "pred_boxes": queries[None]}
    targets = [{"labels": torch.zeros(tables, dtype=torch.long), "boxes": truth}]
    criterion = DetrCriterion(1, one_match("focal", decoder_matches=4, focal_alpha=1.0, focal_gamma=0.0))
    each = max(1, min(4, 10 // tables))
    # Without a weight for the unmatched, the loss at a score of .5 counts the matched.
    count = criterion(outputs, targets)["loss_ce"].item() * tables * each / math.log(2)
    assert count == pytest.approx(matched, abs=1e-4)


@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_losses_are_computed_in_float32_outside_autocast(kind: Classification) -> None:
    torch.manual_seed(0)
    half = {
        key: value.detach().bfloat16()
        for key, value in random_outputs(kind).items()
        if isinstance(value, Tensor)
    }
    full, targets = {key: value.float() for key, value in half.items()}, random_targets(3, 0, 1)
    criterion = DetrCriterion(2, one_match(kind))

    states: dict[str, bool] = {}

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            states[func.__name__] = torch.is_autocast_enabled("cpu")
            return func(*args, **(kwargs or {}))

    with torch.autocast("cpu", torch.bfloat16), Watch():
        losses = criterion(half, targets)
    score = "softmax" if kind == "softmax" else "sigmoid"
    assert [states[name] for name in (score, "gather", "min", "prod", "sum")] == 5 * [False]
    assert {value.dtype for value in losses.values()} == {torch.float32}
    assert losses == criterion(full, targets)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_boxes_that_are_not_finite_give_a_loss_that_is_not_finite_and_no_error(
    kind: Classification, value: float
) -> None:
    outputs = random_layer(2, 4, 3 if kind == "softmax" else 2)
    outputs["pred_boxes"] = torch.full((2, 4, 4), value)
    losses = DetrCriterion(2, one_match(kind))(outputs, random_targets(2, 0))
    assert not losses["loss"].isfinite()


@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_logits_that_are_not_finite_give_a_loss_that_is_not_finite_and_no_error(kind: Classification) -> None:
    outputs = random_layer(2, 4, 3 if kind == "softmax" else 2)
    outputs["pred_logits"] = torch.full_like(outputs["pred_logits"], math.nan)
    assert not DetrCriterion(2, one_match(kind))(outputs, random_targets(2, 0))["loss"].isfinite()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", CLASSIFICATIONS)
def test_unmatched_boxes_that_are_not_finite_change_neither_loss_nor_gradient(
    kind: Classification, value: float
) -> None:
    torch.manual_seed(0)
    logits, boxes = random_layer(1, 6, 3 if kind == "softmax" else 2).values()
    targets = [{"labels": torch.tensor([0]), "boxes": boxes.detach()[0, :1]}]
    results = []
    for other in torch.full((4,), value), torch.tensor([0.9, 0.9, 0.01, 0.01]):
        leaf = torch.cat([boxes.detach()[:, :5], other.expand(1, 1, 4)], 1).requires_grad_()
        losses = DetrCriterion(2, one_match(kind))({"pred_logits": logits, "pred_boxes": leaf}, targets)
        losses["loss"].backward()
        assert leaf.grad is not None
        results.append((losses, leaf.grad.tolist()))
    assert results[0][0]["loss"].isfinite()
    assert results[0] == results[1]


def test_a_whole_criterion_copies_costs_to_the_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, targets = random_outputs("varifocal", encoder=True), random_targets(3, 0, 1)
    shapes: list[torch.Size] = []
    original = Tensor.cpu

    def count(tensor: Tensor) -> Tensor:
        shapes.append(tensor.shape)
        return original(tensor)

    monkeypatch.setattr(Tensor, "cpu", count)
    DetrCriterion(2, one_match(encoder_matches=6))(outputs, targets)
    assert shapes == [
        torch.Size([3 * 3 * 10 * 3])
    ]  # the decoder's; the proposals' matching stays on the device


def test_the_config_refuses_weights_that_make_no_loss() -> None:
    with pytest.raises(UserError, match=r"^model\.loss\.lambda_l1: expected 0 or more, found -1$"):
        one_match(lambda_l1=-1)
    for name in "encoder_matches", "decoder_matches":
        with pytest.raises(UserError, match=rf"^model\.loss\.{name}: expected 1 or more, found 0$"):
            one_match(**{name: 0})
    with pytest.raises(UserError, match=r"^model\.loss\.cost_l1: expected 0 or more, found nan$"):
        one_match(cost_l1=float("nan"))
    with pytest.raises(UserError, match=r"^model\.loss\.focal_alpha: expected between 0 and 1, found 2$"):
        one_match(focal_alpha=2)
    with pytest.raises(UserError, match=r"^model\.loss\.eos_coef: expected more than 0, found 0"):
        one_match(classification="softmax", eos_coef=0)


def box_loss_of_a_process(rank: int, store: str) -> float:
    """One of two processes, the first with 1 table and the second with 9; every box is .1 off."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(minutes=1)
    )
    try:
        number = [1, 9][rank]
        truth = torch.tensor([0.5, 0.5, 0.2, 0.2]).repeat(number, 1)
        truth[:, 0] = torch.linspace(0.1, 0.9, number) if number > 1 else 0.5
        off = truth + torch.tensor([0.025, 0.025, 0.025, 0.025])
        outputs = {"pred_logits": torch.zeros(1, number, 1), "pred_boxes": off[None]}
        targets = [{"labels": torch.zeros(number, dtype=torch.long), "boxes": truth}]
        return float(DetrCriterion(1, one_match())(outputs, targets)["loss_bbox"])
    finally:
        distributed.destroy_process_group()


def test_each_table_weighs_the_same_on_two_processes(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with subprocess.Popen([sys.executable, __file__, store], stdout=subprocess.PIPE, text=True) as second:
        results = [box_loss_of_a_process(0, store), json.loads(second.communicate()[0])]
    assert results == pytest.approx([0.02, 0.18], abs=1e-6)  # each by its own count alone: .1 and .1


if __name__ == "__main__":  # the second process of the last test
    torch.set_num_threads(1)
    print(json.dumps(box_loss_of_a_process(1, sys.argv[1])))
