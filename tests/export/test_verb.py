"""tablesense.export.verb: the command, from a checkpoint to a file."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest
from lightning import Trainer
from PIL import Image

from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.export.runtime import OnnxNetwork
from tablesense.export.verb import run
from tablesense.module import TableDETRModule
from tablesense.predict.verb import run as predict


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


def test_a_checkpoint_becomes_a_folder_that_predicts_the_same(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "tables"
    assert run([str(checkpoint), "--format", "huggingface", "--out", str(out), "--custom-code"]) == 0
    assert "opened with transformers with trust_remote_code=True it finds the same" in capsys.readouterr().out
    assert "\n# tables\n" in (out / "README.md").read_text()
    page = Image.effect_noise((70, 96), 100)
    page.save(tmp_path / "page.png")
    found = []
    for model in checkpoint, out:
        assert predict([str(model), str(tmp_path / "page.png"), "--threshold", "0", "--format", "csv"]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert len(found[0].splitlines()) > 2


def test_an_option_of_the_other_format_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--custom-code cannot be had with --format onnx"):
        run([str(checkpoint), "--out", str(tmp_path / "a.onnx"), "--custom-code"])
    with pytest.raises(UserError, match="--int8 cannot be had with --format huggingface"):
        run([str(checkpoint), "--format", "huggingface", "--out", str(tmp_path / "a"), "--int8"])
    with pytest.raises(UserError, match="--push: expected OWNER/NAME, found tables"):
        run([str(checkpoint), "--format", "huggingface", "--out", str(tmp_path / "a"), "--push", "tables"])


# -- the hub ---------------------------------------------------------------------------------------


class Hub(ThreadingHTTPServer):
    """What the hub answers to the client's upload; `files` are those that were committed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.add(self.headers["Authorization"])
        path = self.path.partition("?")[0]
        answer: dict[str, Any] = {}
        if path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            answer = {"url": f"{self.server.address}/me/tables"}
        elif path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            answer = {"files": [{"path": name} | modes for name in names]}
        elif path == "/api/models/me/tables/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = b64decode(line["value"]["content"])
            answer = {"commitUrl": f"{self.server.address}/me/tables/commit/1", "commitOid": "1"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_folder_is_sent_to_the_hub(
    checkpoint: Path, tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--format", "huggingface", "--custom-code", "--license", "mit", "--push", "me/tables"]
    assert run([str(checkpoint), "--out", str(out), *options]) == 0
    assert hub.files == {path.name: path.read_bytes() for path in out.iterdir()}
    assert [(each["organization"], each["name"]) for each in hub.created] == [("me", "tables")]
    assert hub.tokens == {"Bearer hf_secret"}
    assert f"pushed: {hub.address}/me/tables" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert 'name = "me/tables"' in card
    assert "license: mit" in card


def test_without_the_hub_the_folder_is_kept(
    checkpoint: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(checkpoint), "--format", "huggingface", "--custom-code", "--push", "me/tables", "--out"]
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"^--push: me/tables cannot be written: .*; .*away is kept$"):
        run([*command, str(tmp_path / "away")])
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"^--push: expected a login .*found none.*; .*nobody is kept$"):
        run([*command, str(tmp_path / "nobody")])
    for name in "away", "nobody":
        assert (tmp_path / name / "model.safetensors").is_file()
    assert not hub.files
