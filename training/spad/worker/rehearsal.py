"""What of earlier cases is kept beside a model that learnt, for its next lessons to rehearse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import parsed_json, replaced
from spad.inference import checked_bscans
from spad.worker.learnt_models import lessons_of
from spad.worker.lesson_plan import shows_structure

__all__ = ["REHEARSED", "Pairs", "keep_cases", "kept_cases", "rehearsed"]

REHEARSED = 16
"""B-scans at most, of all cases together."""

Pairs = list[tuple[NDArray[Any], NDArray[np.uint8]]]
"""Images and label maps, as `spad.worker.LessonPlan` has them."""


def rehearsed(cases: Sequence[Pairs], count: int = REHEARSED) -> list[Pairs]:
    """As much of each case as of the others, and within a case evenly from first to last.

    Parameters
    ----------
    cases : sequence of Pairs
        The newest first. Of a case that shows structures, only B-scans that show one are taken:
        the others have nothing to rehearse.
    count : int
        B-scans at most. Of more cases than that the oldest go.

    Returns
    -------
    list of Pairs
    """
    telling = [[p for p in case if shows_structure([p[1]])] or case for case in cases if case]
    telling = telling[:count]
    shares = [0] * len(telling)
    for _ in range(count):  # one at a time to the case with the least, of which there is more
        open_ = [i for i, case in enumerate(telling) if shares[i] < len(case)]
        if not open_:
            break
        shares[min(open_, key=lambda i: shares[i])] += 1
    return [
        [case[(2 * i + 1) * len(case) // (2 * share)] for i in range(share)]
        for case, share in zip(telling, shares, strict=True)
    ]


def kept_cases(path: Path, classes: int) -> list[Pairs]:
    """The cases that :func:`keep_cases` kept, the newest first.

    Parameters
    ----------
    path : Path
    classes : int
        Of the model that comes of it; values from here on are no class.

    Raises
    ------
    Exception
        The file is damaged, which ends in any of a dozen kinds, or holds what no lesson could take.
    """
    with np.load(path, allow_pickle=False) as file:
        about = parsed_json(str(file["about"]))
        count = int(about["count"])
        pairs = [(file[f"image_{i}"], file[f"labels_{i}"]) for i in range(count)]
    sizes = [int(n) for n in about.get("cases", [count])]  # version 0.1 knew one case alone
    if sum(sizes) != count or min(sizes, default=0) < 0:
        raise ValueError(f"cases of {sizes} B-scans do not make {count}")
    pairs = list(checked_bscans([i for i, _ in pairs], [m for _, m in pairs], classes))
    ends = np.cumsum(sizes).tolist()
    return [pairs[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def keep_cases(model: Path, cases: Sequence[Pairs]) -> None:
    """Keep cases beside a model."""
    pairs = [pair for case in cases for pair in case]
    arrays = {f"image_{i}": image for i, (image, _) in enumerate(pairs)}
    arrays |= {f"labels_{i}": labels for i, (_, labels) in enumerate(pairs)}
    about = np.array(json.dumps({"count": len(pairs), "cases": [len(case) for case in cases]}))
    with replaced(lessons_of(model)) as beside, beside.open("wb") as file:
        np.savez_compressed(file, about=about, **arrays)  # type: ignore[arg-type]
