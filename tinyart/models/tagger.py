"""Who did what to whom (document 4: semantic role labelling): a bidirectional LSTM that tags each word with its role.

The sentences come from a small grammar of its own making, active and passive, so that the first noun is now the agent
and now the patient: a word's role depends on words that come after it, which only the backward direction has read.

    p(tag_t | w_1 .. w_T) = softmax(W [h→_t, h←_t] + b)      after Zhou & Xu 2015, with two LSTMs side by side

Tags are BIO: B-AGENT begins a role, I-AGENT goes on with it, O is none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart import nn, ops
from tinyart.backend import as_array
from tinyart.errors import ArgumentError
from tinyart.graph import grad, no_grad
from tinyart.optim import Adam, clip_grad_norm
from tinyart.random import Generator
from tinyart.tensor import Tensor

Array = np.ndarray[Any, Any]

ROLES = ("AGENT", "VERB", "PATIENT", "RECIPIENT", "INSTRUMENT", "PLACE", "TIME")
TAGS = ("O", *(f"{prefix}-{role}" for role in ROLES for prefix in "BI"))

_NOUNS = ["dog", "cat", "poet", "painter", "queen", "sailor", "child", "bird", "dragon", "gardener", "smith", "fox"]
_THINGS = ["letter", "apple", "song", "lantern", "map", "crown", "picture", "stone", "boat", "book"]
_ADJECTIVES = ["old", "young", "clever", "tired", "tall", "quiet"]
_VERBS = {"saw": "seen", "took": "taken", "found": "found", "drew": "drawn", "hid": "hidden", "broke": "broken"}
_GIVING = {"gave": "given", "showed": "shown", "sold": "sold"}
_TOOLS = ["hammer", "net", "brush", "rope", "knife"]
_PLACES = ["garden", "harbour", "forest", "market", "tower"]
_TIMES = ["yesterday", "at night", "in the morning", "last winter"]

Phrase = tuple[str, str]  # words, and their role, "" for none


class _Dice:
    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def one_of(self, choices: Sequence[str]) -> str:
        return choices[int(self.generator.randint(0, len(choices), 1).item())]

    def chance(self, p: float) -> bool:
        return bool(self.generator.uniform(1).item() < p)

    def noun(self, nouns: Sequence[str]) -> str:
        adjective = f"{self.one_of(_ADJECTIVES)} " if self.chance(0.4) else ""
        return f"{self.one_of(('the', 'a'))} {adjective}{self.one_of(nouns)}"


def sentence(generator: Generator) -> tuple[list[str], list[str]]:
    """A random sentence's words and their tags: S -> [time] (active | passive | giving) [instrument] [place] [time]"""
    dice = _Dice(generator)
    agent, patient = (dice.noun(_NOUNS), "AGENT"), (dice.noun(_NOUNS + _THINGS), "PATIENT")
    phrases: list[Phrase] = []
    first_time = dice.chance(0.25)
    if first_time:
        phrases.append((dice.one_of(_TIMES), "TIME"))
    kind = dice.one_of(("active", "passive", "giving", "given"))
    if kind == "active":
        phrases += [agent, (dice.one_of(list(_VERBS)), "VERB"), patient]
    elif kind == "passive":  # the agent may be left out
        phrases += [patient, ("was", ""), (dice.one_of(list(_VERBS.values())), "VERB")]
        phrases += [("by", ""), agent] if dice.chance(0.7) else []
    else:
        recipient, thing = (dice.noun(_NOUNS), "RECIPIENT"), (dice.noun(_THINGS), "PATIENT")
        if kind == "giving":
            phrases += [agent, (dice.one_of(list(_GIVING)), "VERB"), recipient, thing]
        else:
            phrases += [recipient, ("was", ""), (dice.one_of(list(_GIVING.values())), "VERB"), thing, ("by", ""), agent]
    if dice.chance(0.4):
        phrases.append((f"with the {dice.one_of(_TOOLS)}", "INSTRUMENT"))
    if dice.chance(0.4):
        phrases.append((f"{dice.one_of(('in', 'near', 'by'))} the {dice.one_of(_PLACES)}", "PLACE"))
    if not first_time and dice.chance(0.3):
        phrases.append((dice.one_of(_TIMES), "TIME"))
    words: list[str] = []
    tags: list[str] = []
    for phrase, role in phrases:
        parts = phrase.split()
        words += parts
        tags += [f"{'I' if i else 'B'}-{role}" if role else "O" for i in range(len(parts))]
    return words, tags


def vocabulary() -> list[str]:
    """Every word of the grammar, sorted."""
    phrases = [*_NOUNS, *_THINGS, *_ADJECTIVES, *_VERBS, *_VERBS.values(), *_GIVING, *_GIVING.values(), *_TOOLS,
               *_PLACES, *_TIMES, "the a was by with in near"]  # fmt: skip
    return sorted({word for phrase in phrases for word in phrase.split()})


def corpus(n: int, generator: Generator) -> tuple[Array, Array, Array]:
    """n sentences as integers: words and tags (n, longest), padded with 0, and lengths (n,), for `Batches`."""
    index, tag_index = {w: i for i, w in enumerate(vocabulary())}, {t: i for i, t in enumerate(TAGS)}
    made = [sentence(generator) for _ in range(n)]
    lengths = np.array([len(words) for words, _ in made])
    codes, tags = (np.zeros((n, lengths.max()), np.int64) for _ in range(2))
    for row, (words, names) in enumerate(made):
        codes[row, : len(words)] = [index[w] for w in words]
        tags[row, : len(words)] = [tag_index[t] for t in names]
    return codes, tags, lengths


def spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The roles that BIO tags mark: (role, first word, one past the last). An I after another role begins its own."""
    found, start, role = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        goes_on = tag.startswith("I-") and tag[2:] == role
        if role and not goes_on:
            found.add((role, start, i))
        if not goes_on:
            start, role = i, tag[2:]
    return found


class Tagger(nn.Module):
    """Words (T, N), integers, of the given lengths -> logits of tags (T, N, K)."""

    def __init__(self, words: int, tags: int, *, embedding: int = 32, hidden: int = 32, bidirectional: bool = True,
                 generator: Generator | None = None) -> None:
        self.embedding = nn.Embedding(words, embedding, generator=generator)
        self.lstm = nn.LSTM(embedding, hidden, bidirectional=bidirectional, generator=generator)
        self.output = nn.Dense(2 * hidden if bidirectional else hidden, tags, generator=generator)

    def forward(self, words: Array, lengths: Any = None) -> Tensor:
        h, _ = self.lstm(self.embedding(words), lengths=lengths)
        logits: Tensor = self.output(h)
        return logits


class TaggerTrainer:
    """A tagger, Adam and the generator of its weights: what `train.Run` trains, saves and resumes.

    Raises ArgumentError for settings outside their range.
    """

    def __init__(self, *, words: Sequence[str], tags: Sequence[str] = TAGS, embedding: int = 32, hidden: int = 32,
                 bidirectional: bool = True, lr: float = 3e-3, seed: int = 0) -> None:
        if not words or not tags:
            raise ArgumentError("TaggerTrainer", "words, tags", "at least one of each", f"{len(words)}, {len(tags)}")
        self.words, self.tags, self.generator = list(words), list(tags), Generator(seed)
        self.module = Tagger(len(words), len(tags), embedding=embedding, hidden=hidden, bidirectional=bidirectional,
                             generator=self.generator)
        self.optimizer = Adam(self.module.parameters(), lr=lr)

    def step(self, codes: Array, tags: Array, lengths: Array) -> dict[str, float]:
        """One update on words and tags, integers (N, T), each row up to its length: nats a word."""
        longest = int(lengths.max())
        logits = self.module(codes[:, :longest].T, lengths)  # (T, N, K)
        inside = np.arange(longest)[:, None] < lengths
        each = ops.cross_entropy(logits, tags[:, :longest].T, "none")
        loss = (each * Tensor(as_array(inside.astype(each.dtype), device=each.device))).sum() * (1 / int(lengths.sum()))
        self.optimizer.step(clip_grad_norm(grad(loss, self.module.parameters()), 1.0))
        return {"nats": loss.item()}

    @no_grad()
    def tag(self, words: Sequence[str]) -> list[str]:
        """The likeliest tag of each word. Errors: `ArgumentError` for a word that the tagger does not know."""
        if unknown := [word for word in words if word not in self.words]:
            raise ArgumentError("Tagger", "words", f"words among the {len(self.words)} known", ", ".join(unknown))
        codes = np.array([[self.words.index(word)] for word in words])
        return [self.tags[i] for i in self.module(codes).numpy()[:, 0].argmax(1)]

    @no_grad()
    def f1(self, codes: Array, tags: Array, lengths: Array) -> float:
        """2·P·R/(P + R) over whole roles: right are those with the same words and the same name."""
        found = self.module(codes.T, lengths).numpy().argmax(2).T
        hits = ours = theirs = 0
        for row, length in enumerate(lengths):
            a, b = (spans([self.tags[i] for i in line[row, :length]]) for line in (found, tags))
            hits, ours, theirs = hits + len(a & b), ours + len(a), theirs + len(b)
        return 2 * hits / max(1, ours + theirs)

    def state(self) -> dict[str, Any]:
        """Everything that later steps depend on: nested dicts of arrays."""
        return {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.state = state["generator"]
