"""Layers of an opened file: neutral names, mm only where they are known, the vendor's lines.

What a file says of the patient goes no further than the pseudonym. A layer's metadata say where its
millimetres come from (``scale``, `spad.measuring.Scale` as JSON) and, where the file tells them,
``eye`` ("OD", "OS"), ``first`` (where the first B-scan lies: "inferior", "superior"), ``date``
("2026-01-31") and ``fundus`` (the picture of the fundus, with the B-scans' places on it).
"""

from __future__ import annotations

import colorsys
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import spad.cases.pseudonyms
from spad.borders import Lines, areas, read_lines
from spad.measuring import Scale
from spad.pictures import CubeSize, read_scan

__all__ = [
    "AXES",
    "UPRIGHT",
    "LayerData",
    "NamedValue",
    "bands",
    "fundus_picture",
    "image_layer",
    "lines_told",
    "missing",
    "named_values",
    "placed",
    "pseudonym",
    "reference_layer",
    "scan_layers",
]

AXES = ("B-scan", "row", "column")
LayerData = tuple[Any, dict[str, Any], str]
UPRIGHT = (
    "its B-scans do not run from left to right over the fundus: circles about the fovea hold, but "
    "the names of the ETDRS fields (S, N, I, T) do not"
)
"""Note of a stack whose B-scans run up or down."""


def scan_layers(path: str | Path, size: CubeSize | None = None) -> list[LayerData]:
    """Layer of a scan that the engine reads (`spad.pictures.read_scan`, which raises the same).

    Parameters
    ----------
    path : path
    size : CubeSize, optional
        Of bare pixels, as a person says.
    """
    scan = read_scan(path, size)
    return [image_layer(scan.pixels, "OCT", scan.scale, date=scan.date, notes=scan.notes)]


def lines_told(path: str | Path) -> list[LayerData]:
    """Say what a file of lines is for: alone, without their image, they cannot be shown.

    Raises
    ------
    ValueError, OSError
        Always; also as `spad.borders.read_lines`.
    """
    path = Path(path)
    names = ", ".join(read_lines(path).names)
    raise ValueError(
        f"{path.name} holds lines ({names}), which lie over an image: open that, and then them, in "
        "the tab Correct under “Lines between layers”, by “Add…”, “From a file…”"
    )


def placed(scale: Scale, axes: int) -> dict[str, Any]:
    """Scale, units and axis labels of a layer.

    Parameters
    ----------
    scale : Scale
        An axis whose length is unknown stays in pixels.
    axes : int
        2 for a B-scan, 3 for a stack.
    """
    lengths = scale.spacing_mm[-axes:]
    return {
        "scale": [1.0 if s is None else s for s in lengths],
        "units": ["pixel" if s is None else "mm" for s in lengths],
        "axis_labels": AXES[-axes:],
    }


def image_layer(
    pixels: Any,
    name: str,
    scale: Scale,
    *,
    eye: str = "",
    first: str = "",
    date: str = "",
    patient: str | None = None,
    fundus: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> LayerData:
    """Layer data of an image; a stack of one B-scan becomes that B-scan.

    Parameters
    ----------
    pixels : array, shape (H, W) or (Z, H, W)
        With a trailing axis of 3 where the settings say ``rgb``.
    name : str
        A neutral one: nothing of the file's header or path.
    scale : Scale
    eye : {"OD", "OS", ""}
    first : {"inferior", "superior", ""}
        Where the first B-scan lies.
    date : str
        Of the examination, "2026-01-31"; it stays in the layer and goes into no file by itself.
    patient : str, optional
        Pseudonym.
    fundus : mapping, optional
        As `fundus_picture` gives it.
    notes : sequence of str
        What the user should know about how the file was read.
    """
    settings = {"colormap": "gray", **(settings or {})}
    if settings.get("rgb"):
        settings.pop("colormap")
    axes = pixels.ndim - bool(settings.get("rgb"))
    if axes == 3 and pixels.shape[0] == 1:
        pixels, axes = pixels[0], 2
        scale = Scale(row=scale.row, column=scale.column)
    kept: dict[str, Any] = {"scale": scale.as_json(), **(metadata or {})}
    kept |= {k: v for k, v in (("eye", eye), ("first", first), ("date", date)) if v}
    if patient is not None:
        kept["patient"] = patient
    if fundus is not None:
        kept["fundus"] = dict(fundus)
    if notes:
        kept["notes"] = list(notes)
    return (pixels, {"name": name, "metadata": kept, **placed(scale, axes), **settings}, "image")


def fundus_picture(
    pixels: Any, starts: Any, ends: Any, *, about: bool = False, eye: str = ""
) -> dict[str, Any] | None:
    """The picture of the fundus, and where the B-scans lie on it; None where there is none.

    Parameters
    ----------
    pixels : array, shape (H, W)
    starts, ends : array of float, shape (Z, 2)
        (row, column) in its pixels of each B-scan's first and last column.
    about : bool
        The ends are the middles of circles, on which the scans begin at their starts.
    eye : {"OD", "OS", ""}
        Circles run from temporal over superior to nasal: clockwise in a right eye.

    Returns
    -------
    dict or None
        "pixels", uint8 (H, W), and "scans", a list of arrays of float (N, 2).
    """
    pixels = np.asarray(pixels)
    starts, ends = np.asarray(starts, float), np.asarray(ends, float)
    if (
        pixels.ndim != 2
        or not pixels.size
        or not (np.isfinite(starts).all() and np.isfinite(ends).all())
    ):
        return None
    if pixels.dtype != np.uint8:
        top = float(pixels.max()) or 1.0
        pixels = (np.clip(pixels / top, 0, 1) * 255).astype(np.uint8)
    scans = [np.stack(both) for both in zip(starts, ends, strict=True)]
    if about:
        turn = np.linspace(0, 2 * np.pi, 97) * (-1 if eye == "OS" else 1)
        scans = []
        for start, middle in zip(starts, ends, strict=True):
            down, right = start - middle  # rows run down: growing angles go clockwise
            angle = np.arctan2(down, right) + turn
            around = np.stack([np.sin(angle), np.cos(angle)], 1)
            scans.append(middle + np.hypot(down, right) * around)
    return {"pixels": np.array(pixels), "scans": scans}


def bands(
    lines: Mapping[str, NDArray[Any]], shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Label the bands between a vendor's layer lines.

    Parameters
    ----------
    lines : mapping of str to array of float, shape (Z, W)
        Rows of each line; NaN where there is none.
    shape : (Z, H, W)

    Returns
    -------
    labels : array of uint8, shape (Z, H, W)
        Band k lies between line k and the next line below it. Where one of them is missing, it is
        background.
    names : list of str
        Of the values 1, 2, ...: ``"ILM to RNFL"``.
    """
    found = Lines.of(lines)
    names = [f"{upper} to {lower}" for upper, lower in pairwise(found.names)]
    return (areas(found, shape[1]) if names else np.zeros(shape, np.uint8)), names


def reference_layer(
    lines: Mapping[str, NDArray[Any]],
    shape: tuple[int, int, int],
    scale: Scale,
) -> list[LayerData]:
    """Layer data of the bands between a vendor's lines; none where there are not two lines."""
    labels, names = bands(lines, shape)
    if not labels.any():
        return []
    from napari.utils.colormaps import DirectLabelColormap

    colors: dict[int | None, Any] = {None: "magenta", 0: "transparent"}
    for value in range(1, len(names) + 1):  # neighbours differ in hue and in lightness
        hue, light = value * 0.381966 % 1, (0.75, 0.5)[value % 2]
        colors[value] = np.array([*colorsys.hls_to_rgb(hue, light, 0.8), 1])
    if shape[0] == 1:
        labels = labels[0]
    settings = {
        "name": "layers of the vendor",
        "metadata": {"role": "reference", "vendor_lines": True, "lines": Lines.of(lines)},
        "features": {"index": range(len(names) + 1), "name": ["background", *names]},
        "colormap": DirectLabelColormap(color_dict=colors),
        "opacity": 1.0,
    }
    return [(labels, settings | placed(scale, labels.ndim), "labels")]


class NamedValue(NamedTuple):
    """A value of a reference, which need be no class of any model: 0 to 254."""

    value: int
    name: str
    color: tuple[int, int, int]


def named_values(names: Mapping[int, str]) -> list[NamedValue]:
    """Colours for the names of a reference's values: those that a model's classes have.

    Parameters
    ----------
    names : mapping of int to str
        From `spad.cases.label_names`: any values in 0..254, any texts.
    """
    from spad.checkpoint import MAX_CLASSES, label_classes, same_name

    shown = {0: "background"}
    for value, name in names.items():
        text = "".join(c if c.isprintable() else " " for c in name).strip()[:60]
        taken = any(same_name(text, n) for v, n in shown.items() if v != value)
        shown[value] = f"{text} ({value})" if taken or not text else text
    values = sorted(v for v in shown if v)
    out = [NamedValue(0, shown[0], (0, 0, 0))]
    for at in range(0, len(values), MAX_CLASSES - 1):
        some = values[at : at + MAX_CLASSES - 1]
        classes = label_classes([f"{shown[0]} ", *(shown[v] for v in some)])
        out += [NamedValue(v, shown[v], c.color) for v, c in zip(some, classes[1:], strict=True)]
    return out


def missing(package: str, path: Path, error: ImportError) -> ImportError:
    """Say which package a file needs, and how this Python gets it."""
    return ImportError(
        f"{path.name} needs the package {package} ({error}). Install it and open the file again:  "
        f'{sys.executable} -m pip install "napari-spad[oct]"'
    )


def pseudonym(*identifiers: str, folder: Path | None = None) -> str | None:
    """Pseudonym of a patient, as `spad.cases.pseudonyms.pseudonym` gives it.

    Parameters
    ----------
    *identifiers : str
        What a file says of the patient, the surest first.
    folder : Path, optional
        Where the key is kept; by default in the user's data.
    """
    return spad.cases.pseudonyms.pseudonym(*identifiers, folder=folder or _data_folder())


def _data_folder() -> Path:
    from napari_spad.desk import data_folder

    return data_folder()
