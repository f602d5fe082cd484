# %% [markdown]
# # 04 A convolution is a matrix
#
# Shows: the W of document 1's convolutional layer, as a picture; the two gradients of a convolution, which are again
# convolutions; and the transposed convolution that a generator paints with.
#
# Time: 2 s
#
# Numbers to expect: a convolution and its matrix agree to 14 digits; three ways to write ⟨conv(x, w), g⟩ agree; of the
# matrix's 2,304 entries 352 are not 0, and they hold 9 different numbers.
#
# Document 1, section 3.3.1, gives the formula of a dense layer for a convolutional one:
#
#     y = f(W x + b)
#
# It is right, if W is understood: not any matrix, but one that is mostly zeros and repeats a few numbers.

# %%
import numpy as np

import tinyart as ta
from tinyart.data import art, heatmap, panels, to_uint8
from tinyart.lesson import expect, picture, show_source
from tinyart.models.classifier import convolution_matrix
from tinyart.testing import check_adjoint

# %% [markdown]
# ## What a convolution computes
#
# A small window of weights w slides over the image; at each place the products with what lies under it are added up.
# (What networks call convolution does not turn the window round: mathematics calls this cross-correlation.)
#
#     y[i, j] = Σ_{a,b} x[i·s + a - p, j·s + b - p] w[a, b]        s stride, p padding
#
# As loops, for one image of one channel, the padding as zeros:

# %%
def slide(x, w, stride, padding):
    x = np.pad(x, padding)
    rows = (x.shape[0] - w.shape[0]) // stride + 1
    columns = (x.shape[1] - w.shape[1]) // stride + 1
    y = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            y[i, j] = (x[i * stride : i * stride + w.shape[0], j * stride : j * stride + w.shape[1]] * w).sum()
    return y


rng = np.random.default_rng(0)
x, w = rng.normal(size=(8, 8)), rng.normal(size=(3, 3))
ours = ta.conv2d(ta.tensor(x[None, :, :, None]), ta.tensor(w[:, :, None, None]), padding=1).numpy()[0, :, :, 0]
expect("loops minus tinyart's conv2d", np.abs(slide(x, w, 1, 1) - ours).max(), 0.0, 1e-14)

# %% [markdown]
# ## The matrix
#
# Each y[i, j] is linear in x. With x and y as long vectors, y = W x. Column k of W is what the convolution makes of the
# image that is 1 at pixel k and 0 elsewhere, and this is how the framework gets it:

# %%
show_source(convolution_matrix)
small = rng.normal(size=(6, 8, 1))
W = convolution_matrix(ta.tensor(w[:, :, None, None]), (6, 8, 1), padding=1)  # (48, 48)
flat = ta.conv2d(ta.tensor(small[None]), ta.tensor(w[:, :, None, None]), padding=1).numpy().ravel()
expect("W x minus conv2d", np.abs(W @ small.ravel() - flat).max(), 0.0, 1e-14)
expect("entries of W", W.size, 2304)
expect("of them not 0", (W != 0).sum(), 352)
expect("different numbers among these", len(np.unique(W[W != 0])), 9)
picture("matrix", panels([heatmap(w, scale=24), heatmap(W, scale=8)],
                         ["the window w", "its matrix W for images of 6 x 8"]))

# %% [markdown]
# The picture is the point of this lesson. Nine numbers, one diagonal each, and white for zero. A dense layer for this
# image would have 2,304 weights. Here they are *sparse* (a pixel sees only its neighbours) and *shared* (everywhere in
# the same way): what is learnt in one corner is known in all. Stride leaves out rows of W; padding adds columns that
# multiply zeros, so the diagonals break off at the borders.
#
# ## Two adjoints
#
# The gradient of y = W x by x is the product with the transpose, x̄ = Wᵀ g. The tape never builds W. The number
# ⟨conv(x, w), g⟩ is linear in x, in w and in g, so that there are three operations that give the same number:
#
#     ⟨conv(x, w), g⟩ = ⟨x, conv_input(g, w)⟩ = ⟨w, conv_weight(x, g)⟩
#
# `conv_input` is the gradient by the image, `conv_weight` that by the window, and each is differentiated by the other
# two. That is why `tinyart/ops/conv.py` has six rules of one line, and derivatives of every order.

# %%
X, K = ta.tensor(rng.normal(size=(2, 7, 6, 3)), requires_grad=True), ta.tensor(rng.normal(size=(3, 2, 3, 4)),
                                                                              requires_grad=True)
Y = ta.conv2d(X, K, stride=2, padding=1)
g = ta.tensor(rng.normal(size=Y.shape))
to_x, to_w = ta.grad((Y * g).sum(), [X, K])
number = (Y * g).sum().item()
expect("⟨conv(x, w), g⟩ - ⟨x, conv_input(g, w)⟩", number - (X * to_x).sum().item(), 0.0, 1e-11)
expect("⟨conv(x, w), g⟩ - ⟨w, conv_weight(x, g)⟩", number - (K * to_w).sum().item(), 0.0, 1e-11)
expect("adjoints by check_adjoint", check_adjoint(lambda x, w: ta.conv2d(x, w, stride=2, padding=1), X.numpy(),
                                                  K.numpy()), 0.0, 1e-12)
one = ta.tensor(small[None], requires_grad=True)
y = ta.conv2d(one, ta.tensor(w[:, :, None, None]), padding=1)
cotangent = rng.normal(size=y.shape)
back = ta.grad((y * ta.tensor(cotangent)).sum(), one).numpy().ravel()
expect("gradient by x minus Wᵀ g", np.abs(back - W.T @ cotangent.ravel()).max(), 0.0, 1e-14)

# %% [markdown]
# ## The transposed convolution
#
# A classifier goes from 28×28 to 14×14 with stride 2. A generator has to go the other way. Wᵀ does that: it takes an
# image of the size of y and lays down, for each of its pixels, the window times the pixel's value. It is not an inverse
# of W, it only has the right shape, and it is learnt as any layer is.
#
#     conv:                (28, 28) -> (14, 14),     y = W x
#     conv_transpose:      (14, 14) -> (28, 28),     y = Wᵀ x

# %%
dots = np.zeros((1, 7, 7, 1))
dots[0, [1, 3, 5], [5, 3, 1]] = 1.0
hat = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1])[:, :, None, None] / 9.0  # (5, 5, 1, 1)
painted = ta.conv_transpose2d(ta.tensor(dots), ta.tensor(hat), stride=2, padding="same").numpy()  # (1, 14, 14, 1)
W = convolution_matrix(ta.tensor(hat), (14, 14, 1), stride=2, padding="same")  # (49, 196)
expect("conv_transpose2d minus Wᵀ x", np.abs(painted.ravel() - W.T @ dots.ravel()).max(), 0.0, 1e-14)

# %% [markdown]
# Where windows overlap, some pixels are laid down more often than others. With a window of 5 and stride 2 the counts
# alternate between 9, 6 and 4 inside the picture: the checkerboard that generators of this kind start with (Odena,
# Dumoulin & Olah 2016), and that training has to undo. A window whose side is a multiple of the stride, 4 and 2, covers
# all pixels equally.

# %%
def covered(kernel):
    ones = ta.tensor(np.ones((1, 7, 7, 1)))
    return ta.conv_transpose2d(ones, ta.tensor(np.ones((kernel, kernel, 1, 1))), stride=2, padding="same").numpy()


counts5, counts4 = covered(5)[0, 4:10, 4:10, 0], covered(4)[0, 4:10, 4:10, 0]
expect("windows over a pixel, side 5: most", counts5.max(), 9)
expect("fewest", counts5.min(), 4)
expect("side 4: most minus fewest", counts4.max() - counts4.min(), 0)
picture("transposed", panels([heatmap(dots[0, :, :, 0], scale=24), heatmap(painted[0, :, :, 0], scale=12),
                              heatmap(covered(5)[0, :, :, 0], scale=12), heatmap(covered(4)[0, :, :, 0], scale=12)],
                             ["x: three dots", "laid down with stride 2", "how often: side 5", "side 4"]))

# %% [markdown]
# ## What windows see
#
# Three windows chosen by hand, on a drawn picture: a blur, and the slopes to the right and downwards. A network finds
# such windows itself; lesson 05 shows which.

# %%
image = art(10, size=64)[0][7:8].astype(np.float64).mean(3, keepdims=True) / 255  # a plant, grey
windows = np.zeros((3, 3, 1, 3))
windows[:, :, 0, 0] = 1 / 9
windows[:, :, 0, 1] = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
windows[:, :, 0, 2] = windows[:, :, 0, 1].T
seen = ta.conv2d(ta.tensor(image), ta.tensor(windows), padding="same").numpy()[0]  # (64, 64, 3)
grey, blurred = (to_uint8(a).repeat(3, 0).repeat(3, 1) for a in (image[0], seen[..., :1]))
picture("windows", panels([grey, blurred,
                           *(heatmap(seen[..., k], scale=3, limit=2.0) for k in (1, 2))],
                          ["a plant", "blurred", "slope to the right", "slope downwards"]))
