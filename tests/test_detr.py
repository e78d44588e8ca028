"""tablesense.detr: the papers' networks, DETR's interface, transformers' checkpoints, timm's features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from torch import Tensor, nn
from transformers import DeformableDetrConfig as HFDeformableDetrConfig
from transformers import (
    DeformableDetrForObjectDetection,
    DetrForObjectDetection,
    PreTrainedModel,
    TimmBackboneConfig,
)
from transformers import DetrConfig as HFDetrConfig

from tablesense.detr import Detr, DetrConfig, build_detr
from tablesense.errors import UserError
from tablesense.losses import DetrCriterion, LossConfig

# The papers' own networks.
DETR_R50 = DetrConfig(
    arch="detr",
    backbone="resnet50",
    backbone_weights=None,
    out_indices=(4,),
    frozen_stages=2,
    hidden_dim=256,
    num_encoder_layers=6,
    num_decoder_layers=6,
    ffn_dim=2048,
    num_queries=100,
    box_refinement=False,
    two_stage=False,
)
DEFORMABLE_R50 = replace(
    DETR_R50,
    arch="deformable_detr",
    out_indices=(2, 3, 4),
    num_feature_levels=4,
    ffn_dim=1024,
    num_queries=300,
)

# Small ones. DetrConfig() itself is the two-stage one.
TWO_STAGE = DetrConfig(backbone_weights=None, hidden_dim=32, ffn_dim=32, num_queries=20)
REFINED = replace(TWO_STAGE, two_stage=False)
DEFORMABLE = replace(REFINED, box_refinement=False)
DETR = replace(DEFORMABLE, arch="detr", out_indices=(4,))
SMALL = pytest.mark.parametrize(
    "config",
    [
        pytest.param(DETR, id="detr"),
        pytest.param(DEFORMABLE, id="deformable"),
        pytest.param(REFINED, id="refined"),
        pytest.param(TWO_STAGE, id="two-stage"),
    ],
)


def build(config: DetrConfig, num_classes: int = 1) -> Detr:
    torch.manual_seed(0)
    return build_detr(config, num_classes)


def batch(*sizes: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pages of some heights and widths, padded with 0 at the right and the bottom."""
    generator = torch.Generator().manual_seed(seed)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    pixels = torch.zeros(len(sizes), 3, height, width)
    mask = torch.zeros(len(sizes), height, width, dtype=torch.bool)
    for i, (h, w) in enumerate(sizes):
        pixels[i, :, :h, :w] = torch.randn(3, h, w, generator=generator)
        mask[i, :h, :w] = True
    return pixels, mask


@pytest.mark.parametrize(
    ("config", "num_classes", "parameters"),
    [
        pytest.param(DETR_R50, 91, 41_524_768, id="DETR-R50"),
        pytest.param(DETR_R50, 1, 41_501_638, id="DETR-R50, one class"),
        pytest.param(replace(DETR_R50, backbone="resnet101"), 91, 60_464_672, id="DETR-R101"),
        pytest.param(DEFORMABLE_R50, 91, 40_069_665, id="Deformable"),
        pytest.param(DEFORMABLE_R50, 1, 40_046_535, id="Deformable, one class"),
        pytest.param(
            replace(DEFORMABLE_R50, out_indices=(4,), num_feature_levels=1), 91, 34_066_593, id="one level"
        ),
        pytest.param(replace(DEFORMABLE_R50, box_refinement=True), 91, 40_732_725, id="box refinement"),
        pytest.param(
            replace(DEFORMABLE_R50, box_refinement=True, two_stage=True), 91, 41_181_529, id="two-stage"
        ),
    ],
)
def test_the_papers_networks_have_their_number_of_parameters(
    config: DetrConfig, num_classes: int, parameters: int
) -> None:
    network = build_detr(config, num_classes)
    assert sum(p.numel() for p in network.parameters()) == parameters
    # conv1 and layer1 are frozen: 41,302,368 is what DETR's own code prints.
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == parameters - 222_400


@pytest.mark.parametrize("training", [True, False])
@SMALL
def test_outputs_are_those_of_detrs_own_code(config: DetrConfig, training: bool) -> None:
    outputs = build(config, num_classes=3).train(training)(*batch((96, 128), (128, 128)))
    logits = 4 if config.arch == "detr" else 3  # one more for "no object"
    expected = {"pred_logits", "pred_boxes", "aux_outputs"} | ({"enc_outputs"} if config.two_stage else set())
    assert outputs.keys() == expected
    assert len(outputs["aux_outputs"]) == config.num_decoder_layers - 1
    for layer in [outputs, *outputs["aux_outputs"]]:
        assert layer["pred_logits"].shape == (2, 20, logits)
        assert layer["pred_boxes"].shape == (2, 20, 4)
        assert ((layer["pred_boxes"] > 0) & (layer["pred_boxes"] < 1)).all()
    if config.two_stage:
        tokens = 8 * 8 + 4 * 4 + 2 * 2  # strides 16, 32, 64
        assert outputs["enc_outputs"]["pred_logits"].shape == (2, tokens, 3)
        assert outputs["enc_outputs"]["pred_boxes"].shape == (2, tokens, 4)


@SMALL
def test_every_decoder_layer_says_something_else_of_every_page(config: DetrConfig) -> None:
    outputs = build(config).eval()(*batch((128, 128), (128, 128)))
    layers = [layer["pred_logits"] for layer in [*outputs["aux_outputs"], outputs]]
    for first, second in pairwise(layers):
        assert (first - second).abs().max() > 1e-4
    for layer in layers:
        assert (layer[0] - layer[1]).abs().max() > 1e-4


@SMALL
def test_autocast_does_not_round_boxes_to_bfloat16(config: DetrConfig) -> None:
    detr = build(config).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        outputs = detr(*batch((96, 128)))
    for layer in [outputs, *outputs["aux_outputs"]]:
        boxes = layer["pred_boxes"]
        assert boxes.dtype == torch.float32
        assert (boxes == boxes.bfloat16()).float().mean() < 0.1


@pytest.mark.parametrize("tables", [2, 0])
@SMALL
def test_every_trainable_parameter_has_a_gradient(config: DetrConfig, tables: int) -> None:
    """With one left out, DDP fails at its second step; a batch without tables must do as well."""
    network = build(config)
    loss = LossConfig("softmax" if config.arch == "detr" else "varifocal")
    boxes = torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.6, 0.3, 0.4]])[:tables]
    targets = [
        {"labels": torch.zeros(tables, dtype=torch.long), "boxes": boxes},
        {"labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)},
    ]
    outputs = network(*batch((96, 128), (128, 128)))
    DetrCriterion(1, loss)(outputs, targets)["loss"].backward()
    trainable = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    assert [name for name, gradient in trainable.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in trainable.values() if gradient is not None)


def test_the_first_stage_of_two_learns_from_the_encoder_loss() -> None:
    network = build(TWO_STAGE)
    targets = [{"labels": torch.tensor([0]), "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.2]])}]
    criterion = DetrCriterion(1, LossConfig())
    losses = criterion(network(*batch((128, 128))), targets)
    names = ["loss_ce_enc", "loss_bbox_enc", "loss_giou_enc"]
    torch.stack([losses[name] for name in names]).sum().backward()  # type: ignore[no-untyped-call]
    head = network.network
    for module in (
        head.class_embed[-1],
        head.bbox_embed[-1],
        head.model.enc_output,
        head.model.enc_output_norm,
    ):
        for parameter in module.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize("config", [DEFORMABLE, REFINED, TWO_STAGE])
def test_every_score_starts_at_one_hundredth(config: DetrConfig) -> None:
    network = build(config, num_classes=3).network
    for head in network.class_embed:
        assert head.bias.sigmoid().tolist() == pytest.approx(3 * [0.01])
    outputs = build(config, num_classes=3).eval()(*batch((128, 128)))
    assert outputs["pred_logits"].sigmoid().mean().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("config", [DETR, DEFORMABLE, REFINED])
def test_queries_start_as_far_apart_as_in_the_papers_code(config: DetrConfig) -> None:
    queries = build(config).network.model.query_position_embeddings.weight
    assert queries.std().item() == pytest.approx(1, rel=0.1)


# -- padding ---------------------------------------------------------------------------------------


class Patches(nn.Module):
    """A backbone whose every feature sees its own patch of the page alone."""

    def __init__(self, feature_info: Any) -> None:
        super().__init__()
        self.feature_info = feature_info
        shapes = zip(feature_info.channels(), feature_info.reduction(), strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(3, width, side, side, bias=False) for width, side in shapes)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [conv(pixels) for conv in self.convs]


def patches(network: Detr) -> None:
    torch.manual_seed(0)
    backbone = network.network.model.backbone
    backbone.model = Patches(backbone.model.feature_info)


def patches_without_group_norm(network: Detr) -> None:
    patches(network)
    for projection in network.network.model.input_proj:
        projection[1] = nn.Identity()


def movement(
    config: DetrConfig, change: Callable[[Detr], None] | None = None, masked: bool = True
) -> tuple[float, float]:
    """How far padding moves the boxes and logits of a page of 256x192 to 384x256."""
    network = build(config).eval()
    if change is not None:
        change(network)
    pixels, mask = batch((256, 192), (384, 256))
    with torch.no_grad():
        alone = network(pixels[:1, :, :256, :192], mask[:1, :256, :192])
        padded = network(pixels, mask if masked else torch.ones_like(mask))
    boxes, logits = (
        (alone[key][0] - padded[key][0]).abs().max().item() for key in ("pred_boxes", "pred_logits")
    )
    return boxes, logits


@pytest.mark.parametrize(
    ("config", "change"),
    [
        pytest.param(DETR, patches, id="detr"),
        pytest.param(DEFORMABLE, patches_without_group_norm, id="deformable"),
        pytest.param(REFINED, patches_without_group_norm, id="refined"),
        pytest.param(TWO_STAGE, patches_without_group_norm, id="two-stage"),
    ],
)
def test_the_transformer_does_not_see_padding(config: DetrConfig, change: Callable[[Detr], None]) -> None:
    """Boxes are relative to the visible page: positions, references and proposals count it alone.

    What is left out here does see padding, as in both papers: the receptive field of a real backbone
    reaches over the page's edge, and Deformable DETR's group norm takes its statistics over the canvas.
    """
    assert max(movement(config, change)) < 5e-6
    assert max(movement(config, change, masked=False)) > 1e-3


@pytest.mark.parametrize("config", [DETR, DEFORMABLE, REFINED])
def test_padding_hardly_moves_the_boxes_of_a_whole_network(config: DetrConfig) -> None:
    boxes, _ = movement(replace(config, backbone_weights="imagenet"))
    assert boxes < 0.005  # of the page


def test_a_page_with_fewer_tokens_than_proposals_is_padded_until_they_fit() -> None:
    network = build(replace(TWO_STAGE, num_queries=60)).eval()
    outputs = network(*batch((32, 32)))
    assert outputs["pred_boxes"].shape == (1, 60, 4)
    assert outputs["pred_boxes"].isfinite().all()


@SMALL
def test_the_order_of_a_batch_does_not_matter(config: DetrConfig) -> None:
    network = build(config).eval()
    pixels, mask = batch((128, 96), (96, 128), (128, 128))
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        outputs, reordered = network(pixels, mask), network(pixels[order], mask[order])
    for key in "pred_logits", "pred_boxes":
        torch.testing.assert_close(reordered[key], outputs[key][order], rtol=1e-4, atol=1e-5)


# -- the backbone inside ---------------------------------------------------------------------------


@pytest.mark.parametrize("config", [DETR, TWO_STAGE])
def test_the_network_sees_timms_features(config: DetrConfig) -> None:
    """transformers puts norms without activations into the backbones that it wraps."""
    network = build(replace(config, backbone_weights="imagenet")).eval()
    weights = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=config.out_indices)
    unfolded(network.network.model.backbone.model, weights)
    pixels, mask = batch((128, 128), seed=1)
    with torch.no_grad():
        ours = [features for features, _ in network.network.model.backbone(pixels, mask.long())]
        theirs = weights.eval()(pixels)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-3, atol=1e-3)


def unfolded(ours: nn.Module, theirs: nn.Module) -> None:
    """Give timm's network the weights of ours, whose norms are a scale and a shift."""
    modules = list(theirs.modules())
    convs = [module for module in modules if isinstance(module, nn.Conv2d)]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
    folded = [module for module in ours.modules() if isinstance(module, nn.Conv2d)]
    for conv, norm, fold in zip(convs, norms, folded, strict=True):
        conv.weight.data.copy_(fold.weight)
        norm.eps = 0
        norm.weight.data.copy_(fold.get_buffer("scale"))
        norm.bias.data.copy_(fold.get_buffer("shift"))


# -- what cannot be built --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"hidden_dim": 100},
            r"model\.detr\.hidden_dim: expected a multiple of 32 and of num_heads \(8\), found 100",
        ),
        ({"hidden_dim": 96, "num_heads": 5}, r"model\.detr\.hidden_dim: .* num_heads \(5\), found 96"),
        ({"hidden_dim": 0}, r"model\.detr\.hidden_dim: expected at least 1, found 0"),
        ({"num_heads": 0}, r"model\.detr\.num_heads: expected at least 1, found 0"),
        ({"num_encoder_layers": 0}, r"model\.detr\.num_encoder_layers: expected at least 1, found 0"),
        ({"num_decoder_layers": 0}, r"model\.detr\.num_decoder_layers: expected at least 1, found 0"),
        ({"num_queries": 0}, r"model\.detr\.num_queries: expected at least 1, found 0"),
        ({"num_points": 0}, r"model\.detr\.num_points: expected at least 1, found 0"),
        ({"ffn_dim": 0}, r"model\.detr\.ffn_dim: expected at least 1, found 0"),
        ({"frozen_stages": -1}, r"model\.detr\.frozen_stages: expected 0 or more, found -1"),
        ({"dropout": 1.0}, r"model\.detr\.dropout: expected 0 <= dropout < 1, found 1\.0"),
        (
            {"out_indices": ()},
            r"model\.detr\.out_indices: expected feature maps in ascending order, found \[\]",
        ),
        ({"out_indices": (4, 3)}, r"model\.detr\.out_indices: .* found \[4, 3\]"),
        ({"num_feature_levels": 1}, r"model\.detr\.num_feature_levels: expected at least 2 .*, found 1"),
        ({"box_refinement": False}, r"model\.detr\.two_stage=true needs model\.detr\.box_refinement=true"),
        ({"arch": "detr"}, r"model\.detr\.arch=detr has one feature map.*model\.detr\.out_indices=\[4\]"),
    ],
)
def test_a_config_that_no_network_can_have_is_refused_by_its_key(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        DetrConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"backbone": "resnet-50"},
            r"model\.detr\.backbone: expected the name of a timm model, found 'resnet-50'",
        ),
        ({"out_indices": (3, 7)}, r"model\.detr\.out_indices: expected at most 4 for tf_efficientnet_lite0"),
        ({"frozen_stages": 9}, r"model\.detr\.frozen_stages: expected at most 5, found 9"),
        (
            {"backbone_weights": "no.pth"},
            r"model\.detr\.backbone_weights: expected 'imagenet', null or a file",
        ),
    ],
)
def test_a_config_that_the_backbone_does_not_fit_is_refused_by_its_key(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        build_detr(replace(TWO_STAGE, **options), 1)


# -- checkpoints of transformers -------------------------------------------------------------------

FAMILIES = pytest.mark.parametrize("family", ["detr", "deformable", "refined", "two-stage"])


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def checkpoint(family: str, folder: Path) -> tuple[PreTrainedModel, DetrConfig]:
    """Save a network of transformers whose every weight matters; give the config that it has here."""
    torch.manual_seed(0)
    config = replace(
        {"detr": DETR, "deformable": DEFORMABLE, "refined": REFINED, "two-stage": TWO_STAGE}[family],
        backbone="resnet18",
        frozen_stages=2,
        pretrained=str(folder),
        exact_geometry=False,
    )
    shared: dict[str, Any] = {
        "backbone_config": TimmBackboneConfig(
            backbone="resnet18", out_indices=list(config.out_indices), features_only=True
        ),
        "num_labels": 2,
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "num_queries": 20,
    }
    network: PreTrainedModel
    if family == "detr":
        network = DetrForObjectDetection(HFDetrConfig(**shared))
    else:
        network = DeformableDetrForObjectDetection(
            HFDeformableDetrConfig(
                **shared,
                num_feature_levels=3,
                with_box_refine=config.box_refinement,
                two_stage=config.two_stage,
                two_stage_num_proposals=20,
            )
        )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter) * 0.05
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "bias")):
                buffer += torch.randn_like(buffer) * 0.1
            elif name.endswith(("running_var", "weight")):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    network.save_pretrained(folder)
    return network.eval(), config


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory: pytest.TempPathFactory) -> DetrConfig:
    return checkpoint("two-stage", tmp_path_factory.mktemp("two-stage"))[1]


@pytest.mark.usefixtures("offline")
@FAMILIES
def test_a_checkpoint_of_transformers_gives_the_same_here(family: str, tmp_path: Path) -> None:
    theirs, config = checkpoint(family, tmp_path)
    ours = build_detr(config, 2).eval()
    pixels, mask = batch((96, 128), (128, 128))
    with torch.no_grad():
        outputs, expected = ours(pixels, mask), theirs(pixel_values=pixels, pixel_mask=mask.long())
    torch.testing.assert_close(outputs["pred_logits"], expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs["pred_boxes"], expected.pred_boxes, rtol=1e-4, atol=1e-5)
    assert expected.logits.std() > 0.05


@pytest.mark.usefixtures("offline")
def test_an_auxiliary_output_of_detr_is_what_the_decoder_cut_off_there_gives(tmp_path: Path) -> None:
    """transformers' own `auxiliary_loss` feeds each layer with the normed output of the one before."""
    theirs, config = checkpoint("detr", tmp_path)
    pixels, mask = batch((96, 128), (128, 128))
    with torch.no_grad():
        outputs = build_detr(config, 2).eval()(pixels, mask)
        for number in 1, 0:
            theirs.model.decoder.layers = theirs.model.decoder.layers[: number + 1]
            expected = theirs(pixel_values=pixels, pixel_mask=mask.long())
            found = outputs["aux_outputs"][number]
            torch.testing.assert_close(found["pred_logits"], expected.logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found["pred_boxes"], expected.pred_boxes, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("offline")
@FAMILIES
def test_a_checkpoint_of_other_classes_keeps_all_but_its_class_heads(family: str, tmp_path: Path) -> None:
    theirs, config = checkpoint(family, tmp_path)
    ours = build_detr(config, 1).eval()
    if family == "detr":
        assert ours.network.class_labels_classifier.weight.shape == (2, 32)
    else:
        for head in ours.network.class_embed:
            assert head.bias.sigmoid().item() == pytest.approx(0.01)
    kept = {
        name: p
        for name, p in ours.network.named_parameters()
        if "class_" not in name and "backbone" not in name
    }
    expected = dict(theirs.named_parameters())
    assert len(kept) > 80
    assert [name for name, parameter in kept.items() if not torch.equal(parameter, expected[name])] == []


@pytest.mark.usefixtures("offline")
def test_a_checkpoint_in_half_precision_trains_in_float32(tmp_path: Path) -> None:
    network, config = checkpoint("detr", tmp_path)
    network.bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in build_detr(config, 2).parameters()} == {torch.float32}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 64}, "d_model is 32 there and 64 here"),
        ({"ffn_dim": 64}, "encoder_ffn_dim is 32 there and 64 here; decoder_ffn_dim is 32 there and 64 here"),
        ({"num_heads": 4}, "encoder_attention_heads is 8 there and 4 here"),
        ({"num_queries": 30}, "num_queries is 20 there and 30 here"),
        ({"num_decoder_layers": 2}, "decoder_layers is 3 there and 2 here"),
        ({"num_points": 2}, "encoder_n_points is 4 there and 2 here"),
        ({"two_stage": False}, "two_stage is True there and False here"),
        ({"backbone": "resnet34"}, "backbone is resnet18 there and resnet34 here"),
        (
            {"out_indices": (2, 3)},
            "weights are missing or of another shape there, the first is model.input_proj",
        ),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(
    options: dict[str, Any], message: str, two_stage: DetrConfig
) -> None:
    with pytest.raises(UserError) as refused:
        build_detr(replace(two_stage, **options), 2)
    expected = f"model.detr.pretrained={two_stage.pretrained}: another architecture: "
    assert str(refused.value).startswith(expected)
    assert message in str(refused.value)


@pytest.mark.usefixtures("offline")
def test_a_checkpoint_of_another_family_is_refused(tmp_path: Path) -> None:
    checkpoint("detr", tmp_path)
    with pytest.raises(UserError, match="model_type is detr there and deformable_detr here"):
        build_detr(replace(TWO_STAGE, pretrained=str(tmp_path)), 2)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["facebook/detr-resnet-50", "no such folder"])
def test_a_missing_checkpoint_is_one_clear_line(name: str) -> None:
    with pytest.raises(UserError) as refused:
        build_detr(replace(TWO_STAGE, pretrained=name), 2)
    assert str(refused.value) == (
        f"model.detr.pretrained: no checkpoint '{name}' in a folder of that name or on the hub: put its "
        "config.json and model.safetensors into a folder and give that folder"
    )


@pytest.mark.usefixtures("offline")
def test_a_folder_without_weights_is_one_clear_line(tmp_path: Path) -> None:
    _, config = checkpoint("two-stage", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError) as refused:
        build_detr(config, 2)
    assert str(refused.value).startswith(
        f"model.detr.pretrained={tmp_path}: not a checkpoint of transformers: "
    )
    assert "\n" not in str(refused.value)
