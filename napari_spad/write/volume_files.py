"""Writers for label layers as volumes: NIfTI, NRRD, and the segmentation file of 3D Slicer.

A single B-scan is written as a volume of one slice, which is what these formats ask for. Where the
pixels lie is said by `napari_spad.write.label_layer.Grid`; spacing whose unit is not known is
written as it is, without a unit (3D Slicer then takes it for millimetres).

``.seg.nrrd`` follows "Segmentation labelmap file format" of 3D Slicer's developer guide: one layer,
a segment for every structure, also for those that do not occur, so that they can be painted there.

Writers take what napari gives them, a path, the labels (array of int) and the layer's settings, and
give the files written; a ValueError says that a layer has more than three axes, or values below 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.write.label_layer import (
    Grid,
    classes_of,
    grid_of,
    layer_name,
    refuse_long_name,
    smallest,
    write_sidecar,
)
from spad.cases import replaced

__all__ = ["write_nifti", "write_nrrd", "write_seg_nrrd"]

COMPRESSION = 4
"""Label maps shrink no further with more, and take longer."""


def write_nifti(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer as NIfTI-1, ``.nii`` or ``.nii.gz``."""
    refuse_long_name(path)
    nibabel = _library("nibabel", "nibabel", ".nii")
    labels, grid = _volume(data, meta)
    to_ras = np.diag([-1.0, -1.0, 1.0])  # NIfTI's axes run to the right and to anterior
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ grid.directions.T
    affine[:3, 3] = to_ras @ grid.origin
    image = nibabel.Nifti1Image(labels.T, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm" if grid.in_mm else "unknown")
    image.header["descrip"] = b"SPAD label map, for research use only"
    image.header.set_intent("label", name="SPAD")
    with replaced(Path(path)) as file:
        nibabel.save(image, file)
    return [path, write_sidecar(path, np.asarray(data), meta)]


def write_nrrd(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer as NRRD."""
    labels, grid = _volume(data, meta)
    _save_nrrd(path, labels, grid, {})
    return [path, write_sidecar(path, np.asarray(data), meta)]


def write_seg_nrrd(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer as a segmentation of 3D Slicer, ``.seg.nrrd``."""
    labels, grid = _volume(data, meta)
    if labels.size == 1:
        raise ValueError(
            f"“{layer_name(meta)}” has a single pixel, which 3D Slicer takes for no image at all: "
            "save it as .nrrd"
        )
    found = np.unique(labels).tolist()
    fields = _segments(labels, [c for c in classes_of(meta, found) if c["value"] != 0])
    _save_nrrd(path, labels, grid, fields)
    return [path, write_sidecar(path, np.asarray(data), meta)]


def _volume(data: Any, meta: Mapping[str, Any]) -> tuple[NDArray[Any], Grid]:
    """Return the labels as (B-scan, row, column), and where they lie."""
    labels = smallest(np.asarray(data))
    if labels.ndim > 3:
        raise ValueError(
            f"“{layer_name(meta)}” has {labels.ndim} axes; a volume has three: export it as PNG "
            "in the tab Keep, a file for each B-scan"
        )
    if labels.dtype.itemsize > 4:
        raise ValueError(
            f"“{layer_name(meta)}” has the value {labels.max()}; these files hold values up to "
            f"{2**32 - 1}: renumber the labels"
        )
    grid = grid_of(meta, labels.ndim)
    return labels.reshape((1, *labels.shape)[-3:]), grid


def _save_nrrd(path: str, labels: NDArray[Any], grid: Grid, fields: Mapping[str, str]) -> None:
    refuse_long_name(path)
    nrrd = _library("nrrd", "pynrrd", ".nrrd")
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": grid.directions,
        "space origin": grid.origin,
        "encoding": "gzip",
    }
    if grid.in_mm:
        header["space units"] = ["mm"] * 3
    with replaced(Path(path)) as file:
        nrrd.write(
            str(file), labels, {**header, **fields}, index_order="C", compression_level=COMPRESSION
        )


def _segments(labels: NDArray[Any], classes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the fields that make a NRRD a segmentation: names, colours, extents by segment."""
    fields = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, one in enumerate(classes):
        color = " ".join(f"{level / 255:.6g}" for level in one["color"])
        fields |= {
            f"Segment{number}_ID": f"Segment_{one['value']}",
            f"Segment{number}_Name": _line(one["name"]),
            f"Segment{number}_NameAutoGenerated": "0",
            f"Segment{number}_Color": color,
            f"Segment{number}_ColorAutoGenerated": "0",
            f"Segment{number}_LabelValue": str(one["value"]),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Extent": _extent(labels == one["value"]),
            f"Segment{number}_Tags": f"SPAD.label:{one['value']}|",
        }
    return fields


def _extent(inside: NDArray[np.bool_]) -> str:
    """First and last index on each axis, columns first, as 3D Slicer has it; empty: 0 to -1."""
    bounds = []
    for axis in (2, 1, 0):
        at = np.flatnonzero(inside.any(tuple({0, 1, 2} - {axis})))
        bounds += [at[0], at[-1]] if len(at) else [0, -1]
    return " ".join(str(b) for b in bounds)


def _line(text: str) -> str:
    """Return the text as one line: a line break would end the header's field."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _library(module: str, package: str, suffix: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{suffix} files need the package {package}: pip install {package}, or save as .tif"
        ) from error
