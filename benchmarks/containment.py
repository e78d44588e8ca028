"""Whether finds that lie within others should go: F1 of a checkpoint's finds under some rules.

    python benchmarks/containment.py CKPT [DATA]

Sets: DATA/icdar2013 and DATA/unlv (DATA: ../shared/data). The network looks at each page once; its finds,
after its own NMS, are kept in a file in the folder for temporary files, which another call takes again.
Rules work on finds at the network's threshold, best first. "inner" drops a find that lies to that share of
its area within a better one that stays; "inner, any score" within any other. "outer" drops a find that
holds two others or more. Scores as `tablesense test` has them; "gone" is the number of finds that a rule
drops.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tablesense import detector
from tablesense.data.page import Page
from tablesense.data.reading import read_pages
from tablesense.metrics import CTDaRWeightedF1, DetectionF1
from tablesense.predict.detecting import detect
from tablesense.predict.eager import load_checkpoint
from tablesense.predict.found import FoundPage

LOWEST, THRESHOLD = 0.05, 0.5
Boxes = NDArray[np.float64]
Rule = Callable[[Boxes], NDArray[np.bool_]]


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/containment.py CKPT [DATA]")
    detector.WITHIN = 1.0  # of which nothing can have more: the rule that came of this is off
    checkpoint = Path(sys.argv[1])
    data = Path(sys.argv[2] if len(sys.argv) > 2 else "../shared/data")
    rules: dict[str, Rule] = {"none": lambda boxes: np.ones(len(boxes), bool)}
    for share in (0.7, 0.8, 0.9):
        rules[f"inner, {share}"] = partial(inner, share=share)
    for share in (0.7, 0.8, 0.9):
        rules[f"inner, any score, {share}"] = partial(inner_of_any, share=share)
    for share in (0.7, 0.8, 0.9):
        rules[f"outer, {share}"] = partial(outer, share=share)
    for name in ("icdar2013", "unlv"):
        pages = [page for table in read_pages(data / name).splits.values() for page in table]
        finds = found_on(checkpoint, name, pages)
        print(f"{name}: {len(pages)} pages, {sum(len(page.boxes) for page in pages)} tables")
        for title, rule in rules.items():
            print(f"  {title:24} {scored(pages, finds, rule)}", flush=True)


def inner(boxes: Boxes, share: float) -> NDArray[np.bool_]:
    within = held(boxes) >= share
    stays = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        stays[i] = not (within[i, :i] & stays[:i]).any()
    return stays


def inner_of_any(boxes: Boxes, share: float) -> NDArray[np.bool_]:
    stays: NDArray[np.bool_] = ~(held(boxes) >= share).any(1)
    return stays


def outer(boxes: Boxes, share: float) -> NDArray[np.bool_]:
    stays: NDArray[np.bool_] = (held(boxes) >= share).sum(0) < 2
    return stays


def held(boxes: Boxes) -> NDArray[np.float64]:
    """Which share of the first lies in the second, of each two; 0 of a box and itself."""
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    shares: NDArray[np.float64] = (high - low).clip(0).prod(-1) / np.maximum(area, 1e-9)[:, None]
    np.fill_diagonal(shares, 0)
    return shares


def scored(pages: list[Page], finds: list[NDArray[np.float64]], rule: Rule) -> str:
    metrics = DetectionF1(THRESHOLD), CTDaRWeightedF1(THRESHOLD)
    gone = 0
    for page, rows in zip(pages, finds, strict=True):
        rows = rows[rows[:, 4].astype(np.float32) >= THRESHOLD]
        stays = rule(rows[:, :4])
        gone += int((~stays).sum())
        boxes, scores = torch.from_numpy(rows[stays, :4]), torch.from_numpy(rows[stays, 4])
        truth = torch.tensor(page.boxes, dtype=torch.float64).reshape(-1, 4)
        for metric in metrics:
            metric.update(
                [{"boxes": boxes, "scores": scores, "labels": torch.zeros(len(boxes))}],
                [{"boxes": truth, "labels": torch.zeros(len(truth))}],
            )
    values = {name: value.item() for metric in metrics for name, value in metric.compute().items()}
    words = "  ".join(f"{name} {values.get(name, 0):.4f}" for name in ("f1", "precision", "recall", "wf1"))
    return f"{words}  gone {gone}"


def found_on(checkpoint: Path, name: str, pages: list[Page]) -> list[NDArray[np.float64]]:
    """x0, y0, x1, y1, score of each find, [n, 5] for each page."""
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
    file = Path(tempfile.gettempdir()) / f"tablesense_finds_{name}_{digest}.npz"
    if not file.exists():
        rows = []
        for found in detect(load_checkpoint(checkpoint, "cpu"), pages, threshold=LOWEST):
            if not isinstance(found, FoundPage):
                raise SystemExit(str(found))
            rows.append(np.column_stack([found.boxes, found.scores]))
        np.savez(file, *rows)
    with np.load(file) as kept:
        return [kept[f"arr_{i}"] for i in range(len(pages))]


if __name__ == "__main__":
    main()
