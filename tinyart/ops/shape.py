"""Operations that move elements and compute nothing: each one's gradient is another of them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import apply
from tinyart.ops.op import Op

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

_RESHAPE = Op("reshape", "x", view=True, floating=False, x=lambda g, x_shape: reshape(g, x_shape))
_TRANSPOSE = Op("transpose", "x", view=True, floating=False, x=lambda g, axes: transpose(g, _inverse(axes)))
_BROADCAST_TO = Op("broadcast_to", "x", view=True, floating=False, x=lambda g, x_shape: _unbroadcast(g, x_shape))
_CONCATENATE = Op("concatenate", "*xs", floating=False,
                  xs=lambda g, position, shapes, axis: _part(g, position, shapes, axis))
_SPLIT = Op("split", "x", view=True, floating=False, outputs=0, x=lambda gs, axis: concatenate(gs, axis))
_PAD = Op("pad", "x", floating=False, x=lambda g, x_shape, widths: _middle(g, x_shape, widths))
_FLIP = Op("flip", "x", view=True, floating=False, x=lambda g, axis: flip(g, axis))


def reshape(x: Any, shape: int | Sequence[int]) -> "Tensor":
    """The same elements in another shape, row-major; one length may be -1 and is inferred."""
    y: Tensor = apply(_RESHAPE, x, shape=(shape,) if isinstance(shape, int) else tuple(shape))
    return y


def flatten(x: Any, start: int = 0) -> "Tensor":
    """All axes from `start` on as one: (N, H, W, C) -> (N, H·W·C) for start 1."""
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start:])))


def checked_axis(name: str, axis: int, ndim: int) -> int:
    """`axis` counted from 0. Errors: `ShapeError` where there is no such axis."""
    if not -ndim <= axis < ndim:
        raise ShapeError(name, "axis", f"one of the {ndim} axes", f"{axis}")
    return axis % ndim


def transpose(x: Any, axes: Sequence[int] | None = None) -> "Tensor":
    """Axis i of the result is axis axes[i] of x; None reverses all axes."""
    y: Tensor = apply(_TRANSPOSE, x, axes=tuple(range(x.ndim))[::-1] if axes is None else tuple(axes))
    return y


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    places = {axis % len(axes): i for i, axis in enumerate(axes)}
    return tuple(places[i] for i in range(len(axes)))


def swapaxes(x: Any, a: int, b: int) -> "Tensor":
    """x with axes a and b exchanged."""
    axes = list(range(x.ndim))
    a, b = checked_axis("swapaxes", a, x.ndim), checked_axis("swapaxes", b, x.ndim)
    axes[a], axes[b] = axes[b], axes[a]
    return transpose(x, axes)


def broadcast_to(x: Any, shape: Sequence[int]) -> "Tensor":
    """x repeated along new axes and axes of length 1, without copying."""
    y: Tensor = apply(_BROADCAST_TO, x, shape=tuple(shape))
    return y


def _unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    from tinyart.ops.reduce import unbroadcast  # sums need broadcast_to for their own gradient

    return unbroadcast(g, shape)


def expand_dims(x: Any, axis: int) -> "Tensor":
    """x with an axis of length 1 put in at `axis`."""
    at = checked_axis("expand_dims", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def squeeze(x: Any, axis: int) -> "Tensor":
    """x without its axis `axis`. Errors: `ShapeError` if that axis is not of length 1."""
    at = checked_axis("squeeze", axis, x.ndim)
    if x.shape[at] != 1:
        raise ShapeError("squeeze", "axis", f"axis {axis} of length 1", f"shape {x.shape}")
    return reshape(x, (*x.shape[:at], *x.shape[at + 1 :]))


def concatenate(xs: Sequence[Any], axis: int = 0) -> "Tensor":
    """The xs one after another along `axis`; their other lengths agree."""
    y: Tensor = apply(_CONCATENATE, *xs, axis=axis)
    return y


def _part(g: Any, position: int, shapes: list[tuple[int, ...]], axis: int) -> Any:
    lengths = [shape[axis] for shape in shapes]
    start = sum(lengths[:position])
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, start + lengths[position]),)]


def stack(xs: Sequence[Any], axis: int = 0) -> "Tensor":
    """The xs, all of one shape, along a new axis."""
    return concatenate([expand_dims(x, axis) for x in xs], axis)


def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> "tuple[Tensor, ...]":
    """x cut along `axis` into pieces of the given sizes, or into that many equal ones; `concatenate` joins them again.

    Errors: `ShapeError` if the sizes do not add up to the axis.
    """
    n = x.shape[checked_axis("split", axis, x.ndim)]
    if isinstance(sizes, int):
        sizes = (n // sizes,) * sizes if sizes > 0 else ()
    if sum(sizes) != n or not sizes or min(sizes) < 0:
        raise ShapeError("split", "sizes", f"sizes that add up to {n}, the length of axis {axis}", f"{sizes}")
    pieces: tuple[Tensor, ...] = apply(_SPLIT, x, sizes=tuple(sizes), axis=axis)
    return pieces


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> "Tensor":
    """x with (before, after) elements of `value` put around each axis.

    Errors: `ArgumentError` if there is not one non-negative pair for each axis.
    """
    pairs = tuple(tuple(pair) for pair in widths)
    if len(pairs) != x.ndim or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ArgumentError("pad", "widths", f"{x.ndim} pairs (before, after) of lengths >= 0", f"{widths}",
                            fix="x[...] cuts an axis shorter")
    y: Tensor = apply(_PAD, x, widths=pairs, value=value)
    return y


def _middle(g: Any, x_shape: tuple[int, ...], widths: tuple[tuple[int, int], ...]) -> Any:
    return g[tuple(slice(before, before + n) for n, (before, _) in zip(x_shape, widths, strict=True))]


def flip(x: Any, axis: int | tuple[int, ...]) -> "Tensor":
    """x in reverse order along the axes."""
    y: Tensor = apply(_FLIP, x, axis=(axis,) if isinstance(axis, int) else axis)
    return y
