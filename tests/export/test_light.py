"""What README says is enough to run an exported network is enough: nothing else can be imported here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tablesense.detr import DetrConfig
from tablesense.export.onnx import export_onnx
from tablesense.module import TableDETRModule

README = Path(__file__).parents[2] / "README.md"

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Missing())
from tablesense.cli import main
sys.exit(main(sys.argv[1:]))
"""


def named_in_readme() -> set[str]:
    """The packages of README's `pip install` line that leaves torch out."""
    (line,) = re.findall(r"^pip install (onnxruntime .*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    return set(line.split())


def missing() -> set[str]:
    """The modules of all that tablesense requires and that line does not name."""
    required = {re.split(r"[^\w.-]", each)[0].lower() for each in requires("tablesense") or ()}
    assert "torch" in required
    left_out = required - named_in_readme()
    return {
        module
        for module, owners in packages_distributions().items()
        if any(owner.lower() in left_out for owner in owners)
    }


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "pdf"])
def test_an_exported_network_runs_on_a_few_packages(suffix: str, tmp_path: Path) -> None:
    module = TableDETRModule(
        DetrConfig(backbone_weights=None, hidden_dim=32, ffn_dim=32, num_queries=20), image_size=96
    )
    export_onnx(module.eval(), tmp_path / "model.onnx")
    page = Image.new("RGB", (120, 160), "white")
    ImageDraw.Draw(page).rectangle((20, 30, 100, 90), outline="black")
    page.save(tmp_path / f"page.{suffix}")
    assert {"torch", "lightning", "transformers", "wandb"} <= missing()
    command = ["predict", "model.onnx", f"page.{suffix}", "--out", "found", "--threshold", "0", "--overlay"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing()), *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "found" / "page.json").read_text())["pages"]
    assert found["tables"]
    assert (tmp_path / "found" / "page.pages" / "1.png").is_file()
