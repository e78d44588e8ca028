"""An exported network, run by onnxruntime: neither this nor what it imports needs torch."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tablesense.data.processes import cores
from tablesense.errors import UserError
from tablesense.predict.network import WITHIN, Finds

Floats = NDArray[np.float32]


class OnnxNetwork:
    """A `Network` that `tablesense export` wrote.

    Args:
        path: The ONNX file.
        device: "auto" or "cpu".
        threads: How many threads one call uses; None for one for each core.

    Raises:
        UserError: onnxruntime is not installed, the file is something else, or the device is another.
    """

    def __init__(self, path: Path, device: str = "auto", threads: int | None = None) -> None:
        if device not in ("auto", "cpu"):
            raise UserError(f"--device: expected auto or cpu for an ONNX file, found {device}")
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"{path} needs the package onnxruntime: pip install 'tablesense[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or cores()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            facts = self._session.get_modelmeta().custom_metadata_map
            self.image_size, self.threshold = int(facts["image_size"]), float(facts["threshold"])
            self.class_names = tuple(map(str, json.loads(facts["class_names"])))
            self.nms_iou, self._arch = float(facts["nms_iou"]), facts["arch"]
            self._proposals, self._strides = int(facts["proposals"]), json.loads(facts["strides"])
        except Exception as error:  # onnxruntime's own have no class in common
            raise UserError(
                f"MODEL: expected an ONNX file that `tablesense export` wrote; {path} is something else"
            ) from error

    def __call__(
        self, pixel_values: NDArray[np.uint8], pixel_mask: NDArray[np.bool_], sizes: NDArray[np.float64]
    ) -> list[Finds]:
        """Find tables; see `tablesense.predict.network.Network`."""
        below, right = self._missing(*pixel_mask.shape[1:])
        if below or right:
            pixel_values = np.pad(pixel_values, ((0, 0), (0, 0), (0, below), (0, right)))
            pixel_mask = np.pad(pixel_mask, ((0, 0), (0, below), (0, right)))
        logits, boxes = self._session.run(
            ["pred_logits", "pred_boxes"], {"pixel_values": pixel_values, "pixel_mask": pixel_mask}
        )
        scores, labels = best_class(logits, self._arch)
        corners = np.concatenate(
            [boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1
        )
        corners = corners.clip(0, 1) * np.tile(sizes.astype(np.float32), 2)[:, None]
        pages = []
        for box, score, label in zip(corners, scores, labels, strict=True):
            keep = without_duplicates(box, score, label, self.nms_iou)
            if self.nms_iou < 1:
                keep = keep[~nested(box[keep], label[keep], score[keep] >= self.threshold)]
            pages.append(Finds(box[keep], score[keep], label[keep]))
        return pages

    def _missing(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns up to multiples of 32 and, as `Detr` adds them, a cell for each proposal."""
        below, right = -height % 32, -width % 32
        while self._cells(height + below, width + right) < self._proposals:
            below += self._strides[-1]
        return below, right

    def _cells(self, height: int, width: int) -> int:
        return sum(ceil(height / stride) * ceil(width / stride) for stride in self._strides)


def best_class(logits: Floats, arch: str) -> tuple[Floats, NDArray[np.int64]]:
    """The class with the highest score, of each query.

    Args:
        logits: [..., classes]; for "detr" the last is "no object".
        arch: The network's family: "detr" has softmax's scores, the others sigmoid's.

    Returns:
        Its score and its index, [...].
    """
    if arch == "detr":
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        scores = (shares / shares.sum(-1, keepdims=True))[..., :-1]
    else:
        scores = 1 / (1 + np.exp(-logits.clip(-80, 80)))
    return scores.max(-1), scores.argmax(-1)


def without_duplicates(
    boxes: Floats, scores: Floats, labels: NDArray[np.int64], iou: float
) -> NDArray[np.int64]:
    """Of boxes of one class that overlap by more than an IoU choose the best: torchvision's `batched_nms`.

    Args:
        boxes: xyxy, [n, 4].
        scores: [n].
        labels: [n].
        iou: From 0 to 1, which keeps all.

    Returns:
        The indices of those that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, labels = boxes[order], labels[order]
    shared, areas = _overlaps(boxes)
    with np.errstate(divide="ignore", invalid="ignore"):  # boxes without an area overlap nothing
        same = (shared / (areas[:, None] + areas - shared) > iou) & (labels[:, None] == labels)
    stays = np.ones(len(order), bool)
    for i in range(len(order)):
        if stays[i]:
            stays[i + 1 :] &= ~same[i, i + 1 :]
    return order[stays]


def nested(boxes: Floats, labels: NDArray[np.int64], counts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which finds lie within a larger and better one that counts: `tablesense.detector.nested`."""
    shared, areas = _overlaps(boxes)
    larger = (areas > areas[:, None]) & (labels == labels[:, None]) & counts
    within = (shared > np.float32(WITHIN) * areas[:, None]) & larger
    result: NDArray[np.bool_] = np.tril(within, -1).any(1)
    return result


def _overlaps(boxes: Floats) -> tuple[Floats, Floats]:
    """What each two boxes share, [n, n], and the area of each, [n]."""
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    return (high - low).clip(0).prod(-1), (boxes[:, 2:] - boxes[:, :2]).prod(-1)
