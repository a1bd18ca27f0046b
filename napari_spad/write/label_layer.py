"""What the writers read of a label layer: values, classes, colours, spacing, where it lies.

A writer gets a layer's data and its settings (`meta`), not the layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers import FROM_LAYER, are_square, noted
from spad.cases import json_bytes, replaced
from spad.measuring import Scale
from spad.pictures import label_stem

__all__ = [
    "Grid",
    "classes_of",
    "grid_of",
    "layer_name",
    "palette",
    "refuse_long_name",
    "sidecar_of",
    "smallest",
    "spacing_mm",
    "write_sidecar",
]


def layer_name(meta: Mapping[str, Any]) -> str:
    """Name of the layer."""
    return str(meta.get("name", "labels"))


def smallest(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the same values in the smallest unsigned type that holds them."""
    if labels.size and labels.min() < 0:
        raise ValueError(f"the labels hold {labels.min()}; class values start at 0: change them")
    top = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(top), copy=False)


# ---------------------------------------------------------------------- where it lies


def _mm(meta: Mapping[str, Any], ndim: int) -> NDArray[np.float64]:
    """Millimetres of one unit of each of the last `ndim` axes, NaN where that is no length."""
    from pint import get_application_registry

    units = [str(u) for u in meta.get("units") or ()][-ndim:]
    if len(units) != ndim:
        return np.full(ndim, np.nan)
    registry: Any = get_application_registry()  # type: ignore[no-untyped-call]
    lengths = [registry.Quantity(1, unit) for unit in units]
    return np.array(
        [q.to("mm").magnitude if q.is_compatible_with("mm") else np.nan for q in lengths]
    )


def spacing_mm(meta: Mapping[str, Any], ndim: int) -> tuple[float | None, ...] | None:
    """Spacing of the last `ndim` axes in mm, None of one whose unit is no length.

    None where no axis has one, or a transform slants or stretches the pixels.
    """
    mm, scale = _mm(meta, ndim), meta.get("scale")
    if scale is None or np.isnan(mm).all():
        return None
    steps = np.abs(np.asarray(scale[-ndim:], float))
    grid = grid_of(meta, ndim)
    if not are_square(grid.directions[ndim - 1 :: -1], steps * np.where(np.isnan(mm), 1, mm)):
        return None
    return tuple(None if np.isnan(length) else float(length) for length in steps * mm)


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a volume lie, in the left-posterior-superior axes of medical files.

    A B-scan's columns run to the patient's left, its rows to posterior, the B-scans to superior:
    that is the grid that 3D Slicer gives the same B-scans as TIFF or PNG, and its axial view shows
    it upright, columns to the right and rows downwards. It says nothing of how the eye lay; label
    layers do not know that.

    Parameters
    ----------
    directions : array, (3, 3)
        One row an axis in the order column, row, B-scan: the step from one pixel to the next.
    origin : array, (3,)
        Centre of the first pixel.
    in_mm : bool
        Whether the numbers are millimetres along every axis; otherwise, along some, the layer's
        own, of unknown unit.
    """

    directions: NDArray[np.float64]
    origin: NDArray[np.float64]
    in_mm: bool


def grid_of(meta: Mapping[str, Any], ndim: int) -> Grid:
    """Scale, translate, rotation, shear and affine of a layer of `ndim` axes, 2 or 3.

    A single B-scan becomes a slice 1 thick at 0.
    """
    from napari.utils.transforms import CompositeAffine

    scale = meta.get("scale")
    own = len(scale) if scale is not None else ndim
    placed = CompositeAffine(
        scale=np.ones(own) if scale is None else scale,
        translate=meta.get("translate", np.zeros(own)),
        rotate=meta.get("rotate"),
        shear=meta.get("shear"),
        ndim=own,
    ).affine_matrix
    affine = meta.get("affine")
    if affine is not None:
        placed = np.asarray(getattr(affine, "affine_matrix", affine)) @ placed
    mm = _mm(meta, ndim)
    matrix = np.eye(4)
    last = slice(own - ndim, own)
    factor = np.where(np.isnan(mm), 1, mm)[:, None]
    matrix[3 - ndim : 3, 3 - ndim : 3] = placed[last, last] * factor
    matrix[3 - ndim : 3, 3] = placed[last, own] * factor[:, 0]
    return Grid(matrix[2::-1, 2::-1].T.copy(), matrix[2::-1, 3].copy(), not np.isnan(mm).any())


# ---------------------------------------------------------------------- what it means


def palette(meta: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the colours, (256, 3); values without one take that of undefined values."""
    colors = getattr(meta.get("colormap"), "color_dict", None)
    if colors is None and isinstance(meta.get("colormap"), Mapping):
        colors = meta["colormap"].get("color_dict")
    if not colors:  # a cyclic colour map: distinct greys
        return np.repeat((np.arange(256) * 97 % 256).astype(np.uint8)[:, None], 3, axis=1)
    out = np.empty((256, 3), np.uint8)
    out[:] = _rgb(colors.get(None))
    for value, color in colors.items():
        if value is not None and 0 <= value < 256:
            out[value] = _rgb(color)
    return out


def _rgb(color: Any) -> NDArray[np.uint8]:
    rgba = np.zeros(4) if color is None else np.asarray(color, float)
    rgb: NDArray[np.uint8] = np.round(rgba[:3] * (rgba[3] > 0) * 255).astype(np.uint8)
    return rgb


def classes_of(meta: Mapping[str, Any], found: Sequence[int]) -> list[dict[str, Any]]:
    """Return the classes, as `LabelClass.as_json` has them; each value in `found` has one.

    Those of the model that made the layer, else those that its features name.
    """
    known = noted(meta.get("metadata") or {}).get("classes")
    classes = {int(c["value"]): dict(c) for c in known or ()}
    names: dict[int, str] = {}
    features = meta.get("features")
    if features is not None and {"index", "name"} <= set(features) and not classes:
        for index, name in zip(features["index"], features["name"], strict=True):
            with suppress(ValueError, TypeError):  # a table of somebody else's
                names[int(index)] = str(name)
    colors = palette(meta)
    for value in {*names, *found} - set(classes):
        classes[value] = {
            "value": value,
            "name": names.get(value, f"class {value}"),
            "color": colors[value % 256].tolist(),
        }
    return [classes[value] for value in sorted(classes)]


def refuse_long_name(path: str) -> None:
    """Refuse a label image whose name, or whose sidecar's, is too long; nothing is written then."""
    from spad.cases import refuse_long_names

    refuse_long_names(Path(path), sidecar_of(Path(path)))


def sidecar_of(path: Path) -> Path:
    """The sidecar of a label image; those of one name in several formats share it."""
    return path.with_name(f"{label_stem(path)}.spad.json")


def write_sidecar(path: str, labels: NDArray[Any], meta: Mapping[str, Any]) -> str:
    """Write ``NAME.spad.json`` beside a label image; returns its path.

    Of the layer's metadata only what SPAD itself put there, and the annotator: the rest may name
    the patient.
    """
    from spad.cases import edited_pixels, sidecar

    metadata = meta.get("metadata") or {}
    known = noted(metadata)
    classes = classes_of(meta, np.unique(labels).tolist())
    by_hand = known.get("by_hand")
    if by_hand is not None and np.size(by_hand) != labels.size:
        by_hand = None  # others put other data into the layer
    if by_hand is not None:
        by_hand = np.asarray(by_hand).reshape(labels.shape)
    spacing = spacing_mm(meta, labels.ndim)
    slanted = spacing is None and np.isfinite(_mm(meta, labels.ndim)).any()
    if slanted:  # nobody is to measure by the reader's scale
        metadata = {key: value for key, value in metadata.items() if key != "scale"}
    elif "scale" in metadata and {"scale", "units"} <= {
        k for k, v in meta.items() if v is not None
    }:
        axes = min(labels.ndim, 3)
        steps = np.abs(np.asarray(meta["scale"][-axes:], float)) * _mm(meta, axes)
        now = Scale.from_json(metadata["scale"]).now(steps.tolist(), FROM_LAYER)
        metadata = {**metadata, "scale": now.as_json()}
    content = sidecar(
        labels=Path(path).name,
        image=known.get("image", layer_name(meta)),
        shape=labels.shape,
        spacing_mm=spacing,
        classes=classes,
        provenance=known.get("provenance", []),
        annotator=str(metadata.get("annotator", "")),
        edited=None if by_hand is None else edited_pixels(labels, by_hand, classes),
        facts={**metadata, "bscan_sizes": known.get("bscan_sizes")},
    )
    beside = sidecar_of(Path(path))
    with replaced(beside) as file:
        file.write_bytes(json_bytes(content))
    return str(beside)
