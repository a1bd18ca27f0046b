"""The JSON beside every exported label image, ``NAME.spad.json``: one form for all hosts.

It travels with the labels, so it holds no path of the user's and nothing of a patient: it is made
of what the caller names here, and absolute paths in that are cut down to their last part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import NOTICE, LabelClass

__all__ = [
    "LARGEST_SEED",
    "edited_pixels",
    "pixel_digest",
    "runs_of",
    "sidecar",
    "stack_sha256",
    "without_paths",
]

LARGEST_SEED = 2**64 - 1
"""Of a run, whose sidecar tells its seed, and of a lesson: what 64 bits hold, as torch takes it."""

_FACTS = {"scale": dict, "eye": str, "fovea": dict, "first": str, "bscan_sizes": list}


def pixel_digest(bscan: NDArray[Any]) -> bytes:
    """SHA-256 of a B-scan's pixels; in hexadecimal digits its ``image_sha256``."""
    return hashlib.sha256(np.ascontiguousarray(bscan).data).digest()


def stack_sha256(digests: Iterable[bytes]) -> str:
    """``image_sha256`` of a stack, of its B-scans' digests in their order."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def sidecar(
    *,
    labels: str,
    image: str,
    shape: Sequence[int],
    spacing_mm: Sequence[float | None] | None,
    classes: Iterable[LabelClass | Mapping[str, Any]],
    provenance: Any,
    annotator: str = "",
    edited: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe an exported label image, in JSON values.

    Parameters
    ----------
    labels, image : str
        File name of the label image; name of what was segmented.
    shape : sequence of int
        Of the label image.
    spacing_mm : sequence of float or None
        One number an axis, None for one that is not known; None where none is.
    classes : iterable of LabelClass, or of their JSON
        What the values mean.
    provenance : JSON value
        Of the run that made it, or of each run where B-scans were run one by one.
    annotator : str
        Who corrected it, by the name that they go by here; empty where nobody said.
    edited : mapping, optional
        What a person painted (`edited_pixels`); None where that was not recorded.
    facts : mapping, optional
        What measurements rest on, as a layer's metadata hold it: ``scale`` (each axis with the
        origin of its mm), ``eye``, ``fovea``, ``first``, ``bscan_sizes`` (height and width of each
        B-scan of a padded stack). Other keys, such as a date, are left out.
    """
    told = facts or {}
    known = {k: told[k] for k, kind in _FACTS.items() if type(told.get(k)) is kind and told[k]}
    return {
        "format": 1,
        "notice": NOTICE,
        "labels": without_paths(labels),
        "image": without_paths(image),
        "shape": list(shape),
        "spacing_mm": None if spacing_mm is None else list(spacing_mm),
        "classes": [c.as_json() if isinstance(c, LabelClass) else dict(c) for c in classes],
        "annotator": annotator,
        "edited": None if edited is None else dict(edited),
        "provenance": without_paths(provenance),
        **({"facts": without_paths(known)} if known else {}),
    }


def edited_pixels(
    labels: NDArray[Any],
    by_hand: NDArray[Any],
    classes: Iterable[LabelClass | Mapping[str, Any]],
) -> dict[str, Any]:
    """Count the pixels that a person painted, by the structure that they are now.

    Parameters
    ----------
    labels : array of int, (..., H, W)
    by_hand : array, the same shape
        Not 0 where a person painted; erasing paints background.
    classes : iterable of LabelClass, or of their JSON

    Returns
    -------
    dict
        ``pixels`` by structure, and ``bscans``: the same for each B-scan that was painted on, by
        its place on the leading axes (empty for a single B-scan).

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if labels.shape != by_hand.shape:
        raise ValueError(
            f"the labels' shape is {labels.shape}, that of what was painted {by_hand.shape}; "
            "give both of the same image"
        )
    named = [c.as_json() if isinstance(c, LabelClass) else c for c in classes]
    names = {int(c["value"]): str(c["name"]) for c in named}
    total: dict[str, int] = {}
    bscans = []
    for place in np.ndindex(*labels.shape[:-2]):
        values, counts = np.unique(labels[place][by_hand[place] != 0], return_counts=True)
        if not len(values):
            continue
        pixels = {
            names.get(int(v), f"class {int(v)}"): int(n)
            for v, n in zip(values, counts, strict=True)
        }
        bscans.append({"bscan": list(place), "pixels": pixels})
        for name, count in pixels.items():
            total[name] = total.get(name, 0) + count
    return {"pixels": total, "bscans": bscans}


def runs_of(provenance: Any, depth: int) -> dict[int, Mapping[str, Any]]:
    """The run that last made each B-scan of a stack, as any host tells of its runs.

    Parameters
    ----------
    provenance : JSON value
        Of a sidecar: one run over all B-scans (`spad segment`), or a list of runs with their place
        as ``bscan`` (napari) or the first and how many as ``bscans`` (3D Slicer).
    depth : int
        How many B-scans there are.

    Returns
    -------
    dict of int to mapping
        By the number of the B-scan; empty where it does not tell.
    """
    made: dict[int, Mapping[str, Any]] = {}
    if isinstance(provenance, dict):
        provenance = [{**provenance, "bscans": [0, depth]}]
    for run in provenance if isinstance(provenance, list) else []:
        try:
            if "bscan" in run:  # its place on the leading axes
                made[int(run["bscan"][-1])] = run
            else:
                first, count = map(int, run["bscans"])
                made.update((z, run) for z in range(max(first, 0), min(first + count, depth)))
                for empty in run.get("left_empty", ()):
                    made.pop(empty, None)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            return {}
    return made


def without_paths(value: Any) -> Any:
    """Return the same JSON value with absolute paths cut down to their last part."""
    if isinstance(value, str):
        for kind in (PurePosixPath, PureWindowsPath):
            if (path := kind(value)).is_absolute():
                return path.name
        return value
    if isinstance(value, Mapping):
        return {key: without_paths(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(v) for v in value]
    return value
