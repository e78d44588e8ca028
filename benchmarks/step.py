"""A training step of the small recipe, against the same network without what makes it fast.

    python benchmarks/step.py

Variants run in turn, batch by batch, in one process, so that a machine that slows down slows all of them;
each line gives the median time of a step and the median of its ratios to the first. The first is in the
precision that `trainer.precision: null` takes on this machine. "transformers" is its
own model of the same shape with its own loss in float32, as its object detection example trains it: no
stage of the backbone is frozen there, which is part of the difference, and it has no auxiliary losses.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from tablesense import DetrConfig, DetrCriterion, LossConfig, backbone, build_detr
from tablesense.precision import fastest_precision

ROUNDS, BATCH, HEIGHT, WIDTH = 9, 8, 384, 288


def main() -> None:
    torch.manual_seed(0)
    fast = fastest_precision("cpu") == "bf16-mixed"
    pixels = torch.randn(BATCH, 3, HEIGHT, WIDTH)
    mask = torch.ones(BATCH, HEIGHT, WIDTH, dtype=torch.bool)
    targets = [{"labels": torch.zeros(2, dtype=torch.long), "boxes": torch.rand(2, 4) * 0.4 + 0.3}] * BATCH
    steps = {
        "tablesense": step(pixels, mask, targets, bf16=fast),
        "float32" if fast else "bfloat16": step(pixels, mask, targets, bf16=not fast),
        "not channels_last": step(pixels, mask, targets, bf16=fast, channels_last=False),
        "batch norms not folded": step(pixels, mask, targets, bf16=fast, folded=False),
        "transformers": step(pixels, mask, targets, bf16=False, channels_last=False, folded=False, own=False),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, run in steps.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    first = times["tablesense"][2:]  # the first rounds choose kernels
    print(f"{torch.get_num_threads()} threads, batch {BATCH} of {WIDTH}x{HEIGHT}, {ROUNDS - 2} rounds")
    for name, values in times.items():
        ratio = statistics.median(b / a for a, b in zip(first, values[2:], strict=True))
        median = statistics.median(values[2:])
        print(f"{name:24} {median:6.3f} s  {BATCH / median:5.1f} images/s  {ratio:5.2f} x the first")


def step(
    pixels: torch.Tensor,
    mask: torch.Tensor,
    targets: list[dict[str, torch.Tensor]],
    *,
    bf16: bool,
    channels_last: bool = True,
    folded: bool = True,
    own: bool = True,
) -> Callable[[], None]:
    """One variant's step: forward, loss, backward, clipping, AdamW."""
    fold = backbone.fold_frozen_norms
    if not folded:
        backbone.fold_frozen_norms = lambda model: None
    try:
        detr = build_detr(DetrConfig(), 1).train()
    finally:
        backbone.fold_frozen_norms = fold
    criterion: Any = DetrCriterion(1, LossConfig(decoder_matches=1, iou_power=1.0))
    network: Any = detr
    if not own:
        from transformers import DeformableDetrForObjectDetection

        network = DeformableDetrForObjectDetection(copy.deepcopy(detr.network.config)).train()
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    labels = [{"class_labels": target["labels"], "boxes": target["boxes"]} for target in targets]

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if own:
                outputs = network(pixels, mask)
            else:
                loss = network(pixel_values=pixels, pixel_mask=mask.long(), labels=labels).loss
        if own:
            loss = criterion(outputs, targets)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        optimizer.zero_grad()

    return run


if __name__ == "__main__":
    main()
