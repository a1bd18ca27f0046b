"""Any segmentation or label map as the reference of a result: its structures, and where they lie.

It may have names, values, a grid and a transform of its own. Its structures are matched with the
model's by name (a result of ours by the class behind each segment), by value only where there are
no names; what the user changes is kept with the result's segmentation, and so with the scene.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.checkpoint import IGNORE, MAX_CLASSES, named_like
from spad.metrics import match, translate, values_in
from SPADLib.scene import (
    BINARY,
    Result,
    ijk_to_ras,
    inner_source,
    kept,
    labels_of_volume,
    read_segments,
    spacing_of,
    structures_of,
)

__all__ = ["Reference"]

MATCH = "SPAD.match"
"""Attribute of a result's segmentation: {reference's node id: {key: class value or null}}."""
_LISTED = 4


class Reference:
    """A reference for one result. Made by `of`.

    Attributes
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
    result : Result
    resampled : bool
        Whether `labels` had to be brought from another grid when it was called last.
    remark : str
        What the user should know of it, in whole sentences; also from the last call.
    """

    def __init__(self, node: Any, result: Result) -> None:
        self.node, self.result = node, result
        self.resampled, self.remark = False, ""
        self._seen: tuple[tuple[int, int], dict[int, str], bool] | None = None

    @classmethod
    def of(cls, node: Any, result: Result) -> Reference:
        """Take a node as the reference.

        Parameters
        ----------
        node : vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode
        result : Result
            What is compared with it.

        Raises
        ------
        ValueError
            It cannot be one; in words.
        """
        if node is None or node.GetScene() is None:
            raise ValueError("no reference is chosen: choose a segmentation or a label map")
        name = node.GetName()
        if node is result.segmentation:
            raise ValueError(f"“{name}” is the segmentation itself: choose another reference")
        if not node.IsA("vtkMRMLSegmentationNode") and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            raise ValueError(
                f"“{name}” is neither a segmentation nor a label map: in the Volumes module, "
                "“Convert to label map” makes one of a volume of whole numbers"
            )
        found = cls(node, result)
        if found._segments:
            if not node.GetSegmentation().GetNumberOfSegments():
                raise ValueError(f"“{name}” has no segments: choose another reference")
            return found
        values = values_in(found._own())
        if values in ([IGNORE], [0, IGNORE]):
            raise ValueError(
                f"“{name}” has no value but {IGNORE}, which means “not annotated”: give the "
                "structure another value"
            )
        if len(values) > 4 * MAX_CLASSES:
            raise ValueError(
                f"“{name}” holds more than {4 * MAX_CLASSES} values: a reference has a value for "
                "each structure, not for each instance"
            )
        return found

    @property
    def _segments(self) -> bool:
        return bool(self.node.IsA("vtkMRMLSegmentationNode"))

    # ------------------------------------------------------------------ its structures

    @property
    def names(self) -> dict[str, str]:
        """Its structures: key (segment id, or label value as text) and name."""
        if self._segments:
            inner = self.node.GetSegmentation()
            return {s: inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()}
        named, own = self._values()
        listed = own or match(named, self.result.classes)[1]
        return {str(v): (n if listed else "") or f"label {v}" for v, n in named.items()}

    @property
    def match(self) -> dict[str, int | None]:
        """Class value that each structure stands for, by key.

        None where it is none of the model's, `spad.checkpoint.labels.IGNORE` where its pixels are
        not counted.
        """
        chosen = self._chosen()
        return {key: chosen.get(key, value) for key, value in self._guess()[0].items()}

    def set_match(self, key: str, value: int | None) -> None:
        """Say which structure of the model one of the reference's is.

        Parameters
        ----------
        key : str
            From `names`.
        value : int or None
            A class value; None or 0: none of them; `spad.checkpoint.labels.IGNORE`: do not count
            there.

        Raises
        ------
        ValueError
            There is no such structure.
        """
        guessed = self._guess()[0]
        value = value or None
        known = {c.value for c in self.result.classes[1:]}
        if key not in guessed:
            raise ValueError(
                f"“{self.node.GetName()}” has no structure {key!r} (it has "
                f"{', '.join(guessed) or 'none'}): choose again"
            )
        if value not in {None, IGNORE, *known}:
            raise ValueError(
                f"{value!r} is no structure of the model, which has {sorted(known)}: choose again"
            )
        chosen = {k: v for k, v in self._chosen().items() if k in guessed and k != key}
        if value != guessed[key]:
            chosen[key] = value
        every = {**self._kept(), self.node.GetID(): chosen}
        self.result.segmentation.SetAttribute(
            MATCH, json.dumps({k: v for k, v in every.items() if v})
        )

    def _kept(self) -> dict[str, dict[str, int | None]]:
        found = kept(self.result.segmentation, MATCH, {})
        return {k: v for k, v in found.items() if isinstance(v, dict)}

    def _chosen(self) -> dict[str, int | None]:
        return self._kept().get(self.node.GetID(), {})

    def _guess(self) -> tuple[dict[str, int | None], str]:
        """Match by key, and a remark on how it came about."""
        classes = self.result.classes
        if self._segments:
            tags = structures_of(self.node)
            theirs = {
                c["value"]: c["name"]
                for c in kept(self.node, "SPAD.classes", [])
                if isinstance(c, dict) and {"value", "name"} <= set(c)
            }
            return {
                key: self._meant(theirs.get(tags.get(key), name), tags.get(key), bool(theirs))
                for key, name in self.names.items()
            }, ""
        named, own = self._values()
        table, by_name = match(named, classes)
        if by_name or not named:
            return {str(v): c for v, c in table.items()}, ""
        if own:
            remark = "No names agree: say which structure is which."
            return {str(v): None for v in table}, remark
        remark = "The reference has no names that agree: structures are matched by value."
        return {str(v): c for v, c in table.items()}, remark

    def _meant(self, name: str, tag: int | None, theirs: bool) -> int | None:
        """Class of a segment with this name, and the tag that a result gave it, if one did."""
        classes = self.result.classes
        same = [c.value for c in classes[1:] if c.value == tag and c.name == name]
        like = named_like(name, classes)
        if same:
            return same[0]
        if like is not None:
            return like.value
        # Without its model's classes beside it, as in a file, a renamed segment has only the tag.
        known = {c.value for c in classes[1:]}
        return tag if not theirs and tag in known else None

    def _own(self) -> NDArray[Any]:
        return labels_of_volume(self.node, self.node).labels

    def _values(self) -> tuple[dict[int, str], bool]:
        """Values of a label map with their names, and whether the names are its own."""
        display = self.node.GetDisplayNode()
        table = display.GetColorNode() if display is not None else None
        if table is not None and not table.IsA("vtkMRMLColorTableNode"):
            table = None
        image = self.node.GetImageData()
        stamp = image.GetMTime() if image else 0, table.GetMTime() if table else 0
        if self._seen is None or self._seen[0] != stamp:
            values = set(values_in(self._own())) - {0, IGNORE}
            named = {v: _color_name(table, v) for v in sorted(values)}
            # Slicer gives label maps a table of its own unasked; its names say nothing.
            own = table is not None and not table.GetSingletonTag() and any(named.values())
            self._seen = stamp, named, own
        return self._seen[1], self._seen[2]

    # ------------------------------------------------------------------ where they lie

    def labels(self) -> NDArray[np.uint8]:
        """Class values on the result's grid, (Z, H, W); `IGNORE` where nothing is counted.

        Raises
        ------
        ValueError
            It was removed, or lies outside the image.
        """
        name, volume = self.node.GetName(), self.result.volume
        if self.node.GetScene() is None or volume is None:
            gone = name if volume is not None else "the image"
            raise ValueError(f"“{gone}” was removed from the scene: choose another reference")
        low, high = _box(volume)
        own_low, own_high = _box(self.node)
        shared = np.minimum(high, own_high) - np.maximum(low, own_low)
        if (own_low <= own_high).all() and (shared <= 0).any():
            raise ValueError(
                f"“{name}” lies outside the image “{volume.GetName()}”: look at its transform and "
                "origin, or choose another reference"
            )
        table = {k: v for k, v in self.match.items() if v is not None}
        said = [] if self._chosen() else [self._guess()[1]]
        if self._segments:
            read = read_segments(self.node, table, volume)
            labels = read.labels
            if read.overlap:
                many = f"{read.overlap} pixels are in several structures"
                said.append(f"{many}; the last one counts.")
        else:
            read = labels_of_volume(self.node, volume)
            whole = {IGNORE: IGNORE} | {int(k): v for k, v in table.items()}
            labels = translate(read.labels, whole, 0)
            half = 0.999 * _half_a_pixel(volume)  # of each pixel, its centre has to be covered
            if (own_low > low + half).any() or (own_high < high - half).any():
                said.append("It covers a part of the image; elsewhere it counts as background.")
        if read.resampled:
            said.insert(0, f"Resampled from its own grid of {self._grid()} (nearest neighbour).")
        self.resampled = read.resampled
        self.remark = " ".join(filter(None, [*said, *self._left_out(labels)]))
        return self.result.layout.stack(labels)

    def _left_out(self, labels: NDArray[np.uint8]) -> list[str]:
        names = self.names
        unknown = [names[k] for k, v in self.match.items() if v is None]
        said = []
        if unknown:
            listed = ", ".join(unknown[:_LISTED]) + (" …" if len(unknown) > _LISTED else "")
            said.append(f"In the reference only, counted as background: {listed}.")
        if ignored := int(np.count_nonzero(labels == IGNORE)):
            said.append(f"{ignored} pixels are not annotated and not counted.")
        if not labels.any():
            said.append("The reference has none of the model's structures in this image.")
        return said

    def _grid(self) -> str:
        spacing = () if self._segments else spacing_of(self.node)
        if self._segments:
            inner = self.node.GetSegmentation()
            for segment in inner.GetSegmentIDs():
                image = inner.GetSegment(segment).GetRepresentation(BINARY)
                if image is not None and not image.IsEmpty():
                    spacing = image.GetSpacing()[::-1]
                    break
        return " × ".join(f"{s:.3g}" for s in spacing) + " mm"

    def stamp(self) -> tuple[Any, ...]:
        """What `labels` depends on: while it stays the same, so do they."""
        if self._segments:
            inner, source = self.node.GetSegmentation(), inner_source(self.node.GetSegmentation())
            pixels: tuple[Any, ...] = tuple(
                (s, inner.GetSegment(s).GetLabelValue(), _changed(inner, s, source))
                for s in inner.GetSegmentIDs()
            )
        else:
            image = self.node.GetImageData()
            pixels = image and image.GetMTime(), ijk_to_ras(self.node).tobytes()
        volume = self.result.volume
        return (
            pixels,
            tuple(sorted(self.match.items())),
            _moved(self.node),
            _moved(volume),
            ijk_to_ras(volume).tobytes(),
        )


def _color_name(table: Any, value: int) -> str:
    if table is None or not 0 <= value < table.GetNumberOfColors():
        return ""
    name = table.GetColorName(value) or ""
    return "" if name == "(none)" else name  # how a table calls what it has no entry for


def _box(node: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner in world coordinates; upside down where there is nothing."""
    bounds = [1.0, -1.0] * 3
    node.GetRASBounds(bounds)
    corners = np.array(bounds).reshape(3, 2)
    return corners[:, 0], corners[:, 1]


def _half_a_pixel(volume: Any) -> NDArray[np.float64]:
    """Half the extent of a pixel along the world's axes; at most so much, if it was moved."""
    if volume.GetParentTransformNode() is not None:
        return np.full(3, 0.5 * np.linalg.norm(spacing_of(volume)))
    half: NDArray[np.float64] = 0.5 * np.abs(ijk_to_ras(volume)[:3, :3]).sum(axis=1)
    return half


def _changed(inner: Any, segment: str, representation: str) -> int:
    data = inner.GetSegment(segment).GetRepresentation(representation)
    return int(data.GetMTime()) if data is not None else 0


def _moved(node: Any) -> tuple[str, int]:
    transform = node.GetParentTransformNode()
    if transform is None:
        return "", 0
    return transform.GetID(), transform.GetTransformToWorldMTime()
