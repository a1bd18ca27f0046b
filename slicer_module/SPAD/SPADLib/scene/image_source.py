"""What may be segmented: a volume of the scene as B-scans, or why not, in words.

And whether it still is what a result was made of: its pixels are known by their hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.cases import Layout, pixel_digest, stack_sha256
from SPADLib.scene.bscan_layout import guess
from SPADLib.scene.grid import lay_on, lies_on, mend_geometry
from SPADLib.scene.result_nodes import FOVEA, PROPOSAL, UNCERTAINTY, made_by_spad
from SPADLib.scene.volumes import (
    array_of,
    directions_of,
    from_world,
    ijk_to_ras,
    kept_scale,
    known_mm,
    nodes_of,
    put_where,
    spacing_of,
    to_world,
)

__all__ = [
    "Source",
    "dicom_modality",
    "follow_volume",
    "guessed_layout",
    "note_order",
    "open_image",
    "open_source",
    "refuse_replaced",
    "turn_back",
    "whereabouts",
]

_FIRST = "SPAD.first"
"""Attribute of a volume: the hash of its first slice, of an array (K, J, I)."""
PHOTOMETRIC, MODALITY = "0028,0004", "0008,0060"


@dataclass(frozen=True)
class Source:
    """A volume as the engine reads it.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode
    layout : Layout
    stack : array, shape (Z, H, W) or (Z, H, W, 3)
        A view of the volume's memory.
    rgb, inverted : bool
        As of `Segmenter.steps`.
    spacing_mm : (B-scan, row, column), optional
        None where rows or columns have 1 mm by default, which says nothing.
    said : str
        A word on what becomes of the pixels; empty where there is nothing to say.
    """

    volume: Any
    layout: Layout
    stack: NDArray[Any]
    rgb: bool
    inverted: bool
    spacing_mm: tuple[float, float, float] | None
    said: str = ""

    @property
    def depth(self) -> int:
        """How many B-scans there are."""
        return int(self.stack.shape[0])

    def shows(self, runs: Sequence[Mapping[str, Any]]) -> bool:
        """Whether each B-scan has the pixels that the last of some runs on it noted.

        Parameters
        ----------
        runs : sequence of mapping
            As `Result.provenance`; what notes no hash says nothing of its B-scans.
        """
        return all(
            told in _hashes(self.stack[first : first + count])
            for first, count, told in _noted(runs, self.depth)
        )


def _noted(runs: Sequence[Mapping[str, Any]], depth: int) -> Iterator[tuple[int, int, str]]:
    """First B-scan, number of B-scans and hash, of runs that were the last on one of theirs."""
    later: set[int] = set()
    for run in reversed(runs):
        match run:
            case {"bscans": [int(first), int(count)], "image_sha256": str(told)}:
                mine = set(range(first, first + count))
                if told and first >= 0 and first + count <= depth and mine - later:
                    yield first, count, told
            case {"bscans": [int(first), int(count)]}:
                mine = set(range(first, first + count))
            case _:  # a scene may come from anywhere
                continue
        later |= mine


def _hashes(part: NDArray[Any]) -> Iterator[str]:
    """SHA-256 of B-scans, as runs note it: of one, of several, and as version 0.1 did."""
    empty = [part.dtype.kind == "f" and not np.isfinite(one).all() for one in part]
    read = [one for one, left in zip(part, empty, strict=True) if not left]
    digests = [pixel_digest(one) for one in read]
    yield stack_sha256(digests)
    if len(digests) == 1:
        yield digests[0].hex()
    yield pixel_digest(part).hex()


def open_image(result: Any, *, to_show: bool = False) -> Source:
    """Open the volume of a result as the model saw it last.

    Parameters
    ----------
    result : Result
    to_show : bool
        Only to look at: it may be another image by now.

    Raises
    ------
    ValueError
        Its pixels were replaced since.
    """
    made = result.provenance
    inverted = made[-1].get("inverted") if made else None
    source = open_source(result.volume, result.layout, inverted=inverted)
    if not to_show:
        refuse_replaced(source, result)
    return source


def refuse_replaced(source: Source, result: Any, *, remedy: str = "") -> None:
    """Refuse to go on with other pixels than a result (`Result`) was made of.

    Raises
    ------
    ValueError
        The pixels were replaced.
    """
    if not source.shows(result.provenance):
        do = remedy or "segment the volume anew, or load the new pixels as a volume of their own"
        raise ValueError(
            f"the pixels of “{source.volume.GetName()}” were replaced since "
            f"“{result.segmentation.GetName()}” was made of them: {do}"
        )


def whereabouts(volume: Any) -> tuple[Any, ...]:
    """What changes where a volume is moved or scaled, or has other pixels."""
    image = volume.GetImageData()
    return (
        ijk_to_ras(volume).tobytes(),
        volume.GetTransformNodeID(),
        0 if image is None else image.GetMTime(),
    )


def follow_volume(result: Any) -> bool:
    """Lay a result on its volume again, pixel by pixel, where that was moved or scaled since.

    So labels stay right where the spacing is set right after a run, or the volume is centred, or
    put under a transform alone. A segmentation that was moved along lies where it should. Where the
    pixels were replaced too, nobody knows what belongs to what, and nothing is moved.

    Parameters
    ----------
    result : Result

    Returns
    -------
    bool
        Whether it was laid anew.
    """
    segmentation, volume = result.segmentation, result.volume
    mend_geometry(segmentation, volume)
    nodes = [segmentation.GetNodeReference(role) for role in (PROPOSAL, UNCERTAINTY)]
    if None in nodes or all(_together(volume, node) for node in nodes):
        return False
    was = ijk_to_ras(nodes[0])
    moved = not lies_on(segmentation, was, volume)
    if moved and not open_image(result, to_show=True).shows(result.provenance):
        return False
    if moved or segmentation.GetTransformNodeID() != volume.GetTransformNodeID():
        if not lay_on(segmentation, was, volume):
            return False
        _carry_fovea(segmentation.GetNodeReference(FOVEA), nodes[0], volume)
    for node in nodes:
        put_where(node, volume)
    return moved


def note_order(volume: Any) -> None:
    """Note with a volume which slice is its first: something goes by the order, and no result."""
    volume.SetAttribute(_FIRST, pixel_digest(array_of(volume)[0]).hex())


def turn_back(found: Sequence[Any], volumes: Sequence[Any] = ()) -> None:
    """Turn volumes and what was made of them round along k again, where reading a scene did so.

    Slicer reads a volume with left-handed axes (one that was mirrored, say) with its slices in the
    reverse order. Nothing moves in the world, but B-scans would have other numbers than before.

    Parameters
    ----------
    found : sequence of Result
        Of the scene.
    volumes : sequence of vtkMRMLVolumeNode
        Also these, where their order was noted (`note_order`).
    """
    turned = [volume for volume in volumes if _is_reversed(volume)]
    for volume in turned:
        _turn(volume)
    for result in found:
        try:
            source, made = open_image(result, to_show=True), result.provenance
        except ValueError:  # it is told where it is worked on
            continue
        back = source.layout.stack(array_of(result.volume)[::-1])
        if not source.shows(made) and replace(source, stack=back).shows(made):
            _turn(result.volume)
            turned.append(result.volume)
        if result.volume in turned:
            for role in (PROPOSAL, UNCERTAINTY):
                _turn(result.segmentation.GetNodeReference(role))


def _is_reversed(volume: Any) -> bool:
    told, image = volume.GetAttribute(_FIRST), volume.GetImageData()
    if not told or image is None or not image.GetNumberOfPoints():
        return False
    first, last = (pixel_digest(array_of(volume)[k]).hex() for k in (0, -1))
    return bool(told == last != first)


def _turn(volume: Any) -> None:
    array, matrix = array_of(volume), ijk_to_ras(volume)
    array[:] = array[::-1].copy()
    matrix[:3, 3] += matrix[:3, 2] * (len(array) - 1)
    matrix[:3, 2] *= -1
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    slicer.util.arrayFromVolumeModified(volume)


def _together(one: Any, other: Any) -> bool:
    alike = np.allclose(ijk_to_ras(one), ijk_to_ras(other), rtol=0, atol=1e-6)
    return bool(alike) and one.GetTransformNodeID() == other.GetTransformNodeID()


def _carry_fovea(node: Any, before: Any, volume: Any) -> None:
    """Keep the fovea's point on the pixel where it was."""
    for n in range(0 if node is None else node.GetNumberOfControlPoints()):
        ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(n, ras)
        there = to_world(from_world(np.array([ras]), before), volume)[0]
        node.SetNthControlPointPositionWorld(n, *there)


def open_source(volume: Any, layout: Layout, *, inverted: bool | None = None) -> Source:
    """Open a volume for segmenting.

    Parameters
    ----------
    volume : vtkMRMLVolumeNode or None
    layout : Layout
    inverted : bool, optional
        High values are dark; if None, as DICOM (MONOCHROME1) or else the volume's display says.

    Raises
    ------
    ValueError
        Not an image of one grey value or one colour a pixel.
    """
    if volume is None:
        raise ValueError("No volume is chosen: load an image, then choose it as Input volume")
    name = volume.GetName()
    if volume.IsA("vtkMRMLSequenceNode") or volume.IsA("vtkMRMLSequenceBrowserNode"):
        raise ValueError(
            f"“{name}” is a sequence of volumes: show the frame to segment, clone it in the Data "
            "module (right click, Clone), and choose the copy"
        )
    if (browser := _browser_of(volume)) is not None:
        raise ValueError(
            f"“{name}” is a frame of the sequence “{browser.GetName()}” and changes while it "
            "plays: clone it in the Data module (right click, Clone), and choose the copy"
        )
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ValueError(
            f"“{name}” is a label map, not an image: choose the volume that it was drawn on, and "
            "this one as the reference of Scores"
        )
    if what := made_by_spad(volume):
        raise ValueError(
            f"“{name}” is {what} that SPAD made, not an image: choose the volume that was segmented"
        )
    if not volume.IsA("vtkMRMLScalarVolumeNode"):
        raise ValueError(f"“{name}” is a {volume.GetNodeTagName()}, not a volume: choose a volume")
    array = array_of(volume)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    channels = array.shape[3] if array.ndim == 4 else 1
    if channels not in (1, 3, 4) or (channels > 1 and _is_diffusion(volume)):
        raise ValueError(
            f"“{name}” has {channels} values a pixel; a model takes one grey value or one colour "
            "(3 or 4): extract one component, for example in Vector to Scalar Volume"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"“{name}” holds {array.dtype} pixels, not real numbers: convert it")
    said = ""
    if channels > 1:
        said = f"“{name}” is a colour image: the model sees its luminance"
    return Source(
        volume,
        layout,
        layout.stack(array),
        channels > 1,
        _is_inverted(volume) if inverted is None else inverted,
        None if None in known_mm(volume, layout)[1:] else layout.order(spacing_of(volume)),
        said,
    )


def guessed_layout(volume: Any) -> tuple[Layout, str]:
    """Guess how the B-scans lie in a volume, and why so.

    Raises
    ------
    ValueError
        It has no pixels.
    """
    shape = array_of(volume).shape[:3]
    read = kept_scale(volume) is not None  # by us, with the B-scans along k
    return guess(shape, spacing_of(volume), directions_of(volume), stacked=read)


def dicom_modality(volume: Any) -> str:
    """DICOM's code of how a volume was taken, such as "OPT" or "DX"; empty where it is unknown."""
    return _dicom(volume, MODALITY)


def _dicom(volume: Any, tag: str) -> str:
    """Value of a tag of the first image that a volume was loaded from, by Slicer's database."""
    uids = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return ""
    return str(database.instanceValue(uids[0], tag) or "").strip()


def _is_inverted(volume: Any) -> bool:
    """Whether high values are dark: as DICOM says, else as the volume is shown."""
    if said := _dicom(volume, PHOTOMETRIC):
        return said == "MONOCHROME1"
    display = volume.GetDisplayNode()
    color = None if display is None else display.GetColorNode()
    return color is not None and color.GetTypeAsString() == "InvertedGrey"


def _browser_of(volume: Any) -> Any:
    """The sequence browser that plays into a volume."""
    for browser in nodes_of(volume.GetScene(), "vtkMRMLSequenceBrowserNode"):
        if browser.IsProxyNodeID(volume.GetID()):
            return browser
    return None


def _is_diffusion(volume: Any) -> bool:
    return any(volume.IsA(f"vtkMRMLDiffusion{kind}VolumeNode") for kind in ("Weighted", "Tensor"))
