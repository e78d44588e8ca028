"""The tests' Weights & Biases server, with the real client and a script in place of a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import yaml
from wandb_server import WandbServer, end_agent, run_agents, run_wandb, start_agent

SCRIPT = """
import signal, sys, time
import wandb

given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
epochs = int(given["epochs"])
if "deaf" not in given:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
run = wandb.init(name="-".join(given.values()), group="trial", tags=["small"])
run.config["arguments"] = sys.argv[1:]
run.define_metric("val/f1", summary="max")
print("training with", *sys.argv[1:], flush=True)
for epoch in range(epochs):
    run.log({"train/loss": 1 / (epoch + 1)})
    run.log({"val/f1": (0.1, 0.4, 0.3)[min(epoch, 2)], "epoch": epoch})
    if epoch > 2:
        time.sleep(0.5)
if "fail" in given:
    raise ValueError("as asked")
artifact = wandb.Artifact("weights", "model", metadata={"lr": given["model.lr"]})
with artifact.new_file("weights.bin", "wb") as file:
    file.write(bytes(300))
run.log_artifact(artifact, aliases=["best"])
"""
SWEEP = {
    "project": "tables",
    "program": "train.py",
    "method": "bayes",
    "metric": {"name": "val/f1", "goal": "maximize"},
    "parameters": {
        "model.lr": {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0e-3},
        "epochs": {"values": [3, 100]},
        "fail": {"value": "yes"},
    },
    "command": ["${interpreter}", "${program}", "${args}"],
}
LONG: dict[str, object] = {"model.lr": 1e-4, "epochs": 100}
SHORT: list[dict[str, object]] = [{"model.lr": 2e-4, "epochs": 3}, {"model.lr": 3e-4, "epochs": 3}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    return folder


def create_sweep(server: WandbServer, folder: Path) -> None:
    created = run_wandb("sweep", "sweep.yaml", environment=server.environment(folder), cwd=folder)
    assert created.returncode == 0, created.stderr
    assert server.sweeps[0].path in created.stderr


def run_agent(server: WandbServer, folder: Path, count: int = 1) -> str:
    return run_agents(server.sweeps[0], environment=server.environment(folder), cwd=folder, count=count)


@pytest.fixture(scope="module")
def swept(folder: Path) -> Iterator[WandbServer]:
    """A sweep of three runs, of which one does well, after its agent has ended."""
    suggestions: list[dict[str, object]] = [
        {"model.lr": 1e-4, "epochs": 3},
        {"model.lr": 3e-4, "epochs": 1, "fail": "yes"},
        {"model.lr": 1e-3},
    ]
    with WandbServer(suggestions) as server:
        create_sweep(server, folder)
        run_agent(server, folder)
        yield server


def test_a_sweep_is_what_its_file_says(swept: WandbServer) -> None:
    (sweep,) = swept.sweeps
    assert sweep.config == SWEEP
    assert sweep.project == "tables"


def test_an_agent_runs_each_suggestion_once(swept: WandbServer) -> None:
    (sweep,) = swept.sweeps
    (agent,) = swept.agents
    assert [run.parameters for run in swept.runs] == swept.suggestions
    assert sweep.runs == agent.runs == swept.runs
    assert sweep.state == "FINISHED"


def test_values_arrive_as_arguments_and_in_the_configuration(swept: WandbServer) -> None:
    first = swept.runs[0]
    assert first.config == first.parameters | {"arguments": ["--model.lr=0.0001", "--epochs=3"]}


def test_a_run_is_kept_whole(swept: WandbServer) -> None:
    first = swept.runs[0]
    assert (first.state, first.exit_code) == ("finished", 0)
    assert first.project == "tables"
    assert (first.display_name, first.group, first.tags) == ("0.0001-3", "trial", ["small"])
    assert [row["val/f1"] for row in first.history if "val/f1" in row] == [0.1, 0.4, 0.3]
    assert first.summary["val/f1"] == {"max": 0.4}
    assert first.summary["epoch"] == 2
    assert any("training with --model.lr=0.0001 --epochs=3" in line for line in first.output)
    assert "wandb-metadata.json" in first.files


def test_an_artifact_is_kept_whole(swept: WandbServer) -> None:
    (artifact,) = swept.artifacts
    assert (artifact.collection, artifact.type, artifact.state) == ("weights", "model", "COMMITTED")
    assert artifact.run == swept.runs[0].name
    assert artifact.metadata == {"lr": "0.0001"}
    assert "best" in artifact.aliases
    assert artifact.files == {"weights.bin": bytes(300)}


def test_a_run_that_raises_has_failed(swept: WandbServer) -> None:
    second = swept.runs[1]
    assert (second.state, second.exit_code) == ("failed", 1)
    assert any("ValueError: as asked" in line for line in second.output)


def test_a_run_that_ends_before_it_reports_has_crashed(swept: WandbServer) -> None:
    third = swept.runs[2]
    assert (third.state, third.exit_code) == ("crashed", None)


def test_nothing_that_the_client_asked_was_left_out(swept: WandbServer) -> None:
    assert swept.unhandled == []


def test_a_run_is_terminated_by_its_agent_and_reports_it_if_it_can(folder: Path) -> None:
    suggestions: list[dict[str, object]] = [LONG, {**LONG, "deaf": "yes"}, SHORT[0]]
    with WandbServer(suggestions, stop={0: 2, 1: 2}) as server:
        create_sweep(server, folder)
        run_agent(server, folder)
    first, second, third = server.runs
    assert (first.state, first.exit_code) == ("killed", 143)
    assert (second.state, second.exit_code) == ("crashed", None)
    assert (third.state, third.stop_requested) == ("finished", False)
    assert 2 <= len([row for row in first.history if "val/f1" in row]) < 100
    assert not server.unhandled


def test_an_agent_is_ended_with_its_run(folder: Path) -> None:
    with WandbServer([LONG]) as server:
        create_sweep(server, folder)
        agent = start_agent(server.sweeps[0], environment=server.environment(folder), cwd=folder)
        try:
            server.wait(lambda: any(run.history for run in server.runs))
        finally:
            end_agent(agent)
    (run,) = server.runs
    assert (run.state, run.exit_code) == ("failed", 143)


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[tuple[WandbServer, str]]:
    """A sweep of two agents at once, one of them with a run that is stopped, and what they printed."""
    with WandbServer([LONG, *SHORT], stop={0: 2}, stop_by="stream") as server:
        create_sweep(server, folder)
        yield server, run_agent(server, folder, count=2)


def test_a_run_is_interrupted_by_its_own_client(shared: tuple[WandbServer, str]) -> None:
    server, printed = shared
    run = server.runs[0]
    assert "KeyboardInterrupt" in printed
    assert (run.state, run.exit_code) == ("killed", 255)
    assert 2 <= len([row for row in run.history if "val/f1" in row]) < 100


def test_agents_share_the_suggestions(shared: tuple[WandbServer, str]) -> None:
    server, _ = shared
    assert [run.parameters for run in server.runs] == [LONG, *SHORT]
    assert [run.state for run in server.runs[1:]] == ["finished"] * 2
    assert [bool(agent.runs) for agent in server.agents] == [True, True]
    assert not server.unhandled


def test_what_the_server_does_not_know_is_refused_and_noted() -> None:
    with WandbServer() as server:
        for path, body in (
            ("/graphql", b'{"query": "query Nothing { that }"}'),
            ("/files/a/b/c/file_stream", b""),
        ):
            with pytest.raises(HTTPError, match="400"):
                urlopen(server.url + path, body)
    assert server.unhandled[0] == "Nothing"
    assert "JSONDecodeError" in server.unhandled[1]


def test_it_fails_as_asked_and_comes_back() -> None:
    with WandbServer() as server:
        question = b'{"query": "query Viewer { viewer }"}'
        request = Request(server.url + "/graphql", question, {"Authorization": "Basic the-key"})

        def ask() -> bytes:
            return urlopen(request, timeout=0.5).read()

        server.trouble = "500"
        with pytest.raises(HTTPError, match="500"):
            ask()
        server.trouble = "hang"
        with pytest.raises(TimeoutError):
            ask()
        server.trouble = "away"
        with pytest.raises(URLError, match="refused"):
            ask()
        server.trouble = None
        assert b"tester" in ask()
        assert [b"query Viewer" in received for received in server.received] == [True] * 3
        assert not any(b"the-key" in received for received in server.received)
        assert not server.unhandled
