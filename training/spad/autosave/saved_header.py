"""What a saved layer says it is, read so that no damage to it hides the labels. No Qt here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spad.cases import file_error, parsed_json

__all__ = ["FORMAT", "HEADER", "fitting_shape", "read_header"]

FORMAT = 1
HEADER = "layer.json"
LARGEST_VALUE = 2**16  # napari colours no larger ones, and breaks off amid a layer
MOST_BSCANS = 100_000  # along an axis, where only the files' names tell
NAMELESS = "labels without a name"
TEXTS = ("image", "model", "origin", "notice", "annotator", "removed", "exported")

Index = tuple[int, ...]


def read_header(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Read what a layer is, as far as it can be read.

    Parameters
    ----------
    folder : Path
        Of the layer.

    Returns
    -------
    header : dict
        Every entry that the program relies on, of the right type; ``shape`` and ``dtype`` are None
        where only the B-scans can tell; ``details`` is what the host said besides.
    said : list of str
        What could not be read, in words.

    Raises
    ------
    ValueError
        A newer version wrote it, in words.
    """
    found, said = _parsed(folder / HEADER)
    version = found.get("format", FORMAT)
    if type(version) is int and version > FORMAT:
        raise ValueError(
            f"the autosave in {folder} is of format {version}, this version reads up to "
            f"{FORMAT}: update napari-spad"
        )
    header: dict[str, Any] = {key: _text(found.get(key)) for key in TEXTS}
    header |= {
        "name": _text(found.get("name")) or NAMELESS,
        "shape": _shape(found.get("shape")),
        "dtype": _dtype(found.get("dtype")),
        "classes": _classes(found.get("classes", []), said),
        "own_colors": found.get("own_colors") is True,
        "locked": [n for n in _list(found.get("locked")) if type(n) is int],
        "placement": _dict(found.get("placement")),
        "details": _dict(found.get("details")),
        "lines": [name for name in _list(found.get("lines")) if isinstance(name, str)],
        "rows": rows if type(rows := found.get("rows")) is int else 0,
    }
    lacking = [
        key for key, at in (("name", found.get("name")), ("shape", header["shape"])) if not at
    ]
    if lacking and not said:
        said.append(f"{folder / HEADER} has no readable {' and no '.join(lacking)}")
    return header, [f"{text}; what it lacks is guessed from the B-scans" for text in said]


def fitting_shape(said: Index | None, planes: Mapping[Index, Index]) -> Index:
    """Return the shape of a layer, given what its header says and what its B-scans are.

    Parameters
    ----------
    said : tuple of int or None
        By the header.
    planes : mapping of a B-scan's place to (H, W)
        Those that could be read.

    Returns
    -------
    tuple of int
        What the header says, unless most B-scans contradict; then the smallest that holds most.

    Raises
    ------
    ValueError
        Neither tells.
    """
    kinds = Counter((len(index), plane) for index, plane in planes.items())
    if said is not None:
        fits = sum(_holds(said, index, plane) for index, plane in planes.items())
        if 2 * fits >= len(planes):
            return said
    if not kinds:
        raise ValueError("has neither a readable shape nor a B-scan that could be read")
    (axes, plane), _ = kinds.most_common(1)[0]
    places = [i for i, p in planes.items() if (len(i), p) == (axes, plane)]
    places = [i for i in places if max(i, default=0) < MOST_BSCANS] or places
    return (*(max(i[axis] for i in places) + 1 for axis in range(axes)), *plane)


def _holds(shape: Index, index: Index, plane: Index) -> bool:
    lead = shape[:-2]
    inside = len(index) == len(lead) and all(i < n for i, n in zip(index, lead, strict=True))
    return inside and plane == shape[-2:]


def _parsed(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        found = parsed_json(path.read_bytes())
    except (OSError, ValueError) as error:
        return {}, [f"{path} cannot be read ({type(error).__name__}: {file_error(error)})"]
    if not isinstance(found, dict):
        return {}, [f"{path} is no JSON object"]
    return found, []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shape(value: Any) -> Index | None:
    sizes = tuple(_list(value))
    good = len(sizes) >= 2 and all(type(n) is int and 1 <= n < 2**31 for n in sizes)
    return sizes if good else None


def _dtype(value: Any) -> str | None:
    try:
        kind = np.dtype(value).kind if isinstance(value, str) else ""
    except (TypeError, ValueError, SyntaxError):
        return None
    return value if kind in ("u", "i", "b") else None


def _classes(value: Any, said: list[str]) -> list[dict[str, Any]]:
    out = []
    for entry in _list(value):
        if _is_class(entry):
            out.append({**entry, "terminology": entry.get("terminology")})
        else:
            said.append(f"one of its structures is not readable ({str(entry)[:60]})")
    return out


def _is_class(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    value, name, color = (entry.get(key) for key in ("value", "name", "color"))
    terminology = entry.get("terminology")
    return (
        type(value) is int
        and abs(value) < LARGEST_VALUE
        and isinstance(name, str)
        and isinstance(color, list)
        and len(color) == 3
        and all(type(c) in (int, float) and 0 <= c <= 255 for c in color)
        and (terminology is None or isinstance(terminology, dict))
    )
