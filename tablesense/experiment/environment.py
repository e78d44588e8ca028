"""What a run was made with: the command, the code, the packages, the machine. Nothing private."""

from __future__ import annotations

import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

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

_SECRET = re.compile("key|token|secret|passw|credential", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


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


def private(value: Any) -> Any:
    """Leave out of a configuration what is nobody else's business.

    The home folder becomes `~`, the machine's name `HOST`; the values of the environment's secrets (those
    with "key", "token", "secret", ... in their name) and the logins of URLs become `***`.

    Args:
        value: Text, or lists and dicts of it; other values are returned as they are.
    """
    if isinstance(value, Mapping):
        return {key: private(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [private(entry) for entry in value]
    if not isinstance(value, (str, Path)):
        return value
    text = _LOGIN.sub("***@", str(value))
    for name, secret in os.environ.items():
        if _SECRET.search(name) and len(secret) >= 8:
            text = text.replace(secret, "***")
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?=/|$|\W)", "~", text)
    host = socket.gethostname()
    if len(host) > 3 and host != "localhost":
        text = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "HOST", text)
    return text


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
