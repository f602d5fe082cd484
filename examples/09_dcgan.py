# %% [markdown]
# # 09 The deep convolutional GAN
#
# Shows: document 3's generator and discriminator, layer by layer with their shapes; one training step in full; then
# training on images, with what the two players say as it goes on.
#
# Time: 1 min
#
# Numbers to expect: an output of 28×28×1, where the document asserts 128×128×1; an untrained D that says ½; after
# training, samples whose mean image is closer to the data's than half of where it began, and which differ from one
# another at least half as much as real images do.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import Batches, line_plot, panels, sheet
from tinyart.lesson import digits_or_art, expect, picture, show_source, size
from tinyart.models.dcgan import DCGANTrainer, dcgan
from tinyart.models.deep_stack import deep_stack
from tinyart.models.gan import AdversarialTrainer, discriminator_loss
from tinyart.random import Generator

# %% [markdown]
# ## The generator
#
# Everything so far comes together. Noise z of 100 numbers goes through a dense layer and becomes an image of 7×7 with
# 256 channels; transposed convolutions (lesson 04) enlarge it and halve the channels, until one is left:
#
#     z → 7×7×256 → 7×7×128 → 14×14×64 → 28×28×1
#
# Between them stand batch normalisation, which gives every channel mean 0 and variance 1 over the batch and then a
# learnt size, and the leaky ReLU:
#
#     y = γ (x - mean)/√(variance + ε) + β
#     f(x) = x for x > 0, else 0.3 x

# %%
networks, z = dcgan((28, 28, 1), batch_norm=False, random=Generator(0)), Generator(1).normal((2, 100))
x = z
for layer in networks.generator:
    x = layer(x)
    if isinstance(layer, nn.Dense | nn.Reshape | nn.ConvTranspose2d):
        print(f"{type(layer).__name__:16} {x.shape[1:]}")
expect("side of the generator's image", x.shape[1], 28)
expect("the document's 128, minus it", 128 - x.shape[1], 100)

# %% [markdown]
# The normalisation by its formula, on four images of two channels. It is what lets signals through a deep network at
# one size. Gradients are another matter: through document 1's generator, 165 times dense, ReLU and batch
# normalisation, they grow from each block to the one before it, here at width 16 by many powers of ten. A generator of
# four layers has no such trouble.

# %%
values, gamma, beta = (np.random.default_rng(0).normal(size=shape) for shape in ((4, 3, 3, 2), (2,), (2,)))
formula = gamma * (values - values.mean((0, 1, 2))) / np.sqrt(values.var((0, 1, 2)) + 1e-5) + beta
ours = ta.batch_norm(ta.tensor(values), ta.tensor(gamma), ta.tensor(beta))[0].numpy()
expect("batch_norm minus its formula", np.abs(ours - formula).max(), 0.0, 1e-13)
deep = deep_stack(165, 16, inputs=8, outputs=4, generator=Generator(0))
gradients = ta.grad(((deep(Generator(1).normal((32, 8))) - 0.3) ** 2).mean(), deep.parameters())
norms = [float(np.linalg.norm(g.numpy())) for g in gradients[:-2:4]]  # of each block's weight
expect("gradient of block 1 / of block 165, log10", np.log10(norms[0] / norms[-1]), least=4)

# %% [markdown]
# The document's code asserts `(None, 128, 128, 1)` there. 7 doubled twice is 28, so that line stops the program before
# it has begun. For 128 one would start from 8×8 and double four times, as `dcgan((128, 128, 1))` does.
#
# ## The discriminator
#
# The same way back, with strided convolutions, and dropout, which hides 30 % of what was found at every step, so that D
# cannot lean on single details:

# %%
for layer in networks.discriminator:
    x = layer(x)
    if isinstance(layer, nn.Conv2d | nn.Flatten | nn.Dense):
        print(f"{type(layer).__name__:16} {x.shape[1:]}")
with ta.no_grad():
    start = ta.sigmoid(networks.discriminator(networks.generator(z))).numpy()
expect("an untrained D's verdict", start.mean(), 0.5, 0.02)
expect("L_D at ½", discriminator_loss(ta.tensor([[0.0]]), ta.tensor([[0.0]])).item(), 2 * math.log(2), 1e-6)

# %% [markdown]
# ## A step (document 3, section 3.2)
#
# 1. Draw z and paint fakes G(z).
# 2. D looks at a batch of real images and at the fakes, and takes a step on L_D. The fakes are `detach`ed: to D they
#    are constants.
# 3. D looks at the fakes again, now through its new weights, and G takes a step on L_G. The gradient passes through D,
#    but D's own weights do not ask for theirs: `grad` gives what is asked for and visits nothing else.
#
#     L_D = -[log D(x) + log(1 - D(G(z)))]
#     L_G = -log D(G(z))

# %%
show_source(AdversarialTrainer.step)

# %% [markdown]
# ## Training
#
# One thing is not the document's from here on: D has batch normalisation in all layers but the first and no dropout, as
# in the paper. After three epochs of MNIST a LeNet is sure of the digits by 0.922 on average, with the
# document's D by 0.909 (`python -m benchmarks.gan_mnist` trains and judges both).
#
# D then sees real and fake images in batches of their own: normalised together, they would be told apart by the batch.

# %%
images, _, source = digits_or_art(size(toy=96, full=10_000))
print(f"{len(images)} images: {source}")
trainer = DCGANTrainer(shape=(28, 28, 1), latent=size(16, 100), width=size(4, 16), lr=size(2e-3, 1e-3),
                       average=size(0.9, 0.98))
batches, curve, fixed = Batches((images,), size(16, 64)), [], trainer.noise(64, Generator(7))
steps, sheets = size(toy=60, full=700), []
for step in range(steps):
    if step in (0, steps // 20, steps // 4):
        sheets.append(trainer.images(fixed))
    curve.append(trainer.step(*next(batches)))
sheets.append(trainer.images(fixed))
picture("verdicts", line_plot({name: [(i, said[name]) for i, said in enumerate(curve)]
                               for name in ("D(x)", "D(G(z))")}))

# %% [markdown]
# What says whether it worked? Not the losses: each is measured against an opponent who moves too. Three figures do not
# depend on D: how far the mean sample is from the mean image; how much samples differ, against how much images do
# (a generator that always paints the same thing has 0: mode collapse); and where D stands, which should not be certain.

# %%
real, real_spread = images.mean(0) / 255, float((images / 255).std(0).mean())
off = [float(np.abs(made.mean(0) - real).mean()) for made in sheets]
nearest, variety = (0.5, 0.5) if source == "MNIST" else (0.8, 0.3)
expect("mean sample to mean image, of that before training", off[-1] / off[0], most=size(1.0, nearest))
expect("variety of samples, of that of images", sheets[-1].std(0).mean() / real_spread, least=size(0.02, variety),
       most=1.5)
last = curve[-len(curve) // 5 :]
expect("D(x) at the end", np.mean([c["D(x)"] for c in last]), least=0.4, most=0.98)
expect("D(G(z)) at the end", np.mean([c["D(G(z))"] for c in last]), least=0.02, most=0.6)

# %% [markdown]
# The pictures: the same 64 z before training, after a twentieth of it, after a quarter, and at the end.

# %%
picture("samples", panels([sheet(1 - made, scale=1, columns=8) for made in sheets],
                          ["before", f"{steps // 20} steps", f"{steps // 4} steps", f"{steps} steps"]))
