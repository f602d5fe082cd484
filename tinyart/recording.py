"""What `Replay` knows of a step while it runs: reads of arrays are refused, and numbers that change are kept apart.

A recorded step repeats the same work on the same memory. What it was told by number, the learning rate, the count of
steps, where random numbers begin, would be repeated too: so a graph takes these from the device, where each replay puts
the ones of its turn.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyart.backend import Array, to_device
from tinyart.errors import GraphError, users_line

Numbers = tuple[int | float, ...]
_WORDS = 4096  # of 8 bytes: an optimizer takes 2, a draw of random numbers 3
_active = threading.local()


class Recording:
    """One step under way. With `live`, numbers go to the device; what is `captured` is not done yet, and they wait."""

    def __init__(self, *, live: bool, captured: bool = False) -> None:
        self._captured = captured
        self.owners: list[Any] = []  # the optimizers that stepped and the generators that drew, in order
        self._sources: list[tuple[slice, Callable[[], Numbers]]] = []
        self._host = np.zeros(_WORDS, np.uint64)
        self._device: Array = to_device(self._host, "cuda") if live else None

    @contextmanager
    def active(self) -> Iterator[None]:
        """`with recording.active():` this thread's step is recorded."""
        _active.recording = self
        try:
            yield
        finally:
            _active.recording = None

    def add(self, owner: Any, read: Callable[[], Numbers]) -> Any:
        """`read()`, or an array of it on the device that `refresh` keeps up to date."""
        self.owners.append(owner)
        values = read()
        if self._device is None:
            return values
        start = self._sources[-1][0].stop if self._sources else 0
        part = slice(start, start + len(values))
        if part.stop > _WORDS:
            raise GraphError("Replay", "step", f"at most {_WORDS // 3} draws of random numbers", "more",
                             fix="draw larger tensors, and cut them up")
        self._sources.append((part, read))
        self._host[part] = _words(values)
        if not self._captured:
            self.upload()
        return self._device[part].view(np.float64 if float in map(type, values) else np.uint64)

    def refresh(self) -> None:
        """Go on to the next step's numbers."""
        for part, read in self._sources:
            self._host[part] = _words(read())
        self.upload()

    def upload(self) -> None:
        if self._sources:
            self._device.set(self._host)


def _words(values: Numbers) -> np.ndarray[Any, Any]:
    """Numbers as 8 bytes each: float64 where one of them is a float, else uint64."""
    return np.array(values, np.float64 if float in map(type, values) else np.uint64).view(np.uint64)


def numbers(owner: Any, read: Callable[[], Numbers]) -> Any:
    """What `read()` gives, which moves `owner` on by a step: numbers, or in a graph an array of them on the device."""
    recording: Recording | None = getattr(_active, "recording", None)
    return read() if recording is None else recording.add(owner, read)


def read(array: Array) -> Array:
    """`array`, about to be read by the program. Errors: `GraphError` in a step that is being recorded."""
    if getattr(_active, "recording", None) is not None:
        raise GraphError("Replay", "step", "a step that reads no tensor's values", f"a read at {users_line()}",
                         fix="return the tensor, and read it after the call")
    return array
