"""Filling the B-scans that lie between accepted ones."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.correct.around_edits import Resampling
from napari_spad.desk import Desk, Finished, Request, Result, segment_parts
from napari_spad.layers import FIRST, Part, numbered
from spad.annotation import pixels
from spad.between import Gap, gaps, nothing_between
from spad.checkpoint import SamplingConfig
from spad.inference import Engine

__all__ = ["Filling"]

Place = tuple[int, ...]


class Filling:
    """Proposes what lies between two accepted B-scans, by their shapes and the model.

    Parameters
    ----------
    desk : Desk
    resampling : Resampling
        Its choices hold here too.
    """

    def __init__(self, desk: Desk, resampling: Resampling) -> None:
        self.desk, self.resampling = desk, resampling

    def fill(self, *, everywhere: bool = False) -> None:
        """Fill the gap between accepted B-scans in which the one on screen lies, or all gaps.

        Each B-scan is one undo step. Accepted ones stay, and what is by hand or locked.
        """
        result = self.resampling.at_work()
        if result is None:
            return
        place = self.desk.place(result)
        if not place:
            self.desk.say("This image is a single B-scan: nothing lies between others.")
            return
        stack = place[:-1]
        accepted = {p[-1] for p in self.desk.accepted(result) if p[:-1] == stack}
        here = None if everywhere else place[-1]
        if why := nothing_between(accepted, here, FIRST):
            elsewhere = bool(gaps(accepted)) and not everywhere
            self.desk.say(f"{why} Shift+G fills all gaps." if elsewhere else why, result)
            return
        found = gaps(accepted, here)
        try:
            ends = _ends(result, stack, found)
        except ValueError as error:
            self.desk.fail(error)
            return
        self._run(result, ends, found)

    def _run(self, result: Result, ends: dict[Place, _Ends], found: tuple[Gap, ...]) -> None:
        labels = {
            part.index: np.array(result.layer.data[part.region], np.uint8)
            for each in ends.values()
            for part in (each.before, each.after)
        }
        done, changed = 0, 0

        def made(request: Request) -> FillRequest:
            card = self.resampling.form.engine.read_card(request.checkpoint)
            plain = {f.name: getattr(request, f.name) for f in fields(request)}
            return FillRequest(**plain, ends=ends, labels=labels, rule=card.sampling)

        def take(event: Finished) -> str:
            nonlocal done, changed
            if event.part.index not in set(self.desk.accepted(result)):  # accepted meanwhile
                changed += result.take(event, within=None)
                done += 1
            return (
                f"{done} of {len(ends)} B-scans between {_told(found)} are filled, "
                f"{pixels(changed)} changed. Each is one undo step; look them over."
            )

        edits = {place: {"probability": True} for place in ends}
        self.resampling.run(result, edits, take, made=made)


@dataclass(frozen=True)
class _Ends:
    """The accepted B-scans on either side of one, and where it lies between them."""

    before: Part
    after: Part
    share: float
    between: int


def _ends(result: Result, stack: Place, found: tuple[Gap, ...]) -> dict[Place, _Ends]:
    """What to fill, gap by gap.

    Raises
    ------
    ValueError
        B-scans of a gap differ in size.
    """
    out = {}
    for gap in found:
        parts = [result.part((*stack, n)) for n in (gap.before, *gap.numbers, gap.after)]
        if len({(part.height, part.width) for part in parts}) > 1:
            raise ValueError(
                f"B-scans {numbered(gap.before)} to {numbered(gap.after)} differ in size, so "
                "that nothing can be interpolated between them: carry a B-scan to the next "
                "instead (O)"
            )
        for part in parts[1:-1]:
            share = gap.share(part.index[-1])
            out[part.index] = _Ends(parts[0], parts[-1], share, len(gap.numbers))
    return out


@dataclass(frozen=True, kw_only=True)
class FillRequest(Request):
    """Segment what lies between accepted B-scans, and weigh it against their shapes.

    Parameters
    ----------
    ends : mapping
        The accepted B-scans beside each one.
    labels : mapping
        Label maps of the accepted ones, uint8 (H, W).
    rule : SamplingConfig
        Of the model's card.
    """

    ends: Mapping[Place, _Ends]
    labels: Mapping[Place, NDArray[np.uint8]]
    rule: SamplingConfig

    def work(self, engine: Engine) -> Generator[Any, None, None]:
        """Yield what `segment_parts` does, with other label maps."""
        read: dict[Place, NDArray[Any]] = {}
        with closing(segment_parts(engine, self)) as events:
            for event in events:
                yield self._filled(event, read) if isinstance(event, Finished) else event

    def _filled(self, event: Finished, read: dict[Place, NDArray[Any]]) -> Finished:
        from spad.between import Neighbour, mixed, shapes_between

        ends, made = self.ends[event.part.index], event.segmentation
        beside = [part.index for part in (ends.before, ends.after)]
        for place in set(read) - set(beside):  # of another gap
            del read[place]
        for part in (ends.before, ends.after):
            if part.index not in read:
                read[part.index] = self.source.read(part)
        before, after = (Neighbour(read[place], self.labels[place]) for place in beside)
        shapes = shapes_between(
            self.source.read(event.part), before, after, ends.share, len(made.probability)
        )
        labels = mixed(shapes, made.labels, made.probability, between=ends.between, rule=self.rule)
        provenance = {**made.provenance, "between": [place[-1] for place in beside]}
        return replace(
            event,
            segmentation=replace(made, labels=labels, probability=None, provenance=provenance),
        )


def _told(found: tuple[Gap, ...]) -> str:
    if len(found) == 1:
        return f"{numbered(found[0].before)} and {numbered(found[0].after)}"
    return "the accepted ones"
