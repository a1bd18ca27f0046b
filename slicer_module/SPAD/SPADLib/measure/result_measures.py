"""A result of the scene, measured: its scale, its fovea, and numbers that follow every edit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders import Thickness, layer_maps, thickness
from spad.measuring import LiveMeasures, Measurement, partly, remarks
from SPADLib.lines import lines_of
from SPADLib.scene import Result, as_called, eye_of, place_fovea, scale_of

__all__ = ["ResultMeasures"]


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
        self._called = as_called(self.result.segmentation)
        self.live = LiveMeasures(labels, self._called, self.scale.spacing_mm, samples=none)
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
        return eye_of(self.result.volume)

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
        if self._count() != self._number or as_called(self.result.segmentation) != self._called:
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
