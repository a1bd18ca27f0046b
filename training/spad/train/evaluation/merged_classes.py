"""Classes of a model taken together, to score it on data that tell fewer apart (Duke's fluid)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["merge_classes"]


def merge_classes(
    classes: Sequence[str], parts: Iterable[str]
) -> tuple[list[str], NDArray[np.uint8]]:
    """Parse ``fluid=SRF,IRF`` and take these classes together.

    Parameters
    ----------
    classes : sequence of str
        Names of the model's classes, background first.
    parts : iterable of str
        One new class each, or several with spaces between.

    Returns
    -------
    names : list of str
        Background, then the classes that stand alone and the new ones, each at its first member's
        place.
    table : ndarray of uint8, shape (256,)
        The model's class values to places in ``names``.

    Raises
    ------
    ValueError
        A part that does not read so, a class that the model lacks or that is named twice, or a new
        name that is taken.
    """
    into: dict[str, str] = {}
    for item in (word for part in parts for word in part.split()):
        name, _, members = item.partition("=")
        for member in members.split(","):
            if not name or member not in classes[1:] or member in into or name in classes:
                raise ValueError(
                    f"--merge {item!r}: give NEW=CLASS,CLASS with structures of the model "
                    f"({', '.join(classes[1:])}), each once, and a name that is none of theirs"
                )
            into[member] = name
    names = list(dict.fromkeys(into.get(name, name) for name in classes))
    table = np.zeros(256, np.uint8)
    for value, name in enumerate(classes):
        table[value] = names.index(into.get(name, name))
    return names, table
