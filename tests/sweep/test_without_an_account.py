"""`tablesense sweep` with real trainings, where there is no login."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SWEEP = """\
name: two_rates
method: grid
metric: {{name: val/loss, goal: minimize}}
command:
  - ${{env}}
  - tablesense
  - fit
  - --config={recipe}
  - --data.image_size=96
  - --data.batch_size=2
  - --data.num_workers=0
  - --data.synthetic.pages=16
  - --data.synthetic.val_pages=4
  - --trainer.limit_train_batches=4
  - --trainer.max_epochs=2
  - --trainer.precision=32-true
  - ${{args}}
parameters:
  training.lr: {{values: [1.0e-6, 4.0e-4]}}
"""


def tablesense(folder: Path, *words: object) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"XDG_CACHE_HOME": str(folder), "NETRC": str(folder / "none"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tablesense", *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def losses(folder: Path) -> list[str]:
    with (folder / "metrics.csv").open(newline="") as lines:
        return [row["val/loss"] for row in csv.DictReader(lines) if row["val/loss"]]


def test_the_sweep_is_run_here_and_its_best_trial_can_be_trained_again(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(recipe=ROOT / "configs" / "detr.yaml"))
    printed = tablesense(tmp_path, "sweep", "sweep.yaml")
    assert "there is no login for Weights & Biases, so it is run here" in printed
    assert "grid: 2 points" in printed
    assert "2 of 2 trials" in printed
    folder = tmp_path / "runs" / "two_rates"
    best = yaml.safe_load((folder / "best.yaml").read_text())
    assert best["training"] == {"lr": 0.0004}
    trial = folder / "trial-001"
    saved = yaml.safe_load((trial / "config.yaml").read_text())
    assert saved["training"]["lr"] == 0.0004
    assert (trial / "checkpoints" / "best.ckpt").exists()
    assert (folder / "sweep.html").stat().st_size < 8_000_000
    command = printed.rsplit("next: tablesense ", 1)[1].split()
    tablesense(tmp_path, *command)
    assert losses(tmp_path / "runs" / "detr" / "001") == losses(trial)
