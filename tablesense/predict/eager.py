"""The network as it was trained, run by torch."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tablesense.detector import Detector, load_detector
from tablesense.errors import UserError
from tablesense.memory import keep_freed_memory
from tablesense.predict.network import EXPECTED, Finds

_FOREIGN = re.compile(r"GLOBAL (\S+)")


class TorchNetwork:
    """A `Network` of a detector, which is used as it is: the caller sees to its device and mode.

    Args:
        module: In evaluation mode.
        bfloat16: Run it as `trainer.precision=bf16-mixed` does: faster where the hardware has bfloat16, with
            scores that differ in the third digit.
    """

    def __init__(self, module: Detector, bfloat16: bool = False) -> None:
        self.module, self.bfloat16 = module, bfloat16
        self.image_size, self.class_names = module.image_size, module.class_names
        self.threshold = module.score_threshold

    def __call__(
        self, pixel_values: NDArray[np.uint8], pixel_mask: NDArray[np.bool_], sizes: NDArray[np.float64]
    ) -> list[Finds]:
        """Find tables; see `tablesense.predict.network.Network`."""
        device = self.module.mean.device
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            pixels, mask = torch.from_numpy(pixel_values).to(device), torch.from_numpy(pixel_mask).to(device)
            found = self.module.postprocess(self.module(pixels, mask), torch.tensor(sizes, dtype=torch.float))
        return [
            Finds(*(page[name].cpu().numpy() for name in ("boxes", "scores", "labels"))) for page in found
        ]


def load_checkpoint(path: Path, device: str = "auto", bfloat16: bool = False) -> TorchNetwork:
    """Open a checkpoint; no code in it is run.

    Args:
        path: What `tablesense fit` wrote.
        device: "auto", or a name of torch's.
        bfloat16: See `TorchNetwork`.

    Raises:
        UserError: It is something else, or there is no such device.
    """
    place = _device(device)
    return TorchNetwork(_placed(read_checkpoint(path)[0], place), bfloat16)


def load_folder(path: Path, device: str = "auto", bfloat16: bool = False) -> TorchNetwork:
    """Open a folder that `tablesense export --format huggingface` wrote; no code in it is run.

    Args:
        path: The folder.
        device: "auto", or a name of torch's.
        bfloat16: See `TorchNetwork`.

    Raises:
        UserError: It is something else, or there is no such device.
    """
    from tablesense.export.huggingface import load_export

    place = _device(device)
    return TorchNetwork(_placed(load_export(path), place), bfloat16)


def read_checkpoint(path: Path) -> tuple[Detector, dict[str, Any]]:
    """Read a checkpoint; no code in it is run.

    Args:
        path: What `tablesense fit` wrote.

    Returns:
        Its network, on the CPU in evaluation mode, and all that is in it.

    Raises:
        UserError: It is something else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of formats that are refused anyhow
            kept = torch.load(path, map_location="cpu", weights_only=True)
            return load_detector(kept), kept
    except Exception as error:  # torch's readers raise whatever a foreign file leads them to
        foreign = _FOREIGN.search(str(error))
        why = f"it holds code ({foreign[1]}), which is not run" if foreign else "it is something else"
        raise UserError(f"MODEL: expected {EXPECTED}; {path} cannot be used: {why}") from error


def _placed(detector: Detector, device: torch.device) -> Detector:
    if device.type == "cpu":
        keep_freed_memory()
    try:
        return detector.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        message = str(error).splitlines()[0]
        raise UserError(f"--device: {device} cannot be used here: {message}; try cpu") from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device: expected auto, cpu, cuda or cuda:N, found {name}") from error
