"""What a run was made with: the command, the code, the packages, the machine. Nothing private."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from tablesense.experiment.privacy import private

PACKAGES = (
    "tablesense",
    "torch",
    "torchvision",
    "lightning",
    "transformers",
    "timm",
    "torchmetrics",
    "pycocotools",
    "numpy",
    "wandb",
)


def describe(trainer: Trainer) -> dict[str, Any]:
    """Describe what a run is made with.

    Returns:
        `command`, `git` (`commit` and whether there are changes; None outside a repository),
        `versions`, `device`, `cpus` and `seed`.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {
        "command": private(shlex.join(words)),
        "git": _git(),
        "versions": {"python": platform.python_version()} | _versions(),
        "device": _device(trainer),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "seed": int(seed) if seed else None,
    }


def _git() -> dict[str, Any] | None:
    """The commit that the working folder is at."""

    def ask(*words: str) -> str:
        command = ["git", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()

    try:
        commit = ask("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    number = trainer.num_nodes * trainer.num_devices
    return f"{number} x {name}" if number > 1 else name


def _processor() -> str:
    try:
        names = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = None
    return names[1] if names else platform.processor() or platform.machine()
