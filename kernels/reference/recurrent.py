"""Recurrent layers over whole sequences: x (T, N, I), W (I, G·H), R (H, G·H), h0 (N, H) -> states (T, N, H).

All inputs enter by one product z = x W before the first step, and all weight gradients by one product each after the
last. In between a step costs one product with R and a few elementwise operations, the gates.

    lengths: N numbers, or None for T each: from its end on a sequence keeps its state
    reverse: from the last step to the first, so a shorter sequence starts from h0 at its own end
    wanted: whether a gradient of x is asked for, and so on; x's is a product that the data in front needs not
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .elementwise import relu, sigmoid

Array = Any
Lengths = tuple[int, ...] | None
Gradients = tuple[Array, ...]


def rnn(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        activation: str, lengths: Lengths, reverse: bool) -> Array:  # fmt: skip
    """y (T, N, H): h_t = f(x_t W + h_{t-1} R + b), f "tanh" or "relu"."""
    f: Any = {"tanh": np.tanh, "relu": relu}[activation]
    inside, y, h = _inside(x, lengths), product(x, W) + b, h0
    for t in _steps(x, reverse):
        y[t] = h = _where(inside, t, f(y[t] + h @ R), h)
    return y


def rnn_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array,
                 activation: str, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """(gx, gW, gR, gb, gh0) for the cotangent g of y."""
    inside, slope = _inside(x, lengths), 1 - y * y if activation == "tanh" else (y > 0).astype(y.dtype)
    dz, dh = np.empty_like(y), np.zeros_like(h0)
    for t in reversed(_steps(x, reverse)):
        dh = dh + g[t]
        dz[t] = _where(inside, t, dh * slope[t], 0)
        dh = dz[t] @ R.T + _where(inside, t, 0, dh)
    gx = product(dz, W.T) if wanted[0] else None
    return gx, flat(x).T @ flat(dz), recurrent_gradient(y, h0, dz, reverse), flat(dz).sum(0), dh


def lstm(x: Array, W: Array, R: Array, b: Array, h0: Array, c0: Array, *,
         lengths: Lengths, reverse: bool) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """(y, last c, c, gates): (T, N, H), (N, H), (T, N, H), (T, N, 4H)

    i, f, o = σ(x_t W + h_{t-1} R + b)    g = tanh(..)    c_t = f c_{t-1} + i g    h_t = o tanh(c_t)

    The columns of W, R and b, and `gates`, are those of i, f, g, o.
    """
    inside, gates = _inside(x, lengths), product(x, W) + b
    y, cells, h, c = _like(x, h0), _like(x, h0), h0, c0
    for t in _steps(x, reverse):
        i, f, g, o = _quarters(gates[t])
        gates[t] += h @ R
        i[...], f[...], g[...], o[...] = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cells[t] = c = _where(inside, t, f * c + i * g, c)
        y[t] = h = _where(inside, t, o * np.tanh(c), h)
    return y, c.copy(), cells, gates


def lstm_backward(gy: Array, gc: Array, x: Array, W: Array, R: Array, h0: Array, c0: Array, y: Array, c: Array,
                  gates: Array, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """(gx, gW, gR, gb, gh0, gc0) for the cotangents gy of y and gc of the last c."""
    inside, steps = _inside(x, lengths), _steps(x, reverse)
    dz, dh, dc = np.empty_like(gates), np.zeros_like(h0), gc
    for t in reversed(steps):
        i, f, g, o = _quarters(gates[t])
        before, bent, dh = _before(c, c0, t, reverse), np.tanh(c[t]), dh + gy[t]
        through = dc + dh * o * (1 - bent * bent)
        parts = (through * g * i * (1 - i), through * before * f * (1 - f), through * i * (1 - g * g),
                 dh * bent * o * (1 - o))  # fmt: skip
        dz[t] = _where(inside, t, np.concatenate(parts, axis=1), 0)
        dh = dz[t] @ R.T + _where(inside, t, 0, dh)
        dc = _where(inside, t, through * f, dc)
    gx = product(dz, W.T) if wanted[0] else None
    return gx, flat(x).T @ flat(dz), recurrent_gradient(y, h0, dz, reverse), flat(dz).sum(0), dh, dc


def gru(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        lengths: Lengths, reverse: bool) -> tuple[Array, Array]:  # fmt: skip
    """(y, gates): (T, N, H), (T, N, 4H)

    r, z = σ(x_t W + h_{t-1} R + b)    m = h_{t-1} R + b    n = tanh(x_t W + b + r m)    h_t = (1 - z) n + z h_{t-1}

    The columns of W and R are those of r, z, n; b has those of r, z, n, m, as has `gates`.
    """
    inside, size = _inside(x, lengths), h0.shape[1]
    gates = np.concatenate([product(x, W), _like(x, h0)], axis=2)
    gates[:, :, 3 * size :] = 0
    gates += b
    y, h = _like(x, h0), h0
    for t in _steps(x, reverse):
        r, z, n, m = _quarters(gates[t])
        recurrent = h @ R
        gates[t][:, : 2 * size] += recurrent[:, : 2 * size]
        m += recurrent[:, 2 * size :]
        r[...], z[...] = sigmoid(r), sigmoid(z)
        n[...] = np.tanh(n + r * m)
        y[t] = h = _where(inside, t, (1 - z) * n + z * h, h)
    return y, gates


def gru_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array, gates: Array,
                 lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """(gx, gW, gR, gb, gh0) for the cotangent g of y."""
    inside, size = _inside(x, lengths), h0.shape[1]
    d, dh = np.empty_like(gates), np.zeros_like(h0)  # d: of r, z, n, m before their activations
    for t in reversed(_steps(x, reverse)):
        r, z, n, m = _quarters(gates[t])
        before, dh = _before(y, h0, t, reverse), dh + g[t]
        dn = dh * (1 - z) * (1 - n * n)
        parts = dn * m * r * (1 - r), dh * (before - n) * z * (1 - z), dn, dn * r
        d[t] = _where(inside, t, np.concatenate(parts, axis=1), 0)
        direct = _where(inside, t, dh * z, dh)
        dh = direct + d[t][:, : 2 * size] @ R[:, : 2 * size].T + d[t][:, 3 * size :] @ R[:, 2 * size :].T
    dz = d[:, :, : 3 * size]
    gx = product(dz, W.T) if wanted[0] else None
    gR = [recurrent_gradient(y, h0, part, reverse) for part in (d[:, :, : 2 * size], d[:, :, 3 * size :])]
    return gx, flat(x).T @ flat(dz), np.concatenate(gR, axis=1), flat(d).sum(0), dh


def _steps(x: Array, reverse: bool) -> range:
    return range(len(x))[::-1] if reverse else range(len(x))


def _inside(x: Array, lengths: Lengths) -> Array:
    """Whether a step comes before its sequence's end: (T, N, 1), or None where all do."""
    steps = np.arange(len(x), like=x)
    return None if lengths is None else (steps[:, None] < np.asarray(lengths, like=x))[:, :, None]


def _where(inside: Array, t: int, a: Array, b: Array) -> Array:
    return a if inside is None else np.where(inside[t], a, b)


def _before(states: Array, first: Array, t: int, reverse: bool) -> Array:
    """The state that step t started from: (N, H)."""
    before = t + 1 if reverse else t - 1
    return states[before] if 0 <= before < len(states) else first


def recurrent_gradient(y: Array, h0: Array, dz: Array, reverse: bool) -> Array:
    """Σ_t h_{t-1}ᵀ dz_t, without an array of all h_{t-1}: (H, columns of dz)."""
    first, earlier, later = (dz[-1:], y[1:], dz[:-1]) if reverse else (dz[:1], y[:-1], dz[1:])
    return flat(earlier).T @ flat(later) + h0.T @ first.sum(0)


def _quarters(gates: Array) -> list[Array]:
    """Views of the columns of each gate: (N, 4H) -> four (N, H)."""
    size = gates.shape[1] // 4
    return [gates[:, k * size : (k + 1) * size] for k in range(4)]


def _like(x: Array, h0: Array) -> Array:
    return np.empty_like(h0, shape=(len(x), *h0.shape))


def flat(x: Array) -> Array:
    """(T, N, F) -> (T·N, F)"""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def product(x: Array, W: Array) -> Array:
    """(T, N, I), (I, O) -> (T, N, O), as one product."""
    return (flat(x) @ W).reshape(*x.shape[:2], W.shape[1])
