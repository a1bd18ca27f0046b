"""Smooth random functions, of which borders, lesions and textures of a phantom are made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["F64", "Waves"]

F64 = NDArray[np.float64]
TERMS = 7
"""Sines of a wave."""


class Waves:
    """A smooth random function of x and y (mm) with mean 0 and variance 1.

    A sum of sines: unlike filtered noise it can be asked at any point, in any slice, at any size.
    """

    def __init__(self, rng: np.random.Generator, shortest_mm: float, longest_mm: float) -> None:
        wave = 2 * np.pi / np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), TERMS))
        angle = rng.uniform(-1.0, 1.0, TERMS)  # within 60 degrees of x: each slice sees variation
        self.kx, self.ky = wave * np.cos(angle), wave * np.sin(angle)
        self.phase = rng.uniform(0, 2 * np.pi, TERMS)

    def __call__(self, x: F64, y: float) -> F64:
        """Evaluate at columns x (W,) of the slice at y."""
        angle = np.multiply.outer(self.kx, x) + (self.ky * y + self.phase)[:, None]
        return np.asarray(np.sin(angle).sum(axis=0) * np.sqrt(2 / len(self.kx)))
