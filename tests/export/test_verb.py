"""tablesense.export.verb: the command, from a checkpoint to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning import Trainer

from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.export.runtime import OnnxNetwork
from tablesense.export.verb import run
from tablesense.module import TableDETRModule


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    module = TableDETRModule(
        DetrConfig(backbone_weights=None, hidden_dim=32, ffn_dim=32, num_queries=20), image_size=96
    )
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


def test_a_checkpoint_becomes_a_file_that_runs(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "model.onnx"
    assert run([str(checkpoint), "--format", "onnx", "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]
    assert OnnxNetwork(out, threads=1).image_size == 96
    assert "ONNX opset 17, classes table" in capsys.readouterr().out


def test_what_was_written_before_stays_where_an_export_fails(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    out.write_text("before")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"--out: .*model.onnx cannot be written: No space left on device"):
        run([str(checkpoint), "--out", str(out)])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize(
    ("checkpoint_name", "out", "message"),
    [
        ("none.ckpt", "model.onnx", "found no file none.ckpt"),
        ("none.ckpt", "model.bin", "a file whose name ends in .onnx, found model.bin"),
        ("other.ckpt", "model.onnx", "other.ckpt cannot be used"),
    ],
)
def test_bad_input_is_one_line(
    checkpoint_name: str, out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.ckpt").write_text("no checkpoint")
    with pytest.raises(UserError) as error:
        run([checkpoint_name, "--out", out])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path(out).exists()
