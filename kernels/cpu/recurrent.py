"""Recurrent layers in float32: the whole sequence in one compiled loop, some of the batch's sequences to each thread.

Sequences have nothing to do with each other, so threads share the batch and never wait for one another between steps.
R is packed once into panels as wide as the register tile, which every step reads in order from the second-level cache;
a product for each step would pack it each time. A step begins with x W, likewise in panels, so that the gates are in
the cache from their first sum to the last. The products for gradients of weights and of x are those of linear.py.

Loops over a row are cut so that each has few arrays: LLVM vectorises a loop where it can check at run time that its
arrays do not overlap, and does not try with many.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from ..reference import recurrent as reference
from ..reference.recurrent import Array, Gradients, Lengths, flat
from .compiling import compiled, contracted, plain
from .linear import product
from .math import sigmoid32, tanh32
from .memory import empty, full
from .threads import get_num_threads, share
from .tile import _FUSED, COLUMNS, LANES, ROWS, VECTORS, loop

_SHARED_FROM = 1 << 20  # multiply-adds: 20 µs on one core
_WORTH = 1 << 21  # multiply-adds that are worth a thread
_BLOCK = 1 << 16  # numbers packed that are
_STEPS = 3  # of fewer the packing of R is not worth it
_ZERO, _ONE = np.float32(0), np.float32(1)


def rnn(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        activation: str, lengths: Lengths, reverse: bool) -> Array:  # fmt: skip
    """As the reference, which serves other dtypes, nothing at all, and very short sequences."""
    if not _fits(x, W, R, b, h0):
        return reference.rnn(x, W, R, b, h0, activation=activation, lengths=lengths, reverse=reverse)
    y = empty((len(x), *h0.shape))
    _share(_rnn, x, R, *_inputs(x, W, b, y, 1), y, _panels(R, 1), *_plain(b, h0), _ends(x, lengths), reverse,
           activation == "relu")  # fmt: skip
    return y


def rnn_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array,
                 activation: str, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(g, x, W, R, h0, y):
        return reference.rnn_backward(g, x, W, R, h0, y, activation, lengths, reverse, wanted)
    dz, dh = empty(y.shape), np.zeros(h0.shape, np.float32)
    _share(_rnn_backward, x, R, *_plain(g, y), _panels(R.T, 1)[0], dz, dh, _ends(x, lengths), reverse,
           activation == "relu")  # fmt: skip
    return _input_gradient(W, dz, wanted), *_weight_gradients(x, y, h0, reverse, dz), dh


def lstm(x: Array, W: Array, R: Array, b: Array, h0: Array, c0: Array, *,
         lengths: Lengths, reverse: bool) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(x, W, R, b, h0, c0):
        return reference.lstm(x, W, R, b, h0, c0, lengths=lengths, reverse=reverse)
    gates, y, c = (empty((len(x), len(h0), width)) for width in (W.shape[1], *h0.shape[1:] * 2))
    _share(_lstm, x, R, *_inputs(x, W, b, gates, 4), gates, y, c, _panels(R, 4), *_plain(b, h0, c0), _ends(x, lengths),
           reverse)  # fmt: skip
    return y, c[0 if reverse else -1].copy(), c, gates


def lstm_backward(gy: Array, gc: Array, x: Array, W: Array, R: Array, h0: Array, c0: Array, y: Array, c: Array,
                  gates: Array, lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(gy, gc, x, W, R, h0, c0, y, c, gates):
        return reference.lstm_backward(gy, gc, x, W, R, h0, c0, y, c, gates, lengths, reverse, wanted)
    dz, dh, dc = empty(gates.shape), np.zeros(h0.shape, np.float32), np.array(gc, order="C")
    _share(_lstm_backward, x, R, *_plain(gy, c, gates, c0), _panels(R.T, 1)[0], dz, dh, dc, _ends(x, lengths), reverse)
    return _input_gradient(W, dz, wanted), *_weight_gradients(x, y, h0, reverse, dz), dh, dc


def gru(x: Array, W: Array, R: Array, b: Array, h0: Array, *,
        lengths: Lengths, reverse: bool) -> tuple[Array, Array]:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(x, W, R, b, h0):
        return reference.gru(x, W, R, b, h0, lengths=lengths, reverse=reverse)
    size = h0.shape[1]
    gates, y = (empty((len(x), len(h0), columns)) for columns in (4 * size, size))
    _share(_gru, x, R, *_inputs(x, W, b, gates, 3), gates, y, _panels(R, 3), *_plain(b, h0), _ends(x, lengths), reverse)
    return y, gates


def gru_backward(g: Array, x: Array, W: Array, R: Array, h0: Array, y: Array, gates: Array,
                 lengths: Lengths, reverse: bool, wanted: Sequence[bool]) -> Gradients:  # fmt: skip
    """As the reference, likewise."""
    if not _fits(g, x, W, R, h0, y, gates):
        return reference.gru_backward(g, x, W, R, h0, y, gates, lengths, reverse, wanted)
    size, inputs, d, dh = h0.shape[1], x.shape[2], empty(gates.shape), np.zeros(h0.shape, np.float32)
    _share(_gru_backward, x, R, *_plain(g, y, gates, h0), _panels(R.T, 1)[0], d, dh, _ends(x, lengths), reverse)
    gR, known, rows = empty(R.shape), _known(x, y, h0, reverse), flat(d)
    of_inputs = product(known[:, : inputs + 1].T, rows[:, : 3 * size])
    product(known[:, inputs + 1 :].T, rows[:, : 2 * size], out=gR[:, : 2 * size])
    of_candidate = product(known[:, inputs:].T, rows[:, 3 * size :])
    gR[:, 2 * size :] = of_candidate[1:]
    gb = np.concatenate([of_inputs[inputs], of_candidate[0]])
    return _input_gradient(W, d[:, :, : 3 * size], wanted), of_inputs[:inputs], gR, gb, dh


def _fits(*arrays: Array) -> bool:
    """float32, something in each, steps enough, and compiled: the tile is no Python."""
    steps = next(a.shape[0] for a in arrays if a.ndim == 3)
    return steps >= _STEPS and all(a.dtype == np.float32 and a.size for a in arrays) and not DISABLE_JIT


def _plain(*arrays: Array) -> list[Array]:
    return [np.ascontiguousarray(a) for a in arrays]


def _ends(x: Array, lengths: Lengths) -> Array:
    return np.full(x.shape[1], len(x)) if lengths is None else np.array(lengths)


def _share(kernel: Any, x: Array, R: Array, *arguments: Any) -> None:
    """Equal parts of the batch to all threads, where they have something to do."""
    steps, batch, _ = x.shape
    threads = get_num_threads() if steps * batch * R.size >= _SHARED_FROM else 1
    share(kernel, batch, -(-batch // threads), *arguments)


def _panels(R: Array, gates: int) -> Array:
    """R (K, G·H) as (G, panels, K, COLUMNS), each gate's last panel filled up with zeros."""
    k, size = R.shape[0], R.shape[1] // gates
    panels = full(R, value=0, shape=(gates, -(-size // COLUMNS), k, COLUMNS))
    transposed = R.T.flags.c_contiguous  # rows are read as they lie in memory
    rows = plain(R.T if transposed else R)
    share(_pack, len(rows), 1 + _BLOCK // rows.shape[1], rows, panels, size, transposed)
    return panels


def _inputs(x: Array, W: Array, b: Array, out: Array, gates: int) -> tuple[Array, Array, bool]:
    """x, W in panels, and whether the loop is to multiply them. With few sequences to a thread each step would read all
    of W for little: then `out` is b + x W of all steps before the loop begins. Both ways have the same bits."""
    x, panels, inside = np.ascontiguousarray(x), _panels(W, gates), x.shape[1] >= ROWS * get_num_threads()
    if not inside:
        share(_begin, x.shape[0] * x.shape[1], 1 + _WORTH // W.size, flat(x), panels, plain(b), W.shape[1] // gates,
              flat(out))  # fmt: skip
    return x, panels, inside


def _input_gradient(W: Array, dz: Array, wanted: Sequence[bool]) -> Array | None:
    return product(flat(dz), W.T).reshape(*dz.shape[:2], len(W)) if wanted[0] else None


def _known(x: Array, y: Array, h0: Array, reverse: bool) -> Array:
    """[x, 1, the state before] of all steps: its product with their dz, which reads that once, has three gradients."""
    known = empty((*x.shape[:2], x.shape[2] + 1 + y.shape[2]))
    share(_join, len(x), 1 + _BLOCK // known[0].size, *_plain(x, y, h0), reverse, known)
    return flat(known)


def _weight_gradients(x: Array, y: Array, h0: Array, reverse: bool, dz: Array) -> tuple[Array, Array, Array]:
    """Those of W, R and b"""
    inputs, gradients = x.shape[2], product(_known(x, y, h0, reverse).T, flat(dz))
    return gradients[:inputs], gradients[inputs + 1 :], gradients[inputs]


@compiled
def _pack(first: int, end: int, R: Array, panels: Array, size: int, transposed: bool) -> None:
    """R, or its transpose, row by row as it lies in memory"""
    for r in range(first, end):
        if transposed:
            panel, j = panels[r // size, r % size // COLUMNS], r % size % COLUMNS
            for k in range(R.shape[1]):
                panel[k, j] = R[r, k]
            continue
        for gate in range(panels.shape[0]):
            for p in range(panels.shape[1]):
                row, part = panels[gate, p, r], R[r, gate * size + p * COLUMNS :]
                for j in range(min(COLUMNS, size - p * COLUMNS)):
                    row[j] = part[j]


@compiled
def _join(first: int, end: int, x: Array, y: Array, h0: Array, reverse: bool, known: Array) -> None:
    inputs, hidden = x.shape[2], h0.shape[1]
    for t in range(first, end):
        before = h0 if t == (len(x) - 1 if reverse else 0) else y[t + 1 if reverse else t - 1]
        for n in range(len(before)):
            row, given, state = known[t, n], x[t, n], before[n]
            for j in range(inputs):
                row[j] = given[j]
            row[inputs] = 1
            for j in range(hidden):
                row[inputs + 1 + j] = state[j]


# ---- the loops over steps; sequences first .. end of the batch


@contracted
def _begin(first: int, end: int, x: Array, of_x: Array, b: Array, size: int, gates: Array) -> None:
    """gates ← b + x W, `size` columns to a gate"""
    for n in range(first, end):
        gates[n] = b
    for gate in range(of_x.shape[0]):
        _multiply(first, end, x, 0, of_x.shape[2], of_x[gate], 0, gates, gate * size, size)


@contracted
def _rnn(first: int, end: int, x: Array, of_x: Array, inside: bool, y: Array, panels: Array, b: Array, h0: Array,
         ends: Array, reverse: bool, relu: bool) -> None:  # fmt: skip
    steps, _, size = y.shape
    before = h0
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        now = y[t]
        if inside:
            _begin(first, end, x[t], of_x, b, size, now)
        _multiply(first, end, before, 0, size, panels[0], 0, now, 0, size)
        for n in range(first, end):
            row = now[n]
            if t >= ends[n]:
                row[:] = before[n]
            elif relu:
                for j in range(size):
                    z = row[j]
                    row[j] = _ZERO if z < _ZERO else z  # NaN stays
            else:
                for j in range(size):
                    row[j] = tanh32(row[j])
        before = now


@contracted
def _rnn_backward(first: int, end: int, g: Array, y: Array, panels: Array, dz: Array, dh: Array, ends: Array,
                  reverse: bool, relu: bool) -> None:  # fmt: skip
    steps, _, size = y.shape
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        for n in range(first, end):
            state, back, now, out = y[t, n], g[t, n], dh[n], dz[t, n]
            for j in range(size):
                now[j] += back[j]
            if t >= ends[n]:
                out[:] = 0
                continue
            if relu:
                for j in range(size):
                    out[j] = now[j] if state[j] > _ZERO else _ZERO
            else:
                for j in range(size):
                    out[j] = now[j] * (_ONE - state[j] * state[j])
            now[:] = 0
        _multiply(first, end, dz[t], 0, size, panels, 0, dh, 0, size)


@contracted
def _lstm(first: int, end: int, x: Array, of_x: Array, inside: bool, gates: Array, y: Array, c: Array, panels: Array,
          b: Array, h0: Array, c0: Array, ends: Array, reverse: bool) -> None:  # fmt: skip
    steps, _, size = y.shape
    h_before, c_before = h0, c0
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        if inside:
            _begin(first, end, x[t], of_x, b, size, gates[t])
        for gate in range(4):
            _multiply(first, end, h_before, 0, size, panels[gate], 0, gates[t], gate * size, size)
        for n in range(first, end):
            row, h, cell, old = gates[t, n], y[t, n], c[t, n], c_before[n]
            for j in range(2 * size):
                row[j] = sigmoid32(row[j])
            i, f, g, o = row[:size], row[size : 2 * size], row[2 * size : 3 * size], row[3 * size :]
            for j in range(size):
                g[j] = tanh32(g[j])
            for j in range(size):
                o[j] = sigmoid32(o[j])
            if t >= ends[n]:
                cell[:] = old
                h[:] = h_before[n]
                continue
            for j in range(size):
                cell[j] = f[j] * old[j] + i[j] * g[j]
            for j in range(size):
                h[j] = o[j] * tanh32(cell[j])
        h_before, c_before = y[t], c[t]


@contracted
def _lstm_backward(first: int, end: int, gy: Array, c: Array, gates: Array, c0: Array, panels: Array, dz: Array,
                   dh: Array, dc: Array, ends: Array, reverse: bool) -> None:  # fmt: skip
    steps, _, size = c.shape
    bent = np.empty(size, np.float32)  # tanh c
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        place = t + 1 if reverse else t - 1
        before = c[place] if 0 <= place < steps else c0
        for n in range(first, end):
            row, out, cell, old, back, now, through = gates[t, n], dz[t, n], c[t, n], before[n], gy[t, n], dh[n], dc[n]
            for j in range(size):
                now[j] += back[j]
            if t >= ends[n]:
                out[:] = 0
                continue
            i, f, g, o = row[:size], row[size : 2 * size], row[2 * size : 3 * size], row[3 * size :]
            di, df, dg, do = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
            for j in range(size):
                bent[j] = tanh32(cell[j])
            for j in range(size):
                through[j] += now[j] * o[j] * (_ONE - bent[j] * bent[j])
            for j in range(size):
                do[j] = now[j] * bent[j] * o[j] * (_ONE - o[j])
            for j in range(size):
                di[j] = through[j] * g[j] * i[j] * (_ONE - i[j])
                dg[j] = through[j] * i[j] * (_ONE - g[j] * g[j])
            for j in range(size):
                df[j] = through[j] * old[j] * f[j] * (_ONE - f[j])
                through[j] *= f[j]
            now[:] = 0
        _multiply(first, end, dz[t], 0, 4 * size, panels, 0, dh, 0, size)


@contracted
def _gru(first: int, end: int, x: Array, of_x: Array, inside: bool, gates: Array, y: Array, panels: Array, b: Array,
         h0: Array, ends: Array, reverse: bool) -> None:  # fmt: skip
    steps, _, size = y.shape
    before = h0
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        if inside:
            _begin(first, end, x[t], of_x, b, size, gates[t])
        for gate in range(3):
            _multiply(first, end, before, 0, size, panels[gate], 0, gates[t], (gate + gate // 2) * size, size)
        for n in range(first, end):
            row, h, old = gates[t, n], y[t, n], before[n]
            for j in range(2 * size):
                row[j] = sigmoid32(row[j])
            r, z, new, m = row[:size], row[size : 2 * size], row[2 * size : 3 * size], row[3 * size :]
            for j in range(size):
                new[j] = tanh32(new[j] + r[j] * m[j])
            if t >= ends[n]:
                h[:] = old
                continue
            for j in range(size):
                h[j] = (_ONE - z[j]) * new[j] + z[j] * old[j]
        before = y[t]


@contracted
def _gru_backward(first: int, end: int, g: Array, y: Array, gates: Array, h0: Array, panels: Array, d: Array,
                  dh: Array, ends: Array, reverse: bool) -> None:  # fmt: skip
    steps, _, size = y.shape
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        place = t + 1 if reverse else t - 1
        before = y[place] if 0 <= place < steps else h0
        for n in range(first, end):
            row, out, old, back, now = gates[t, n], d[t, n], before[n], g[t, n], dh[n]
            for j in range(size):
                now[j] += back[j]
            if t >= ends[n]:
                out[:] = 0
                continue
            r, z, new, m = row[:size], row[size : 2 * size], row[2 * size : 3 * size], row[3 * size :]
            dr, du, dn, dm = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
            for j in range(size):
                dn[j] = now[j] * (_ONE - z[j]) * (_ONE - new[j] * new[j])
            for j in range(size):
                dm[j] = dn[j] * r[j]
            for j in range(size):
                dr[j] = dn[j] * m[j] * r[j] * (_ONE - r[j])
            for j in range(size):
                du[j] = now[j] * (old[j] - new[j]) * z[j] * (_ONE - z[j])
            for j in range(size):
                now[j] *= z[j]
        _multiply(first, end, d[t], 0, 2 * size, panels, 0, dh, 0, size)
        _multiply(first, end, d[t], 3 * size, size, panels, 2 * size, dh, 0, size)


# ---- products: c[first:end, c_from:][:, :width] += a[first:end, a_from:][:, :k] B, B's rows k_from.. packed in panels


@compiled
def _multiply(first: int, end: int, a: Array, a_from: int, k: int, panels: Array, k_from: int, c: Array, c_from: int,
              width: int) -> None:  # fmt: skip
    am, cm = a.shape[1], c.shape[1]
    for p in range(panels.shape[0]):
        b = panels.ctypes.data + 4 * (p * panels.shape[1] + k_from) * COLUMNS
        columns = min(COLUMNS, width - p * COLUMNS)
        row = first
        while row < end:
            left = end - row
            pa = a.ctypes.data + 4 * (row * am + a_from)
            pc = c.ctypes.data + 4 * (row * cm + c_from + p * COLUMNS)
            # Of few rows each sum waits for the one before it: rather five as 3 + 2 than 4 + 1, and eight as 4 + 4.
            if left >= ROWS and left not in (ROWS + 1, ROWS + 2):
                _tile_full(pa, am, b, k, pc, cm, columns)
                row += ROWS
            elif left >= 4 and left != 5:
                _tile_4(pa, am, b, k, pc, cm, columns)
                row += 4
            elif left >= 3:
                _tile_3(pa, am, b, k, pc, cm, columns)
                row += 3
            elif left == 2:
                _tile_2(pa, am, b, k, pc, cm, columns)
                row += 2
            else:
                _tile_1(pa, am, b, k, pc, cm, columns)
                row += 1


def _make_tile(rows: int) -> Any:
    """c[m, n] += Σ_l a[m, l] b[l, n]: `rows` by COLUMNS sums, all in registers. Columns past the last are masked."""
    index, lane, one_bit, scalar = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.FloatType()
    vector, bits = ir.VectorType(scalar, LANES), ir.VectorType(one_bit, LANES)

    @intrinsic
    def tile(typing, a, am, b, k, c, cm, columns):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            a, am, b, k, c, cm, columns = arguments
            pointer, undefined = ir.PointerType(), ir.Constant(vector, ir.Undefined)

            def function(name: str, result: Any, parameters: list[Any]) -> Any:
                return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, parameters), name)

            fma = function(f"llvm.fma.v{LANES}f32", vector, [vector] * 3)
            load = function(f"llvm.masked.load.v{LANES}f32.p0", vector, [pointer, lane, bits, vector])
            store = function(f"llvm.masked.store.v{LANES}f32.p0", ir.VoidType(), [vector, pointer, lane, bits])

            def at(base: Any, count: Any) -> Any:
                return builder.inttoptr(builder.add(base, builder.shl(count, index(2))), pointer)

            def everywhere(value: Any, kind: Any) -> Any:
                one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, lane(0))
                return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined),
                                              ir.Constant(ir.VectorType(lane, LANES), [0] * LANES))  # fmt: skip

            wide = ir.VectorType(index, LANES)
            masks = [builder.icmp_signed("<", ir.Constant(wide, [v * LANES + n for n in range(LANES)]),
                                         everywhere(columns, wide)) for v in range(VECTORS)]  # fmt: skip
            full = builder.icmp_signed("==", columns, index(COLUMNS))  # masks cost: AVX2's store takes 12 cycles
            places = [(at(c, builder.add(builder.mul(cm, index(m)), index(v * LANES))), masks[v],
                       cgutils.alloca_once(builder, vector)) for m in range(rows) for v in range(VECTORS)]  # fmt: skip
            with builder.if_else(full) as (whole, part):
                with whole:
                    for target, _, total in places:
                        builder.store(builder.load(target, align=4, typ=vector), total)
                with part:
                    for target, mask, total in places:
                        builder.store(builder.call(load, [target, lane(4), mask, undefined]), total)

            def step(place: Any) -> None:
                first = builder.mul(place, index(COLUMNS))
                row = [builder.load(at(b, builder.add(first, index(v * LANES))), align=4, typ=vector)
                       for v in range(VECTORS)]  # fmt: skip
                for m in range(rows):
                    x = builder.load(at(a, builder.add(place, builder.mul(am, index(m)))), typ=scalar)
                    x = everywhere(x, vector)
                    for v in range(VECTORS):
                        total = places[m * VECTORS + v][2]
                        now = builder.load(total, typ=vector)
                        builder.store(builder.call(fma, [x, row[v], now]) if _FUSED
                                      else builder.fadd(builder.fmul(x, row[v]), now), total)  # fmt: skip

            loop(builder, k, step)
            with builder.if_else(full) as (whole, part):
                with whole:
                    for target, _, total in places:
                        builder.store(builder.load(total, typ=vector), target, align=4)
                with part:
                    for target, mask, total in places:
                        builder.call(store, [builder.load(total, typ=vector), target, lane(4), mask])
            return context.get_dummy_value()

        return types.void(*[types.intp] * 7), codegen

    return tile


_tile_full, _tile_4, _tile_3, _tile_2, _tile_1 = map(_make_tile, (ROWS, 4, 3, 2, 1))
