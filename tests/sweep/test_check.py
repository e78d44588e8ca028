"""What is found in a sweep before its first run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tablesense.cli import main
from tablesense.errors import UserError
from tablesense.sweep.check import Finding, check
from tablesense.sweep.file import read
from tablesense.sweep.plan import Sweep

ROOT = Path(__file__).parents[2]
Checked = tuple[Sweep | None, list[Finding]]

GOOD = """\
name: good
method: random
metric: {name: val/f1, goal: maximize}
early_terminate: {type: hyperband, min_iter: 6, eta: 2}
command: ["${env}", tablesense, fit, --config, CONFIG, "${args}"]
parameters:
  training.lr: {distribution: log_uniform_values, min: 1.0e-5, max: 1.0e-3}
  training.warmup_epochs: {values: [3, 5]}
"""


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[str], Checked]:
    def run(text: str) -> Checked:
        path = tmp_path / "sweep.yaml"
        path.write_text(text.replace("CONFIG", str(ROOT / "configs" / "detr.yaml")))
        return check(read(path))

    return run


@pytest.mark.parametrize("name", ["detr_bayes", "quick_random"])
def test_the_sweeps_that_are_shipped_have_no_faults(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sweep, findings = check(read(Path("sweeps") / f"{name}.yaml"))
    assert not findings
    assert sweep is not None
    assert sweep.metric == "val/f1"
    assert sweep.maximize
    assert sweep.stopping is not None
    assert len(sweep.stopping.bands(sweep.max_epochs - 1)) >= 1


def test_the_bayes_sweep_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sweep, _ = check(read(Path("sweeps/detr_bayes.yaml")))
    assert sweep is not None
    content = sweep.file.content
    assert content["name"] == "detr_hyperparam_tuning_v1"
    assert content["method"] == "bayes"
    assert content["command"] == [
        *("${env}", "tablesense", "fit", "--config", "configs/detr.yaml", "${args}"),
    ]
    rate = {"distribution": "log_uniform_values", "min": 1.0e-5, "max": 1.0e-3}
    assert content["parameters"] == {
        "training.lr": rate,
        "training.weight_decay": rate,
        "training.warmup_epochs": {"values": [3, 5]},
        "training.gradient_accumulation_steps": {"values": [4, 8, 16]},
        "model.detr.hidden_dim": {"values": [128, 256]},
        "model.detr.num_encoder_layers": {"values": [4, 6]},
        "model.detr.num_decoder_layers": {"values": [4, 6]},
        "model.detr.dropout": {"values": [0.1, 0.2, 0.3]},
        "model.loss.lambda_cls": {"distribution": "uniform", "min": 0.5, "max": 2.0},
        "model.loss.lambda_l1": {"distribution": "uniform", "min": 2.0, "max": 10.0},
        "model.loss.lambda_iou": {"distribution": "uniform", "min": 1.0, "max": 5.0},
    }
    assert sweep.stopping is not None
    assert len(sweep.stopping.bands(sweep.max_epochs)) >= 2
    batch = sweep.config["data.batch_size"]
    assert [batch * steps for steps in (4, 8, 16)] == [16, 32, 64]


def test_a_command_that_cannot_be_read_hides_no_other_fault(checked: Callable[[str], Checked]) -> None:
    for old, new in ("CONFIG", "/nowhere.yaml"), ("fit, ", ""):
        text = GOOD.replace(old, new).replace("training.lr:", "training.rate:") + "  3: {value: 4}\n"
        _, findings = checked(text)
        assert [finding.line for finding in findings] == [5, 7, 9]


def test_paths_and_lists_are_values_like_any_other(checked: Callable[[str], Checked]) -> None:
    more = "  data.path: {values: [a, b]}\n  model.detr.out_indices: {values: [[2, 3], [3, 4]]}\n"
    _, findings = checked(GOOD + more)
    assert not findings


def test_a_good_sweep_says_what_would_run(checked: Callable[[str], Checked]) -> None:
    sweep, findings = checked(GOOD)
    assert not findings
    assert sweep is not None
    words = sweep.words(sweep.first(1)[0])
    assert words[:3] == ["/usr/bin/env", "tablesense", "fit"]
    assert words[-1] == "--training.warmup_epochs=3"
    assert float(words[-2].removeprefix("--training.lr=")) == pytest.approx(1e-4)


PLANTED = """\
name: faulty
methd: bayes
method: baies
metric: {name: val/f2, goal: maximise}
early_terminate: {type: hyperband, min_iter: 4, eta: 2}
command: ["${env}", tablesense, fit, --config, CONFIG, "${args}"]
parameters:
  training.learning_rate: {min: 1.0e-5, max: 1.0e-3}
  training.lr: {values: [1e-5, 1.0e-4]}
  training.weight_decay: {min: 1.0e-2, max: 1.0e-3}
  training.warmup_epochs: {values: [3, 5]}
  model.detr.num_encoder_layers: {values: [4, six]}
  model.score_threshold: {values: [0.3, 0.5]}
  model.detr.dropout: {values: []}
  model.loss.lambda_l1: {distribution: unifrom, min: 2.0, max: 10.0}
"""


def test_ten_planted_faults_and_more_are_all_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(PLANTED.replace("CONFIG", str(ROOT / "configs" / "detr.yaml")))
    assert main(["sweep", str(path), "--dry-run"]) == 1
    found = capsys.readouterr().err.splitlines()
    expected = {
        2: "unknown key methd: expected method",
        3: "method: expected bayes, found 'baies'",
        4: "metric.goal: expected maximize, found 'maximise'",
        5: "in the warm-up of 5",
        8: "unknown key training.learning_rate",
        9: "'1e-5', which is a text to YAML 1.1: write 1.0e-5",
        10: "expected less than max",
        12: "model.detr.num_encoder_layers: expected int, found six",
        13: "model.score_threshold is a threshold of the evaluation",
        14: "expected at least one, found an empty list",
        15: "did you mean uniform?",
    }
    for line, text in expected.items():
        assert any(entry.startswith(f"{path}:{line}: ") and text in entry for entry in found), (
            line,
            text,
            found,
        )
    assert any(f"{path}:4: metric.name: tablesense fit logs no val/f2" in entry for entry in found)
    assert found[-1] == "tablesense: 12 faults; nothing was started"


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("min_iter: 6", "min_iter: 60", 4, "no run would ever be stopped"),
        ("goal: maximize", "goal: minimize", 3, "expected maximize for val/f1"),
        (", goal: maximize", "", 3, "none, which means minimize"),
        ("[3, 5]", "[3, 6]", 4, "in the warm-up of 6"),
        ('"${args}"', '"${args_no_hyphens}"', 5, "found ${args_no_hyphens}"),
        (', "${args}"', "", 5, "no value reaches a run"),
        ("fit, ", "", 5, "expected tablesense fit in it"),
        ("CONFIG", "/nowhere.yaml", 5, "no file '/nowhere.yaml'"),
        ("[3, 5]", "[3, -5]", 8, "training.warmup_epochs: expected 0 or more"),
        ("[3, 5]", "[3, true]", 8, "training.warmup_epochs"),
        ("CONFIG,", "CONFIG, --training.lr=1e-3,", 7, "stands in the command as well"),
        ("CONFIG,", "CONFIG, --trainer.default_root_dir=here,", 5, "the same for every run"),
        ("method: random", "method: grid", 7, "a grid needs values"),
        ("type: hyperband", "type: asha", 4, "expected hyperband"),
        ("[3, 5]", "[3, five]", 8, "training.warmup_epochs: expected float, found five"),
        ("[3, 5]", "[3, null]", 8, "null cannot be given"),
        ("training.lr: {", "training: {parameters: {}, ", 7, "write training.NAME instead"),
        ("training.lr:", "training:", 7, "unknown key training"),
        ("training.lr:", "model.training.lr:", 7, "did you mean training.lr?"),
        ('["${env}", tablesense, fit, --config, CONFIG, "${args}"]', "tablesense fit", 5, "a list of words"),
        ("CONFIG,", "CONFIG, --trainer.logger=false,", 5, "trainer.logger is False"),
        ("CONFIG,", "CONFIG, --trainer.check_val_every_n_epoch=2,", 5, "once an epoch"),
        ("training.lr:", "training.gradient_accumulation_steps:", 7, "training.gradient_accumulation_steps"),
        ("name: good", "name: good\nrun_cap: 0", 2, "run_cap: expected a whole number from 1"),
        ("name: good", "name: good\nrun_cap: true", 2, "run_cap: expected a whole number from 1"),
        ("CONFIG,", "CONFIG, --trainer.max_epochs=6,", 4, "expected min_iter below 6"),
        ("CONFIG,", "CONFIG, --trainer.limit_val_batches=0,", 5, "trainer.limit_val_batches is 0"),
        ("training.lr: {", "trainer.logger: {value: false} #", 7, "trainer.logger cannot be swept"),
        ("training.lr: {", "logging.wandb: {value: off} #", 7, "logging.wandb cannot be swept"),
        ("training.lr: {", "trainer.max_epochs: {values: [-1, 17]} #", 7, "expected 1 or more, found -1"),
        ("training.lr: {", "data.path: {values: [2024-01-01]} #", 7, "found the date 2024-01-01: put it in"),
        ("name: good", "name: good\nname: good", 2, "name is given twice"),
    ],
)
def test_each_fault_has_its_line(
    checked: Callable[[str], Checked], old: str, new: str, line: int, text: str
) -> None:
    assert old in GOOD
    sweep, findings = checked(GOOD.replace(old, new))
    assert sweep is None
    assert {finding.line for finding in findings} == {line}
    assert text in findings[0].text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "is not a sweep"),
        ("model: {}\n", "found the keys model"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read(path)


def test_options_that_make_no_sense_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for arguments, said in {
        ("nowhere.yaml",): "cannot be read",
        ("--count", "0"): "expected a whole number from 1",
        ("--agent",): "run `wandb login`, or use --local",
        ("--local", "--agent"): "give only one kind",
        ("--cuont", "3"): "unrecognized arguments",
        ("a.yaml", "--config", "b.yaml"): "expected one file",
    }.items():
        assert main(["sweep", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("tablesense: ")
        assert said in error
        assert error.count("\n") == 1


def test_the_dry_run_prints_commands_that_fit_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["sweep", "sweeps/detr_bayes.yaml", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "of 17 epochs, a run that is behind is stopped after 6, 12" in out
    commands = [
        line for line in out.splitlines() if line.startswith("  /usr/bin/env tablesense fit --config ")
    ]
    assert len(commands) == 3
    assert all(command.count("--model.loss.lambda_iou=") == 1 for command in commands)


def test_the_file_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(GOOD)
    file = read(path)
    assert file.content == yaml.safe_load(GOOD)
    assert file.line("parameters", "training.lr", "min") == 7
    assert file.line("parameters", "nowhere") == 6
