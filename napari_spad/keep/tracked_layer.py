"""A label layer that is autosaved: what changed since it was last saved, and what is written of it.

It is looked at in the main thread and written by a worker, from the layer's own array.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_spad.desk import Result
from napari_spad.layers import noted, placement
from napari_spad.write import classes_of
from spad.autosave import AutosavedLayer, ModelPart

__all__ = ["SaveJob", "TrackedLayer", "now", "places_of"]

HEADER_SECONDS = 30.0
"""What a layer is takes milliseconds to gather: not with each stroke."""

Index = tuple[int, ...]


@dataclass
class TrackedLayer:
    """A layer that is saved.

    Parameters
    ----------
    layer : napari.layers.Labels
    saved : AutosavedLayer
        Where to.
    shape, dtype : tuple of int, str
        Of the data that are saved there.
    result : Result or None
        Whose labels these are.
    model, origin, locked : str, str, list of int
        What made them, and which structures are locked, as far as the header says it; as in
        `Result`.
    removed, exported : str
        When it was removed from the viewer, or saved by the user and not edited since.
    """

    layer: Labels
    saved: AutosavedLayer
    shape: Index
    dtype: str
    result: Result | None = None
    model: str = ""
    origin: str = ""
    locked: list[int] = field(default_factory=list)
    dirty: set[Index] = field(default_factory=set)
    from_model: set[Index] = field(default_factory=set)
    all_dirty: bool = False  # what changed is not known
    header_dirty: bool = True
    removed: str = ""
    exported: str = ""
    described: float = 0.0  # when its header was gathered

    @property
    def waiting(self) -> bool:
        """Whether something is to be written, or may be."""
        return bool(self.dirty or self.from_model or self.all_dirty or self.header_dirty)

    def edited(self) -> None:
        """Note that it is not what the user exported any more."""
        old = time.monotonic() - self.described > HEADER_SECONDS
        self.header_dirty |= bool(self.exported) or old
        self.exported = ""

    def take_job(self) -> SaveJob:
        """Take the marks off, and say what is to be written."""
        layer, result = self.layer, self.result
        known = noted(layer.metadata)
        labels = layer.data
        by_hand = result.hand.mask if result is not None else known.get("by_hand")
        if by_hand is not None and by_hand.shape != labels.shape:
            by_hand = None
        model: dict[Index, ModelPart] = {}
        if result is not None and result.written.shape == labels.shape:
            runs = {tuple(run["bscan"]): run for run in known.get("provenance", ())}
            for index in self.from_model:
                model[index] = ModelPart(
                    result.written[index],
                    result.uncertainty.data[index],
                    result.packed.get(index),
                    runs.get(index, {}),
                )
        places = None if self.all_dirty else frozenset(self.dirty)
        header = None
        if self.header_dirty:
            header, self.described = self._header(), time.monotonic()
        self.dirty, self.from_model = set(), set()
        self.all_dirty = self.header_dirty = False
        return SaveJob(self, header, labels, by_hand, places, model)

    def _header(self) -> dict[str, Any]:
        """What it is. Of its metadata only what SPAD put there: the rest may name the patient."""
        layer, result = self.layer, self.result
        if result is not None:
            self.model, self.origin = result.model, result.origin
            self.locked = sorted(result.locked)
        known = noted(layer.metadata)
        looks = {"features": layer.features, "colormap": layer.colormap, "metadata": layer.metadata}
        return {
            "name": layer.name,
            "image": known.get("image", ""),
            "shape": list(self.shape),
            "dtype": self.dtype,
            "classes": classes_of(looks, ()),
            "own_colors": hasattr(layer.colormap, "color_dict"),
            "model": self.model,
            "origin": self.origin,
            "locked": self.locked,
            "notice": known.get("notice", ""),
            "annotator": str(layer.metadata.get("annotator", "")),
            "placement": placement(layer),
            "removed": self.removed,
            "exported": self.exported,
        }


@dataclass(frozen=True)
class SaveJob:
    """What is to be written of a layer.

    Parameters
    ----------
    tracked : TrackedLayer
    header : mapping or None
        What the layer is; None: as it was.
    labels, by_hand : array
    places : frozenset of tuple of int, or None
        The B-scans to look at; None: all.
    model : mapping of a B-scan's place to ModelPart
    """

    tracked: TrackedLayer
    header: Mapping[str, Any] | None
    labels: NDArray[Any]
    by_hand: NDArray[Any] | None
    places: frozenset[Index] | None
    model: Mapping[Index, ModelPart]

    def write(self) -> bool:
        """Write what changed; returns False where all is to be written anew. In a worker."""
        saved = self.tracked.saved
        if saved.vanished():
            return False
        if self.header is not None and not saved.described:
            saved.save_header(self.header)  # first: B-scans without it can be read, but not placed
        for index, part in self.model.items():
            saved.save_model(index, part)
        everywhere = np.ndindex(*self.labels.shape[:-2])
        for index in everywhere if self.places is None else sorted(self.places):
            by_hand = None if self.by_hand is None else self.by_hand[index]
            saved.save_bscan(index, self.labels[index], by_hand)
        if self.header is not None:
            saved.save_header(self.header)
        return True

    def mark_again(self) -> None:
        """Put the marks back: it was not written, or is not known to be."""
        tracked = self.tracked
        nothing = not tracked.saved.described  # is on the disk, or not any more
        tracked.header_dirty |= nothing or self.header is not None
        tracked.all_dirty |= nothing or self.places is None
        tracked.dirty |= self.places or set()
        tracked.from_model |= set(self.model)
        if nothing and tracked.result is not None:
            tracked.from_model |= set(tracked.result.packed)


def places_of(atom: Any, shape: tuple[int, ...]) -> set[Index]:
    """B-scans that an atom of napari's history touches."""
    lead = shape[:-2]
    if not lead:
        return {()}
    if hasattr(atom, "slice_key"):
        spans = [range(*s.indices(n)) for s, n in zip(atom.slice_key, lead, strict=False)]
        grid = np.meshgrid(*spans, indexing="ij")
        return set(zip(*(axis.ravel().tolist() for axis in grid), strict=True))
    index = atom[0]
    flat = np.ravel_multi_index(tuple(np.asarray(i).ravel() for i in index[: len(lead)]), lead)
    return {tuple(int(i) for i in np.unravel_index(p, lead)) for p in np.unique(flat)}


def now() -> str:
    """The time, as the header tells it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S")
