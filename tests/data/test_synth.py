from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tablesense.data import synth
from tablesense.data.reading import read_pages
from tablesense.data.synth import run
from tablesense.data.typesetting import set_page
from tablesense.errors import UserError


def truth(folder: Path) -> Any:
    return json.loads((folder / "annotations.json").read_text(encoding="utf-8"))


def test_what_is_written_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    assert run([str(out), "--pages", "10", "--val-share", "0.2", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    splits = read_pages(out).splits
    pages = {split: list(table) for split, table in splits.items() if len(table)}
    assert {split: len(of) for split, of in pages.items()} == {"train": 8, "val": 2}
    tables = [sum(len(page.boxes) for page in pages[split]) for split in ("train", "val")]
    assert f"train: 8 pages with {tables[0]} tables" in said
    assert f"val: 2 pages with {tables[1]} tables" in said
    assert f"tablesense data preview {out} -o page.html" in said
    assert f"--data.path={out}" in said


def test_hard_pages_with_tables_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(k for k in range(99) if "table rotated" in set_page(f"{k}/train/0", "hard", 0).labels)
    options = ["--pages", "4", "--difficulty", "hard", "--without-tables", "0", "--val-share", "0"]
    assert run([str(tmp_path / "pages"), "--seed", str(seed), *options]) == 0
    content = truth(tmp_path / "pages")
    assert content["info"]["difficulty"] == "hard"
    assert {a["image_id"] for a in content["annotations"]} == {1, 2, 3, 4}
    turned = sum(a["category_id"] == 2 for a in content["annotations"])
    assert turned
    said = capsys.readouterr().out
    assert f"4 pages with {len(content['annotations'])} tables, {turned} of them rotated; 0 pages" in said


def test_pages_without_tables(tmp_path: Path) -> None:
    run([str(tmp_path / "pages"), "--pages", "3", "--without-tables", "1", "--val-share", "0"])
    assert truth(tmp_path / "pages")["annotations"] == []


def test_the_same_command_again_sets_nothing(tmp_path: Path) -> None:
    command = [str(tmp_path / "pages"), "--pages", "2", "--val-share", "0.5"]
    run(command)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert run(command) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(UserError, match=r"expected 2 .* pages .* found 1 standard pages"):
        run([str(tmp_path / "pages"), "--pages", "3", "--val-share", "0.1"])


@pytest.mark.parametrize("share", ["0", "0.5"])
def test_other_files_are_left_alone(tmp_path: Path, share: str) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"years of work")
    with pytest.raises(UserError, match="name another"):
        run([str(tmp_path), "--pages", "2", "--val-share", share])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.pdf"]


def test_other_annotations_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text('{"images": []}')
    with pytest.raises(UserError, match=r"found an annotations\.json of other pages"):
        run([str(tmp_path), "--pages", "2", "--val-share", "0"])
    assert (tmp_path / "annotations.json").read_text() == '{"images": []}'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pages", "0"], "expected a whole number from 1, found 0"),
        (["--pages", "5", "--val-share", "2"], "expected a number from 0 to 1, found 2"),
        (["--pages", "5", "--without-tables", "some"], "expected a number from 0 to 1, found some"),
        (["--pages", "5", "--difficulty", "easy"], "invalid choice: 'easy'"),
        (["--pages", "1"], "expected pages to train on as well as to validate on"),
        ([], "required: --pages"),
    ],
)
def test_a_wrong_option_is_said_in_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        run([str(tmp_path / "pages"), *options])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any, **options: Any) -> Path:
        assert options["resume"]
        raise KeyboardInterrupt

    monkeypatch.setattr(synth, "synthesize", interrupted)
    assert run([str(tmp_path / "pages"), "--pages", "5"]) == 130
    assert "the same command goes on" in capsys.readouterr().out
