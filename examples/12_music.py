# %% [markdown]
# # 12 Music, step by step
#
# Shows: lesson 11's network as a composer. A piece is a sequence of chords; the network says how likely each next chord
# is, is judged by that, and writes new music by drawing from it.
#
# Time: 10 s
#
# Numbers to expect: on Bach's chorales 11.06 nats a step for a model that only knows how often each note sounds, as
# published, and less than 10.1 for a GRU after 12 passes (published, after longer training: 8.54); music whose chords
# are consonant more often than chance. Where the chorales are absent, forty traditional tunes take their
# place, too few to do better than the frequencies on tunes never heard (3.7 nats against 3.5).

# %%
import numpy as np

import tinyart as ta
from tinyart.data import Batches, jsb_chorales, line_plot, panels, roll_score, score_picture, tunes, write_wav
from tinyart.errors import FormatError
from tinyart.lesson import expect, picture, picture_folder, show_source, size
from tinyart.models.music_measures import consonance, held, longest_copy, voices
from tinyart.models.polyphony import MusicTrainer, frequency_nats, note_frequencies, padded, step_nats
from tinyart.random import Generator

# %% [markdown]
# ## A piece as a matrix
#
# A piano roll v has a row for each step in time and a column for each of the piano's 88 keys, 1 where the key sounds.

# %%
def melodies():
    """Forty tunes as rolls, every fifth kept for the test."""
    rolls = [tune.score(steps_per_beat=2).roll()[:96] for tune in tunes()]
    return [r for i, r in enumerate(rolls) if i % 5], rolls[::5], "traditional tunes (no chorales here)"


train, test, source = melodies()
if size(False, True):
    try:
        train, test, source = jsb_chorales("train"), jsb_chorales("test"), "Bach's chorales"
    except FormatError as error:
        print(error)
print(f"{len(train)} pieces to learn from and {len(test)} to be judged by: {source}")
picture("pieces", panels([score_picture(roll_score(train[i])) for i in (0, 1)], ["two pieces of the training", ""],
                         columns=1))

# %% [markdown]
# ## How likely is a piece?
#
# By the rule of products, a piece is as likely as each of its steps, given those before. Within a step the network
# gives every key its own probability p_k:
#
#     p(v_1 .. v_T) = Π_t p(v_t | v_1 .. v_{t-1})
#     -log p(v_t | ..) = -Σ_k [v_k log p_k + (1 - v_k) log(1 - p_k)]
#
# The figure of merit is the mean over all steps of the second line, in nats. A model that knows no past, but how often
# each key sounds, is the least that one has to beat:
#
#     p_k = (c_k + ½)/(n + 1)        c_k of n steps of the training have key k

# %%
show_source(step_nats, note_frequencies)
chance = frequency_nats(test, note_frequencies(train))
logits, v = np.random.default_rng(0).normal(size=(3, 1, 88)), np.zeros((3, 1, 88))
v[:, :, [39, 43, 46]] = 1
p = 1 / (1 + np.exp(-logits))
by_hand = -(v * np.log(p) + (1 - v) * np.log(1 - p)).sum(2)
expect("step_nats minus its formula", np.abs(step_nats(ta.tensor(logits), ta.tensor(v)).numpy() - by_hand).max(), 0.0,
       1e-12)
if source == "Bach's chorales":
    expect("nats a step by the keys' frequencies, of the published 11.06", chance, 11.06, 0.005)
else:
    expect("nats a step by the keys' frequencies", chance, least=2, most=8)

# %% [markdown]
# ## Training
#
# A batch holds whole pieces, of different lengths; what is past the end of one counts nothing. Gradients are clipped: a
# chorale of 100 steps is a network of 100 layers.

# %%
trainer = MusicTrainer(hidden=size(24, 64), cell="gru", lr=size(1e-2, 4e-3))
batches, judged, curve = Batches(padded(train), size(4, 8), drop_last=False), padded(test), []
for _ in range(size(25, 12)):
    nats = float(np.mean([trainer.step(*batch)["nats"] for batch in batches]))
    curve.append((batches.epoch, nats, trainer.evaluate(*judged)))
end = curve[-1][2]
expect("nats a step of pieces never heard", end, most=chance - size(-0.3, 1.0 if source == "Bach's chorales" else -0.5))
picture("training", line_plot({"training": [(e, a) for e, a, _ in curve], "test": [(e, b) for e, _, b in curve],
                               "keys' frequencies": [(1, chance), (len(curve), chance)]}, xlabel="passes"))

# %% [markdown]
# ## Composing
#
# Read the start of a piece, ask for the next step, toss 88 coins, read what came, and so on. The state carries what was
# heard. A temperature τ below 1 makes the network surer, p_k = σ(y_k/τ).
#
# Is it music? One listens: `composed.wav` lies beside the pictures. A few measures say how far it is from Bach and from
# chance: how many voices, how often a note is held, how often two that sound together are consonant (thirds, fourths,
# fifths, sixths, octaves; of random keys 7 of 12), and whether it copied.

# %%
length = size(32, 96)
prime = test[0][:8]
made = trainer.module.sample(prime, length, temperature=0.8, generator=Generator(1))
piece = np.concatenate([prime, made])
rng = np.random.default_rng(0)
random = (rng.random((500, 88)) < note_frequencies(train)).astype(np.uint8)
for name, measure in (("voices", voices), ("held", held), ("consonance", consonance)):
    with np.errstate(invalid="ignore"):
        print(f"{name:12} people {measure(test):.2f}   network {measure([made]):.2f}   notes by frequency "
              f"{measure([random]):.2f}")
expect("voices, of those of the pieces", voices([made]) / voices(test), least=0.3, most=1.7)
if source == "Bach's chorales":
    expect("consonant pairs, minus those of notes by frequency", consonance([made]) - consonance([random]), least=0.0)
expect("longest passage that is a copy, of its length", longest_copy(made, train) / length, most=0.6)
write_wav(picture_folder() / "composed.wav", roll_score(piece, steps_per_beat=size(2, 1)))

# %% [markdown]
# The picture: a piece of the test set, and what the network made of its first eight steps.

# %%
picture("composed", panels([score_picture(roll_score(test[0][: length + 8])), score_picture(roll_score(piece))],
                           ["as it was written", "eight steps of it, and how the network goes on"], columns=1))
