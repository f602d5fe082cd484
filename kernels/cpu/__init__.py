"""Numba kernels that are measurably faster than the reference: kernel name -> the module here that defines it."""

OVERRIDES: dict[str, str] = {}
