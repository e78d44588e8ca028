"""Run quickstart.ipynb in a folder that goes, keep what it shows, and its first picture for the README.

python notebooks/execute.py      # `make notebook`; needs nbclient and ipykernel, about seven minutes
"""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NOTEBOOK = HERE / "quickstart.ipynb"
PICTURE = HERE.parent / "docs" / "quickstart.png"


def results(outputs: list[Any]) -> list[Any]:
    """What cells answered: no warnings, which name folders of this machine, and each picture once, as PNG."""
    kept = [
        each
        for each in outputs
        if each.output_type == "execute_result" or "image/png" in each.get("data", {})
    ]
    for each in kept:
        if "image/png" in each.data:
            for other in ("image/jpeg", "text/html"):
                each.data.pop(other, None)
    return kept


def first_picture(notebook: Any) -> bytes:
    """The first PNG that a notebook shows."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    shown = (output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    return base64.b64decode(next(shown))


def main() -> None:
    """Execute it from its first cell to its last."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":
            cell.outputs = results(cell.outputs)
    nbformat.write(notebook, NOTEBOOK)
    PICTURE.write_bytes(first_picture(notebook))


if __name__ == "__main__":
    main()
