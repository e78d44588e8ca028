"""Pages a second of `tablesense predict` on PDFs against the network alone, on the same pages.

    python benchmarks/predict.py CKPT [DATA]

Pages are those of DATA/icdar2013 (DATA: ../shared/data). "network" has them decoded in memory before the
clock starts; "pipeline" is all that the command does without writing: opening files, reading sizes,
rendering and the network, with pages decoded while it works. "decoding" is the latter without a network.
CKPT is a checkpoint, run by torch; what it exports to ONNX is run by onnxruntime. A round is all pages by
each in turn, in one process; figures are medians over rounds, ratios are of the same round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tablesense.data.processes import cores
from tablesense.export.onnx import export_onnx
from tablesense.export.runtime import OnnxNetwork
from tablesense.predict.detecting import detect
from tablesense.predict.eager import load_checkpoint
from tablesense.predict.found import FoundPage
from tablesense.predict.inputs import Document, find_documents, read_pages
from tablesense.predict.network import Finds, Network

ROUNDS, BATCH = 5, 4


class Keeps:
    """A network that finds nothing, and keeps what it is shown where it is asked to."""

    def __init__(self, network: Network, batches: list[Any] | None = None) -> None:
        self.image_size, self.class_names, self.threshold = network.image_size, network.class_names, 0.5
        self.batches = batches

    def __call__(self, *batch: Any) -> list[Finds]:
        """Find nothing."""
        if self.batches is not None:
            self.batches.append(batch)
        return [Finds(np.empty((0, 4)), np.empty(0), np.empty(0, int))] * len(batch[0])


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/predict.py CKPT [DATA]")
    torch.set_num_threads(cores())
    eager = load_checkpoint(Path(sys.argv[1]), "cpu")
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data") / "icdar2013"
    documents = [document for document in find_documents([data]) if document.path.suffix == ".pdf"]
    networks: dict[str, Network] = {"torch": eager}
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(eager.module, Path(folder) / "model.onnx")
        networks["onnx"] = OnnxNetwork(Path(folder) / "model.onnx")
    batches: list[Any] = []
    number = pipeline(Keeps(eager, batches), documents)
    runs: dict[str, Callable[[], object]] = {"decoding": lambda: pipeline(Keeps(eager), documents)}
    for name, network in networks.items():
        runs[f"{name}, network"] = lambda network=network: [network(*batch) for batch in batches]
        runs[f"{name}, pipeline"] = lambda network=network: pipeline(network, documents)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    print(f"{number} pages of {len(documents)} PDFs, batches of {BATCH}, {cores()} cores, {ROUNDS} rounds")
    for name, values in times.items():
        values = values[1:]  # the first round chooses kernels
        line = f"{name:16} {number / statistics.median(values):6.1f} pages/s"
        if name.endswith("pipeline"):
            alone = times[name.replace("pipeline", "network")][1:]
            ratios = [a / b for a, b in zip(alone, values, strict=True)]
            line += (
                f"  {statistics.median(ratios):.2f} of the network's ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print(line)


def pipeline(network: Network, documents: list[Document]) -> int:
    return sum(isinstance(page, FoundPage) for page in detect(network, read_pages(documents), BATCH))


if __name__ == "__main__":
    main()
