"""The folder of a run, written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image


def make_run(folder: Path, epochs: int = 3, name: str = "page.jpg", **config: Any) -> Path:
    """A run's folder as `tablesense fit` leaves it: a table is found, another is not, a find is false."""
    pages = folder / "evaluation" / "pages"
    pages.mkdir(parents=True)
    content = {
        "model": {"detr": {"arch": "deformable_detr", "backbone": "resnet18"}},
        "data": {"path": str(Path.home() / "pages")},
        "trainer": {"max_epochs": 3},
        "training": {"lr": 1e-4} | config,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    write_metrics(folder / "metrics.csv", epochs)
    for i in range(2):
        Image.new("RGB", (300, 400), "white").save(pages / f"{i}.jpg")
    tables = [[30, 30, 200, 80], [30, 200, 200, 80]]
    common = {"category_id": 1, "ruled": True}
    truth = {
        "images": [
            {"id": 0, "file_name": name, "width": 300, "height": 400, "source": "mine"}
            | {"picture": "pages/0.jpg", "fixed": True},
            {"id": 1, "file_name": "empty.jpg", "width": 300, "height": 400, "picture": "pages/1.jpg"},
        ],
        "annotations": [{"id": i, "image_id": 0, "bbox": box} | common for i, box in enumerate(tables)],
        "categories": [{"id": 1, "name": "table"}],
    }
    finds = [
        {"image_id": 0, "bbox": [32, 32, 200, 80], "score": 0.9} | common,
        {"image_id": 0, "bbox": [32, 320, 100, 30], "score": 0.3} | common,
        {"image_id": 1, "bbox": [50, 50, 100, 100], "score": 0.7} | common,
    ]
    best = {"epoch": epochs, "metrics": {"val/f1": 0.5}}
    info = {"score_threshold": 0.5, "iou_threshold": 0.5, "best": best, "last": best}
    split = {
        "pages": 2,
        "documents": 2,
        "pages_without_tables": 1,
        "tables": 2,
        "classes": {"table": 2},
        "tables_per_page": {"0": 1, "2": 1},
        "box_area": {"edges": [0, 0.5, 1], "counts": [2, 0]},
        "box_aspect": {"edges": [0.1, 1, 10], "counts": [0, 2]},
    }
    about = {
        "command": f"tablesense fit --data.path={Path.home() / 'pages'}",
        "started": "2026-11-24T10:00:00+00:00",
        "seconds": 1320.0,
        "state": "finished",
        "git": {"commit": "0123abcd", "dirty": True},
        "versions": {"torch": "2.9.0"},
        "device": "a small computer",
        "cpus": 2,
        "seed": 1,
        "parameters": {"total": 4_773_524, "trainable": 4_720_932},
        "alarms": [{"epoch": 2, "title": "losses fall", "text": "Look at the pictures."}],
    }
    files: dict[str, Any] = {
        "evaluation/truth.json": truth,
        "evaluation/best.json": finds,
        "evaluation/last.json": finds,
        "evaluation/info.json": info,
        "data.json": {"datasets": ["mine"], "dropped": {"crowd boxes": 12}, "train": split, "val": split},
        "run.json": about,
    }
    for file, value in files.items():
        (folder / file).write_text(json.dumps(value))
    (folder / "architecture.txt").write_text("0 | detr | DeformableDetr")
    return folder


def write_metrics(path: Path, epochs: int) -> None:
    """Four steps an epoch, of which two are logged."""
    rows: list[dict[str, float]] = []
    for epoch in range(epochs):
        for step in 4 * epoch + 1, 4 * epoch + 3:
            rows.append({"epoch": epoch, "step": step, "train/loss": 10 - step / 2, "train/lr": 1e-4 * step})
        train = {"train/loss_epoch": 9 - epoch, "train/share_cls": 0.2, "train/grad_norm_backbone": 2.0}
        train |= {f"train/loss_{part}{layer}": 1.0 for part in ("ce", "bbox") for layer in ("", "_0", "_enc")}
        rows.append({"epoch": epoch, "step": 4 * epoch + 3} | train)
        val = {"val/loss": 9.5 - epoch, "val/f1": 0.5 + 0.1 * epoch, "val/map": 0.4}
        rows.append({"epoch": epoch, "step": 4 * epoch + 3} | val)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names or ["epoch", "step"])
        writer.writeheader()
        writer.writerows(rows)
