"""cuBLAS's product as its manual defines it, on column-major memory: what kernels/cuda/blas.py calls, without a GPU."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tests.cuda import double

NAMES = ["cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2"]
COMPUTE = {68: np.float32, 77: np.float32, 70: np.float64}


def _view(pointer: Any, kind: int, rows: int, columns: int, line: int, step: int, count: int) -> np.ndarray:
    """(count, rows, columns) of column-major matrices, `line` elements from a column to the next."""
    import ctypes

    assert line >= max(1, rows), "the leading dimension is less than the rows"
    dtype = np.dtype([np.float32, np.float64][kind])
    last = (count - 1) * step + (columns - 1) * line + rows
    flat = np.frombuffer((ctypes.c_char * (last * dtype.itemsize)).from_address(pointer.value), dtype)
    size = dtype.itemsize
    return as_strided(flat, (count, rows, columns), (step * size, size, line * size))


class Library:
    def __getattr__(self, name: str) -> Any:
        assert name in NAMES, name
        return lambda *_: 0

    def cublasGemmStridedBatchedEx(self, handle: Any, op_a: int, op_b: int, m: int, n: int, k: int, alpha: Any,
                                   a: Any, kind_a: int, line_a: int, step_a: Any, b: Any, kind_b: int, line_b: int,
                                   step_b: Any, beta: Any, c: Any, kind_c: int, line_c: int, step_c: Any, count: int,
                                   compute: int, algorithm: int) -> int:
        """C = alpha·op(A)·op(B) + beta·C, op(A) (m, k), op(B) (k, n), C (m, n)"""
        dtype = COMPUTE[compute]
        assert [kind_a, kind_b, kind_c] == [int(dtype is np.float64)] * 3
        assert _view(alpha, kind_a, 1, 1, 1, 0, 1).item() == 1
        assert _view(beta, kind_a, 1, 1, 1, 0, 1).item() == 0
        A = _view(a, kind_a, *((k, m) if op_a else (m, k)), line_a, step_a.value, count)
        B = _view(b, kind_b, *((n, k) if op_b else (k, n)), line_b, step_b.value, count)
        C = _view(c, kind_c, m, n, line_c, step_c.value, count)
        A, B = A.swapaxes(1, 2) if op_a else A, B.swapaxes(1, 2) if op_b else B
        double._done("Gemm", lambda: np.matmul(A, B, out=C))
        return 0
