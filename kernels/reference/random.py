"""Random numbers by counting: Philox4x32-10 turns (key, counter) into four 32-bit words.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC'11). There is no state to advance: word i
of a call is lane i % 4 of the block at counter + i // 4. Hence the same numbers on every device, and for any split
of the work. `key` has 64 bits, `counter` 128 (both wrap around); an array uint64[3] holds them as key, counter's
lower and upper half. `like` is an array of the device that the numbers should be on.

An element takes one word, or two, the lower first, if it has 8 bytes. `counters_used` says how far a call counts.
"""

import math
from typing import Any

import numpy as np

Array = Any

_MULTIPLY = 0xD2511F53, 0xCD9E8D57
_KEY_STEP = 0x9E3779B9, 0xBB67AE85  # golden ratio - 1 and √3 - 1, as 32-bit fractions
_LOW = 0xFFFFFFFF


def counters_used(size: int, dtype: Any) -> int:
    """How many counters a call uses that returns `size` elements of `dtype`: where the next call may start."""
    words: int = size * max(1, np.dtype(dtype).itemsize // 4)
    return -(-words // 4)


def philox_uint32(key: int, counter: int, n: int, like: Array) -> Array:
    """n words, uint32 (n,)."""
    return _words(key, counter, n, like).astype(np.uint32)


def uniform(key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """Uniform on [0, 1): float32 with 24 bits, float64 with 53."""
    n, dtype = math.prod(shape), np.dtype(dtype)
    fraction = _fractions32 if dtype == np.float32 else _fractions64
    return fraction(key, counter, n, like).astype(dtype).reshape(shape)


def normal(key: int, counter: int, *, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """Standard normal by Box and Muller (1958), from two uniform numbers for two elements:

    r = √(-2 log u)      z = r · cos 2πv, r · sin 2πv      u in (0, 1], so that the logarithm is finite

    For float32 u has 32 bits (rounded to float32's 24), which lets |z| reach 6.7; v has 24. For float64 both have 53.
    Each device rounds log, cos and sin in its own way, so here devices agree to rounding only.
    """
    n, dtype = math.prod(shape), np.dtype(dtype)
    pairs = -(-n // 2)
    if dtype == np.float32:
        words = _words(key, counter, 2 * pairs, like).reshape(pairs, 2)
        u = ((words[:, 0] + 1) * 2.0**-32).astype(dtype)
        v = ((words[:, 1] >> 8) * 2.0**-24).astype(dtype)
    else:
        words = _words64(key, counter, 2 * pairs, like).reshape(pairs, 2) >> 11
        u, v = (words[:, 0] + 1) * 2.0**-53, words[:, 1] * 2.0**-53
    r, angle = np.sqrt(-2 * np.log(u)), 2 * math.pi * v
    z = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)  # (pairs, 2)
    return z.reshape(2 * pairs)[:n].reshape(shape)


def bernoulli(key: int, counter: int, *, shape: tuple[int, ...], p: float, like: Array) -> Array:
    """True with probability p, rounded to a multiple of 2⁻³²; certain at 0 and at 1."""
    return (_words(key, counter, math.prod(shape), like) < round(p * 2**32)).reshape(shape)


def randint(key: int, counter: int, *, shape: tuple[int, ...], low: int, high: int, like: Array) -> Array:
    """Uniform integers low <= i < high, int64, for high - low < 2⁶⁴.

    i = low + floor(w · (high - low) / 2⁶⁴) for a 64-bit word w: no probability is off by more than 2⁻⁶⁴ (Lemire,
    ACM TOMACS 2019, without the rejection step).
    """
    words = _words64(key, counter, math.prod(shape), like)
    return (_high_product(words, high - low) + low % 2**64).view(np.int64).reshape(shape)


def permutation(key: int, counter: int, *, n: int, like: Array) -> Array:
    """0 .. n-1 in random order, int64 (n,): the order that sorts n 64-bit words."""
    return np.argsort(_words64(key, counter, n, like), kind="stable")


def _words(key: int, counter: int, n: int, like: Array) -> Array:
    """The n words of `philox_uint32`, each in a uint64 so that products of two fit."""
    index = np.arange(-(-n // 4), dtype=np.uint64, like=like)  # (blocks,)
    c0, c1, c2, c3 = _count(counter, index)
    k0, k1 = key & _LOW, (key >> 32) & _LOW
    for _ in range(10):
        left, right = c0 * _MULTIPLY[0], c2 * _MULTIPLY[1]
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & _LOW, (left >> 32) ^ c3 ^ k1, left & _LOW
        k0, k1 = (k0 + _KEY_STEP[0]) & _LOW, (k1 + _KEY_STEP[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).reshape(4 * len(index))[:n]


def _count(counter: int, index: Array) -> list[Array]:
    """The four words, lowest first, of counter + index modulo 2¹²⁸."""
    limbs, carry = [], index
    for shift in (0, 32, 64, 96):
        total = carry + ((counter >> shift) & _LOW)
        limbs.append(total & _LOW)
        carry = total >> 32
    return limbs


def _words64(key: int, counter: int, n: int, like: Array) -> Array:
    """n words of 64 bits, each from two of 32, the lower first."""
    words = _words(key, counter, 2 * n, like)
    return words[0::2] | (words[1::2] << 32)


def _fractions32(key: int, counter: int, n: int, like: Array) -> Array:
    return (_words(key, counter, n, like) >> 8) * 2.0**-24


def _fractions64(key: int, counter: int, n: int, like: Array) -> Array:
    return (_words64(key, counter, n, like) >> 11) * 2.0**-53


def _high_product(a: Array, b: int) -> Array:
    """floor(a · b / 2⁶⁴) from products of halves, for a and b below 2⁶⁴; no partial sum reaches 2⁶⁴."""
    a1, a0, b1, b0 = a >> 32, a & _LOW, b >> 32, b & _LOW
    middle = a1 * b0 + (a0 * b0 >> 32)
    return a1 * b1 + (middle >> 32) + (a0 * b1 + (middle & _LOW) >> 32)
