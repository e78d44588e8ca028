"""The time that each augmentation preset takes for a page, on one core.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/augment.py

Pages are A4 in colour with two tables, twice as large as the view, as the data set decodes them. Presets run
in turn, page by page, in one process, so that a machine that slows down slows all of them. A mosaic, whose
four pages or so are decoded already, comes before the preset and adds to it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from random import Random
from typing import get_args

import numpy as np
from PIL import Image

from tablesense.data.augment.mosaic import Labelled, mosaic
from tablesense.data.transforms import Preset, augment, fit_with_boxes

VIEWS = 120


def main() -> None:
    print(f"{'':10}  longest side  mean ms  90% below  views/s  x scan")
    for longest_side in (384, 800):
        pages = [draw_page(Random(seed), 2 * longest_side) for seed in range(6)]
        runs: dict[str, Callable[[Random], object]] = {
            preset: lambda rng, preset=preset, side=longest_side, pages=pages: augment(
                *rng.choice(pages)[:2], side, preset, rng
            )
            for preset in get_args(Preset)
        }
        runs["mosaic"] = lambda rng, pages=pages: mosaic(rng.choice(pages), lambda: rng.choice(pages), rng)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for seed in range(VIEWS):
            for name, run in runs.items():
                start = time.perf_counter()
                run(Random(seed))
                times[name].append(1000 * (time.perf_counter() - start))
        scan = statistics.mean(times["scan"])
        for name, values in times.items():
            mean, slow = statistics.mean(values), statistics.quantiles(values, n=10)[-1]
            figures = f"{mean:7.1f}  {slow:9.1f}  {1000 / mean:7.0f}  {mean / scan:6.2f}"
            print(f"{name:10}  {longest_side:12}  {figures}")


def draw_page(rng: Random, longest_side: int) -> Labelled:
    """Lines of words, and two tables of shorter ones."""
    pixels = np.full((2339, 1654, 3), 255, dtype=np.uint8)
    top = rng.randint(300, 900)
    boxes = [(200.0, float(top), 1450.0, top + 420.0), (300.0, top + 700.0, 1100.0, top + 1000.0)]
    for y in range(180, 2180, 34):
        in_table = any(y0 - 30 < y < y1 for _, y0, _, y1 in boxes)
        x = 200
        while x < 1400:
            length = 110 if in_table else rng.randint(20, 120)
            pixels[y : y + 16, x : x + length : 3] = (30, 30, 60)
            x += 250 if in_table else length + 14
    page, boxes = fit_with_boxes(Image.fromarray(pixels), boxes, longest_side)
    return page, boxes, [0, 0]


if __name__ == "__main__":
    main()
