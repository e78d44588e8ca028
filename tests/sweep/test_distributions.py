"""Distributions, against those of Weights & Biases, and a search among them that is better than chance."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from math import exp, log
from statistics import median
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from scipy import stats

from tablesense.sweep.distributions import Categorical, Constant, IntUniform, Uniform
from tablesense.sweep.specs import DISTRIBUTIONS, SpecError, parse

SPECS: dict[str, dict[str, Any]] = {
    "int_uniform": {"min": -2, "max": 7},
    "uniform": {"min": 0.5, "max": 2.5},
    "q_uniform": {"distribution": "q_uniform", "min": 1, "max": 21, "q": 4},
    "q_uniform of a fraction": {"distribution": "q_uniform", "min": 0.05, "max": 1, "q": 0.1},
    "log_uniform": {"distribution": "log_uniform", "min": -6, "max": -1},
    "log_uniform_values": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
    "inv_log_uniform": {"distribution": "inv_log_uniform", "min": 1, "max": 6},
    "inv_log_uniform_values": {"distribution": "inv_log_uniform_values", "min": 1e-5, "max": 1e-2},
    "q_log_uniform": {"distribution": "q_log_uniform", "min": 1, "max": 6, "q": 8},
    "q_log_uniform_values": {"distribution": "q_log_uniform_values", "min": 1, "max": 300},
    "normal": {"distribution": "normal", "mu": 3, "sigma": 0.5},
    "q_normal": {"distribution": "q_normal", "mu": 0, "sigma": 10, "q": 2},
    "log_normal": {"distribution": "log_normal", "mu": -7, "sigma": 1.5},
    "q_log_normal": {"distribution": "q_log_normal", "mu": 2},
    "beta": {"distribution": "beta", "a": 2, "b": 5},
    "q_beta": {"distribution": "q_beta", "a": 2, "b": 0.5, "q": 0.05},
    "categorical": {"values": ["a", "b", "c"]},
    "categorical_w_probabilities": {"values": ["a", "b", "c"], "probabilities": [0.2, 0.5, 0.3]},
}

# HyperParameter(...).ppf of the package sweeps 0.3.0, at these shares, to eight digits.
SHARES = (0.02, 0.3, 0.5, 0.85, 0.99)
QUANTILES: dict[str, list[Any]] = {
    "int_uniform": [-2, 0, 2, 6, 7],
    "uniform": [0.54, 1.1, 1.5, 2.2, 2.48],
    "q_uniform": [0, 8, 12, 16, 20],
    "q_uniform of a fraction": [0.1, 0.3, 0.5, 0.9, 1.0],
    "log_uniform": [0.0027394448, 0.011108997, 0.030197383, 0.17377394, 0.34993775],
    "log_uniform_values": [1.1481536e-05, 7.9432823e-05, 0.00031622777, 0.0035481339, 0.009332543],
    "inv_log_uniform": [0.0027394448, 0.011108997, 0.030197383, 0.17377394, 0.34993775],
    "inv_log_uniform_values": [1.1481536e-05, 7.9432823e-05, 0.00031622777, 0.0035481339, 0.009332543],
    "q_log_uniform": [0, 16, 32, 192, 384],
    "q_log_uniform_values": [1, 6, 17, 128, 283],
    "normal": [1.9731255, 2.7377997, 3.0, 3.5182167, 4.1631739],
    "q_normal": [-20, -6, 0, 10, 24],
    "log_normal": [4.1883301e-05, 0.00041526206, 0.00091188197, 0.0043163294, 0.029882621],
    "q_log_normal": [1, 4, 7, 21, 76],
    "beta": [0.038451411, 0.18180347, 0.26444998, 0.4613036, 0.70568633],
    "q_beta": [0.2, 0.75, 0.9, 1.0, 1.0],
    "categorical": ["a", "a", "b", "c", "c"],
    "categorical_w_probabilities": ["a", "b", "b", "c", "c"],
}

# What is to be drawn, by scipy; whole and rounded numbers as the range that is rounded to them.
LOW, HIGH = log(1e-5), log(1e-2)
CUMULATIVE: dict[str, Callable[[Any], Any]] = {
    "int_uniform": lambda x: stats.randint(-2, 8).cdf(x),
    "uniform": lambda x: stats.uniform(0.5, 2).cdf(x),
    "q_uniform": lambda x: stats.uniform(1, 20).cdf(x + 2),
    "q_uniform of a fraction": lambda x: stats.uniform(0.05, 0.95).cdf(x + 0.05),
    "log_uniform": lambda x: stats.uniform(-6, 5).cdf(np.log(x)),
    "log_uniform_values": lambda x: stats.uniform(LOW, HIGH - LOW).cdf(np.log(x)),
    "inv_log_uniform": lambda x: 1 - stats.uniform(1, 5).cdf(np.log(1 / x)),
    "inv_log_uniform_values": lambda x: 1 - stats.uniform(-HIGH, HIGH - LOW).cdf(np.log(1 / x)),
    "q_log_uniform": lambda x: stats.uniform(1, 5).cdf(np.log(x + 4)),
    "q_log_uniform_values": lambda x: stats.uniform(0, log(300)).cdf(np.log(x + 0.5)),
    "normal": lambda x: stats.norm(3, 0.5).cdf(x),
    "q_normal": lambda x: stats.norm(0, 10).cdf(x + 1),
    "log_normal": lambda x: stats.lognorm(1.5, scale=exp(-7)).cdf(x),
    "q_log_normal": lambda x: stats.lognorm(1, scale=exp(2)).cdf(x + 0.5),
    "beta": lambda x: stats.beta(2, 5).cdf(x),
    "q_beta": lambda x: stats.beta(2, 0.5).cdf(x + 0.025),
    "categorical": lambda x: (np.searchsorted(["a", "b", "c"], x) + 1) / 3,
    "categorical_w_probabilities": lambda x: np.array([0.2, 0.7, 1.0])[np.searchsorted(["a", "b", "c"], x)],
}

DRAWS = 1000


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Any]]:
    """Draws from each, by Optuna at random."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {name: parse(spec) for name, spec in SPECS.items()}
    draws: dict[str, list[Any]] = {name: [] for name in SPECS}
    for _ in range(DRAWS):
        trial = study.ask()
        for name, distribution in distributions.items():
            draws[name].append(distribution.suggest(trial, name))
    return draws


def test_every_distribution_is_tested() -> None:
    tested = {spec.get("distribution", name) for name, spec in SPECS.items()}
    assert tested | {"constant"} == set(DISTRIBUTIONS)
    assert SPECS.keys() == QUANTILES.keys() == CUMULATIVE.keys()


@pytest.mark.parametrize("name", SPECS)
def test_quantiles_are_those_of_weights_and_biases(name: str) -> None:
    found = [parse(SPECS[name]).quantile(share) for share in SHARES]
    if isinstance(found[0], str):
        assert found == QUANTILES[name]
    else:
        assert found == pytest.approx(QUANTILES[name], rel=1e-7)


@pytest.mark.parametrize("name", SPECS)
def test_draws_follow_the_distribution(name: str, drawn: dict[str, list[Any]]) -> None:
    """The largest difference of the shares drawn up to a value: a thousand draws exceed this once in 1000."""
    draws = np.sort(drawn[name])
    values = np.unique(draws)
    share = np.searchsorted(draws, values, side="right") / DRAWS
    assert np.abs(share - CUMULATIVE[name](values)).max() < 1.95 / DRAWS**0.5


@pytest.mark.parametrize("name", ["int_uniform", "uniform", "log_uniform", "log_uniform_values"])
def test_draws_stay_between_the_ends(name: str, drawn: dict[str, list[Any]]) -> None:
    low, high = parse(SPECS[name]).ends()
    assert low <= min(drawn[name])
    assert max(drawn[name]) <= high


@pytest.mark.parametrize("name", SPECS)
def test_numbers_are_whole_where_they_should_be(name: str, drawn: dict[str, list[Any]]) -> None:
    q = SPECS[name].get("q", 1)
    whole = name == "int_uniform" or (name.startswith("q_") and isinstance(q, int))
    kinds = {type(value) for value in drawn[name]}
    assert kinds == ({str} if name.startswith("categorical") else {int} if whole else {float})


def test_quantised_values_are_as_they_would_be_written(drawn: dict[str, list[Any]]) -> None:
    assert set(drawn["q_uniform"]) == {0, 4, 8, 12, 16, 20}
    assert set(drawn["q_uniform of a fraction"]) <= {round(0.1 * step, 1) for step in range(11)}


@pytest.mark.parametrize(
    ("q", "number", "rounded"), [(2, 3.0, 4), (2, 5.0, 4), (2, -3.1, -4), (0.1, 0.31, 0.3), (2.0, 3.9, 4.0)]
)
def test_rounding(q: float, number: float, rounded: float) -> None:
    found = parse({"distribution": "q_uniform", "min": number, "max": 50.0, "q": q}).quantile(0)
    assert (found, type(found)) == (rounded, type(rounded))


@pytest.mark.parametrize(
    ("spec", "distribution"),
    [
        ({"value": None}, Constant(None)),
        ({"value": [1, 2], "distribution": "constant"}, Constant([1, 2])),
        ({"values": [1, "b"]}, Categorical((1, "b"))),
        ({"min": 1, "max": 3}, IntUniform(1, 3)),
        ({"min": 1.0, "max": 3.0}, Uniform(1.0, 3.0)),
        ({"min": 1, "max": 3, "distribution": "uniform"}, Uniform(1, 3)),
        ({"min": 1, "max": 3.5, "distribution": "uniform"}, Uniform(1, 3.5)),
    ],
)
def test_what_a_mapping_means(spec: dict[str, Any], distribution: Any) -> None:
    assert parse(spec) == distribution


@pytest.mark.parametrize(
    ("spec", "ends", "middle"),
    [
        ({"value": 3}, (3,), 3),
        ({"values": [4, 2, 2, 8, 9, 1]}, (4, 2, 8, 9, 1), 2),
        ({"values": [True, 1, False]}, (True, 1, False), 1),
        ({"values": [1, 2, 3], "probabilities": [0.1, 0, 0.9]}, (1, 3), 3),
        ({"min": 1, "max": 4}, (1, 4), 2),
        ({"min": 0.5, "max": 1.5}, (0.5, 1.5), 1.0),
        ({"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1}, (1e-5, 1e-1), 1e-3),
        ({"distribution": "log_uniform", "min": -2, "max": 4}, (exp(-2), exp(4)), exp(1)),
        ({"distribution": "inv_log_uniform", "min": -2, "max": 4}, (exp(-4), exp(2)), exp(-1)),
        ({"distribution": "q_uniform", "min": 10, "max": 50, "q": 20}, (0, 40), 40),
        ({"distribution": "normal"}, (-3.0902323, 3.0902323), 0),
        ({"distribution": "log_normal", "mu": 1, "sigma": 2}, (exp(-5.1804646), exp(7.1804646)), exp(1)),
        ({"distribution": "q_normal", "sigma": 10}, (-31, 31), 0),
        ({"distribution": "beta"}, (0.001, 0.999), 0.5),
    ],
)
def test_ends_and_middle(spec: dict[str, Any], ends: tuple[Any, ...], middle: Any) -> None:
    distribution = parse(spec)
    assert distribution.ends() == pytest.approx(ends)
    assert distribution.middle() == pytest.approx(middle)


def test_bounds_are_ends_to_the_last_digit() -> None:
    for low, high in (1e-5, 1e-2), (3e-5, 1e-3), (2e-4, 0.1):
        assert parse({"distribution": "log_uniform_values", "min": low, "max": high}).ends() == (low, high)


# As grid_search_next_runs of the package has them.
@pytest.mark.parametrize(
    ("spec", "grid"),
    [
        ({"value": 2}, [2]),
        ({"values": [3, 3, 1]}, [3, 1]),
        ({"min": 3, "max": 5}, [3, 4, 5]),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, [0.0, 0.25, 0.5, 0.75]),
        ({"distribution": "q_uniform", "min": 1, "max": 10, "q": 4}, [1, 5, 9]),
        ({"distribution": "q_uniform", "min": 0, "max": 0.4, "q": 0.1}, [0.0, 0.1, 0.2, 0.3]),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, None),
        ({"min": 0.0, "max": 1.0}, None),
        ({"distribution": "q_normal"}, None),
        ({"distribution": "log_uniform_values", "min": 1, "max": 9}, None),
    ],
)
def test_the_grid(spec: dict[str, Any], grid: list[Any] | None) -> None:
    assert parse(spec).grid() == grid


@pytest.mark.parametrize(
    "values", [[16, 32], ["a", None, True, 0.5], [[1, 2], [3]], [{"a": 1}, {"a": 2}], [1, True], [4, 4, 8]]
)
def test_values_come_out_as_they_went_in(values: list[Any]) -> None:
    distribution = parse({"values": values})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [distribution.suggest(study.ask(), "a") for _ in range(60)]
    assert {(type(value), str(value)) for value in found} == {(type(value), str(value)) for value in values}
    if values == [4, 4, 8]:
        assert found.count(4) > 30


def test_a_constant_is_no_parameter_of_the_search() -> None:
    trial = optuna.create_study().ask()
    assert parse({"value": 3}).suggest(trial, "a") == 3
    assert trial.params == {}


def test_what_optuna_keeps_reads_well() -> None:
    trial = optuna.create_study().ask()
    for name in "int_uniform", "uniform", "log_uniform_values", "categorical":
        value = parse(SPECS[name]).suggest(trial, name)
        assert trial.params[name] == value
    kept = trial.distributions["log_uniform_values"]
    assert isinstance(kept, optuna.distributions.FloatDistribution)
    assert kept.log
    for name in "q_uniform", "q_log_uniform_values":
        value = parse(SPECS[name]).suggest(trial, name)
        assert abs(trial.params[name] - value) <= SPECS[name].get("q", 1) / 2


@pytest.mark.parametrize("name", ["normal", "log_normal", "categorical_w_probabilities", "beta"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_at_the_very_end_has_a_value(name: str, share: float) -> None:
    trial = optuna.trial.FixedTrial({name: share})
    value = parse(SPECS[name]).suggest(trial, name)
    assert value in ("a", "c") or abs(value) < 10


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_has_no_probability_is_never_drawn(share: float) -> None:
    distribution = parse({"values": [1, 2, 3], "probabilities": [0, 1.0, 0]})
    assert distribution.suggest(optuna.trial.FixedTrial({"a": share}), "a") == 2


@pytest.mark.parametrize(
    ("spec", "key", "message"),
    [
        (0.1, "", "expected a mapping with value, values, .* found 0.1"),
        ({}, "", "expected value, values, min and max, or a distribution, found nothing"),
        ({"mu": 1}, "", "expected value, values, min and max, or a distribution, found only mu"),
        ({"vlaues": [1]}, "vlaues", "unknown key, expected .*; did you mean values?"),
        ({1: 2}, "1", "unknown key"),
        ({"distribution": "unifrom", "min": 0, "max": 1}, "distribution", "'unifrom'; did you mean uniform?"),
        ({"distribution": "zz"}, "distribution", "there is no 'zz'; expected constant, .* or q_beta"),
        ({"distribution": ["a"]}, "distribution", "there is no"),
        ({"values": []}, "values", "expected at least one, found an empty list"),
        ({"values": "adam"}, "values", "expected a list, found 'adam'"),
        ({"value": 1, "values": [1]}, "values", "expected value with constant, found values"),
        ({"min": 3, "max": 1}, "min", "expected less than max, found min 3 and max 1"),
        ({"min": 1.0, "max": 1.0}, "min", "one value is `value: 1.0`"),
        ({"min": 0.1}, "max", "expected min and max with uniform, found no max"),
        ({"max": 1}, "min", "expected min and max with int_uniform, found no min"),
        ({"min": 0, "max": 0.5}, "min", "found min 0 and max 0.5: write min: 0.0, or distribution: uniform"),
        ({"min": 0.5, "max": 1}, "max", "write max: 1.0, or distribution: uniform"),
        ({"distribution": "int_uniform", "min": 0, "max": 1.5}, "max", "expected a whole number, found 1.5"),
        ({"min": 0, "max": 9, "q": 2}, "q", "min and max with int_uniform, found q; did you mean q_uniform?"),
        ({"distribution": "uniform", "min": 0, "max": 9, "mu": 2}, "mu", "expected min and max with uniform"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "min", "expected more than 0 on a log"),
        (
            {"distribution": "q_log_uniform_values", "min": -1, "max": 1},
            "min",
            "expected more than 0 on a log",
        ),
        (
            {"distribution": "inv_log_uniform_values", "min": 0, "max": 1},
            "min",
            "expected more than 0 on a log",
        ),
        (
            {"distribution": "log_uniform", "min": 1, "max": 900},
            "max",
            "expected an exponent of e, 700 at most",
        ),
        ({"distribution": "log_normal", "mu": 800}, "mu", "expected an exponent of e, found 800"),
        ({"distribution": "normal", "sigma": 0}, "sigma", "expected more than 0, found 0"),
        ({"distribution": "beta", "a": -1}, "a", "expected more than 0, found -1"),
        ({"distribution": "q_uniform", "min": 0, "max": 9, "q": 0}, "q", "expected more than 0, found 0"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "probabilities", "expected a sum of 1, found 1.1"),
        ({"values": [1, 2], "probabilities": [1]}, "probabilities", "one for each of the 2 values, found 1"),
        ({"values": [1, 2], "probabilities": [2, -1]}, "probabilities", "expected 0 or more, found -1"),
        ({"values": [1, 2], "probabilities": ["a", 1]}, "probabilities", "expected a number"),
        (
            {"distribution": "categorical", "values": [1], "probabilities": [1]},
            "probabilities",
            "did you mean categorical_w_probabilities?",
        ),
        ({"min": "abc", "max": 1}, "min", "expected a number, found the text 'abc'"),
        ({"min": "0.1", "max": 1}, "min", "found the text '0.1': write 0.1 without quotes"),
        ({"min": True, "max": 2}, "min", "expected a number, found True"),
        ({"min": None, "max": 2}, "min", "expected a number, found None"),
        ({"min": 0.0, "max": float("inf")}, "max", "expected a finite number, found inf"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(spec: Any, key: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        parse(spec)
    assert caught.value.key == key
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["1e-5", "1e5", "2.5e5", "-3E+2", ".5e3", "1.e4"])
def test_a_number_that_yaml_takes_for_a_text_comes_with_how_to_write_it(number: str) -> None:
    spec = yaml.safe_load(f"{{distribution: uniform, min: {number}, max: 1.0e+9}}")
    assert isinstance(spec["min"], str)
    with pytest.raises(SpecError, match=r"which is a text to YAML 1\.1: write ") as caught:
        parse(spec)
    assert yaml.safe_load(str(caught.value).rsplit("write ")[1]) == float(number)


def test_a_sweep_is_read_without_optuna() -> None:
    """Optuna takes longer to import than all of a check."""
    program = (
        "import sys; sys.modules['optuna'] = None\n"
        "from tablesense.sweep import hyperband, specs\n"
        "d = specs.parse({'distribution': 'q_log_normal'}); d.ends(), d.middle(), d.grid()\n"
        "hyperband.parse({'type': 'hyperband', 'min_iter': 3}).stops([1.0] * 9, [[2.0] * 9], True)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tpe_is_better_than_chance() -> None:
    """A smooth peak: how far from it the best of 50 trials is, in the median of 20 seeds."""
    distributions = {
        "lr": parse({"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1}),
        "layers": parse({"min": 1, "max": 12}),
        "kind": parse({"values": ["a", "b", "c", "d"]}),
        "dropout": parse({"min": 0.0, "max": 1.0}),
    }

    def loss(trial: optuna.Trial) -> float:
        lr, layers, kind, dropout = (d.suggest(trial, name) for name, d in distributions.items())
        return float(
            (log(lr / 7e-4) / log(10)) ** 2
            + ((layers - 8) / 4) ** 2
            + {"a": 1.0, "b": 0.5, "c": 0.0, "d": 1.0}[kind]
            + ((dropout - 0.3) / 0.3) ** 2
        )

    def best(sampler: optuna.samplers.BaseSampler) -> float:
        study = optuna.create_study(sampler=sampler)
        study.optimize(loss, n_trials=50)
        return study.best_value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        tpe = [best(optuna.samplers.TPESampler(multivariate=True, seed=seed)) for seed in range(20)]
    random = [best(optuna.samplers.RandomSampler(seed=seed)) for seed in range(20)]
    assert median(tpe) < 0.5 * median(random)
    assert sum(t < r for t, r in zip(tpe, random, strict=True)) >= 14
