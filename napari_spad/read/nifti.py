"""NIfTI by nibabel: volumes and B-scans, which way up they lie, and whether their mm can be meant.

The format has no word for B-scan, row and column, and converters disagree. The last axis of the
file is taken first, as SimpleITK and nnU-Net do: (x, y, z) is read as (z, y, x). Two things can be
seen in the pixels themselves and are undone, each with a note: channels that are equal, and B-scans
on their side, whose layers run down the columns. Upside down or mirrored cannot be seen.

A label map that SPAD exported, from napari or from 3D Slicer, comes back as one: with its names and
colours, its B-scans as they were, and from napari in the place where its layer lay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.read.exported_labels import label_layer, sidecar_of
from napari_spad.read.opened_layers import AXES, LayerData, image_layer, missing
from spad.measuring import Scale
from spad.pictures import Refused, refuse_bomb, refuse_cut_gzip, refuse_header

__all__ = ["read_nifti"]

CLEAR = 0.5
"""How clear it must be that the layers run across once the B-scans are turned, as the log of a
ratio (`spad.annotation.across`); in between, nothing is turned."""
_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
_LOOKED_AT = 8
_LABEL = 1002
"""NIfTI's intent code of a label map; ours are of the name SPAD besides."""


def read_nifti(path: str | Path) -> list[LayerData]:
    """Layer of a NIfTI file: of labels where SPAD exported it, else an image.

    Raises
    ------
    ImportError
        nibabel is missing.
    ValueError, OSError
        Damaged, or neither B-scan nor stack.
    """
    path = Path(path)
    path.stat()  # a missing file is said in the system's words
    try:
        import nibabel
    except ImportError as error:
        raise missing("nibabel", path, error) from None
    try:
        image = nibabel.load(path)
        voxels = math.prod(map(int, image.shape))
        refuse_bomb(voxels * int(image.header["bitpix"]) // 8, path.stat().st_size)
        refuse_header(int(image.dataobj.offset), int(image.header.sizeof_hdr))
        if path.name.lower().endswith(".gz"):
            refuse_cut_gzip(path)
        pixels = np.asanyarray(image.dataobj)
        zooms = [float(z) for z in image.header.get_zooms()]
        unit = image.header.get_xyzt_units()[0]
    except Refused as error:
        raise ValueError(f"{path.name} {error}") from None
    except Exception as error:  # of gzip, zlib, nibabel, NumPy
        raise ValueError(
            f"{path.name} cannot be read as NIfTI ({type(error).__name__}): it is damaged, cut "
            "short or of another kind; copy or export it again"
        ) from None
    if not pixels.size:
        raise ValueError(f"{path.name} has no voxels (shape {pixels.shape}); export it again")
    notes: list[str] = []
    if (labels := _label_map(path, image, pixels, notes)) is not None:
        return [labels]
    spacing = _spacing(zooms, unit, notes)
    if pixels.dtype.names:  # RGB as a structure
        pixels = np.stack([pixels[n] for n in pixels.dtype.names[:3]])
        spacing = [None, *spacing]
    keep = [n != 1 for n in pixels.shape]
    spacing = [s for s, k in zip(spacing, keep, strict=False) if k]
    pixels = pixels.reshape([n for n in pixels.shape if n != 1])
    pixels, spacing = _without_channels(pixels, spacing, notes)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "buif":
        raise ValueError(
            f"{path.name} has shape {image.shape} of {pixels.dtype}; a B-scan (2 axes) or a stack "
            "of them (3 axes) of real numbers is needed: split or convert it"
        )
    pixels, spacing = pixels.T, spacing[::-1]
    pixels, spacing = _upright(pixels, spacing, notes)
    return [image_layer(pixels, "OCT (NIfTI)", Scale.of(spacing), notes=notes)]


def _label_map(path: Path, image: Any, pixels: NDArray[Any], notes: list[str]) -> LayerData | None:
    """Layer data of a label map that SPAD exported; None of any other file."""
    header = image.header
    ours = int(header.get("intent_code", 0)) == _LABEL and b"SPAD" in header["intent_name"].item()
    told = sidecar_of(path, pixels.T.shape, notes, of_name=not ours)
    if not (ours or told) or pixels.ndim > 3 or pixels.dtype.kind not in "ui":
        return None
    labels = pixels.T.reshape((1, 1, *pixels.T.shape)[-3:])
    if not ours:  # 3D Slicer's
        return label_layer(labels, told, notes)
    labels = labels.reshape(told.get("shape") or labels.shape[labels.shape[0] == 1 :])
    place = _place(path, image, told.get("spacing_mm", [None] * 3)[-labels.ndim :])
    return label_layer(labels, {"name": "labels (NIfTI)"} | told, notes, place)


def _place(path: Path, image: Any, spacing: Sequence[float | None]) -> dict[str, Any]:
    """Where the layer lay that `napari_spad.write` exported: the way back of its grid.

    Of some axes only the sidecar may know that they are in mm: a header has one unit for all.
    """
    axes = len(spacing)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    exact = [float(str(number)) for number in np.asarray(image.affine, np.float32).ravel()]
    affine = np.reshape(exact, (4, 4))  # 0.004, not what 32 bits make of it
    steps = (to_lps @ affine[:3, :3])[::-1, ::-1][3 - axes :, 3 - axes :]
    origin = (to_lps @ affine[:3, 3])[::-1][3 - axes :] + 0.0
    lengths = np.sqrt((steps**2).sum(0))
    if not (np.isfinite(affine).all() and lengths.all()):
        raise ValueError(f"{path.name}: its header gives its voxels no place; export it again")
    straight = np.array_equal(steps, np.diag(np.diag(steps))) and (np.diag(steps) > 0).all()
    in_mm = image.header.get_xyzt_units()[0] == "mm"
    units = ["mm" if in_mm or length else "pixel" for length in spacing]
    place = {"scale": np.diag(steps) if straight else lengths, "units": units}
    if straight:
        place["translate"] = origin
    else:
        place["affine"] = np.eye(axes + 1)
        place["affine"][:axes] = np.column_stack([steps / lengths, origin])
    return {**place, "axis_labels": AXES[-axes:]}


def _spacing(zooms: list[float], unit: str, notes: list[str]) -> list[float | None]:
    """Spacing of each axis in mm; None where the header does not say, or cannot mean it."""
    if unit not in _MM:
        notes.append("its header names no unit of length, so sizes are in pixels")
        return [None] * len(zooms)
    if all(z == 1 for z in zooms[:3]):
        notes.append(
            "its header gives 1 in each direction, which converters write when they do not know "
            "the spacing, so sizes are in pixels"
        )
        return [None] * len(zooms)
    return [z * _MM[unit] if z > 0 else None for z in zooms]


def _without_channels(
    pixels: NDArray[Any], spacing: list[float | None], notes: list[str]
) -> tuple[NDArray[Any], list[float | None]]:
    """Take one of three or four equal channels: a B-scan that was exported in colour."""
    for axis, length in enumerate(pixels.shape):
        if length in (3, 4) and pixels.ndim > 2:
            first, *others = np.moveaxis(pixels, axis, 0)
            if all(np.array_equal(first, other) for other in others[:2]):
                notes.append(f"{length} equal channels along axis {axis}: one is kept")
                return first, spacing[:axis] + spacing[axis + 1 :]
    return pixels, spacing


def _upright(
    pixels: NDArray[Any], spacing: list[float | None], notes: list[str]
) -> tuple[NDArray[Any], list[float | None]]:
    """Turn B-scans whose layers clearly run down the columns."""
    from spad.annotation import across

    stack = pixels.reshape(-1, *pixels.shape[-2:])
    few = stack[:: max(1, len(stack) // _LOOKED_AT)]
    tilt = float(np.median([across(np.nan_to_num(plane)) for plane in few]))
    ratio = f"{np.exp(abs(tilt)):.1f}"
    if tilt < -CLEAR:
        notes.append(
            f"turned: as stored, its layers run down the image (columns differ {ratio} times as "
            "much as rows), so rows and columns are exchanged. If that is wrong, exchange them "
            "back in the console: layer.data = layer.data.swapaxes(-1, -2)"
        )
        return np.swapaxes(pixels, -1, -2), [*spacing[:-2], spacing[-1], spacing[-2]]
    if tilt < CLEAR:
        notes.append(
            "which way its layers run cannot be told from the pixels (rows and columns differ "
            "alike); look whether they run from left to right; if not, type into the console: "
            "layer.data = layer.data.swapaxes(-1, -2)"
        )
    return pixels, spacing
