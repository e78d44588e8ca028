"""Early termination of a sweep's runs: the rule of Weights & Biases."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tablesense.sweep.specs import SpecError, check_keys, number, whole

MOST_BANDS = 100
"""As many bands as Weights & Biases makes out of `min_iter`."""


@dataclass(frozen=True)
class Stop:
    """Why a run is to stop.

    Attributes:
        band: The band that it fell behind at: a number of values logged.
        value: Its value that was compared.
        threshold: What that value was worse than.
    """

    band: int
    value: float
    threshold: float


@dataclass(frozen=True)
class Hyperband:
    """When a run is stopped for being worse than the others.

    At each band, a number of values that a run has logged, the runs that got there are put in order of
    their value at that moment, and the threshold is that of the run at 1/eta of them. A run is stopped
    when it is worse than the threshold of the last band it has reached. That is asked at every value it
    logs and not only at a band, for the threshold moves as other runs get there.

    Either `min_iter`, or `max_iter` with `s`.

    Attributes:
        min_iter: The first band; each of the next is `eta` times further, without end.
        max_iter: The bands are this divided by `eta` once, twice, up to `s` times.
        s: The number of bands, with `max_iter`.
        eta: How far apart bands are, and the inverse of the share that goes on; above 1.
        strict: Compare the run's value at the band; otherwise the best it has had so far, also after it.

    Reference: https://docs.wandb.ai/models/sweeps/sweep-config-keys#early_terminate and hyperband_stopping.py
    of the package `sweeps` 0.3.0. They differ in one thing, `strict` left out: the page says false, which is
    taken here, the package's schema.json true.
    """

    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float = 3.0
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no bands.

        Raises:
            SpecError: One of the numbers is missing, too many or out of its range.
        """
        if (self.min_iter is None) == (self.max_iter is None):
            found = "neither" if self.min_iter is None else "both"
            raise SpecError("min_iter", f"expected either min_iter, or max_iter with s, found {found}")
        if self.max_iter is not None and self.s is None:
            raise SpecError("s", "expected the number of bands with max_iter, found none")
        if self.min_iter is not None and self.s is not None:
            raise SpecError("s", "expected s only with max_iter, found it with min_iter")
        for key in "min_iter", "max_iter", "s":
            value = getattr(self, key)
            if value is not None and value < 1:
                raise SpecError(key, f"expected 1 or more, found {value}")
        if not (self.eta > 1 and isfinite(self.eta)):
            raise SpecError("eta", f"expected more than 1, found {self.eta}")
        if self.max_iter is not None and not self.bands(self.max_iter):
            raise SpecError("max_iter", f"expected eta, {self.eta:g}, or more, found {self.max_iter}")

    @property
    def first(self) -> int:
        """The first band."""
        return self.bands(self.min_iter or self.max_iter or 0)[0]

    def bands(self, last: int) -> list[int]:
        """The bands up to a number of values logged, in ascending order."""
        bands: list[int] = []
        if self.min_iter is not None:
            band: float = self.min_iter
            while band < last + 1 and len(bands) < MOST_BANDS:
                bands.append(int(band))
                band *= self.eta
        else:
            band = self.max_iter or 0
            for _ in range(self.s or 0):
                band /= self.eta
                if band < 1:
                    break
                bands.append(int(band))
        return sorted(band for band in bands if band <= last)

    def stops(
        self, history: Sequence[float], others: Sequence[Sequence[float]], maximize: bool
    ) -> Stop | None:
        """Whether a run is to stop now.

        Args:
            history: The values of the metric that the run has logged. Those that are not finite count
                nowhere, not even as an iteration.
            others: The same of all the other runs of the sweep, whether they are running or have ended.
            maximize: Whether the metric is better when it is higher.

        Returns:
            Where it fell behind, or None when it goes on.
        """
        sign = -1.0 if maximize else 1.0
        own = _losses(history, sign)
        bands = self.bands(len(own))
        if not bands:
            return None
        band = bands[-1]
        reached = sorted(
            run[band - 1] for run in (own, *(_losses(o, sign) for o in others)) if len(run) >= band
        )
        threshold = reached[int(1.0 / self.eta * len(reached))]
        value = own[band - 1] if self.strict else min(own)
        return Stop(band, sign * value, sign * threshold) if value > threshold else None


def parse(spec: Any) -> Hyperband:
    """Read a sweep's `early_terminate`.

    Raises:
        SpecError: It is not Hyperband, or it makes no bands.
    """
    if not isinstance(spec, Mapping):
        raise SpecError("", f"expected a mapping with type: hyperband, found {reprlib.repr(spec)}")
    check_keys(spec, ("type", "min_iter", "max_iter", "s", "eta", "strict"))
    if spec.get("type") != "hyperband":
        found = reprlib.repr(spec["type"]) if "type" in spec else "none"
        raise SpecError("type", f"expected hyperband, the only one there is, found {found}")
    strict = spec.get("strict", False)
    if not isinstance(strict, bool):
        raise SpecError("strict", f"expected true or false, found {reprlib.repr(strict)}")
    numbers = {key: whole(spec, key) for key in ("min_iter", "max_iter", "s") if key in spec}
    return Hyperband(**numbers, eta=number(spec, "eta", 3.0), strict=strict)


def _losses(history: Sequence[float], sign: float) -> list[float]:
    return [sign * value for value in history if isfinite(value)]
