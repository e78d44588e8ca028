"""tablesense.matcher against the anchor, scipy and the matchers of transformers."""

from __future__ import annotations

import pytest
import torch
from loss_anchor import LOGITS, QUERIES, TRUTH, random_boxes
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou
from transformers.loss.loss_deformable_detr import DeformableDetrHungarianMatcher
from transformers.loss.loss_for_object_detection import HungarianMatcher as SoftmaxHungarianMatcher

from tablesense.matcher import HungarianMatcher, Target, pad_targets, pairwise_giou


def random_outputs(batch_size: int, queries: int, classes: int) -> dict[str, Tensor]:
    return {
        "pred_logits": torch.randn(batch_size, queries, classes) * 2,
        "pred_boxes": random_boxes(batch_size, queries),
    }


def random_targets(*sizes: int, classes: int) -> list[Target]:
    return [{"labels": torch.randint(classes, (n,)), "boxes": random_boxes(n)} for n in sizes]


def as_lists(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[list[int], list[int]]]:
    return [(i.tolist(), j.tolist()) for i, j in pairs]


@pytest.mark.parametrize("focal", [False, True])
def test_the_anchor_gives_query_0_to_table_0_and_query_2_to_table_1(focal: bool) -> None:
    logits = LOGITS[..., :2] - LOGITS[..., 2:] if focal else LOGITS
    outputs = {"pred_logits": logits, "pred_boxes": QUERIES.expand(2, 4, 4)}
    assert as_lists(HungarianMatcher(focal=focal)(outputs, TRUTH)) == [([0, 2], [0, 1]), ([], [])]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 0, 2, 2), (1, 1, 3, 3), -0.079365),
        ((0, 0, 2, 2), (2, 2, 3, 3), -0.444444),
        ((0, 0, 1, 1), (2, 2, 3, 3), -0.777778),
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
    ],
)
def test_giou_has_the_published_values(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    boxes = box_convert(torch.tensor([first, second]).float(), "xyxy", "cxcywh")
    assert pairwise_giou(boxes[:1], boxes[1:]).item() == pytest.approx(expected, abs=5e-7)


def test_giou_of_many_layers_and_images_is_torchvisions_of_each() -> None:
    torch.manual_seed(0)
    boxes, truth = random_boxes(3, 2, 7), random_boxes(2, 5)
    giou = pairwise_giou(boxes, truth[None])
    assert giou.shape == (3, 2, 7, 5)
    for layer in range(3):
        for image in range(2):
            corners = (box_convert(b, "cxcywh", "xyxy") for b in (boxes[layer, image], truth[image]))
            torch.testing.assert_close(giou[layer, image], generalized_box_iou(*corners))


def test_giou_of_boxes_without_area_is_finite() -> None:
    point = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert pairwise_giou(point, point).isfinite().all()
    assert pairwise_giou(point, torch.tensor([[0.5, 0.5, 1.0, 1.0]])).item() == 0


@pytest.mark.parametrize("seed", range(20))
def test_every_layer_and_image_gets_scipys_assignment(seed: int) -> None:
    torch.manual_seed(seed)
    layers, batch_size, queries = (int(n) for n in torch.randint(1, 7, (3,)))
    sizes = torch.randint(9, (batch_size,)).tolist()
    cost = torch.randn(layers, batch_size, queries, max([1, *sizes]))
    expected = torch.full((layers, batch_size, queries), -1)
    for layer in range(layers):
        for image, size in enumerate(sizes):
            index_i, index_j = linear_sum_assignment(cost[layer, image, :, :size])
            expected[layer, image, index_i] = torch.from_numpy(index_j)
    assert HungarianMatcher.one_to_one(cost, sizes).tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_softmax_matching_is_that_of_transformers(seed: int) -> None:
    torch.manual_seed(seed)
    outputs, targets = random_outputs(4, 12, 4), random_targets(3, 0, 20, 1, classes=3)
    theirs = SoftmaxHungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    assert as_lists(HungarianMatcher(1, 5, 2)(outputs, targets)) == as_lists(
        theirs(*for_them(outputs, targets))
    )


@pytest.mark.parametrize("seed", range(10))
def test_focal_matching_is_that_of_transformers(seed: int) -> None:
    torch.manual_seed(seed)
    outputs, targets = random_outputs(4, 12, 3), random_targets(3, 0, 20, 1, classes=3)
    theirs = DeformableDetrHungarianMatcher(class_cost=2, bbox_cost=5, giou_cost=2)
    ours = HungarianMatcher(2, 5, 2, focal=True)
    assert as_lists(ours(outputs, targets)) == as_lists(theirs(*for_them(outputs, targets)))


def for_them(
    outputs: dict[str, Tensor], targets: list[Target]
) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """The same under the names of transformers."""
    theirs = {"logits": outputs["pred_logits"], "pred_boxes": outputs["pred_boxes"]}
    return theirs, [{"class_labels": t["labels"], "boxes": t["boxes"]} for t in targets]


def test_the_weights_of_the_costs_decide_the_match() -> None:
    outputs = {
        "pred_logits": torch.tensor([[[5.0, 0.0], [0.0, 0.0]]]),
        "pred_boxes": torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.2, 0.2]]]),
    }
    targets = [{"labels": torch.tensor([0]), "boxes": torch.tensor([[0.7, 0.7, 0.2, 0.2]])}]
    by_score, by_box = HungarianMatcher(1, 0, 0), HungarianMatcher(0, 5, 2)
    assert as_lists(by_score(outputs, targets)) == [([0], [0])]
    assert as_lists(by_box(outputs, targets)) == [([1], [0])]


def test_with_more_tables_than_queries_every_query_gets_a_table_of_its_own() -> None:
    torch.manual_seed(0)
    [(queries, tables)] = HungarianMatcher()(random_outputs(1, 3, 2), random_targets(8, classes=1))
    assert queries.tolist() == [0, 1, 2]
    assert len(set(tables.tolist())) == 3


def test_a_batch_without_tables_matches_nothing() -> None:
    outputs = random_outputs(2, 3, 2)
    assert as_lists(HungarianMatcher()(outputs, random_targets(0, 0, classes=1))) == [([], []), ([], [])]


@pytest.mark.parametrize("focal", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("broken", ["pred_boxes", "pred_logits"])
def test_a_query_that_is_not_finite_gets_no_table_while_others_can(
    broken: str, value: float, focal: bool
) -> None:
    torch.manual_seed(0)
    outputs, targets = random_outputs(1, 4, 2), random_targets(3, classes=2)
    outputs[broken][0, 1] = value
    [(queries, _)] = HungarianMatcher(focal=focal)(outputs, targets)
    assert queries.tolist() == [0, 2, 3]


@pytest.mark.parametrize("focal", [False, True])
def test_predictions_that_are_all_not_finite_are_matched_without_an_error(focal: bool) -> None:
    outputs = {
        "pred_logits": torch.full((2, 4, 2), torch.nan),
        "pred_boxes": torch.full((2, 4, 4), torch.nan),
    }
    pairs = HungarianMatcher(focal=focal)(outputs, random_targets(2, 1, classes=2))
    assert [len(queries) for queries, _ in pairs] == [2, 1]


@pytest.mark.parametrize("focal", [False, True])
def test_half_precision_is_matched_in_float32(focal: bool) -> None:
    torch.manual_seed(0)
    half = {name: value.bfloat16() for name, value in random_outputs(3, 12, 3).items()}
    full = {name: value.float() for name, value in half.items()}
    targets, matcher = random_targets(5, 2, 7, classes=2), HungarianMatcher(focal=focal)
    assert as_lists(matcher(half, targets)) == as_lists(matcher(full, targets))
    labels, truth, _ = pad_targets(targets, torch.device("cpu"))
    cost = matcher.cost(half["pred_logits"][None], half["pred_boxes"][None], labels, truth.bfloat16())
    assert cost.dtype == torch.float32


def test_focal_cost_stays_exact_where_the_score_saturates() -> None:
    logits = torch.tensor([[[[60.0], [90.0]]]])
    boxes = torch.tensor([0.5, 0.5, 0.2, 0.2]).expand(1, 1, 2, 4)
    matcher = HungarianMatcher(1, 0, 0, focal=True)
    cost = matcher.cost(logits, boxes, torch.zeros(1, 1, dtype=torch.long), boxes[0, :, :1])
    # -(1 - alpha) * -log(1 - p), and -log(1 - sigmoid(x)) is x here
    assert cost.flatten().tolist() == pytest.approx([-0.75 * 60, -0.75 * 90])


def test_all_layers_and_images_are_copied_to_the_host_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    outputs, targets = random_outputs(8, 10, 3), random_targets(3, 0, 2, 5, 1, 1, 4, 2, classes=2)
    labels, truth, _ = pad_targets(targets, torch.device("cpu"))
    logits, boxes = (outputs[key].expand(6, -1, -1, -1) for key in ("pred_logits", "pred_boxes"))
    copied: list[torch.Size] = []
    for name in "cpu", "item", "tolist":
        original = getattr(Tensor, name)

        def count(tensor: Tensor, *args: object, original: object = original) -> object:
            copied.append(tensor.shape)
            return original(tensor, *args)  # type: ignore[operator]

        monkeypatch.setattr(Tensor, name, count)
    matcher = HungarianMatcher()
    matcher.one_to_one(matcher.cost(logits, boxes, labels, truth), [len(t["labels"]) for t in targets])
    assert copied == [torch.Size([6 * 8 * 10 * 5])]


def test_padded_truth_is_a_whole_page_that_is_not_valid() -> None:
    labels, boxes, valid = pad_targets([TRUTH[1], TRUTH[0]], torch.device("cpu"))
    assert valid.tolist() == [[False, False], [True, True]]
    assert boxes[0].tolist() == [[0.5, 0.5, 1, 1], [0.5, 0.5, 1, 1]]
    assert torch.equal(boxes[1], TRUTH[0]["boxes"])
    assert labels.tolist() == [[0, 0], [0, 0]]
    assert pad_targets([TRUTH[1]], torch.device("cpu"))[2].tolist() == [[False]]


def test_one_to_many_gives_each_table_its_cheapest_queries() -> None:
    cost = torch.tensor([[0.1, 9.0], [0.2, 9.0], [0.3, 9.0], [9.0, 0.1], [9.0, 0.2], [9.0, 0.3]])[None, None]
    assigned = HungarianMatcher.one_to_many(cost, torch.tensor([[True, True]]), matches=2)
    assert assigned.tolist() == [[[0, 0, -1, 1, 1, -1]]]


def test_one_to_many_gives_a_query_that_two_tables_want_to_the_cheaper() -> None:
    cost = torch.tensor([[0.3, 0.2], [0.4, 0.5], [0.9, 0.8]])[None, None]
    assigned = HungarianMatcher.one_to_many(cost, torch.tensor([[True, True]]), matches=2)
    # Both want queries 0 and 1: table 1 is cheaper for 0, table 0 for 1; nobody gets a third choice.
    assert assigned.tolist() == [[[1, 0, -1]]]


def test_one_to_many_never_takes_a_padded_table() -> None:
    cost = torch.tensor([[0.5, -9.0], [0.6, -9.0], [0.7, -9.0]]).expand(1, 2, 3, 2)
    assigned = HungarianMatcher.one_to_many(cost, torch.tensor([[True, False], [False, False]]), matches=2)
    assert assigned.tolist() == [[[0, 0, -1], [-1, -1, -1]]]


def test_one_to_many_with_more_matches_than_queries_takes_them_all() -> None:
    assigned = HungarianMatcher.one_to_many(torch.rand(1, 1, 3, 1), torch.tensor([[True]]), matches=6)
    assert assigned.tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("seed", range(10))
def test_one_to_many_is_the_plain_loop(seed: int) -> None:
    torch.manual_seed(seed)
    cost, sizes, matches = torch.randn(2, 3, 15, 4), [4, 0, 2], 3
    valid = torch.arange(4) < torch.tensor(sizes)[:, None]
    expected = torch.full((2, 3, 15), -1)
    for layer in range(2):
        for image, size in enumerate(sizes):
            best: dict[int, float] = {}
            for table in range(size):
                prices = cost[layer, image, :, table].tolist()
                for query in sorted(range(15), key=prices.__getitem__)[:matches]:
                    if prices[query] < best.get(query, torch.inf):
                        best[query] = prices[query]
                        expected[layer, image, query] = table
    assert HungarianMatcher.one_to_many(cost, valid, matches).tolist() == expected.tolist()
