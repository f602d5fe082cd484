# %% [markdown]
# # Document 2, section 3.1.3: D(x) ~ p_data(x)
#
# "G(z) ~ p_data(x), D(x) ~ p_data(x), G(z) ~ p_g(z), D(G(z)) ~ p_g(z)." That reads as if D drew samples. D returns one
# probability for each x. What the two players do is
#
#     min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 - D(G(z)))],    x ~ p_data, G(z) ~ p_g

# %%
import numpy as np

import tinyart as ta
from tinyart.data import art
from tinyart.lesson import expect
from tinyart.models.gan import mlp_gan, value
from tinyart.random import Generator

gan = mlp_gan((8, 8, 3), hidden=(32,), latent=4, random=Generator(0))
x = gan.pixels(art(50, size=8)[0])  # (50, 8, 8, 3)
fake = gan.generator(Generator(1).normal((50, 4)))
with ta.no_grad():
    d = ta.sigmoid(gan.discriminator(x)).numpy()

# %%
expect("numbers in a sample of p_data", np.prod(x.shape[1:]), 192)
expect("document: numbers in a sample 'D(x)'", d.shape[1], 1)
expect("least D(x)", d.min(), least=0.0)
expect("largest D(x)", d.max(), most=1.0)
expect("right: D(x) as a probability gives V at the start, near -log 4 = -1.386",
       value(gan.discriminator(x), gan.discriminator(fake)).item(), -1.386, 0.2)
