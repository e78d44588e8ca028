"""What a large data set costs: reading it once, opening its index, and what each worker adds.

    python benchmarks/index.py [PAGES]

Makes a COCO data set of PAGES pages (1,000,000) with twice as many boxes: one annotation file without, and
one with polygons of twelve corners, and an empty file for each image, as the reader looks for the images in a
listing of their folder and opens none whose size the annotations tell. All of it is in a temporary folder
and removed in the end. A million pages take about three minutes, half of them to make. Exits with 1 when a
target is missed.

Each measurement is made in a process of its own. A worker is what a DataLoader starts: it gets the table by
fork, or pickled to a new interpreter, and reads 10,000 random pages. What it adds is by how much its share of
memory grows from before it does so, all workers being alive: PSS, in which a piece of memory that four
processes use counts as a quarter in each, and USS, what no other process uses.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from tablesense.data.coco import read_coco
from tablesense.data.index import open_index
from tablesense.data.table import PageTable

WORKERS, TOUCHED = 4, 10_000
PEAK_MB, OPEN_S, WORKER_MB, ACCESS_US = 1500, 1.0, 50, 50


def main() -> None:
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    missed = []

    def row(what: str, found: float, unit: str, target: float | None = None) -> None:
        end = ""
        if target is not None:
            missed.extend([what] * (found >= target))
            end = f"   target: below {target:,g} {unit}{', MISSED' if found >= target else ''}"
        print(f"{what:48}{found:>10,.4g} {unit:3}{end}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")
        start = time.perf_counter()
        make(root, pages)
        row(f"making {pages:,} pages, {2 * pages:,} boxes", time.perf_counter() - start, "s")
        for kind in "polygons", "boxes":  # the rest is measured with the second one
            built = measured("build", root / kind)
            size = (root / kind / "train.json").stat().st_size / 1e6
            row(f"reading {kind} ({size:,.0f} MB) to an index", built["seconds"], "s")
            row("  peak memory (RSS) of that process", built["peak"], "MB", PEAK_MB)
        data = root / "boxes"
        row("opening the index", measured("open", data)["seconds"], "s", OPEN_S)
        row("a page at random", measured("access", data)["us"], "us", ACCESS_US)
        row("shuffling the pages from (seed, epoch)", measured("shuffle", data)["ms"], "ms")
        for way in "fork", "spawn":
            added = measured(way, data)
            row(f"each of {WORKERS} workers adds ({way}, PSS)", added["pss"], "MB", WORKER_MB)
            row(f"each of {WORKERS} workers adds ({way}, USS)", added["uss"], "MB", WORKER_MB)
        row("the table as it is pickled for a worker", len(pickle.dumps(opened(data))) / 1e3, "kB")
    sys.exit(bool(missed))


def make(root: Path, pages: int) -> None:
    """Two data sets that share a folder of empty images."""
    images = root / "images"
    images.mkdir()
    names = [f"PMC{i // 8:07d}_{i % 8:05d}.jpg" for i in range(pages)]
    for name in names:
        os.close(os.open(images / name, os.O_CREAT))
    draw = random.Random(0)
    images_written = ", ".join(
        f'{{"id": {i}, "file_name": "{name}", "width": 596, "height": 794}}' for i, name in enumerate(names)
    )
    on_page = np.random.default_rng(0).integers(pages, size=2 * pages).tolist()
    for kind in "boxes", "polygons":
        folder = root / kind
        folder.mkdir()
        (folder / "images").symlink_to(images)
        shapes = [shape(draw, kind == "polygons") for _ in range(1000)]
        with (folder / "train.json").open("w") as file:
            file.write(f'{{"info": {{"year": 2026}}, "images": [{images_written}], "annotations": [')
            file.writelines(
                f'{", " if i else ""}{{"id": {i}, "image_id": {page}, {shapes[i % 1000]}}}'
                for i, page in enumerate(on_page)
            )
            file.write('], "categories": [{"id": 1, "name": "table"}, {"id": 2, "name": "figure"}]}')


def shape(draw: random.Random, polygons: bool) -> str:
    """A box as PubLayNet writes one, with or without a polygon of twelve corners."""
    x, y, w, h = (round(draw.uniform(2, 290), 2) for _ in range(4))
    written = (
        f'"category_id": {draw.randint(1, 2)}, "iscrowd": 0, "bbox": [{x}, {y}, {w}, {h}], "area": {w * h}'
    )
    if not polygons:
        return written
    corners = [round(low + draw.random() * side, 2) for _ in range(12) for low, side in ((x, w), (y, h))]
    return f'{written}, "segmentation": [{corners}]'


def measured(what: str, data: Path) -> dict[str, float]:
    """Take a measurement in a new process."""
    command = [sys.executable, __file__, "measure", what, str(data)]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def measure(what: str, data: Path) -> dict[str, float]:
    start = time.perf_counter()
    table = opened(data)
    seconds = time.perf_counter() - start
    if what == "build":
        return {"seconds": seconds, "peak": memory("/proc/self/status", "VmHWM")}
    if what == "open":
        return {"seconds": seconds}
    start = time.perf_counter()
    if what == "access":
        for row in (rows := some_rows(len(table), 0)):
            table[row]
        return {"us": (time.perf_counter() - start) / len(rows) * 1e6}
    if what == "shuffle":
        np.random.default_rng((0, 1)).permutation(len(table))
        return {"ms": (time.perf_counter() - start) * 1e3}
    return workers(what, table)


def opened(data: Path) -> PageTable:
    return open_index(data, "coco", read_coco, least=1).splits["train"]


def some_rows(pages: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(pages, size=TOUCHED).tolist()


def workers(way: str, table: PageTable) -> dict[str, float]:
    """What each of several workers adds, on average."""
    context = multiprocessing.get_context(way)
    barrier, results = context.Barrier(WORKERS), context.Queue()
    given = table if way == "fork" else pickle.dumps(table)
    processes = [
        context.Process(target=work, args=(given, seed, barrier, results)) for seed in range(WORKERS)
    ]
    for process in processes:
        process.start()
    added = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return {kind: statistics.mean(found[kind] for found in added) for kind in ("pss", "uss")}


def work(given: PageTable | bytes, seed: int, barrier: Barrier, results: Any) -> None:
    barrier.wait()
    before = own_memory()
    barrier.wait()
    table: PageTable = pickle.loads(given) if isinstance(given, bytes) else given
    for row in some_rows(len(table), seed):
        table[row]
    barrier.wait()
    after = own_memory()
    barrier.wait()  # pages that a process shares count less in its PSS for as long as the others live
    results.put({kind: after[kind] - before[kind] for kind in before})


def own_memory() -> dict[str, float]:
    place = "/proc/self/smaps_rollup"
    private = memory(place, "Private_Clean") + memory(place, "Private_Dirty")
    return {"pss": memory(place, "Pss"), "uss": private}


def memory(place: str, what: str) -> float:
    """A line of the kernel's report, in MB."""
    lines = (line.split() for line in Path(place).read_text().splitlines())
    return next(int(words[1]) * 1024 / 1e6 for words in lines if words[0] == f"{what}:")


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
    else:
        main()
