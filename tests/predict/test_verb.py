"""The command."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from tablesense.errors import UserError
from tablesense.predict import verb
from tablesense.predict.verb import run

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, network: Any) -> Any:
    monkeypatch.setattr(verb, "load_network", lambda *_: network)
    return network


def test_without_a_folder_the_finds_are_printed(
    write_pdf: Write, write_image: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    pdf, image = write_pdf("a.pdf", None, (60, 100, 120, 80)), write_image("b.png")
    assert run(["best.ckpt", str(pdf), str(image)]) == 0
    printed = capsys.readouterr()
    head, *lines = printed.out.splitlines()
    assert head.split() == ["score", "x0", "y0", "x1", "y1", "class", "page"]
    assert [line.split()[0] for line in lines] == ["0.80", "0.80"]
    assert lines[0].endswith(f"pt  table       {pdf}, page 2")
    assert lines[1].endswith(f"px  table       {image}")
    assert printed.err == "2 tables on 3 pages of 2 documents\n"


def test_csv_is_printed_where_it_is_asked_for(write_image: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["best.ckpt", str(write_image("b.png")), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["class"] == "table"


def test_a_file_that_cannot_be_read_is_said_at_the_end_and_the_rest_is_done(
    tmp_path: Path, write_image: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_text("no PDF")
    write_image("in/b.png")
    assert run(["best.ckpt", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.json"]
    assert capsys.readouterr().err == (
        f"1 table on 1 page of 2 documents; 1 could not be read:\n  {tmp_path}/in/a.pdf: broken PDF\n"
    )


def test_what_is_there_is_skipped(tmp_path: Path, write_image: Write, opened: Any) -> None:
    files = [str(write_image(f"in/{name}.png")) for name in "ab"]
    out = tmp_path / "out"
    assert run(["best.ckpt", files[0], "--out", str(out)]) == 0
    before = (out / "a.json").stat().st_mtime_ns
    opened.batches.clear()
    options = ["--out", str(out), "--skip-existing", "--format", "jsonl"]
    assert run(["best.ckpt", *files, *options]) == 0
    assert opened.batches == [1]
    assert (out / "a.json").stat().st_mtime_ns == before
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 2


def test_nothing_of_others_is_replaced_and_that_is_said_before_the_model_is_loaded(
    tmp_path: Path, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(verb, "load_network")
    folder = write_image("in/a.png").parent
    (folder / "a.json").write_text('{"shapes": []}')
    with pytest.raises(UserError, match=r"a\.json is not of tablesense predict"):
        run(["best.ckpt", str(folder), "--out", str(folder), "--format", "csv"])
    assert (folder / "a.json").read_text() == '{"shapes": []}'


def test_what_can_no_longer_be_read_is_not_among_all_finds(tmp_path: Path, write_image: Write) -> None:
    files, out = [write_image(f"in/{name}.png") for name in "ab"], tmp_path / "out"
    command = ["best.ckpt", *map(str, files), "--out", str(out), "--format", "csv"]
    assert run(command) == 0
    files[0].write_text("no image")
    assert run(command) == 1
    rows = csv.DictReader((out / "predictions.csv").open())
    assert [row["file"] for row in rows] == [str(files[1])]


def test_finds_of_other_classes_are_not_among_those_of_this_model(
    tmp_path: Path, write_image: Write, opened: Any
) -> None:
    command = ["best.ckpt", str(write_image("a.png")), "--out", str(tmp_path / "out"), "--format", "coco"]
    assert run(command) == 0
    opened.class_names = ("grid",)
    assert run([*command, "--skip-existing"]) == 0
    content = json.loads((tmp_path / "out" / "predictions.coco.json").read_text())
    assert [each["name"] for each in content["categories"]] == ["grid"]


def test_names_of_files_need_not_be_utf8(
    tmp_path: Path, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "caf\udce9.png"
    try:
        file = str(write_image("a.png").rename(tmp_path / name))
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    stdout = Pipe()
    monkeypatch.setattr("sys.stdout", stdout)
    assert run(["best.ckpt", file]) == 0
    assert os.fsencode(file) in stdout.content.getvalue()
    for kind in ("csv", "voc"):
        assert run(["best.ckpt", file, "--out", str(tmp_path / "out"), "--format", kind]) == 0
    assert os.fsencode(file) in (tmp_path / "out" / "predictions.csv").read_bytes()


def test_the_home_folder_is_found(
    tmp_path: Path, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image("a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(["best.ckpt", "~/a.png", "--out=~/found"]) == 0
    assert (tmp_path / "found" / "a.json").exists()


def test_an_interruption_keeps_what_is_finished(
    tmp_path: Path, write_image: Write, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(write_image(f"in/{i}.png")) for i in range(4)]

    def interrupted(*batch: Any) -> Any:
        if opened.batches:
            raise KeyboardInterrupt
        return opened(*batch)

    interrupted.image_size, interrupted.class_names, interrupted.threshold = 96, ("table",), 0.5  # type: ignore[attr-defined]
    monkeypatch.setattr(verb, "load_network", lambda *_: interrupted)
    assert run(["best.ckpt", *files, "--out", str(tmp_path / "out"), "--batch-size", "2"]) == 130
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[0] == "0.json"
    assert not (tmp_path / "out" / "3.json").exists()


def test_the_threshold_is_the_persons_or_the_networks(tmp_path: Path, write_image: Write) -> None:
    file, out = str(write_image("a.png")), tmp_path / "out"
    assert run(["best.ckpt", file, "--out", str(out)]) == 0
    assert json.loads((out / "a.json").read_text())["threshold"] == 0.5
    assert run(["best.ckpt", file, "--out", str(out), "--threshold", "0.9"]) == 0
    content = json.loads((out / "a.json").read_text())
    assert content["threshold"] == 0.9
    assert content["pages"][0]["tables"] == []


class Pipe(io.TextIOWrapper):
    def __init__(self, content: bytes = b"") -> None:
        self.content = io.BytesIO(content)
        super().__init__(self.content, encoding="utf-8")


def test_from_pipe_to_pipe(
    write_pdf: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = write_pdf("a.pdf", None, (60, 100, 120, 80)).read_bytes()
    monkeypatch.setattr("sys.stdin", Pipe(content))
    assert run(["best.ckpt", "-", "--out", "-"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    document = json.loads(line)
    assert (document["file"], document["model"], document["failures"]) == ("stdin", "best.ckpt", [])
    assert [(page["page"], len(page["tables"])) for page in document["pages"]] == [(1, 0), (2, 1)]
    assert printed.err == "1 table on 2 pages of 1 document\n"


def test_documents_on_stdout_are_lines(
    tmp_path: Path, write_image: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(write_image(f"{name}.png", size=(100, 200))) for name in "ab"]
    (tmp_path / "c.png").write_text("no image")
    assert run(["best.ckpt", *files, str(tmp_path / "c.png"), "--out", "-"]) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["file"] for line in printed.out.splitlines()] == files
    assert printed.err.endswith(f"1 could not be read:\n  {tmp_path}/c.png: unreadable image\n")


def test_what_is_wrong_with_stdin_is_said_by_its_name(
    write_image: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(write_image("a.png").read_bytes()[:20]))
    assert run(["best.ckpt", "-"]) == 1
    assert capsys.readouterr().err.endswith("1 could not be read:\n  stdin: unreadable image\n")


def test_coco_on_stdout(write_image: Write, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(write_image(f"{name}.png", box)) for name, box in (("a", (1, 2, 30, 40)), ("b", None))]
    assert run(["best.ckpt", *files, "--out", "-", "--format", "coco"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [image["file_name"] for image in content["images"]] == files
    assert [annotation["image_id"] for annotation in content["annotations"]] == [1]


def test_voc_on_stdout_is_one_page(
    write_pdf: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(write_pdf("a.pdf", (60, 100, 120, 80)).read_bytes()))
    assert run(["best.ckpt", "-", "--out", "-", "--format", "voc", "--dpi", "144"]) == 0
    root = fromstring(capsys.readouterr().out)
    assert (root.findtext("filename"), root.findtext("size/width")) == ("stdin", "600")
    corners = [float(root.findtext(f"object/bndbox/{side}") or -1) for side in ("xmin", "ymin", "xmax")]
    assert corners == pytest.approx([120, 440, 360], abs=3)
    two = str(write_pdf("b.pdf", None, None))
    with pytest.raises(UserError, match=r"--format voc is a file of one page, and there are several: "):
        run(["best.ckpt", two, "--out", "-", "--format", "voc"])
    assert capsys.readouterr().out == ""


def test_a_picture_from_stdin_is_kept_with_its_xml(
    tmp_path: Path, write_image: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(write_image("a.png").read_bytes()))
    assert run(["best.ckpt", "-", "--out", str(tmp_path / "out"), "--format", "voc"]) == 0
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    pages = "predictions.voc/stdin.pages"
    assert files == [
        "predictions.voc", pages, f"{pages}/stdin_page0001.png", f"{pages}/stdin_page0001.xml", "stdin.json"
    ]  # fmt: skip


def test_tiles_are_asked_for_and_said(tmp_path: Path, write_image: Write, opened: Any) -> None:
    file = str(write_image("a.png"))
    assert run(["best.ckpt", file, "--out", str(tmp_path / "out"), "--tile", "100"]) == 0
    assert json.loads((tmp_path / "out" / "a.json").read_text())["tile"] == 100
    assert opened.batches == [4]  # the page, and three tiles of it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "-", "--crops"], r"--crops can only be done with --out: name a folder"),
        (["--out", "{folder}", "--format", "voc"], r"lies in .*name a folder outside"),
        (["-", "--skip-existing", "--out", "x"], r"--skip-existing cannot tell what comes from stdin"),
        (["--tile", "0"], r"expected a number from 1, found 0"),
        (["--overlay"], r"--overlay can only be done with --out"),
        (["--format", "coco"], r"--format coco can only be done with --out"),
        (["--format", "xml"], r"invalid choice: 'xml'"),
        (["--threshold", "2"], r"expected a number from 0 to 1, found 2"),
        (["--margin", "-1"], r"expected .*number from 0, found -1|expected one argument"),
        (["--margin=nan"], r"expected a number from 0, found nan"),
        (["--batch-size", "0"], r"expected a whole number from 1, found 0"),
        (["--dpi", "x"], r"expected a number from 10 to 1200, found x"),
        (["--out", "{folder}/found", "--crops"], r"found lies in .*name a folder outside"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, write_image: Write, options: list[str], message: str) -> None:
    write_image("a.png")
    options = [option.format(folder=tmp_path) for option in options]
    with pytest.raises(UserError, match=message):
        run(["best.ckpt", str(tmp_path), *options])
