"""Which structure a pixel gets that several masks claim: a stated order, and its default.

Ribs lie over lungs in a projection, and a class map has one class a pixel. Small and thin
structures go over large ones, which lose less by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from spad.cases import CaseError
from spad.train.imports.patient_splits import natural

__all__ = ["GROUPS", "STATED", "normal", "order"]

GROUPS: tuple[tuple[str, ...], ...] = (
    ("lung", "lungs", "lobe", "lobes"),
    ("diaphragm", "hemidiaphragm", "mediastinum"),
    ("heart",),
    ("aorta", "hilum", "hila"),
    ("trachea", "bronchus", "bronchi"),
    ("spine", "vertebra", "vertebrae"),
    ("scapula", "scapulae", "sternum", "humerus"),
    ("rib", "ribs"),
    ("clavicle", "clavicles"),
)
"""Words of structures' names, from what is painted first (and covered) to what is painted last."""
STATED = " < ".join("/".join(words) for words in GROUPS) + " < all other structures"


def normal(name: str) -> str:
    """Bring a structure's name to one form: "Left_Lung" and "left-lung" are "left lung"."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def order(structures: Iterable[str], given: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Sort structures from first painted to last, which wins.

    Parameters
    ----------
    structures : iterable of str
        Normal names.
    given : sequence of str
        Names, or words like "rib" for all whose names have it; they win over all that is not
        given, the later over the earlier.

    Returns
    -------
    ordered : tuple of str
    unknown : list of str
        Structures that neither `given` nor `GROUPS` has a place for.

    Raises
    ------
    CaseError
        A given word that no structure has, or a structure that is given twice.
    """
    every = sorted(structures, key=natural)
    ranks: dict[str, int] = {}
    problems = []
    for rank, text in enumerate(given):
        word = normal(text)
        found = [word] if word in every else [name for name in every if word in name.split()]
        if not found:
            near = get_close_matches(word, every, 1, 0)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"priority: no structure is named {text!r}{hint}")
        for name in found:
            if name in ranks:
                problems.append(f"priority: {name!r} is given twice; give it once")
            ranks[name] = rank
    if problems:
        raise CaseError(problems)
    groups = {name: _group(name) for name in every}
    ordered = sorted(
        every, key=lambda name: (name in ranks, ranks.get(name, groups[name]), natural(name))
    )
    unknown = [name for name in every if groups[name] == len(GROUPS) and name not in ranks]
    return tuple(ordered), unknown


def _group(name: str) -> int:
    """Place of a structure in the default order; the last for one that has none."""
    words = name.split()
    places = [place for place, group in enumerate(GROUPS) if any(w in group for w in words)]
    return max(places, default=len(GROUPS))
