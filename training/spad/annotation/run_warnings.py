"""What every front end tells before and during a run: what does not fit the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from spad.annotation.likeness import reasons
from spad.checkpoint import Card, LabelClass

__all__ = ["LikenessWatch", "looked_over", "refuse_other_structures"]

LOOKED_AT = 5
"""B-scans of a stack that are measured before a run: evenly spaced, a large one takes no time."""
MOST = 4
"""B-scans of a stack that are named during a run, so that a stack of strangers is not told 500
times."""
CLAUSES = 2  # of the reasons during a run; a status line is narrow


def _unlike(card: Card, number: int | None, clauses: str) -> str:
    what = "this image" if number is None else f"B-scan {number}"
    return f"{what} is unlike the training images of {card.name}: {clauses}"


def looked_over(
    card: Card,
    stack: NDArray[Any],
    spacing_mm: tuple[float, float] | None,
    *,
    inverted: bool = False,
) -> list[str]:
    """Say before a run what of a stack is unlike a model's training images.

    Parameters
    ----------
    card : Card
    stack : array of any real dtype, shape (Z, H, W) or (Z, H, W, 3)
    spacing_mm : (row, column), optional
    inverted : bool
        High values are dark.

    Returns
    -------
    list of str
        A sentence for each reason; none where all is well.
    """
    depth = len(stack)
    places = sorted({round(n * (depth - 1) / max(LOOKED_AT - 1, 1)) for n in range(LOOKED_AT)})
    found: dict[str, list[tuple[int, str]]] = {}
    for z in places:
        try:
            unlike = reasons(card, stack[z], spacing_mm, inverted=inverted)
        except ValueError as error:  # NaN
            unlike = {"unreadable": str(error)}
        for about, text in unlike.items():
            found.setdefault(about, []).append((z, text))
    said = []
    for where in found.values():
        z, text = where[0]
        more = f" (so are {len(where) - 1} more of {len(places)} looked at)"
        words = _unlike(card, None if depth == 1 else z + 1, text)
        said.append(f"Look closely: {words}{more if len(where) > 1 else ''}.")
    return said


class LikenessWatch:
    """Says during a run which B-scans are unlike a model's training images: each reason once.

    Parameters
    ----------
    card : Card
    spacing_mm : sequence of float, optional
        The last two are of rows and columns.
    inverted : bool
        High values are dark.
    """

    def __init__(
        self, card: Card, spacing_mm: Sequence[float] | None, *, inverted: bool = False
    ) -> None:
        self._card, self._spacing_mm, self._inverted = card, spacing_mm, inverted
        self._told: set[str] = set()
        self._named = 0

    def look(self, image: NDArray[Any], number: int | None) -> str:
        """Say why a B-scan is unlike them; empty where it is not, or where that is known.

        Takes some milliseconds: meant for a worker thread.

        Parameters
        ----------
        image : array of any real dtype, shape (H, W) or (H, W, 3)
        number : int or None
            Of the B-scan, from 1; None for a single image.
        """
        found = reasons(self._card, image, self._spacing_mm, inverted=self._inverted)
        new = [text for about, text in found.items() if about not in self._told]
        if not new or self._named == MOST:
            return ""
        self._told |= set(found)
        self._named += 1
        new = [*new[:CLAUSES], *([f"and {more} more"] if (more := len(new) - CLAUSES) > 0 else [])]
        if self._named > 1:
            return f"B-scan {number} too: {'; '.join(new)}"
        return f"look closely: {_unlike(self._card, number, '; '.join(new))}"


def refuse_other_structures(
    name: str,
    ours: Sequence[LabelClass],
    theirs: Sequence[LabelClass],
    *,
    model: str = "this model",
    remedy: str = "choose the model that made it",
    learn: str = "Learn",
) -> None:
    """Refuse a model that has other structures than a label map: before a run, nobody waits.

    Parameters
    ----------
    name : str
        Of the label map's layer or segmentation.
    ours, theirs : sequence of LabelClass
        The label map's and the model's, background first.
    model, remedy, learn : str
        The host's words for it; `learn` is what to press for a model that knows the first of ours.

    Raises
    ------
    ValueError
        It has; with the remedy.
    """
    have, has = ([c.name for c in classes[1:]] for classes in (ours, theirs))
    if have[: len(has)] == has:
        remedy = f"press {learn} first, that it may know the new ones"
    if have != has:
        raise ValueError(
            f"“{name}” has the structures {', '.join(have)}, {model} has {', '.join(has)}: {remedy}"
        )
