# %% [markdown]
# # 13 Text: counts, vectors, attention
#
# Shows: document 4, section 3.3. What a bag of words and naive Bayes are, and what word2vec is; a network that writes
# letter by letter; a tagger of semantic roles; and attention, the part of translation by networks that decides where
# to look, on a task small enough to watch it.
#
# Time: 40 s
#
# Numbers to expect: naive Bayes tells two kinds of sentences apart; word2vec's vectors put a word beside words of its
# kind; a letter model below 2.3 nats on Shakespeare after 2 passes over a tenth of it; a translator with attention that
# turns words round, and whose map is a diagonal.

# %%
import os
from pathlib import Path

import numpy as np

import tinyart as ta
from tinyart.data import Batches, encode, heatmap, line_plot, panels, read_text, symbols
from tinyart.lesson import expect, picture, show_source, size
from tinyart.models.bayes import bag_of_words, fit, log_posterior
from tinyart.models.char_rnn import CharTrainer, stretches
from tinyart.models.sampling import with_temperature
from tinyart.models.seq2seq import TranslatorTrainer, additive_scores, attention, context
from tinyart.models.tagger import TaggerTrainer, corpus
from tinyart.models.tagger import vocabulary as vocabulary_of_roles
from tinyart.models.word2vec import Word2VecTrainer, negative_sampling_loss, neighbours, skip_gram_pairs
from tinyart.random import Generator

# %% [markdown]
# ## A text as counts
#
# We write sentences of two kinds, about the sea and about the garden, by a small grammar. A bag of words forgets their
# order and keeps how often each word comes: x_w. Naive Bayes takes the words as independent, given the kind k:
#
#     P(w|k) = (N_kw + 1)/(Σ_w N_kw + V)
#     log P(k|x) = log P(k) + Σ_w x_w log P(w|k) + constant
#
# Document 4 lists both among embeddings. Neither gives a vector for a word in which like words are near.

# %%
WORDS = {
    "who": (["sailor", "captain", "fisher"], ["gardener", "farmer", "florist"]),
    "does": (["sees", "paints", "loves"], ["sees", "paints", "loves"]),
    "how": (["grey", "deep", "salty"], ["green", "warm", "fragrant"]),
    "what": (["wave", "ship", "harbour"], ["rose", "meadow", "orchard"]),
}
rng = np.random.default_rng(0)


def sentence(kind):
    who, does, how, what = (words[kind][rng.integers(3)] for words in WORDS.values())
    return ["the", who, does, "the", how, what]


kinds = rng.integers(0, 2, 2000)
sentences = [sentence(kind) for kind in kinds]
index = {word: i for i, word in enumerate(sorted({word for s in sentences for word in s}))}
vocabulary = list(index)
counts = bag_of_words(sentences, index)
print(" ".join(sentences[0]), "->", {vocabulary[i]: int(counts[0, i]) for i in np.flatnonzero(counts[0])})
model = fit(counts[:200], kinds[:200], 2)
expect("sentences that naive Bayes tells apart, of those not seen",
       (log_posterior(model, counts[200:]).argmax(1) == kinds[200:]).mean(), least=0.99)
expect("P(kind | sentence), summed over kinds", np.exp(log_posterior(model, counts[:1])).sum(), 1.0, 1e-12)

# %% [markdown]
# ## A word as a vector
#
# word2vec gives each word v_w, and another vector u_c as a neighbour. From the texts it takes pairs (w, c) of words
# that stand near each other, and makes u_c·v_w large for them, small for pairs with a random word:
#
#     L = -log σ(u_c·v_w) - Σ_{i ≤ k} log σ(-u_i·v_w)
#
# What two words have in common is then what company they keep:

# %%
show_source(negative_sampling_loss)
ids = np.concatenate([[index[word] for word in s] for s in sentences])
centre, near = skip_gram_pairs(ids, 2, Generator(0))
trainer = Word2VecTrainer(np.bincount(ids), size=8, negatives=5, lr=5e-2)
batches, curve = Batches((centre, near), 512), []
for _ in range(size(80, 400)):
    curve.append((len(curve), trainer.step(*next(batches))["loss"]))
vectors = trainer.module.words.numpy()
for word in ("ship", "rose", "sailor", "sees"):
    print(f"{word:10}", ", ".join(f"{vocabulary[i]} {c:.2f}" for i, c in neighbours(vectors, index[word], 4)))
kin = {word: {*words[0], *words[1]} for words in WORDS.values() for kind in words for word in kind}
own = [vocabulary[neighbours(vectors, index[word], 1)[0][0]] in kin[word] for word in kin]
expect("words whose nearest word has their own place in the sentence", np.mean(own), least=0.8)
order = [word for place in WORDS.values() for kind in (0, 1) for word in dict.fromkeys(place[kind])]
order = list(dict.fromkeys(order))
unit = vectors[[index[word] for word in order]]
unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
picture("likeness", panels([heatmap(unit @ unit.T, scale=14)], ["cosines of words: people, verbs, adjectives, things"]))

# %% [markdown]
# ## Letter by letter
#
# The network of lesson 11 reads a text and says what letter comes next:
#
#     p(c_1 .. c_T) = Π_t p(c_t | c_1 .. c_{t-1})
#     L = -1/T Σ_t log p(c_t | ..)        nats a letter; log V where nothing is known

# %%
shakespeare = Path(os.environ.get("TINYART_DATA", "")) / "tiny-shakespeare" / "input.txt"
if size(False, True) and shakespeare.is_file():
    text, source = read_text(shakespeare)[:120_000], "Shakespeare"
else:
    text, source = "\n".join(" ".join(s) for s in sentences[: size(300, 2000)]), "the grammar's sentences"
known = symbols(text)
batch, stretch = size(8, 20), size(25, 50)
x, y = stretches(encode(text, known), batch, stretch)
writer = CharTrainer(symbols=known, hidden=size(32, 128), layers=1, batch=batch, lr=size(1e-2, 5e-3))
pages, curve = Batches((x, y), batch, shuffle=False), []
for _ in range(size(60, 2 * len(x) // batch)):
    curve.append((len(curve), writer.step(*next(pages))["nats"]))
print(f"{source}: {len(text):,} letters of {len(known)} kinds, log V = {np.log(len(known)):.2f}")
last = float(np.mean([nats for _, nats in curve[-30:]]))
expect("nats a letter at first", curve[0][1], np.log(len(known)), 0.3)
expect("nats a letter at the end", last, most=size(2.3, 2.3))
picture("letters", line_plot({f"nats a letter, {source}": curve}))
print(writer.module.sample(text[:20], 200, temperature=0.7, generator=Generator(1)))

# %% [markdown]
# A temperature makes a choice bolder or safer. It divides the logits:
#
#     p_i = e^(y_i/τ)/Σ_j e^(y_j/τ)

# %%
logits = np.array([[2.0, 1.0, 0.0]])
expect("the likeliest of three at τ = 1", with_temperature(logits, 1.0)[0, 0], 0.6652, 1e-4)
expect("at τ = 0.5", with_temperature(logits, 0.5)[0, 0], 0.8668, 1e-4)
expect("at τ = 2", with_temperature(logits, 2.0)[0, 0], 0.5065, 1e-4)

# %% [markdown]
# ## Who did what to whom
#
# Semantic role labelling names the part of each word in what is told: agent, patient, tool. In "the letter was found by
# the poet" the first noun is no agent, and only a later word says so. The tagger therefore reads both ways:
#
#     p(tag_t | w_1 .. w_T) = softmax(W [h→_t, h←_t] + b)
#
# B begins a role and I goes on with it; F1 counts whole roles, as lesson 05's counts classes.

# %%
codes, tags, lengths = corpus(size(60, 600), Generator(0))
held_out = corpus(size(30, 100), Generator(1))
tagger = TaggerTrainer(words=vocabulary_of_roles(), lr=1e-2)
batches = Batches((codes, tags, lengths), 20)
for _ in range(size(12, 90)):
    tagger.step(*next(batches))
sentence_ = ["the", "old", "letter", "was", "found", "by", "the", "poet"]
print(" ".join(f"{word}/{tag}" for word, tag in zip(sentence_, tagger.tag(sentence_), strict=True)))
expect("F1 of roles in new sentences", tagger.f1(*held_out), least=size(0.0, 0.9))

# %% [markdown]
# ## Attention
#
# A translator reads a sentence into states h_1 .. h_S and then writes another. If all that is handed over is the last
# state, a long sentence has to fit into one vector. With attention each step of writing looks back at all of them: a
# score for each, softmax, and the mean by these weights.
#
#     e_tj = vᵀ tanh(W s_{t-1} + U h_j)
#     a_tj = e^(e_tj)/Σ_k e^(e_tk)
#     c_t = Σ_j a_tj h_j

# %%
show_source(additive_scores, attention, context)
s, h = rng.normal(size=(2, 3)), rng.normal(size=(4, 2, 5))  # N = 2, S = 4 states of 5 numbers
W, U, v = rng.normal(size=(3, 6)), rng.normal(size=(5, 6)), rng.normal(size=6)
ours = additive_scores(ta.tensor(s), ta.tensor(h @ U), ta.tensor(W), ta.tensor(v)).numpy()
by_hand = np.array([[v @ np.tanh(s[n] @ W + h[j, n] @ U) for j in range(4)] for n in range(2)])
expect("additive_scores minus its formula", np.abs(ours - by_hand).max(), 0.0, 1e-13)
weights = np.exp(by_hand) / np.exp(by_hand).sum(1, keepdims=True)
expect("attention minus its formula", np.abs(attention(ta.tensor(by_hand)).numpy() - weights).max(), 0.0, 1e-14)
read = context(ta.tensor(weights[:, None]), ta.tensor(h)).numpy()[0]
expect("context minus its formula", np.abs(read - np.einsum("ns,sne->ne", weights, h)).max(), 0.0, 1e-14)

# %% [markdown]
# A task in which where to look is known: turn a word round. Letters in, the same letters out, the last one first. After
# training, the map of a_tj has to run from the upper right to the lower left:

# %%
letters, long = 8, size(5, 8)
translator = TranslatorTrainer(inputs=letters, outputs=letters, attention="additive", hidden=size(24, 48),
                               embedding=16, lr=size(1e-2, 5e-3))
for _ in range(size(60, 400)):
    words = rng.integers(0, letters, (32, long))
    translator.step(words, words[:, ::-1].copy())
words = rng.integers(0, letters, (200, long))
made, maps = translator.module.generate(words.T, long)  # (T, N), (N, T, S)
right = float((words[:, ::-1] == made.T).mean())
expect("letters that are right, of new words", right, least=size(0.15, 0.95))
diagonal = float(maps[:, np.arange(long), np.arange(long)[::-1]].mean())
expect("attention on the letter that is to be written", diagonal, least=size(0.0, 0.5), most=1.0)
picture("attention", panels([heatmap(maps[0], scale=24), heatmap(maps.mean(0), scale=24)],
                            ["one word: down what is written, across what is read", "the mean of 200"]))
