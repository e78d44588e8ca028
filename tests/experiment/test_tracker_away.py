"""Trainings whose Weights & Biases server fails: the real client, and a server of ours."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_server import Trouble, WandbServer, run_wandb

RECIPE = Path(__file__).parents[2] / "configs" / "detr.yaml"
EPOCHS = 8
TINY = [
    "--data.image_size=64",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--data.synthetic.pages=8",
    "--data.synthetic.val_pages=4",
    "--model.detr.hidden_dim=32",
    "--model.detr.num_encoder_layers=1",
    "--model.detr.num_decoder_layers=2",
    "--training.warmup_epochs=1",
    "--trainer.limit_train_batches=2",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--logging.report=false",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is made once, the pages."""
    return tmp_path_factory.mktemp("home")


def environment(server: WandbServer, home: Path, folder: Path) -> dict[str, str]:
    return server.environment(folder) | {
        "XDG_CACHE_HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "WANDB_INIT_TIMEOUT": "3",
        "WANDB_FINISH_TIMEOUT": "1",
        "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "1",
    }


def fit(server: WandbServer, home: Path, folder: Path, epochs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tablesense", "fit", "--config", str(RECIPE), *TINY]
    return subprocess.Popen(
        [*command, f"--trainer.max_epochs={epochs}"],
        cwd=folder,
        env=environment(server, home, folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def scores(folder: Path) -> list[float]:
    rows = csv.DictReader((folder / "runs/detr/001/metrics.csv").open())
    return [float(row["val/f1"]) for row in rows if row["val/f1"]]


def at_the_server(server: WandbServer) -> list[float]:
    return [row["val/f1"] for run in server.runs for row in run.history if "val/f1" in row]


def send(server: WandbServer, home: Path, folder: Path, printed: str) -> None:
    """Do as the training said."""
    line = re.search(r"later: wandb (sync .+)", printed)
    assert line, printed
    done = run_wandb(*line[1].split(), environment=environment(server, home, folder), cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("trouble", ["500", "hang", "away"])
def test_a_server_that_fails_in_the_middle(home: Path, tmp_path: Path, trouble: Trouble) -> None:
    with WandbServer() as server:
        training = fit(server, home, tmp_path, EPOCHS)
        try:
            server.wait(lambda: bool(at_the_server(server)), 60)
            server.trouble = trouble
            _, errors = training.communicate(timeout=60)
        finally:
            training.kill()
        assert training.returncode == 0, errors
        assert len(scores(tmp_path)) == EPOCHS
        assert len(at_the_server(server)) < EPOCHS
        assert errors.count("wandb sync") == errors.count("Weights & Biases") == 1
        assert "Traceback" not in errors
        server.trouble = None
        send(server, home, tmp_path, errors)
        assert at_the_server(server) == pytest.approx(scores(tmp_path))
        (run,) = server.runs
        assert (run.state, run.exit_code, run.display_name) == ("finished", 0, "detr-001")
        assert not server.unhandled


def test_a_server_that_hangs_from_the_start(home: Path, tmp_path: Path) -> None:
    with WandbServer() as server:
        server.trouble = "hang"
        training = fit(server, home, tmp_path, 1)
        try:
            printed, errors = training.communicate(timeout=60)
        finally:
            training.kill()
        assert training.returncode == 0, errors
        assert errors.count("going on offline") == errors.count("Weights & Biases") == 1
        assert "Traceback" not in errors
        server.trouble = None
        send(server, home, tmp_path, printed)
        assert at_the_server(server) == pytest.approx(scores(tmp_path))
        (run,) = server.runs
        assert (run.state, run.exit_code, run.display_name) == ("finished", 0, "detr-001")
        sent = {artifact.type for artifact in server.artifacts if artifact.state == "COMMITTED"}
        assert sent >= {"model", "model_architecture", "predictions"}
        assert not server.unhandled
