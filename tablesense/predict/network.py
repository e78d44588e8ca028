"""What finds tables on batches of pages, and how it is opened. Nothing here imports torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tablesense.errors import UserError
from tablesense.memory import importing

WITHIN = 0.7
"""A find of which more than this share lies within a larger and better one is taken for a part of that.

On the scans of UNLV that makes F1 .86 of .84, with .8 and .9 as well; on the PDFs of ICDAR 2013 nothing is
nested (benchmarks/containment.py). Were the larger one always right, it would be .87 there, but .91 instead
of .92 on synthetic pages, where a loose find can hold two tables.
"""

EXPECTED = "a checkpoint that `tablesense fit` wrote, such as runs/detr/001/checkpoints/best.ckpt"


class Finds(NamedTuple):
    """The tables of one page, best first.

    `boxes` is [n, 4], xyxy in the units that the page's size was given in; `scores` [n] from 0 to 1;
    `labels` [n], indices of the network's `class_names`.
    """

    boxes: NDArray[np.floating]
    scores: NDArray[np.floating]
    labels: NDArray[np.integer]


class Network(Protocol):
    """A trained detector of tables, whatever it runs on.

    Attributes:
        image_size: The longest side of the pages that it is given, in pixels.
        class_names: What it finds, in the order of the labels.
        threshold: The lowest score that counts as a find, where nobody says otherwise.
    """

    image_size: int
    class_names: tuple[str, ...]
    threshold: float

    def __call__(
        self, pixel_values: NDArray[np.uint8], pixel_mask: NDArray[np.bool_], sizes: NDArray[np.float64]
    ) -> list[Finds]:
        """Find tables.

        Args:
            pixel_values: [batch_size, 3, height, width], padded with 0 at the right and the bottom.
            pixel_mask: [batch_size, height, width], False on padding.
            sizes: Width and height of each page in the units wanted, [batch_size, 2].

        Returns:
            The finds of each page, whatever their score.
        """
        ...


def load_network(path: Path, device: str = "auto", precision: str = "32-true") -> Network:
    """Open a trained network.

    Args:
        path: A checkpoint, a folder that `tablesense export --format huggingface` wrote, or a file whose name
            ends in `.onnx`, for which torch is not imported.
        device: "auto" takes a GPU where there is one; or a name of torch's, such as "cpu" or "cuda:1".
        precision: "32-true", or "bf16-mixed" for a checkpoint or a folder, by the names of
            `trainer.precision`.

    Raises:
        UserError: There is no such file, it is something else, or it has no such device or precision.
    """
    if os.path.isfile(path / "config.json"):
        with importing():
            from tablesense.predict.eager import load_folder
        return load_folder(path, device, precision == "bf16-mixed")
    if not os.path.isfile(path):  # no error either for what cannot be a name
        found = "the folder" if os.path.isdir(path) else "no file"
        exported = "or what `tablesense export` wrote"
        raise UserError(f"MODEL: expected {EXPECTED}, {exported}; found {found} {path}")
    if path.suffix.lower() == ".onnx":
        if precision != "32-true":
            raise UserError(f"--precision: {path} has its own: leave the option out, or give a checkpoint")
        from tablesense.export.runtime import OnnxNetwork

        return OnnxNetwork(path, device)
    with importing():
        from tablesense.predict.eager import load_checkpoint
    return load_checkpoint(path, device, precision == "bf16-mixed")
