"""A Weights & Biases server in the test's own process, for the real client in others.

    with WandbServer([{"training.lr": 1e-4}]) as server:
        environment = server.environment(tmp_path)
        run_wandb("sweep", "sweep.yaml", environment=environment, cwd=tmp_path)
        run_agents(server.sweeps[0], environment=environment, cwd=tmp_path)
    assert server.runs[0].state == "finished"
    assert not server.unhandled

It knows `wandb sweep`, `wandb agent`, `wandb sync`, runs, also those that go on, and artifacts. Ask the
server what happened, not the agent, whose exit code says little. To act while a run goes on there are
`server.wait`, `server.trouble`, which makes it fail, `start_agent` and `end_agent`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Event, Thread
from types import TracebackType
from typing import IO, Any, Literal
from urllib.parse import unquote, urlsplit

from wandb_operations import Backend, Fields, Sweep

Trouble = Literal["500", "hang", "away"]

# `wandb agent` with a shorter time between heartbeats, and with interrupts even below a shell that ignores
# them, which its runs would inherit.
_AGENT = """
import signal, sys
from wandb import wandb_agent
from wandb.cli.cli import cli

signal.signal(signal.SIGINT, signal.default_int_handler)
wandb_agent.Agent.POLL_INTERVAL = 0.3
cli(["agent", *sys.argv[1:]], prog_name="wandb")
"""


class WandbServer(Backend):
    """The server, on a free port of this machine while its context lasts; `Backend` names its arguments.

    Attributes:
        trouble: How it fails, if at all: "500" answers every request with that status, "hang" takes requests
            and never answers them, "away" is a closed port. It can be set, and taken back, at any time.
        received: Each request that arrived: its line, its headers less the one with the key, and its body.
    """

    def __enter__(self) -> WandbServer:
        self.received: list[bytes] = []
        self._trouble: Trouble | None = None
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.trouble = "away"

    @property
    def trouble(self) -> Trouble | None:
        return self._trouble

    @trouble.setter
    def trouble(self, trouble: Trouble | None) -> None:
        before, self._trouble = self._trouble, trouble
        if before != "away":
            # Also ends the requests that hang, and connections that wait for a next request.
            self._http.close()
        if trouble != "away":
            self._open()

    def _open(self) -> None:
        self._http = _Http(self, self._http.server_port if self.url else 0)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def environment(self, folder: Path) -> dict[str, str]:
        """The environment of a process that uses this server, and keeps all that wandb writes in `folder`.

        `python` is the interpreter of the tests there, since that is how an agent starts a run.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        environment["NETRC"] = str(folder / "netrc")
        for name in "DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR":
            environment[f"WANDB_{name}"] = str(folder)
        return environment | {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "0" * 40,
            "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
            "WANDB_X_DISABLE_STATS": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_GIT": "true",
            "WANDB_DISABLE_CODE": "true",
        }


def run_wandb(
    *arguments: object, environment: Mapping[str, str], cwd: Path, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the `wandb` command."""
    command = [sys.executable, "-m", "wandb", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


def start_agent(
    sweep: Sweep, *options: str, environment: Mapping[str, str], cwd: Path, output: IO[str] | None = None
) -> subprocess.Popen[str]:
    """Start `wandb agent` for a sweep; its runs print to `output` too."""
    command = [sys.executable, "-c", _AGENT, *options, sweep.path]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        text=True,
    )


def end_agent(agent: subprocess.Popen[str]) -> None:
    """End an agent and its run, which would outlive an agent that is killed.

    At the first interrupt an agent waits for its run, at the second it terminates it, at the third kills it.
    """
    for patience in 0.3, 10, 1:
        if agent.poll() is None:
            agent.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                agent.wait(patience)
    agent.kill()
    agent.wait()


def run_agents(
    sweep: Sweep,
    *options: str,
    environment: Mapping[str, str],
    cwd: Path,
    count: int = 1,
    timeout: float = 60,
) -> str:
    """Run agents side by side until each has ended, and return what they and their runs printed.

    Raises:
        TimeoutError: An agent had not ended in time; they and their runs have been ended.
    """
    with tempfile.TemporaryFile("w+") as output:
        agents = [
            start_agent(sweep, *options, environment=environment, cwd=cwd, output=output)
            for _ in range(count)
        ]
        try:
            for agent in agents:
                agent.wait(timeout)
        except subprocess.TimeoutExpired as error:
            output.seek(0)
            raise TimeoutError(f"an agent still runs after {timeout} s:\n{output.read()}") from error
        finally:
            for agent in agents:
                end_agent(agent)
        output.seek(0)
        return output.read()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # A run ends by sending dozens of files side by side. Connections beyond this number that wait to be
    # taken are dropped, and tried again after one second, then two: with the library's 5 a run would end
    # seconds late.
    request_queue_size = 256

    def __init__(self, backend: WandbServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.backend = backend
        self.closed = Event()
        self._connections: set[socket] = set()

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        """Take no more connections and end those that there are."""
        self.shutdown()
        self.server_close()
        self.closed.set()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may go away at any time."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Takes the client's requests to what the backend makes of them."""

    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        backend = self.server.backend
        del self.headers["Authorization"]
        backend.received.append(f"{self.requestline}\n{self.headers}".encode() + body)
        if backend.trouble == "hang":
            self.server.closed.wait()
            self.close_connection = True
            return
        try:
            status, answer = self._take(path, body) if backend.trouble is None else (500, {})
        except Exception:
            # The client gives up at this status, where it would ask for minutes at another.
            status, answer = 400, {"error": traceback.format_exc()}
            backend.unhandled.append(answer["error"])
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""

    def _take(self, path: str, body: bytes) -> tuple[int, Fields]:
        backend = self.server.backend
        if path == "/graphql":
            request = json.loads(body)
            answer = backend.graphql(request["query"], request.get("variables") or {})
            return (400 if "errors" in answer else 200), answer
        if match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            return 200, backend.stream(unquote(match[1]), json.loads(body))
        if match := re.fullmatch(r"/storage/(.+)", path):
            backend.store(match[1], body)
            return 200, {}
        backend.unhandled.append(f"{self.command} {path}")
        return 404, {"error": "not found"}
