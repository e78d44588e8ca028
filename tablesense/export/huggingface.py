"""A checkpoint's network as a folder that transformers opens, and such a folder opened again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from itertools import pairwise
from math import ceil
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import torch
from PIL import Image, ImageDraw
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    DeformableDetrForObjectDetection,
    DeformableDetrImageProcessor,
    DetrForObjectDetection,
    DetrImageProcessor,
    PreTrainedModel,
)
from transformers.utils import logging

from tablesense import geometry
from tablesense.backbone import FrozenNormConv2d, build_backbone
from tablesense.detector import Detector
from tablesense.detr import DetrConfig as OwnConfig
from tablesense.errors import UserError
from tablesense.export import modeling_tablesense
from tablesense.export.card import Training, least_side, write_card
from tablesense.export.modeling_tablesense import TableDetrConfig, TableDetrForObjectDetection

FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "README.md")
CODE = ("modeling_tablesense.py", "geometry.py")

SAME = 1e-3
"""How far boxes, relative to the page, and scores may be from the checkpoint's."""


def export_huggingface(
    module: Detector,
    folder: Path,
    custom_code: bool = False,
    training: Training | None = None,
    licence: str | None = None,
    repository: str | None = None,
) -> bool:
    """Write a module's network as a folder of transformers, and see that it finds the same when opened there.

    Args:
        module: On the CPU, in evaluation mode; it is not changed.
        folder: It is written whole or not at all; an earlier export that is there is replaced.
        custom_code: Whether the folder may hold Python files that transformers runs, for a network that
            transformers' own classes do not compute.
        training: What is known of the training, for the model card.
        licence: The licence of the weights, such as "apache-2.0", for the model card.
        repository: OWNER/NAME on the hub, for the model card.

    Returns:
        Whether the folder holds such files.

    Raises:
        UserError: The network needs code and may not, something else is in the folder's place, it cannot be
            written, or transformers finds something else with it.
    """
    _check_place(folder)
    own = _needs_code(module.config)
    if own and not custom_code:
        raise UserError(
            "export: plain transformers would find other boxes: model.detr.exact_geometry=true is "
            "tablesense's own, transformers takes the number of a feature map's cells for the size of the "
            "page: give --custom-code, which puts the code for it into the folder"
        )
    try:
        place = folder.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        drafts = Path(mkdtemp(prefix=".export_", dir=place.parent))
        try:
            part = drafts / place.name
            part.mkdir()
            with _quiet():
                _write_network(module, part, own)
                _check_same(module, part, own)
            card = write_card(module, place.name, repository, own, training, licence)
            (part / "README.md").write_text(card, encoding="utf-8")
            _move(part, place, drafts / "earlier")
        finally:
            rmtree(drafts, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise UserError(f"--out: {folder} cannot be written: {reason}") from error
    return own


def load_export(folder: Path) -> Detector:
    """Open a folder that `export_huggingface` wrote; no code in it is run.

    Returns:
        The network, on the CPU in evaluation mode.

    Raises:
        UserError: It is something else, or not whole.
    """
    facts = _read_facts(folder)
    try:
        detr = OwnConfig(
            **facts["detr"] | {"out_indices": tuple(facts["detr"]["out_indices"]), "backbone_weights": None}
        )
        rest = {name: facts[name] for name in ("class_names", "image_size", "score_threshold", "nms_iou")}
        with _quiet():
            plain, report = _model_class(detr, _needs_code(detr)).from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        if report["missing_keys"]:
            raise UserError(f"its model.safetensors lacks {min(report['missing_keys'])}")
        detector = Detector(detr, **rest)
        weights = plain.model.backbone.model.state_dict()
        backbone = build_backbone(detr.backbone, detr.out_indices, weights, detr.frozen_stages)
        detector.detr.network.load_state_dict(_with_backbone(plain.state_dict(), backbone.state_dict()))
    except UserError as error:
        raise UserError(f"MODEL: {folder} cannot be used: {error}") from error
    except Exception as error:  # whatever a foreign file leads transformers to
        message = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"MODEL: {folder} cannot be used: {message}") from error
    return detector.eval()


def unfolded(backbone: nn.Module, plain: nn.Module) -> dict[str, Tensor]:
    """The weights of a backbone for the same one with its frozen norms behind their convolutions.

    Args:
        backbone: As `tablesense.backbone.build_backbone` makes it.
        plain: The other one. Its norms get the means 0 and the variances 1 - eps, so that they multiply by
            exactly 1 before they scale and shift.
    """
    state: dict[str, Tensor] = dict(backbone.state_dict())
    for place, parent in backbone.named_modules():
        prefix = f"{place}." if place else ""
        for (conv_name, conv), (norm_name, _) in pairwise(parent.named_children()):
            if not isinstance(conv, FrozenNormConv2d):
                continue
            norm = prefix + norm_name
            scale = state.pop(f"{prefix}{conv_name}.scale")
            state[f"{norm}.weight"], state[f"{norm}.bias"] = scale, state.pop(f"{prefix}{conv_name}.shift")
            state[f"{norm}.running_mean"] = torch.zeros_like(scale)
            eps = getattr(plain.get_submodule(norm), "eps", 1e-5)  # transformers' own have this one, unnamed
            state[f"{norm}.running_var"] = torch.ones_like(scale) - eps
    return state


# -- writing ---------------------------------------------------------------------------------------


def _needs_code(config: OwnConfig) -> bool:
    return config.arch == "deformable_detr" and config.exact_geometry


def _check_place(folder: Path) -> None:
    """Refuse to replace anything but an earlier export."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"--out: expected a folder, found the file {folder}")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in names if name not in (*FILES, *CODE)]
    if names and not others:
        try:
            others = [] if "tablesense" in json.loads((folder / "config.json").read_text("utf-8")) else names
        except (OSError, ValueError):
            others = names
    if others:
        raise UserError(
            f"--out: expected a new or empty folder, or an earlier export; {folder} holds {others[0]}: name "
            "another folder"
        )


def _write_network(module: Detector, folder: Path, own: bool) -> None:
    """Write the weights, their configuration, the image processor's and, where it is needed, the code."""
    network: Any = module.detr.network
    config = network.config.to_dict()
    del config["model_type"]
    # Without this transformers puts norms of its own in the place of timm's, and their activations are lost.
    config["backbone_config"]["freeze_batch_norm_2d"] = True
    config["id2label"] = dict(enumerate(module.class_names))
    config["label2id"] = {name: i for i, name in enumerate(module.class_names)}
    config["tablesense"] = _facts(module)
    if own:
        config["auto_map"] = {
            "AutoConfig": f"modeling_tablesense.{TableDetrConfig.__name__}",
            "AutoModelForObjectDetection": f"modeling_tablesense.{TableDetrForObjectDetection.__name__}",
        }
    opened = _model_class(module.config, own)
    plain: PreTrainedModel = opened(opened.config_class.from_dict(config))
    backbone = unfolded(network.model.backbone.model, plain.model.backbone.model)
    plain.load_state_dict(_with_backbone(network.state_dict(), backbone))
    plain.save_pretrained(folder)
    _image_processor(module).save_pretrained(folder)
    if own:
        for each in (modeling_tablesense, geometry):
            source = Path(str(each.__file__))
            text = source.read_text("utf-8").replace("from tablesense.geometry", "from .geometry")
            (folder / source.name).write_text(text, encoding="utf-8")


def _with_backbone(state: dict[str, Tensor], backbone: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network with those of another backbone."""
    rest = {key: value for key, value in state.items() if not key.startswith("model.backbone.")}
    return rest | {f"model.backbone.model.{key}": value for key, value in backbone.items()}


def _model_class(config: OwnConfig, own: bool) -> type[PreTrainedModel]:
    kinds: dict[str, type[PreTrainedModel]] = {
        "detr": DetrForObjectDetection,
        "deformable_detr": TableDetrForObjectDetection if own else DeformableDetrForObjectDetection,
    }
    return kinds[config.arch]


def _facts(module: Detector) -> dict[str, Any]:
    """What tablesense needs to open the folder again, in the types of JSON."""
    detr = asdict(module.config) | {"backbone_weights": None, "pretrained": None}
    return {
        "version": version("tablesense"),
        "detr": detr | {"out_indices": list(module.config.out_indices)},
        "class_names": list(module.class_names),
        "image_size": module.image_size,
        "score_threshold": module.score_threshold,
        "nms_iou": module.nms_iou,
    }


def _image_processor(module: Detector) -> Any:
    kind = DetrImageProcessor if module.config.arch == "detr" else DeformableDetrImageProcessor
    # A page that is larger than it should be by less than its shorter side notices is left as it is.
    side = max(32 * ceil((module.image_size + 8) / 32), least_side(module))
    mean, std = ([round(x, 6) for x in (each / 255).flatten().tolist()] for each in (module.mean, module.std))
    return kind(
        # The shorter side is rounded as in tablesense; with max_height and max_width it would be cut off.
        size={"shortest_edge": module.image_size, "longest_edge": module.image_size},
        pad_size={"height": side, "width": side},
        do_convert_rgb=True,
        image_mean=mean,
        image_std=std,
    )


def _move(part: Path, folder: Path, earlier: Path) -> None:
    """Put a finished folder in its place; what was there before comes back where that fails."""
    if folder.exists():
        folder.rename(earlier)
    try:
        part.rename(folder)
    except OSError:
        if earlier.exists():
            earlier.rename(folder)
        raise


# -- whether it is the same ------------------------------------------------------------------------


def _check_same(module: Detector, folder: Path, own: bool) -> None:
    """Open a folder as anyone does, and refuse it if it finds something else on a page than the module."""
    opened = AutoModelForObjectDetection.from_pretrained(
        folder, trust_remote_code=own, local_files_only=True
    ).eval()
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    page = _sample_page(module.image_size)
    pixels = torch.frombuffer(bytearray(page.tobytes()), dtype=torch.uint8).view(page.height, page.width, 3)
    given = processor(page, return_tensors="pt")
    # With its own code the network leaves away needless padding itself.
    height, width = given["pixel_mask"].shape[1:]
    if own:
        height, width = (32 * ceil(side / 32) for side in (page.height, page.width))
    sheet = pixels.new_zeros(1, 3, height, width)
    sheet[0, :, : page.height, : page.width] = pixels.permute(2, 0, 1)
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[0, : page.height, : page.width] = True
    with torch.inference_mode():
        expected = module(sheet, mask)
        found = opened(**given)
    softmax = module.config.arch == "detr"
    off = _difference(
        _finds(expected["pred_logits"], expected["pred_boxes"], softmax),
        _finds(found.logits, found.pred_boxes, softmax),
    )
    if not off <= SAME:
        raise UserError(
            f"export: transformers {version('transformers')} finds something else with what was written: "
            f"boxes or scores differ by {off:.2g} of the page or of 1, at most {SAME:g} is the same; nothing "
            "is kept"
        )


def _sample_page(longest_side: int) -> Image.Image:
    """A page with lines of text and a table, whose width is no multiple of any stride."""
    width, rng = max(8, int(longest_side * 0.7) | 1), random.Random(0)
    page = Image.new("RGB", (width, longest_side), "white")
    pen, line = ImageDraw.Draw(page), max(2, longest_side // 48)
    for y in range(2 * line, longest_side - 2 * line, 2 * line):
        pen.line((line, y, rng.randint(width // 2, width - line), y), fill="black")
    table = (width // 6, longest_side // 3, 5 * width // 6, 2 * longest_side // 3)
    pen.rectangle(table, fill="white", outline="black")
    for i in range(1, 4):
        y = table[1] + i * (table[3] - table[1]) // 4
        pen.line((table[0], y, table[2], y), fill="black")
    return page


def _finds(logits: Tensor, boxes: Tensor, softmax: bool) -> Tensor:
    """Box and scores of each query of one page, [queries, 4 + classes]."""
    scores = logits.softmax(-1)[..., :-1] if softmax else logits.sigmoid()
    return torch.cat([boxes, scores], -1)[0].float()


def _difference(expected: Tensor, found: Tensor, best: int = 10) -> float:
    """How far the best finds of either are from the nearest of the other: queries may change places."""

    def nearest(some: Tensor, others: Tensor) -> Tensor:
        kept = some[some[:, 4:].amax(1).argsort(descending=True)[:best]]
        return (kept[:, None] - others).abs().amax(2).amin(1).max()

    return float(torch.maximum(nearest(expected, found), nearest(found, expected)))


# -- reading ---------------------------------------------------------------------------------------


def _read_facts(folder: Path) -> dict[str, Any]:
    expected = "a folder that `tablesense export --format huggingface` wrote"
    for name in FILES[:2]:
        if not (folder / name).is_file():
            raise UserError(f"MODEL: expected {expected}; {folder} has no {name}")
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        facts: dict[str, Any] = config["tablesense"]
        classes = len(facts["class_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"MODEL: expected {expected}; the config.json of {folder} is another's") from error
    if len(config.get("id2label", ())) != classes:
        raise UserError(
            f"MODEL: {folder} cannot be used: its config.json is at odds about its {classes} classes"
        )
    return facts


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and advice off the terminal."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
