"""The grammar's sentences and roles, and the tagger that needs both directions for them."""

import numpy as np
import pytest

from tinyart.data import Batches
from tinyart.errors import ArgumentError
from tinyart.models.tagger import ROLES, TAGS, TaggerTrainer, corpus, sentence, spans, vocabulary
from tinyart.random import Generator


def test_sentences_are_of_known_words_and_their_tags_are_whole_roles() -> None:
    known, generator, seen = set(vocabulary()), Generator(1), set()
    for _ in range(300):
        words, tags = sentence(generator)
        assert len(words) == len(tags) > 2
        assert set(words) <= known
        assert set(tags) <= set(TAGS)
        roles = [role for role, _, _ in spans(tags)]
        assert len(set(roles)) == len(roles)  # no role twice
        assert roles.count("VERB") == 1
        if "was" in words and "by" in words[words.index("was") :]:
            seen.add("passive")
        seen |= set(roles)
    assert seen == {*ROLES, "passive"}


def test_the_first_noun_of_a_passive_sentence_is_no_agent() -> None:
    generator = Generator(2)
    for _ in range(200):
        words, tags = sentence(generator)
        first = next(tag for tag in tags if tag not in ("O", "B-TIME", "I-TIME"))
        assert first == ("B-AGENT" if "was" not in words else "B-RECIPIENT" if "B-RECIPIENT" in tags else "B-PATIENT")


def test_spans_are_what_bio_tags_mark() -> None:
    assert spans(["B-TIME", "I-TIME", "O", "B-AGENT", "B-AGENT", "I-AGENT"]) == {
        ("TIME", 0, 2), ("AGENT", 3, 4), ("AGENT", 4, 6)}
    assert spans(["I-TIME", "I-AGENT", "O"]) == {("TIME", 0, 1), ("AGENT", 1, 2)}
    assert spans([]) == spans(["O"]) == set()


def test_corpus_pads_with_zeros() -> None:
    codes, tags, lengths = corpus(20, Generator(3))
    assert codes.shape == tags.shape == (20, lengths.max())
    names, generator = vocabulary(), Generator(3)
    for row in range(20):
        words, marks = sentence(generator)
        assert [names[i] for i in codes[row, : lengths[row]]] == words
        assert [TAGS[i] for i in tags[row, : lengths[row]]] == marks
        assert not codes[row, lengths[row] :].any()


def test_two_directions_learn_every_role_and_one_cannot() -> None:
    """Before "was" comes, nobody knows whether the first noun acts."""
    train, test = corpus(800, Generator(4)), corpus(200, Generator(5))
    scores = {}
    for bidirectional in (True, False):
        trainer = TaggerTrainer(words=vocabulary(), bidirectional=bidirectional, lr=1e-2)
        batches = Batches(train, 32)
        for _ in range(110):
            loss = trainer.step(*next(batches))["nats"]
        scores[bidirectional] = trainer.f1(*test)
        assert loss < 0.5
        if bidirectional:
            roles = spans(trainer.tag(["the", "old", "dog", "was", "seen", "by", "a", "tired", "cat", "at", "night"]))
            assert roles == {("PATIENT", 0, 3), ("VERB", 4, 5), ("AGENT", 6, 9), ("TIME", 9, 11)}
    assert scores[True] > 0.99
    assert scores[False] < 0.93


def test_a_resumed_run_is_the_same_run() -> None:
    trainer = TaggerTrainer(words=vocabulary(), hidden=8)
    batches = Batches(corpus(40, Generator(1)), 8, seed=2)
    trainer.step(*next(batches))
    again = TaggerTrainer(words=vocabulary(), hidden=8, seed=3)
    again.load_state(trainer.state())
    rest = [next(batches) for _ in range(3)]
    assert [trainer.step(*b) for b in rest] == [again.step(*b) for b in rest]


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="words: expected words among the 3 known, got zebra"):
        TaggerTrainer(words=["a", "dog", "saw"]).tag(["a", "zebra"])
    with pytest.raises(ArgumentError, match="at least one of each"):
        TaggerTrainer(words=[])


def test_f1_counts_whole_roles() -> None:
    trainer = TaggerTrainer(words=vocabulary(), hidden=8)
    codes, tags, lengths = corpus(10, Generator(6))
    own = trainer.module(codes.T, lengths).numpy().argmax(2).T
    assert trainer.f1(codes, own, lengths) == pytest.approx(1.0)
    none = np.zeros_like(tags)
    assert trainer.f1(codes, none, lengths) == 0
