"""Convolution, channels last. One trilinear form carries three operations, each other's gradients in any order:

⟨conv(x, w), g⟩ = ⟨x, conv_input(g, w)⟩ = ⟨w, conv_weight(x, g)⟩

    y[n, i, j, o] = Σ_{a,b,c} x[n, i·s + a·d - p, j·s + b·d - p, c] · w[a, b, c, o]      s stride, d dilation, p padding

Transposed convolution is `conv_input`: the gradient of a convolution with respect to its input. The first two add a
bias where one is given, inside the kernel.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyart.errors import ArgumentError, ShapeError
from tinyart.graph import apply
from tinyart.ops.op import Op
from tinyart.ops.reduce import unbroadcast
from tinyart.ops.shape import expand_dims, squeeze

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

Pair = tuple[int, int]
Padding = int | str | Sequence[int] | Sequence[Sequence[int]]

_CONV = Op("conv", "x w b",
           x=lambda g, w, x_shape, settings: apply(_CONV_INPUT, g, w, size=x_shape[1:3], **settings),
           w=lambda g, x, w_shape, settings: apply(_CONV_WEIGHT, x, g, size=w_shape[:2], **settings),
           b=lambda g, b_shape: unbroadcast(g, b_shape))
_CONV_INPUT = Op("conv_input", "g w b",
                 g=lambda v, w, settings: apply(_CONV, v, w, **_sizeless(settings)),
                 w=lambda v, g, w_shape, settings: apply(_CONV_WEIGHT, v, g, **settings | {"size": w_shape[:2]}),
                 b=lambda v, b_shape: unbroadcast(v, b_shape))
_CONV_WEIGHT = Op("conv_weight", "x g",
                  x=lambda v, g, x_shape, settings: apply(_CONV_INPUT, g, v, **settings | {"size": x_shape[1:3]}),
                  g=lambda v, x, settings: apply(_CONV, x, v, **_sizeless(settings)))


def _sizeless(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "size"}


def conv2d(x: Any, w: Any, bias: Any = None, *, stride: int | Pair = 1, padding: Padding = 0,
           dilation: int | Pair = 1, groups: int = 1) -> "Tensor":
    """Cross-correlation of images with `groups` sets of filters, the formula above, plus bias.

    x (N, H, W, C), w (KH, KW, C/groups, O), bias (O,) -> (N, OH, OW, O),
    OH = (H + top + bottom - dilation·(KH - 1) - 1) // stride + 1. `padding` is pixels of zeros: a number, (vertical,
    horizontal), ((top, bottom), (left, right)), "valid" (none) or "same" (OH = ⌈H/stride⌉; an odd pixel goes to the
    bottom and the right: TensorFlow's rule). Cost: 2·N·OH·OW·KH·KW·(C/groups)·O operations.

    Errors: `ShapeError` for shapes that do not fit or an image smaller than the kernel, `ArgumentError` for settings.
    """
    _check_images("conv2d", x, w)
    stride, dilation = _pair("conv2d", "stride", stride), _pair("conv2d", "dilation", dilation)
    if groups < 1 or x.shape[3] % groups or w.shape[3] % groups:
        raise ArgumentError("conv2d", "groups", f"a divisor of the channels in, {x.shape[3]}, and out, {w.shape[3]}",
                            f"{groups}")
    if w.shape[2] * groups != x.shape[3]:
        raise ShapeError("conv2d", "w", f"shape (KH, KW, C/groups, O) with C/groups = {x.shape[3] // groups}",
                         f"{w.shape}", fix="images are channels-last, (N, H, W, C)")
    around = pad_pairs("conv2d", padding, x.shape[1:3], w.shape[:2], stride, dilation)
    for n, k, d, (before, after) in zip(x.shape[1:3], w.shape[:2], dilation, around, strict=True):
        if n + before + after < d * (k - 1) + 1:
            raise ShapeError("conv2d", "x", f"at least {d * (k - 1) + 1} pixels, padding included, for a kernel of {k}",
                             f"{n + before + after}",
                             fix="padding='same', or a smaller kernel")
    y: Tensor = apply(_CONV, x, w, *_bias("conv2d", bias, w.shape[3]), stride=stride, padding=around,
                      dilation=dilation, groups=groups)
    return y


def conv1d(x: Any, w: Any, bias: Any = None, *, stride: int = 1, padding: int | str | Pair = 0, dilation: int = 1,
           groups: int = 1) -> "Tensor":
    """Convolution along one axis: x (N, L, C), w (K, C/groups, O) -> (N, OL, O); `padding` may be (before, after)."""
    if x.ndim != 3 or w.ndim != 3:
        raise ShapeError("conv1d", "x, w", "shapes (N, L, C) and (K, C/groups, O)", f"{x.shape} and {w.shape}")
    around: Any = padding if isinstance(padding, str) else ((0, 0), padding)
    y = conv2d(expand_dims(x, 1), expand_dims(w, 0), bias, stride=(1, stride), padding=around,
               dilation=(1, dilation), groups=groups)  # (N, 1, OL, O)
    return squeeze(y, 1)


def conv_transpose2d(x: Any, w: Any, bias: Any = None, *, stride: int | Pair = 1, padding: Padding = 0,
                     output_padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1) -> "Tensor":
    """The transpose of `conv2d` with the same settings: each input pixel lays down w times its value.

    x (N, H, W, I), w (KH, KW, O/groups, I), bias (O,) -> (N, OH, OW, O),
    OH = (H - 1)·stride - top - bottom + dilation·(KH - 1) + 1 + output_padding; with "same" stride·H.
    Of the sizes that a strided convolution maps to H, `output_padding` < stride picks one.

    Errors: as `conv2d`.
    """
    _check_images("conv_transpose2d", x, w)
    stride, dilation = _pair("conv_transpose2d", "stride", stride), _pair("conv_transpose2d", "dilation", dilation)
    extra = _pair("conv_transpose2d", "output_padding", output_padding, least=0)
    if groups < 1 or x.shape[3] % groups or w.shape[3] != x.shape[3]:
        raise ShapeError("conv_transpose2d", "w", f"shape (KH, KW, O/groups, I) with I = {x.shape[3]}",
                         f"{w.shape}, groups {groups}", fix="groups must divide I")
    if any(e >= s for e, s in zip(extra, stride, strict=True)):
        raise ArgumentError("conv_transpose2d", "output_padding", f"less than the stride, {stride}", f"{extra}")
    if padding == "same":
        if any(extra):
            raise ArgumentError("conv_transpose2d", "output_padding", "0 with padding 'same'", f"{extra}")
        size = (x.shape[1] * stride[0], x.shape[2] * stride[1])
        around = pad_pairs("conv_transpose2d", padding, size, w.shape[:2], stride, dilation)
    else:
        around = pad_pairs("conv_transpose2d", padding, (0, 0), w.shape[:2], stride, dilation)
        h, v = ((n - 1) * s - sum(p) + d * (k - 1) + 1 + e for n, s, p, d, k, e in zip(
            x.shape[1:3], stride, around, dilation, w.shape[:2], extra, strict=True))
        size = (h, v)
    if min(size) < 0 or (0 in size and 0 not in x.shape):
        raise ShapeError("conv_transpose2d", "padding", "an output of at least one pixel", f"{size}")
    y: Tensor = apply(_CONV_INPUT, x, w, *_bias("conv_transpose2d", bias, w.shape[2] * groups), size=size,
                      stride=stride, padding=around, dilation=dilation, groups=groups)
    return y


def _check_images(name: str, x: Any, w: Any) -> None:
    if x.ndim != 4 or w.ndim != 4 or 0 in w.shape[:2]:
        raise ShapeError(name, "x, w", "x of shape (N, H, W, C) and w of four lengths, the first two at least 1",
                         f"{x.shape} and {w.shape}")


def _bias(name: str, bias: Any, channels: int) -> tuple[Any, ...]:
    """The last argument, where there is one."""
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(name, "bias", f"shape {(channels,)}, one number a channel out", f"{bias.shape}")
    return () if bias is None else (bias,)


def _pair(name: str, setting: str, value: Any, least: int = 1) -> Pair:
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(v, int) and v >= least for v in pair):
        raise ArgumentError(name, setting, f"an integer, or two, of at least {least}", f"{value!r}")
    return pair[0], pair[1]


def pad_pairs(name: str, padding: Padding, size: Sequence[int], kernel: Sequence[int], stride: Pair,
              dilation: Pair) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) of any way to say it, for an image of `size`."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
                  for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
        return (totals[0] // 2, -(-totals[0] // 2)), (totals[1] // 2, -(-totals[1] // 2))
    if isinstance(padding, int):
        padding = (padding, padding)
    pairs: list[Any] = [(p, p) if isinstance(p, int) else p for p in padding] if isinstance(padding, Sequence) else []
    flat = [v for p in pairs if isinstance(p, Sequence) and len(p) == 2 for v in p]
    if len(pairs) == 2 and len(flat) == 4 and all(isinstance(v, int) and v >= 0 for v in flat):
        return (flat[0], flat[1]), (flat[2], flat[3])
    raise ArgumentError(name, "padding", "an integer >= 0, two of them, two pairs, 'valid' or 'same'", f"{padding!r}")
