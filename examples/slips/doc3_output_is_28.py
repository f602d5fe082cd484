# %% [markdown]
# # Document 3, code: an output of 128×128×1
#
# `assert model.output_shape == (None, 128, 128, 1)` after a start of 7×7 and two layers of stride 2. The assertion
# fails:
#
#     7 · 1 · 2 · 2 = 28

# %%
import numpy as np

from tinyart import nn, tensor
from tinyart.lesson import expect
from tinyart.models.dcgan import dcgan
from tinyart.random import Generator

networks = dcgan((28, 28, 1), random=Generator(0))  # the document's layers
x, sides = tensor(np.zeros((2, 100), np.float32)), []
for layer in networks.generator:
    x = layer(x)
    if isinstance(layer, nn.Reshape | nn.ConvTranspose2d):
        sides.append(x.shape[1])
print("sides:", sides)
try:
    assert x.shape == (2, 128, 128, 1)
    failed = 0
except AssertionError:
    failed = 1
expect("document: its assertion fails", failed, 1)
expect("right: the side of what these layers give", x.shape[1], 28)
larger = dcgan((128, 128, 1), latent=4, width=1).generator(tensor(np.zeros((2, 4), np.float32)))
expect("for 128: 8 doubled four times", larger.shape[1], 128)
