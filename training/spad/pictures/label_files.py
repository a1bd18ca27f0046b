"""Exported label maps: pictures, NIfTI, NRRD and segmentations of 3D Slicer, as class values.

What both hosts write (`napari_spad.write`, SPADLib's `write`) is read here, by nibabel and pynrrd.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import label_names, read_json
from spad.checkpoint import IGNORE, LabelClass, own_class
from spad.pictures.image_files import class_values, in_words, read_label_file, refuse_missing
from spad.pictures.limits import Refused, refuse_bomb, refuse_header
from spad.pictures.packed_files import refuse_cut_gzip, refuse_cut_nrrd

__all__ = ["LABELS", "label_stem", "read_labels", "told_names"]

LABELS = (".seg.nrrd", ".nii.gz", ".nrrd", ".nii", ".tiff", ".tif", ".png")
"""Names of exported label maps end so (in either case); the longer of two that fit comes first."""
_SLANT, _OFF_PX = 1e-3, 0.05  # by so much, in voxels, may a segmentation's grid differ
_TAG = re.compile(r"(?:^|\|)SPAD\.label:(\d+)(?=\||$)")


def label_stem(path: Path) -> str:
    """File name without its extension, which may have two parts."""
    suffix = next((s for s in LABELS if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)]


def read_labels(path: Path, told: Any = None) -> tuple[NDArray[np.uint8], tuple[LabelClass, ...]]:
    """Read an exported label map.

    Parameters
    ----------
    path : Path
        One of `LABELS`.
    told : JSON value, optional
        What the sidecar beside it holds: its classes may be more than a segmentation still has
        segments of, and its shape less than a segmentation reaches over.

    Returns
    -------
    labels : array of uint8, (H, W), (Z, H, W), or (K, J, I) of a volume
        Class values, as they stand in the file; of a segmentation those that SPAD gave its
        segments, on the image's grid.
    own : tuple of LabelClass
        Segments of the person's own in a segmentation: their names, and values that no class has.

    Raises
    ------
    ValueError
        Another kind of file, a damaged one, overlapping segments, or no class values.
    OSError
        There is no such file, or it cannot be opened.
    ImportError
        nibabel or pynrrd is missing; with how to install it.
    """
    name = path.name.lower()
    if not name.endswith(LABELS):
        raise ValueError(f"{path}: is none of {', '.join(LABELS)}; export the result as one")
    if name.endswith((".tiff", ".tif", ".png")):
        return read_label_file(path, stack=True), ()
    refuse_missing(path)
    with in_words(path):
        if name.endswith((".nii", ".nii.gz")):
            array = _nifti(path)
        else:
            array, header = _nrrd(path)
            if name.endswith(".seg.nrrd"):
                return _segmentation(array, header, told if isinstance(told, dict) else {})
    if array.ndim not in (2, 3):
        raise ValueError(
            f"{path}: has shape {array.shape}, not one label map or a stack of them; export it so"
        )
    return class_values(path, array), ()


def told_names(path: Path) -> dict[int, str]:
    """Names of a label map's values, by its sidecar or else by its case folder; empty: none tells.

    Parameters
    ----------
    path : Path
        Beside ``NAME.spad.json``, or in the folder ``masks`` of a case folder.
    """
    try:
        told = read_json(path.with_name(f"{label_stem(path)}.spad.json"))
        found = {int(one["value"]): str(one["name"]) for one in told["classes"]}
        return {value: name for value, name in found.items() if 0 <= value < IGNORE}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        names = path.parent.parent / "labels.json"
        there = path.parent.name == "masks" and names.is_file()
        return label_names(names, []) if there else {}


def _nifti(path: Path) -> NDArray[Any]:
    nibabel = _library("nibabel", "nibabel", path)
    image = nibabel.load(path)
    refuse_bomb(math.prod(image.shape) * int(image.header["bitpix"]) // 8, path.stat().st_size)
    refuse_header(int(image.dataobj.offset), int(image.header.sizeof_hdr))
    if path.name.lower().endswith(".gz"):
        refuse_cut_gzip(path)
    array = np.asanyarray(image.dataobj)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    turned: NDArray[Any] = array.T
    return turned


def _nrrd(path: Path) -> tuple[NDArray[Any], Mapping[str, Any]]:
    nrrd = _library("nrrd", "pynrrd", path)
    header = nrrd.read_header(str(path))
    refuse_bomb(math.prod(map(int, header["sizes"])), path.stat().st_size)
    refuse_cut_nrrd(path)
    array, header = nrrd.read(str(path), index_order="C")
    return array, header


def _library(module: str, package: str, path: Path) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{path}: to read it needs {package} ({error}): pip install {package}, or export the "
            "result as TIFF"
        ) from error


@dataclass(frozen=True)
class _Segment:
    """A segment as the header tells of it; `known` is the class that SPAD gave it."""

    value: int
    layer: int
    name: str
    color: tuple[int, int, int]
    known: int | None


def _segmentation(
    array: NDArray[Any], header: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[NDArray[np.uint8], tuple[LabelClass, ...]]:
    """Class values of segments that lie in one label map or, as layers (K, J, I, N), in several."""
    layers = array[..., None] if array.ndim == 3 else array
    segments, classes = list(_segments(header)), _classes(told)
    values = [s.known for s in segments] + [one.get("value") for one in classes]
    free = 1 + max([0, *(value for value in values if type(value) is int)])
    labels = np.zeros(layers.shape[:3], np.uint8)
    own: list[LabelClass] = []
    names = [one.name for one in segments if one.known is not None]
    names += [str(one.get("name")) for one in classes]
    for one in segments:
        value = one.known
        if value is None:
            value, free = free, free + 1
            own.append(own_class(value, one.name, one.color, names))
            names.append(own[-1].name)
        inside = layers[..., one.layer] == one.value
        if labels[inside].any():
            raise Refused(
                f"has segments that overlap (“{one.name}” and another), so their sizes would count "
                "twice; export it as .nrrd or .nii.gz, where the last one counts"
            )
        labels[inside] = value
    return _on_image(labels, header, told), tuple(own)


def _classes(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A sidecar's classes; what is odd in it is told by whoever goes by it."""
    classes = told.get("classes")
    return [one for one in classes if isinstance(one, dict)] if isinstance(classes, list) else []


def _on_image(
    labels: NDArray[np.uint8], header: Mapping[str, Any], told: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Labels on the image's grid: a segment that reaches beyond it makes the file's larger."""
    shape = told.get("shape")
    try:
        image = np.asarray(told["ijk_to_ras"], float)
        whole = [int(n) for n in shape] if isinstance(shape, list) else []
        start = _place(header, image)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):  # not told: as it is
        return labels
    if start is None:
        raise Refused(
            "lies on a grid of its own (Specify geometry in Segment Editor), so its pixels are not "
            "those of B-scans; save it as .nrrd or .nii.gz, which are on the image's grid"
        )
    region = tuple(slice(a, a + n) for a, n in zip(start, whole, strict=False))
    if min(start) < 0 or list(labels[region].shape) != whole:
        return labels  # it was cropped, as its shape tells
    return labels[region]


def _place(header: Mapping[str, Any], image: NDArray[np.float64]) -> list[int] | None:
    """Voxel (k, j, i) of a file at which its image begins; None: their grids are not one."""
    flip = np.diag([1, 1, 1] if "right-anterior" in str(header["space"]) else [-1, -1, 1])
    axes = np.asarray(header["space directions"], float)
    axes = flip @ axes[np.isfinite(axes).all(1)].T
    origin = flip @ np.asarray(header["space origin"], float)
    step = np.linalg.solve(image[:3, :3], axes)
    begin = np.linalg.solve(image[:3, :3], origin - image[:3, 3])
    if np.abs(step - np.eye(3)).max() > _SLANT or np.abs(begin - begin.round()).max() > _OFF_PX:
        return None
    return [-int(n) for n in reversed(begin.round())]


def _segments(header: Mapping[str, Any]) -> Iterator[_Segment]:
    """Segments in their order. One stands for a class: a copy, tag and all, is the person's own."""
    known = {}
    for number in (every := range(_count(header))):
        tag = _TAG.search(str(header.get(f"Segment{number}_Tags", "")))
        name = header.get(f"Segment{number}_ID")
        if tag and (tag[1] not in known or name in (f"SPAD_{tag[1]}", f"Segment_{tag[1]}")):
            known[tag[1]] = number
    known_as = {number: int(value) for value, number in known.items()}
    for number in every:
        color = [float(x) for x in str(header.get(f"Segment{number}_Color", "1 1 1")).split()]
        yield _Segment(
            int(header.get(f"Segment{number}_LabelValue", 1)),
            int(header.get(f"Segment{number}_Layer", 0)),
            str(header[f"Segment{number}_Name"]),
            (round(255 * color[0]), round(255 * color[1]), round(255 * color[2])),
            known_as.get(number),
        )


def _count(header: Mapping[str, Any]) -> int:
    """How many segments a header tells of."""
    return next(n for n in itertools.count() if header.get(f"Segment{n}_Name") is None)
