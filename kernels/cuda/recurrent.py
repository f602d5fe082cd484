"""Recurrent layers on the device: products by cuBLAS, and one launch a step for the rest (recurrent.cu)."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cupy
import numpy as np

from .. import reference
from ..reference.recurrent import Gradients, Lengths
from .blas import matmul
from .dense import activation_backward
from .launch import Array, empty, flat, launch, plain, usable


def rnn(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        activation: str, lengths: Lengths, reverse: bool) -> Array:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(x, W, R, b, h0):
        return reference.rnn(x, W, R, b, h0, activation=activation, lengths=lengths, reverse=reverse)
    z, y, h, b, ends = _product(x, W), _states(x, h0), plain(h0), plain(b), _ends(lengths)
    for t in _steps(x, reverse):
        _step("rnn", h0, z[t], b, matmul(h, R), h, y[t], ends, t, int(activation == "tanh"))
        h = y[t]
    return y


def rnn_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array,
                 activation: str, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(g, x, W, R, h0, y):
        return reference.rnn_backward(g, x, W, R, h0, y, activation, lengths, reverse, wanted)
    g, y, dz, carry, ends = plain(g), plain(y), _states(x, h0), empty(h0.shape, h0.dtype), _ends(lengths)
    p = None
    for t in reversed(_steps(x, reverse)):
        _step("rnn_backward", h0, g[t], y[t], p, carry, dz[t], ends, t, int(activation == "tanh"), int(p is None))
        p = matmul(dz[t], R.T)
    gx, gW, gb = _of_inputs(x, W, dz, wanted)
    return gx, gW, _of_states(y, h0, dz, reverse), gb, p + carry


def lstm(x: Array, W: Array, R: Array, b: Array, h0: Array, c0: Array, *,
         lengths: Lengths, reverse: bool) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(x, W, R, b, h0, c0):
        return reference.lstm(x, W, R, b, h0, c0, lengths=lengths, reverse=reverse)
    gates, y, cells, h, c = _product(x, W), _states(x, h0), _states(x, h0), plain(h0), plain(c0)
    b, ends = plain(b), _ends(lengths)
    for t in _steps(x, reverse):
        _step("lstm", h0, gates[t], b, matmul(h, R), h, c, cells[t], y[t], ends, t)
        h, c = y[t], cells[t]
    return y, c.copy(), cells, gates


def lstm_backward(gy: Array, gc: Array, x: Array, W: Array, R: Array, h0: Array, c0: Array, y: Array, c: Array,
                  gates: Array, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(gy, gc, x, W, R, h0, c0, y, c, gates):
        return reference.lstm_backward(gy, gc, x, W, R, h0, c0, y, c, gates, lengths, reverse, wanted)
    gy, y, c, gates, c0, dc = plain(gy), plain(y), plain(c), plain(gates), plain(c0), gc.copy(order="C")
    dz, carry, ends, p = empty(gates.shape, gates.dtype), empty(h0.shape, h0.dtype), _ends(lengths), None
    for t in reversed(_steps(x, reverse)):
        _step("lstm_backward", h0, gy[t], gates[t], c[t], _before(c, c0, t, reverse), p, carry, dc, dz[t], ends, t,
              int(p is None))  # fmt: skip
        p = matmul(dz[t], R.T)
    gx, gW, gb = _of_inputs(x, W, dz, wanted)
    return gx, gW, _of_states(y, h0, dz, reverse), gb, p + carry, dc


def gru(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        lengths: Lengths, reverse: bool) -> tuple[Array, Array]:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(x, W, R, b, h0):
        return reference.gru(x, W, R, b, h0, lengths=lengths, reverse=reverse)
    inputs, y, h, b, ends = _product(x, W), _states(x, h0), plain(h0), plain(b), _ends(lengths)
    gates = empty((*x.shape[:2], 4 * h0.shape[1]), x.dtype)
    for t in _steps(x, reverse):
        _step("gru", h0, inputs[t], b, matmul(h, R), h, gates[t], y[t], ends, t)
        h = y[t]
    return y, gates


def gru_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array, gates: Array,
                 lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, to rounding."""
    if not usable(g, x, W, R, h0, y, gates):
        return reference.gru_backward(g, x, W, R, h0, y, gates, lengths, reverse, wanted)
    g, y, gates, h0, size, ends = plain(g), plain(y), plain(gates), plain(h0), h0.shape[1], _ends(lengths)
    d, carry = empty(gates.shape, gates.dtype), empty(h0.shape, h0.dtype)
    p: Array = None
    q: Array = None
    for t in reversed(_steps(x, reverse)):
        before = _before(y, h0, t, reverse)
        _step("gru_backward", h0, g[t], gates[t], before, p, q, carry, d[t], ends, t, int(p is None))
        p = matmul(d[t][:, : 2 * size], R[:, : 2 * size].T)
        q = matmul(d[t][:, 3 * size :], R[:, 2 * size :].T)
    gx, gW, _ = _of_inputs(x, W, d[:, :, : 3 * size], wanted)
    gb = activation_backward(d.reshape(-1, 4 * size), d.reshape(-1, 4 * size), "none")[1]
    gR = [_of_states(y, h0, part, reverse) for part in (d[:, :, : 2 * size], d[:, :, 3 * size :])]
    return gx, gW, cupy.concatenate(gR, axis=1), gb, p + q + carry


def _step(kernel: str, h0: Array, *arguments: Any) -> None:
    launch("recurrent", kernel, h0.dtype, flat(h0.size), *arguments, *h0.shape)


def _steps(x: Array, reverse: bool) -> range:
    return range(len(x))[::-1] if reverse else range(len(x))


def _before(states: Array, first: Array, t: int, reverse: bool) -> Array:
    before = t + 1 if reverse else t - 1
    return states[before] if 0 <= before < len(states) else first


@lru_cache(64)  # so that a step that is trained again uploads nothing
def _ends(lengths: Lengths) -> Array:
    return None if lengths is None else cupy.asarray(np.array(lengths, np.int32))


def _states(x: Array, h0: Array) -> Array:
    return empty((len(x), *h0.shape), h0.dtype)


def _flat(x: Array) -> Array:
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _product(x: Array, W: Array) -> Array:
    """(T, N, I), (I, O) -> (T, N, O), as one product."""
    return matmul(_flat(x), W).reshape(*x.shape[:2], W.shape[1])


def _of_inputs(x: Array, W: Array, dz: Array, wanted: Sequence[bool]) -> tuple[Array, Array, Array]:
    """(gx, gW, gb) for the cotangent dz of x W + b."""
    flat_dz = _flat(dz)
    gb = activation_backward(flat_dz, flat_dz, "none")[1]
    return _product(dz, W.T) if wanted[0] else None, matmul(_flat(x).T, flat_dz), gb


def _of_states(y: Array, h0: Array, dz: Array, reverse: bool) -> Array:
    """Σ_t h_{t-1}ᵀ dz_t: (H, columns of dz)."""
    first, earlier, later = (dz[-1], y[1:], dz[:-1]) if reverse else (dz[0], y[:-1], dz[1:])
    return matmul(_flat(earlier).T, _flat(later)) + matmul(h0.T, first)
