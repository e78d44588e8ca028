"""A sweep of a program that is done in a moment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import yaml

from tablesense.sweep.file import read
from tablesense.sweep.plan import Sweep
from tablesense.sweep.specs import parse

PROGRAM = """
import os, pathlib, signal, sys, time
values = dict(word[2:].split("=") for word in sys.argv[1:] if word.startswith("--"))
folder = pathlib.Path(os.environ["TABLESENSE_TRIAL"])
signal.signal(signal.SIGTERM, lambda *_: (print("stopped tidily"), sys.exit(143)))
with (folder / "metrics.csv").open("w") as file:
    file.write("epoch,val/f1\\n")
for epoch in range(int(values.get("epochs", 4))):
    if values.get("fails") == "True":
        print("out of luck"); sys.exit(3)
    time.sleep(float(values.get("pause", 0)))
    with (folder / "metrics.csv").open("a") as file:
        file.write(f"{epoch},{float(values['x']) * (epoch + 1) / 4}\\n")
"""


def sweep(tmp_path: Path, parameters: dict[str, Any], **changes: Any) -> Sweep:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), "fit", "${args}"]
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "random", "parameters": parameters, "command": command}))
    settings: dict[str, Any] = {
        "file": read(path),
        "name": "small",
        "method": "random",
        "metric": "val/f1",
        "maximize": True,
        "target": None,
        "parameters": {name: parse(spec) for name, spec in parameters.items()},
        "command": tuple(command),
        "program": "",
        "stopping": None,
        "run_cap": None,
        "max_epochs": 4,
        "config": {},
    }
    return Sweep(**settings | changes)


def stored(tmp_path: Path) -> optuna.Study:
    file = tmp_path / "runs" / "sweep.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}", skip_table_creation=True)
    return optuna.load_study(study_name="small", storage=storage)
