"""How much faster a local sweep is with a trial on each core than with one trial on all of them.

    python benchmarks/jobs.py

A round is the same trials of `configs/detr.yaml`, shortened to an epoch, twice: `tablesense sweep --local`
by itself, and with `--jobs` and a trial for each core. Its time is that of the whole sweep.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT, ROUNDS, JOBS = Path(__file__).parents[1], 2, os.cpu_count() or 1
FIT = [
    *("tablesense", "fit", "--config", str(ROOT / "configs" / "detr.yaml"), "--trainer.max_epochs=1"),
    *("--trainer.limit_train_batches=96", "--trainer.limit_val_batches=4", "${args}"),
]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Warms the disk's cache, and sets the pages where this machine has none yet.
        lasted(folder, "warm", JOBS, steps=8)
        ratios = []
        for turn in range(ROUNDS):
            alone, together = (lasted(folder, f"{turn}-{jobs}", jobs) for jobs in (1, JOBS))
            ratios.append(alone / together)
            seconds = f"{alone:.0f} s one by one, {together:.0f} s side by side"
            print(f"{JOBS} trials: {seconds}, {ratios[-1]:.2f} times faster")
    print(f"median {statistics.median(ratios):.2f} times, {JOBS} cores")


def lasted(folder: Path, name: str, jobs: int, steps: int | None = None) -> float:
    """The seconds of a sweep with a trial for each core, `jobs` at once."""
    content = {
        "name": name,
        "method": "grid",
        "metric": {"name": "val/f1", "goal": "maximize"},
        "parameters": {"training.lr": {"values": [1e-4 * (trial + 1) for trial in range(JOBS)]}},
        "command": [*FIT, f"--trainer.limit_train_batches={steps}"] if steps else FIT,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    script = [str(Path(sys.executable).parent / "tablesense"), "sweep", str(path), "--jobs", str(jobs)]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NETRC": str(folder / "none"),
    }
    begun = time.perf_counter()
    subprocess.run(script, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
