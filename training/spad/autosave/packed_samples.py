"""The samples of a run, kept small: label maps compress to a hundredth. No Qt in here."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Packed"]


@dataclass(frozen=True)
class Packed:
    """The samples of one B-scan, compressed.

    Parameters
    ----------
    data : bytes
    shape : tuple of int
        (N, H, W).
    """

    data: bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, samples: Any) -> Packed:
        """Compress an array of uint8, (N, H, W)."""
        samples = np.ascontiguousarray(samples, np.uint8)
        return cls(zlib.compress(samples, 1), samples.shape)

    def samples(self) -> NDArray[np.uint8]:
        """The array again."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)
