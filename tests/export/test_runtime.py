"""tablesense.export.runtime: scores and duplicates as torch and torchvision have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from tablesense import detector
from tablesense.export.runtime import best_class, nested, without_duplicates


@pytest.mark.parametrize("iou", [0.1, 0.5, 0.9, 1.0])
def test_duplicates_are_those_of_torchvision(iou: float) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 60, (80, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0, 60, (80, 2))
    boxes[7], boxes[9, 2:] = boxes[3], boxes[9, :2]  # a box twice, and one without an area
    scores, labels = rng.uniform(0, 1, 80).astype(np.float32), rng.integers(0, 2, 80)
    expected = batched_nms(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), iou)
    assert without_duplicates(boxes, scores, labels, iou).tolist() == expected.tolist()


def test_parts_of_larger_finds_are_those_of_the_module() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 60, (80, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0, 60, (80, 2))
    labels, counts = rng.integers(0, 2, 80), rng.uniform(0, 1, 80) > 0.5
    tensors = (torch.from_numpy(each) for each in (boxes, labels, counts))
    expected = detector.nested(*tensors).numpy()
    assert 5 < expected.sum() < 70
    np.testing.assert_array_equal(nested(boxes, labels, counts), expected)


def test_a_page_without_a_box_has_no_finds() -> None:
    none = np.zeros(0, np.float32)
    assert len(without_duplicates(none.reshape(0, 4), none, np.zeros(0, np.int64), 0.5)) == 0


def test_scores_of_detr_leave_out_no_object() -> None:
    logits = np.array([[1.0, 2.0, 50.0], [3.0, 1.0, 0.0]], np.float32)
    scores, labels = best_class(logits, "detr")
    expected = torch.from_numpy(logits).softmax(-1)[:, :-1].max(-1)
    np.testing.assert_allclose(scores, expected.values)
    assert labels.tolist() == expected.indices.tolist()


def test_scores_of_the_others_are_sigmoids() -> None:
    logits = np.array([[-200.0, 2.0], [3.0, 1.0]], np.float32)
    scores, labels = best_class(logits, "deformable_detr")
    np.testing.assert_allclose(scores, torch.tensor([2.0, 3.0]).sigmoid(), rtol=1e-6)
    assert labels.tolist() == [1, 0]
