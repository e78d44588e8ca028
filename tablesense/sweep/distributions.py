"""The distributions of Weights & Biases, drawn by Optuna.

Names and meaning are those of https://docs.wandb.ai/models/sweeps/sweep-config-keys and, where the page
leaves something open, of the package `sweeps` (https://github.com/wandb/sweeps, 0.3.0), its controller.

Nothing here imports Optuna: to read and check a sweep it need not be there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from math import ceil, exp
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

EDGE = 1e-9
"""How near to 0 and 1 a quantile is taken of what has no ends."""

TAIL = 1e-3
"""Where the ends of what has none are taken to be: the quantiles at this share and at 1 minus it."""


class Distribution(ABC):
    """What the values of one parameter are drawn from."""

    @abstractmethod
    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Have Optuna choose the value for a trial.

        What `trial.params` keeps is what Optuna chose. That is the value itself, save for three: a
        quantised value before it is rounded, the share in [0, 1] that a quantile was taken at, and
        "index: value" where values are lists or mappings, which Optuna cannot keep.
        """

    @abstractmethod
    def quantile(self, share: float) -> Any:
        """The value that a share, in [0, 1], of all draws comes up to."""

    def ends(self) -> tuple[Any, ...]:
        """The values to try a program with: all that there are, or both ends."""
        return self.quantile(0.0), self.quantile(1.0)

    def middle(self) -> Any:
        """The median; of values that are listed the one in the middle, the first of two."""
        return self.quantile(0.5)

    def grid(self) -> list[Any] | None:
        """The values of a grid search in their order, or None where Weights & Biases has no grid."""
        return None

    def chosen(self, value: Any) -> Any:
        """What `trial.params` keeps for a value of the grid."""
        return value


@dataclass(frozen=True)
class Constant(Distribution):
    """One value, which Optuna is not asked for."""

    value: Any

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """The value."""
        return self.value

    def quantile(self, share: float) -> Any:
        """The value."""
        return self.value

    def ends(self) -> tuple[Any, ...]:
        """The value, once."""
        return (self.value,)

    def grid(self) -> list[Any]:
        """The value."""
        return [self.value]


@dataclass(frozen=True)
class Categorical(Distribution):
    """Values that are drawn equally often; one that is listed twice, twice as often."""

    values: tuple[Any, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Choose among the values, or among "index: value" where there are lists or mappings."""
        if all(value is None or isinstance(value, (bool, int, float, str)) for value in self.values):
            return trial.suggest_categorical(name, self.values)
        labels = [self.chosen(value) for value in self.values]
        return self.values[labels.index(trial.suggest_categorical(name, labels))]

    def chosen(self, value: Any) -> Any:
        """The value, or its label where Optuna cannot keep it."""
        if all(value is None or isinstance(value, (bool, int, float, str)) for value in self.values):
            return value
        return f"{self.values.index(value)}: {value}"

    def quantile(self, share: float) -> Any:
        """The value at that share of the list."""
        return self.values[_nth(share, len(self.values))]

    def ends(self) -> tuple[Any, ...]:
        """All of the values."""
        return tuple(_unique(self.values))

    def grid(self) -> list[Any]:
        """All of the values, each once."""
        return _unique(self.values)


class Latent(Distribution):
    """Drawn by its quantile function, from a share that Optuna chooses in [0, 1]."""

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Choose the share, and take the quantile at it."""
        return self.quantile(trial.suggest_float(name, 0.0, 1.0))

    def ends(self) -> tuple[Any, ...]:
        """The quantiles near 0 and 1, at `TAIL`."""
        return self.quantile(TAIL), self.quantile(1 - TAIL)


@dataclass(frozen=True)
class Weighted(Latent):
    """Values with a probability each."""

    values: tuple[Any, ...]
    probabilities: tuple[float, ...]

    def quantile(self, share: float) -> Any:
        """The first value with which the probabilities add up to more than the share."""
        last = max(index for index, probability in enumerate(self.probabilities) if probability > 0)
        return self.values[min(bisect_right(list(accumulate(self.probabilities)), share), last)]

    def ends(self) -> tuple[Any, ...]:
        """All of the values that can be drawn."""
        drawn = zip(self.values, self.probabilities, strict=True)
        return tuple(_unique([value for value, probability in drawn if probability > 0]))


@dataclass(frozen=True)
class IntUniform(Distribution):
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int

    def suggest(self, trial: BaseTrial, name: str) -> int:
        """Choose the number."""
        return trial.suggest_int(name, self.low, self.high)

    def quantile(self, share: float) -> int:
        """The number at that share of all."""
        return self.low + _nth(share, self.high - self.low + 1)

    def grid(self) -> list[Any]:
        """All of the numbers."""
        return list(range(self.low, self.high + 1))


@dataclass(frozen=True)
class Uniform(Distribution):
    """Numbers between `low` and `high`."""

    low: float
    high: float

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Choose the number."""
        return trial.suggest_float(name, self.low, self.high)

    def quantile(self, share: float) -> float:
        """The number at that share of the way."""
        return (1 - share) * self.low + share * self.high


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Numbers between `low` and `high`, above 0, the logarithm of which is uniform.

    The inverse of such a number is one too: log(1/x) is uniform where log(x) is. So both of the inverse
    distributions of Weights & Biases are this.
    """

    low: float
    high: float

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Choose the number on a logarithmic scale."""
        return trial.suggest_float(name, self.low, self.high, log=True)

    def quantile(self, share: float) -> float:
        """The number at that share of the way on a logarithmic scale."""
        return float(self.low * (self.high / self.low) ** share)

    def ends(self) -> tuple[Any, ...]:
        """The bounds, to the last digit."""
        return self.low, self.high


@dataclass(frozen=True)
class Normal(Latent):
    """The normal distribution."""

    mu: float
    sigma: float

    def quantile(self, share: float) -> float:
        """The number at that share, which is kept off 0 and 1."""
        return NormalDist(self.mu, self.sigma).inv_cdf(min(max(share, EDGE), 1 - EDGE))


@dataclass(frozen=True)
class LogNormal(Latent):
    """Numbers the natural logarithm of which is normal with `mu` and `sigma`."""

    mu: float
    sigma: float

    def quantile(self, share: float) -> float:
        """The number at that share, which is kept off 0 and 1."""
        return exp(Normal(self.mu, self.sigma).quantile(share))


@dataclass(frozen=True)
class Beta(Latent):
    """The beta distribution, between 0 and 1; the package has it, the page does not."""

    a: float
    b: float

    def quantile(self, share: float) -> float:
        """The number at that share."""
        from scipy.special import betaincinv

        return float(betaincinv(self.a, self.b, share))


@dataclass(frozen=True)
class Quantised(Distribution):
    """A distribution rounded to multiples of `q`, halves to the even one.

    The multiples are those of 0: the nearest one to a bound may lie beyond it.
    """

    base: Distribution
    q: float

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Choose as the distribution itself does, and round that."""
        return self._snap(self.base.suggest(trial, name))

    def quantile(self, share: float) -> float:
        """The quantile of the distribution itself, rounded."""
        return self._snap(self.base.quantile(share))

    def ends(self) -> tuple[Any, ...]:
        """The ends of the distribution itself, rounded."""
        return tuple(self._snap(end) for end in self.base.ends())

    def grid(self) -> list[Any] | None:
        """Of a uniform one: from its lower bound in steps of `q`, its upper bound left out."""
        if not isinstance(self.base, Uniform):
            return None
        low, high, q = (Decimal(repr(number)) for number in (self.base.low, self.base.high, self.q))
        whole = isinstance(self.q, int) and low % 1 == 0
        points = [low + q * step for step in range(ceil((high - low) / q))]
        return [int(point) if whole else float(point) for point in points]

    def _snap(self, number: float) -> float:
        """The multiple, as it would be written: 3 times .1 is .3, not .30000000000000004."""
        steps = round(number / self.q)
        return steps * self.q if isinstance(self.q, int) else float(Decimal(repr(self.q)) * steps)


def _nth(share: float, count: int) -> int:
    """The index, from 0, that a share in [0, 1] of `count` things comes up to."""
    return max(ceil(share * count) - 1, 0)


def _unique(values: Sequence[Any]) -> list[Any]:
    """The values without those that came before; true is not 1."""
    kept: list[Any] = []
    for value in values:
        if not any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in kept):
            kept.append(value)
    return kept
