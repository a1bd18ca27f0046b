"""Corrected B-scans of a result into a training set, as the engine adds them for every host."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad.annotation import Addition, Corrected, Pixels, candidates, refuse_empty
from spad.cases import Written
from spad.checkpoint import IGNORE
from SPADLib.desk import FIRST, numbered, png_bytes
from SPADLib.learn.pseudonym import patient_of
from SPADLib.scene import Result, as_called, open_source, refuse_replaced

__all__ = ["add", "candidates_of"]


def add(
    result: Result,
    bscans: Sequence[int],
    folder: str | os.PathLike[str],
    *,
    annotated: Collection[str],
    own_patients: bool,
    replace: bool = True,
    keys: Path | None = None,
) -> Generator[str, None, Written]:
    """Add B-scans to a training set, one at each step; to stop, drop the generator.

    What is added is the label map at the first step, so that painting on changes nothing. Where a
    segment of the person's own lies, no class is learned.

    Parameters
    ----------
    result : Result
    bscans : sequence of int
        From 0.
    folder : path
        A training set, or an empty or new folder.
    annotated : collection of str
        Structures that a person looked for. Pixels of the others are not learned.
    own_patients : bool
        Each B-scan is of another patient. Where DICOM says who the patient is, that counts.
    replace : bool
        Replace a B-scan that is in the set; its older label map is kept.
    keys : Path, optional
        Where the key of the pseudonyms is; `SPADLib.host.data_folder` by default.

    Yields
    ------
    str
        How far it is; at the end, what was written and what the set holds now.

    Returns
    -------
    Written
        What was written, over all B-scans.

    Raises
    ------
    ValueError
        No B-scan, or one that is neither segmented nor painted; a folder that is no training set,
        has other classes, or cannot be written to; pixels that make no image; an unknown structure;
        the volume was removed, or its pixels replaced.
    """
    if result.volume is None:
        raise ValueError(
            f"the volume of “{result.segmentation.GetName()}” was removed from the scene: load the "
            "scene again"
        )
    labels = np.array(result.labels())
    _refuse(result, bscans, labels)
    labels[(labels == 0) & result.own()] = IGNORE
    runs = _inverted(result)
    source = open_source(result.volume, result.layout, inverted=False)
    refuse_replaced(source, result)
    shown = open_source(result.volume, result.layout).inverted

    def read(z: int) -> Pixels:
        return Pixels(source.stack[z], source.rgb, runs.get(z, shown))

    adding = Addition(
        folder,
        [Corrected(z + 1, labels[z], partial(read, z)) for z in bscans],
        {c.value: c.name for c in result.classes},
        annotated=annotated,
        patient=patient_of(result.volume, keys),
        one_patient=None if own_patients else partial(read, 0),
        encode=png_bytes,
        spacing_mm=source.spacing_mm and source.spacing_mm[1:],
        replace=replace,
    )
    yield from adding.steps()
    yield f"{adding.told}{_renamed(result)}"
    return adding.written


def candidates_of(
    result: Result, reviewed: Iterable[int], labels: NDArray[np.uint8] | None = None
) -> tuple[list[int], list[int]]:
    """List the B-scans that may be added, from 0.

    Parameters
    ----------
    result : Result
    reviewed : iterable of int
        Those that a person looked through and accepted.
    labels : array of uint8, shape (Z, H, W), optional
        From `Result.labels`, where it is at hand.

    Returns
    -------
    corrected : list of int
        Painted in, or accepted.
    labelled : list of int
        All that a model or a person has been at.
    """
    return candidates(_painted(result, labels), reviewed, result.segmented)


def _painted(result: Result, labels: NDArray[np.uint8] | None) -> list[int]:
    return [int(z) for z in np.flatnonzero(result.by_hand(labels, sure=True).any(axis=(1, 2)))]


def _renamed(result: Result) -> str:
    """Say under which names structures go into the set that are called otherwise here."""
    both = zip(as_called(result.segmentation), result.classes, strict=True)
    renamed = [f"“{now.name}” as “{c.name}”" for now, c in both if now.name != c.name]
    if not renamed:
        return ""
    return f" The set has {', '.join(renamed)}: that is what the model calls it."


def _refuse(result: Result, bscans: Sequence[int], labels: NDArray[np.uint8]) -> None:
    if not bscans:
        raise ValueError("No B-scan is chosen: correct or accept some, or add the one on screen")
    if beyond := [z for z in bscans if not 0 <= z < len(labels)]:
        raise ValueError(
            f"B-scan {numbered(beyond[0])} was asked for; “{result.volume.GetName()}” has {FIRST} "
            f"to {numbered(len(labels) - 1)}: choose among these"
        )
    refuse_empty(bscans, result.segmented | set(_painted(result, labels)))


def _inverted(result: Result) -> dict[int, bool]:
    """Whether the model saw the negative, by B-scan, as the last run of each says."""
    found: dict[int, bool] = {}
    for run in result.provenance:
        first, count = run["bscans"]
        if "inverted" in run:
            found |= {z: bool(run["inverted"]) for z in range(first, first + count)}
    return found
