"""Elementwise operations, with NumPy's broadcasting, as a table: name, arguments, formula, then a rule per argument.

g is the cotangent of y. Where shapes were broadcast, `unbroadcast` sums g back to the argument's shape.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyart.errors import ArgumentError, DtypeError
from tinyart.graph import apply
from tinyart.ops.op import Op
from tinyart.ops.reduce import unbroadcast

if TYPE_CHECKING:
    from tinyart.tensor import Tensor

# Arithmetic of two arguments
add = Op("add", "a b", "a + b", floating=False,
         a=lambda g, a_shape: unbroadcast(g, a_shape),
         b=lambda g, b_shape: unbroadcast(g, b_shape))
sub = Op("sub", "a b", "a - b", kernel="subtract", floating=False,
         a=lambda g, a_shape: unbroadcast(g, a_shape),
         b=lambda g, b_shape: unbroadcast(-g, b_shape))
mul = Op("mul", "a b", "a b", kernel="multiply", floating=False,
         a=lambda g, b, a_shape: unbroadcast(g * b, a_shape),
         b=lambda g, a, b_shape: unbroadcast(g * a, b_shape))
div = Op("div", "a b", "a / b", kernel="divide",
         a=lambda g, b, a_shape: unbroadcast(g / b, a_shape),
         b=lambda g, b, y, b_shape: unbroadcast(-g * y / b, b_shape))
# In a^b the factor that is 0 decides: 0 · a^(-1) and 0^b · log 0 have the limit 0, so their other factor is kept finite
power = Op("power", "a b", "a^b, for a ≥ 0 or integer b",
           a=lambda g, a, b, a_shape: unbroadcast(g * b * a ** _one_less(b), a_shape),
           b=lambda g, a, y, b_shape: unbroadcast(g * y * _finite_log(a), b_shape))
# Where a = b the gradient is shared equally.
maximum = Op("maximum", "a b", "the larger of a and b; NaN if one is", floating=False,
             a=lambda g, a, b, a_shape: unbroadcast(where(equal(a, b), g * 0.5, where(less(a, b), 0.0, g)), a_shape),
             b=lambda g, a, b, b_shape: unbroadcast(where(equal(a, b), g * 0.5, where(less(b, a), 0.0, g)), b_shape))
minimum = Op("minimum", "a b", "the smaller of a and b; NaN if one is", floating=False,
             a=lambda g, a, b, a_shape: unbroadcast(where(equal(a, b), g * 0.5, where(less(b, a), 0.0, g)), a_shape),
             b=lambda g, a, b, b_shape: unbroadcast(where(equal(a, b), g * 0.5, where(less(a, b), 0.0, g)), b_shape))
where = Op("where", "condition a b", "a where the condition holds, else b", floating=False, free="condition",
           a=lambda g, condition, a_shape: unbroadcast(where(condition, g, 0.0), a_shape),
           b=lambda g, condition, b_shape: unbroadcast(where(condition, 0.0, g), b_shape))

# Functions of one argument
neg = Op("neg", "x", "-x", kernel="negative", floating=False, x=lambda g: -g)
abs = Op("abs", "x", "|x|, with gradient 0 at 0", kernel="absolute", floating=False, x=lambda g, x: g * sign(x))
sign = Op("sign", "x", "-1, 0 or 1", floating=False)
exp = Op("exp", "x", "e^x", x=lambda g, y: g * y)
expm1 = Op("expm1", "x", "e^x - 1, exact near 0", x=lambda g, y: g * (y + 1.0))
log = Op("log", "x", "ln x", x=lambda g, x: g / x)
log1p = Op("log1p", "x", "ln(1 + x), exact near 0", x=lambda g, x: g / (x + 1.0))
sqrt = Op("sqrt", "x", "√x", x=lambda g, y: g / (2.0 * y))
sin = Op("sin", "x", "sin x, x in radians", x=lambda g, x: g * cos(x))
cos = Op("cos", "x", "cos x, x in radians", x=lambda g, x: -g * sin(x))
tan = Op("tan", "x", "tan x, x in radians", x=lambda g, y: g * (1.0 + y * y))
arcsin = Op("arcsin", "x", "arcsin x, in radians", x=lambda g, x: g / sqrt((1.0 - x) * (1.0 + x)))
arccos = Op("arccos", "x", "arccos x, in radians", x=lambda g, x: -g / sqrt((1.0 - x) * (1.0 + x)))
arctan = Op("arctan", "x", "arctan x, in radians", x=lambda g, x: g / (1.0 + x * x))
sinh = Op("sinh", "x", "(e^x - e^-x) / 2", x=lambda g, x: g * cosh(x))
cosh = Op("cosh", "x", "(e^x + e^-x) / 2", x=lambda g, x: g * sinh(x))
tanh = Op("tanh", "x", "sinh x / cosh x", x=lambda g, y: _TANH_BACKWARD(g, y))
_TANH_BACKWARD = Op("tanh_backward", "g y", results="gx",  # g (1 - y²), in one pass
                    g=lambda gg, y: _TANH_BACKWARD(gg, y),
                    y=lambda gg, g, y: -2.0 * gg * g * y)
arcsinh = Op("arcsinh", "x", "ln(x + √(x² + 1))", x=lambda g, x: g / sqrt(x * x + 1.0))
arccosh = Op("arccosh", "x", "ln(x + √(x² - 1))", x=lambda g, x: g / sqrt((x - 1.0) * (x + 1.0)))
arctanh = Op("arctanh", "x", "½ ln((1 + x) / (1 - x))", x=lambda g, x: g / ((1.0 - x) * (1.0 + x)))
erf = Op("erf", "x", "2/√π ∫₀ˣ e^(-t²) dt", x=lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))

# Comparisons: boolean results without gradient
equal = Op("equal", "a b", "a = b", floating=False)
not_equal = Op("not_equal", "a b", "a ≠ b", floating=False)
less = Op("less", "a b", "a < b", floating=False)
less_equal = Op("less_equal", "a b", "a ≤ b", floating=False)
greater = Op("greater", "a b", "a > b", floating=False)
greater_equal = Op("greater_equal", "a b", "a ≥ b", floating=False)
logical_and = Op("logical_and", "a b", "a and b", floating=False)
logical_or = Op("logical_or", "a b", "a or b", floating=False)
logical_not = Op("logical_not", "a", "not a", floating=False)


def _one_less(b: Any) -> Any:
    """b - 1, but 1 where b = 0"""
    if isinstance(b, int | float):
        return b - 1 if b != 0 else 1
    return where(equal(b, 0.0), 1.0, b - 1.0)


def _finite_log(a: Any) -> Any:
    """log a, but 0 where a = 0"""
    if isinstance(a, int | float):
        return math.log(a) if a > 0 else 0.0 if a == 0 else math.nan
    return log(where(equal(a, 0.0), 1.0, a))


_CLIP = Op("clip", "x", floating=False,
           x=lambda g, x, low, high: where(_within(x, low, high), g, 0.0))


def clip(x: Any, low: float | None = None, high: float | None = None) -> "Tensor":
    """min(max(x, low), high), elementwise; None is no bound. The gradient is 1 from low to high, 0 outside.

    Errors: `ArgumentError` if low > high or both are None, `DtypeError` for integers between bounds that are none.
    """
    low, high = (b if b is None else int(b) if isinstance(b, int | np.integer) else float(b) for b in (low, high))
    if (low is None and high is None) or (low is not None and high is not None and not low <= high):
        raise ArgumentError("clip", "low, high", "low <= high, at most one of them None", f"{low}, {high}")
    if x.dtype.kind != "f" and float in (type(low), type(high)):
        raise DtypeError("clip", "x", "a floating dtype, like the bounds", f"{x.dtype}", fix="integer bounds")
    result: Tensor = apply(_CLIP, x, low=low, high=high)
    return result


def _within(x: Any, low: float | None, high: float | None) -> Any:
    above = True if low is None else greater_equal(x, low)
    return above if high is None else logical_and(above, less_equal(x, high))


_CAST = Op("astype", "x", kernel="cast", floating=False, x=lambda g, x_dtype: astype(g, x_dtype))
_ROUND = Op("astype", "x", kernel="cast", floating=False)  # to integers: constant but for jumps


def astype(x: Any, dtype: Any) -> "Tensor":
    """x in another dtype: the one way from one dtype to another. Its gradient comes back in x's dtype.

    Integers and booleans made of floating numbers are constants.
    """
    result: Tensor = apply(_CAST if np.dtype(dtype).kind == "f" else _ROUND, x, dtype=dtype)
    return result
