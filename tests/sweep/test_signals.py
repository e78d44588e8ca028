"""A sweep that is asked to end from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_sweep import stored

LOCALLY = """
import sys; sys.path.insert(0, {tests!r})
import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a script
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from argparse import Namespace
from pathlib import Path
from small_sweep import sweep
from tablesense.sweep import verb
folder = Path({folder!r})
small = sweep(folder, {{"x": {{"min": 0.1, "max": 0.9}}, "pause": {{"value": 0.5}}}})
verb.read, verb.check, verb._describe = lambda path: None, lambda file: (small, []), lambda *_: None
sys.exit(verb.run(["--count=9", "--dir", str(folder / "runs")]))
"""

AGENT = """
import sys; sys.executable = sys.argv[1]
from tablesense.sweep import launch, signals
with signals.as_interrupts():
    sys.exit(launch.run_agent("team/project/sweep", 1))
"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_trial_is_put_back_and_what_there_is_is_written(tmp_path: Path, number: signal.Signals) -> None:
    script = LOCALLY.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    local = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    wait_for(tmp_path / "runs" / "trial-001" / "metrics.csv")
    local.send_signal(number)
    printed, _ = local.communicate(timeout=120)
    assert local.returncode == 128 + number
    assert "the same command goes on with it" in printed
    assert (tmp_path / "runs" / "best.yaml").exists()
    states = [trial.state.name for trial in stored(tmp_path).get_trials()]
    assert states == ["COMPLETE", "FAIL", "WAITING"]


def test_the_agent_ends_with_the_sweep(tmp_path: Path) -> None:
    agent, started = tmp_path / "agent", tmp_path / "started"
    agent.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('ended', sys.argv, flush=True), sys.exit(0)))\n"
        f"pathlib.Path({str(started)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    agent.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", AGENT, str(agent)], stdout=subprocess.PIPE, text=True)
    wait_for(started)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "ended" in printed
    assert "--forward-signals" in printed  # or its run would train on without it
