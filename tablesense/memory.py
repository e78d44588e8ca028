"""How the process handles memory: of large tensors on a CPU, and of the objects that imports make."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free, for the next ones; elsewhere nothing is done.

    Unless told otherwise it gives large blocks back to the system at once, and has each page of them zeroed
    and mapped anew in the next step, which takes a training step a tenth to a fifth longer
    (benchmarks/memory.py). The peak is the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 2**28)


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage among what is imported meanwhile, then or later.

    PyTorch, transformers and Lightning make half a million objects that stay. Python's collector would go
    through them again and again: a second and more of the start, and as much at the process's end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()
