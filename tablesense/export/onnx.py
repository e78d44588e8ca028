"""A checkpoint's network as an ONNX file that says itself what it takes and what it gives."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tablesense.detector import Detector
from tablesense.errors import UserError
from tablesense.export.deformable import DeformableGraph
from tablesense.export.detr import DetrGraph
from tablesense.files import draft
from tablesense.geometry import feature_strides
from tablesense.predict.network import WITHIN

OPSET = 17
"""The first with LayerNormalization; onnxruntime 1.13 and newer read it."""

_INPUT = (
    "pixel_values: uint8 RGB, not normalised, [batch, 3, height, width], the longest side of each page "
    "scaled to image_size pixels, pages padded with 0 at the right and the bottom to one size, height and "
    "width multiples of 32; pixel_mask: true on the page, false on padding"
)
_OUTPUT = (
    "pred_boxes: cx, cy, width and height relative to the page without its padding, of each query; "
    "score and class: the largest of {scores}; of boxes of one class that overlap by more than an IoU of "
    "nms_iou the best stays, and none of which more than {within} lies within a larger one with a better "
    "score of threshold or more, unless nms_iou is 1; finds have a score of threshold or more"
)


def export_onnx(module: Detector, path: Path, int8: bool = False) -> None:
    """Write a module's network as ONNX, opset 17, in float32.

    Inputs, of any batch size, height and width (multiples of 32): `pixel_values` uint8 [batch, 3, height,
    width] and `pixel_mask` bool [batch, height, width]. Outputs: `pred_logits` [batch, queries, classes] and
    `pred_boxes` [batch, queries, 4]. Normalisation and masking are in the graph; class names, thresholds and
    what else is needed to use it are in its metadata, as text.

    Args:
        module: It is not changed.
        path: The file; one that is there is replaced once the new one is whole.
        int8: Keep the weights of the matrix products as 8-bit integers.

    Raises:
        UserError: A package is not installed, or the file cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError("export: it needs the package onnx: pip install 'tablesense[onnx]'") from error
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        _trace(module, whole)
        model = onnx.load(_quantized(whole) if int8 else whole)
    del model.metadata_props[:]
    for key, value in facts(module, int8).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    try:
        with draft(path, parents=True) as part:
            part.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UserError(f"--out: {path} cannot be written: {error.strerror or error}") from error


def facts(module: Detector, int8: bool = False) -> dict[str, str]:
    """What stands in the metadata of an exported network: `tablesense.export.runtime` reads it."""
    scores = (
        "softmax(pred_logits) without the last" if module.config.arch == "detr" else "sigmoid(pred_logits)"
    )
    return {
        "tablesense_version": version("tablesense"),
        "arch": module.config.arch,
        "class_names": json.dumps(module.class_names),
        "image_size": str(module.image_size),
        "threshold": str(module.score_threshold),
        "nms_iou": str(module.nms_iou),
        # A two-stage network proposes as many boxes as it has queries, so a page must have as many cells.
        "proposals": str(module.config.num_queries if module.config.two_stage else 0),
        "strides": json.dumps(feature_strides(module.detr.network) if module.config.two_stage else []),
        "weights": "int8 in matrix products" if int8 else "float32",
        "input": _INPUT,
        "output": _OUTPUT.format(scores=scores, within=WITHIN),
    }


def _trace(module: Detector, path: Path) -> None:
    # Any sizes: none of them stays in the graph.
    pixels = torch.randint(0, 255, (2, 3, 160, 128), dtype=torch.uint8)
    mask = torch.ones(2, 160, 128, dtype=torch.bool)
    mask[1, 100:] = False
    open_axes: dict[str, Any] = {
        "pixel_values": {0: "batch", 2: "height", 3: "width"},
        "pixel_mask": {0: "batch", 1: "height", 2: "width"},
        "pred_logits": {0: "batch"},
        "pred_boxes": {0: "batch"},
    }
    graph = DetrGraph(module) if module.config.arch == "detr" else DeformableGraph(module)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter of TorchScript says that there is a newer one: it takes this network in a second, and
        # needs no other package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            (pixels, mask),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixel_values", "pixel_mask"],
            output_names=["pred_logits", "pred_boxes"],
            dynamic_axes=open_axes,
        )


def _quantized(whole: Path) -> Path:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise UserError("--int8: it needs the package onnxruntime: pip install 'tablesense[onnx]'") from error
    small = whole.with_name("small.onnx")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises a step that is for networks of fixed shapes
    try:
        quantize_dynamic(
            whole, small, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
        )
    finally:
        root.setLevel(level)
    return small
