"""A B-scan that a person corrected, as a case: grey integers, a name that tells nobody's name.

A case is named after its patient's pseudonym, the number of the B-scan and a hash of its pixels. By
the hash a B-scan is known again when it is corrected again, in whatever image or session.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases.atomic_files import read_json
from spad.cases.new_cases import NewCase
from spad.cases.pixel_values import without_empty
from spad.checkpoint import IGNORE

__all__ = ["as_grey", "bscan_case", "image_pseudonym", "known_bscans"]

_HASH = 10  # hexadecimal digits in a name
_HASHED = re.compile(rf"_([0-9a-f]{{{_HASH}}})$")


def as_grey(image: NDArray[Any], *, rgb: bool = False) -> tuple[NDArray[Any], str]:
    """Bring pixels to a form that a case folder holds.

    Parameters
    ----------
    image : array, shape (H, W), or (H, W, 3|4) where `rgb`
    rgb : bool, optional

    Returns
    -------
    grey : array of uint8 or uint16, shape (H, W)
        Such integers stay as they are.
    said : str
        What was done to them, else empty.

    Raises
    ------
    ValueError
        NaN, infinite or complex pixels.
    """
    said = []
    before = image.dtype
    if rgb:
        said.append("colours became grey (Rec. 601)")
        image = image[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        if before.kind in "bu":
            image = np.rint(image).astype(before)
    if image.dtype.kind == "b":
        image = image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind not in "uif":
        raise ValueError(
            f"pixels of type {image.dtype} make no image; convert them to integers or floats"
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("the image holds NaN or infinite pixels; replace them by a number")
    image = without_empty(image)
    low, high = (image.min(), image.max()) if image.size else (0, 0)
    if image.dtype.kind in "ui" and low >= 0 and high <= 65535:
        small = image.dtype if image.dtype in (np.uint8, np.uint16) else np.dtype(np.uint16)
        image = image.astype(small)
    else:
        said.append(f"{before} pixels, {low:.4g} to {high:.4g}, were scaled to 16 bit")
        # Halved: the distance of two finite numbers need not be one.
        half = max(float(high) / 2 - float(low) / 2, np.finfo(np.float64).tiny)
        share = (image.astype(np.float64) / 2 - float(low) / 2) / half
        image = np.rint(share * 65535).astype(np.uint16)
    return np.ascontiguousarray(image), "; ".join(said)


def image_pseudonym(image: NDArray[Any]) -> str:
    """A name for the patient of an image that has none: always the same for the same pixels."""
    return f"image-{_digest(image)}"


def known_bscans(folder: str | os.PathLike[str]) -> dict[str, tuple[str, str | None]]:
    """Name and patient of the B-scans in a case folder, by the hash of their pixels."""
    path = Path(folder) / "cases.json"
    details = read_json(path) if path.is_file() else {}
    found: dict[str, tuple[str, str | None]] = {}
    for name, entry in details.items() if isinstance(details, dict) else ():
        if (match := _HASHED.search(name)) and isinstance(entry, dict):
            found[match[1]] = (name, entry.get("patient"))
    return found


def bscan_case(
    image: NDArray[Any],
    labels: NDArray[Any],
    names: Mapping[int, str],
    *,
    patient: str,
    number: int,
    first: int = 1,
    annotated: Collection[str],
    spacing_mm: tuple[float, float] | None = None,
    known: Mapping[str, tuple[str, str | None]] | None = None,
) -> NewCase:
    """Make a case of a corrected B-scan; its split is that of its patient.

    Parameters
    ----------
    image : array of uint8 or uint16, shape (H, W)
        From `as_grey`.
    labels : array of int, shape (H, W)
        Class values; 255 = ignore.
    names : mapping of int to str
        Of the classes, background (0) included.
    patient : str
        A pseudonym.
    number : int
        Of the B-scan in its image, from 1.
    first : int
        What the host calls the first B-scan, in what is said.
    annotated : collection of str
        Names of the structures that a person looked for. Pixels of the others become 255 (ignore):
        what a model drew there and nobody checked must not be learned.
    spacing_mm : tuple of float, optional
        Row and column.
    known : mapping, optional
        From `known_bscans`: a B-scan that the folder has keeps its name and patient.

    Returns
    -------
    NewCase

    Raises
    ------
    ValueError
        No structure was looked for, an unknown one, or label values that are no class.
    """
    structures = [name for value, name in names.items() if value]
    if odd := sorted(set(annotated) - set(structures)):
        raise ValueError(
            f"{', '.join(odd)} is no structure of this model; it has {', '.join(structures)}"
        )
    if not annotated:
        raise ValueError("no structure is marked as annotated; mark those that you looked for")
    values = np.asarray(labels)
    strange = sorted(set(np.unique(values).tolist()) - {IGNORE, *names})
    if strange:
        raise ValueError(
            f"B-scan {number - 1 + first} has pixels of the value "
            f"{', '.join(map(str, strange))}, which is no class of the model; repaint them, or "
            f"paint {IGNORE} (ignore)"
        )
    digest = _digest(image)
    name = f"{re.sub(r'[^A-Za-z0-9-]+', '-', patient).strip('-')[:40] or 'patient'}"
    name = f"{name}_{number:03d}_{digest}"
    if known is not None and digest in known:
        name, held = known[digest]
        patient = held or patient
    unlooked = [v for v, one in names.items() if v and one not in annotated]
    checked = np.where(np.isin(values, unlooked), IGNORE, values).astype(np.uint8)
    return NewCase(
        name=name,
        image=image,
        labels=checked,
        split=None,
        patient=patient,
        spacing_mm=spacing_mm,
        annotated=tuple(one for one in structures if one in annotated),
    )


def _digest(image: NDArray[Any]) -> str:
    head = f"{image.shape} {image.dtype.str}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).hexdigest()[:_HASH]
