"""Early termination, against what the controller of Weights & Biases did with the same values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from tablesense.sweep.hyperband import Hyperband, Stop, parse
from tablesense.sweep.specs import SpecError

RECORDED = json.loads((Path(__file__).parent / "hyperband_history.json").read_text())
REPLAYS: list[dict[str, Any]] = RECORDED["replays"]

Logged = dict[int, list[float]]


def values(replay: dict[str, Any]) -> list[list[float]]:
    """The curves as a replay logs them."""
    minimize = replay["goal"] == "minimize"
    return [
        [nan if value is None else round(1 - value, 2) if minimize else value for value in curve]
        for curve in RECORDED["curves"]
    ]


def replayed(replay: dict[str, Any], stops: Callable[[int, Logged], Stop | None]) -> list[list[Any]]:
    """Let the runs log in their recorded order; the stops in the form that they are recorded in."""
    curves = values(replay)
    logged: Logged = {}
    running: list[int] = []
    found: list[list[Any]] = []
    for step, run in enumerate(replay["order"], start=1):
        if run not in logged:
            running.append(run)
            logged[run] = []
        logged[run].append(curves[run][len(logged[run])])
        for other in sorted(running):
            stop = stops(other, logged)
            if stop:
                found.append([step, other, stop.band, round(stop.threshold, 6)])
        stopped = {stop[1] for stop in found}
        running = [r for r in running if r not in stopped and len(logged[r]) < len(curves[r])]
    return found


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: str(replay["early_terminate"]))
def test_the_same_runs_stop_at_the_same_moment(replay: dict[str, Any]) -> None:
    rule = parse(replay["early_terminate"])

    def stops(run: int, logged: Logged) -> Stop | None:
        others = [history for other, history in logged.items() if other != run]
        return rule.stops(logged[run], others, replay["goal"] == "maximize")

    assert len(replay["stops"]) > 10
    assert replayed(replay, stops) == replay["stops"]


def test_what_makes_the_recorded_stops_is_in_them() -> None:
    """Replays in which a run is stopped by another one's value, past its band, and with NaN before it."""
    past = [
        (step, run, band)
        for replay in REPLAYS
        for step, run, band, _ in replay["stops"]
        if replay["order"][:step].count(run) > band
    ]
    by_another = [
        run for replay in REPLAYS for step, run, *_ in replay["stops"] if replay["order"][step - 1] != run
    ]
    assert len(past) > 5
    assert by_another


@pytest.mark.parametrize(
    ("rule", "last", "bands"),
    [
        (Hyperband(min_iter=6, eta=2), 30, [6, 12, 24]),
        (Hyperband(min_iter=6, eta=2), 24, [6, 12, 24]),
        (Hyperband(min_iter=6, eta=2), 23, [6, 12]),
        (Hyperband(min_iter=6, eta=2), 5, []),
        (Hyperband(min_iter=3), 100, [3, 9, 27, 81]),
        (Hyperband(min_iter=2, eta=1.5), 15, [2, 3, 4, 6, 10, 15]),
        (Hyperband(max_iter=27, s=2), 27, [3, 9]),
        (Hyperband(max_iter=27, s=9), 27, [1, 3, 9]),
        (Hyperband(max_iter=27, s=2), 8, [3]),
        (Hyperband(max_iter=100, s=4, eta=2.5), 100, [2, 6, 16, 40]),
    ],
)
def test_bands(rule: Hyperband, last: int, bands: list[int]) -> None:
    assert rule.bands(last) == bands
    if bands:
        assert rule.first == bands[0]


OTHERS = [[0.2, 0.5], [0.4, 0.6], [0.6, 0.7]]


@pytest.mark.parametrize(
    ("history", "strict", "stop"),
    [
        ([0.1], False, None),  # before the first band
        ([0.1, 0.3], False, Stop(2, 0.3, 0.5)),  # three of four go on, as int(4 / eta) counts from 0
        ([0.1, 0.5], False, None),  # not worse than the threshold
        ([0.7, 0.3], False, None),  # has been better
        ([0.7, 0.3], True, Stop(2, 0.3, 0.5)),
        ([0.1, 0.3, 0.9], False, None),  # has got better since
        ([0.1, 0.3, 0.9], True, Stop(2, 0.3, 0.5)),
        ([0.1, nan], False, None),  # what is not finite is no iteration
        ([0.1, inf, 0.3], False, Stop(2, 0.3, 0.5)),
        ([nan, 0.9, 0.3], True, Stop(2, 0.3, 0.5)),
        ([], False, None),
    ],
)
@pytest.mark.parametrize("maximize", [True, False])
def test_the_rule(history: list[float], strict: bool, stop: Stop | None, maximize: bool) -> None:
    def turned(run: Sequence[float]) -> list[float]:
        return list(run) if maximize else [-value for value in run]

    others = [turned(run) for run in [*OTHERS, [0.9], [nan, 0.1], []]]  # the last three never got there
    if stop and not maximize:
        stop = Stop(stop.band, -stop.value, -stop.threshold)
    assert Hyperband(min_iter=2, eta=2, strict=strict).stops(turned(history), others, maximize) == stop


def test_the_first_run_at_a_band_goes_on() -> None:
    assert Hyperband(min_iter=1).stops([0.0], [], maximize=True) is None


def test_what_is_left_out_is_as_documented() -> None:
    assert parse({"type": "hyperband", "min_iter": 3}) == Hyperband(min_iter=3, eta=3, strict=False)
    assert parse({"type": "hyperband", "max_iter": 27, "s": 2}) == Hyperband(max_iter=27, s=2)


@pytest.mark.parametrize(
    ("spec", "key", "message"),
    [
        (None, "", "expected a mapping with type: hyperband, found None"),
        (
            {"type": "median", "min_iter": 3},
            "type",
            "expected hyperband, the only one there is, found 'median'",
        ),
        ({"min_iter": 3}, "type", "expected hyperband, .* found none"),
        ({"type": "hyperband"}, "min_iter", "either min_iter, or max_iter with s, found neither"),
        ({"type": "hyperband", "min_iter": 3, "max_iter": 9, "s": 1}, "min_iter", "found both"),
        ({"type": "hyperband", "max_iter": 9}, "s", "expected the number of bands with max_iter, found none"),
        ({"type": "hyperband", "min_iter": 3, "s": 1}, "s", "expected s only with max_iter"),
        ({"type": "hyperband", "min_itr": 3}, "min_itr", "unknown key.* did you mean min_iter?"),
        ({"type": "hyperband", "min_iter": 0}, "min_iter", "expected 1 or more, found 0"),
        ({"type": "hyperband", "min_iter": 2.5}, "min_iter", "expected a whole number, found 2.5"),
        ({"type": "hyperband", "min_iter": "3"}, "min_iter", "found the text '3': write 3 without quotes"),
        ({"type": "hyperband", "min_iter": 3, "eta": 1}, "eta", "expected more than 1, found 1"),
        (
            {"type": "hyperband", "min_iter": 3, "strict": "no"},
            "strict",
            "expected true or false, found 'no'",
        ),
        ({"type": "hyperband", "max_iter": 2, "s": 2}, "max_iter", "expected eta, 3, or more, found 2"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(spec: Any, key: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        parse(spec)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)
