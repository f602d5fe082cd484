"""NumPy's BLAS, whichever it is: its product of matrices for compiled code, and how many threads it uses.

    dgemm(order, turned a, turned b, m, n, k, α, a, lda, b, ldb, β, c, ldc)     c ← α a b + β c
"""

import ctypes
import threading
from contextlib import nullcontext
from typing import Any

import numpy as np
from llvmlite import binding
from numba.core import types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]

ROWS, PLAIN, TURNED = 101, 111, 112  # cblas.h: row by row, as it lies, transposed

_blas = ctypes.PyDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]


def _name(*names: str) -> str:
    """The first of these that it has: OpenBLAS's in NumPy's wheels, OpenBLAS's elsewhere, MKL's and others'."""
    return next((name for name in names if hasattr(_blas, name)), "")


_product = _name("scipy_cblas_dgemm64_", "cblas_dgemm64_", "scipy_cblas_dgemm", "cblas_dgemm")
COMPILED = bool(_product) and not DISABLE_JIT  # whether compiled code can call it; without the symbol none is loaded
binding.add_symbol("tinyart_dgemm", ctypes.cast(getattr(_blas, _product), ctypes.c_void_p).value if _product else 1)
_flag, _int, _address = types.intc, types.int64 if _product.endswith("64_") else types.intc, types.intp
dgemm: Any = types.ExternalFunction("tinyart_dgemm", types.void(
    _flag, _flag, _flag, _int, _int, _int, types.float64, _address, _int, _address, _int, types.float64, _address,
    _int))  # fmt: skip
NAME = f"{_product} {_int}"  # machine code that calls one is no code for another

_set_threads: Any
_get_threads: Any
_set_threads, _get_threads = (getattr(_blas, name) if name else None for name in (
    _name("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads",
          "openblas_set_num_threads64_", "openblas_set_num_threads", "MKL_Set_Num_Threads"),
    _name("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads",
          "openblas_get_num_threads64_", "openblas_get_num_threads", "MKL_Get_Max_Threads")))


def set_num_threads(n: int) -> None:
    if _set_threads:
        _set_threads(n)


class _Serial:
    """While anyone is inside, a product of NumPy's is computed by the thread that asks for it."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, 1

    def leave(self) -> None:
        """As if nobody were inside."""
        if self.inside:
            _set_threads(self.before)
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = _get_threads()
                _set_threads(1)
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                _set_threads(self.before)


# A BLAS that cannot be told, as Apple's, is called from several threads all the same.
serial: Any = _Serial() if _set_threads and _get_threads else nullcontext()
