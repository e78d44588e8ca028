"""Run folders and the choice of loggers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

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
    ],
)
def test_weights_and_biases_is_used_as_asked_and_csv_always(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    environment: dict[str, str],
    offline: bool | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # Opening a run needs a server, which is not this test's matter.
    monkeypatch.setattr("tablesense.loggers._online", lambda *given: _wandb(*given, offline=False))
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
