"""Pages a second of the exported network against the module it was exported from, one page at a time.

    python benchmarks/exported.py [CKPT]

CKPT is a checkpoint; without one it is the small recipe's network with random weights, which takes as long.
Pages are noise of 384x288 pixels, from the uint8 page to finds; both use one thread for each core. A round is
the same pages by each in turn, in one process; figures are medians over rounds, ratios of the same round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tablesense import TableDETRModule
from tablesense.data.processes import cores
from tablesense.export.onnx import export_onnx
from tablesense.export.runtime import OnnxNetwork
from tablesense.predict.eager import TorchNetwork, load_checkpoint
from tablesense.predict.network import Network

ROUNDS, PAGES, HEIGHT, WIDTH = 9, 8, 384, 288


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(cores())
    eager = (
        load_checkpoint(Path(sys.argv[1]), "cpu") if sys.argv[1:] else TorchNetwork(TableDETRModule().eval())
    )
    networks: dict[str, Network] = {"module": eager}
    with tempfile.TemporaryDirectory() as folder:
        for name, int8 in (("onnx", False), ("onnx, int8", True)):
            path = Path(folder) / f"{name}.onnx"
            export_onnx(eager.module, path, int8)
            networks[name] = OnnxNetwork(path)
    pages = np.random.default_rng(0).integers(0, 255, (PAGES, 1, 3, HEIGHT, WIDTH), np.uint8)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS):
        for name, network in networks.items():
            start = time.perf_counter()
            for page in pages:
                network(page, np.ones((1, HEIGHT, WIDTH), bool), np.array([[WIDTH, HEIGHT]], float))
            times[name].append(time.perf_counter() - start)
    first = times["module"][1:]  # the first round chooses kernels
    print(f"{cores()} threads, batch 1 of {WIDTH}x{HEIGHT}, {ROUNDS - 1} rounds of {PAGES} pages")
    for name, values in times.items():
        ratios = [a / b for a, b in zip(first, values[1:], strict=True)]
        speed = PAGES / statistics.median(values[1:])
        print(
            f"{name:12} {speed:6.1f} pages/s  {statistics.median(ratios):5.2f} x the module "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
