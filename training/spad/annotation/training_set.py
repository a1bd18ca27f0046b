"""Corrected B-scans into a training set, from any front end: which may be added, and how.

Nothing that is written tells who the patient is: a pseudonym stands for them, and files are named
after that, the B-scan's number and a hash of its pixels (`spad.cases.corrected_bscan`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spad.cases import (
    NewCase,
    Written,
    as_grey,
    bscan_case,
    describe,
    image_pseudonym,
    known_bscans,
    write_cases,
)

__all__ = ["Addition", "Corrected", "Pixels", "candidates", "refuse_empty"]

Place = TypeVar("Place", int, tuple[int, ...])


def candidates(
    painted: Iterable[Place], accepted: Iterable[Place], segmented: Iterable[Place]
) -> tuple[list[Place], list[Place]]:
    """List the B-scans that may be added.

    Parameters
    ----------
    painted, accepted, segmented : iterable of int or tuple of int
        Places of the B-scans that a person painted in; looked through and accepted; that a model
        has segmented.

    Returns
    -------
    corrected : list
        Painted in, or accepted.
    labelled : list
        All that a model or a person has been at.
    """
    made = set(segmented)
    corrected = set(painted) | (made & set(accepted))
    return sorted(corrected), sorted(made | corrected)


def refuse_empty(places: Iterable[Place], labelled: Collection[Place], first: int = 1) -> None:
    """Refuse B-scans that neither a model nor a person has been at; `first` is the host's first.

    Raises
    ------
    ValueError
        Naming the first of them.
    """
    for place in places:
        if place not in labelled:
            last = (place if isinstance(place, tuple) else (place,))[-1:]
            raise ValueError(
                f"B-scan {(last[0] if last else 0) + first} is not segmented, and nothing is "
                "painted in it: as a case it would teach that there is nothing; segment it first"
            )


@dataclass(frozen=True, slots=True)
class Pixels:
    """A B-scan as the host has it.

    Parameters
    ----------
    array : array of any real dtype, shape (H, W), or (H, W, 3|4) where `rgb`
    rgb : bool
    inverted : bool
        The model saw its negative: a model learns one polarity.
    """

    array: NDArray[Any]
    rgb: bool = False
    inverted: bool = False

    def grey(self) -> tuple[NDArray[Any], str]:
        """The B-scan as the model sees it, (H, W) uint8 or uint16, and what was done to it."""
        image, said = as_grey(self.array, rgb=self.rgb)
        return (np.iinfo(image.dtype).max - image if self.inverted else image), said


@dataclass(frozen=True, slots=True)
class Corrected:
    """A B-scan to be added.

    Parameters
    ----------
    number : int
        In its image, from 1.
    labels : array of int, shape (H, W)
        Class values, 255 = ignore; taken when it was asked for, so that painting on changes
        nothing. What is beyond the pixels pads a stack of B-scans of several sizes.
    read : callable
        Gives its `Pixels`, when its turn comes.
    patient : str, optional
        A pseudonym, where the B-scans of an image are of different people that are known.
    """

    number: int
    labels: NDArray[Any]
    read: Callable[[], Pixels]
    patient: str | None = None


class Addition:
    """B-scans on their way into a training set, one at each step of `steps`.

    Parameters
    ----------
    folder : path
        A training set, or an empty or new folder.
    bscans : sequence of Corrected
        A B-scan that is in the set keeps its name and patient.
    names : mapping of int to str
        Of the classes, background (0) included.
    annotated : collection of str
        Structures that a person looked for. Pixels of the others are not learned.
    patient : str or None
        Pseudonym of the one whom the image shows, where that is known.
    one_patient : callable or None
        Otherwise: gives the `Pixels` after which the one patient of all B-scans is named; None
        where each B-scan is of another.
    spacing_mm : (row, column), optional
    encode : callable
        (H, W) uint8 or uint16 -> the bytes of a PNG file.
    replace : bool
        Replace a B-scan that is in the set; its older label map is kept.
    first : int
        What the host calls the first B-scan, in what it says; names of cases count from 1.

    Attributes
    ----------
    written : Written
        What was written so far.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        bscans: Sequence[Corrected],
        names: Mapping[int, str],
        *,
        annotated: Collection[str],
        patient: str | None,
        one_patient: Callable[[], Pixels] | None,
        encode: Callable[[NDArray[Any]], bytes],
        spacing_mm: tuple[float, float] | None = None,
        replace: bool = True,
        first: int = 1,
    ) -> None:
        self.folder, self.bscans, self.names = Path(folder), bscans, names
        self._annotated, self._spacing_mm = annotated, spacing_mm
        self._patient, self._one_patient = patient, one_patient
        self._encode, self._replace, self._first = encode, replace, first
        self._notes: dict[str, None] = {}
        self.written = Written({}, {}, {}, {})

    def steps(self) -> Iterator[str]:
        """Add the B-scans one by one; whoever stops pulling leaves a whole training set.

        Yields
        ------
        str
            How far it is.

        Raises
        ------
        ValueError
            A folder that is no training set, has other classes, or cannot be written to; pixels
            that make no image; an unknown structure.
        """
        self._write()
        patient, known = self._patient, known_bscans(self.folder)
        if patient is None and self._one_patient is not None:
            patient = image_pseudonym(self._one_patient().grey()[0])
        for number, bscan in enumerate(self.bscans, start=1):
            yield f"adding {number} of {len(self.bscans)} B-scans…"
            image, said = bscan.read().grey()
            self._notes |= {said: None} if said else {}
            self._write(
                bscan_case(
                    image,
                    bscan.labels[: image.shape[0], : image.shape[1]],
                    self.names,
                    patient=bscan.patient or patient or image_pseudonym(image),
                    number=bscan.number,
                    first=self._first,
                    annotated=self._annotated,
                    spacing_mm=self._spacing_mm,
                    known=known,
                )
            )

    def _write(self, *cases: NewCase) -> None:
        """Write cases, and take note of what the set holds then; without any, only that."""
        try:
            last = write_cases(
                self.folder, cases, self.names, encode=self._encode, replace=self._replace
            )
        except OSError as error:
            raise ValueError(
                f"“{self.folder}” cannot be written to ({error.strerror or error}): free some "
                "space, or choose a folder of your own"
            ) from error
        self.written = Written(
            {**self.written.splits, **last.splits},
            {**self.written.kept, **last.kept},
            last.patients,
            last.images,
        )

    @property
    def told(self) -> str:
        """What was written, and what the set holds now, in words."""
        return describe(self.written, list(self._notes))
