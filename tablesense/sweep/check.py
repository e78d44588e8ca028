"""What is wrong with a sweep, found before its first run: all of it at once, each with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from math import isfinite
from typing import Any

from tablesense.errors import UserError
from tablesense.sweep import hyperband
from tablesense.sweep.command import DEFAULT, READABLE, expand
from tablesense.sweep.distributions import Distribution
from tablesense.sweep.file import SweepFile
from tablesense.sweep.hyperband import Hyperband
from tablesense.sweep.plan import Sweep, few
from tablesense.sweep.specs import SpecError, as_text, parse
from tablesense.trial import same

KEYS = {
    *("name", "description", "program", "project", "entity", "method", "metric", "parameters"),
    *("early_terminate", "command", "run_cap"),
}
METHODS = ("bayes", "random", "grid")
GOALS = ("maximize", "minimize")

METRICS = re.compile(
    r"val/(f1|f1_60|f1_70|f1_80|f1_90|precision|recall|wf1|map|map_50|map_75|(loss(_ce|_bbox|_giou)?))"
)
"""What fit logs once an epoch; group 2 is what gets better as it falls."""

BARE = ["fit", "${args}"]
"""A command that the values can be tried with where the sweep's own cannot be read."""

OWN = ("ckpt_path", "trainer.default_root_dir")
"""Keys that cannot be the same for two runs."""

ONE = ("logging.wandb",)
"""Keys that are chosen for a whole sweep: W&B's agents wait for a run that is not online."""

NEEDED: dict[str, tuple[Any, ...]] = {
    "trainer.logger": (None, True),
    "trainer.check_val_every_n_epoch": (None, 1),
    "trainer.val_check_interval": (None, 1.0),
    "trainer.fast_dev_run": (False,),
}
"""Keys that loggers and a metric once an epoch depend on, each with the values that do."""

THRESHOLDS = ("model.score_threshold", "model.nms_iou")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        line: Where, in the sweep's file.
        text: What was expected, what was found, what to do.
    """

    line: int
    text: str


def check(file: SweepFile) -> tuple[Sweep | None, list[Finding]]:
    """Read a sweep against the real command line of `tablesense fit`.

    Returns:
        The sweep, or None where something is wrong; and all that is wrong, by line.
    """
    checker = _Checker(file)
    sweep = checker.run()
    findings = sorted(set(checker.findings), key=lambda finding: (finding.line, finding.text))
    return (None if findings else sweep), findings


class _Checker:
    def __init__(self, file: SweepFile) -> None:
        self.file, self.content = file, file.content
        self.findings: list[Finding] = []

    def say(self, text: str, *place: str) -> None:
        self.findings.append(Finding(self.file.line(*place), text))

    def run(self) -> Sweep | None:
        for place in self.file.repeated:
            self.say(f"{'.'.join(place)} is given twice, and only the last one counts", *place)
        for key in self.content:
            if key not in KEYS:
                self.say(f"unknown key {key}: expected {_nearest(str(key), KEYS)}", str(key))
        method = self.method()
        metric, maximize = self.metric()
        target = self.target()
        parameters = self.parameters(method)
        command = self.command()
        stopping = self.stopping()
        run_cap = self.run_cap()
        config = self.against_fit(command or BARE, parameters)
        if config is None or command is None:
            return None
        max_epochs = self.epochs(config, parameters)
        if stopping is not None:
            self.clock(stopping, config, parameters, max_epochs)
        return Sweep(
            file=self.file,
            name=str(self.content.get("name", self.file.path.stem)),
            method=method,
            metric=metric,
            maximize=maximize,
            target=target,
            parameters=parameters,
            command=tuple(map(str, command)),
            program=str(self.content.get("program", "")),
            stopping=stopping,
            run_cap=run_cap,
            max_epochs=max_epochs,
            config=config,
        )

    # -- what stands in the file -------------------------------------------------------------------

    def method(self) -> str:
        method = self.content.get("method")
        if method not in METHODS:
            self.say(f"method: expected {_nearest(str(method), METHODS)}, found {method!r}", "method")
        return str(method)

    def metric(self) -> tuple[str, bool]:
        metric = self.content.get("metric")
        if not isinstance(metric, dict) or "name" not in metric:
            self.say("metric: expected a name and a goal, such as val/f1 and maximize", "metric")
            return "", True
        for key in metric.keys() - {"name", "goal", "target"}:
            self.say(f"metric: unknown key {key}: expected name, goal or target", "metric", str(key))
        name, goal = str(metric["name"]), metric.get("goal", "minimize")
        known = METRICS.fullmatch(name)
        if not known:
            self.say(
                f"metric.name: tablesense fit logs no {name} once an epoch: expected val/f1, val/wf1, "
                "val/map, val/precision, val/recall or val/loss",
                *("metric", "name"),
            )
        if goal not in GOALS:
            self.say(f"metric.goal: expected {_nearest(str(goal), GOALS)}, found {goal!r}", "metric", "goal")
        elif known and (goal == "maximize") == bool(known[2]):
            right = "minimize" if known[2] else "maximize"
            found = goal if "goal" in metric else "none, which means minimize"
            self.say(f"metric.goal: expected {right} for {name}, found {found}", "metric", "goal")
        return name, goal == "maximize"

    def target(self) -> float | None:
        metric = self.content.get("metric")
        target = metric.get("target") if isinstance(metric, dict) else None
        if target is None or (type(target) in (int, float) and isfinite(target)):
            return target
        self.say(f"metric.target: expected a number, found {target!r}", "metric", "target")
        return None

    def parameters(self, method: str) -> dict[str, Distribution]:
        given = self.content["parameters"]
        if not isinstance(given, dict) or not given:
            self.say("parameters: expected dotted keys with their values, found none", "parameters")
            return {}
        parsed: dict[str, Distribution] = {}
        for key, spec in ((str(key), spec) for key, spec in given.items()):
            place = ("parameters", key)
            if isinstance(spec, dict) and "parameters" in spec:
                self.say(
                    f"{key}: nested parameters reach a run as one value: write {key}.NAME instead", *place
                )
                continue
            try:
                parsed[key] = parse(spec)
            except SpecError as error:
                self.say(f"{key}: {error}", *place)
                continue
            dates = [value for value in parsed[key].ends() if isinstance(value, date)]
            if dates:
                self.say(
                    f"{key}: expected text, numbers, true/false or lists, found the date {dates[0]}: "
                    "put it in quotes",
                    *place,
                )
                del parsed[key]
                continue
            if method == "grid" and parsed[key].grid() is None:
                self.say(f"{key}: a grid needs values, or steps (q), found a range without an end", *place)
            if method == "bayes" and isinstance(spec, dict) and "probabilities" in spec:
                self.say(
                    f"{key}: probabilities are not kept by method bayes: use method random, or drop them",
                    *place,
                )
        return parsed

    def command(self) -> list[Any] | None:
        command = self.content.get("command", list(DEFAULT))
        if not isinstance(command, list) or not command:
            self.say("command: expected a list of words, which is all that an agent reads", "command")
            return None
        words = [str(word) for word in command]
        if "fit" not in words:
            self.say(
                "command: expected tablesense fit in it: [${env}, tablesense, fit, --config, "
                f"configs/detr.yaml, ${{args}}], found {' '.join(words)}",
                "command",
            )
            return None
        forms = [word for word in words if word.startswith("${args")]
        if not set(forms) & set(READABLE):
            found = f", found {forms[0]}" if forms else ", found none, and no value reaches a run"
            self.say(f"command: expected ${{args}} in it, which tablesense fit reads{found}", "command")
            return None
        return list(command)

    def stopping(self) -> Hyperband | None:
        spec = self.content.get("early_terminate")
        if spec is None:
            return None
        try:
            return hyperband.parse(spec)
        except SpecError as error:
            self.say(f"early_terminate: {error}", "early_terminate")
            return None

    def run_cap(self) -> int | None:
        cap = self.content.get("run_cap")
        if cap is not None and (type(cap) is not int or cap < 1):
            self.say(f"run_cap: expected a whole number from 1, found {cap!r}", "run_cap")
            return None
        return cap

    # -- against the command line ------------------------------------------------------------------

    def against_fit(self, command: list[Any], parameters: dict[str, Distribution]) -> dict[str, Any] | None:
        """Read commands with every value; what the command without a value of the sweep comes to."""
        from tablesense.sweep.fit import FitCommand

        fit = FitCommand()

        def read(values: Mapping[str, Any]) -> dict[str, Any]:
            words = expand(command, values, str(self.content.get("program", "")))
            return fit.read(words[words.index("fit") + 1 :])

        try:
            config = read({})
        except UserError as error:
            self.say(f"command: {error}", "command")
            self.against_fit(BARE, parameters)  # what else is wrong
            return None
        self.base(config)
        keys = fit.keys & config.keys()
        swept = {}
        for key, distribution in parameters.items():
            place = ("parameters", key)
            if key in THRESHOLDS:
                self.say(
                    f"{key} is a threshold of the evaluation: swept, it would make the metric of one run "
                    "incomparable with another's; leave it out, and choose it afterwards",
                    *place,
                )
            elif key in (*OWN, *ONE, *NEEDED):
                self.say(
                    f"{key} cannot be swept: every run needs its own folder and loggers, and its metric "
                    "once an epoch; leave it out",
                    *place,
                )
            elif key not in keys:
                self.say(f"unknown key {key}: expected a key of tablesense fit{_hint(key, keys)}", *place)
            else:
                swept[key] = distribution
                given = set(map(str, command)) | {str(word).split("=")[0] for word in command}
                if f"--{key}" in given:
                    self.say(f"{key} stands in the command as well: give it once", *place)
        self.values(swept, read)
        return config

    def base(self, config: dict[str, Any]) -> None:
        """What in a configuration would make trials that train in vain."""
        for name in OWN:
            if config.get(name) is not None:
                self.say(f"command: --{name} would be the same for every run: leave it out", "command")
        if config.get("trainer.limit_val_batches") == 0:
            self.say(
                "command: trainer.limit_val_batches is 0, and no run would have its metric: leave it out",
                "command",
            )
        for name, values in NEEDED.items():
            found = config.get(name)
            if not any(found is value or (found == value and type(found) is type(value)) for value in values):
                self.say(
                    f"command: {name} is {found}: a sweep needs its metric once an epoch, and its loggers; "
                    f"expected {values[-1]}",
                    "command",
                )

    def values(
        self, swept: dict[str, Distribution], read: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> None:
        """Try all ends of all ranges, many at once, and one by one where that fails."""
        for row in few({key: distribution.ends() for key, distribution in swept.items()}):
            try:
                config = read(row)
            except UserError:
                config = {}
            if _came_through(row, config):
                continue
            alone_wrong = False
            for key, value in row.items():
                try:
                    config = read({key: value})
                except UserError as error:
                    text = str(error) if key in str(error) else f"{key}={value}: {error}"
                    if value is None:
                        text = f"{key}: null cannot be given: an agent writes None, which is no value of it"
                    self.say(text, "parameters", key)
                    alone_wrong = True
                    continue
                if not _came_through({key: value}, config):
                    kind = type(config[key]).__name__
                    found = as_text(value) if isinstance(value, str) else repr(value)
                    self.say(f"{key}: expected a value of type {kind}, found {found}", "parameters", key)
                    alone_wrong = True
            if not alone_wrong:
                try:
                    read(row)
                except UserError as error:
                    self.say(f"values that do not go together: {error}", "parameters")

    def epochs(self, config: dict[str, Any], parameters: dict[str, Distribution]) -> int:
        key = "trainer.max_epochs"
        if key in parameters:
            swept = _numbers(parameters[key].ends())
            if any(value < 1 for value in swept):
                self.say(f"{key}: expected 1 or more, found {min(swept):g}", "parameters", key)
            return int(min(swept, default=0))
        epochs = config[key]
        if epochs is None or epochs < 1:
            self.say(f"command: expected trainer.max_epochs in its configuration, found {epochs}", "command")
            return 0
        return int(epochs)

    def clock(
        self,
        stopping: Hyperband,
        config: dict[str, Any],
        parameters: dict[str, Distribution],
        max_epochs: int,
    ) -> None:
        """Whether early stopping comes after the warm-up and before the end."""
        key, first = "training.warmup_epochs", stopping.first
        swept = _numbers(parameters[key].ends()) if key in parameters else []
        warmup = max(swept, default=config[key])
        where = ("early_terminate", "min_iter" if stopping.min_iter is not None else "max_iter")
        if first <= warmup:
            self.say(
                f"early_terminate: the first band is after {first} epochs, in the warm-up of {warmup:g}: "
                f"no run has shown anything by then: expected min_iter above {warmup:g}",
                *where,
            )
        if 0 < max_epochs <= first:
            self.say(
                f"early_terminate: a run has {max_epochs} epochs (trainer.max_epochs) and the first band is "
                f"after {first}: no run would ever be stopped; expected min_iter below {max_epochs}",
                *where,
            )


def _came_through(row: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return all(key in config and same(value, config[key]) for key, value in row.items())


def _numbers(values: tuple[Any, ...]) -> list[float]:
    return [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]


def _nearest(word: str, known: set[str] | tuple[str, ...]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return near[0] if near else "one of " + ", ".join(sorted(known))


def _hint(key: str, known: set[str]) -> str:
    last = key.rsplit(".", 1)[-1]
    alike = sorted(name for name in known if name.rsplit(".", 1)[-1] == last)
    near = alike[:1] or get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
