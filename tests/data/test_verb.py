"""`tablesense data` and its words."""

from __future__ import annotations

import pytest

from tablesense.cli import main
from tablesense.data.verb import WORDS


def test_help_names_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == main(["data", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"tablesense data {word}" in text for word in WORDS)


@pytest.mark.parametrize("word", WORDS)
def test_every_word_has_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["data", word, "--help"])
    assert end.value.code == 0
    assert f"usage: tablesense data {word}" in capsys.readouterr().out


def test_a_wrong_word_is_named_with_the_nearest_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "chek"]) == 2
    assert capsys.readouterr().err == (
        "tablesense: data: expected one of check, preview, convert, synth, found 'chek'; "
        "did you mean check?\n"
    )
