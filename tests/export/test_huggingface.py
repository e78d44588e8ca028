"""tablesense.export.huggingface: others open the folder without tablesense, and find the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from trained_looking import trained_looking
from transformers import AutoImageProcessor, AutoModelForObjectDetection, TimmBackbone

from tablesense.data.augment.geometry import fit
from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.export.huggingface import CODE, FILES, export_huggingface, load_export
from tablesense.module import TableDETRModule
from tablesense.predict.notebook import detect_any

EXACT = DetrConfig(hidden_dim=32, ffn_dim=32, num_queries=20)
CELLS = replace(EXACT, exact_geometry=False)
RESNET = replace(CELLS, backbone="resnet18", backbone_weights=None, two_stage=False, box_refinement=False)
DETR = replace(RESNET, arch="detr", backbone="tf_efficientnet_lite0", out_indices=(4,))
CONFIGS = {"exact": EXACT, "cells": CELLS, "resnet": RESNET, "detr": DETR}

Export = Callable[[str], tuple[TableDETRModule, Path]]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Each of `CONFIGS`, exported once."""
    done: dict[str, tuple[TableDETRModule, Path]] = {}

    def exported(name: str) -> tuple[TableDETRModule, Path]:
        if name not in done:
            module = trained_looking(CONFIGS[name])
            folder = tmp_path_factory.mktemp(name) / "tables"
            assert export_huggingface(module, folder, custom_code=True) == (name == "exact")
            done[name] = module, folder
        return done[name]

    return exported


def batch() -> tuple[Tensor, Tensor]:
    """Two pages of noise, the second with padding."""
    rng = np.random.default_rng(1)
    pixels, mask = torch.zeros(2, 3, 160, 96, dtype=torch.uint8), torch.zeros(2, 160, 96, dtype=torch.bool)
    for i, (h, w) in enumerate([(160, 96), (131, 70)]):
        coarse = rng.integers(0, 255, (3, -(-h // 8), -(-w // 8)), np.uint8)
        pixels[i, :, :h, :w] = torch.from_numpy(coarse.repeat(8, 1).repeat(8, 2)[:, :h, :w].copy())
        mask[i, :h, :w] = True
    return pixels, mask


def page(longest_side: int = 160) -> Image.Image:
    """A page with boxes and lines on it."""
    rng = np.random.default_rng(2)
    sheet = np.full((longest_side, int(longest_side * 0.7)), 255, np.uint8)
    step = longest_side // 16
    for y in range(step, longest_side - step, step):
        sheet[y : y + step // 4, step : rng.integers(3 * step, sheet.shape[1])] = 0
    return Image.fromarray(sheet)


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_computes_what_the_module_computes(export: Export, name: str) -> None:
    module, folder = export(name)
    network = AutoModelForObjectDetection.from_pretrained(folder, trust_remote_code=name == "exact").eval()
    pixels, mask = batch()
    with torch.inference_mode():
        expected = module(pixels, mask)
        normalised = (pixels - module.mean) / module.std * mask[:, None]
        found = network(pixel_values=normalised, pixel_mask=mask.long())
    assert (found.pred_boxes - expected["pred_boxes"]).abs().max() < 1e-3
    assert (found.logits - expected["pred_logits"]).abs().max() < 1e-3
    if name != "detr":  # whose queries all find the same before it is trained
        assert expected["pred_boxes"].std(1).max() > 0.05
    assert network.config.id2label == {0: "table", 1: "figure"}


@pytest.mark.parametrize("name", CONFIGS)
def test_tablesense_opens_the_folder_with_the_same_weights_to_the_bit(export: Export, name: str) -> None:
    module, folder = export(name)
    opened = load_export(folder)
    for key, weight in opened.detr.state_dict().items():
        assert torch.equal(weight, module.detr.state_dict()[key]), key
    assert (opened.image_size, opened.class_names) == (module.image_size, module.class_names)
    assert (opened.score_threshold, opened.nms_iou) == (module.score_threshold, module.nms_iou)
    assert opened.config == replace(module.config, backbone_weights=None)
    with torch.inference_mode():
        assert torch.equal(opened(*batch())["pred_boxes"], module(*batch())["pred_boxes"])


@pytest.mark.parametrize("name", ["exact", "cells", "resnet"])
def test_the_code_of_the_model_card_finds_the_same_without_tablesense(
    export: Export, name: str, tmp_path: Path
) -> None:
    module, folder = export(name)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    sheet = page()
    sheet.save(folder.parent / "page.png")
    without = "import sys; sys.modules['tablesense'] = None; import torch; torch.set_num_threads(1)\n"
    done = subprocess.run(
        [sys.executable, "-c", without + code],
        cwd=folder.parent,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (expected,) = detect_any(module, sheet)
    lines = [re.fullmatch(r"(\w+) ([\d.]+) \[(.*)\]", line) for line in done.stdout.splitlines()]
    found = [(line[1], float(line[2]), [float(x) for x in line[3].split(",")]) for line in lines if line]
    assert len(found) == len(expected) > 0
    assert [label for label, *_ in found] == list(expected.labels)
    np.testing.assert_allclose([score for _, score, _ in found], expected.scores, atol=1e-3)
    np.testing.assert_allclose([box for *_, box in found], expected.boxes, atol=1e-3 * 160)


def test_the_folder_is_opened_only_with_its_code(export: Export) -> None:
    _, folder = export("exact")
    assert {path.name for path in folder.iterdir()} == {*FILES, *CODE}
    assert not any(
        re.search(r"^\s*(from|import) tablesense", (folder / name).read_text(), re.M) for name in CODE
    )
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoModelForObjectDetection.from_pretrained(folder, trust_remote_code=False)


def test_code_is_only_where_it_is_needed(export: Export) -> None:
    _, folder = export("cells")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert "auto_map" not in json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("size", [(827, 1169), (1169, 827), (2550, 3300), (70, 90)])
def test_the_processor_gives_the_page_that_tablesense_sees(export: Export, size: tuple[int, int]) -> None:
    module, folder = export("resnet")
    processor = AutoImageProcessor.from_pretrained(folder)
    sheet = page(1300).convert("RGB").resize(size)
    given = processor(sheet, return_tensors="pt")
    assert given["pixel_values"].shape[2:] == given["pixel_mask"].shape[1:] == (192, 192)
    own = np.asarray(fit(sheet, 160), np.float32).transpose(2, 0, 1)
    height, width = (int(given["pixel_mask"][0].any(axis).sum()) for axis in (1, 0))
    assert (height, width) == own.shape[1:]
    seen: NDArray[Any] = (given["pixel_values"][0] * module.std + module.mean)[:, :height, :width].numpy()
    assert np.abs(seen - own).mean() < 2
    assert not given["pixel_values"][0, :, height:].any()


def test_a_page_that_transformers_leaves_a_little_too_large_has_room(export: Export) -> None:
    _, folder = export("resnet")
    given = AutoImageProcessor.from_pretrained(folder)(page(1300).resize((60, 161)), return_tensors="pt")
    assert given["pixel_mask"][0, :, 0].sum() == 161


@pytest.mark.parametrize("size", [(96, 70), (70, 33), (160, 20)])
def test_needless_padding_changes_nothing(export: Export, size: tuple[int, int]) -> None:
    module, folder = export("exact")
    network = AutoModelForObjectDetection.from_pretrained(folder, trust_remote_code=True).eval()
    (height, width), noise = size, torch.Generator().manual_seed(0)
    pixels = torch.zeros(1, 3, 32 * ceil(height / 32), 32 * ceil(width / 32), dtype=torch.uint8)
    pixels[..., :height, :width] = torch.randint(0, 255, (1, 3, height, width), generator=noise)
    mask = torch.zeros_like(pixels[:, 0], dtype=torch.bool)
    mask[:, :height, :width] = True
    sheet = torch.zeros(1, 3, 192, 192)
    sheet[..., :height, :width] = ((pixels - module.mean) / module.std)[..., :height, :width]
    padded = torch.zeros(1, 192, 192, dtype=torch.long)
    padded[:, :height, :width] = 1
    with torch.inference_mode():
        expected = module(pixels, mask)
        for found in (
            network(sheet, padded),
            network(sheet[..., :height, :width], padded[..., :height, :width]),
        ):
            assert (found.pred_boxes - expected["pred_boxes"]).abs().max() < 1e-3


def test_pages_have_a_cell_for_each_proposal(tmp_path: Path) -> None:
    module = trained_looking(replace(CELLS, num_queries=50), image_size=64)
    export_huggingface(module, tmp_path / "out")
    assert AutoImageProcessor.from_pretrained(tmp_path / "out").pad_size["height"] == 128


def test_what_transformers_computes_otherwise_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"exact_geometry=true is tablesense's own.* --custom-code") as error:
        export_huggingface(trained_looking(EXACT), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_activations_that_transformers_loses_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its DeformableDetr did while it did not know `freeze_batch_norm_2d`."""
    module = trained_looking(CELLS)
    monkeypatch.setattr(TimmBackbone, "freeze_batch_norm_2d", lambda self: None)
    with pytest.raises(UserError, match=r"finds something else .* differ by .*; nothing is kept$"):
        export_huggingface(module, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_only_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    module, out = trained_looking(CELLS), tmp_path / "out"
    out.mkdir()
    export_huggingface(module, out)
    before = (out / "model.safetensors").stat().st_mtime_ns
    export_huggingface(module, out)
    assert (out / "model.safetensors").stat().st_mtime_ns > before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"^--out: .*out holds notes\.txt: name another folder$"):
        export_huggingface(module, out)
    assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"^--out: expected a folder, found the file "):
        export_huggingface(module, tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "file"}


def test_what_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, out = trained_looking(CELLS), tmp_path / "out"
    export_huggingface(module, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    def full(self: Path, *args: Any, **options: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match=r"^--out: .*out cannot be written: No space left on device$"):
        export_huggingface(module, out)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_model_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    with pytest.raises(UserError, match=r"holds config\.json"):
        export_huggingface(trained_looking(CELLS), tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "detr"}'
