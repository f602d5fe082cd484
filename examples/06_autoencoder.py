# %% [markdown]
# # 06 The autoencoder
#
# Shows: document 4, section 3.2.3: a network that copies its input through a narrow place, what the width of that place
# decides, and that a linear one is principal component analysis. Then why it is not yet a generative model.
#
# Time: 20 s
#
# Numbers to expect: with 2, 8 and 32 codes an ever smaller error on images never seen; a linear autoencoder that comes
# within 3 % of the best that any linear one can do; codes drawn from N(0, 1) that decode to images with less than 60 %
# of the variety of real ones on MNIST, 90 % on drawn pictures.

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.data import Batches, line_plot, panels, scatter, sheet
from tinyart.lesson import digits_or_art, expect, picture, show_source, size
from tinyart.models.autoencoder import AutoencoderTrainer, squared_error
from tinyart.optim import Adam
from tinyart.random import Generator

train, _, source = digits_or_art(size(toy=600, full=10_000))
test, classes, _ = digits_or_art(size(toy=200, full=2_000), split="test")
print(f"{len(train)} images: {source}")

# %% [markdown]
# ## The formulas
#
#     z = f(x)                             encoder: P pixels to J codes
#     x̂ = g(z)                             decoder: back to P pixels
#     L = 1/P Σ_i (x_i - x̂_i)²
#
# No label is needed: the image is its own target. (Document 0 says that deep learning needs labelled data; here is a
# network that never sees one.) If J were P, copying would be no art. With J far below P the network must find out what
# images have in common, and write down only the rest.

# %%
show_source(squared_error)

# %% [markdown]
# ## How narrow?

# %%
trainers, errors, steps = {}, {}, size(toy=100, full=800)
for codes in (2, 8, 32):
    trainer = AutoencoderTrainer(shape=(28, 28, 1), hidden=(size(toy=64, full=256),), latent=codes,
                                 lr=size(toy=8e-3, full=2e-3))
    batches = Batches((train,), size(toy=50, full=100))
    for _ in range(steps):
        trainer.step(*next(batches))
    made = trainer.module.reconstruct(test)  # (N, 28, 28, 1)
    trainers[codes], errors[codes] = trainer, float(((made - test / 255) ** 2).mean())
mean_image = float(((train.mean(0) / 255 - test / 255) ** 2).mean())
expect("error of the mean image", mean_image, least=0.03, most=0.12)
expect("error with 2 codes, of that", errors[2] / mean_image, most=size(toy=1.0, full=0.8))
expect("error with 8 codes, of that with 2", errors[8] / errors[2], most=size(toy=1.0, full=0.75))
expect("error with 32 codes, of that with 8", errors[32] / errors[8], most=size(toy=1.1, full=0.75))
rows = [255 - test[:10], *(1 - t.module.reconstruct(test[:10]) for t in trainers.values())]
picture("reconstructions", panels([sheet(row, columns=10, scale=2) for row in rows],
                                  ["images never seen", "through 2 codes", "8 codes", "32 codes"], columns=1))

# %% [markdown]
# ## A linear autoencoder is PCA
#
# Leave out the nonlinear layers. Then x̂ = (x A) B with A (P, J), B (J, P), and the best that such a pair can do is
# known: project onto the J directions in which the data vary most (Baldi & Hornik 1989). Its error is what is left of
# the variance,
#
#     1/P Σ_{j > J} λ_j,        λ the eigenvalues of the covariance, largest first
#
# and training must come down to it, never below.

# %%
x = train.reshape(len(train), -1).astype(np.float64) / 255
x -= x.mean(0)
spectrum = np.linalg.eigvalsh(x.T @ x / len(x))[::-1]  # (784,), falling
best = spectrum[8:].sum() / 784
network = nn.Sequential(nn.Dense(784, 8, bias=False), nn.Dense(8, 784, bias=False)).to(dtype="float64")
optimizer, X = Adam(network.parameters(), lr=3e-3), ta.tensor(x[:2000])
curve = []
for step in range(size(toy=150, full=400)):
    batch = X if len(x) <= 2000 else ta.tensor(x[step * 500 % (len(x) - 499) :][:500])
    loss = ((network(batch) - batch) ** 2).mean()
    optimizer.step(ta.grad(loss, network.parameters()))
    curve.append((step, loss.item()))
whole = float(((network(ta.tensor(x)).numpy() - x) ** 2).mean())
expect("linear autoencoder with 8 codes / PCA with 8 directions", whole / best, least=1.0,
       most=size(toy=1.3, full=1.03))
picture("linear", line_plot({"linear autoencoder": curve, "PCA": [(0, best), (len(curve) - 1, best)]}))

# %% [markdown]
# ## Not yet a generative model
#
# Two codes can be drawn as a map: every test image is a point, coloured by its class. Like lies by like, although no
# label was ever given. But the map is ragged: nobody told the encoder where codes should lie. Decode points drawn
# from a standard normal distribution, and they mostly miss what was learnt. The remedy of tinyart's autoencoder is to
# note the mean and spread of the codes; the right remedy, lesson 07, is to make the distribution part of the loss.

# %%
trainer = trainers[32]
real = test[:200].reshape(-1, 784) / 255


def distance_to_nearest(images):
    """The mean distance from each image to the nearest of 200 real ones."""
    flat = images.reshape(len(images), -1)
    return float(np.sqrt(((flat[:, None] - real[None]) ** 2).sum(2)).min(1).mean())


standard = trainer.images(Generator(1).normal((64, 32)))  # z ~ N(0, 1)
fitted = trainer.images(trainer.noise(64, Generator(1)))  # z ~ N(m, s²), moments of the codes
spread = [float(images.std(0).mean()) for images in (real, fitted, standard)]
expect("variety of decoded N(m, s²), of that of real images", spread[1] / spread[0], least=size(0.2, 0.5), most=1.3)
expect("variety of decoded N(0, 1), of that", spread[2] / spread[0], most=0.6 if source == "MNIST" else 0.9)
expect("distance to a real image: decoded N(m, s²)", distance_to_nearest(fitted), least=2.0, most=14.0)
with ta.no_grad():
    codes = trainers[2].module.encoder(trainers[2].module.pixels(test)).numpy()  # (N, 2)
picture("map", panels([scatter(codes, classes), sheet(1 - fitted[:36], scale=2), sheet(1 - standard[:36], scale=2)],
                      ["two codes of each test image", "decoded N(m, s²), 32 codes", "decoded N(0, 1)"]))
