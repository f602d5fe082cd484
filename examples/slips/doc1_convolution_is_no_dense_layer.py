# %% [markdown]
# # Document 1, section 3.3.1: a convolutional layer as y = f(Wx + b)
#
# "The mathematical model of a CNN is y = f(Wx + b), W the weight matrix." That is the formula of a dense layer. It
# holds for a convolution only with a W that is almost empty and repeats few numbers; lesson 04 draws it.
#
#     dense: W free,          convolution: W[(i, j), (k, l)] = w[k - i + p, l - j + p], and 0 outside the window

# %%
import numpy as np

import tinyart as ta
from tinyart.lesson import expect
from tinyart.models.classifier import convolution_matrix

rng = np.random.default_rng(0)
x, w = rng.normal(size=(1, 8, 8, 1)), rng.normal(size=(3, 3, 1, 1))
y = ta.conv2d(ta.tensor(x), ta.tensor(w), padding=1).numpy()  # (1, 8, 8, 1)

# %%
# The document's version: W any matrix. It is no convolution: when the image moves by one pixel, the answer becomes
# another one. Of a convolution, the answer moves too.
any_W, W = rng.normal(size=(64, 64)), convolution_matrix(ta.tensor(w), (8, 8, 1), padding=1)


def moves_with_the_image(matrix):
    """The largest difference, away from the borders, between W(moved x) and moved W(x)."""
    inner = np.zeros((8, 8))
    inner[2:5, 2:5] = x[0, 2:5, 2:5, 0]
    moved = np.roll(inner, 1, axis=1)
    return np.abs((matrix @ moved.ravel()).reshape(8, 8) - np.roll((matrix @ inner.ravel()).reshape(8, 8), 1, 1)).max()


expect("document: W(moved x) - moved W(x), any W", moves_with_the_image(any_W), least=1.0)
expect("right: the same, W of a convolution", moves_with_the_image(W), 0.0, 1e-14)
expect("W x minus conv2d(x, w)", np.abs(W @ x.ravel() - y.ravel()).max(), 0.0, 1e-14)
expect("numbers to learn, any W", any_W.size, 4096)
expect("numbers to learn, the convolution", w.size, 9)
expect("share of W that is 0", (W == 0).mean(), 0.8818, 1e-4)
