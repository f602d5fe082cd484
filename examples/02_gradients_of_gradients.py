# %% [markdown]
# # 02 Gradients of gradients
#
# Shows: a derivative is computed by operations, so it can be recorded and differentiated like anything else. What that
# is good for: curvature, Newton's method, and penalties on slopes, which lesson 10 needs.
#
# Time: 2 s
#
# Numbers to expect: five derivatives of sin, right to 15 digits; a Hessian times a vector without the Hessian; Newton's
# method at Rosenbrock's minimum in 6 steps where gradient descent is still on its way after 2,000; a slope penalty
# whose gradient is compared with difference quotients.
#
# In lesson 01 a slope was a number, and a number has forgotten how it was computed. In `tinyart` a rule is written in
# tensors and operations. With `create_graph=True` the walk back is itself recorded, and its result is a tensor on the
# tape: there is nothing more to second derivatives than that.

# %%
import numpy as np

import tinyart as ta
from tinyart.data import heatmap, line_plot, panels
from tinyart.lesson import expect, picture, size
from tinyart.testing import check_grad

# %% [markdown]
# ## One function, five times
#
#     f(x) = sin x:    f′ = cos x,   f″ = -sin x,   f‴ = -cos x,   f⁗ = sin x

# %%
x = ta.tensor(np.linspace(-4.0, 4.0, 161), requires_grad=True)
derivatives = [ta.ops.sin(x)]
for _ in range(4):
    derivatives.append(ta.grad(derivatives[-1].sum(), x, create_graph=True))
exact = [np.sin(x.numpy()), np.cos(x.numpy()), -np.sin(x.numpy()), -np.cos(x.numpy()), np.sin(x.numpy())]
for k, (ours, right) in enumerate(zip(derivatives, exact, strict=True)):
    expect(f"largest error of derivative {k}", np.abs(ours.numpy() - right).max(), 0.0, 1e-15)
picture("sine", line_plot({f"derivative {k}": list(zip(x.numpy(), d.numpy() * 0.9**k, strict=True))
                           for k, d in enumerate(derivatives)}, xlabel="x (derivative k drawn times 0.9^k)"))

# %% [markdown]
# `sum()` is there because `grad` starts from a scalar: the points do not influence one another, so the gradient of the
# sum holds each one's derivative.
#
# ## A Hessian times a vector
#
# The Hessian H of a loss with a million weights has 10¹² entries. Its product with a vector v has a million, and needs
# no H: it is the gradient of a dot product, at about the price of two gradients (Pearlmutter 1994).
#
#     H v = ∂/∂w ⟨∂L/∂w, v⟩

# %%
def rosenbrock(w):
    """(1 - a)² + 100 (b - a²)²: a bent valley whose floor falls slowly towards (1, 1)."""
    a, b = w[0], w[1]
    return (1.0 - a) ** 2 + (b - a**2) ** 2 * 100.0


def hessian_times(loss, w, v):
    slope = ta.grad(loss, w, create_graph=True)
    return ta.grad((slope * v).sum(), w)


w = ta.tensor(np.array([-1.2, 1.0]), requires_grad=True)
ours = hessian_times(rosenbrock(w), w, ta.tensor(np.array([1.0, 2.0]))).numpy()
a, b = w.numpy()
H = np.array([[2 + 1200 * a**2 - 400 * b, -400 * a], [-400 * a, 200]])  # by hand
expect("H v, first entry", ours[0], (H @ [1, 2])[0], 1e-9)
expect("H v, second entry", ours[1], (H @ [1, 2])[1], 1e-9)

# %% [markdown]
# ## What curvature buys
#
# Gradient descent knows the slope, and has to guess how far it holds. Newton's step asks the curvature:
#
#     gradient descent:  w ← w - η g
#     Newton:            w ← w - H⁻¹ g

# %%
def hessian(loss_of, w):
    """All of H, a column from each unit vector: for two weights that is affordable."""
    return np.stack([hessian_times(loss_of(w), w, ta.tensor(e)).numpy() for e in np.eye(len(w))], 1)


def descend(step, steps):
    w, path = ta.tensor(np.array([-1.2, 1.0]), requires_grad=True), []
    for _ in range(steps):
        path.append(w.numpy())
        w = ta.tensor(w.numpy() - step(w), requires_grad=True)
    return np.array([*path, w.numpy()])


slow = descend(lambda w: 1e-3 * ta.grad(rosenbrock(w), w).numpy(), size(toy=300, full=2000))
newton = descend(lambda w: np.linalg.solve(hessian(rosenbrock, w), ta.grad(rosenbrock(w), w).numpy()), 6)
expect("distance from (1, 1): gradient descent", np.linalg.norm(slow[-1] - 1), least=0.5)
expect("distance from (1, 1): Newton, 6 steps", np.linalg.norm(newton[-1] - 1), 0.0, 1e-9)

# %% [markdown]
# ## A penalty on a slope
#
# Lesson 10 trains a critic f whose slope in its input x is to be 1. The penalty holds a gradient by x; training it
# needs the gradient of that by the weights θ:
#
#     P(θ) = (‖∂f(x; θ)/∂x‖ - 1)²,        ∂P/∂θ
#
# Few rules of a framework are ever tested at this order. `check_grad` compares both orders with difference quotients,
# in double precision, along random directions:

# %%
def penalty(x, w, v):
    """x (N, 3), w (3, 4), v (4,) -> ()"""
    def critic(x):
        return ((x @ w).tanh() * v).sum()

    slope = ta.grad(critic(x), x, create_graph=True)  # (N, 3)
    return (((slope**2).sum(1).sqrt() - 1.0) ** 2).mean()


rng = np.random.default_rng(0)
error = check_grad(penalty, rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4), order=1)
expect("gradient of the penalty minus difference quotient", error, 0.0, 1e-7)

# %% [markdown]
# The last picture: the matrix that we did not need. A net of 3-4-1 weights with two biases, its loss on forty points,
# and all second derivatives, row by row of `hessian_times`. Blocks are visible: weights of one neuron influence each
# other's slopes most.

# %%
points, targets = ta.tensor(rng.normal(size=(40, 3))), ta.tensor(rng.normal(size=40))


def net_loss(w):
    """w (21,): 3·4 weights, 4 biases, 4 weights, 1 bias."""
    hidden = (points @ w[:12].reshape((3, 4)) + w[12:16]).tanh()  # (40, 4)
    return ((hidden @ w[16:20] + w[20] - targets) ** 2).mean()


w = ta.tensor(rng.normal(size=21), requires_grad=True)
H = hessian(net_loss, w)
expect("H minus its transpose", np.abs(H - H.T).max(), 0.0, 1e-13)
picture("hessian", panels([heatmap(H, scale=16, limit=1.0)], ["the Hessian of a small network: orange is positive"]))
