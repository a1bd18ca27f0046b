"""Filling the B-scans that lie between accepted ones."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spad.between import Gap, gaps, nothing_between
from spad.checkpoint import SamplingConfig
from spad.inference import Engine
from SPADLib.desk import Done, Event, Request, events
from SPADLib.scene import Result, Source

__all__ = ["filled", "gaps_of"]


def gaps_of(result: Result, bscan: int | None) -> tuple[Gap, ...]:
    """The gaps between a result's accepted B-scans around one of them, or all if None.

    Raises
    ------
    ValueError
        There is nothing to fill; in words.
    """
    accepted = result.accepted()
    if why := nothing_between(accepted, bscan):
        raise ValueError(why)
    return gaps(accepted, bscan)


def filled(
    engine: Engine, request: Request, source: Source, result: Result, found: Sequence[Gap]
) -> Generator[Event, None, None]:
    """Propose what lies between accepted B-scans, by their shapes and the model.

    Parameters
    ----------
    engine : Engine
    request : Request
        Its `bscans` do not matter.
    source : Source
    result : Result
    found : sequence of Gap

    Yields
    ------
    as `events`, a `Done` for each B-scan
    """
    began, number, labels = time.monotonic(), 0, result.labels()
    rule = engine.read_card(request.checkpoint).sampling
    count = sum(len(gap.numbers) for gap in found)
    for gap in found:
        ends = {z: np.array(labels[z]) for z in (gap.before, gap.after)}
        for z in gap.numbers:
            number += 1
            one = replace(request, bscans=range(z, z + 1), probability=True, current=None)
            for event in events(engine, one, source, number=number, count=count, began=began):
                yield _mixed(event, source, gap, ends, rule) if isinstance(event, Done) else event


def _mixed(
    done: Done, source: Source, gap: Gap, ends: dict[int, NDArray[np.uint8]], rule: SamplingConfig
) -> Done:
    """Weigh what the model says of a B-scan against the shapes of the accepted ones."""
    from spad.between import Neighbour, mixed, shapes_between

    made = done.segmentation
    before, after = (Neighbour(np.asarray(source.stack[z]), map_) for z, map_ in ends.items())
    image, share = np.asarray(source.stack[done.first]), gap.share(done.first)
    shapes = shapes_between(image, before, after, share, len(made.probability))
    between, alone = len(gap.numbers), made.labels[0]
    labels = mixed(shapes, alone, made.probability[:, 0], between=between, rule=rule)[None]
    provenance = {**made.provenance, "between": [gap.before, gap.after]}
    return replace(
        done, segmentation=replace(made, labels=labels, probability=None, provenance=provenance)
    )
