"""The order of batches: every row once an epoch, another order each epoch, and the same one after a resume."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyart.data import Batches
from tinyart.errors import ArgumentError, FormatError, ShapeError


def batches_of(rows: int, batch_size: int, **settings) -> Batches:
    return Batches([np.arange(rows), np.arange(rows) * 10], batch_size, **settings)


def take(batches: Batches, count: int) -> list[list[int]]:
    return [batch[0].tolist() for batch in itertools.islice(iter(batches.__next__, None), count)]


SIZES = st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(1, rows)))
SETTINGS = st.fixed_dictionaries(
    {"seed": st.integers(0, 2**63 - 1), "shuffle": st.booleans(), "drop_last": st.booleans()}
)


@given(SIZES, SETTINGS)
def test_an_epoch_gives_every_row_once(sizes, settings):
    rows, size = sizes
    batches = batches_of(rows, size, **settings)
    for epoch in range(3):
        assert batches.epoch == epoch
        epoch_batches = list(batches)
        assert len(epoch_batches) == len(batches)
        assert all((b == 10 * a).all() for a, b in epoch_batches)
        seen = np.concatenate([a for a, _ in epoch_batches])
        left_out = rows % size if settings["drop_last"] else 0
        assert len(seen) == rows - left_out
        assert len(set(seen.tolist())) == len(seen)
        assert {len(a) for a, _ in epoch_batches[:-1]} <= {size}
        if not settings["shuffle"]:
            assert seen.tolist() == list(range(rows - left_out))


@given(SIZES, SETTINGS, st.integers(0, 60), st.integers(1, 60))
def test_a_resumed_run_sees_what_the_straight_one_sees(sizes, settings, before, after):
    straight = take(batches_of(*sizes, **settings), before + after)
    stopped, resumed = batches_of(*sizes, **settings), batches_of(*sizes, **settings)
    take(stopped, before)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert take(resumed, after) == straight[before:]
    assert resumed.state_dict() == {**resumed.state_dict(), "epoch": resumed.epoch, "cursor": resumed.cursor}


def test_for_gives_the_rest_of_the_epoch_that_next_began():
    batches = batches_of(10, 3, shuffle=False)
    assert next(batches)[0].tolist() == [0, 1, 2]
    assert [a.tolist() for a, _ in batches] == [[3, 4, 5], [6, 7, 8]]
    assert [a.tolist() for a, _ in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert batches.state_dict()["epoch"] == 2


def test_orders_differ_by_epoch_and_by_seed_and_look_random():
    orders = [take(batches_of(1000, 1000, seed=seed), 3) for seed in (0, 1)]
    assert len({tuple(order) for three in orders for order in three}) == 6
    first = np.array([take(batches_of(8, 8, seed=seed), 1)[0] for seed in range(4000)])  # (4000, 8)
    counts = np.stack([np.bincount(column, minlength=8) for column in first.T])
    assert ((counts - 500) ** 2 / 500).sum() < 95  # chi-square, 49 degrees of freedom: p = 1e-4


def test_the_order_is_fixed_for_ever():
    """These words of Philox are what a saved run relies on."""
    assert take(batches_of(8, 8, seed=3), 2) == [[6, 1, 5, 2, 7, 4, 3, 0], [7, 3, 5, 6, 4, 0, 2, 1]]


def test_batches_are_copies():
    data = np.zeros((4, 2))
    batches = Batches([data], 2, shuffle=False)
    next(batches)[0][:] = 1
    assert data.sum() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed: expected 3, as here, got 4"),
        ({"rows": 11}, "rows: expected 10, as here, got 11"),
        ({"batch_size": 2}, "batch_size: expected 3, as here, got 2"),
        ({"shuffle": 0}, "shuffle: expected 1, as here, got 0"),
        ({"drop_last": 0}, "drop_last: expected 1, as here, got 0"),
        ({"cursor": 3}, "state: expected a cursor from 0 to 2, got epoch 0, cursor 3"),
        ({"cursor": -1}, "a cursor from 0 to 2, got epoch 0, cursor -1"),
        ({"epoch": -1}, "got epoch -1, cursor 0"),
    ],
)
def test_a_state_of_other_batches_is_refused(change, message):
    batches = batches_of(10, 3, seed=3)
    with pytest.raises(FormatError, match=message):
        batches.load_state_dict(batches.state_dict() | change)


def test_wrong_arguments_are_refused():
    with pytest.raises(ShapeError, match=r"arrays of one common length above 0, got lengths \[3, 4\]"):
        Batches([np.zeros(3), np.zeros(4)], 1)
    with pytest.raises(ShapeError, match=r"got lengths \[0\]"):
        Batches([np.zeros(0)], 1, drop_last=False)
    with pytest.raises(ShapeError, match=r"got lengths \[\]"):
        Batches([], 1)
    with pytest.raises(ArgumentError, match=r"batch_size: expected 1 to 3 \(the rows\), got 4. Fix: choose a smaller"):
        batches_of(3, 4)
    with pytest.raises(ArgumentError, match="batch_size"):
        batches_of(3, 0, drop_last=False)
    with pytest.raises(ArgumentError, match=r"seed: expected 0 <= seed < 2\*\*63, got -1"):
        batches_of(3, 1, seed=-1)
    assert len(batches_of(3, 4, drop_last=False)) == 1
