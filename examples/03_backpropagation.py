# %% [markdown]
# # 03 The perceptron, a loss, and backpropagation by hand and by tape
#
# Shows: document 4, section 3.1, from one neuron to a network of two layers. The gradients of the network are written
# out by hand, line for line beside the forward pass, and then got from the tape: the same digits.
#
# Time: 2 s
#
# Numbers to expect: a perceptron makes no error on points that a line separates, and at least one of four on XOR; hand
# and tape differ by less than 1e-15; a network of 8 hidden neurons learns XOR.

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import heatmap, line_plot, panels
from tinyart.lesson import expect, picture, size
from tinyart.random import Generator

# %% [markdown]
# ## The perceptron
#
# Rosenblatt's neuron of 1958 adds up its inputs, each with a weight, and says yes or no:
#
#     ŷ = 1 if w·x + b > 0, else 0
#     after an error:  w ← w + (y - ŷ) x,   b ← b + (y - ŷ)
#
# If some line separates the two classes, this rule finds one after finitely many errors (Novikoff 1962).

# %%
def perceptron(x, y, epochs=100):
    w, b = np.zeros(2), 0.0
    for _ in range(epochs):
        for point, label in zip(x, y, strict=True):
            error = label - float(point @ w + b > 0)
            w, b = w + error * point, b + error
    return w, b


def errors(x, y, w, b):
    return int(((x @ w + b > 0) != y).sum())


rng = np.random.default_rng(0)
points = rng.uniform(-1, 1, (200, 2))
above = points @ [1.0, -2.0] + 0.3
points, labels = points[abs(above) > 0.1], (above > 0)[abs(above) > 0.1].astype(float)
expect("errors of the perceptron, separable points", errors(points, labels, *perceptron(points, labels)), 0)

xor_x, xor_y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0.0, 1.0, 1.0, 0.0])
expect("errors of the perceptron, XOR", errors(xor_x, xor_y, *perceptron(xor_x, xor_y)), least=1, most=4)

# %% [markdown]
# No line separates XOR: (0, 1) and (1, 0) are yes, (0, 0) and (1, 1) are no. It takes a layer in between, and then the
# rule above no longer says which weight was at fault. That question is what derivatives answer, once the step of the
# yes-or-no is replaced by something smooth.
#
# ## Forward pass and loss (document 4, 3.1.1 and 3.1.2)
#
# N examples x of 2 numbers; a hidden layer of H; one output, read as the logit of a probability p:
#
#     h = tanh(x W₁ + b₁)                      (N, 2) -> (N, H)
#     p = σ(h W₂ + b₂) = 1/(1 + e^(-a))        (N, H) -> (N, 1)
#
# The document names two losses. Mean squared error suits numbers, cross-entropy suits probabilities:
#
#     MSE = 1/N Σ_n (p_n - y_n)²
#     CE = -1/N Σ_n [y_n log p_n + (1 - y_n) log(1 - p_n)]

# %%
def forward(x, W1, b1, W2, b2):
    h = np.tanh(x @ W1 + b1)  # (N, H)
    a = h @ W2 + b2  # (N, 1)
    return h, 1 / (1 + np.exp(-a))


def cross_entropy(p, y):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


# %% [markdown]
# ## Backpropagation by hand (document 4, 3.1.3)
#
# From the loss backwards, a line for each line of the forward pass. Write δv for ∂CE/∂v, which has the shape of v. The
# first line is a small miracle: σ and the logarithm cancel.
#
#     δa = (p - y)/N
#     δW₂ = hᵀ δa,   δb₂ = Σ_n δa_n,   δh = δa W₂ᵀ
#     δ(x W₁ + b₁) = δh (1 - h²)
#     δW₁ = xᵀ δ(x W₁ + b₁),   δb₁ = Σ_n δ(x W₁ + b₁)_n

# %%
def backward(x, y, h, p, W2):
    da = (p - y) / len(x)  # (N, 1)
    dW2, db2 = h.T @ da, da.sum(0)  # (H, 1), (1,)
    dh = da @ W2.T  # (N, H)
    dz = dh * (1 - h**2)  # (N, H)
    dW1, db1 = x.T @ dz, dz.sum(0)  # (2, H), (H,)
    return dW1, db1, dW2, db2


# %% [markdown]
# A product x W passes its cotangent to both sides by transposing: that is all there is to a dense layer. Where values
# were broadcast in the forward pass, such as a bias over N examples, they are summed in the backward one.
#
# ## By tape
#
# Tinyart's tape does the same without being told. `bce_with_logits` is the cross-entropy straight from the logit a,
# which stays exact where p rounds to 0 or 1.

# %%
def by_tape(x, y, *weights):
    W1, b1, W2, b2 = (ta.tensor(w, requires_grad=True) for w in weights)
    a = (ta.tensor(x) @ W1 + b1).tanh() @ W2 + b2
    loss = ta.bce_with_logits(a, ta.tensor(y))
    return loss.item(), [g.numpy() for g in ta.grad(loss, [W1, b1, W2, b2])]


weights = [rng.normal(size=shape) for shape in ((2, 8), (8,), (8, 1), (1,))]
x, y = xor_x, xor_y[:, None]  # (4, 2), (4, 1)
h, p = forward(x, *weights)
hand = backward(x, y, h, p, weights[2])
loss, tape = by_tape(x, y, *weights)
expect("loss by hand minus by tape", cross_entropy(p, y) - loss, 0.0, 1e-15)
for name, ours, theirs in zip(("W1", "b1", "W2", "b2"), hand, tape, strict=True):
    expect(f"gradient of {name}, by hand minus by tape", np.abs(ours - theirs).max(), 0.0, 1e-15)

# %% [markdown]
# ## The framework's names
#
# What was written out here are three names in tinyart: `nn.Dense` is x W + b with weights of its own, `mse_loss` and
# `bce_with_logits` are the two losses.

# %%
dense = nn.Dense(2, 8, generator=Generator(0))
w, b = (p.numpy() for p in dense.parameters())
expect("nn.Dense minus x W + b", np.abs(dense(ta.tensor(x, "float32")).numpy() - (x @ w + b)).max(), 0.0, 1e-6)
expect("mse_loss minus its formula", ta.mse_loss(ta.tensor(p), ta.tensor(y)).item() - ((p - y) ** 2).mean(), 0.0, 1e-15)

# %% [markdown]
# ## Learning XOR

# %%
curve = []
for step in range(size(toy=400, full=2000)):
    h, p = forward(x, *weights)
    curve.append((step, cross_entropy(p, y)))
    weights = [w - 0.5 * g for w, g in zip(weights, backward(x, y, h, p, weights[2]), strict=True)]
expect("cross-entropy after training", curve[-1][1], most=size(toy=0.05, full=0.01))
expect("errors on XOR", ((p > 0.5) != y).sum(), 0)

# %% [markdown]
# ## Which loss?
#
# Put a sigmoid before the squared error, and the slope in the logit is
#
#     ∂MSE/∂a = 2 (p - y) p (1 - p),        ∂CE/∂a = p - y
#
# A neuron that is sure of the wrong thing, p near 0 where y = 1, gets no push from the first and the full one from the
# second. The same happens to a generator's loss in lesson 08.

# %%
a = ta.tensor(np.array(-10.0), requires_grad=True)
mse_slope = ta.grad((ta.sigmoid(a) - 1.0) ** 2, a).item()
ce_slope = ta.grad(ta.bce_with_logits(a, ta.tensor(np.array(1.0))), a).item()
expect("slope of the squared error at a = -10, y = 1", mse_slope, -9.0e-5, 1e-6)
expect("slope of the cross-entropy there", ce_slope, -1.0, 1e-4)

# %% [markdown]
# The pictures: the loss, and what the network says for every point of the square (orange yes, blue no). Two bands cut
# the corners off: the line that one neuron cannot bend, eight can.

# %%
picture("loss", line_plot({"cross-entropy": curve}))
ticks = np.linspace(-0.5, 1.5, 61)
square = np.stack(np.meshgrid(ticks, ticks[::-1]), -1).reshape(-1, 2)  # y up
said = forward(square, *weights)[1].reshape(61, 61)
picture("xor", panels([heatmap(2 * said - 1, scale=5)], ["what the network says about (x, y), from -0.5 to 1.5"]))
