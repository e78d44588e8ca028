"""F1 on huge sheets of scanned pages, looked at whole, and whole and in tiles.

    python benchmarks/tiling.py CKPT [DATA]

Nine pages of UNLV at a time, DATA/unlv (DATA: ../shared/data), are set three by three on one sheet of 1-bit
PNG, some 9,900 pixels high, with the tables where they lie then. The network sees them at a third of the
size that it was trained on; tiles are as long as a page, and two thirds and one and a half times of that,
as nobody has pages in a grid of known size. "one by one" is the same pages by themselves: what tiles can
reach. Scores as `tablesense test` has them, at the threshold of the network; pages a second are those of
UNLV.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from tablesense.data.page import Page
from tablesense.data.reading import read_pages
from tablesense.metrics import CTDaRWeightedF1, DetectionF1
from tablesense.predict.detecting import detect
from tablesense.predict.eager import load_checkpoint
from tablesense.predict.found import FoundPage
from tablesense.predict.network import Network

SIDE = 3


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/tiling.py CKPT [DATA]")
    network = load_checkpoint(Path(sys.argv[1]), "cpu")
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data") / "unlv"
    pages = [page for table in read_pages(data).splits.values() for page in table]
    pages = pages[: len(pages) // SIDE**2 * SIDE**2]
    tables = sum(len(page.boxes) for page in pages)
    with tempfile.TemporaryDirectory() as folder:
        sheets = [
            compose(pages[i : i + SIDE**2], Path(folder) / f"{i}.png") for i in range(0, len(pages), SIDE**2)
        ]
        print(f"{len(pages)} pages with {tables} tables, on {len(sheets)} sheets of {sheets[0].size} pixels")
        score("one by one", network, pages, None, len(pages))
        score("sheets, whole", network, sheets, None, len(pages))
        for tile in (3300, 2200, 5000):
            score(f"sheets, --tile {tile}", network, sheets, tile, len(pages))


def compose(pages: Sequence[Page], file: Path) -> Page:
    images = [page.open() for page in pages]
    width, height = max(image.width for image in images), max(image.height for image in images)
    sheet = Image.new("1", (SIDE * width, SIDE * height), 1)
    boxes, labels = [], []
    for i, (page, image) in enumerate(zip(pages, images, strict=True)):
        x, y = i % SIDE * width, i // SIDE * height
        sheet.paste(image.convert("1", dither=Image.Dither.NONE), (x, y))
        boxes += [(x0 + x, y0 + y, x1 + x, y1 + y) for x0, y0, x1, y1 in page.boxes]
        labels += page.labels
    sheet.save(file, compress_level=1)
    return Page(file, file.stem, sheet.size, tuple(boxes), tuple(labels))


def score(title: str, network: Network, pages: Sequence[Page], tile: float | None, number: int) -> None:
    metrics = DetectionF1(network.threshold), CTDaRWeightedF1(network.threshold)
    start = time.perf_counter()
    for page, found in zip(pages, detect(network, pages, tile=tile), strict=True):
        if not isinstance(found, FoundPage):
            raise SystemExit(str(found))
        finds = {"boxes": found.boxes, "scores": found.scores, "labels": [0] * len(found)}
        truth = {"boxes": page.boxes, "labels": [0] * len(page.boxes)}
        for metric in metrics:
            metric.update([tensors(finds)], [tensors(truth)])
    took = time.perf_counter() - start
    values = {name: value.item() for metric in metrics for name, value in metric.compute().items()}
    words = "  ".join(f"{name} {values.get(name, 0):.3f}" for name in ("f1", "precision", "recall", "wf1"))
    print(f"{title:22} {words}  {number / took:5.1f} pages/s", flush=True)


def tensors(page: dict[str, object]) -> dict[str, torch.Tensor]:
    return {name: torch.as_tensor(value) for name, value in page.items()}


if __name__ == "__main__":
    main()
