"""What the tests' Weights & Biases server keeps, and its answers to the client's GraphQL operations.

The answers hold the fields that the client of wandb 0.31 reads. Each operation is a method that takes the
operation's variables; one that is not here is refused and noted in `unhandled`.
"""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import Any, Literal
from urllib.parse import quote, unquote

import yaml

ENTITY = "tester"
Fields = dict[str, Any]
State = Literal["pending", "running", "finished", "failed", "killed", "crashed"]


@dataclass(eq=False)
class Run:
    """One run.

    Attributes:
        name: Its id, as in its address.
        project: The project that it is in.
        display_name: Its name for people.
        sweep: The sweep that it belongs to.
        parameters: What the sweep suggested for it.
        config: Its configuration, without what the client adds about itself.
        history: The rows that it logged, each with `_step`, `_runtime` and `_timestamp`. A row takes the
            place of an earlier one with its step, whatever its line: wandb/wandb#12668 says so of Weights &
            Biases, and `wandb sync` relies on it.
        summary: The last value of each metric, or what `define_metric` asks for.
        state: "pending" until its process reports it, then as Weights & Biases names it: without an exit
            code it has "crashed", which here is seen as soon as its agent no longer lists it.
        exit_code: How its process ended, as far as that was reported.
        output: The lines that it printed, each after its time.
        group: The group that it is in.
        job_type: The kind of run within its group.
        tags: Its tags.
        files: What it uploaded, by name.
        alerts: What it asked to have sent to people: title and text.
        stop_requested: Whether it was asked to stop.
    """

    name: str
    project: str
    display_name: str = ""
    sweep: Sweep | None = field(default=None, repr=False)
    parameters: Fields = field(default_factory=dict)
    config: Fields = field(default_factory=dict)
    history: list[Fields] = field(default_factory=list)
    summary: Fields = field(default_factory=dict)
    state: State = "pending"
    exit_code: int | None = None
    output: list[str] = field(default_factory=list)
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    stop_requested: bool = False


@dataclass(eq=False)
class Sweep:
    """One sweep: the YAML that the client sent, as text and as values, and the runs suggested so far."""

    name: str
    project: str
    text: str
    config: Fields
    state: str = "RUNNING"
    runs: list[Run] = field(default_factory=list, repr=False)

    @property
    def path(self) -> str:
        """What `wandb agent` takes."""
        return f"{ENTITY}/{self.project}/{self.name}"


@dataclass(eq=False)
class Agent:
    """One agent and the runs that it was given."""

    name: str
    sweep: Sweep
    host: str
    runs: list[Run] = field(default_factory=list)


@dataclass(eq=False)
class Artifact:
    """One version of an artifact; `state` is "COMMITTED" when all of it is uploaded."""

    name: str
    collection: str
    type: str
    run: str | None
    digest: str
    aliases: list[str]
    metadata: Fields
    state: str = "PENDING"
    files: dict[str, bytes] = field(default_factory=dict, repr=False)


class Backend:
    """The state of the server and its part of the protocol.

    Args:
        suggestions: The parameters of each run of a sweep in turn. When they are used up the sweep is
            finished, and agents without a run are told to exit.
        stop: For the run of a sweep with this index, after how many values of the sweep's metric it is asked
            to stop.
        stop_by: Whether the agent is told, which sends SIGTERM, or the run's own client, which interrupts it.
    """

    url = ""

    def __init__(
        self,
        suggestions: Sequence[Mapping[str, Any]] = (),
        stop: Mapping[int, int] | None = None,
        stop_by: Literal["heartbeat", "stream"] = "heartbeat",
    ) -> None:
        self.suggestions = suggestions
        self.stop = stop or {}
        self.stop_by = stop_by
        self.sweeps: list[Sweep] = []
        self.runs: list[Run] = []
        self.agents: list[Agent] = []
        self.artifacts: list[Artifact] = []
        self.unhandled: list[str] = []
        self.changed = Condition()
        self._operations: dict[str, Callable[..., Fields]] = {
            "Viewer": self._viewer,
            "ServerFeaturesQuery": self._server_features,
            "UpsertSweep": self._upsert_sweep,
            "SweepWithRuns": self._sweep_with_runs,
            "CreateAgent": self._create_agent,
            "Heartbeat": self._heartbeat,
            "RunResumeStatus": self._run_resume_status,
            "UpsertBucket": self._upsert_bucket,
            "CreateRunFiles": self._create_run_files,
            "NotifyScriptableRunAlert": self._alert,
            "ArtifactType": self._artifact_type,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_artifact_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit_artifact,
        }

    def wait(self, until: Callable[[], bool], timeout: float = 30) -> None:
        """Wait for a condition on the server's state, which is looked at after each request.

        Raises:
            TimeoutError: It did not come true.
        """
        with self.changed:
            if not self.changed.wait_for(until, timeout):
                states = {run.name: run.state for run in self.runs}
                raise TimeoutError(f"still not so after {timeout} s: {states}, {self.unhandled}")

    def graphql(self, query: str, variables: Fields) -> Fields:
        """The answer to one GraphQL request."""
        named = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
        name = named[1] if named else query
        with self.changed:
            operation = self._operations.get(name)
            if operation is None:
                self.unhandled.append(name)
                return {"data": None, "errors": [{"message": f"no operation {name}"}]}
            answer = operation(**variables)
            self.changed.notify_all()
            return {"data": answer}

    def stream(self, name: str, body: Fields) -> Fields:
        """Take in a part of a run's stream: metrics, summary, output, and in the end its exit code."""
        with self.changed:
            run = self._run(name)
            files: Fields = body.get("files") or {}
            for file, part in files.items():
                lines, offset = part["content"], part["offset"]
                if file == "wandb-history.jsonl":
                    rows = {row["_step"]: row for row in (*run.history, *map(json.loads, lines))}
                    run.history = list(rows.values())
                elif file == "wandb-summary.json":
                    run.summary = json.loads(lines[-1])
                elif file == "output.log":
                    run.output[offset : offset + len(lines)] = lines
            if body.get("complete"):
                run.exit_code = body.get("exitcode")
                run.state = _final_state(run)
            elif self._is_to_stop(run):
                run.stop_requested = True
            self.changed.notify_all()
            return {"stopped": True} if run.stop_requested and self.stop_by == "stream" else {}

    def store(self, path: str, content: bytes) -> None:
        """Keep an uploaded file at the path of its upload address."""
        kind, owner, name = unquote(path).split("/", 2)
        with self.changed:
            if kind == "runs":
                self._run(owner).files[name] = content
            elif kind == "artifacts":
                self._artifact(owner).files[name] = content
            self.changed.notify_all()

    def _run(self, name: str) -> Run:
        return next(run for run in self.runs if run.name == name)

    def _artifact(self, name: str) -> Artifact:
        return next(artifact for artifact in self.artifacts if artifact.name == name)

    def _is_to_stop(self, run: Run) -> bool:
        """Whether a run of a sweep has logged as many values as `stop` says."""
        if run.sweep is None or run not in run.sweep.runs:
            return False
        values = self.stop.get(run.sweep.runs.index(run))
        if values is None:
            return False
        metric = run.sweep.config["metric"]["name"]
        return sum(metric in row for row in run.history) >= values

    def _upload_url(self, kind: str, owner: str, name: str) -> str:
        return f"{self.url}/storage/{quote(f'{kind}/{owner}/{name}')}"

    def _viewer(self) -> Fields:
        return {
            "viewer": {
                "id": _id("User", ENTITY),
                "entity": ENTITY,
                "username": ENTITY,
                "email": "",
                "flags": "{}",
                "teams": {"edges": []},
            }
        }

    def _server_features(self) -> Fields:
        return {"serverInfo": {"features": []}}

    def _upsert_sweep(self, id: None, config: str, projectName: str | None, **_: Any) -> Fields:
        """Only makes a new sweep."""
        assert id is None, "a sweep is not changed here"
        sweep = Sweep(_new_name(), projectName or "uncategorized", config, yaml.safe_load(config))
        self.sweeps.append(sweep)
        fields = {"name": sweep.name, "project": _project(sweep.project)}
        return {"upsertSweep": {"sweep": fields, "configValidationWarnings": []}}

    def _sweep_with_runs(self, sweep: str, **_: Any) -> Fields:
        for known in self.sweeps:
            if known.name == sweep:
                fields = {
                    "id": _id("Sweep", known.name),
                    "name": known.name,
                    "state": known.state,
                    "config": known.text,
                    "runs": {"edges": [{"node": {"name": run.name}} for run in known.runs]},
                }
                return {"project": {"sweep": fields}}
        return {"project": {"sweep": None}}

    def _create_agent(self, sweep: str, host: str, **_: Any) -> Fields:
        agent = Agent(_new_name(), next(known for known in self.sweeps if known.name == sweep), host)
        self.agents.append(agent)
        return {"createAgent": {"agent": {"id": agent.name}}}

    def _heartbeat(self, id: str, runState: str, **_: Any) -> Fields:
        agent = next(agent for agent in self.agents if agent.name == id)
        alive = [self._run(name) for name, runs_on in json.loads(runState).items() if runs_on]
        for run in agent.runs:
            if run not in alive and run.state in ("pending", "running"):
                run.state = "crashed"
        return {"agentHeartbeat": {"agent": {"id": id}, "commands": json.dumps(self._commands(agent, alive))}}

    def _commands(self, agent: Agent, alive: list[Run]) -> list[Fields]:
        """What an agent is to do next. To exit means to kill its runs, so it is told so only between runs."""
        sweep = agent.sweep
        if alive:
            asked = [run for run in alive if run.stop_requested and self.stop_by == "heartbeat"]
            return [{"type": "stop", "run_id": run.name} for run in asked]
        if len(sweep.runs) == len(self.suggestions):
            sweep.state = "FINISHED"
            return [{"type": "exit"}]
        parameters = dict(self.suggestions[len(sweep.runs)])
        run = Run(_new_name(), sweep.project, sweep=sweep, parameters=parameters)
        for runs in self.runs, sweep.runs, agent.runs:
            runs.append(run)
        arguments = {key: {"value": value} for key, value in parameters.items()}
        program = sweep.config.get("program", "")
        return [{"type": "run", "run_id": run.name, "program": program, "args": arguments}]

    def _run_resume_status(self, name: str, project: str | None = None, **_: Any) -> Fields:
        """Where a run that may go on with an earlier one finds how far that one came."""
        started = (run for run in self.runs if run.name == name and run.state != "pending")
        run = next(started, None)
        bucket = run and {
            "id": _id("Run", run.name),
            "name": run.name,
            "displayName": run.display_name,
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "summaryMetrics": json.dumps(run.summary),
            "tags": run.tags,
            "notes": None,
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "logLineCount": len(run.output),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "wandbConfig": '{"t": {}}',  # a run without it counts as one that never began
        }
        return {"model": {**_project(project or "uncategorized"), "bucket": bucket}}

    def _upsert_bucket(
        self,
        name: str | None = None,
        id: str | None = None,
        project: str | None = None,
        sweep: str | None = None,
        **fields: Any,
    ) -> Fields:
        run = next((run for run in self.runs if name == run.name or id == _id("Run", run.name)), None)
        if run is None:
            run = Run(name or _new_name(), project or "uncategorized")
            run.sweep = next((known for known in self.sweeps if known.name == sweep), None)
            self.runs.append(run)
        inserted = run.state == "pending"
        if inserted:
            run.state = "running"
        if config := fields.get("config"):
            run.config = {key: entry["value"] for key, entry in json.loads(config).items() if key != "_wandb"}
        if summary := fields.get("summaryMetrics"):
            run.summary = json.loads(summary)
        run.display_name = fields.get("displayName") or run.display_name or f"run-{run.name}"
        run.group = fields.get("groupName") or run.group
        run.job_type = fields.get("jobType") or run.job_type
        run.tags = fields.get("tags") or run.tags
        bucket = {
            "id": _id("Run", run.name),
            "name": run.name,
            "displayName": run.display_name,
            "config": fields.get("config") or "{}",
            "sweepName": run.sweep and run.sweep.name,
            "project": _project(run.project),
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _create_run_files(self, run: str, files: list[str], **_: Any) -> Fields:
        uploads = [{"name": name, "uploadUrl": self._upload_url("runs", run, name)} for name in files]
        return {"createRunFiles": {"runID": _id("Run", run), "uploadHeaders": [], "files": uploads}}

    def _alert(self, runName: str, title: str, text: str, **_: Any) -> Fields:
        self._run(runName).alerts.append((title, text))
        return {"notifyScriptableRunAlert": {"success": True}}

    def _artifact_type(self, name: str, **_: Any) -> Fields:
        collection = name.partition(":")[0]
        for artifact in self.artifacts:
            if artifact.collection == collection:
                return {"project": {"artifact": {"artifactType": {"name": artifact.type}}}}
        return {"project": {"artifact": None}}

    def _create_artifact(self, input: Fields) -> Fields:
        artifact = Artifact(
            name=_new_name(),
            collection=input["artifactCollectionName"],
            type=input["artifactTypeName"],
            run=input.get("runName"),
            digest=input["digest"],
            aliases=[alias["alias"] for alias in input.get("aliases") or []],
            metadata=json.loads(input.get("metadata") or "{}"),
        )
        self.artifacts.append(artifact)
        sequence = {"id": artifact.collection, "latestArtifact": None}
        fields = {"id": artifact.name, "state": artifact.state, "artifactSequence": sequence}
        return {"createArtifact": {"artifact": fields}}

    def _create_artifact_manifest(self, artifactID: str, **_: Any) -> Fields:
        url = self._upload_url("manifests", artifactID, "manifest.json")
        file = {"id": artifactID, "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": artifactID, "file": file}}}

    def _create_artifact_files(self, input: Fields) -> Fields:
        nodes: list[Fields] = [
            {
                "storagePath": f"artifacts/{file['artifactID']}/{file['name']}",
                "uploadUrl": self._upload_url("artifacts", file["artifactID"], file["name"]),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            for file in input["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _commit_artifact(self, artifactID: str) -> Fields:
        artifact = self._artifact(artifactID)
        artifact.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifactID, "digest": artifact.digest}}}


def _final_state(run: Run) -> State:
    if run.exit_code is None:
        return "crashed"
    if run.exit_code == 0:
        return "finished"
    return "killed" if run.stop_requested else "failed"


def _project(name: str) -> Fields:
    return {"id": _id("Project", name), "name": name, "entity": {"id": _id("Entity", ENTITY), "name": ENTITY}}


def _id(kind: str, name: str) -> str:
    """An id in the form that the client takes apart in places."""
    return b64encode(f"{kind}:v1:{name}".encode()).decode()


def _new_name() -> str:
    return uuid.uuid4().hex[:8]
