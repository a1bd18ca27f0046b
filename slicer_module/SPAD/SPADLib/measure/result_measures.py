"""A result of the scene, measured: its scale, its fovea, and numbers that follow every edit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders import Thickness, layer_maps, thickness
from spad.measuring import Length, LiveMeasures, Measurement, Scale, partly, remarks
from SPADLib.lines import lines_of
from SPADLib.measure.fovea_node import place_fovea
from SPADLib.scene import Result, array_of, kept_scale, spacing_is_default, to_world

__all__ = ["EYE", "ResultMeasures", "scale_of"]

EYE = "SPAD.eye"
"""Attribute of a volume: "OD" or "OS", as a person said."""
_HOW = "from the volume's spacing in Slicer"
_TRUE = 1e-3


def scale_of(result: Result) -> Scale:
    """Scale of a result's B-scans in the world: the volume's transform is included.

    Raises
    ------
    ValueError
        The volume has no true spacing, is bent by its transform, or sheared.
    """
    volume, name = result.volume, result.volume.GetName()
    if spacing_is_default(volume):
        raise ValueError(
            f"“{name}” has a spacing of 1 mm in each direction, which a file gets that tells none. "
            "Set the true one in the module Volumes (Volume Information › Image Spacing) to measure"
        )
    shape = array_of(volume).shape[:3]
    deep, rows, columns = result.layout.order(shape)

    def at(*place: float) -> NDArray[np.float64]:
        k, j, i = result.layout.index(place, shape)
        return np.asarray(to_world(np.array([[i, j, k]]), volume)[0])

    last = (deep - 1, rows - 1, columns - 1)
    ahead = np.array([at(*(np.eye(3)[axis])) - at(0, 0, 0) for axis in range(3)])
    behind = np.array([at(*last) - at(*(last - np.eye(3)[axis])) for axis in range(3)])
    steps = np.linalg.norm(ahead, axis=1)
    angles = ahead @ ahead.T / np.outer(steps, steps) - np.eye(3)
    if not np.allclose(ahead, behind, atol=_TRUE * steps.min()) or np.abs(angles).max() > _TRUE:
        raise ValueError(
            f"“{name}” is sheared or bent, by its own axes or by its transform: a pixel has no one "
            "size. Resample it to a straight grid to measure"
        )
    kept = kept_scale(volume)
    if kept is None:
        return Scale.of(steps.tolist(), "derived", _HOW)
    told = result.layout.order((kept.bscan, kept.row, kept.column))
    # Whoever gave an axis another length since knows better than the file.
    return Scale(*(
        one if np.isclose(one.mm or 1.0, step, rtol=1e-4) else Length(float(step), "derived", _HOW)
        for one, step in zip(told, steps, strict=True)
    ))  # fmt: skip


class ResultMeasures:
    """Measurements of a result.

    Parameters
    ----------
    result : Result

    Attributes
    ----------
    scale : Scale
    live : LiveMeasures

    Raises
    ------
    ValueError
        It cannot be measured, in words.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.scale = scale_of(result)
        self._begin(result.labels().copy())

    def _begin(self, labels: NDArray[np.uint8]) -> None:
        """Measure all of it, with as many samples as the session has of each B-scan."""
        self._labels = labels
        self._number = self._count()
        none = np.broadcast_to(np.uint8(0), (self._number, *labels.shape))
        self.live = LiveMeasures(labels, self.result.classes, self.scale.spacing_mm, samples=none)
        self._taken: dict[int, tuple[Any, bool]] = {}
        self._take_samples(labels, np.ones(len(labels), bool))

    def _count(self) -> int:
        """Samples that the session has of each B-scan; 0 where it lacks those of one."""
        known = self.result.samples
        every = set(known) == set(range(len(self._labels)))
        return min(len(one) for one in known.values()) if every else 0

    def _take_samples(self, labels: NDArray[np.uint8], changed: NDArray[np.bool_]) -> None:
        """Take samples that are new, or were painted on; what is by hand or accepted is certain."""
        if not self._number:
            return
        accepted, by_hand = self.result.accepted(labels), self.result.by_hand(labels)
        for z, samples in self.result.samples.items():
            taken, sure = self._taken.get(z, (None, False))
            if changed[z] or taken is not samples or sure != (z in accepted):
                certain = by_hand[z] | (z in accepted)
                drawn = np.where(certain, labels[z], samples[: self._number])
                self.live.update(z, labels[z], drawn)
                self._taken[z] = samples, z in accepted

    @property
    def eye(self) -> str | None:
        """Either "OD", "OS" or None."""
        told = self.result.volume.GetAttribute(EYE)
        return told if told in ("OD", "OS") else None

    def refresh(self, labels: NDArray[np.uint8] | None = None) -> None:
        """Measure what has changed.

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            Of the result, where they are at hand.

        Raises
        ------
        ValueError
            The result has another size now.
        """
        now = self.result.labels() if labels is None else labels
        if now.shape != self._labels.shape:
            raise ValueError(
                f"the result has {now.shape} pixels now and had {self._labels.shape}; "
                "choose it anew"
            )
        if self._count() != self._number:
            grid = self.live.grid
            self._begin(now.copy())
            if grid is not None:
                self.live.place(grid.fovea, eye=grid.eye)
            return
        changed = (now != self._labels).any((1, 2))
        for z in np.flatnonzero(changed):
            self.live.update(int(z), now[z])
            self._labels[z] = now[z]
        self._take_samples(now, changed)

    def place(self) -> None:
        """Lay the grid about the fovea's point, where it is now.

        Raises
        ------
        ValueError
            The point lies outside the scan.
        """
        fovea = place_fovea(self.result) if self.live.spacing_mm[0] is not None else None
        grid = self.live.grid
        told = None if grid is None else (grid.fovea, grid.eye)
        if told != (fovea and (fovea, self.eye)):
            self.live.place(fovea, eye=self.eye)

    def rows(self) -> tuple[Measurement, ...]:
        """The measurements as they are now."""
        return self.live.rows()

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers has to know."""
        of_these = partly(len(self.result.segmented), self.result.depth)
        return (*filter(None, [of_these]), *remarks(self.live, self.scale))

    def layers(self) -> tuple[Thickness, ...]:
        """Mean thickness between the lines over the volume, region by region."""
        found: dict[str, NDArray[np.float32]] = {}
        for one in lines_of(self.result):
            for name, um in layer_maps(one.lines, self.live.spacing_mm[1]).items():
                found[name if name not in found else f"{name} ({one.name})"] = um
        every = (thickness(name, um, self.live.grid) for name, um in found.items())
        return tuple(one for some in every for one in some)

    def about(self) -> dict[str, Any]:
        """Columns that stand in front of the numbers in tables."""
        return {"case": self.result.segmentation.GetName(), "eye": self.eye or ""}
