"""Random tensors from counters: a generator is a key, its seed, and the number of the next block of random words.

The numbers come from Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11), which turns (key, counter) into words without
any other state. Hence the same seed gives the same bits, generators of different seeds are independent streams, and
three integers are all that a checkpoint needs to go on exactly.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyart.backend import describe, kernels_of, prototype
from tinyart.errors import ArgumentError, DtypeError
from tinyart.recording import numbers
from tinyart.tensor import Tensor

Shape = int | Sequence[int]

_lock = threading.Lock()  # two threads never get the same counters; shared, so that generators can be copied


class Generator:
    """A stream of random tensors; `seed` is an integer from 0 to 2⁶⁴ - 1.

    Every draw returns a new tensor on `device` and moves the counter on by the words it used, four at a time.

    Errors: `ArgumentError` and `DtypeError` for settings out of range, `DeviceError` for a missing device.
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise ArgumentError("Generator", "seed", "an integer from 0 to 2**64 - 1", repr(seed))
        self._key, self._counter = int(seed), 0

    @property
    def state(self) -> np.ndarray[Any, Any]:
        """uint64 (3,): the key and the counter's lower and upper half. Assign it to go on from there."""
        return np.array([self._key, self._counter % 2**64, self._counter >> 64], np.uint64)

    @state.setter
    def state(self, value: Any) -> None:
        array = np.asarray(value)
        if array.shape != (3,) or array.dtype != np.uint64:
            raise ArgumentError("Generator", "state", "(3,) uint64, the state of a generator", describe(array))
        self._key, low, high = array.tolist()
        self._counter = low | high << 64

    def uniform(self, shape: Shape, dtype: Any = "float32", *, low: float = 0.0, high: float = 1.0,
                device: str = "cpu") -> Tensor:
        """low + (high - low)·u, u uniform on [0, 1) in steps of 2⁻²⁴ (float32) or 2⁻⁵³. Rounding can give `high`."""
        if not -math.inf < low <= high < math.inf:
            raise ArgumentError("uniform", "low, high", "finite numbers, low <= high", f"{low} and {high}")
        shape, dtype = _lengths("uniform", shape), _floating("uniform", dtype)
        u = self._draw("uniform", math.prod(shape), dtype, device, shape=shape, dtype=dtype)
        return _scaled(u, high - low, low)

    def normal(self, shape: Shape, dtype: Any = "float32", *, mean: float = 0.0, std: float = 1.0,
               device: str = "cpu") -> Tensor:
        """mean + std·z, z of density e^(-z²/2) / √(2π). Devices agree to the rounding of log, cos and sin."""
        if not (0 <= std < math.inf and math.isfinite(mean)):
            raise ArgumentError("normal", "mean, std", "finite numbers, std >= 0", f"{mean} and {std}")
        shape, dtype = _lengths("normal", shape), _floating("normal", dtype)
        z = self._draw("normal", math.prod(shape), dtype, device, shape=shape, dtype=dtype)
        return _scaled(z, std, mean)

    def bernoulli(self, p: float, shape: Shape, *, device: str = "cpu") -> Tensor:
        """bool: True with probability p, rounded to a multiple of 2⁻³²."""
        if not 0 <= p <= 1:
            raise ArgumentError("bernoulli", "p", "a probability, from 0 to 1", f"{p}")
        shape = _lengths("bernoulli", shape)
        return Tensor(self._draw("bernoulli", math.prod(shape), np.bool_, device, shape=shape, p=p))

    def randint(self, low: int, high: int, shape: Shape, *, device: str = "cpu") -> Tensor:
        """int64: low <= i < high, all equally likely (to 2⁻⁶⁴)."""
        if not -(2**63) <= low < high <= 2**63:
            raise ArgumentError("randint", "low, high", "-2**63 <= low < high <= 2**63", f"{low} and {high}")
        shape = _lengths("randint", shape)
        return Tensor(self._draw("randint", math.prod(shape), np.int64, device, shape=shape, low=low, high=high))

    def permutation(self, n: int, *, device: str = "cpu") -> Tensor:
        """int64 (n,): 0 .. n-1 in random order."""
        (n,) = _lengths("permutation", n)
        return Tensor(self._draw("permutation", n, np.int64, device, n=n))

    def _draw(self, kernel: str, size: int, dtype: Any, device: str, /, **settings: Any) -> Any:
        like = prototype(device)
        kernels = kernels_of(like)
        used = kernels.counters_used(size, dtype)

        def begin() -> tuple[int, int, int]:
            with _lock:
                counter = self._counter
                self._counter = (counter + used) % 2**128
            return self._key, counter % 2**64, counter >> 64

        drawn = numbers(self, begin)
        if isinstance(drawn, tuple):
            return getattr(kernels, kernel)(drawn[0], drawn[1] | drawn[2] << 64, like=like, **settings)
        if kernel == "permutation":
            raise ArgumentError("Replay", "step", "a step without permutation, whose sort no graph holds", "one",
                                fix="make it an input of the step")
        return getattr(kernels, kernel)(0, drawn, like=like, **settings)  # the key is on the device, with the counter


def _lengths(name: str, shape: Shape) -> tuple[int, ...]:
    lengths = shape if isinstance(shape, Sequence) else (shape,)
    if any(not isinstance(n, int | np.integer) or n < 0 for n in lengths):
        raise ArgumentError(name, "shape", "lengths of at least 0", repr(shape))
    return tuple(map(int, lengths))


def _floating(name: str, dtype: Any) -> np.dtype[Any]:
    floating: np.dtype[Any] = np.dtype(dtype)
    if floating not in (np.float32, np.float64):
        raise DtypeError(name, "dtype", "float32 or float64", str(floating), fix="randint draws integers")
    return floating


def _scaled(array: Any, scale: float, shift: float) -> Tensor:
    """scale·array + shift, in the array's own memory."""
    if (scale, shift) != (1, 0):
        array *= scale
        array += shift
    return Tensor(array)


_default = Generator(0)
uniform, normal, bernoulli = _default.uniform, _default.normal, _default.bernoulli
randint, permutation = _default.randint, _default.permutation


def default_generator() -> Generator:
    """The global generator, which draws wherever none is given. It starts at seed 0: every program is reproducible."""
    return _default


def manual_seed(seed: int) -> None:
    """Start the global generator anew: the same seed, the same bits."""
    _default.state = Generator(seed).state
