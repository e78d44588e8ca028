"""A sweep with Weights & Biases: its controller chooses the values, its agents start the runs."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys

from tablesense.errors import UserError
from tablesense.sweep.plan import Sweep
from tablesense.sweep.process import search_path
from tablesense.sweep.signals import Ended, status


def create(sweep: Sweep, project: str, entity: str | None = None) -> str:
    """Create a sweep.

    Args:
        sweep: The sweep; its file is sent as it is.
        project: The project that it and its runs belong to.
        entity: The team or person; None for the login's own.

    Returns:
        Its address, entity/project/id.

    Raises:
        UserError: The server cannot be reached, or refuses it.
    """
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it says in its own words what is said below
            name = wandb.sweep(
                sweep.file.content, entity=entity or sweep.file.content.get("entity"), project=project
            )
    except Exception as error:  # its client has no common class for what a server or a network can do
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"the sweep was not created in Weights & Biases: {lines[0]}") from error
    # Where the server put it, whoever was asked for: wandb leaves that there for its agents.
    return f"{os.environ['WANDB_ENTITY']}/{os.environ['WANDB_PROJECT']}/{name}"


def run_agent(address: str, count: int) -> int:
    """Run an agent of Weights & Biases in this terminal.

    Args:
        address: The sweep.
        count: How many runs it starts.

    Returns:
        The agent's exit status, or that of the signal that ended the sweep, and with it the agent's run.
    """
    environment = {key: os.environ[key] for key in os.environ.keys() - {"WANDB_SILENT", "WANDB_SERVICE"}}
    environment["PATH"] = search_path()
    command = [sys.executable, "-m", "wandb", "agent", "--forward-signals", "--count", str(count), address]
    agent = subprocess.Popen(command, env=environment)
    ended: KeyboardInterrupt | None = None
    while True:
        try:
            code = agent.wait()
            return status(ended) if ended else code
        except Ended as end:
            ended = end
            agent.send_signal(signal.SIGTERM)  # whichever it was: a training that gets this one ends tidily
        except KeyboardInterrupt as end:  # the terminal has sent it to the agent too, which ends its runs
            ended = ended or end
