# %% [markdown]
# # 11 Recurrent networks, and why gradients vanish
#
# Shows: the recurrent network of documents 1 and 3 in its letters; how fast its gradient fades with the distance in
# time, and what that has to do with the recurrent matrix R; then the LSTM and the GRU, and a task on which the
# difference decides.
#
# Time: 20 s
#
# Numbers to expect: equations and layer agree; a gradient that loses a factor per step near the spectral radius of R,
# or explodes; over 40 steps the plain network remembers nothing, LSTM and GRU everything.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import line_plot
from tinyart.lesson import expect, picture, show_source, size
from tinyart.models.rnn import RecurrentNetwork, hidden_state, output
from tinyart.optim import Adam, clip_grad_norm
from tinyart.random import Generator

# %% [markdown]
# ## The equations (document 1, section 3.3.3)
#
# A network that reads a sequence x_1, x_2, .. keeps a state h. Each step mixes what it sees with what it knew:
#
#     h_t = f(W x_t + R h_{t-1} + b)
#     y_t = W₂ h_t + b₂
#
# W, R and b are the same at every step: it is a network as deep as the sequence is long, all of whose layers share
# their weights. The framework's functions bear the equations' names; `nn.RNN` is the same loop as one operation.

# %%
show_source(hidden_state, output)
rng = np.random.default_rng(0)
T, N, F, H = 6, 3, 4, 5
x = ta.tensor(rng.normal(size=(T, N, F)))
W, R, b = (ta.tensor(rng.normal(size=shape) * 0.5) for shape in ((F, H), (H, H), (H,)))
h = ta.tensor(np.zeros((N, H)))
for t in range(T):
    h = hidden_state(x[t], h, W, R, b, ta.tanh)
_, last = ta.ops.rnn(x, W, R, b)
expect("loop minus the layer's operation", np.abs(h.numpy() - last.numpy()).max(), 0.0, 1e-13)
W2, b2 = ta.tensor(rng.normal(size=(H, 2))), ta.tensor(rng.normal(size=2))
expect("output minus W₂ h + b₂", np.abs(output(h, W2, b2).numpy() - (h.numpy() @ W2.numpy() + b2.numpy())).max(), 0.0,
       1e-13)

# %% [markdown]
# ## How far back does it learn?
#
# The influence of step t on the last state is a product of Jacobians, one for each step between:
#
#     ∂h_T/∂h_t = Π_{s > t} diag(f'(..)) R
#
# Products of many matrices shrink or grow like powers. If ρ is the spectral radius of R, the largest size of its
# eigenvalues, then without f the norm goes like ρ^(T - t); tanh, whose slope is at most 1, only shrinks it further. We
# measure the gradient of the last state by each input x_t:

# %%
def influence(cell, state_of, steps=60):
    """The norm of the gradient of the last state by x_t, by distance T - t, of that at distance 0."""
    x = ta.tensor(rng.normal(size=(steps, 16, 8)) * 0.1, "float32", requires_grad=True)
    last = state_of(cell(x))
    v = ta.tensor(rng.normal(size=last.shape), "float32")
    g = ta.grad((last * v).sum(), x).numpy()  # (T, N, F)
    norms = np.sqrt((g**2).sum((1, 2)))[::-1]
    return norms / norms[0]


def plain(radius):
    """An RNN of 32 units whose R is random, with spectral radius `radius`."""
    layer = nn.RNN(8, 32, generator=Generator(0))
    recurrent = rng.normal(size=(32, 32))
    recurrent *= radius / np.abs(np.linalg.eigvals(recurrent)).max()
    with ta.no_grad():
        getattr(layer, "0").R[...] = recurrent.astype(np.float32)
    return layer


curves = {f"RNN, radius {radius}": influence(plain(radius), lambda out: out[1][0]) for radius in (0.5, 0.9, 1.5)}
for radius in (0.5, 0.9):
    norms = curves[f"RNN, radius {radius}"]
    expect(f"factor a step, radius {radius}", (norms[40] / norms[10]) ** (1 / 30), radius, 0.1 * radius)
expect("gradient over 40 steps, radius 0.5", curves["RNN, radius 0.5"][40], most=1e-9)

# %% [markdown]
# With a radius of 0.5 nothing of step 1 reaches step 40: it is a factor of 10⁻¹². With 1.5 it would explode, were it
# not for tanh. And this is no fault of the algorithm: a state that forgets has such derivatives. Clipping bounds
# exploding gradients (`clip_grad_norm`); vanishing ones need another network.
#
# ## LSTM and GRU
#
# Hochreiter and Schmidhuber's idea: a second state c that is *added to*, and kept by a gate f that can stay near 1. Its
# Jacobian ∂c_t/∂c_{t-1} is f, no matrix:
#
#     i, f, o = σ(W x_t + R h_{t-1} + b), each with its own weights,   g = tanh(W x_t + R h_{t-1} + b)
#     c_t = f c_{t-1} + i g
#     h_t = o tanh(c_t)
#
# The GRU makes do with one state and two gates:
#
#     r, z = σ(W x_t + R h_{t-1} + b),   n = tanh(W x_t + b + r (R h_{t-1} + b'))
#     h_t = (1 - z) n + z h_{t-1}
#
# Both start with gates half open. Where the bias of f, or of z, is set to 2, the gradient reaches far back from the
# beginning on:

# %%
def gated(kind, bias):
    layer = kind(8, 32, generator=Generator(0))
    with ta.no_grad():
        getattr(layer, "0").b[32:64] = bias  # the second block: f of the LSTM, z of the GRU
    return layer


curves["LSTM, bias of f 2"] = influence(gated(nn.LSTM, 2.0), lambda out: out[1][0][0])
curves["GRU, bias of z 2"] = influence(gated(nn.GRU, 2.0), lambda out: out[1][0])
expect("gradient over 40 steps, LSTM", curves["LSTM, bias of f 2"][40], least=1e-4)
expect("gradient over 40 steps, GRU", curves["GRU, bias of z 2"][40], least=1e-4)
picture("influence", line_plot({name: [(k, math.log10(max(v, 1e-20))) for k, v in enumerate(norms)]
                                for name, norms in curves.items()}, xlabel="steps back (up: log10 of the gradient)"))

# %% [markdown]
# The LSTM's formula, written out, against the framework's operation:

# %%
def sigma(a):
    return 1 / (1 + np.exp(-a))


W, R, b = rng.normal(size=(F, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H)
h = c = np.zeros((N, H))
for t in range(T):
    i, f, g, o = np.split(x.numpy()[t] @ W + h @ R + b, 4, axis=1)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    h = sigma(o) * np.tanh(c)
_, (ours, _) = ta.ops.lstm(x, *map(ta.tensor, (W, R, b)))
expect("lstm minus its formula", np.abs(ours.numpy() - h).max(), 0.0, 1e-13)

W, R, b = rng.normal(size=(F, 3 * H)), rng.normal(size=(H, 3 * H)), rng.normal(size=4 * H)
h = np.zeros((N, H))
for t in range(T):
    (xr, xz, xn), (hr, hz, hn) = np.split(x.numpy()[t] @ W + b[: 3 * H], 3, 1), np.split(h @ R, 3, 1)
    r, z = sigma(xr + hr), sigma(xz + hz)
    h = (1 - z) * np.tanh(xn + r * (hn + b[3 * H :])) + z * h
_, ours = ta.ops.gru(x, *map(ta.tensor, (W, R, b)))
expect("gru minus its formula", np.abs(ours.numpy() - h).max(), 0.0, 1e-13)

# %% [markdown]
# ## A task on which it decides
#
# Sequences of 40 numbers. The first is +1 or -1, all others are noise; at the end, say which it was. One bit, to be
# kept for 39 steps.

# %%
steps, length = size(40, 400), size(15, 40)


def sequences(n):
    data = rng.normal(size=(length, n, 1)) * 0.5
    sign = rng.integers(0, 2, n)
    data[0, :, 0] = 2.0 * sign - 1
    return data.astype(np.float32), sign


def remembers(cell):
    """Right answers on new sequences, and the loss by step."""
    network = RecurrentNetwork(1, 24, 2, cell=cell, generator=Generator(0))
    if cell in ("lstm", "gru"):
        with ta.no_grad():
            getattr(network.recurrent, "0").b[24:48] = 2.0
    optimizer, curve = Adam(network.parameters(), lr=5e-3), []
    for step in range(steps):
        data, sign = sequences(64)
        y, _ = network(ta.tensor(data))  # (T, N, 2)
        loss = ta.cross_entropy(y[-1], sign)
        optimizer.step(clip_grad_norm(ta.grad(loss, network.parameters()), 1.0))
        curve.append((step, loss.item()))
    data, sign = sequences(500)
    with ta.no_grad():
        return float((network(ta.tensor(data))[0].numpy()[-1].argmax(1) == sign).mean()), curve


results = {name: remembers(cell) for name, cell in (("RNN", "tanh"), ("LSTM", "lstm"), ("GRU", "gru"))}
expect("right answers, RNN", results["RNN"][0], most=size(1.0, 0.65))
expect("right answers, LSTM", results["LSTM"][0], least=size(0.4, 0.98))
expect("right answers, GRU", results["GRU"][0], least=size(0.4, 0.98))
picture("memory", line_plot({name: curve for name, (_, curve) in results.items()}))
