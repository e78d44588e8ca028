"""What a report says and draws, piece by piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from written_run import make_run

from tablesense.errors import UserError
from tablesense.experiment.charts import plot
from tablesense.experiment.gallery import embed, fixed_pages
from tablesense.experiment.recorded import read_runs
from tablesense.experiment.report import write_report
from tablesense.experiment.summary import differences, duration


def test_steps_stand_between_the_epochs(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,13,4.0")  # the next epoch has begun, and its row is not complete
    (run,) = read_runs([folder])
    assert list(run.series["train/loss"]) == [0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    assert list(run.series["val/f1"]) == [1, 2, 3]
    assert run.epochs == 4


def test_names_are_as_long_as_it_takes_to_tell_runs_apart(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / place / "detr" / "001") for place in ("here", "there")]
    assert [run.name for run in read_runs(folders)] == ["here/detr/001", "there/detr/001"]
    assert [run.name for run in read_runs(folders[:1])] == ["detr/001"]


def test_a_logarithmic_axis_has_round_values() -> None:
    def ticks(*values: float) -> Any:
        axis = plot([{"x": [1, 2], "y": values}], yaxis={"type": "log"})["layout"]["yaxis"]
        return axis.get("tickvals", axis["type"])

    assert ticks(0.02, 3) == [0.03, 0.1, 0.3, 1, 3]
    assert ticks(1, 10_000) == [1, 10, 100, 1000, 10_000]
    assert ticks(0.6, 1.2) == "linear"
    assert ticks(0, 0) == "linear"


def test_differences_are_told_key_by_key() -> None:
    first = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    second = {"a": {"b": 1, "c": [1, 3]}, "d": False, "e": 5}
    assert differences([first, second]) == [
        ("a.c", ["[1, 2]", "[1, 3]"]),
        ("d", ["null", "false"]),
        ("e", ["-", "5"]),
    ]


def test_times_are_in_words() -> None:
    assert [duration(t) for t in (42, 1320, 7500)] == ["42 s", "22 min", "2 h 5 min"]


def test_pictures_that_do_not_fit_are_left_out_the_last_first(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for path in paths:
        Image.effect_noise((300, 300), 90).save(path)
    assert list(embed(paths, 10**6)) == paths
    smallest = len(embed(paths, 10**6)[paths[0]])
    some = embed(paths, smallest)
    assert list(some) == paths[: len(some)]
    assert sum(map(len, some.values())) <= smallest
    assert embed(paths, 10) == {}


def test_pages_of_one_name_are_shown_each(tmp_path: Path) -> None:
    """Two of one source, which differ in nothing that is known, and one of another."""
    folders = [make_run(tmp_path / "runs" / "detr" / f"00{i}") for i in (1, 2)]
    for folder in folders:
        truth = json.loads((folder / "evaluation" / "truth.json").read_text())
        truth["images"][1] |= {"fixed": True, "source": "mine"}
        for i, source in (2, "mine"), (3, "another"):
            truth["images"].append(truth["images"][1] | {"id": i, "source": source})
        (folder / "evaluation" / "truth.json").write_text(json.dumps(truth))
    for runs in folders[:1], folders:
        rows = fixed_pages(read_runs(runs))
        assert [row[0].name for row in rows] == ["page.jpg", "empty.jpg", "empty.jpg", "empty.jpg"]
        assert all([shown.run for shown in row] == [f"detr/{run.name}" for run in runs] for row in rows)


def test_the_last_of_several_validations_of_an_epoch_is_not_the_best(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    path = folder / "evaluation" / "info.json"
    info = json.loads(path.read_text())
    for metrics in info["best"]["metrics"], {"val/f1": 0.4}:
        path.write_text(json.dumps(info | {"last": info["best"] | {"metrics": metrics}}))
        (run,) = read_runs([folder])
        assert run.found
        assert (run.found.last is None) == (metrics == info["best"]["metrics"])


@pytest.mark.parametrize("file", ["config.yaml", "run.json", "data.json", "evaluation/truth.json"])
@pytest.mark.parametrize("content", [b"[1", b"[1]", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    folder = make_run(tmp_path / "run")
    (folder / file).write_bytes(content)
    with pytest.raises(UserError) as error:
        write_report([folder], tmp_path / "page.html")
    assert Path(file).name in str(error.value)
    assert "\n" not in str(error.value)
