"""word2vec and naive Bayes on tiny Shakespeare: the neighbours of ten words, and whose speech it is.

    python -m benchmarks.word2vec [--epochs 15] [--seed 0]

Skip-gram with negative sampling on words that occur at least 5 times: 64 numbers a word, window 5, 5 noise words, Adam
3e-3, 1,024 pairs a step, frequent words thinned at t = 1e-3. 200,000 words are little for it: the vectors are judged by
their neighbours. Beside it the document's other baseline, a bag of words and naive Bayes (α = 1): which of the ten
speakers with the most speeches says this one? It learns from the first four fifths of each speaker's speeches.
It needs TINYART_DATA/tiny-shakespeare/input.txt.
"""

import argparse
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data import Batches, read_text, words
from tinyart.data.files import data_folders
from tinyart.models.bayes import bag_of_words, fit, log_posterior
from tinyart.models.word2vec import Word2VecTrainer, keep_probability, neighbours, skip_gram_pairs
from tinyart.random import Generator

RESULTS = Path(__file__).parent / "results" / "word2vec.json"
ASKED = ("king", "queen", "love", "death", "sword", "blood", "father", "night", "heaven", "come")
MIN_COUNT, SIZE, WINDOW, NEGATIVES, LR, BATCH, THRESHOLD = 5, 64, 5, 5, 3e-3, 1024, 1e-3
SPEAKERS = 10


def vectors(text: str, epochs: int, seed: int) -> dict[str, Any]:
    known = [word for word, count in Counter(words(text)).most_common() if count >= MIN_COUNT]
    index = {word: i for i, word in enumerate(known)}
    ids = np.array([index[word] for word in words(text) if word in index])  # (N,)
    counts = np.bincount(ids)
    generator, keep = Generator(seed), keep_probability(counts, THRESHOLD)
    trainer = Word2VecTrainer(counts, size=SIZE, negatives=NEGATIVES, lr=LR, seed=seed)
    start, curve = time.perf_counter(), []
    for epoch in range(epochs):
        kept = ids[generator.uniform(len(ids)).numpy() < keep[ids]]
        pairs = skip_gram_pairs(kept, WINDOW, generator)
        losses = [trainer.step(*batch)["loss"] for batch in Batches(pairs, BATCH, seed=seed + epoch)]
        curve.append(round(float(np.mean(losses)), 4))
        print(f"epoch {epoch + 1:2}  {len(pairs[0]):,} pairs  loss {curve[-1]:.4f}  "
              f"{time.perf_counter() - start:.0f} s", flush=True)
    table = trainer.module.words.numpy()
    near = {word: [f"{known[i]} {cosine:.2f}" for i, cosine in neighbours(table, index[word])] for word in ASKED}
    for word, others in near.items():
        print(f"{word:8} {', '.join(others)}")
    return {"words": len(ids), "vocabulary": len(known), "loss of each epoch": curve, "neighbours": near,
            "seconds": round(time.perf_counter() - start)}


def speakers(text: str) -> dict[str, Any]:
    speeches = re.findall(r"(?m)^([A-Z][A-Za-z ]+):\n((?:.+\n)+)", text)
    names = [name for name, _ in Counter(name for name, _ in speeches).most_common(SPEAKERS)]
    chosen = [(names.index(name), words(said)) for name, said in speeches if name in names]
    labels = np.array([label for label, _ in chosen])
    # Speeches answer each other: the last fifth of each speaker's is held out, not every fifth speech.
    held = np.concatenate([np.flatnonzero(labels == k)[int(0.8 * (labels == k).sum()) :] for k in range(SPEAKERS)])
    trained = np.setdiff1d(np.arange(len(labels)), held)
    vocabulary = {word: i for i, word in enumerate(sorted({w for i in trained for w in chosen[i][1]}))}
    counts = bag_of_words([said for _, said in chosen], vocabulary)
    model = fit(counts[trained], labels[trained], SPEAKERS)
    accuracy = float((log_posterior(model, counts[held]).argmax(1) == labels[held]).mean())
    majority = float(np.bincount(labels[held]).max() / len(held))
    print(f"naive Bayes: {accuracy:.1%} of {len(held)} speeches of {SPEAKERS} speakers; "
          f"always the most frequent one: {majority:.1%}")
    return {"speakers": names, "speeches held out": len(held), "accuracy": accuracy, "most frequent speaker": majority}


def main(epochs: int, seed: int) -> None:
    found = [folder / "input.txt" for folder in data_folders("tiny-shakespeare") if (folder / "input.txt").is_file()]
    if not found:
        raise SystemExit("set TINYART_DATA to a folder that holds tiny-shakespeare/input.txt")
    text = read_text(found[0])
    figures = {"command": f"python -m benchmarks.word2vec --epochs {epochs} --seed {seed}",
               "word2vec": vectors(text, epochs, seed), "naive Bayes": speakers(text)}
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    main(**vars(parser.parse_args()))
