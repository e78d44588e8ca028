"""In which order pages are seen: the same for a seed and an epoch, on one process or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler

Indices = NDArray[np.int64]


class Draw(NamedTuple):
    """A page to be seen, by its index, and the seed of what chance does to it."""

    page: int
    seed: int


class Stratum(NamedTuple):
    """Pages that are drawn alike: their indices, and their share among all that are drawn."""

    indices: Indices
    weight: float


# Both are DistributedSamplers, so that Lightning leaves them in their place, and tells them the epoch.
class TrainingOrder(DistributedSampler[Draw]):
    """An epoch of pages in a random order that depends on seed and epoch alone.

    An epoch has as many pages as there are, but each stratum's share of them is its weight's: of few
    pages with a high weight each is seen several times, of many with a low one only a part. No page
    is seen again in an epoch before all of its stratum were. `batch_size` pages in a row, a batch,
    have one orientation, so that little of it is padding; what fills no such batch comes at the end. An
    orientation so rare that not every third batch would be mixed is mixed: of few pages those at the end
    would be many, and a shortened epoch does not come to them.

    Args:
        strata: What to draw from.
        landscape: Whether each page is wider than high, [pages].
        batch_size: Pages in a batch.
        seed: Another one gives another order.
        rank: Which of the processes this is.
        world_size: Processes; each sees other pages, the same number of them.

    Attributes:
        start: How many pages the next time leaves out, having been seen before.
    """

    def __init__(
        self,
        strata: Sequence[Stratum],
        landscape: NDArray[np.bool_],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        pages: Any = range(len(landscape))
        super().__init__(pages, world_size, rank, shuffle=True, seed=seed)
        self.strata, self.landscape, self.batch_size = strata, landscape, batch_size
        self.start = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[Draw]:
        """Go through this process's pages of an epoch."""
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(_draw(self.strata, len(self.landscape), random))
        seeds = random.integers(2**62, size=self.total_size)
        order = np.resize(order, self.total_size)  # repeats a few, so that all processes see as many
        mine = slice(self.rank, None, self.num_replicas)
        order, seeds = order[mine], seeds[mine]
        order = order[_alike_in_batches(self.landscape[order], self.batch_size)]
        start, self.start = self.start, 0
        for index, seed in zip(order[start:], seeds[start:], strict=True):
            yield Draw(int(index), int(seed))


class EvaluationOrder(DistributedSampler[int]):
    """Each page once, in a given order; processes take turns.

    Lightning's own sampler makes all processes see as many pages by repeating some, which are then
    counted twice. A process may have a page less here; only where there are fewer pages than
    processes is one repeated, because a process without any would leave the others waiting.

    Args:
        order: Indices of pages.
        rank: Which of the processes this is.
        world_size: Processes.
    """

    def __init__(self, order: Indices, rank: int = 0, world_size: int = 1) -> None:
        pages: Any = range(len(order))
        super().__init__(pages, world_size, rank, shuffle=False)
        self.mine = np.resize(order, max(len(order), world_size))[rank::world_size]

    def __len__(self) -> int:
        return len(self.mine)

    def __iter__(self) -> Iterator[int]:
        """Go through this process's pages."""
        return map(int, self.mine)


class TrainingLoader(DataLoader[Any]):
    """A loader over a `TrainingOrder` that goes on where a checkpoint was written, in the middle of an epoch.

    Args:
        dataset: As of `DataLoader`.
        trainer: Says how many batches an epoch has; None means all.
        options: As of `DataLoader`, with `sampler` a `TrainingOrder`.
    """

    def __init__(self, dataset: Any, trainer: Any = None, **options: Any) -> None:
        super().__init__(dataset, **options)
        self.trainer = trainer
        self.epoch = self.given = 0

    def __iter__(self) -> Any:
        """Go through an epoch, or what is left of it; the next time, through the next one."""
        order = self.sampler if isinstance(self.sampler, TrainingOrder) else None  # Lightning may replace it
        if order:
            self.epoch, self.given = order.epoch, order.start // order.batch_size
        for batch in super().__iter__():
            self.given += 1
            yield batch
        if order:
            order.set_epoch(self.epoch + 1)

    def state_dict(self) -> dict[str, int]:
        """Where training is; Lightning keeps it in the checkpoint."""
        last = len(self) if self.trainer is None else self.trainer.num_training_batches
        if self.given >= last:
            return {"epoch": self.epoch + 1, "batches": 0}
        return {"epoch": self.epoch, "batches": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on there."""
        if isinstance(self.sampler, TrainingOrder):
            self.sampler.set_epoch(state["epoch"])
            self.sampler.start = state["batches"] * self.sampler.batch_size


def _draw(strata: Sequence[Stratum], count: int, random: np.random.Generator) -> Indices:
    """So many indices, of each stratum as its weight says, each page once before any comes again."""
    shares = np.cumsum([0.0, *(stratum.weight for stratum in strata)])
    counts = np.diff(np.rint(shares / shares[-1] * count).astype(int))
    rounds = [
        np.concatenate([random.permutation(indices) for _ in range(-(-wanted // len(indices)))])[:wanted]
        for (indices, _), wanted in zip(strata, counts, strict=True)
        if wanted
    ]
    return np.concatenate(rounds)


def _alike_in_batches(landscape: NDArray[np.bool_], batch_size: int) -> Indices:
    """The places 0 to n - 1 so that batches are of one orientation, and else in their order.

    All in their order, where mixing costs less padding than a rare orientation would lose.
    """
    rare = min(landscape.mean(), 1 - landscape.mean())
    if rare * batch_size < 1 / 3:
        return np.arange(len(landscape))
    batches, rest = [], []
    for orientation in (False, True):
        places = np.flatnonzero(landscape == orientation)
        full = len(places) // batch_size * batch_size
        batches.append(places[:full].reshape(-1, batch_size))
        rest.append(places[full:])
    filled = np.concatenate(batches)
    in_order = filled[np.argsort(filled[:, -1])]
    return np.concatenate([in_order.ravel(), *rest])
