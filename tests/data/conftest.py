"""What the reader tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder that holds `icdar2013/` and `unlv/`."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    folder = Path(os.environ.get("TABLESENSE_DATA", default)).resolve()
    if not (folder / "icdar2013").is_dir() or not (folder / "unlv").is_dir():
        pytest.skip(f"no icdar2013/ and unlv/ in {folder}: set TABLESENSE_DATA to their folder")
    return folder


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., None]:
    """Write small white images under names relative to `tmp_path`."""

    def write(*names: str, size: tuple[int, int] = (100, 80)) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("1", size, 1).save(path)

    return write
