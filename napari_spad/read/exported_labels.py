"""Label maps that SPAD exported from any host, with names, colours and scale by their sidecar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers import class_features, colormap
from napari_spad.read.opened_layers import LayerData, NamedValue, placed
from spad.cases import Layout, file_error, read_json, runs_of
from spad.checkpoint import IGNORE, LabelClass
from spad.measuring import Scale
from spad.pictures import label_stem, read_labels

__all__ = ["exported_labels", "label_file", "label_layer", "sidecar_of"]

_FACTS = ("scale", "eye", "fovea", "first")


def sidecar_of(
    path: Path,
    shape: tuple[int, ...],
    notes: list[str],
    *,
    of_name: bool,
    own: Sequence[LabelClass] = (),
) -> dict[str, Any]:
    """What the sidecar beside a label map tells; nothing where there is none, or it is of another.

    Parameters
    ----------
    path : Path
        Of the label map.
    shape : tuple of int
        Its array's.
    notes : list of str
        Takes what a person should know.
    of_name : bool
        It has to name this very file; else one that was exported with it will do.
    own : sequence of LabelClass
        More classes, of the file itself.
    """
    beside = path.with_name(f"{label_stem(path)}.spad.json")
    if not beside.is_file():
        return {}
    try:
        told = read_json(beside)
        if of_name and told["labels"] != path.name:
            return {}
        known = [n for n in told["shape"] if n != 1] == [n for n in shape if n != 1]
        if not known or len(told["shape"]) not in (2, 3):
            raise ValueError(f"it tells of shape {told['shape']}")
        classes: list[Any] = []
        for one in told["classes"]:
            red, green, blue = map(int, one["color"])
            if not 0 <= one["value"] <= IGNORE:
                raise ValueError(f"it gives a structure the value {one['value']}")
            classes.append(NamedValue(int(one["value"]), str(one["name"]), (red, green, blue)))
        classes += own
        layout = str(told.get("layout") or "k")
        facts = {k: v for k, v in (told.get("facts") or {}).items() if k in _FACTS}
        made = {"image": told["image"], "classes": [*told["classes"], *(c.as_json() for c in own)]}
        if runs := _runs(told, layout):  # else no model made it
            made["provenance"] = runs
        if "bscan_sizes" in (told.get("facts") or {}):
            made["bscan_sizes"] = told["facts"]["bscan_sizes"]
        spacing = [None if mm is None else float(mm) for mm in told.get("spacing_mm") or ()]
        looks = {"features": class_features(classes), "colormap": colormap(classes)}
    except (OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = file_error(error)
        notes.append(f"{beside.name} is left out, which is odd or of another file ({why})")
        return {}
    return {
        "name": f"{made['image']} – labels",
        "shape": told["shape"],
        "spacing_mm": ([None] * 3 + spacing)[-3:],
        "layout": layout,
        "looks": looks,
        "metadata": {"spad": made, "annotator": str(told.get("annotator", "")), **facts},
    }


def _runs(told: Mapping[str, Any], layout: str) -> list[Mapping[str, Any]]:
    """The run of each B-scan, as a layer's metadata have it; other hosts tell of several at once.

    Their hash is of all the B-scans of a run, so it is not that of the one.
    """
    shape, made = told["shape"], told["provenance"]
    depth = int(Layout.of(layout).order((1, *shape)[-3:])[0])
    if isinstance(made, list) and all(isinstance(r, dict) and "bscan" in r for r in made):
        return made
    out: list[Mapping[str, Any]] = []
    for z, run in sorted(runs_of(made, depth).items()):
        place = [] if depth == 1 else [z]
        kept = {k: v for k, v in run.items() if k not in ("bscans", "left_empty")}
        if depth > 1 and "image_sha256" in kept:
            kept["stack_sha256"] = kept.pop("image_sha256")
        out.append({"bscan": place, **kept})
    return out


def label_layer(
    labels: NDArray[Any],
    told: Mapping[str, Any],
    notes: Sequence[str],
    place: Mapping[str, Any] | None = None,
) -> LayerData:
    """Layer data of a label map that SPAD exported.

    Parameters
    ----------
    labels : array of integers, shape (H, W), (Z, H, W), or of a volume that the sidecar turns
    told : mapping
        What `sidecar_of` gave.
    notes : sequence of str
    place : mapping, optional
        Where the layer lies, of B-scans as they are; by default as the sidecar tells: a volume of
        3D Slicer's as this module opens it itself.
    """
    if place is None:
        layout = Layout.of(told["layout"])
        labels = layout.stack(labels.reshape((1, 1, *labels.shape)[-3:]))
        labels = labels.reshape(labels.shape[labels.shape[0] == 1 :])
        scale = Scale.of(layout.order(told["spacing_mm"])[-labels.ndim :])
        if "scale" in told["metadata"]:
            scale = Scale.from_json(told["metadata"]["scale"])
        place = placed(scale, labels.ndim)
    metadata = dict(told.get("metadata", {}))
    if notes:
        metadata["notes"] = list(notes)
    settings = {"name": told["name"], "metadata": metadata, "opacity": 0.5}
    return (np.array(labels), settings | told.get("looks", {}) | dict(place), "labels")


def label_file(sidecar: Path) -> Path:
    """The label map that a sidecar is beside.

    Raises
    ------
    ValueError, OSError
        It is no sidecar, or cannot be read.
    """
    told = read_json(sidecar)
    if not (isinstance(told, dict) and isinstance(told.get("labels"), str)):
        raise ValueError(f"{sidecar.name} names no label map; export the result again")
    return sidecar.with_name(Path(told["labels"]).name)


def exported_labels(path: Path) -> list[LayerData]:
    """Layer of an exported label map, of its sidecar's names, colours and scale.

    Raises
    ------
    ValueError, OSError, ImportError
        As `spad.pictures.read_labels`; also where the sidecar is missing, or of another file.
    """
    try:
        beside = read_json(path.with_name(f"{label_stem(path)}.spad.json"))
    except (OSError, ValueError):  # told below
        beside = None
    labels, own = read_labels(path, beside)
    notes: list[str] = []
    told = sidecar_of(path, labels.shape, notes, of_name=True, own=own)
    if not told:
        sidecar = f"{label_stem(path)}.spad.json"
        why = notes[0] if notes else f"{path.name} has no {sidecar} beside it that names it"
        raise ValueError(f"{why}; export the result again, or copy both files together")
    return [label_layer(labels, told, notes)]
