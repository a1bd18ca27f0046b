"""Telling that images are unlike a model's training images: once for a stack, then the odd ones."""

from __future__ import annotations

from typing import Any

from napari_spad.layers import Part, Source

__all__ = ["Likeness"]

MOST = 4
"""B-scans of a stack that are named, so that a stack of strangers is not told 500 times."""
CLAUSES = 2  # of the reasons; the status line is narrow


class Likeness:
    """What has been said of a run's B-scans.

    Parameters
    ----------
    card : Card
    source : Source
    """

    def __init__(self, card: Any, source: Source) -> None:
        self._card, self._source = card, source
        self._told: set[str] = set()
        self._named = 0

    def look(self, part: Part, pixels: Any) -> str:
        """Say why a B-scan is unlike the training images; empty where it is not, or that is known.

        Meant for the worker thread: it takes some milliseconds.
        """
        from spad.annotation import reasons

        source = self._source
        found = reasons(self._card, pixels, source.spacing_mm, inverted=source.inverted)
        new = [text for about, text in found.items() if about not in self._told]
        if not new or self._named == MOST:
            return ""
        self._told |= set(found)
        self._named += 1
        new = [*new[:CLAUSES], *([f"and {more} more"] if (more := len(new) - CLAUSES) > 0 else [])]
        what = f"B-scan {part.index[-1] + 1}" if part.index else "this image"
        return (
            f"look closely: {what} is unlike the training images of {self._card.name}: "
            f"{'; '.join(new)}"
        )
