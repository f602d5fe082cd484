# %% [markdown]
# # 07 The variational autoencoder
#
# Shows: document 2, section 3.2, an equation at a time: the encoder as a distribution, the reparameterisation, the
# divergence in closed form against a million draws, the bound and what it is a bound of. Then a model of images: its
# latent map, and walks through it.
#
# Time: 30 s
#
# Numbers to expect: closed form and draws within their error; a bound that lies below log p(x) by just the divergence
# from the true posterior; on MNIST a test -ELBO below 125 nats an image after 8 passes over 10,000 digits.

# %%
import math

import numpy as np

import tinyart as ta
from tinyart.data import Batches, line_plot, panels, scatter, sheet
from tinyart.lesson import digits_or_art, expect, picture, show_source, size
from tinyart.models import slerp
from tinyart.models.vae import (
    VAETrainer,
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    negative_elbo,
    reparameterise,
)
from tinyart.random import Generator

# %% [markdown]
# ## A distribution for every image
#
# The autoencoder of lesson 06 gave each image a point z, and between the points there was nothing. A VAE gives each
# image a cloud. Its encoder says where the cloud is and how wide, for J numbers each:
#
#     q(z|x) = N(z; μ(x), σ²(x))
#
# (The document writes N(z; μ, σ). The second parameter of N is a variance, and the code after it uses it as one.) The
# decoder says how likely the image is, given z. And all clouds together are to fill one known distribution, so that it
# can be drawn from later:
#
#     p(z) = N(z; 0, 1)
#
# ## Reparameterise
#
# A draw from the cloud has no derivative: change μ, and a random number does not "change". Write the draw as a function
# of μ, σ and of a noise ε that does not depend on either; then it has:
#
#     z = μ + σ ε,  ε ~ N(0, 1)
#     ∂z/∂μ = 1,  ∂z/∂σ = ε

# %%
show_source(reparameterise)
rng = np.random.default_rng(0)
mu, log_var = np.array([[0.7, -1.2]]), np.array([[0.3, -1.5]])
draws = size(toy=50_000, full=1_000_000)
z = reparameterise(ta.tensor(mu), ta.tensor(log_var), ta.tensor(rng.normal(size=(draws, 2)))).numpy()
error = 5 / math.sqrt(draws)  # five standard errors, in parts of σ
for j in range(2):
    sigma = math.exp(log_var[0, j] / 2)
    expect(f"mean of z_{j}", z[:, j].mean(), mu[0, j], error * sigma)
    expect(f"variance of z_{j}", z[:, j].var(), sigma**2, error * math.sqrt(2) * sigma**2)

# %% [markdown]
# ## The divergence, in closed form and by drawing
#
# How far is a cloud from p(z)? The Kullback-Leibler divergence is a mean over draws, and for two normal distributions
# it can be integrated:
#
#     KL(q‖p) = E_q[log q(z) - log p(z)]
#     KL(q‖p) = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)
#
# In the framework the second is `ops.kl_to_standard_normal`:

# %%
def log_normal(z, mu, var):
    return -0.5 * (math.log(2 * math.pi) + np.log(var) + (z - mu) ** 2 / var).sum(1)


ratio = log_normal(z, mu, np.exp(log_var)) - log_normal(z, 0.0, np.ones(2))
closed = ta.kl_to_standard_normal(ta.tensor(mu), ta.tensor(log_var)).item()
expect("KL by draws", ratio.mean(), closed, 5 * ratio.std() / math.sqrt(draws))
expect("KL in closed form", closed, -0.5 * (2 + log_var - mu**2 - np.exp(log_var) - 1).sum(), 1e-12)
steps = np.unique(np.geomspace(10, draws, 60).astype(int))
picture("divergence", line_plot({"by draws": [(math.log10(n), ratio[:n].mean()) for n in steps],
                                 "closed form": [(math.log10(n), closed) for n in steps]}, xlabel="log10 of the draws"))

# %% [markdown]
# ## The bound
#
# What a model is judged by is log p(x), the likelihood of the images. It is an integral over all z, and out of reach.
# But for every q:
#
#     log p(x) = E_q[log p(x|z)] - KL(q(z|x)‖p(z)) + KL(q(z|x)‖p(z|x))
#
# The last term is never negative. Left out, it leaves a lower bound, the ELBO, which can be computed and raised:
#
#     log p(x) ≥ E_q[log p(x|z)] - KL(q‖p)
#
# The document has "=" in place of "≥", and half the KL. With one latent and three pixels everything can be integrated
# on a grid, and both can be looked at:

# %%
a, b, x = np.array([2.0, -1.5, 0.7]), np.array([0.3, -0.2, 1.0]), np.array([1.0, 0.0, 1.0])
grid = np.linspace(-10, 10, 4001)
logits = np.outer(grid, a) + b
log_likelihood = bernoulli_log_likelihood(ta.tensor(np.repeat(x[None], 4001, 0)), ta.tensor(logits)).numpy()
log_joint = log_likelihood + log_normal(grid[:, None], 0.0, np.ones(1))
log_p = math.log(np.exp(log_joint).sum() * (grid[1] - grid[0]))


def terms(mu, log_var):
    """E_q[log p(x|z)], KL(q‖p), KL(q‖p(z|x)), all on the grid."""
    q = np.exp(log_normal(grid[:, None], mu, np.exp([log_var]))) * (grid[1] - grid[0])
    kl = ta.kl_to_standard_normal(ta.tensor(np.array([[mu]])), ta.tensor(np.array([[log_var]]))).item()
    log_q = log_normal(grid[:, None], mu, np.exp([log_var]))
    return (q * log_likelihood).sum(), kl, (q * (log_q - log_joint + log_p)).sum()


fit, kl, gap = terms(0.6, -0.6)
expect("log p(x)", log_p, -1.1858, 1e-4)
expect("E_q[log p(x|z)] - KL + gap", fit - kl + gap, log_p, 1e-9)
expect("gap", gap, least=1e-4)
expect("with half the KL, as in the document: above log p(x) by", fit - kl / 2 - log_p, least=0.05)
mus = np.linspace(-1.5, 2.5, 81)
bound = [(m, fit - kl) for m in mus for fit, kl, _ in [terms(m, -0.6)]]
half = [(m, fit - kl / 2) for m in mus for fit, kl, _ in [terms(m, -0.6)]]
flat = [(m, log_p) for m in mus]
picture("bound", line_plot({"log p(x)": flat, "ELBO": bound, "with half the KL": half}, xlabel="mu"))

# %% [markdown]
# ## The decoder
#
# The document's formula for it is normal too, and its code's loss is the cross-entropy of pixels that are black or
# white with probability p_i. Both are there; grey images of digits do well with the second:
#
#     p(x|z) = N(x; μ(z), σ²)
#     log p(x|z) = Σ_i x_i log p_i + (1 - x_i) log(1 - p_i)

# %%
show_source(gaussian_log_likelihood, bernoulli_log_likelihood)
x_, m_ = np.random.default_rng(1).uniform(size=(2, 1, 6))
ours = gaussian_log_likelihood(ta.tensor(x_), ta.tensor(m_), ta.tensor(np.array([-1.0]))).item()
expect("log N(x; μ, σ²) minus its formula", ours - log_normal(x_, m_, np.exp(-np.ones(6)))[0], 0.0, 1e-12)

# %% [markdown]
# ## A model of images
#
# Now with images: 784 pixels, a hidden layer, J latents and back, as in the document's code. One draw of z for each
# image stands for the mean over q. The loss is the negative bound; note that both terms are sums over their own axis,
# over pixels and over latents, before the mean over images is taken.

# %%
show_source(negative_elbo)
train, _, source = digits_or_art(size(toy=500, full=10_000))
test, classes, _ = digits_or_art(size(toy=100, full=2_000), split="test")
print(f"{len(train)} images: {source}")


def trained(latent, epochs):
    trainer = VAETrainer(shape=(28, 28, 1), hidden=(size(toy=64, full=400),), latent=latent,
                         lr=size(toy=3e-3, full=1e-3))
    batches, curve = Batches((train,), size(toy=50, full=128)), []
    for _ in range(epochs * len(batches)):
        curve.append(trainer.step(*next(batches)))
    return trainer, curve


trainer, curve = trained(20, size(toy=12, full=8))
picture("training", line_plot({name: [(i, losses[name]) for i, losses in enumerate(curve)] for name in curve[0]}))
start, end = np.mean([c["-elbo"] for c in curve[:3]]), trainer.evaluate(test, Generator(0))
expect("-ELBO of test images, nats", end, most=size(toy=520, full=125 if source == "MNIST" else 510))
expect("of that at the start", end / start, most=size(toy=0.95, full=0.9 if source == "MNIST" else 0.95))
expect("KL at the end, nats", curve[-1]["kl"], least=size(toy=0.3, full=8 if source == "MNIST" else 3), most=40)

# %% [markdown]
# Two terms pull in opposite directions. The likelihood wants narrow clouds far apart, so that each image can be told
# from the others; the KL wants every cloud to be p(z). It ends with some 25 nats of KL on MNIST: so much z says about
# an image.
#
# ## New images, and walks between old ones
#
# z ~ N(0, 1), decoded: compare with the last picture of lesson 06. And two images of the test set, with steps between
# their codes. In 20 dimensions almost all of N(0, 1) lies near a sphere of radius √20, and a straight line cuts through
# its inside, so we turn from one to the other (slerp):
#
#     z(t) = (sin((1 - t) Ω) z_a + sin(t Ω) z_b) / sin Ω

# %%
with ta.no_grad():
    codes, _ = trainer.module.encode(trainer.module.pixels(test[:12]))
    walks = [trainer.images(ta.tensor(slerp(codes.numpy()[:6], codes.numpy()[6:], t))) for t in np.linspace(0, 1, 10)]
walk = np.stack(walks, 1).reshape(60, 28, 28, 1)  # six rows of ten
sampled = trainer.images(trainer.noise(64, Generator(3)))
picture("samples", panels([sheet(1 - sampled, scale=2), sheet(1 - walk, columns=10, scale=2)],
                          ["z from N(0, 1)", "from one test image to another"]))
expect("steps of the walk, in grey levels a pixel", np.abs(np.diff(np.stack(walks), axis=0)).mean() * 255, most=20)

# %% [markdown]
# ## The map
#
# With two latents the whole space can be printed. Left the test images at their μ, coloured by class; right what the
# decoder makes of a grid over it. Unlike lesson 06's map it has no holes, and it is centred where we can draw.

# %%
flat, _ = trained(2, size(toy=12, full=8))
with ta.no_grad():
    mu, _ = flat.module.encode(flat.module.pixels(test))  # (N, 2)
ticks = np.linspace(-2.2, 2.2, 14)
places = np.stack(np.meshgrid(ticks, ticks[::-1]), -1).reshape(-1, 2)  # x to the right, y up
atlas = flat.images(ta.tensor(places, "float32"))
expect("mean of μ over the test images", np.abs(mu.numpy().mean(0)).max(), most=size(toy=1.5, full=1.0))
picture("map", panels([scatter(mu.numpy(), classes), sheet(1 - atlas, columns=14, gap=0)],
                      ["test images, by class", "decoded, from -2.2 to 2.2"]))
