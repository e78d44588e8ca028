"""A sweep on this machine: the engine with a program that is done in a moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from small_sweep import stored, sweep
from sqlalchemy.exc import SQLAlchemyError

from tablesense.errors import UserError
from tablesense.sweep import best
from tablesense.sweep.hyperband import Hyperband, Stop
from tablesense.sweep.local import LocalSweep


def test_trials_run_in_folders_of_their_own_and_the_best_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = LocalSweep(
        sweep(tmp_path, {"x": {"values": [0.2, 0.8, 0.4]}}, method="grid"), 20, tmp_path / "runs"
    )
    local.run()
    local.finish()
    trials = local.study.get_trials()
    assert sorted(trial.user_attrs["values"]["x"] for trial in trials) == [0.2, 0.4, 0.8]
    assert all(len(trial.intermediate_values) == 4 for trial in trials)
    kept = yaml.safe_load((tmp_path / "runs" / "best.yaml").read_text())
    assert kept == {"x": 0.8}
    for trial in trials:
        folder = tmp_path / "runs" / f"trial-{trial.number:03d}"
        assert yaml.safe_load((folder / "parameters.yaml").read_text()) == trial.user_attrs["values"]
        assert (folder / "log.txt").exists()
    out = capsys.readouterr().out
    assert out.count("epoch 4/4") == 3
    assert "3 of 3 trials" in out
    assert "best val/f1 0.800" in out
    page = (tmp_path / "runs" / "sweep.html").read_text()
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page


def test_a_sweep_that_goes_on_says_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = sweep(tmp_path, {"x": {"values": [0.2, 0.8, 0.4]}}, method="grid")
    LocalSweep(points, 2, tmp_path / "runs").run()
    assert "going on" not in capsys.readouterr().out
    LocalSweep(points, 3, tmp_path / "runs").run()
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "going on with small: 2 of 3 trials · 0 stopped early · 0 failed · best val/f1 0.800"
    )


def test_in_a_log_a_trial_is_one_line_and_a_lost_one_has_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a_rather_long_name_{i}" for i in range(9)]
    many = sweep(tmp_path, {"x": {"value": 0.5}} | {name: {"value": 1.0} for name in names})
    local = LocalSweep(many, 1, tmp_path / "runs")
    local._lose(local.study.ask(), {"x": 0.5} | dict.fromkeys(names, 1.0))
    local.run()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row.split("│")[1:-1]] for row in rows]
    assert [row[:2] for row in cells] == [["0", "lost"], ["1", "done"]]
    assert names[-1] in cells[1][-1]
    assert cells[0][5] == ""
    assert cells[1][5].startswith("0:00:0")


def test_no_trial_begins_once_one_has_reached_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = sweep(tmp_path, {"x": {"values": [0.2, 0.8, 0.4]}}, method="grid", target=0.7)
    local = LocalSweep(points, 20, tmp_path / "runs")
    local.run()
    local.finish()
    states = [trial.state.name for trial in local.study.get_trials()]
    assert states == ["COMPLETE", "COMPLETE", "WAITING"]
    assert "val/f1 has reached the target of 0.7" in capsys.readouterr().out


def test_a_trial_that_is_behind_at_a_band_is_stopped(tmp_path: Path) -> None:
    parameters = {"x": {"values": [0.8, 0.7, 0.2]}, "pause": {"value": 0.6}}
    local = LocalSweep(
        sweep(tmp_path, parameters, stopping=Hyperband(min_iter=2, eta=2)), 3, tmp_path / "runs"
    )
    for x in 0.8, 0.7, 0.2:
        local.study.enqueue_trial({"x": x})
    local.run()
    *good, bad = local.study.get_trials()
    assert [trial.state.name for trial in (*good, bad)] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert all(len(trial.intermediate_values) == 4 for trial in good)
    assert 2 <= len(bad.intermediate_values) < 4
    assert "0.100, below 0.350 at the band of 2 epochs" in bad.user_attrs["stopped"]
    assert (tmp_path / "runs" / "trial-002" / "log.txt").read_text() == "stopped tidily\n"


def test_a_failing_trial_is_recorded_and_the_sweep_goes_on(tmp_path: Path) -> None:
    parameters = {"x": {"value": 0.5}, "fails": {"values": [True, False]}}
    local = LocalSweep(sweep(tmp_path, parameters, method="grid"), 2, tmp_path / "runs")
    local.run()
    states = {t.user_attrs["values"]["fails"]: t for t in local.study.get_trials()}
    assert states[True].state.name == "FAIL"
    assert states[True].user_attrs["failed"] == [
        "out of luck",
        "it ended with status 3, and logged no val/f1",
    ]
    assert states[False].state.name == "COMPLETE"


def test_three_failures_at_once_end_the_sweep_with_the_reason(tmp_path: Path) -> None:
    parameters = {"x": {"value": 0.5}, "fails": {"value": True}}
    local = LocalSweep(sweep(tmp_path, parameters), 9, tmp_path / "runs")
    with pytest.raises(UserError, match=r"3 trials failed in the first minute.*out of luck"):
        local.run()
    assert len(local.study.get_trials()) == 3


def test_five_failures_however_slow_end_a_sweep_without_a_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tablesense.sweep.local.EARLY", 0.0)
    parameters = {"x": {"value": 0.5}, "fails": {"value": True}}
    local = LocalSweep(sweep(tmp_path, parameters), 9, tmp_path / "runs")
    with pytest.raises(UserError, match=r"the first 5 trials failed.*out of luck"):
        local.run()
    assert len(local.study.get_trials()) == 5


def test_a_command_that_cannot_be_started_ends_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = sweep(tmp_path, {"x": {"value": 0.5}}, command=("/no/such/program", "fit", "${args}"))
    local = LocalSweep(small, 9, tmp_path / "runs")
    with pytest.raises(UserError, match=r"3 trials failed.*/no/such/program: No such file"):
        local.run()
    assert not local.finish()
    assert "log.txt" not in capsys.readouterr().out


def test_jobs_run_side_by_side(tmp_path: Path) -> None:
    parameters = {"x": {"min": 0.1, "max": 0.9}, "pause": {"value": 0.4}}
    local = LocalSweep(sweep(tmp_path, parameters), 4, tmp_path / "runs", jobs=2)
    begun = time.monotonic()
    local.run()
    trials = local.study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert time.monotonic() - begun < 4 * 4 * 0.4
    first, second = trials[:2]
    assert second.datetime_start < first.datetime_complete  # type: ignore[operator]


def engine(tmp_path: Path, count: int) -> subprocess.Popen[str]:
    """The engine in a process that can be killed."""
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); from pathlib import Path;"
        "from small_sweep import sweep; from tablesense.sweep.local import LocalSweep;"
        "from tablesense.sweep import storage; storage.GRACE = 12;"
        f"t = Path({str(tmp_path)!r});"
        "s = sweep(t, {'x': {'min': 0.1, 'max': 0.9}, 'pause': {'value': 0.5}});"
        f"LocalSweep(s, {count}, t / 'runs').run()"
    )
    return subprocess.Popen([sys.executable, "-c", script], start_new_session=True, text=True)


def finished(tmp_path: Path) -> dict[int, float]:
    if not (tmp_path / "runs" / "sweep.db").exists():
        return {}
    try:
        study = stored(tmp_path)
    except (KeyError, SQLAlchemyError):  # it is being made
        return {}
    return {t.number: t.value for t in study.get_trials() if t.state.name == "COMPLETE" and t.value}


def test_a_sweep_that_is_killed_goes_on_without_losing_or_repeating_a_trial(tmp_path: Path) -> None:
    first = engine(tmp_path, 4)
    deadline = time.monotonic() + 60
    while len(before := finished(tmp_path)) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1.0)  # into the next trial
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = finished(tmp_path)
    second = engine(tmp_path, 4)
    assert second.wait(timeout=120) == 0
    study = stored(tmp_path)
    done = [trial for trial in study.get_trials() if trial.state.name == "COMPLETE"]
    assert len(done) == 4
    assert {number: value for number, value in finished(tmp_path).items() if number in before} == before
    lost = [trial for trial in study.get_trials() if trial.state.name == "FAIL"]
    assert len(lost) == 1
    again = [trial for trial in done if trial.params["x"] == lost[0].params["x"]]
    assert len(again) == 1
    assert len({trial.params["x"] for trial in done}) == 4


def test_an_interrupted_trial_is_run_again_with_its_values(tmp_path: Path) -> None:
    first = engine(tmp_path, 2)
    log = tmp_path / "runs" / "trial-000" / "metrics.csv"
    deadline = time.monotonic() + 60
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.send_signal(signal.SIGINT)
    first.wait(timeout=60)
    assert (tmp_path / "runs" / "trial-000" / "log.txt").read_text() == "stopped tidily\n"
    assert engine(tmp_path, 2).wait(timeout=120) == 0
    lost, *done = stored(tmp_path).get_trials()
    assert lost.state.name == "FAIL"
    assert [trial.state.name for trial in done] == ["COMPLETE", "COMPLETE"]
    assert lost.user_attrs["values"] in [trial.user_attrs["values"] for trial in done]


def test_trials_that_have_ended_or_fell_behind_are_kept_when_the_sweep_is_stopped(tmp_path: Path) -> None:
    parameters = {"x": {"value": 0.5}, "pause": {"values": [0.0, 0.6]}}
    local = LocalSweep(sweep(tmp_path, parameters, method="grid"), 2, tmp_path / "runs", jobs=2)
    assert local._start()
    assert local._start()
    ended, behind = local.running
    ended.process._process.wait()
    deadline = time.monotonic() + 60
    while not behind.history:
        assert time.monotonic() < deadline
        local._look(behind)
        time.sleep(0.1)
    local._stop(behind, Stop(1, 0.1, 0.2))
    local._put_back()
    states = [(trial.state.name, trial.user_attrs["values"]["pause"]) for trial in local.study.get_trials()]
    assert states == [("COMPLETE", 0.0), ("PRUNED", 0.6)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds without a sign of life are enough."""
    for name, seconds in {"BEAT": 1, "GRACE": 2}.items():
        for module in "storage", "local":
            monkeypatch.setattr(f"tablesense.sweep.{module}.{name}", seconds)


@pytest.mark.usefixtures("impatient")
def test_a_trial_that_was_cut_off_before_its_first_sign_of_life_is_run_again(tmp_path: Path) -> None:
    small = sweep(tmp_path, {"x": {"values": [0.2, 0.4]}}, method="grid")
    LocalSweep(small, 2, tmp_path / "runs").study.ask()  # and killed
    local = LocalSweep(small, 2, tmp_path / "runs")
    deadline = time.monotonic() + 60
    while local._goes_on():
        assert time.monotonic() < deadline
        for running in list(local.running):
            local._look(running)
        time.sleep(0.1)
    trials = local.study.get_trials()
    assert [trial.state.name for trial in trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [trial.user_attrs["point"] for trial in trials] == [0, 1, 0]


@pytest.mark.usefixtures("impatient")
def test_a_grids_point_survives_any_number_of_kills(tmp_path: Path) -> None:
    small = sweep(tmp_path, {"x": {"value": 0.5}}, method="grid")
    for _ in range(4):
        local = LocalSweep(small, 1, tmp_path / "runs")
        local._beat(local.study.ask())
        time.sleep(3.1)
        local._keep_alive()
    local.run()
    states = [trial.state.name for trial in local.study.get_trials()]
    assert states == [*["FAIL"] * 4, "COMPLETE"]


def test_a_grids_points_are_run_once_whatever_stands_in_the_queue(tmp_path: Path) -> None:
    parameters = {"x": {"values": [0.2, 0.4]}}
    small = sweep(tmp_path, parameters, method="grid")
    local = LocalSweep(small, 2, tmp_path / "runs")
    # As when two machines fill the queue at once.
    local.study.enqueue_trial({"x": 0.2}, user_attrs={"values": {"x": 0.2}, "point": 0})
    first = local.study.ask()
    local.study.tell(first, state=optuna.trial.TrialState.FAIL)  # as by a machine that is lost at once
    again = LocalSweep(small, 2, tmp_path / "runs")
    again.study.enqueue_trial({"x": 0.2}, user_attrs={"values": {"x": 0.2}, "point": 0})
    again.run()
    done = [t.user_attrs["point"] for t in again.study.get_trials() if t.state.name == "COMPLETE"]
    assert sorted(done) == [0, 1]
    assert again._start()  # the spare one is dropped
    assert not again.running
    assert not again._start()  # and nothing is made up where the queue is empty


def test_a_trial_is_back_in_the_queue_before_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalSweep(sweep(tmp_path, {"x": {"value": 0.5}}, method="grid"), 1, tmp_path / "runs")
    trial = local.study.ask()
    tell = local.study.tell

    def told(*args: Any, **names: Any) -> Any:
        assert [t.state.name for t in local.study.get_trials()] == ["RUNNING", "WAITING"]
        return tell(*args, **names)

    monkeypatch.setattr(local.study, "tell", told)
    local._lose(trial, {"x": 0.5})
    assert [t.state.name for t in local.study.get_trials()] == ["FAIL", "WAITING"]


def test_a_grid_is_run_in_its_order_and_goes_on_where_it_was(tmp_path: Path) -> None:
    parameters = {
        "x": {"distribution": "q_uniform", "min": 1.0, "max": 10.0, "q": 4.0},
        "sizes": {"values": [[1, 2], [3]]},
        "epochs": {"value": 1},
    }
    small = sweep(tmp_path, parameters, method="grid")
    LocalSweep(small, 2, tmp_path / "runs").run()
    LocalSweep(small, 99, tmp_path / "runs").run()
    values = [trial.user_attrs["values"] for trial in stored(tmp_path).get_trials()]
    points = [(x, sizes) for x in (1.0, 5.0, 9.0) for sizes in ([1, 2], [3])]
    assert [(value["x"], value["sizes"]) for value in values] == points


def test_what_an_earlier_sweep_left_is_not_taken_for_a_result(tmp_path: Path) -> None:
    left = tmp_path / "runs" / "trial-000"
    left.mkdir(parents=True)
    (left / "metrics.csv").write_text("epoch,val/f1\n0,0.99\n")
    local = LocalSweep(sweep(tmp_path, {"x": {"value": 0.5}}), 1, tmp_path / "runs")
    local.run()
    (trial,) = local.study.get_trials()
    assert trial.value == 0.5
    assert Path(trial.user_attrs["folder"]).name == "trial-000-2"


def test_a_trial_that_another_machine_took_over_is_let_go(tmp_path: Path) -> None:
    parameters = {"x": {"value": 0.5}, "pause": {"value": 0.2}}
    local = LocalSweep(sweep(tmp_path, parameters), 1, tmp_path / "runs")
    assert local._start()
    local.study.tell(0, state=optuna.trial.TrialState.FAIL)  # as the other machine does, after a silence
    deadline = time.monotonic() + 60
    while local.running:
        assert time.monotonic() < deadline
        local._look(local.running[0])
        time.sleep(0.1)
    local.run()
    assert [trial.state.name for trial in local.study.get_trials()] == ["FAIL", "COMPLETE"]


def test_another_sweep_under_the_same_name_is_refused(tmp_path: Path) -> None:
    LocalSweep(sweep(tmp_path, {"x": {"value": 0.5}}), 1, tmp_path / "runs")
    with pytest.raises(UserError, match="holds a sweep named small that differs in parameters:"):
        LocalSweep(sweep(tmp_path, {"x": {"value": 0.6}}), 1, tmp_path / "runs")


def test_another_command_under_the_same_name_is_refused(tmp_path: Path) -> None:
    small = sweep(tmp_path, {"x": {"value": 0.5}})
    study = LocalSweep(small, 1, tmp_path / "runs").study
    content = small.file.content
    content["command"] = [*content["command"], "--epochs=3"]
    with pytest.raises(UserError, match="differs in command"):
        LocalSweep(small, 1, tmp_path / "runs")
    # A study of before the command was kept goes on.
    kept = study.user_attrs["sweep"]
    study.set_user_attr("sweep", {key: kept[key] for key in kept if key != "command"})
    LocalSweep(small, 1, tmp_path / "runs")


def test_a_storage_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    for storage in (str(tmp_path / "nowhere" / "deep" / "sweep.db"), "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(UserError, match="--storage"):
            LocalSweep(sweep(tmp_path, {"x": {"value": 0.5}}), 1, tmp_path / "runs", storage)


def test_the_best_holds_the_commands_own_flags(tmp_path: Path) -> None:
    small = sweep(
        tmp_path,
        {"training.lr": {"value": 0.001}},
        command=(
            *("${env}", "tablesense", "fit", "--config", "a.yaml"),
            *("--trainer.max_epochs=3", "--data.path", "my pages", "${args}"),
        ),
        config={"trainer.max_epochs": 3, "data.path": Path("my pages")},
    )
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    trial.set_user_attr("values", {"training.lr": 0.001})
    study.tell(trial, 0.7)
    command = best.write_best(small, study.best_trial, tmp_path / "best.yaml")
    assert command == f"tablesense fit --config=a.yaml --config={tmp_path / 'best.yaml'}"
    written = (tmp_path / "best.yaml").read_text()
    assert json.loads(json.dumps(yaml.safe_load(written))) == {
        "trainer": {"max_epochs": 3},
        "data": {"path": "my pages"},
        "training": {"lr": 0.001},
    }


@pytest.mark.parametrize(("maximize", "wanted"), [(True, (0, 0.6)), (False, (1, 0.05))])
def test_of_trials_that_were_stopped_the_best_epoch_counts(maximize: bool, wanted: tuple[int, float]) -> None:
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for values in (0.1, 0.6, 0.2), (0.05, 0.3, 0.25):
        trial = study.ask()
        for epoch, value in enumerate(values, 1):
            trial.report(value, epoch)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    found = best.best_trial(study, maximize)
    assert found is not None
    assert (found.number, best.best_value(found, maximize)) == wanted
