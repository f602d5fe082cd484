"""A small additive synthesiser: a score as a WAV file, so that it is heard without a sound font.

A note of pitch p, struck at t = 0 and let go at t = d (seconds), is

    a(t) Σ_k k^-1.4 e^(-0.4 k t) sin(2π k f t)    f = 440 · 2^((p - 69)/12) hertz, k f below half the sampling rate

with the envelope a: up to 1 within ATTACK, down to SUSTAIN within DECAY, and after d to 0 within RELEASE. Higher
harmonics are softer and fade sooner, as those of a string do. The sum of all notes is scaled to the loudness LEVEL, or
below where its largest sample would pass PEAK: no sample is ever clipped.
"""

import wave
from pathlib import Path
from typing import Any

import numpy as np

from tinyart.data.files import replacing
from tinyart.data.score import Score
from tinyart.errors import ArgumentError

ATTACK, DECAY, SUSTAIN, RELEASE = 0.012, 0.12, 0.6, 0.15  # seconds; SUSTAIN is a share of the peak
HARMONICS = 12
PEAK, LEVEL = 0.9, 0.2  # of full scale; LEVEL is the root of the mean square
MAX_SECONDS = 1800.0
RATES = (4000, 96_000)

Array = np.ndarray[Any, Any]


def note_wave(pitch: int, seconds: float, rate: int) -> Array:
    """One note with its release, about within [-3, 3]: float32 (samples,)"""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    t = np.arange(round((seconds + RELEASE) * rate)) / rate  # (samples,)
    harmonics = [k ** -1.4 * np.exp(-0.4 * k * t) * np.sin(2 * np.pi * k * frequency * t)
                 for k in range(1, HARMONICS + 1) if k * frequency < rate / 2]
    return (envelope(t, seconds) * sum(harmonics, np.zeros_like(t))).astype(np.float32)


def envelope(t: Array, seconds: float) -> Array:
    """a(t) of a note let go after `seconds`, from wherever it has come by then: (samples,) -> (samples,) in [0, 1]"""
    times, heights = (0, ATTACK, ATTACK + DECAY), (0, 1, SUSTAIN)
    held = np.interp(t, times, heights)
    return np.where(t < seconds, held, np.interp(seconds, times, heights) * np.clip(1 - (t - seconds) / RELEASE, 0, 1))


def sound(score: Score, *, rate: int = 22_050) -> Array:
    """The samples of a score: float32 (samples,) in [-PEAK, PEAK], its last note's release included.

    Errors: `ArgumentError` for more than `MAX_SECONDS` and for a rate out of range.
    """
    if not RATES[0] <= rate <= RATES[1] or score.seconds > MAX_SECONDS:
        raise ArgumentError("sound", "rate, score", f"{RATES[0]} to {RATES[1]} Hz, at most {MAX_SECONDS:g} seconds",
                            f"{rate} Hz, {score.seconds:.0f} seconds")
    step = 60 / score.tempo / score.steps_per_beat  # seconds
    samples = np.zeros(round((score.seconds + RELEASE) * rate) + 2, np.float32)
    known: dict[tuple[int, int], Array] = {}
    for start, end, pitch in score.notes.tolist():
        if (pitch, end - start) not in known:
            known[pitch, end - start] = note_wave(pitch, (end - start) * step, rate)
        wave_ = known[pitch, end - start]
        first = round(start * step * rate)
        samples[first : first + len(wave_)] += wave_[: len(samples) - first]
    loudest = float(np.abs(samples).max(initial=0))
    if loudest:
        level = float(np.sqrt(np.mean(samples ** 2, dtype=np.float64)))
        samples *= min(LEVEL / level, PEAK / loudest)
    return samples


def write_wav(path: str | Path, score: Score, *, rate: int = 22_050) -> None:
    """Write the sound of a score: mono, 16 bits, whole or not at all. Errors: as `sound`."""
    samples = np.rint(sound(score, rate=rate) * 32767).astype("<i2")
    with replacing(path) as file, wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        wav.writeframes(samples.tobytes())
