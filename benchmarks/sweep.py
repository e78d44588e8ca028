"""What an agent adds to each training over `tablesense fit` by itself: W&B's, and that of a local sweep.

W&B's is to be compared with "online", `tablesense fit` that tells the same server of its run; "plain" keeps
it for `wandb sync`, as trials of a local sweep do.

    python benchmarks/sweep.py

A round is the same small training four times: as a command, offline and online, as the one run of
`wandb agent` against the tests' server, and as a trial of `tablesense sweep --local`. A training's time is
that of its process, from its start to its end: what W&B's agent waits between two runs, up to the 5 s of its
heartbeat, is not in it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from wandb_server import WandbServer, run_wandb

ROOT, ROUNDS = Path(__file__).parents[1], 5
FIT = [
    *("tablesense", "fit", "--config", str(ROOT / "configs" / "detr.yaml"), "--data.image_size=128"),
    *(
        "--data.batch_size=2",
        "--data.num_workers=0",
        "--data.synthetic.pages=16",
        "--data.synthetic.val_pages=4",
    ),
    *("--trainer.limit_train_batches=8", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"),
    "--trainer.precision=32-true",  # bfloat16 is slow on many processors, and says nothing here
]
VALUES = {"training.lr": 0.0005}
# The process notes when it began and when it ended, whoever starts it.
TIMED = """
import subprocess, sys, time
begun = time.time()
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "a") as file:
    file.write(f"{begun} {time.time()}\\n")
sys.exit(code)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timed.py").write_text(TIMED)
        plain(folder)  # sets the pages, and warms the disk's cache
        (folder / "plain").unlink()
        for _ in range(ROUNDS):
            plain(folder)
            online(folder)
            agent(folder)
            local(folder)
        print(f"{ROUNDS} rounds, {os.cpu_count()} cores: medians, and what each adds to the command")
        print("(in the same round: median, least to most)")
        first = lasted(folder / "plain")
        for way in "plain", "online", "agent", "local":
            times = lasted(folder / way)
            more = [b - a for a, b in zip(first, times, strict=True)]
            spread = f"{statistics.median(more):+5.2f} s ({min(more):+.2f} to {max(more):+.2f})"
            print(f"{way:6} {statistics.median(times):6.2f} s  {spread if way != 'plain' else ''}")


def lasted(file: Path) -> list[float]:
    """The seconds of each training that a file tells of."""
    spans = [tuple(map(float, line.split())) for line in file.read_text().splitlines()]
    return [end - begun for begun, end in spans]


def environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "XDG_CACHE_HOME": str(folder), "NETRC": str(folder / "none")}


def timed(folder: Path, way: str) -> list[str]:
    return [sys.executable, str(folder / "timed.py"), str(folder / way), *FIT]


def plain(folder: Path) -> None:
    command = [*timed(folder, "plain"), *(f"--{key}={value}" for key, value in VALUES.items())]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, stdout=subprocess.DEVNULL)


def online(folder: Path) -> None:
    command = [*timed(folder, "online"), *(f"--{key}={value}" for key, value in VALUES.items())]
    with WandbServer([]) as server:
        settings = server.environment(folder) | {"XDG_CACHE_HOME": str(folder)}
        subprocess.run(command, cwd=folder, env=settings, check=True, stdout=subprocess.DEVNULL)
        assert server.runs[0].state == "finished"


def sweep(folder: Path, way: str) -> Path:
    path = folder / f"{way}-{time.time_ns()}.yaml"
    content: dict[str, Any] = {"name": path.stem, "method": "random"}
    content["metric"] = {"name": "val/f1", "goal": "maximize"}
    content["parameters"] = {key: {"value": value} for key, value in VALUES.items()}
    content["command"] = [*timed(folder, way), "${args}"]
    path.write_text(yaml.safe_dump(content))
    return path


def agent(folder: Path) -> None:
    with WandbServer([VALUES]) as server:
        settings = server.environment(folder) | {"XDG_CACHE_HOME": str(folder)}
        run_wandb("sweep", str(sweep(folder, "agent")), environment=settings, cwd=folder)
        command = [sys.executable, "-m", "wandb", "agent", "--count", "1", server.sweeps[0].path]
        subprocess.run(
            command,
            cwd=folder,
            env=settings,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert server.runs[0].state == "finished"


def local(folder: Path) -> None:
    command = [*FIT[:1], "sweep", str(sweep(folder, "local")), "--local", "--count", "1"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
