"""The precision that a device computes fastest in."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tablesense.precision import cpu_has_bf16, fastest_precision

WITH = {"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}
WITHOUT = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("known", "bf16", "precision"),
    [
        (WITH, True, "bf16-mixed"),
        ({"architecture": "x86_64", "amx_bf16": True}, True, "bf16-mixed"),
        (WITHOUT, False, "32-true"),
        ({"architecture": "aarch64", "bf16": True}, None, "32-true"),  # not measured
        ({}, None, "32-true"),
    ],
)
def test_a_processor_with_instructions_for_bfloat16_uses_them(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], bf16: bool | None, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert cpu_has_bf16() is bf16
    assert fastest_precision() == fastest_precision("cpu") == precision


def test_a_version_of_torch_that_does_not_know_the_processor_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fastest_precision() == "32-true"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed")])
def test_a_gpu_is_asked_for_its_generation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITHOUT)
    assert fastest_precision() == fastest_precision("gpu") == fastest_precision("cuda") == precision
    assert fastest_precision("cpu") == "32-true"


def test_other_devices_compute_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITH)
    assert fastest_precision("tpu") == fastest_precision("mps") == "32-true"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert fastest_precision() == "32-true"
    assert fastest_precision("cpu") == "bf16-mixed"
