"""Run folders and the choice of loggers."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from wandb_operations import Run
from wandb_server import WandbServer, run_wandb

from tablesense.errors import UserError
from tablesense.loggers import LoggingConfig, _wandb, build_loggers, logged_in, new_run_folder


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_runs_are_numbered_on(tmp_path: Path) -> None:
    config = LoggingConfig(dir=tmp_path, name="a")
    assert [new_run_folder(config).name for _ in range(3)] == ["001", "002", "003"]
    (tmp_path / "a" / "017").mkdir()
    (tmp_path / "a" / "notes").mkdir()
    assert new_run_folder(config).name == "018"


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path) -> None:
    config = LoggingConfig(dir=tmp_path, name="a")
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: new_run_folder(config), range(64)))
    assert len(set(folders)) == 64


def test_the_other_processes_of_a_run_make_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    new_run_folder(LoggingConfig(dir=tmp_path, name="a"))
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"logging\.dir: the folder .* cannot be made"):
        new_run_folder(LoggingConfig(dir=tmp_path / "file"))


@pytest.mark.parametrize(
    ("mode", "environment", "offline"),
    [
        ("auto", {}, True),
        ("auto", {"WANDB_API_KEY": "k" * 40}, False),
        ("auto", {"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, True),
        ("auto", {"WANDB_MODE": "disabled"}, None),
        ("offline", {"WANDB_API_KEY": "k" * 40}, True),
        ("off", {"WANDB_API_KEY": "k" * 40}, None),
        (False, {"WANDB_API_KEY": "k" * 40}, None),
    ],
)
def test_weights_and_biases_is_used_as_asked_and_csv_always(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str | bool,
    environment: dict[str, str],
    offline: bool | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Opening a run needs a server, which is not this test's matter.
    monkeypatch.setattr("tablesense.loggers._online", lambda *given: _wandb(*given, "online"))
    folder = tmp_path / "a" / "001"
    csv, *rest = build_loggers(LoggingConfig(wandb=mode), folder)  # type: ignore[arg-type]
    assert isinstance(csv, CSVLogger)
    assert Path(csv.log_dir) == folder
    assert [logger._offline for logger in rest if isinstance(logger, WandbLogger)] == (
        [] if offline is None else [offline]
    )


def test_online_without_a_login_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no login: run `wandb login`"):
        build_loggers(LoggingConfig(wandb="online"), tmp_path / "a" / "001")


def test_a_login_in_the_netrc_file_counts(tmp_path: Path) -> None:
    assert not logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    (tmp_path / "netrc").chmod(0o600)
    assert logged_in()


def test_a_key_that_is_refused_means_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "not a key")
    (tmp_path / "a" / "001").mkdir(parents=True)
    _, wandb = build_loggers(LoggingConfig(wandb="online"), tmp_path / "a" / "001")
    assert isinstance(wandb, WandbLogger)
    assert wandb._offline
    assert "going on offline" in caplog.text


# What a real client tells a server of ours.

LOG = """
import sys
from pathlib import Path

from tablesense.loggers import LoggingConfig, build_loggers
from tablesense.trial import Trial

folder, mode, first, last, *run_id = sys.argv[1:]
Path(folder).mkdir(parents=True)
config = LoggingConfig(wandb=mode)
_, logger = build_loggers(config, Path(folder), Trial.from_environment(), *run_id)
for step in range(int(first), int(last)):
    logger.log_metrics({"val/f1": step / 10}, step=step)
print(logger.experiment.id, Path(logger.experiment.dir).parent)
"""


def log(
    server: WandbServer, cwd: Path, *arguments: object, **more: str
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Log some rows in a process of its own; what it says of the run, and how it ended."""
    done = subprocess.run(
        [sys.executable, "-c", LOG, *map(str, arguments)],
        cwd=cwd,
        env=server.environment(cwd) | more,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done


def sync(server: WandbServer, cwd: Path, *folders: object) -> None:
    done = run_wandb("sync", *folders, environment=server.environment(cwd), cwd=cwd)
    assert done.returncode == 0, done.stderr


def rows(run: Run) -> list[tuple[int, float]]:
    return [(row["_step"], row["val/f1"]) for row in run.history]


def test_a_server_that_is_away_from_the_start_means_offline(tmp_path: Path) -> None:
    with WandbServer() as server:
        server.trouble = "away"
        (_, folder), done = log(server, tmp_path, "runs/a/001", "online", 0, 4, WANDB_INIT_TIMEOUT="1")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Weights & Biases cannot be told, going on offline: ")
        server.trouble = None
        sync(server, tmp_path, folder)
        (run,) = server.runs
        assert rows(run) == [(0, 0), (1, 0.1), (2, 0.2), (3, 0.3)]
        assert (run.state, run.display_name) == ("finished", "a-001")


def test_a_run_of_a_sweep_can_be_sent_later_too(tmp_path: Path) -> None:
    sweep = {"method": "random", "parameters": {"training.lr": {"value": 0.1}}, "program": "train.py"}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    (tmp_path / "values.yaml").write_text("wandb_version: 1\ntraining.lr:\n  value: 0.1\n")
    with WandbServer() as server:
        run_wandb("sweep", "sweep.yaml", environment=server.environment(tmp_path), cwd=tmp_path)
        server.trouble = "500"
        agents = {"SWEEP_ID": server.sweeps[0].name, "RUN_ID": "abc", "SWEEP_PARAM_PATH": "values.yaml"}
        told = {f"WANDB_{name}": value for name, value in agents.items()}
        (_, folder), _ = log(server, tmp_path, "runs/a/x", "auto", 0, 2, WANDB_INIT_TIMEOUT="1", **told)
        server.trouble = None
        sync(server, tmp_path, folder)
        (run,) = server.runs
        assert (run.name, run.sweep, run.display_name) == ("abc", server.sweeps[0], "sweep_abc")
        assert run.config == {"training.lr": 0.1}
        assert rows(run) == [(0, 0), (1, 0.1)]


def test_a_run_goes_on_in_another_process(tmp_path: Path) -> None:
    with WandbServer() as server:
        (run_id, _), _ = log(server, tmp_path, "runs/a/001", "online", 0, 3)
        log(server, tmp_path, "runs/a/002", "online", 3, 5, run_id)
        (run,) = server.runs
        assert rows(run) == [(0, 0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
        assert (run.name, run.display_name, run.state) == (run_id, "a-001", "finished")
        assert not server.unhandled


def test_a_run_that_was_not_sent_yet_goes_on_offline(tmp_path: Path) -> None:
    with WandbServer() as server:
        (run_id, first), _ = log(server, tmp_path, "runs/a/001", "offline", 0, 3)
        (_, second), done = log(server, tmp_path, "runs/a/002", "online", 3, 5, run_id)
        assert "going on offline: Run " in done.stderr
        assert not server.runs
        sync(server, tmp_path, second, first)  # wandb sends what began first first
        (run,) = server.runs
        assert rows(run) == [(0, 0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
        assert (run.name, run.display_name) == (run_id, "a-001")


def test_what_is_set_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**config: bool) -> Any:
        logger = _wandb(LoggingConfig(**config), Path("a/001"), "a", None, "online")
        return logger._wandb_init["settings"]

    assert settings().keys() >= {"host", "console", "init_timeout"}
    assert settings(machine=True).keys() == {"init_timeout", "finish_timeout", "x_file_stream_retry_max"}
    monkeypatch.setenv("WANDB_CONSOLE", "wrap")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "90")
    assert not settings().keys() & {"console", "init_timeout"}


def test_nothing_private_is_told_or_kept(tmp_path: Path) -> None:
    home, host, key = tmp_path / "home_of_jane", "janes-laptop", "abcdef0123" * 4
    work = home / "work"
    work.mkdir(parents=True)
    for words in ["init", "-q"], ["remote", "add", "origin", "https://jane:pass_of_jane@example.org/a.git"]:
        subprocess.run(["git", *words], cwd=work, check=True)
    # Another name for the machine, where that may be given.
    renamed = ["unshare", "--map-root-user", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]
    if subprocess.run([*renamed, "true"], capture_output=True, check=False).returncode:
        renamed = []
    recipe = Path(__file__).parents[1] / "configs" / "detr.yaml"
    options = {
        "data.image_size": 64,
        "data.batch_size": 2,
        "data.num_workers": 0,
        "data.synthetic.pages": 8,
        "data.synthetic.val_pages": 4,
        "model.detr.hidden_dim": 32,
        "trainer.limit_train_batches": 2,
        "trainer.max_epochs": 1,
        "trainer.accelerator": "cpu",
        "trainer.precision": "32-true",
    }
    with WandbServer() as server:
        environment = {k: v for k, v in server.environment(work).items() if not k.startswith("WANDB_")}
        environment |= dict.fromkeys(("USER", "LOGNAME"), "jane") | {"HOME": str(home), "HOSTNAME": host}
        environment |= {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": key, "OMP_NUM_THREADS": "1"}
        environment |= {"WANDB_X_STATS_SAMPLING_INTERVAL": "0.5"}
        command = [
            *renamed,
            str(Path(sys.executable).with_name("tablesense")),
            "fit",
            "--config",
            str(recipe),
        ]
        command += [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        (run,) = server.runs
        assert "requirements.txt" in run.files
        assert any(b"system.cpu" in request for request in server.received)
        assert any(artifact.type == "model" for artifact in server.artifacts)
        kept = [path.read_bytes() for path in work.rglob("*") if path.is_file() and ".git" not in path.parts]
        assert len(kept) > 10
        for private in key, home.name, host, "pass_of_jane", sys.executable:
            assert not [text[:300] for text in (*server.received, *kept) if private.encode() in text]
