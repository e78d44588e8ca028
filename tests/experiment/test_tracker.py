"""What of a real run arrives at Weights & Biases: the real client, and a server of ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from wandb_server import WandbServer

from tablesense import TableDETRModule

RECIPE = Path(__file__).parents[2] / "configs" / "detr.yaml"
EPOCHS = 3
TINY = [
    "--data.image_size=96",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--data.synthetic.pages=16",
    "--data.synthetic.val_pages=6",
    "--trainer.limit_train_batches=4",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    f"--trainer.max_epochs={EPOCHS}",
    "--logging.name=tables",
    "--logging.log_pictures=4",
]
WATCHED = """
import torch
from lightning.pytorch.loggers import WandbLogger
from tablesense.experiment.tracker import watch

network, logger = torch.nn.Linear(2, 1), WandbLogger()
watch([logger], network)
for step in range(250):
    network(torch.ones(1, 2)).sum().backward()
    logger.log_metrics({"loss": 0.0}, step)
"""


def fit(server: WandbServer, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = server.environment(folder) | {"XDG_CACHE_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tablesense", "fit", "--config", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("online")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[WandbServer]:
    """A server that has seen one run."""
    with WandbServer() as server:
        fit(server, folder, RECIPE, *TINY)
        yield server


def test_there_is_one_run_and_nothing_was_left_unanswered(server: WandbServer) -> None:
    (run,) = server.runs
    assert (run.state, run.exit_code, run.display_name) == ("finished", 0, "tables-001")
    assert not server.unhandled


def test_the_configuration_is_there_once(server: WandbServer) -> None:
    config = server.runs[0].config
    assert config["data"]["batch_size"] == 2
    assert config["model"]["detr"]["hidden_dim"] == 128
    assert config["training"]["lr"] == 4e-4
    assert "training" not in config["model"]
    assert not [key for key in config if "." in key]
    made_with = config["environment"]
    assert made_with["versions"]["torch"] == version("torch")
    assert made_with["seed"] == 1
    assert made_with["device"]
    assert "fit --config" in made_with["command"]


def test_model_and_data_are_described(server: WandbServer, folder: Path) -> None:
    config = server.runs[0].config
    module = TableDETRModule.load_from_checkpoint(folder / "runs/tables/001/checkpoints/best.ckpt")
    assert config["model/total_params"] == sum(p.numel() for p in module.parameters())
    assert config["model/trainable_params"] == sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert config["model/total_params_m"] == pytest.approx(config["model/total_params"] / 1e6, abs=1e-3)
    assert (config["data/train_size"], config["data/val_size"]) == (16, 6)
    assert config["data/datasets"] == ["synthetic"]
    assert sum(config["data/train_classes"].values()) == config["data/train_tables"]
    assert server.runs[0].summary["data/train_box_area"]["_type"] == "histogram"


def test_the_architecture_is_an_artifact(server: WandbServer, folder: Path) -> None:
    (artifact,) = [artifact for artifact in server.artifacts if artifact.type == "model_architecture"]
    assert (artifact.collection, artifact.state) == ("tables_architecture", "COMMITTED")
    (text,) = artifact.files.values()
    assert text == (folder / "runs/tables/001/architecture.txt").read_bytes()
    assert b"DeformableDetr" in text
    assert artifact.metadata["model/total_params"] == server.runs[0].config["model/total_params"]
    assert not list(folder.glob("*.txt"))


def test_the_best_weights_are_an_artifact_that_loads(server: WandbServer, tmp_path: Path) -> None:
    (artifact,) = [artifact for artifact in server.artifacts if artifact.type == "model"]
    assert artifact.collection == "tables_weights"
    assert {"best", "latest"} <= set(artifact.aliases)
    assert artifact.metadata["val/f1"] == server.runs[0].summary["best/f1"]
    (content,) = artifact.files.values()
    (tmp_path / "best.ckpt").write_bytes(content)
    TableDETRModule.load_from_checkpoint(tmp_path / "best.ckpt")
    kept = torch.load(tmp_path / "best.ckpt", weights_only=True)
    about = {"epoch", "global_step", "pytorch-lightning_version", "hparams_name"}
    assert kept.keys() <= {"state_dict", "hyper_parameters", "network"} | about


def test_predictions_are_an_artifact_in_coco_s_format(server: WandbServer) -> None:
    (artifact,) = [artifact for artifact in server.artifacts if artifact.type == "predictions"]
    truth = json.loads(artifact.files["truth.json"])
    assert len(truth["images"]) == 6
    assert all(
        result.keys() >= {"image_id", "bbox", "score"} for result in json.loads(artifact.files["last.json"])
    )


def test_f1_is_logged_once_an_epoch_over_epochs(server: WandbServer) -> None:
    rows = [row for row in server.runs[0].history if "val/f1" in row]
    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    defined = b"".join(request for request in server.received if b"file_stream" not in request[:200])
    assert re.search(rb"val/\*", defined)


def test_pages_with_boxes_curves_and_tables_are_shown(server: WandbServer) -> None:
    run = server.runs[0]
    shown: dict[str, Any] = {}
    for row in run.history:
        shown |= {key: value for key, value in row.items() if key.startswith("evaluation/")}
    pictures = shown["evaluation/best/pages"]
    assert pictures["_type"] == "images/separated"
    assert pictures["count"] == 4
    assert len(pictures["captions"]) == 4
    assert all("highest scores" in caption for caption in pictures["captions"])
    assert all({"truth", "finds"} <= boxes.keys() for boxes in pictures["all_boxes"])
    for name in pictures["filenames"]:
        assert run.files[name][:3] == b"\xff\xd8\xff"  # a JPEG
    truths = [json.loads(run.files[boxes["truth"]["path"]]) for boxes in pictures["all_boxes"]]
    positions = [box["position"] for page in truths for box in page["box_data"]]
    assert positions
    assert all(0 <= side <= 1.01 for position in positions for side in position.values())
    table = shown["evaluation/errors"]
    assert table["_type"] == "table-file"
    rows = json.loads(run.files[table["path"]])["data"]
    assert {"missed", "split", "merged", "loose", "false on an empty page"} <= {row[0] for row in rows}
    assert json.loads(run.files[shown["evaluation/slices"]["path"]])["data"]


def test_an_alarm_is_an_alert(server: WandbServer) -> None:
    ((title, text),) = server.runs[0].alerts
    assert "every query says no-object" in title
    assert "Epoch 3" in text


def test_gradients_are_histograms_every_100_steps(tmp_path: Path) -> None:
    with WandbServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED],
            env=server.environment(tmp_path),
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0
    rows = [row for row in server.runs[0].history if "gradients/weight" in row]
    assert len(rows) == 2
    assert rows[0]["gradients/weight"]["_type"] == "histogram"


def test_a_training_that_goes_on_is_the_same_run(server: WandbServer, folder: Path) -> None:
    run = folder / "runs/tables/001"
    artifacts = len([artifact for artifact in server.artifacts if artifact.type == "model_architecture"])
    fit(server, folder, run / "config.yaml", "--ckpt_path", run / "checkpoints/last.ckpt",
        f"--trainer.max_epochs={EPOCHS + 1}")  # fmt: skip
    (only,) = server.runs
    rows = [row for row in only.history if "val/f1" in row]
    assert [row["epoch"] for row in rows] == list(range(EPOCHS + 1))
    assert [row["_step"] for row in only.history] == sorted({row["_step"] for row in only.history})
    assert len([a for a in server.artifacts if a.type == "model_architecture"]) == artifacts
