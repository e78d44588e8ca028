"""What is kept of a run tells nothing about its person and machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablesense.experiment.privacy import private


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/jane"))
    monkeypatch.setattr("socket.gethostname", lambda: "janes-desk")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("DB_PASSWORD", "short")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/jane/pages", "~/pages"),
        ("--data.path=/home/jane", "--data.path=~"),
        ("/home/janet/pages", "/home/janet/pages"),
        ("key 0123456789abcdef!", "key ***!"),
        ("run on janes-desk.", "run on HOST."),
        ("janes-desktop", "janes-desktop"),
        ("postgresql://jane:secret@db/sweeps", "postgresql://***@db/sweeps"),
        ("mail jane@example.org", "mail jane@example.org"),
        ("shortly", "shortly"),  # a secret of a few letters would blacken half of the text
    ],
)
def test_texts(text: str, kept: str) -> None:
    assert private(text) == kept


def test_nested_values_keep_their_form() -> None:
    given = {"path": Path("/home/jane/a"), "list": ["/home/jane", 1, None], "lr": 1e-4, "on": True}
    assert private(given) == {"path": "~/a", "list": ["~", 1, None], "lr": 1e-4, "on": True}
