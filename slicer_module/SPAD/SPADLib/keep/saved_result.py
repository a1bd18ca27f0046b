"""A result that is autosaved: what changed since it was last written, and what is written of it.

Labels and proposal are a B-scan's file each, as napari writes them. Segments of the person's own
have a folder each within the result's: they may overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.autosave import AutosavedLayer, ModelPart, Packed
from SPADLib.keep.saved_node import SavedNode
from SPADLib.scene import (
    BINARY,
    PERCENT,
    Result,
    array_of,
    as_called,
    ijk_to_ras,
    read_segments,
    tag_of,
)

__all__ = ["ATTRIBUTES", "SavedResult", "fingerprint"]

ATTRIBUTES = "SPAD."
"""How the attributes begin by which a segmentation says that it is a result, and of what."""
LOOKED_AT = 5
"""Planes of a volume whose pixels tell it from others."""


def fingerprint(volume: Any) -> str:
    """What tells a volume's pixels from another's: a hash of its size, type and some planes.

    Raises
    ------
    ValueError
        It has no pixels.
    """
    array = array_of(volume)
    told = hashlib.sha256(f"{array.shape} {array.dtype.str}".encode())
    for k in sorted({round(k) for k in np.linspace(0, len(array) - 1, LOOKED_AT)}):
        told.update(np.ascontiguousarray(array[k]).data)
    return told.hexdigest()


@dataclass
class _Own:
    """A segment of the person's own."""

    saved: AutosavedLayer
    seen: int
    labels: NDArray[np.uint8]
    waits: bool = True


class SavedResult(SavedNode):
    """A result, and where it is saved.

    Parameters
    ----------
    result : Result
    saved : AutosavedLayer
    """

    def __init__(self, result: Result, saved: AutosavedLayer) -> None:
        super().__init__(result.segmentation, saved)
        self.result = result
        self._labels: Any = None
        self._models: dict[int, bytes] = {}
        self._own: dict[str, _Own] = {}
        self._print = fingerprint(result.volume)

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return super().waiting or any(one.waits for one in self._own.values())

    # ------------------------------------------------------------------ looked at

    def look(self, labels: NDArray[np.uint8] | None = None, *, model: bool = False) -> None:
        """Note what changed. What is to be written is held from now on, whatever leaves the scene.

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            From `Result.labels`, where it is at hand; not to be written to.
        model : bool
            A model wrote.
        """
        result, known = self.result, self._labels
        now = result.labels() if labels is None else labels
        self._proposal, self._doubt = result.proposal(), result.uncertainty()
        if model or known is None or known.shape != now.shape:
            changed = set(range(len(now)))
        else:
            changed = {z for z in range(len(now)) if not np.array_equal(now[z], known[z])}
        self._labels = now
        self._dirty |= changed
        before, own = self._header, self._look_at_own()
        self._header = self._description()
        self._described = False
        if own or changed or self._header != before:
            self.exported = ""
        self.unsaved = bool(result.segmentation.GetModifiedSinceRead())

    def _look_at_own(self) -> bool:
        """Read the person's own segments that were painted in; whether there were any."""
        node = self.result.segmentation
        there = self.result.own_segments
        gone = self._own.keys() - set(there)
        for segment in gone:  # its files stay
            del self._own[segment]
        changed = bool(gone)
        for segment in there:
            image = node.GetSegmentation().GetSegment(segment).GetRepresentation(BINARY)
            seen = 0 if image is None else image.GetMTime()
            known = self._own.get(segment)
            if known is not None and known.seen == seen:
                continue
            read = read_segments(node, {segment: 1}, self.result.volume).labels
            folder = self.saved.folder / f"own-{hashlib.sha256(segment.encode()).hexdigest()[:12]}"
            saved = AutosavedLayer(folder) if known is None else known.saved
            self._own[segment] = _Own(saved, seen, self.result.layout.stack(read))
            changed = True
        return changed

    def _description(self) -> dict[str, Any]:
        """What the result is: its name, its geometry, all that its node says of it."""
        result, node, labels = self.result, self.result.segmentation, self._labels
        names = [n for n in node.GetAttributeNames() if n.startswith(ATTRIBUTES)]
        inner = node.GetSegmentation()
        return {
            "name": node.GetName(),
            "image": result.volume.GetName(),
            "shape": list(labels.shape),
            "dtype": labels.dtype.str,
            "classes": [c.as_json() for c in result.classes],
            "model": node.GetAttribute("SPAD.checkpoint") or "",
            "details": {
                "fingerprint": self._print,
                "grid": list(array_of(result.volume).shape[:3]),
                "ijk_to_ras": ijk_to_ras(result.volume).tolist(),
                "attributes": {name: node.GetAttribute(name) for name in names},
                "called": [c.as_json() for c in as_called(node)],
                "removed": sorted(
                    {c.value for c in result.classes[1:]} - {*result.values.values()}
                ),
                "own": [
                    {"folder": one.saved.folder.name, **_looks(inner.GetSegment(segment))}
                    for segment, one in self._own.items()
                ],
            },
        }

    # ------------------------------------------------------------------ written

    def _more_writes(self) -> Iterator[None]:
        """Write the person's own segments."""
        for one in [one for one in self._own.values() if one.waits]:
            header = {"name": "own", "shape": list(one.labels.shape), "dtype": "|u1"}
            one.saved.save_header(header)
            for z, plane in enumerate(one.labels):
                if one.saved.save_bscan((z,), plane, None):
                    yield
            one.waits = False

    def _write_anew(self) -> None:
        self._dirty, self._models = set(range(len(self._labels))), {}
        for one in self._own.values():
            one.saved.vanished()
            one.waits = True

    def _write_bscan(self, z: int) -> bool:
        labels, proposal = self._labels[z], np.ascontiguousarray(self._proposal[z])
        wrote = self.saved.save_bscan((z,), labels, labels != proposal)
        doubt = np.ascontiguousarray(self._doubt[z])
        digest = hashlib.blake2b(proposal.data, digest_size=16)
        digest.update(doubt.data)
        if self._models.get(z) == digest.digest() or not (proposal.any() or doubt.any()):
            return wrote
        samples = self.result.samples.get(z)
        shares = (doubt / PERCENT).astype(np.float16)
        packed = None if samples is None else Packed.of(samples)
        self.saved.save_model((z,), ModelPart(proposal, shares, packed, {}))
        self._models[z] = digest.digest()
        return True


def _looks(segment: Any) -> dict[str, Any]:
    """What a segment of the person's own is known by."""
    return {
        "name": segment.GetName(),
        "color": list(segment.GetColor()),
        "terminology": tag_of(segment, segment.GetTerminologyEntryTagName()),
    }
