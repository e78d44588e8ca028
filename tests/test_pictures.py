"""Pages with their tables drawn on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from tablesense import DetrConfig, TableDETRModule
from tablesense.data.page import Page
from tablesense.pictures import FOUND, HEIGHT, TRUTH, contact_sheet

SMALL = DetrConfig(hidden_dim=32, num_encoder_layers=1, num_decoder_layers=1, num_queries=3, ffn_dim=32)


@pytest.fixture
def pages(tmp_path: Path) -> list[Page]:
    Image.new("L", (400, HEIGHT), 255).save(tmp_path / "a.png")
    table = Page(tmp_path / "a.png", "a", (400, HEIGHT), ((100, 50, 300, 150),), ("table",))
    return [table, Page(tmp_path / "a.png", "a", (400, HEIGHT))]


def coloured(picture: Image.Image, colour: str) -> np.ndarray:
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(-1)


def test_the_truth_is_drawn_round_its_table_alone(pages: list[Page]) -> None:
    module = TableDETRModule(detr=SMALL, image_size=96, score_threshold=1.0)
    picture = contact_sheet(module, pages)
    assert picture.size == (8 + 2 * 408, HEIGHT + 16)
    rows, columns = np.nonzero(coloured(picture, TRUTH))
    assert (columns.min() - 8, rows.min() - 8, columns.max() - 8, rows.max() - 8) == (97, 47, 303, 153)
    assert not coloured(picture, FOUND).any()


def test_finds_are_drawn_on_every_page_and_the_detector_stays_in_its_mode(pages: list[Page]) -> None:
    module = TableDETRModule(detr=SMALL, image_size=96, score_threshold=0.0).train()
    finds = coloured(contact_sheet(module, pages), FOUND)
    assert finds[:, :408].any()
    assert finds[:, 408:].any()
    assert module.training


def test_pages_are_set_in_rows(pages: list[Page]) -> None:
    module = TableDETRModule(detr=SMALL, image_size=96, score_threshold=1.0)
    assert contact_sheet(module, pages * 2, columns=3).size == (8 + 3 * 408, 8 + 2 * (HEIGHT + 8))
