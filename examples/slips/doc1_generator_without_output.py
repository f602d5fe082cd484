# %% [markdown]
# # Document 1, code: 165 blocks, and no output
#
# The generator is `Dense(1024, relu)` and `BatchNormalization`, 165 times, and there the code breaks off: no layer that
# makes an image, no `return`. What comes out are 1,024 numbers of mean 0 and variance 1, and no pixels. With an output
# layer it runs, and shows what such depth does to gradients: they grow from block to block on the way back.
#
#     x_{k+1} = BN(max(0, W_k x_k + b_k)), k = 1 .. 165;      G(z) = σ(V x_165 + c)

# %%
import numpy as np

from tinyart import grad, nn
from tinyart.lesson import expect
from tinyart.models.deep_stack import deep_stack
from tinyart.random import Generator

module, z = deep_stack(165, 16, inputs=8, outputs=784, generator=Generator(0)), Generator(1).normal((64, 8))
blocks = nn.Sequential(*list(module)[:-2])  # the document's part, at width 16

# %%
code = blocks(z).numpy()
expect("document: numbers for an image of 784 pixels", code.shape[1], 16)
expect("document: share of them outside [0, 1]", ((code < 0) | (code > 1)).mean(), least=0.5)
made = module(z).numpy()
expect("right: pixels", made.shape[1], 784)
expect("right: share outside [0, 1]", ((made < 0) | (made > 1)).mean(), 0.0)

# %%
gradients = grad(((module(z) - 0.3) ** 2).mean(), module.parameters())
norms = [float(np.linalg.norm(g.numpy())) for g in gradients[:-2:4]]  # of each block's weight
growth = (norms[0] / norms[-1]) ** (1 / 164)
expect("gradient of block 1 / that of block 165, log10", np.log10(norms[0] / norms[-1]), least=4)
expect("growth from each block to the one before it", growth, least=1.05, most=1.6)
