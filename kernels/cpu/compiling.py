"""How the CPU kernels are compiled: at the first call, without Python's lock, and kept on disk for other processes."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

from . import blas

_files = sorted(Path(__file__).parent.glob("*.py"))
SOURCES = hashlib.sha256(b"".join([p.read_bytes() for p in _files] + [blas.NAME.encode()])).hexdigest()[:12]


def _compiler(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles at the first call, and keeps the machine code on disk for other processes.

    Numba would use that code again if only a function that it calls changed: so the sources are part of its name.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        function.__qualname__ += "_" + SOURCES
        jit = partial(numba.njit, no_cfunc_wrapper=True, **options)  # C code never calls these
        try:
            return jit(cache=True)(function)
        except RuntimeError:  # neither the package's folder nor the user's cache can be written
            return jit()(function)

    return compiled


# x / 0 is inf or nan as in NumPy: Python's exception would stop vectorisation.
compiled = _compiler(nogil=True, error_model="numpy")
contracted = _compiler(nogil=True, error_model="numpy", fastmath={"contract"})  # a·b + c is rounded once
summed = _compiler(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})  # sums in vectors; no exp32 there
# Pasted into the compiled functions that call it: a call that could raise would stop theirs.
inlined = numba.njit(inline="always", error_model="numpy")


def plain(a: Any) -> Any:
    """`a` in C order, aligned and writeable, itself or a copy: each other kind would be compiled for on its own."""
    return a if a.flags.carray else np.array(a, order="C")
