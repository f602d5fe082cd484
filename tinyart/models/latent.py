"""Ways through the space of z."""

import numpy as np

from tinyart.tensor import Tensor


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """(sin((1 - t)Ω) a + sin(tΩ) b) / sin Ω, with Ω the angle between a and b: (N, J) each -> (N, J)

    From a to b along the sphere (Shoemake 1985): z ~ N(0, 1) in J dimensions has a length near √J, and the straight
    line between two of them passes through lengths that a model has never seen. Where Ω is 0 or π the line is all
    there is.
    """
    cosine = (a * b).sum(1, keepdims=True) / np.maximum(
        np.linalg.norm(a, axis=1, keepdims=True) * np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))  # (N, 1)
    sine = np.sin(angle)
    flat = sine < 1e-4
    sine = np.where(flat, 1, sine)
    near, far = (np.where(flat, w, np.sin(w * angle) / sine) for w in (1 - t, t))  # (N, 1) each
    between: np.ndarray = (near * a + far * b).astype(a.dtype)
    return between


def walk(z: Tensor, frames: int) -> list[Tensor]:
    """From each of K places to the next and back to the first, `frames` steps each: (K, N, J) -> K·frames of (N, J)"""
    places = z.numpy()
    return [Tensor(slerp(a, b, step / frames)).to(z.device)
            for a, b in zip(places, np.roll(places, -1, axis=0), strict=True) for step in range(frames)]
