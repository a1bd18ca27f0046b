"""Saved results back into a scene: on the volume that they were made of, or as segments alone.

What a file says may be damaged: what it lacks is left out, and the labels come all the same.
"""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.autosave import AutosavedLayer, Loaded
from spad.cases import Layout, file_error
from spad.checkpoint import IGNORE, NOTICE, LabelClass, label_classes
from SPADLib.keep.saved_result import ATTRIBUTES, fingerprint
from SPADLib.scene import (
    Result,
    array_of,
    class_segments,
    guessed_layout,
    make_nodes,
    nodes_of,
    segment_id,
    write_segments,
)

__all__ = ["as_segments", "on_volume", "volume_of"]

CHECKED = ("SPAD.classes", "SPAD.layout")
"""Attributes without which a segmentation is no result: made anew from what could be read."""


def volume_of(details: dict[str, Any], scene: Any, only: Any = None) -> Any:
    """The volume of a scene with the pixels that a result was made of; None where there is none.

    Parameters
    ----------
    details : dict
        Of the header.
    scene : vtkMRMLScene
    only : vtkMRMLVolumeNode, optional
        Look at this one alone.
    """
    told = details.get("fingerprint")
    every = nodes_of(scene, "vtkMRMLScalarVolumeNode")  # colour volumes are, too
    volumes = every if only is None else [only]
    for volume in volumes if told else ():
        try:
            alike = list(array_of(volume).shape[:3]) == details.get("grid")
            if alike and fingerprint(volume) == told:
                return volume
        except ValueError:  # it has no pixels
            continue
    return None


def on_volume(loaded: Loaded, folder: Any, volume: Any) -> Result:
    """Make a result again: labels, what was by hand, uncertainty, samples, reviews, own segments.

    Parameters
    ----------
    loaded : Loaded
    folder : Path
        Where it was loaded from.
    volume : vtkMRMLVolumeNode
        By `volume_of`.

    Raises
    ------
    ValueError
        Its size is another one.
    """
    labels = loaded.labels.astype(np.uint8)
    for z in _lost(loaded):
        labels[z] = loaded.model[z,].written
    layout = _layout(loaded, guessed_layout(volume)[0])
    if layout.stack(array_of(volume)).shape[:3] != labels.shape:
        raise ValueError(
            f"“{loaded.header['name']}” has B-scans of {labels.shape}, “{volume.GetName()}” of "
            f"{layout.stack(array_of(volume)).shape[:3]}: recover it without the image"
        )
    doubt, model = np.zeros(labels.shape, np.float16), loaded.header["model"] or "recovered"
    for (z,), part in loaded.model.items():
        doubt[z] = part.uncertainty
    checkpoint = {"checkpoint": {"name": model}}
    run = SimpleNamespace(
        labels=labels, uncertainty=doubt, classes=_classes(loaded), provenance=checkpoint
    )
    free = _free_name(loaded, volume.GetScene())
    node = make_nodes(volume, layout, run, 0)
    node.SetName(free)
    for name, text in _attributes(loaded).items():
        if name not in CHECKED:
            node.SetAttribute(name, text)
    result = Result(node)
    proposal = result.proposal()
    for z in range(len(labels)):
        made = loaded.model.get((z,))
        if made is not None:
            proposal[z] = made.written
            if made.packed is not None and made.packed.shape[1:] == labels.shape[1:]:
                result.samples[z] = made.packed.samples()
        else:  # that it was by hand is known, and not what the model had said
            proposal[z][loaded.by_hand[z] != 0] = IGNORE
    slicer.util.arrayFromVolumeModified(node.GetNodeReference("SPAD.proposal"))
    _call_again(loaded, node)
    _add_own(loaded, folder, node, layout, volume)
    return result


def as_segments(loaded: Loaded, folder: Any, scene: Any) -> Any:
    """Make a segmentation where the image is not at hand; the segmentation's node.

    It lies where the image lay.
    """
    labels = loaded.labels.astype(np.uint8)
    layout = _layout(loaded, Layout())
    grid = np.ascontiguousarray(layout.volume(labels))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _free_name(loaded, scene))
    node.CreateDefaultDisplayNodes()
    node.SetAttribute("SPAD.notice", NOTICE)
    like = slicer.vtkMRMLScalarVolumeNode()  # never in the scene: it only tells the geometry
    slicer.util.updateVolumeFromArray(like, grid)
    like.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_matrix(loaded)))
    write_segments(node, grid, class_segments(_classes(loaded), tagged=False), like)
    _call_again(loaded, node)
    _add_own(loaded, folder, node, layout, like)
    return node


def _lost(loaded: Loaded) -> list[int]:
    """B-scans whose labels could not be read, where what the model had said of them can."""
    damaged = {file.name.split(".")[0] for file in loaded.damaged}
    return [z for (z,) in loaded.model if f"b-{z:04d}" in damaged]


def _add_own(loaded: Loaded, folder: Any, node: Any, layout: Layout, like: Any) -> None:
    """Add the segments that the person had added; each that cannot be read is told."""
    every = loaded.header["details"].get("own")
    for one in every if isinstance(every, list) else ():
        try:
            name, color = str(one["name"]), [float(level) for level in one["color"]]
            back = AutosavedLayer(folder / str(one["folder"])).load()
            loaded.problems += [f"“{name}”: {text}" for text in back.problems]
            segment = slicer.vtkSegment()
            segment.SetName(name)
            segment.SetColor(*color)
            segment.SetLabelValue(1)
            segment.SetNameAutoGenerated(False)
            if code := str(one.get("terminology") or ""):
                segment.SetTag(segment.GetTerminologyEntryTagName(), code)
            labels = np.ascontiguousarray(layout.volume(back.labels.astype(np.uint8)))
            inner = node.GetSegmentation()
            write_segments(node, labels, [(inner.GenerateUniqueSegmentID(name), segment)], like)
        except Exception as error:  # of anything: it costs no other
            loaded.problems.append(
                f"a segment of your own could not be read back ({file_error(error)})"
            )


def _call_again(loaded: Loaded, node: Any) -> None:
    """Give structures their segments' names and colours; segments that were removed stay so."""
    details, inner = loaded.header["details"], node.GetSegmentation()
    every, removed = details.get("called"), details.get("removed")
    for value in removed if isinstance(removed, list) else ():
        inner.RemoveSegment(segment_id(value))
    for one in every if isinstance(every, list) else ():
        with suppress(KeyError, TypeError, ValueError):
            called = LabelClass(one["value"], one["name"], tuple(one["color"]))
            if (segment := inner.GetSegment(segment_id(called.value))) is not None:
                segment.SetName(called.name)
                segment.SetColor(*(level / 255 for level in called.color))


def _attributes(loaded: Loaded) -> dict[str, str]:
    found = loaded.header["details"].get("attributes")
    every = found.items() if isinstance(found, dict) else ()
    return {n: t for n, t in every if n.startswith(ATTRIBUTES) and isinstance(t, str)}


def _layout(loaded: Loaded, otherwise: Layout) -> Layout:
    try:
        return Layout.of(_attributes(loaded).get("SPAD.layout", ""))
    except ValueError:
        return otherwise


def _matrix(loaded: Loaded) -> NDArray[np.float64]:
    try:
        found = np.array(loaded.header["details"]["ijk_to_ras"], np.float64)
    except (KeyError, TypeError, ValueError):
        return np.eye(4)
    good = found.shape == (4, 4) and np.isfinite(found).all() and abs(np.linalg.det(found)) > 0
    return found if good else np.eye(4)


def _classes(loaded: Loaded) -> tuple[LabelClass, ...]:
    """What the header says, with a class for each value that it does not name."""
    said = {
        c["value"]: LabelClass(c["value"], c["name"], tuple(c["color"]), c.get("terminology"))
        for c in loaded.header["classes"]
    }
    top = max([1, int(loaded.labels.max(initial=0)), *said])
    names = ["background", *(f"class {value}" for value in range(1, top + 1))]
    return tuple(said.get(c.value, c) for c in label_classes(names))


def _free_name(loaded: Loaded, scene: Any) -> str:
    name = loaded.header["name"]
    taken = scene.GetFirstNodeByName(name) is not None
    return str(scene.GenerateUniqueName(f"{name} (recovered)") if taken else name)
