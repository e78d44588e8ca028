"""What logging costs: an epoch with everything off, with the defaults, and with W&B's gradients as well.

    python benchmarks/experiment.py [ROUNDS]

The network, the pages and the batches are those of configs/detr.yaml; an epoch has a quarter of its batches
and of its validation pages, so that what is done once an epoch weighs four times as much as there. A round
is a training of each kind, in turn. An epoch is timed from one line of the report to the next, so that the
start of the process and the first epoch are in no figure; what comes after the last epoch (pictures,
artifacts, report) is timed apart. W&B is off in the first kind, and offline in the others.

Trainings differ by several percent from one to the next, which hides what is smaller. So in the end the time
that is spent in the callback itself is added up, as a share of the epochs' time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT, EPOCHS = Path(__file__).parents[1], 4
FIT = [
    *(sys.executable, "-m", "tablesense", "fit", "--config", str(ROOT / "configs" / "detr.yaml")),
    *("--data.synthetic.pages=300", "--data.synthetic.val_pages=50", "--trainer.limit_train_batches=32"),
    *(f"--trainer.max_epochs={EPOCHS}", "--trainer.enable_progress_bar=false"),
]
PARTS = (
    "hyperparameters",
    "model_summary",
    "dataset_stats",
    "dynamics",
    "evaluation",
    "predictions",
    "weights",
)
COUNTED = """
import sys, time
from tablesense.cli import main
from tablesense.experiment.logger import ExperimentLogger

spent, began = 0.0, []

def counted(hook):
    def run(self, *arguments, **options):
        global spent
        start = time.perf_counter()
        if hook.__name__ == "on_train_epoch_start":
            began.append((start, spent))
        hook(self, *arguments, **options)
        spent += time.perf_counter() - start
    return run

for name, hook in list(vars(ExperimentLogger).items()):
    if name.startswith("on_"):
        setattr(ExperimentLogger, name, counted(hook))
main(sys.argv[1:])
(first, before), (last, after) = began[1], began[-1]
print(f"share {(after - before) / (last - first)} {(after - before) / (len(began) - 2)}")
"""
KINDS = {
    "off": [
        "--logging.wandb=off",
        "--logging.report=false",
        *(f"--logging.log_{part}=false" for part in PARTS),
    ],
    "default": ["--logging.wandb=offline"],
    "gradients": ["--logging.wandb=offline", "--logging.log_gradients=true"],
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    epochs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    ends: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        fit(
            Path(name), ["--trainer.max_epochs=1", *KINDS["off"]]
        )  # sets the pages, and warms the disk's cache
        for number in range(rounds):
            kinds = list(KINDS) if number % 2 == 0 else list(KINDS)[::-1]
            for kind in kinds:
                *between, end = fit(Path(name), KINDS[kind])
                epochs[kind].append(statistics.mean(between))
                ends[kind].append(end)
                print(f"{kind:10} {epochs[kind][-1]:6.2f} s an epoch, {end:5.2f} s at the end", flush=True)
        share, seconds = count(Path(name))
    print(f"{rounds} rounds of {EPOCHS} epochs, {os.cpu_count()} cores: medians; against `off`, by rounds")
    for kind in KINDS:
        ratios = [a / b for a, b in zip(epochs[kind], epochs["off"], strict=True)]
        end = statistics.median(a - b for a, b in zip(ends[kind], ends["off"], strict=True))
        epoch = statistics.median(epochs[kind])
        print(
            f"{kind:10} {epoch:6.2f} s an epoch, x {statistics.median(ratios):.3f}; {end:+5.2f} s at the end"
        )
    print(f"in the callback itself: {1000 * seconds:.0f} ms an epoch, {share:.2%} of its time")


def count(folder: Path) -> tuple[float, float]:
    """What the callback takes of the epochs' time, and its seconds an epoch, the first epoch aside."""
    command = [sys.executable, "-c", COUNTED, *FIT[3:], *KINDS["default"]]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "NETRC": str(folder / "none")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    _, share, seconds = next(line for line in done.stdout.splitlines() if line.startswith("share")).split()
    return float(share), float(seconds)


def fit(folder: Path, options: list[str]) -> list[float]:
    """Train, and return the seconds of each epoch but the first, and those from the last one to the exit."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "NETRC": str(folder / "none")}
    process = subprocess.Popen(
        [*FIT, *options],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    times = [time.perf_counter() for line in process.stdout if line.startswith("epoch ")]
    if process.wait() != 0:
        sys.exit(f"a training ended with {process.returncode}: {' '.join([*FIT, *options])}")
    times.append(time.perf_counter())
    return [b - a for a, b in pairwise(times)]


if __name__ == "__main__":
    main()
