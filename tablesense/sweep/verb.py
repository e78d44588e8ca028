"""`tablesense sweep`: check a sweep, and run it with Weights & Biases or without."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tablesense.arguments import Parser, positive
from tablesense.errors import UserError
from tablesense.loggers import logged_in
from tablesense.sweep.check import check
from tablesense.sweep.file import read
from tablesense.sweep.plan import Sweep
from tablesense.sweep.signals import as_interrupts, status

DESCRIPTION = """\
Tune a detector: try many values, keep the best.

With a login for Weights & Biases the sweep is created there, and `wandb agent` runs it on any number of
machines. Without one, or with --local, the same file is run here, with Optuna.
"""

COUNT = 20
"""Runs, where --count does not say how many."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser("sweep", DESCRIPTION)
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="the sweep, in W&B's YAML (default: sweeps/detr_bayes.yaml)")
    add("--config", type=Path, metavar="FILE", help="the same")
    add("--count", type=positive, metavar="N", help=f"runs (default: {COUNT})")
    add("--dry-run", action="store_true", help="only check it, and print the first commands")
    online = parser.add_argument_group("with Weights & Biases")
    add = online.add_argument
    add("--project", metavar="NAME", help="its project (default: the file's, or tablesense2)")
    add("--entity", metavar="NAME", help="its team or person (default: that of the login)")
    add("--agent", action="store_true", help="go on and run an agent here")
    local = parser.add_argument_group("without (each of these means --local)")
    add = local.add_argument
    add("--local", action="store_true", help="run it on this machine, with Optuna")
    add("--jobs", type=positive, metavar="N", help="runs at once (default: 1)")
    add(
        "--storage",
        metavar="FILE|URL",
        help="where trials are kept, to go on later or to share with other machines: a file (default: in the "
        "sweep's folder), or postgresql://user:password@host/name",
    )
    add("--dir", type=Path, metavar="DIR", help="the sweep's folder (default: runs/NAME)")
    return parser


def run(arguments: list[str]) -> int:
    """Run `tablesense sweep`.

    Args:
        arguments: What stands behind the verb.

    Returns:
        The exit status: 0; 1 where the sweep has faults, which were all printed.

    Raises:
        UserError: An option or a file is wrong, or the server or storage cannot be reached.
    """
    options = _parser().parse_args(arguments)
    if options.file and options.config and options.file != options.config:
        raise UserError(f"sweep: expected one file, found {options.file} and --config {options.config}")
    options.local = options.local or bool(options.jobs or options.storage or options.dir)
    if options.local and (options.agent or options.project or options.entity):
        raise UserError(
            "sweep: --local, --jobs, --storage and --dir are for a sweep without Weights & Biases, --agent, "
            "--project and --entity for one with it: give only one kind"
        )
    if options.agent and not options.dry_run and not logged_in():
        raise UserError("sweep: --agent needs a login: run `wandb login`, or use --local")
    file = read(options.file or options.config or Path("sweeps/detr_bayes.yaml"))
    sweep, findings = check(file)
    if sweep is None:
        for finding in findings:
            print(f"{file.path}:{finding.line}: {finding.text}", file=sys.stderr)
        number = len(findings)
        print(f"tablesense: {number} fault{'s' * (number > 1)}; nothing was started", file=sys.stderr)
        return 1
    _describe(sweep, options.count or COUNT)
    if options.dry_run:
        print("the first commands could be:")
        for values in sweep.first(3):
            print(f"  {shlex.join(sweep.words(values))}")
        return 0
    online = not options.local and logged_in()
    if not online and not options.local:
        print("there is no login for Weights & Biases, so it is run here, with Optuna (as with --local)")
    with as_interrupts():
        try:
            return _online(sweep, options) if online else _locally(sweep, options)
        except KeyboardInterrupt as end:  # before the first trial, or after the last one
            return status(end)


def _describe(sweep: Sweep, count: int) -> None:
    goal = f"{'highest' if sweep.maximize else 'lowest'} {sweep.metric}"
    print(f"{sweep.name}: {sweep.method} search for the {goal}, {len(sweep.parameters)} parameters")
    if sweep.method == "grid":
        points = sweep.grid_points or 0
        short = f", of which {count} will be run: give --count {points} for all" if count < points else ""
        print(f"grid: {points} points{short}")
    if sweep.stopping is not None:
        bands = sweep.stopping.bands(sweep.max_epochs - 1)
        print(
            f"hyperband: of {sweep.max_epochs} epochs, a run that is behind is stopped after "
            f"{', '.join(map(str, bands)) or 'none of them'}"
        )


def _online(sweep: Sweep, options: argparse.Namespace) -> int:
    from tablesense.sweep import launch

    if sweep.config["logging.wandb"] not in ("auto", "online"):
        raise UserError(
            f"sweep: it has logging.wandb={sweep.config['logging.wandb']}, and W&B's agents wait for "
            "the metrics of their runs: leave that out, or use --local"
        )
    project = options.project or sweep.file.content.get("project") or "tablesense2"
    address = launch.create(sweep, project, options.entity)
    print(f"Sweep ID: {address.rsplit('/', 1)[-1]}")
    count = f"--count {options.count} " if options.count else ""
    print(f"Start agent with: wandb agent {count}{address}", flush=True)
    return launch.run_agent(address, options.count or COUNT) if options.agent else 0


def _locally(sweep: Sweep, options: argparse.Namespace) -> int:
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    from tablesense.sweep.local import LocalSweep

    folder = options.dir or Path("runs") / sweep.name
    try:
        local = LocalSweep(sweep, options.count or COUNT, folder, options.storage, options.jobs or 1)
        try:
            local.run()
        except KeyboardInterrupt as end:
            local.finish()
            print("the sweep was stopped; the same command goes on with it")
            return status(end)
        return 0 if local.finish() else 1
    except (OptunaError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UserError(f"the storage was lost: {reason}; the same command goes on with the sweep") from error
