"""Which precision a device computes fastest in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch


def fastest_precision(accelerator: Any = "auto") -> Literal["bf16-mixed", "32-true"]:
    """What `trainer.precision: null` stands for: bfloat16 where the device has instructions for it.

    Elsewhere bfloat16 is emulated: on a processor with AVX2 alone a step of `configs/detr.yaml` took 15 times
    as long in it as in float32 (`benchmarks/step.py`).

    Args:
        accelerator: `trainer.accelerator`. Of one that is not known, float32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "32-true"
    mps = accelerator == "auto" and torch.backends.mps.is_available()
    return "bf16-mixed" if accelerator in ("auto", "cpu") and not mps and cpu_has_bf16() else "32-true"


def cpu_has_bf16() -> bool | None:
    """Whether this is an x86 processor with instructions for bfloat16; None where that is not known."""
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known.get("architecture") != "x86_64":
        return None
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
