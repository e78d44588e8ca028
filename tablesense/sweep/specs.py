"""What a sweep says of one parameter, read into the distribution that it means.

Names and defaults are those of https://docs.wandb.ai/models/sweeps/sweep-config-keys and, where the page
leaves something open, of the package `sweeps` (https://github.com/wandb/sweeps, 0.3.0), its controller.
`q` left out is the whole number 1; a whole `q` gives whole numbers, as there.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from math import exp, isclose, isfinite
from re import fullmatch
from typing import Any

from tablesense.sweep.distributions import (
    Beta,
    Categorical,
    Constant,
    Distribution,
    IntUniform,
    LogNormal,
    LogUniform,
    Normal,
    Quantised,
    Uniform,
    Weighted,
)

LARGEST_EXPONENT = 700.0
"""Beyond it e to the power is no longer a float."""


class SpecError(ValueError):
    """A part of a sweep that cannot be read.

    The message is one line: the key, what was expected there and what was found.

    Attributes:
        key: The key at fault, as "min"; "" where it is the whole.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


Reader = Callable[[Mapping[str, Any]], Distribution]


def parse(spec: Any) -> Distribution:
    """Read what a sweep says of one parameter.

    Args:
        spec: The mapping below the parameter's name: `value`, `values`, or bounds with or without a
            `distribution`.

    Raises:
        SpecError: It cannot be drawn from. So is a pair of bounds without a distribution of which one is
            whole and the other is not: Weights & Biases takes those for `uniform`.
    """
    expected = "value, values, min and max, or a distribution"
    if not isinstance(spec, Mapping):
        raise SpecError("", f"expected a mapping with {expected}, found {reprlib.repr(spec)}")
    if not spec:
        raise SpecError("", f"expected {expected}, found nothing")
    check_keys(spec, KEYS)
    kind = _kind(spec)
    if kind is None:
        raise SpecError("", f"expected {expected}, found only {' and '.join(spec)}")
    base, quantised = (kind[2:], True) if kind.startswith("q_") else (kind, False)
    needed, optional, reader = _READERS[base]
    takes = [*needed, *optional, *(["q"] if quantised else [])]
    for key in spec:
        if key != "distribution" and key not in takes:
            raise SpecError(
                key, f"expected {' and '.join(takes)} with {kind}, found {key}{_meant(key, base)}"
            )
    for key in needed:
        if key not in spec:
            raise SpecError(key, f"expected {' and '.join(needed)} with {kind}, found no {key}")
    distribution = reader(spec)
    return Quantised(distribution, _positive(spec, "q", 1)) if quantised else distribution


def check_keys(spec: Mapping[str, Any], known: Sequence[str]) -> None:
    """Assert that a mapping has no other keys.

    Raises:
        SpecError: It has one; the nearest is named.
    """
    for key in spec:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SpecError(str(key), f"unknown key, expected {_either(known)}{hint}")


def number(spec: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """The number that a mapping has under a key: an int or a float as it is written.

    Raises:
        SpecError: It is none; for a text that looks like one, with how YAML 1.1 wants it.
    """
    return _number(key, spec[key] if default is None else spec.get(key, default))


def whole(spec: Mapping[str, Any], key: str) -> int:
    """The whole number that a mapping has under a key.

    Raises:
        SpecError: It is none.
    """
    found = number(spec, key)
    if not isinstance(found, int):
        raise SpecError(key, f"expected a whole number, found {found}")
    return found


def _number(key: str, found: Any) -> float:
    if isinstance(found, str):
        raise SpecError(key, f"expected a number, found {as_text(found)}")
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise SpecError(key, f"expected a number, found {reprlib.repr(found)}")
    if not isfinite(found):
        raise SpecError(key, f"expected a finite number, found {found}")
    return found


def as_text(text: str) -> str:
    """A text where a number belongs, with what to write instead.

    YAML 1.1 takes a number with an exponent for a text unless it has a point and the exponent a sign.
    """
    power = fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+))[eE]([-+]?)(\d+)", text)
    if power:
        mantissa = power[1] if "." in power[1] else f"{power[1]}.0"
        return f"{text!r}, which is a text to YAML 1.1: write {mantissa}e{power[2] or '+'}{power[3]}"
    if fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text):
        return f"the text {text!r}: write {text} without quotes"
    return f"the text {reprlib.repr(text)}"


def _kind(spec: Mapping[str, Any]) -> str | None:
    """The distribution, or the one that Weights & Biases takes where none is named."""
    if "distribution" in spec:
        kind = spec["distribution"]
        if kind in DISTRIBUTIONS:
            return str(kind)
        near = get_close_matches(str(kind), DISTRIBUTIONS, n=1)
        names = f"did you mean {near[0]}?" if near else f"expected {_either(DISTRIBUTIONS)}"
        raise SpecError("distribution", f"there is no {reprlib.repr(kind)}; {names}")
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    if "min" not in spec and "max" not in spec:
        return None
    bounds = [number(spec, key) for key in ("min", "max") if key in spec]
    if all(isinstance(bound, int) for bound in bounds):
        return "int_uniform"
    if any(isinstance(bound, int) for bound in bounds):
        key = "min" if isinstance(spec["min"], int) else "max"
        raise SpecError(
            key,
            f"expected two whole numbers or two with a point, found min {spec['min']} and max {spec['max']}: "
            f"write {key}: {spec[key]}.0, or distribution: uniform",
        )
    return "uniform"


def _constant(spec: Mapping[str, Any]) -> Distribution:
    return Constant(spec["value"])


def _categorical(spec: Mapping[str, Any]) -> Distribution:
    return Categorical(_listed(spec, "values"))


def _weighted(spec: Mapping[str, Any]) -> Distribution:
    values, key = _listed(spec, "values"), "probabilities"
    probabilities = tuple(_number(key, probability) for probability in _listed(spec, key))
    if len(probabilities) != len(values):
        raise SpecError(key, f"expected one for each of the {len(values)} values, found {len(probabilities)}")
    if min(probabilities) < 0:
        raise SpecError(key, f"expected 0 or more, found {min(probabilities)}")
    if not isclose(sum(probabilities), 1, rel_tol=1e-5):
        raise SpecError(key, f"expected a sum of 1, found {sum(probabilities):g}")
    return Weighted(values, probabilities)


def _int_uniform(spec: Mapping[str, Any]) -> Distribution:
    _bounds(spec)
    return IntUniform(whole(spec, "min"), whole(spec, "max"))


def _uniform(spec: Mapping[str, Any]) -> Distribution:
    return Uniform(*_bounds(spec))


def _log_uniform(spec: Mapping[str, Any]) -> Distribution:
    low, high = _exponents(spec)
    return LogUniform(exp(low), exp(high))


def _log_uniform_values(spec: Mapping[str, Any]) -> Distribution:
    low, high = _bounds(spec)
    if low <= 0:
        raise SpecError("min", f"expected more than 0 on a logarithmic scale, found {low}")
    return LogUniform(low, high)


def _inv_log_uniform(spec: Mapping[str, Any]) -> Distribution:
    low, high = _exponents(spec)
    return LogUniform(exp(-high), exp(-low))


def _normal(spec: Mapping[str, Any]) -> Distribution:
    return Normal(number(spec, "mu", 0.0), _positive(spec, "sigma", 1.0))


def _log_normal(spec: Mapping[str, Any]) -> Distribution:
    mu, sigma = number(spec, "mu", 0.0), _positive(spec, "sigma", 1.0)
    if Normal(mu, sigma).quantile(1.0) > LARGEST_EXPONENT:
        raise SpecError("mu", f"expected an exponent of e, found {mu} with sigma {sigma}")
    return LogNormal(mu, sigma)


def _beta(spec: Mapping[str, Any]) -> Distribution:
    return Beta(_positive(spec, "a", 1.0), _positive(spec, "b", 1.0))


_READERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Reader]] = {
    "constant": (("value",), (), _constant),
    "categorical": (("values",), (), _categorical),
    "categorical_w_probabilities": (("values", "probabilities"), (), _weighted),
    "int_uniform": (("min", "max"), (), _int_uniform),
    "uniform": (("min", "max"), (), _uniform),
    "log_uniform": (("min", "max"), (), _log_uniform),
    "log_uniform_values": (("min", "max"), (), _log_uniform_values),
    "inv_log_uniform": (("min", "max"), (), _inv_log_uniform),
    "inv_log_uniform_values": (("min", "max"), (), _log_uniform_values),
    "normal": ((), ("mu", "sigma"), _normal),
    "log_normal": ((), ("mu", "sigma"), _log_normal),
    "beta": ((), ("a", "b"), _beta),
}
"""By name: the keys that have to be there, those that may, and how they are read."""

_QUANTISED = ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta")

DISTRIBUTIONS = (*_READERS, *(f"q_{name}" for name in _QUANTISED))
"""All of the distributions by name."""

KEYS = ("value", "values", "probabilities", "distribution", "min", "max", "mu", "sigma", "q", "a", "b")
"""All of the keys that a parameter can have."""


def _bounds(spec: Mapping[str, Any]) -> tuple[float, float]:
    low, high = number(spec, "min"), number(spec, "max")
    if low >= high:
        same = f"; one value is `value: {low}`" if low == high else ""
        raise SpecError("min", f"expected less than max, found min {low} and max {high}{same}")
    return low, high


def _exponents(spec: Mapping[str, Any]) -> tuple[float, float]:
    low, high = _bounds(spec)
    for key, exponent in ("min", low), ("max", high):
        if abs(exponent) > LARGEST_EXPONENT:
            raise SpecError(key, f"expected an exponent of e, {LARGEST_EXPONENT:g} at most, found {exponent}")
    return low, high


def _positive(spec: Mapping[str, Any], key: str, default: float) -> float:
    found = number(spec, key, default)
    if found <= 0:
        raise SpecError(key, f"expected more than 0, found {found}")
    return found


def _listed(spec: Mapping[str, Any], key: str) -> tuple[Any, ...]:
    found = spec[key]
    if not isinstance(found, (list, tuple)):
        raise SpecError(key, f"expected a list, found {reprlib.repr(found)}")
    if not found:
        raise SpecError(key, "expected at least one, found an empty list")
    return tuple(found)


def _meant(key: str, base: str) -> str:
    """What a key that does not go with a distribution was meant for."""
    if key == "q":
        quantised = "q_" + ("uniform" if base == "int_uniform" else base)
        return f"; did you mean {quantised}?" if quantised in DISTRIBUTIONS else ""
    if key == "probabilities" and base == "categorical":
        return "; did you mean categorical_w_probabilities?"
    return ""


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
