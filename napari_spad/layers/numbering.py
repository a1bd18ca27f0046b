"""How a B-scan, a row or a column is numbered in words: as napari's slider does, from 0.

Files are read beside another program than this one: their columns say what they count from.
"""

from __future__ import annotations

__all__ = ["FIRST", "numbered"]

FIRST = 0
"""What napari calls the first of them."""


def numbered(index: float, digits: int = 0) -> str:
    """Say the number of what lies at an index, or between two with some digits."""
    return f"{index + FIRST:.{digits}f}"
