# %% [markdown]
# # Document 3, section 4.1: a bracket that does not close
#
# "L_D = -[log(D(x)) + log(1 - D(G(z))]". One bracket is missing, and two places are left for it:
#
#     -[log D(x) + log(1 - D(G(z)))]         right: minus V
#     -[log(D(x)) + log(1 - D(G(z)))·..      nothing else parses

# %%
import numpy as np

import tinyart as ta
from tinyart.lesson import expect
from tinyart.models.gan import discriminator_loss, value

documents, right = "-[log(D(x)) + log(1 - D(G(z))]", "-[log(D(x)) + log(1 - D(G(z)))]"


def unclosed(text):
    """How many brackets are open at the end, or 1 where one is closed by the wrong kind."""
    stack = []
    for character in text:
        if character in "([":
            stack.append(character)
        elif character in ")]" and stack.pop() != {")": "(", "]": "["}[character]:
            return 1
    return len(stack)


expect("document: brackets that do not close", unclosed(documents), 1)
expect("right: brackets that do not close", unclosed(right), 0)

# %%
a, b = np.random.default_rng(0).normal(size=(2, 100, 1))  # logits of real and fake
d_real, d_fake = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
loss = discriminator_loss(ta.tensor(a), ta.tensor(b)).item()
expect("L_D by the closed formula", -(np.log(d_real) + np.log(1 - d_fake)).mean(), loss, 1e-12)
expect("-V", -value(ta.tensor(a), ta.tensor(b)).item(), loss, 1e-12)
