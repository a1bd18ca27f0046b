"""What a model made of a volume, as nodes of the scene, and the rules by which nothing is lost.

A result is a segmentation with two companions, found by node references, so that it is whole again
when a scene is loaded: the *uncertainty* in percent, and the *proposal*, a hidden label map of what
the model wrote. Where the segmentation differs from the proposal, a person has edited it. A model
never writes there, nor where a segment of the person's own is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from spad.annotation import changes, check_sum, refuse_other_structures
from spad.cases import Layout, without_paths
from spad.checkpoint import IGNORE, LabelClass
from SPADLib.scene.image_source import follow_volume, whereabouts
from SPADLib.scene.result_nodes import (
    PROPOSAL,
    UNCERTAINTY,
    VOLUME,
    accepted_sums,
    add_probability,
    companion,
    make_nodes,
    own_companions,
    percent,
    refusal,
)
from SPADLib.scene.segments import (
    Read,
    Segments,
    read_segments,
    refuse_unwritable,
    replace_labels,
)
from SPADLib.scene.structures import classes_in, kept, structures_of
from SPADLib.scene.versions import Change, Step, Versions
from SPADLib.scene.volumes import nodes_of, spacing_of

__all__ = ["Result", "results"]


class Result:
    """A segmentation that a model made, with all that belongs to it.

    Made by `create`, or found in a scene by `of`.

    Attributes
    ----------
    segmentation : vtkMRMLSegmentationNode
    samples : dict of int to array of uint8, shape (N, H, W)
        Of each B-scan, the chains' own label maps. They last as long as the session: the seed in
        the provenance makes them again.
    laid : int
        How often it was laid anew on its volume (`follow_volume`).
    """

    def __init__(self, segmentation: Any) -> None:
        self.segmentation = segmentation
        self.samples: dict[int, NDArray[np.uint8]] = {}
        self.laid = 0
        self._place: Any = None
        self._versions = Versions(segmentation)
        self.layout = Layout.of(segmentation.GetAttribute("SPAD.layout"))
        classes_in(segmentation.GetAttribute("SPAD.classes"))  # refused here, where they are none

    # ------------------------------------------------------------------ made and found

    @classmethod
    def create(
        cls, volume: Any, layout: Layout, run: Any, *, first: int = 0, probability: bool = False
    ) -> Result:
        """Make the nodes of a result.

        Parameters
        ----------
        volume : vtkMRMLVolumeNode
            What was segmented.
        layout : Layout
        run : spad.inference.segmentation.Segmentation
            Of B-scans `first` and on, (n, H, W).
        first : int
        probability : bool
            Also add a volume of each structure's probability, in percent.

        Returns
        -------
        Result
        """
        result = cls(make_nodes(volume, layout, run, first))
        if probability and run.probability is not None:
            add_probability(result.segmentation, volume, layout, run, first)
        result._remember(run, first)
        return result

    @classmethod
    def of(cls, segmentation: Any) -> Result | None:
        """The result that a segmentation is; None where `refusal` says why not, or it is odd."""
        if segmentation is None or refusal(segmentation):
            return None
        try:
            return cls(segmentation)
        except (ValueError, KeyError, TypeError):  # a scene may come from anywhere
            return None

    def _remember(self, run: Any, first: int, held: Any = (), within: Any = None) -> None:
        bscans = set(range(first, first + len(run.labels)))
        for z in bscans - set(held):
            new, before = run.samples[:, z - first], self.samples.get(z)
            if within is not None and before is not None and before.shape == new.shape:
                new = np.where(within[z - first], new, before)
            self.samples[z] = new
        self.segmentation.SetAttribute("SPAD.bscans", json.dumps(sorted(self.segmented | bscans)))
        made = [*self.provenance, {**run.provenance, "bscans": [first, len(run.labels)]}]
        self.segmentation.SetAttribute("SPAD.provenance", json.dumps(without_paths(made)))

    # ------------------------------------------------------------------ what it holds

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The model's classes, background first, then the structures that a person added."""
        return classes_in(self.segmentation.GetAttribute("SPAD.classes"))

    @property
    def volume(self) -> Any:
        """The volume that was segmented; None where it was removed."""
        return self.segmentation.GetNodeReference(VOLUME)

    @property
    def uncertainty_node(self) -> Any:
        """The volume of the uncertainty; None where it was removed."""
        return self.segmentation.GetNodeReference(UNCERTAINTY)

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Of each run that wrote here, with the first B-scan and their number as ``bscans``."""
        return [r for r in kept(self.segmentation, "SPAD.provenance", []) if isinstance(r, dict)]

    @property
    def segmented(self) -> set[int]:
        """Numbers of the B-scans that a model has segmented."""
        depth = self.depth
        found = kept(self.segmentation, "SPAD.bscans", [])
        return {z for z in found if isinstance(z, int) and 0 <= z < depth}

    def accepted(self, labels: NDArray[np.uint8] | None = None) -> set[int]:
        """Numbers of the B-scans that a person has accepted, and that are as they were then.

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            From `labels`, where it is at hand.
        """
        if not (found := accepted_sums(self.segmentation)):
            return set()
        labels = self.labels() if labels is None else labels
        return {z for z, sum_ in found.items() if z < len(labels) and check_sum(labels[z]) == sum_}

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of B-scans, rows, columns."""
        return self.layout.order(spacing_of(self.volume))

    @property
    def depth(self) -> int:
        """How many B-scans the volume has."""
        return int(self.layout.stack(companion(self.segmentation, PROPOSAL)).shape[0])

    @property
    def values(self) -> Segments:
        """Segments of the model's structures, and their class values."""
        known = {c.value for c in self.classes}
        return {s: v for s, v in structures_of(self.segmentation).items() if v in known}

    def read(self) -> Read:
        """The label map as it is now, (K, J, I) on the volume's grid."""
        self.follow()
        return read_segments(self.segmentation, self.values, self.volume)

    def labels(self) -> NDArray[np.uint8]:
        """The label map as it is now, (Z, H, W)."""
        return self.layout.stack(self.read().labels)

    def proposal(self) -> NDArray[np.uint8]:
        """What the model wrote last, (Z, H, W), as it goes with the label map that is there now."""
        proposal = self.layout.stack(companion(self.segmentation, PROPOSAL))

        def apply(bscan: int, where: NDArray[np.bool_], values: NDArray[np.uint8]) -> None:
            proposal[bscan][where] = values

        if self._versions.follow(apply):
            slicer.util.arrayFromVolumeModified(self.segmentation.GetNodeReference(PROPOSAL))
        return proposal

    def uncertainty(self) -> NDArray[np.uint8]:
        """The uncertainty in percent, (Z, H, W)."""
        return self.layout.stack(companion(self.segmentation, UNCERTAINTY))

    def by_hand(
        self, labels: NDArray[np.uint8] | None = None, *, sure: bool = False
    ) -> NDArray[np.bool_]:
        """Where a person edited, or has a segment of their own, (Z, H, W).

        Parameters
        ----------
        labels : array of uint8, shape (Z, H, W), optional
            From `labels`, where it is at hand.
        sure : bool
            Not where the proposal was lost (`recovered`): what is there may be the model's.
        """
        proposal = self.proposal()
        edited: NDArray[np.bool_] = (self.labels() if labels is None else labels) != proposal
        if sure:
            edited &= proposal != IGNORE
        return edited | self.own() if self.own_segments else edited

    @property
    def own_segments(self) -> list[str]:
        """Segments that the person added: of no structure of the model."""
        known = self.values
        return [s for s in self.segmentation.GetSegmentation().GetSegmentIDs() if s not in known]

    def own(self) -> NDArray[np.bool_]:
        """Where segments of the person's own lie, (Z, H, W)."""
        self.follow()
        own = dict.fromkeys(self.own_segments, 1)
        return self.layout.stack(read_segments(self.segmentation, own, self.volume).labels) > 0

    def follow(self) -> None:
        """Lie on the volume, wherever that is by now; see `follow_volume`."""
        if (place := whereabouts(self.volume)) != self._place:
            self._place = place
            self.laid += follow_volume(self)

    # ------------------------------------------------------------------ what is written

    def refuse_others(self, classes: Sequence[LabelClass]) -> None:
        """Refuse a model of other structures, and what cannot be written to: before any run."""
        refuse_unwritable(self.segmentation, self.values, self.volume)
        refuse_other_structures(
            self.segmentation.GetName(),
            self.classes,
            classes,
            remedy="choose the model that made it, or let the run make a new segmentation",
        )

    def take(
        self,
        run: Any,
        first: int,
        *,
        structures: Collection[int] | None = None,
        within: NDArray[np.bool_] | None = None,
        accepted_too: bool = False,
    ) -> list[Change]:
        """Take over what another run says of some B-scans; edited pixels stay.

        So do B-scans that a person has accepted, unless `accepted_too`.

        Parameters
        ----------
        run : spad.inference.segmentation.Segmentation
            Of B-scans `first` and on, (n, H, W), by a model of the same classes.
        first : int
        structures : collection of int, optional
            Only these may grow or shrink; all by default.
        within : array of bool, shape (n, H, W), optional
            Only there may anything change.
        accepted_too : bool
            A person asked for just this B-scan.

        Returns
        -------
        list of Change

        Raises
        ------
        ValueError
            Another model's classes.
        """
        return self.take_all(
            {first: run}, structures=structures, within=within, accepted_too=accepted_too
        )

    def take_all(
        self,
        runs: Mapping[int, Any],
        *,
        structures: Collection[int] | None = None,
        within: NDArray[np.bool_] | None = None,
        accepted_too: bool = False,
        but: Collection[int] = (),
    ) -> list[Change]:
        """Take over several runs, by their first B-scan, as `take` does one: all in one write.

        Parameters
        ----------
        runs : mapping of int to spad.inference.segmentation.Segmentation
        structures, within, accepted_too
            As of `take`; `within` is for one run.
        but : collection of int
            B-scans that stay as they are besides.
        """
        for one in runs.values():
            self.refuse_others(one.classes)
        every = {c.value for c in self.classes[1:]}
        locked = set() if structures is None else every - set(structures)
        own_companions(self.segmentation)
        now, there = self.labels(), set(self.values.values())
        by_hand, proposal, doubt = self.by_hand(now), self.proposal(), self.uncertainty()
        held = set(but) | (set() if accepted_too else self.accepted(now))
        todo = []
        places = [
            (run, n, first + n) for first, run in runs.items() for n in range(len(run.labels))
        ]
        for run, n, z in places:
            if z in held:
                continue
            part = None if within is None else within[n]
            new = np.where(np.isin(run.labels[n], [*every - there]), np.uint8(0), run.labels[n])
            where = changes(now[z], new, by_hand[z], locked=locked, region=part)
            if where.any():
                todo.append(Change(z, where, now[z][where], new[where], proposal[z][where]))
            fresh = percent(run.uncertainty[n])
            np.copyto(doubt[z], fresh, where=True if part is None else part)
        self._write(todo, [c.after for c in todo], [c.after for c in todo])
        slicer.util.arrayFromVolumeModified(self.uncertainty_node)
        for first, run in runs.items():
            self._remember(run, first, held, within)
        return todo

    def put(self, bscan: int, labels: NDArray[np.uint8], held: Any = None) -> Change:
        """Write a person's own choice into a B-scan: it counts as edited.

        Parameters
        ----------
        bscan : int
        labels : array of uint8, shape (H, W)
        held : array of bool, shape (H, W), optional
            Where the person said that it is right as it is: that counts, too.
        """
        now, proposal = self.labels()[bscan], self.proposal()[bscan]
        same = np.zeros_like(now, bool) if held is None else held & (labels == proposal)
        where, said = (now != labels) | same, np.where(same, np.uint8(IGNORE), proposal)
        change = Change(bscan, where, now[where], labels[where], proposal[where].copy())
        self._write([change], [change.after], [said[where]])
        return change

    def take_back(self, changed: Sequence[Change]) -> int:
        """Undo what a model or a choice changed, where nobody has painted since; how many pixels.

        Parameters
        ----------
        changed : sequence of Change
        """
        now = self.labels()
        still = []
        for c in changed:
            same = now[c.bscan][c.where] == c.after
            where = np.zeros_like(c.where)
            where[c.where] = same
            still.append(Change(c.bscan, where, c.after[same], c.before[same], c.proposed[same]))
        self._write(still, [c.after for c in still], [c.proposed for c in still])
        return sum(c.pixels for c in still)

    def _write(
        self,
        changed: Sequence[Change],
        labels: Sequence[NDArray[np.uint8]],
        proposed: Sequence[NDArray[np.uint8]],
    ) -> None:
        if not changed:
            return
        refuse_unwritable(self.segmentation, self.values, self.volume)  # before anything changes
        own_companions(self.segmentation)
        grid = companion(self.segmentation, PROPOSAL).shape
        where, new = np.zeros(grid, bool), np.zeros(grid, np.uint8)
        proposal, steps = self.proposal(), []
        for c, values, theirs in zip(changed, labels, proposed, strict=True):
            self.layout.stack(where)[c.bscan] = c.where
            self.layout.stack(new)[c.bscan][c.where] = values
            steps.append(Step(c.bscan, c.where, proposal[c.bscan][c.where], np.array(theirs)))
            proposal[c.bscan][c.where] = theirs
        replace_labels(self.segmentation, self.values, self.volume, where, new)
        if any((s.before != s.after).any() for s in steps):
            self._versions.written(steps)
        slicer.util.arrayFromVolumeModified(self.segmentation.GetNodeReference(PROPOSAL))


def results(scene: Any) -> list[Result]:
    """All results of a scene, in the order in which they were made."""
    found = nodes_of(scene, "vtkMRMLSegmentationNode")
    return [r for node in found if (r := Result.of(node)) is not None]
