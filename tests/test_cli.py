"""The command, run as a person runs it."""

from __future__ import annotations

import csv
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tablesense import cli
from tablesense.explain import explain, explain_value

RECIPE = Path(__file__).parents[1] / "configs" / "detr.yaml"
TINY = [
    "--data.image_size=96",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--data.synthetic.pages=8",
    "--data.synthetic.val_pages=4",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
]


def tablesense(
    *arguments: object, cwd: Path, home: Path | None = None, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    environment |= {"XDG_CACHE_HOME": str(home or cwd), "OMP_NUM_THREADS": "1", "NETRC": str(cwd / "none")}
    command = [sys.executable, "-m", "tablesense", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: LevelDB's log format, in blocks of 32 KiB, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(record)
            record = b""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def fitted(home: Path) -> subprocess.CompletedProcess[str]:
    """One short training, with overrides, in `home/runs/detr/001`."""
    done = tablesense(
        "fit",
        "--config",
        RECIPE,
        *TINY,
        "--training.lr=3e-4",
        "--model.detr.hidden_dim=64",
        "--model.loss.lambda_cls=1.5",
        "--trainer.max_epochs=1",
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def run(home: Path, fitted: subprocess.CompletedProcess[str]) -> Path:
    return home / "runs" / "detr" / "001"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from tablesense.cli import main; assert main(['--help']) == 0; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'transformers', 'wandb')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "tablesense fit --config configs/detr.yaml" in done.stdout


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_main", interrupt)
    assert cli.main(["predict"]) == 130


def test_version(tmp_path: Path) -> None:
    assert re.fullmatch(r"tablesense \d+\.\d+\.\d+\n", tablesense("--version", cwd=tmp_path).stdout)


def test_a_wrong_verb_is_named_with_the_nearest_right_one(tmp_path: Path) -> None:
    done = tablesense("fitt", cwd=tmp_path)
    assert done.returncode == 2
    expected = (
        "tablesense: expected one of the verbs fit, validate, test, predict, export, sweep, report, data, "
        "found 'fitt'; did you mean fit?\n"
    )
    assert done.stderr == expected


def test_fit_says_what_it_did_and_what_comes_next(fitted: subprocess.CompletedProcess[str]) -> None:
    assert "run folder: runs/detr/001" in fitted.stdout
    assert re.search(r"epoch 1/1  train/loss_epoch [\d.]+  val/loss [\d.]+  val/f1 [\d.]+", fitted.stdout)
    assert re.search(r"best val/f1 [\d.]+: runs/detr/001/checkpoints/best\.ckpt", fitted.stdout)
    assert "next: tablesense test --config runs/detr/001/config.yaml --ckpt_path" in fitted.stdout


def test_other_loggers_come_beside_those_of_the_run(tmp_path: Path, home: Path) -> None:
    options = (
        "--trainer.logger=TensorBoardLogger",
        "--trainer.logger.save_dir=board",
        "--trainer.max_epochs=1",
    )
    done = tablesense("fit", "--config", RECIPE, *TINY, *options, cwd=tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    (config,) = re.findall(r"next: tablesense test --config (\S+)", done.stdout)
    assert (tmp_path / config).is_file()
    assert (tmp_path / config).with_name("metrics.csv").is_file()
    assert list((tmp_path / config).with_name("wandb").glob("offline-run-*"))
    assert list((tmp_path / "board").rglob("events.out.*"))


def test_overrides_are_in_the_saved_configuration(run: Path) -> None:
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["training"]["lr"] == 3e-4
    assert saved["model"]["detr"]["hidden_dim"] == 64
    assert saved["model"]["loss"]["lambda_cls"] == 1.5
    assert saved["trainer"]["max_epochs"] == 1


def test_overrides_are_in_the_configuration_that_weights_and_biases_keeps(run: Path) -> None:
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    config: dict[str, object] = {}
    for record in wandb_records(file):
        updates = [*record.run.config.update, *record.config.update]
        config |= {item.key or "/".join(item.nested_key): yaml.safe_load(item.value_json) for item in updates}
    assert config["training"]["lr"] == 3e-4  # type: ignore[index]
    assert config["model"]["detr"]["hidden_dim"] == 64  # type: ignore[index]
    assert config["model"]["loss"]["lambda_cls"] == 1.5  # type: ignore[index]
    assert "training" not in config["model"]  # type: ignore[operator]  # each value once


def test_metrics_are_in_a_csv(run: Path) -> None:
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert len([row for row in rows if row["val/f1"]]) == 1


def test_the_saved_configuration_trains_again_beside_the_first_run(run: Path, home: Path) -> None:
    done = tablesense("fit", "--config", run / "config.yaml", "--logging.wandb=off", cwd=home)
    assert done.returncode == 0, done.stderr
    second = run.parent / "002"
    first_config, second_config = (
        yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run, second)
    )
    first_config["logging"]["wandb"] = "off"
    assert second_config == first_config
    assert not (second / "wandb").exists()


def test_training_goes_on_from_a_checkpoint(run: Path, home: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    options = ["--trainer.max_epochs=2", "--logging.wandb=off", "--logging.name=resumed"]
    done = tablesense("fit", "--config", run / "config.yaml", "--ckpt_path", last, *options, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stdout
    assert "epoch 1/2" not in done.stdout


def test_a_training_that_is_over_says_what_to_give_to_go_on(run: Path, home: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    done = tablesense("fit", "--config", run / "config.yaml", "--ckpt_path", last, cwd=home)
    assert done.returncode == 2
    assert "has been trained for 1 epochs, and trainer.max_epochs is 1: give more" in done.stderr


def test_a_training_in_a_folder_of_ones_own_goes_on(tmp_path: Path, home: Path) -> None:
    options = ["--trainer.limit_val_batches=0", "--logging.wandb=off", "--logging.report=false"]
    options += [
        "--trainer.limit_train_batches=1",
        "--trainer.max_epochs=1",
        "--trainer.default_root_dir=my run",
    ]
    done = tablesense("fit", "--config", RECIPE, *TINY, *options, cwd=tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("no val/f1 was defined, so there is no best checkpoint\n")
    last = "my run/checkpoints/last.ckpt"
    resume = ["--config", "my run/config.yaml", "--ckpt_path", last, "--trainer.max_epochs=2"]
    done = tablesense("fit", *resume, cwd=tmp_path, home=home)
    assert done.returncode == 0, done.stderr
    assert "run folder: runs/detr/001" in done.stdout


def test_a_new_training_starts_from_the_weights_of_a_checkpoint(run: Path, home: Path) -> None:
    best = run / "checkpoints" / "best.ckpt"
    options = [f"--model.detr.pretrained={best}", "--training.lr=1e-12", "--logging.name=tuned"]
    done = tablesense("fit", "--config", run / "config.yaml", *options, "--logging.wandb=off", cwd=home)
    assert done.returncode == 0, done.stderr
    (before, after) = (
        next(float(row["val/loss"]) for row in csv.DictReader(file.open()) if row["val/loss"])
        for file in (run / "metrics.csv", home / "runs" / "tuned" / "001" / "metrics.csv")
    )
    assert after == pytest.approx(before, rel=1e-3)


def test_a_run_is_never_written_over(run: Path, home: Path) -> None:
    done = tablesense(
        "fit", "--config", RECIPE, *TINY, f"--trainer.default_root_dir={run}", "--logging.wandb=off", cwd=home
    )
    assert done.returncode == 2
    assert "holds a run already" in done.stderr


def test_validate_prints_the_same_metrics_as_the_run(run: Path, home: Path) -> None:
    best = run / "checkpoints" / "best.ckpt"
    options = ["--ckpt_path", best, "--data.class_names=[form]"]
    done = tablesense("validate", "--config", RECIPE, *TINY, *options, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "taken from the checkpoint: data.class_names = ['table']" in done.stdout
    (row,) = (row for row in csv.DictReader((run / "metrics.csv").open()) if row["val/f1"])
    for name in "val/f1", "val/recall", "val/map", "val/loss":
        printed = re.search(rf"{name}\s+│\s+([\d.e-]+)", done.stdout)
        assert printed, done.stdout
        assert float(printed[1]) == pytest.approx(float(row[name]), rel=1e-4)


def test_two_processes_train_one_run(run: Path, home: Path) -> None:
    options = ["--trainer.devices=2", "--trainer.strategy=ddp", "--logging.name=ddp", "--logging.wandb=off"]
    options += [
        "--data.synthetic.val_pages=3",
        "--data.batch_size=1",
    ]  # one scores a batch more
    done = tablesense("fit", "--config", RECIPE, *TINY, *options, "--trainer.max_epochs=2", cwd=home)
    assert done.returncode == 0, done.stderr
    folder = home / "runs" / "ddp"
    assert [path.name for path in folder.iterdir()] == ["001"]
    rows = list(csv.DictReader((folder / "001" / "metrics.csv").open()))
    assert len([row for row in rows if row["val/f1"]]) == 2
    assert done.stdout.count("run folder:") == 1


def test_going_on_with_another_network_is_refused(run: Path, home: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    options = ["--ckpt_path", last, "--model.detr.hidden_dim=128"]
    done = tablesense("fit", "--config", run / "config.yaml", *options, cwd=home)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert "is of another network: model.detr.hidden_dim is 64 there and 128 here" in done.stderr


def test_going_on_in_another_way_is_refused(run: Path, home: Path) -> None:
    options = ["--training.weight_decay=.5", "--training.ema_decay=null", "--model.detr.frozen_stages=1"]
    options += ["--trainer.max_epochs=2", "--ckpt_path", str(run / "checkpoints" / "last.ckpt")]
    done = tablesense("fit", "--config", run / "config.yaml", *options, cwd=home)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    changed = "training.weight_decay and training.ema_decay and model.detr.frozen_stages changed"
    assert f"{changed}: start a new training" in done.stderr


def test_going_on_from_weights_alone_is_refused(run: Path, home: Path, tmp_path: Path) -> None:
    kept = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del kept["optimizer_states"]
    torch.save(kept, tmp_path / "weights.ckpt")
    options = ["--ckpt_path", tmp_path / "weights.ckpt", "--trainer.max_epochs=2"]
    done = tablesense("fit", "--config", run / "config.yaml", *options, cwd=home)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert "has weights alone, which no training goes on from" in done.stderr


def test_nothing_is_scored_that_was_not_trained(tmp_path: Path) -> None:
    done = tablesense("test", "--config", RECIPE, *TINY, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert "expected a trained network, found none: give a run's checkpoint" in done.stderr


def test_a_trainer_that_cannot_be_built_leaves_no_run(tmp_path: Path) -> None:
    options = ["--logging.wandb=off", "--trainer.strategy=dpp"]
    done = tablesense("fit", "--config", RECIPE, *TINY, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "tablesense: trainer: You selected an invalid strategy name: `strategy='dpp'`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs" / "detr").iterdir())


def test_off_is_a_word_that_yaml_takes_for_false(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("logging:\n  wandb: off\n")
    done = tablesense("fit", "--config", RECIPE, "--config=mine.yaml", "--print_config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["logging"]["wandb"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model.detr.hiden_dim=64"],
            "unknown key model.detr.hiden_dim: did you mean model.detr.hidden_dim?",
        ),
        (["--model.detr.hidden_dim=wide"], "model.detr.hidden_dim: expected int, found wide"),
        (["--data.path=nowhere"], "data.path: nowhere does not exist: expected a folder with pages"),
        (["--ckpt_path=none.ckpt"], "ckpt_path: expected a checkpoint of a run"),
        (["--config=none.yaml"], "--config: no file"),
        (["--config=."], "--config: expected a file, found the folder"),
        (["--training.ema_decay=slow"], "training.ema_decay: expected float, null, found slow"),
        (["--model.score_threshold=50"], "model.score_threshold: expected between 0 and 1, found 50"),
    ],
)
def test_a_mistake_gets_one_plain_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = tablesense("fit", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"tablesense: {message}")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_page_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in "a.png", "b.png":
        (tmp_path / "images" / name).write_bytes(b"\x89PNG\r\n\x1a\nnot an image")
    rows = ["filename,xmin,ymin,xmax,ymax,class", "a.png,1,1,9,9,table", "b.png,1,1,9,9,table"]
    (tmp_path / "tables.csv").write_text("\n".join(rows))
    done = tablesense("fit", "--config", RECIPE, *TINY, "--data.path=.", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(r"tablesense: .*[ab]\.png", done.stderr)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Subcommand 'fit' does not accept option 'trainer.max_epoch'", "did you mean trainer.max_epochs?"),
        ("Parser key \"a.b\": Expected a <class 'float'>. Got value: x", "a.b: expected float, found x"),
        (
            "Parser key \"data.augment\": Expected a typing.Literal['none', 'scan']. Got value: y",
            "data.augment: expected one of 'none', 'scan', found y",
        ),
        (
            'Parser key "trainer.precision": Does not validate against any of the Union subtypes Subtypes: '
            "[typing.Literal[64, 32], typing.Literal['16-mixed'], <class 'NoneType'>] Errors: - Expected a "
            "typing.Literal[64, 32] Given value type: <class 'str'> Given value: 17",
            "trainer.precision: expected one of 64, 32, '16-mixed', null, found 17",
        ),
        (
            "unrecognized arguments: configs/detr.yaml",
            "expected options such as --config FILE, found configs/detr.yaml: did you mean --config "
            "configs/detr.yaml?",
        ),
        (
            'Parser key "data.sources": Errors: - Problem with given class_path '
            "'tablesense.data.sources.SourceConfig': Option 'weigth' is not accepted - Expected a "
            "<class 'NoneType'> Given value type: <class 'list'> Given value: [{'path': 'a', 'weigth': 1}]",
            "data.sources: unknown key weigth: did you mean weight?",
        ),
    ],
)
def test_messages_of_the_parser_are_put_plainly(message: str, line: str) -> None:
    assert explain(message, {"trainer.max_epochs", "data.augment"}).endswith(line)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "`val_check_interval` (9) must be less than the batches (4).",
            "trainer.val_check_interval: `val_check_interval` (9) must be less than the batches (4).",
        ),
        (
            "Errors:\n  - Problem with given class_path 'lightning.pytorch.loggers.TensorBoardLogger':\n"
            "      Module not found: 'tensorboard'\n  - Expected a <class 'bool'>",
            "TensorBoardLogger: Module not found: 'tensorboard'",
        ),
        ("some fault of ours", None),
    ],
)
def test_values_that_are_found_wrong_later_are_told_from_other_faults(message: str, line: str | None) -> None:
    assert explain_value(message) == line
