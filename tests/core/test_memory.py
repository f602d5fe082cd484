"""What freed arrays leave is used again."""

import ctypes
import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
import tinyart as ta
x = ta.tensor(np.ones((1000, 1000), "float32"))
def step():
    return sum([x * float(i) for i in range(10)], x)  # ten arrays live at a time, and are freed together
for _ in range(5):
    y = step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    y = step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(os.name != "posix" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_a_step_that_repeats_asks_the_system_for_no_memory() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 500  # of 1,000 arrays of 977 pages each
