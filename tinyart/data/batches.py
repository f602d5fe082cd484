"""Mini-batches whose place in the data is three integers."""

from collections.abc import Iterator, Sequence

import numpy as np

from tinyart.errors import ArgumentError, FormatError, ShapeError


class Batches:
    """Batches of rows of `arrays`, which share their first axis, in an order fixed by (seed, epoch).

        for images, labels in batches: ...   # the rest of this epoch
        images, labels = next(batches)       # the same, without an end

    The order is recomputed from (seed, epoch), so a run that saves `state_dict()`, stops, and loads it into a
    new object sees exactly the batches that it would have seen.
    drop_last: leave out an epoch's last batch where it is smaller than `batch_size`.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = True,
    ) -> None:
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) != 1 or 0 in lengths:
            raise ShapeError("Batches", "arrays", "arrays of one common length above 0", f"lengths {lengths}")
        if not 1 <= batch_size <= max(lengths[0], batch_size * (not drop_last)):
            fix = "choose a smaller batch, or drop_last=False"
            raise ArgumentError("Batches", "batch_size", f"1 to {lengths[0]} (the rows)", f"{batch_size}", fix=fix)
        if not 0 <= seed < 1 << 63:
            raise ArgumentError("Batches", "seed", "0 <= seed < 2**63", f"{seed}")
        self.arrays, self.batch_size, self.seed = tuple(arrays), batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self._move_to(0, 0)

    def __len__(self) -> int:
        """Batches in an epoch."""
        rows = len(self.arrays[0])
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The rest of this epoch."""
        epoch = self.epoch
        while self.epoch == epoch:
            yield next(self)

    def __next__(self) -> tuple[np.ndarray, ...]:
        """The next batch, as copies; after an epoch's last one comes the next epoch's first one."""
        start = self.cursor * self.batch_size
        rows = self._order[start : start + self.batch_size]
        batch = tuple(array[rows] for array in self.arrays)
        if self.cursor + 1 < len(self):
            self.cursor += 1
        else:
            self._move_to(self.epoch + 1, 0)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Where the next batch stands (epoch, cursor) and what the order depends on."""
        return {"epoch": self.epoch, "cursor": self.cursor} | self._settings()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to the place that `state_dict` gave. Raises FormatError where it belongs to other batches."""
        for name, own in self._settings().items():
            if state.get(name) != own:
                raise FormatError("Batches.load_state_dict", name, f"{own}, as here", f"{state.get(name)}")
        epoch, cursor = state.get("epoch", -1), state.get("cursor", -1)
        if not (0 <= epoch < 1 << 63 and 0 <= cursor < len(self)):
            place = f"epoch {epoch}, cursor {cursor}"
            raise FormatError("Batches.load_state_dict", "state", f"a cursor from 0 to {len(self) - 1}", place)
        self._move_to(epoch, cursor)

    def _settings(self) -> dict[str, int]:
        return {
            "seed": self.seed,
            "rows": len(self.arrays[0]),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def _move_to(self, epoch: int, cursor: int) -> None:
        self.epoch = epoch
        self.cursor = cursor  # batches of this epoch already given out
        self._order = self._order_of(epoch)

    def _order_of(self, epoch: int) -> np.ndarray:
        """Rows in the order of raw Philox words: NumPy keeps those for ever, `Generator.permutation` it may not."""
        rows = len(self.arrays[0])
        if not self.shuffle:
            return np.arange(rows)
        words = np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw(rows)
        return np.argsort(words, kind="stable")
