"""Pages with their tables drawn on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from tablesense.experiment.evaluation import ScoredPage
from tablesense.pictures import FOUND, HEIGHT, TRUTH, contact_sheet

NOTHING = torch.zeros(0, 4, dtype=torch.double)


@pytest.fixture
def pages(tmp_path: Path) -> list[ScoredPage]:
    """A page with a table and two finds, of which one is good enough, and the same page with neither."""
    Image.new("L", (400, HEIGHT), 255).save(tmp_path / "a.png")
    none = torch.zeros(0, dtype=torch.long)
    empty = ScoredPage(
        "a", (400, HEIGHT), NOTHING, none, (), NOTHING, none, torch.zeros(0), (), picture=tmp_path / "a.png"
    )
    table = torch.tensor([[100.0, 50, 300, 150]]).double()
    found = torch.tensor([[120.0, 60, 280, 140], [10, 400, 90, 500]]).double()
    labels = torch.zeros(2, dtype=torch.long)
    return [
        replace(
            empty,
            boxes=table,
            labels=labels[:1],
            ruled=(False,),
            found=found,
            found_labels=labels,
            scores=torch.tensor([0.5, 0.4]),
            found_ruled=(False, False),
        ),
        empty,
    ]


def coloured(picture: Image.Image, colour: str) -> np.ndarray:
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(-1)


def bounds(mask: np.ndarray) -> tuple[int, ...]:
    rows, columns = np.nonzero(mask)
    return tuple(int(side) - 8 for side in (columns.min(), rows.min(), columns.max(), rows.max()))


def test_the_truth_is_drawn_round_its_table_alone(pages: list[ScoredPage]) -> None:
    picture = contact_sheet(pages, 0.5)
    assert picture.size == (8 + 2 * 408, HEIGHT + 16)
    assert bounds(coloured(picture, TRUTH)) == (97, 47, 303, 153)


def test_finds_that_count_are_drawn(pages: list[ScoredPage]) -> None:
    assert bounds(coloured(contact_sheet(pages, 0.5), FOUND)) == (120, 60, 280, 140)
    assert bounds(coloured(contact_sheet(pages, 0.4), FOUND)) == (10, 60, 280, 500)
    assert not coloured(contact_sheet(pages, 0.6), FOUND).any()


def test_pages_are_set_in_rows(pages: list[ScoredPage]) -> None:
    assert contact_sheet(pages * 2, 0.5, columns=3).size == (8 + 3 * 408, 8 + 2 * (HEIGHT + 8))
