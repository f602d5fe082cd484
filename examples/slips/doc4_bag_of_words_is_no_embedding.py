# %% [markdown]
# # Document 4, section 3.3.1: "embeddings, such as bag of words, naive Bayes, word2vec"
#
# An embedding is a vector for each word, in which like words lie close. A bag of words is a vector for each *text*:
# how often each word occurs; as vectors, all its words are at right angles. Naive Bayes is a classifier, made of such
# counts.
#
#     bag of words: text ↦ (n_1, .., n_V)
#     naive Bayes:  p(class | text) ∝ p(class) Π_v p(v | class)^(n_v)
#     embedding:    word ↦ E_v in J « V numbers

# %%
import numpy as np

import tinyart as ta
from tinyart import nn
from tinyart.lesson import expect
from tinyart.models.bayes import bag_of_words, fit, log_posterior
from tinyart.optim import Adam
from tinyart.random import Generator

# Colours and shapes in sentences: words of one kind stand in the same places.
colours, shapes = ("red", "blue", "green", "black"), ("circle", "square", "flower", "line")
texts = [["a", c, s, "on", "white"] for c in colours for s in shapes]
words = sorted({word for text in texts for word in text})
number = {word: i for i, word in enumerate(words)}


def likeness(vectors, a, b):
    x, y = vectors[number[a]], vectors[number[b]]
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


one_hot = np.eye(len(words))  # what a bag of words is made of: text = Σ of its words' unit vectors
expect("document: likeness of red and blue, bag of words", likeness(one_hot, "red", "blue"), 0.0)
expect("document: of red and circle", likeness(one_hot, "red", "circle"), 0.0)

# %%
# word2vec's idea (skip-gram): a word's vector must tell its neighbours. Like words, which have like neighbours, come
# together.
pairs = np.array([(number[t[i]], number[t[j]]) for t in texts for i in range(5) for j in (i - 1, i + 1) if 0 <= j < 5])
random = Generator(0)
embedding, out = nn.Embedding(len(words), 4, generator=random), nn.Dense(4, len(words), generator=random)
optimizer = Adam(embedding.parameters() + out.parameters(), lr=0.05)
for _ in range(400):
    loss = ta.cross_entropy(out(embedding(pairs[:, 0])), pairs[:, 1])
    optimizer.step(ta.grad(loss, optimizer.parameters))
E = embedding.weight.numpy()
expect("right: likeness of red and blue, embedding", likeness(E, "red", "blue"), least=0.6)
expect("right: of red and circle", likeness(E, "red", "circle"), most=0.5)

# %%
# Naive Bayes: what it gives is a class of a text, not a vector of a word.
counts = bag_of_words(texts, number)  # (16, V)
labels = np.array([text[1] in ("red", "green") for text in texts]).astype(int)
model = fit(counts, labels, 2)
expect("texts that naive Bayes classifies rightly, of 16", (log_posterior(model, counts).argmax(1) == labels).sum(), 16)
