"""The JSON beside every exported label image, ``NAME.spad.json``: one form for all hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spad.card import NOTICE
from spad.labels import LabelClass

__all__ = ["sidecar"]


def sidecar(
    *,
    labels: str,
    image: str,
    shape: Sequence[int],
    spacing_mm: Sequence[float] | None,
    classes: Iterable[LabelClass | Mapping[str, Any]],
    provenance: Any,
) -> dict[str, Any]:
    """Describe an exported label image, in JSON values.

    Parameters
    ----------
    labels, image : str
        File name of the label image; name of what was segmented.
    shape : sequence of int
        Of the label image.
    spacing_mm : sequence of float or None
        One number an axis; None where it is not known.
    classes : iterable of LabelClass, or of their JSON
        What the values mean.
    provenance : JSON value
        Of the run that made it, or of each run where B-scans were run one by one.
    """
    return {
        "format": 1,
        "notice": NOTICE,
        "labels": labels,
        "image": image,
        "shape": list(shape),
        "spacing_mm": None if spacing_mm is None else list(spacing_mm),
        "classes": [c.as_json() if isinstance(c, LabelClass) else dict(c) for c in classes],
        "provenance": provenance,
    }
