"""Sweeps under Weights & Biases: its own commands, a server of ours, and real trainings."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from wandb_server import WandbServer, run_agents, run_wandb

from tablesense.errors import UserError
from tablesense.trial import Trial

ROOT = Path(__file__).parents[2]
BAYES: dict[str, Any] = yaml.safe_load((ROOT / "sweeps" / "detr_bayes.yaml").read_text())
TINY = [
    "--data.image_size=96",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--data.synthetic.pages=16",
    "--data.synthetic.val_pages=4",
    "--trainer.limit_train_batches=4",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
]
FIRST = {
    "training.lr": 0.0002,
    "training.weight_decay": 3.7e-05,
    "training.warmup_epochs": 3,
    "training.gradient_accumulation_steps": 4,
    "model.detr.hidden_dim": 128,
    "model.detr.num_encoder_layers": 4,
    "model.detr.num_decoder_layers": 4,
    "model.detr.dropout": 0.2,
    "model.loss.lambda_cls": 1.25,
    "model.loss.lambda_l1": 6.5,
    "model.loss.lambda_iou": 3.0,
}
SECOND = FIRST | {"training.lr": 1e-05, "model.detr.num_decoder_layers": 6, "model.loss.lambda_l1": 2.0}


def tiny(folder: Path, *flags: str) -> Path:
    """The bayes sweep with flags that make its trainings small; nothing else of it is changed."""
    sweep = copy.deepcopy(BAYES)
    command = [str(ROOT / word) if word.startswith("configs/") else word for word in sweep["command"]]
    sweep["command"] = [*command[:-1], *TINY, *flags, command[-1]]
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False))
    return path


def environment(server: WandbServer, folder: Path) -> dict[str, str]:
    return server.environment(folder) | {"XDG_CACHE_HOME": str(folder), "OMP_NUM_THREADS": "1"}


def value(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def flat(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, entry in config.items():
        names += flat(entry, f"{prefix}{key}.") if isinstance(entry, dict) and entry else [f"{prefix}{key}"]
    return names


def sweep_and_agents(server: WandbServer, folder: Path, *flags: str, agents: int = 1, runs: int = 1) -> str:
    path = tiny(folder, *flags)
    run_wandb("sweep", str(path), environment=environment(server, folder), cwd=folder)
    return run_agents(
        server.sweeps[0],
        f"--count={runs}",
        environment=environment(server, folder),
        cwd=folder,
        count=agents,
        timeout=240,
    )


def test_the_bayes_sweep_runs_under_two_agents(tmp_path: Path) -> None:
    with WandbServer([FIRST, SECOND]) as server:
        sweep_and_agents(server, tmp_path, "--trainer.max_epochs=2", agents=2)
    assert not server.unhandled
    (sweep,) = server.sweeps
    assert sweep.config == yaml.safe_load((tmp_path / "sweep.yaml").read_text())
    assert {**sweep.config, "command": None} == {**BAYES, "command": None}
    assert sweep.project == "tablesense2"
    assert len(server.agents) == len(server.runs) == 2
    for run, wanted in zip(server.runs, [FIRST, SECOND], strict=True):
        assert run.parameters == wanted
        assert run.state == "finished"
        assert run.display_name == f"sweep_{run.name}"
        # Each dotted key once, under the name that the sweep gives it.
        assert {key: run.config[key] for key in wanted} == wanted
        names = flat(run.config)
        assert len(names) == len(set(names))
        assert run.config["model"]["detr"]["arch"] == "deformable_detr"
        # Once an epoch, and never in between: it is Hyperband's clock.
        assert len([row for row in run.history if "val/f1" in row]) == 2
        folder = tmp_path / "runs" / "detr" / f"sweep_{run.name}"
        saved = yaml.safe_load((folder / "config.yaml").read_text())
        assert {key: value(saved, key) for key in wanted} == wanted
        kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
        trained = {"training": kept["training"], "model": {"detr": kept["detr"], "loss": kept["loss"]}}
        assert {key: value(trained, key) for key in wanted} == wanted


@pytest.mark.parametrize("way", ["heartbeat", "stream"])
def test_a_run_that_is_stopped_early_ends_tidily(tmp_path: Path, way: Any) -> None:
    with WandbServer([FIRST], stop={0: 2}, stop_by=way) as server:
        printed = sweep_and_agents(server, tmp_path, "--trainer.max_epochs=200")
    (run,) = server.runs
    assert (run.state, run.exit_code) == ("killed", 255), printed
    epochs = [row for row in run.history if "val/f1" in row]
    assert 2 <= len(epochs) < 200
    folder = tmp_path / "runs" / "detr" / f"sweep_{run.name}"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] >= 1
    assert "Traceback" not in printed
    assert "to go on: tablesense fit" in printed


def test_a_run_that_fails_does_not_end_the_sweep(tmp_path: Path) -> None:
    with WandbServer([FIRST | {"model.detr.hidden_dim": 100}, FIRST]) as server:
        printed = sweep_and_agents(server, tmp_path, "--trainer.max_epochs=1", runs=2)
    assert "model.detr.hidden_dim: expected a multiple of 32" in printed
    assert [run.state for run in server.runs] == ["crashed", "finished"]


def test_only_the_first_process_has_the_run(tmp_path: Path) -> None:
    with WandbServer([FIRST]) as server:
        flags = "--trainer.max_epochs=1", "--trainer.devices=2", "--trainer.strategy=ddp"
        printed = sweep_and_agents(server, tmp_path, *flags)
    (run,) = server.runs
    assert run.state == "finished", printed
    assert len([row for row in run.history if "val/f1" in row]) == 1
    assert [path.name for path in (tmp_path / "runs" / "detr").iterdir()] == [f"sweep_{run.name}"]


def test_the_projects_own_command_creates_a_sweep_and_runs_an_agent(tmp_path: Path) -> None:
    with WandbServer([FIRST]) as server:
        path = tiny(tmp_path, "--trainer.max_epochs=7")
        done = subprocess.run(
            [*(sys.executable, "-m", "tablesense", "sweep", path), "--agent", "--count", "1"],
            env=environment(server, tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (sweep,) = server.sweeps
        assert f"Sweep ID: {sweep.name}\n" in done.stdout
        assert f"Start agent with: wandb agent --count 1 {sweep.path}\n" in done.stdout
        assert sweep.config == yaml.safe_load(path.read_text())
        assert [run.state for run in server.runs] == ["finished"]


def agent(monkeypatch: pytest.MonkeyPatch, folder: Path, values: Mapping[str, Any]) -> None:
    path = folder / "config-abc.yaml"
    path.write_text(yaml.safe_dump({"wandb_version": 1, **{k: {"value": v} for k, v in values.items()}}))
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "abc")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(path))


def test_values_that_did_not_arrive_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent(monkeypatch, tmp_path, {"training.lr": 0.001, "model.detr.hidden_dim": 128})
    trial = Trial.from_environment()
    assert trial == Trial({"training.lr": 0.001, "model.detr.hidden_dim": 128}, run_id="abc")
    trial.check({"training.lr": 0.001, "model.detr.hidden_dim": 128})
    with pytest.raises(UserError, match=r"hidden_dim is no key of it; training\.lr=0\.001 became 0\.0005"):
        trial.check({"training.lr": 0.0005})


def test_a_training_that_no_agent_started_is_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "TABLESENSE_TRIAL":
        monkeypatch.delenv(name, raising=False)
    assert Trial.from_environment() is None
    monkeypatch.setenv("WANDB_RUN_ID", "mine")  # a person's own choice of an id
    assert Trial.from_environment() is None
