"""Opening a trained network, and refusing everything else."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch

from tablesense import DetrConfig, TableDETRModule, UserError
from tablesense.export.huggingface import export_huggingface
from tablesense.predict.network import load_network

SMALL = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=2, num_queries=10, ffn_dim=32)


class Harm:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.fixture(scope="module")
def module() -> TableDETRModule:
    return TableDETRModule(detr=SMALL, image_size=96, score_threshold=0.4).eval()


@pytest.fixture(scope="module")
def exported(module: TableDETRModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's folder of transformers, with code."""
    folder = tmp_path_factory.mktemp("exported") / "tables"
    export_huggingface(module, folder, custom_code=True)
    return folder


def save(module: TableDETRModule, file: Path, **changes: Any) -> Path:
    checkpoint = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "pytorch-lightning_version": "2.6.6",
    }
    torch.save(checkpoint | changes, file)
    return file


def test_a_checkpoint_finds_what_its_module_finds(tmp_path: Path, module: TableDETRModule) -> None:
    network = load_network(save(module, tmp_path / "best.ckpt"), "cpu")
    assert (network.image_size, network.class_names, network.threshold) == (96, ("table",), 0.4)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 96), np.uint8)
    mask = np.ones((2, 64, 96), bool)
    mask[1, :, 70:] = False
    sizes = np.array([[960.0, 640.0], [70.0, 64.0]])
    found = network(pixels, mask, sizes)
    with torch.inference_mode():
        outputs = module(torch.from_numpy(pixels), torch.from_numpy(mask))
        expected = module.postprocess(outputs, torch.tensor(sizes))
    for finds, page in zip(found, expected, strict=True):
        np.testing.assert_allclose(finds.boxes, page["boxes"], atol=1e-3)
        np.testing.assert_allclose(finds.scores, page["scores"], atol=1e-6)
        assert finds.labels.tolist() == page["labels"].tolist()


@pytest.mark.parametrize("kind", ["text", "empty", "other weights", "other network"])
def test_a_file_that_is_no_checkpoint_of_ours_is_refused(
    tmp_path: Path, module: TableDETRModule, kind: str
) -> None:
    file = tmp_path / "model.ckpt"
    if kind == "other weights":
        torch.save({"weight": torch.zeros(2)}, file)
    elif kind == "other network":
        save(module, file, state_dict={"weight": torch.zeros(2)})
    else:
        file.write_text("a text" if kind == "text" else "")
    with pytest.raises(UserError, match=r"^MODEL: expected a checkpoint .*model\.ckpt cannot be used: it is"):
        load_network(file, "cpu")


@pytest.mark.parametrize("kind", ["zipped", "pickle 2", "pickle 4"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, kind: str) -> None:
    file, place = tmp_path / "model.ckpt", tmp_path / "harm"
    if kind == "zipped":
        torch.save({"state_dict": Harm(place)}, file)
    else:
        file.write_bytes(pickle.dumps(Harm(place), int(kind[-1])))
    why = "it is something else" if kind == "pickle 4" else r"it holds code \(\w+\.mkdir\), which is not run"
    with pytest.raises(UserError, match=f"cannot be used: {why}$"):
        load_network(file, "cpu")
    assert not place.exists()


def test_bfloat16_is_what_the_trainer_means_by_it(tmp_path: Path, module: TableDETRModule) -> None:
    file = save(module, tmp_path / "best.ckpt")
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 96), np.uint8)
    (found,) = load_network(file, "cpu", "bf16-mixed")(
        pixels, np.ones((1, 64, 96), bool), np.array([[96.0, 64]])
    )
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        (expected,) = module.postprocess(module(torch.from_numpy(pixels)), torch.tensor([[96.0, 64]]))
    np.testing.assert_array_equal(found.scores, expected["scores"])


def test_a_file_with_its_own_precision_is_not_given_another(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UserError, match=r"^--precision: .*model\.onnx has its own"):
        load_network(tmp_path / "model.onnx", "cpu", "bf16-mixed")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^MODEL: expected .*found no file .*none\.ckpt$"):
        load_network(tmp_path / "none.ckpt")
    with pytest.raises(UserError, match=r"^MODEL: expected .*found the folder "):
        load_network(tmp_path)


def test_a_folder_of_transformers_finds_what_the_checkpoint_finds(
    tmp_path: Path, module: TableDETRModule, exported: Path
) -> None:
    copytree(exported, tmp_path / "tables")
    # What transformers would run, and nothing here may.
    code = f"import os; os.mkdir({str(tmp_path / 'harm')!r})"
    for file in (tmp_path / "tables").glob("*.py"):
        file.write_text(code)
    folder = load_network(tmp_path / "tables", "cpu")
    checkpoint = load_network(save(module, tmp_path / "best.ckpt"), "cpu")
    assert (folder.image_size, folder.class_names, folder.threshold) == (96, ("table",), 0.4)
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 96), np.uint8)
    page = pixels, np.ones((1, 64, 96), bool), np.array([[96.0, 64.0]])
    for mine, theirs in zip(folder(*page)[0], checkpoint(*page)[0], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{}", r"the config\.json of .*tables is another's$"),
        ("config.json", "no JSON", r"the config\.json of .*tables is another's$"),
        ("model.safetensors", "no weights", r"^MODEL: .*tables cannot be used: "),
        ("model.safetensors", None, r"tables has no model\.safetensors$"),
        ("config.json", None, r"found the folder .*tables$"),
    ],
)
def test_a_broken_folder_is_refused_in_one_line(
    tmp_path: Path, exported: Path, file: str, content: str | None, message: str
) -> None:
    copytree(exported, tmp_path / "tables")
    (tmp_path / "tables" / file).unlink()
    if content is not None:
        (tmp_path / "tables" / file).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_network(tmp_path / "tables", "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["tpu9", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, module: TableDETRModule, device: str) -> None:
    with pytest.raises(UserError, match=f"^--device: .*{device}"):
        load_network(save(module, tmp_path / "best.ckpt"), device)


def test_the_command_needs_no_torch_until_a_checkpoint_is_opened() -> None:
    program = (
        "import sys, tablesense.predict.verb, tablesense.predict.detecting; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).stdout.strip() == b"False"
