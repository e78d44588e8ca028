"""tablesense.export.card: what is known stands in the model card, and nothing else."""

from __future__ import annotations

import csv
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from written_run import make_run

from tablesense.detr import DetrConfig
from tablesense.export.card import Training, read_training, write_card
from tablesense.module import TableDETRModule


@pytest.fixture(scope="module")
def module() -> TableDETRModule:
    config = DetrConfig(backbone_weights=None, hidden_dim=32, ffn_dim=32, num_queries=20)
    return TableDETRModule(config, image_size=96, score_threshold=0.4, nms_iou=0.6)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A run's folder; epochs of four steps have F1 .5, .6, .7."""
    return make_run(tmp_path / "001") / "checkpoints" / "best.ckpt"


def front(card: str) -> dict[str, Any]:
    empty, matter, _ = card.split("---\n", 2)
    assert not empty
    content: dict[str, Any] = yaml.safe_load(matter)
    return content


def test_the_hub_finds_what_it_is(module: TableDETRModule) -> None:
    matter = front(write_card(module, "tables"))
    assert (matter["library_name"], matter["pipeline_tag"]) == ("transformers", "object-detection")
    assert {"tablesense", "table-detection"} <= set(matter["tags"])
    assert "license" not in matter
    assert front(write_card(module, "tables", licence="mit"))["license"] == "mit"


def test_figures_are_those_of_the_checkpoint_and_not_of_another(
    module: TableDETRModule, checkpoint: Path
) -> None:
    third, second = (
        read_training(checkpoint, {"epoch": epoch, "global_step": 4 * epoch + 4}) for epoch in (2, 1)
    )
    assert (third.epoch, third.epochs, third.best) == (3, 3, True)
    assert third.scores == {"val/f1": 0.7, "val/map": 0.4}
    assert (second.epoch, second.scores["val/f1"], second.best) == (2, 0.6, False)
    card = write_card(module, "tables", training=third)
    assert "| F1 | 0.700 |" in card
    assert "| mAP (COCO) | 0.400 |" in card
    assert "precision |" not in card
    assert "after epoch 3 of 3" in card
    assert "chosen for the highest F1" in card
    assert "chosen for the highest F1" not in write_card(module, "tables", training=second)


def test_scores_of_a_validation_within_an_epoch_are_found(checkpoint: Path) -> None:
    path = checkpoint.parent.parent / "metrics.csv"
    rows = list(csv.DictReader(path.open()))
    rows.insert(1, dict.fromkeys(rows[0], "") | {"epoch": "2", "step": "9", "val/f1": "0.9"})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    training = read_training(checkpoint, {"epoch": 2, "global_step": 10})
    assert (training.scores, training.best) == ({"val/f1": 0.9}, True)


def test_pages_protocol_and_recipe_are_told(module: TableDETRModule, checkpoint: Path) -> None:
    card = write_card(module, "tables", training=read_training(checkpoint, {"epoch": 2, "global_step": 12}))
    assert "Trained on 2 pages, 1 of them without a table, with 2 tables." in card
    assert "Data sets: mine." in card
    assert "A find counts from a score of 0.4." in card
    assert "an IoU of 0.6 only the best" in card
    assert "| `training.lr` | 0.0001 |" in card
    assert "if score >= 0.4:" in card
    assert "iou_threshold=0.6" in card


def test_synthetic_pages_are_called_so(module: TableDETRModule) -> None:
    training = Training({"data": {"path": None}}, {"datasets": ["synthetic"]})
    assert "synthetic (pages that tablesense typesets itself)" in write_card(module, "t", training=training)
    own = Training({"data": {"path": "pages/synthetic"}}, {"datasets": ["synthetic"]})
    assert "typesets itself" not in write_card(module, "t", training=own)


def test_what_is_not_known_is_left_out(module: TableDETRModule, tmp_path: Path) -> None:
    card = write_card(module, "tables", training=read_training(tmp_path / "some" / "best.ckpt", {}))
    assert "## Training" not in card
    assert "## Scores" not in card
    assert "## Use" in card
    assert "None" not in card


def test_scores_without_figures_of_the_pages(module: TableDETRModule) -> None:
    card = write_card(module, "tables", training=Training(epoch=1, scores={"val/f1": 0.5}))
    assert "On the validation pages:" in card


def test_nothing_private_is_told(module: TableDETRModule, checkpoint: Path) -> None:
    card = write_card(module, "tables", training=read_training(checkpoint, {"epoch": 2, "global_step": 12}))
    for word in str(Path.home()), socket.gethostname(), "a small computer", str(checkpoint.parent.parent):
        assert word not in card


def test_a_run_that_was_cut_off_is_read_as_far_as_it_goes(checkpoint: Path) -> None:
    path = checkpoint.parent.parent / "metrics.csv"
    names = path.read_text().splitlines()[0].split(",")
    values = {"epoch": "3", "step": "15", "val/f1": "0.9", "val/map": "4e-"}
    with path.open("a") as file:
        file.write(",".join(values.get(name, "") for name in names))
    assert read_training(checkpoint, {"epoch": 3, "global_step": 16}).scores == {"val/f1": 0.9}
