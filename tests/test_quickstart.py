"""notebooks/quickstart.ipynb runs from its first cell to its last, and has its pictures in place."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook: Any) -> list[bytes]:
    return [
        base64.b64decode(output.data["image/png"])
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = "epochs, pages, val_pages = 1, 8, 4"
    shown_before = len(notebook.cells)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute()
    assert len(done.cells) == shown_before
    assert {"report.pdf", "tables.ckpt"} <= {file.name for file in tmp_path.iterdir()}
    sheet, page, *_ = pictures(done)
    assert sheet.startswith(b"\x89PNG")
    assert page.startswith(b"\x89PNG")


def test_its_pictures_are_in_place() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [cell.execution_count for cell in code_cells(notebook)] == list(
        range(1, len(code_cells(notebook)) + 1)
    )
    sheet, *_ = pictures(notebook)
    assert len(pictures(notebook)) >= 4  # the pages, the page of the PDF, and its two tables
    assert sheet == (ROOT / "docs" / "quickstart.png").read_bytes()
    assert not any(output.output_type == "error" for cell in code_cells(notebook) for output in cell.outputs)


def test_it_names_no_folder_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not [word for word in ("/home/", "/root/", "/tmp/", "/Users/") if word in text]
