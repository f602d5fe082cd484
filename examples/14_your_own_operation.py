# %% [markdown]
# # 14 Write your own operation
#
# Shows: what it takes to add an operation to the framework: a kernel, a rule for each argument, and a test that finds
# mistakes. We make three, of growing difficulty, and break them to see the test find it.
#
# Time: 2 s
#
# Numbers to expect: right rules pass at orders 1 and 2 with an error below 10⁻⁷; five broken ones are all found; a
# compiled kernel equals the plain one on 500 random shapes and strides; a pen learns a curve through our operation.

# %%
import numba
import numpy as np

import tinyart as ta
from tinyart import ops
from tinyart.backend import kernels_of
from tinyart.data import line_plot, panels, scatter
from tinyart.errors import ShapeError
from tinyart.graph import apply
from tinyart.lesson import expect, picture, size
from tinyart.ops.op import Op
from tinyart.optim import Adam
from tinyart.testing import WrongGradient, check_adjoint, check_grad

# %% [markdown]
# ## No kernel at all
#
# Most new operations are made of old ones. Then there is nothing to write but the formula; all derivatives follow.
#
#     mish(x) = x tanh(log(1 + e^x))

# %%
def mish(x):
    """x tanh(softplus(x)) (Misra 2019)"""
    return x * ops.tanh(ops.softplus(x))


rng = np.random.default_rng(0)
expect("mish, orders 1 and 2", check_grad(mish, rng.normal(size=(3, 4))), 0.0, 1e-7)

# %% [markdown]
# ## A rule for a kernel that exists
#
# An operation of its own needs a kernel (arrays in, arrays out) and a rule for each argument. A rule says what a
# cotangent g of the output becomes: the transpose of the Jacobian, applied to g.
#
#     y = f(x):      x̄ = J_fᵀ g
#
# For an elementwise function J is diagonal and the rule is a product. `Op` takes the kernel by its name, and the rule
# as a function of g and of whatever it wants to have saved, by name: the argument "x", or the result "y".
#
# tinyart has the kernel `tanh`. Suppose it had no operation for it:

# %%
my_tanh = Op("my_tanh", "x", kernel="tanh", x=lambda g, y: g * (1.0 - y * y))
x = rng.normal(size=(3, 4))
expect("my_tanh minus tanh", np.abs(my_tanh(ta.tensor(x)).numpy() - np.tanh(x)).max(), 0.0)
expect("my_tanh, orders 1 and 2", check_grad(my_tanh, x), 0.0, 1e-7)

# %% [markdown]
# The rule is written in tensors, not arrays, so order 2 came for free: the tape differentiated g·(1 - y²).
#
# Now three mistakes that are easily made. A wrong constant; the derivative at the input instead of the output; and one
# that a test of first derivatives would never find: the rule leaves the tape by asking for `.detach()`, is right, and
# has no derivative itself.

# %%
def found(operation, *arrays):
    """The test's complaint, or the empty string."""
    try:
        check_grad(operation, *arrays)
    except WrongGradient as error:
        return str(error)
    return ""


broken = {
    "wrong constant": Op("tanh_a", "x", kernel="tanh", x=lambda g, y: g * (1.001 - y * y)),
    "x for y": Op("tanh_b", "x", kernel="tanh", x=lambda g, x: g * (1.0 - x * x)),
    "off the tape": Op("tanh_c", "x", kernel="tanh", x=lambda g, y: g * (1.0 - y * y).detach()),
}
for name, operation in broken.items():
    complaint = found(operation, x)
    print(f"{name}: {complaint[:150]}")
    expect(f"found: {name}", bool(complaint), True)

# %% [markdown]
# ## A kernel of your own
#
# Now something that is not elementwise: running sums along an axis. A pen that moves by steps x_j is, after step i, at
#
#     y_i = Σ_{j ≤ i} x_j
#
# What reaches x_j when cotangents g_i come back to every y_i? The step x_j is in all y_i with i ≥ j:
#
#     x̄_j = Σ_{i ≥ j} g_i
#
# which is the running sum from the other end. The Jacobian is a triangle of ones, the rule its transpose.
#
# A kernel takes arrays by position and settings by keyword, and belongs to a device: `kernels_of(array)` is the table
# of that array's device, and a kernel is an attribute of it. In the framework itself it stands in `kernels/reference/`
# and, so that types are checked, in `backend.Kernels`.

# %%
def running_sum_kernel(x, *, axis):
    return np.cumsum(x, axis=axis, dtype=x.dtype)


kernels_of(np.empty(0)).running_sum = running_sum_kernel
_RUNNING_SUM = Op("running_sum", "x",
                  x=lambda g, axis: ops.flip(running_sum(ops.flip(g, axis), axis=axis), axis))


def running_sum(x, *, axis=0):
    """y_i = Σ_{j ≤ i} x_j along `axis`: (..) -> (..)"""
    return apply(_RUNNING_SUM, x, axis=axis)


x = rng.normal(size=(5, 3))
expect("running_sum, orders 1 and 2", check_grad(lambda x: running_sum(x, axis=0), x), 0.0, 1e-7)

# %% [markdown]
# A linear operation can be tested more sharply: both sides of the transpose, with no difference quotient, to the last
# digits.
#
#     ⟨v, J u⟩ = ⟨Jᵀ v, u⟩
#
# And once more with a mistake, the sum taken from the wrong end:

# %%
expect("running_sum, adjoint", check_adjoint(lambda x: running_sum(x, axis=1), x, linear=True), 0.0, 1e-12)
wrong_end = Op("wrong_end", "x", kernel="running_sum", x=lambda g, axis: running_sum(g, axis=axis))
complaint = found(lambda x: apply(wrong_end, x, axis=0), x)
print(complaint[:150])
expect("found: the wrong end", bool(complaint), True)

# %% [markdown]
# Two arguments, and broadcasting, hold one more trap. Where NumPy repeats the smaller argument, each repetition gets a
# cotangent of its own; the one number must get their sum. A rule that forgets it gives the wrong shape, and the tape
# says so, with the remedy:

# %%
forgot = Op("scale", "x w", kernel="multiply", x=lambda g, w, x_shape: ops.unbroadcast(g * w, x_shape),
            w=lambda g, x: g * x)  # w's cotangent has x's shape
try:
    check_grad(forgot, x, rng.normal(size=3))
    message = ""
except ShapeError as error:
    message = str(error)
print(message)
expect("found: a missing sum", "unbroadcast" in message, True)
right = Op("scale", "x w", kernel="multiply", x=lambda g, w, x_shape: ops.unbroadcast(g * w, x_shape),
           w=lambda g, x, w_shape: ops.unbroadcast(g * x, w_shape))
expect("scale, orders 1 and 2", check_grad(right, x, rng.normal(size=3)), 0.0, 1e-7)

# %% [markdown]
# ## A faster kernel, tested against the plain one
#
# A kernel may be replaced by a faster one of the same name and signature: same result, same dtype, for every shape,
# every stride, and no elements at all. The plain kernel is the oracle; random geometries are the test. Here the faster
# one is compiled by Numba, for the last axis of a matrix:

# %%
@numba.njit
def running_sum_of_rows(x, y):
    for i in range(x.shape[0]):
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += x[i, j]
            y[i, j] = total


def running_sum_compiled(x, *, axis):
    rows = np.moveaxis(x, axis, -1)  # a view
    y = np.empty(rows.shape, x.dtype)
    flat = rows.reshape(int(np.prod(rows.shape[:-1])), rows.shape[-1])
    running_sum_of_rows(flat, y.reshape(flat.shape))
    return np.moveaxis(y, -1, axis)


worst = 0.0
for _ in range(size(toy=60, full=500)):
    shape = tuple(rng.integers(0, 5, rng.integers(1, 4)).tolist())
    base = rng.normal(size=tuple(2 * n for n in shape))
    strided = base[tuple(slice(None, None, int(rng.choice([2, -2]))) for _ in shape)]  # every second, either way
    axis = int(rng.integers(0, len(shape)))
    plain, fast = running_sum_kernel(strided, axis=axis), running_sum_compiled(strided, axis=axis)
    assert (plain.shape, plain.dtype) == (fast.shape, fast.dtype)
    worst = max(worst, float(np.abs(plain - fast).max(initial=0)))
expect("compiled minus plain, over random shapes and strides", worst, 0.0, 1e-13)
kernels_of(np.empty(0)).running_sum = running_sum_compiled
expect("the operation, on the new kernel", check_grad(lambda x: running_sum(x, axis=0), x), 0.0, 1e-7)

# %% [markdown]
# ## What it is good for
#
# A pen that draws by steps. Its places are the running sum of its steps; the loss asks them to lie on a curve, and the
# steps to change smoothly. The gradient goes back through our operation to every step:
#
#     p = running_sum(s)
#     L = 1/T Σ_t |p_t - c_t|² + λ 1/T Σ_t |s_{t+1} - s_t|²

# %%
T = 240
t = np.linspace(0, 2 * np.pi, T)
goal = np.stack([np.sin(3 * t + 0.5) * (1 + 0.25 * np.cos(7 * t)), np.sin(2 * t) * (1 + 0.25 * np.cos(7 * t))], 1)
steps = ta.tensor(rng.normal(size=(T, 2)) * 0.05, requires_grad=True)
optimizer, drawings, curve = Adam([steps], lr=0.01), [], []
count = size(toy=300, full=1500)
for i in range(count):
    if i in (0, count // 8, count // 3):
        drawings.append(running_sum(steps).numpy())
    places = running_sum(steps, axis=0)  # (T, 2)
    loss = ((places - goal) ** 2).sum(1).mean() + ((steps[1:] - steps[:-1]) ** 2).sum(1).mean() * 3.0
    optimizer.step([ta.grad(loss, steps)])
    curve.append((i, np.log10(loss.item())))
drawings.append(running_sum(steps).numpy())
expect("mean distance from the curve at the end", np.sqrt(((drawings[-1] - goal) ** 2).sum(1)).mean(),
       most=size(0.3, 0.08))
picture("loss", line_plot({"log10 of the loss": curve}))


def dots(places):
    return scatter(np.concatenate([places, [[-1.6, -1.6], [1.6, 1.6]]]), side=220, radius=1.5)


picture("pen", panels([dots(np.clip(d, -1.6, 1.6)) for d in drawings],
                      ["random steps", f"after {count // 8} updates", f"after {count // 3}", f"after {count}"]))
