# %% [markdown]
# # 01 A tape in sixty lines
#
# Shows: how a program differentiates itself. We write a tape for single numbers, some sixty lines, train a neuron with
# it, and then find every one of its parts again in `tinyart/graph.py`.
#
# Time: 6 s
#
# Numbers to expect: the derivatives 138.8338 and 645.5773 of an expression that is checked by hand; a curve through
# 21 points with a mean squared error below 0.005; our tape and tinyart's agree to 15 digits.
#
# A network learns by moving each of its weights a little in the direction that lowers a loss. For that it needs the
# derivative of the loss with respect to every weight. A loss is a long expression, but each step of it is simple: a
# sum, a product, a tanh. The chain rule puts the simple derivatives together:
#
#     y = f(x), x = g(w):        ∂y/∂w = ∂y/∂x · ∂x/∂w

# %%
import math

import numpy as np

import tinyart as ta
from tinyart.data import line_plot
from tinyart.lesson import expect, picture, show_source, size

# %% [markdown]
# ## The tape
#
# A `Value` is a number that remembers how it was made: from which values (`inputs`), and the derivative of itself with
# respect to each (`slopes`). Arithmetic on values computes the number at once and writes that note. Nobody has to say
# what a "graph" is: it is what the notes, taken together, are.

# %%
class Value:
    """A number, the values it was made of, and its derivative with respect to each of them."""

    count = 0

    def __init__(self, number, inputs=(), slopes=()):
        self.number, self.inputs, self.slopes = number, inputs, slopes
        self.index = Value.count = Value.count + 1  # values are numbered as they are made

    def __add__(self, other):
        other = as_value(other)
        return Value(self.number + other.number, (self, other), (1, 1))

    def __mul__(self, other):
        other = as_value(other)
        return Value(self.number * other.number, (self, other), (other.number, self.number))

    def __pow__(self, n):
        return Value(self.number**n, (self,), (n * self.number ** (n - 1),))

    def tanh(self):
        t = math.tanh(self.number)
        return Value(t, (self,), (1 - t * t,))

    def exp(self):
        e = math.exp(self.number)
        return Value(e, (self,), (e,))

    def relu(self):
        return Value(max(self.number, 0.0), (self,), (float(self.number > 0),))

    def __neg__(self): return self * -1
    def __sub__(self, other): return self + -as_value(other)
    def __truediv__(self, other): return self * as_value(other) ** -1
    __radd__, __rmul__ = __add__, __mul__
    def __rsub__(self, other): return as_value(other) - self
    def __rtruediv__(self, other): return as_value(other) / self


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


def gradient(y, xs):
    """∂y/∂x for each x of xs."""
    seen, stack = {y}, [y]
    while stack:  # everything that y was made of
        for value in stack.pop().inputs:
            if value not in seen:
                seen.add(value)
                stack.append(value)
    sums = {y: 1.0}  # ∂y/∂y
    for value in sorted(seen, key=lambda value: -value.index):  # newest first: all uses of a value come before it
        for x, slope in zip(value.inputs, value.slopes, strict=True):
            sums[x] = sums.get(x, 0.0) + sums[value] * slope  # ∂y/∂x = Σ over its uses, ∂y/∂value · ∂value/∂x
    return [sums.get(x, 0.0) for x in xs]

# %% [markdown]
# The last loop is the whole of backpropagation. It begins with ∂y/∂y = 1 and goes from the newest value to the oldest.
# A value that is used twice gets two contributions, and they are added: that is the chain rule of several variables.
# Because values are numbered as they are made, "newest first" needs no search for an order: whatever was made of x has
# a larger number than x.
#
# A test. The expression of Karpathy's *micrograd*, whose derivatives are known:

# %%
a, b = Value(-4.0), Value(2.0)
c = a + b
d = a * b + b**3
c = c + c + 1
c = c + 1 + c + -a
d = d + d * 2 + (b + a).relu()
d = d + 3 * d + (b - a).relu()
e = c - d
f = e**2
g = f / 2.0
g = g + 10.0 / f
da, db = gradient(g, [a, b])
expect("the expression", g.number, 24.70408163, 1e-8)
expect("its derivative by a", da, 138.8338192, 1e-7)
expect("its derivative by b", db, 645.5772594, 1e-7)

# %% [markdown]
# Never trust a derivative that was not compared with a difference quotient. Here, with a step of 10⁻⁵, it must agree
# to about ten digits:
#
#     ∂y/∂x ≈ (f(x + h) - f(x - h)) / 2h

# %%
def rational(x):
    return (x * x + 1.0) / (x**3 - 2.0 * x + 5.0) + (x * 0.5).tanh()


h, x = 1e-5, 0.7
quotient = (rational(Value(x + h)).number - rational(Value(x - h)).number) / (2 * h)
point = Value(x)
expect("tape minus difference quotient", gradient(rational(point), [point])[0] - quotient, 0.0, 1e-9)

# %% [markdown]
# ## Something that learns
#
# Three neurons with tanh, summed, are to follow a sine wave through 21 points. Each step computes the loss on the tape,
# asks for ten derivatives, and moves each weight against its own:
#
#     ŷ = b + Σ_k v_k tanh(w_k x + c_k)
#     L = 1/N Σ_n (ŷ_n - y_n)²
#     w ← w - η ∂L/∂w

# %%
rng = np.random.default_rng(1)
weights = [Value(float(w)) for w in rng.normal(size=10)]
xs = [i / 10 - 1 for i in range(21)]
ys = [math.sin(3 * x) for x in xs]


def curve(x, weights):
    w, c, v, b = weights[:3], weights[3:6], weights[6:9], weights[9]
    return b + sum(v[k] * (w[k] * x + c[k]).tanh() for k in range(3))


for _ in range(size(toy=100, full=1500)):
    loss = sum((curve(x, weights) - y) ** 2 for x, y in zip(xs, ys, strict=True)) / len(xs)
    slopes = gradient(loss, weights)
    weights = [Value(w.number - 0.2 * slope) for w, slope in zip(weights, slopes, strict=True)]
expect("squared error after training", loss.number, most=size(toy=0.15, full=0.005))

# %% [markdown]
# ## The same tape, for arrays
#
# `tinyart.graph` is this tape, and nothing else. What changes is that a value is an array, so that one note stands for
# a million multiplications, and that a slope becomes a rule. Compare:
#
# | here | in tinyart | |
# | --- | --- | --- |
# | `Value` | `Tensor` | the number, or array, and a link to its note |
# | `inputs` | `Node.edges` | what it was made of |
# | `slopes` | `Op.rules`, `Node.saved` | how a derivative passes through, and what for that must be remembered |
# | `index` | `Node.index` | the order of making |
# | `gradient` | `grad` | newest first; sums over uses |
#
# The derivative of an array by an array is a matrix J that nobody wants to write down. What travels backwards is only
# its product with a vector:
#
#     y = f(x):        cotangent of x = J_fᵀ · cotangent of y
#
# A rule is that product. For y = a·b, elementwise, the cotangent of a is that of y times b: the slope of `__mul__`
# above, for every entry at once. So an operation is its name and its rules; here are two of them as they stand in
# `tinyart/ops/elementwise.py`, where g is the cotangent of y:
#
#     exp:    g ↦ g · y
#     mul:    g ↦ g · b (for a), g ↦ g · a (for b)
#
# And this is what `grad` does, with the same loop inside; the rest of the function decides what may be freed:

# %%
show_source(ta.graph.Node, ta.grad)

# %% [markdown]
# The same neuron with tinyart, in double precision. One tensor holds three weights, one operation does 21 points. The
# derivatives are those of our own tape:

# %%
w, c, v, b = (ta.tensor(np.array([x.number for x in part]), requires_grad=True)
              for part in (weights[:3], weights[3:6], weights[6:9], weights[9:]))  # (3,), (3,), (3,), (1,)
x, y = ta.tensor(np.array(xs)[:, None]), ta.tensor(np.array(ys))  # (21, 1), (21,)
y_hat = (v * (w * x + c).tanh()).sum(1) + b  # (21, 3) -> (21,)
loss = ((y_hat - y) ** 2).mean()
theirs = np.concatenate([g.numpy() for g in ta.grad(loss, [w, c, v, b])])
ours = gradient(sum((curve(x, weights) - y) ** 2 for x, y in zip(xs, ys, strict=True)) / len(xs), weights)
expect("largest difference of the two tapes", np.abs(theirs - ours).max(), 0.0, 1e-14)

# %% [markdown]
# The picture: the points, and the curve that three neurons make of them.

# %%
fine = np.linspace(-1.3, 1.3, 131)
picture("curve", line_plot({"sin 3x": [(t, math.sin(3 * t)) for t in fine],
                            "three neurons": [(t, curve(t, weights).number) for t in fine]}, xlabel="x"))
