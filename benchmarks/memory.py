"""A training step of the small recipe where freed memory stays with the process, and where it is given back.

    python benchmarks/memory.py

Two processes take turns, step by step. Each line gives the median time of a step, the median of its ratios to
the first, how often the system had to map a page of memory in a step, and the process's peak.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection

import torch
from step import BATCH, HEIGHT, WIDTH, step

from tablesense.memory import keep_freed_memory

ROUNDS = 12


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    ends, names = [], ("kept", "given back")
    for name in names:
        here, there = spawn.Pipe()
        spawn.Process(target=run, args=(name == "kept", there), daemon=True).start()
        ends.append(here)
    rounds = []
    for _ in range(ROUNDS):
        results = []
        for end in ends:
            end.send(None)
            results.append(end.recv())
        rounds.append(results)
    rounds = rounds[3:]  # the first choose kernels
    for i, name in enumerate(names):
        seconds = statistics.median(results[i][0] for results in rounds)
        ratio = statistics.median(results[i][0] / results[0][0] for results in rounds)
        mapped = statistics.median(results[i][1] for results in rounds)
        peak = rounds[-1][i][2] / 2**20
        print(f"{name:12} {seconds:6.3f} s  {ratio:5.2f} x the first  {mapped:9,.0f} pages  {peak:.2f} GB")


def run(keep: bool, end: Connection) -> None:
    """Do a step whenever told to."""
    if keep:
        keep_freed_memory()
    torch.manual_seed(0)
    pixels = torch.randn(BATCH, 3, HEIGHT, WIDTH)
    mask = torch.ones(BATCH, HEIGHT, WIDTH, dtype=torch.bool)
    targets = [{"labels": torch.zeros(2, dtype=torch.long), "boxes": torch.rand(2, 4) * 0.4 + 0.3}] * BATCH
    one = step(pixels, mask, targets)
    while True:
        try:
            end.recv()
        except EOFError:  # the other end is closed
            return
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
        one()
        seconds, usage = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        end.send((seconds, usage.ru_minflt - before, usage.ru_maxrss))


if __name__ == "__main__":
    main()
