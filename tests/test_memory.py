"""tablesense.memory: what tensors free stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
import numpy as np
from tablesense.memory import keep_freed_memory

{call}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(2**23)  # 64 MB
before = faults()
for _ in range(10):
    np.ones(2**23)
print(faults() - before)
"""


def faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE.format(call=call)], capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's own")
def test_large_arrays_reuse_the_pages_of_those_before() -> None:
    given_back = faults("")
    if given_back < 1000:
        pytest.skip("the C library keeps memory as it is")
    assert faults("keep_freed_memory()") < given_back / 10


def test_what_is_imported_meanwhile_is_never_looked_through() -> None:
    code = (
        "import gc; from tablesense.memory import importing\n"
        "runs = sum(each['collections'] for each in gc.get_stats())\n"
        "with importing():\n"
        "    import torch\n"
        "    assert sum(each['collections'] for each in gc.get_stats()) == runs\n"
        "assert gc.isenabled()\n"
        "print(gc.get_freeze_count() > 50_000 > len(gc.get_objects()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
