"""Weights of a whole network: of an earlier run, or of a transformers checkpoint."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import DeformableDetrConfig, PretrainedConfig, PreTrainedModel

from tablesense.errors import UserError


def different_network(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What makes two `DetrConfig`s, as dicts, different networks: "hidden_dim is 64 there and 128 here"."""
    free = ("pretrained", "backbone_weights", "frozen_stages", "dropout")
    return [
        f"model.detr.{name} is {value} there and {here[name]} here"
        for name, value in there.items()
        if name in here and name not in free and _listed(here[name]) != _listed(value)
    ]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def load_run(detr: nn.Module, path: Path, config: dict[str, Any]) -> None:
    """Take the weights of an earlier run; the class heads only where they fit.

    Args:
        detr: The network, changed in place.
        path: The run's checkpoint.
        config: The network's `DetrConfig`, as a dict.

    Raises:
        UserError: It is no such checkpoint, or of another network.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        there, state = kept["hyper_parameters"]["detr"], kept["state_dict"]
    except Exception as error:
        raise UserError(f"model.detr.pretrained: {path} is not a checkpoint of a tablesense run") from error
    if differences := different_network(there, config):
        raise UserError(f"model.detr.pretrained: {path} is of another network: {'; '.join(differences)}")
    weights = {key.removeprefix("detr."): value for key, value in state.items() if key.startswith("detr.")}
    own = detr.state_dict()
    detr.load_state_dict(
        {key: weights[key] for key in own if weights[key].shape == own[key].shape}, strict=False
    )


def from_transformers(
    name: str, expected: PretrainedConfig, model_class: type[PreTrainedModel]
) -> tuple[PreTrainedModel, bool]:
    """Load a checkpoint of exactly this shape, but for its number of classes.

    Returns:
        The network, and whether its class heads start anew because their number is another.

    Raises:
        UserError: There is none, or it has another shape.
    """
    try:
        found = type(expected).from_pretrained(name)
        _check_shape(name, found, expected)
        loaded_config = deepcopy(expected)
        loaded_config.num_labels = found.num_labels
        loaded, report = model_class.from_pretrained(
            name,
            config=loaded_config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            reason = str(error).strip().split("\n")[0]
            raise UserError(
                f"model.detr.pretrained={name}: not a checkpoint of transformers: {reason}"
            ) from error
        raise UserError(
            f"model.detr.pretrained: no checkpoint {name!r} in a folder of that name or on the hub: put its "
            "config.json and model.safetensors into a folder and give that folder"
        ) from error
    unfit = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if unfit:
        raise UserError(
            f"model.detr.pretrained={name}: another architecture: {len(unfit)} weights are missing or of "
            f"another shape there, the first is {unfit[0]}"
        )
    if found.num_labels == expected.num_labels:
        return loaded, False
    # Not left to from_pretrained, which in transformers 5.23 fails on heads that layers share.
    network = model_class(expected)
    weights = {key: value for key, value in loaded.state_dict().items() if "class_" not in key}
    network.load_state_dict(weights, strict=False)
    return network, True


def _check_shape(name: str, there: PretrainedConfig, here: PretrainedConfig) -> None:
    """Compare what a checkpoint's weights do not tell, or tell less plainly."""
    keys = ["model_type", "d_model", "num_queries"]
    keys += ["position_embedding_type", "activation_function", "dilation"]
    for part in "encoder", "decoder":
        keys += [f"{part}_layers", f"{part}_attention_heads", f"{part}_ffn_dim"]
    if isinstance(here, DeformableDetrConfig):
        keys += ["num_feature_levels", "encoder_n_points", "decoder_n_points", "with_box_refine", "two_stage"]
    pairs = [(key, getattr(there, key, None), getattr(here, key)) for key in keys]
    timm_name = getattr(there.backbone_config, "backbone", there.backbone_config.model_type)
    pairs.append(("backbone", timm_name, here.backbone_config.backbone))
    differences = [
        f"{key} is {found} there and {wanted} here" for key, found, wanted in pairs if found != wanted
    ]
    if differences:
        raise UserError(f"model.detr.pretrained={name}: another architecture: {'; '.join(differences)}")
