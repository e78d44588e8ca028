"""One sweep on two workers that share a PostgreSQL of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from small_sweep import sweep
from tablesense.sweep.local import LocalSweep
folder = Path(sys.argv[1])
folder.mkdir()
small = sweep(folder.parent, {{"x": {{"min": 0.1, "max": 0.9}}, "pause": {{"value": 0.3}}}})
LocalSweep(small, 8, folder / "runs", {url!r}).run()
"""


def programs() -> Path | None:
    """Where PostgreSQL's programs are: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    places = (
        [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((place for place in places if (place / "initdb").exists()), None)


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a cluster that lives as long as the test."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: initdb was not found")
    # PostgreSQL refuses to run as root; its Debian package has a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        folder.chmod(0o777)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()

        def call(*words: str) -> None:
            subprocess.run([*user, *words], cwd=folder, check=True, capture_output=True, timeout=60)

        call(
            str(binaries / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "sweeper", "--no-sync"
        )
        control = str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w"
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        call(*control, "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://sweeper@127.0.0.1:{port}/postgres"
        finally:
            call(*control, "-m", "immediate", "stop")


def test_two_workers_share_one_sweep(database: str, tmp_path: Path) -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), url=database)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    printed = [worker.communicate(timeout=180)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed
    url = database.replace("postgresql://", "postgresql+psycopg://")
    trials = optuna.load_study(study_name="small", storage=url).get_trials()
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(done) == 8
    assert len({trial.params["x"] for trial in done}) == 8
    made = [len(list((tmp_path / name / "runs").glob("trial-*"))) for name in ("one", "two")]
    assert min(made) >= 1
    assert sum(made) == 8
