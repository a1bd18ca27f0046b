"""What a result teaches a model, the lesson as a run, and the drafts of the model that has learnt.

The lesson itself is learnt in a process of its own (`spad.worker`). What comes of it is taken over
at once at its end: a run that is cancelled, or fails, has changed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad.annotation import RunProgress, refuse_other_structures
from spad.checkpoint import IGNORE, LabelClass
from spad.inference import Engine
from spad.worker import (
    Drafts,
    Learnt,
    LessonPlan,
    Worker,
    WorkerError,
    counted,
    lessons_of,
    new_path,
    remove,
)
from SPADLib.desk import Done, Request, events
from SPADLib.host import data_folder
from SPADLib.scene import Change, Result, Source, refuse_unwritable

__all__ = [
    "Lesson",
    "Outcome",
    "draft_anew",
    "label_maps",
    "learning",
    "learnt_folder",
    "lesson",
]


def learnt_folder() -> Path:
    """Where models that have learnt go."""
    return data_folder() / "learnt"


@dataclass(frozen=True)
class Lesson:
    """What is taught, and what is to be drafted anew.

    Parameters
    ----------
    plan : LessonPlan
    bscans : tuple of int
        That teach; those that are accepted, and count whole, come first.
    anew : tuple of int
        Segmented, neither accepted nor by hand.
    known : int
        How many structures, background with them, the model knew before.
    """

    plan: LessonPlan
    bscans: tuple[int, ...]
    anew: tuple[int, ...]
    known: int

    @property
    def told(self) -> str:
        """From how much is learnt, in words."""
        whole, some = self.plan.accepted, len(self.bscans) - self.plan.accepted
        words = [f"{whole} B-scan{'s' * (whole > 1)}"] if whole else []
        if some:
            pixels = sum(int((one != IGNORE).sum()) for one in self.plan.label_maps[whole:])
            painted = f"{pixels:,} painted pixel{'s' * (pixels > 1)}"
            words.append(painted if whole else f"{painted} on {some} B-scan{'s' * (some > 1)}")
        return " and ".join(words)


@dataclass(frozen=True)
class Outcome:
    """The model that has learnt, and its drafts."""

    learnt: Learnt
    drafts: tuple[Done, ...]


def lesson(
    result: Result,
    source: Source,
    checkpoint: Path,
    device: str,
    *,
    known: Sequence[LabelClass],
    seed: int = 0,
) -> Lesson:
    """Make a lesson of a result: accepted B-scans teach whole, others what is painted by hand.

    Structures that the model does not know yet are learnt with the others.

    Parameters
    ----------
    result : Result
    source : Source
        Of its volume, as the model sees it.
    checkpoint : Path
        The model that the result was first made with.
    device : str
    known : sequence of LabelClass
        What the model knows, background first.
    seed : int

    Raises
    ------
    ValueError
        Nothing is accepted or painted yet, the model has other structures, or the drafts could not
        be written.
    """
    first, new = result.classes[: len(known)], result.classes[len(known) :]
    refuse_unwritable(result.segmentation, result.values, result.volume)
    model = f"the model “{checkpoint.stem}”"
    refuse_other_structures(result.segmentation.GetName(), first, known, model=model)
    maps, accepted = label_maps(result)
    if not maps:
        raise ValueError(
            "Nothing is accepted, nor painted by hand, that could be learnt from: correct a B-scan "
            "and press Accept first"
        )
    earlier = lessons_of(checkpoint)
    made = result.provenance
    plan = LessonPlan(
        checkpoint,
        [np.array(source.stack[z]) for z in maps],
        list(maps.values()),
        len(accepted & set(maps)),
        new_path(learnt_folder(), made[0]["checkpoint"]["name"] if made else checkpoint.stem),
        device=device,
        classes=(*known, *new) if new else None,
        earlier=earlier if earlier.is_file() else None,
        inverted=source.inverted,
        seed=seed,
    )
    anew = sorted(result.segmented - accepted - _any(result.by_hand()))
    return Lesson(plan, tuple(maps), tuple(anew), len(known))


def label_maps(result: Result) -> tuple[dict[int, NDArray[np.uint8]], set[int]]:
    """What a result would teach now, by B-scan, and which of them are accepted and come first."""
    labels = result.labels()
    accepted, painted = result.accepted(labels), result.by_hand(labels, sure=True)
    labels[result.own()] = IGNORE  # of no structure: it is not background either
    maps = {}
    count = len(result.classes)
    for z in (*sorted(accepted), *sorted(_any(painted) - accepted)):
        one = counted(labels[z], painted[z], accepted=z in accepted, classes=count)
        if (one != IGNORE).any():
            maps[z] = one
    return maps, accepted


def learning(
    worker: Worker, lesson: Lesson, engine: Engine, ask: Request, source: Source
) -> Generator[str | RunProgress | Outcome | None, None, None]:
    """Learn, and draft anew with what has learnt; to cancel, close it: no model is left then.

    Parameters
    ----------
    worker : Worker
        Ended where the lesson is cancelled.
    lesson : Lesson
    engine : Engine
    ask : Request
        How the drafts are made; its checkpoint and B-scans do not count.
    source : Source

    Yields
    ------
    str, RunProgress
    None
        Nothing new: wait a moment.
    Outcome
        Once, last of all.

    Raises
    ------
    ValueError
        The lesson failed; in words.
    as `events`
    """
    try:
        learnt = yield from worker.learn(lesson.plan, wait_s=0)
    except WorkerError as error:
        text = str(error)
        raise ValueError(f"{text[:1].upper()}{text[1:]}") from error
    taken = False
    try:
        drafts, parts, began = [], _runs(lesson.anew), time.monotonic()
        for number, bscans in enumerate(parts, 1):
            one = replace(ask, checkpoint=learnt.out, bscans=bscans)
            count = len(parts)
            for event in events(engine, one, source, number=number, count=count, began=began):
                if isinstance(event, Done):
                    drafts.append(event)
                else:
                    yield event
        yield Outcome(learnt, tuple(drafts))
        taken = True
    finally:
        if not taken:
            remove(learnt.out)


def draft_anew(
    result: Result, outcome: Outcome, told: Drafts, known: int
) -> tuple[list[Change], set[int]]:
    """Take over drafts, but where a person has accepted or painted meanwhile.

    Parameters
    ----------
    result : Result
    outcome : Outcome
    told : Drafts
        Gets both drafts of each B-scan, for the score of the lesson.
    known : int
        As of the `Lesson`.

    Returns
    -------
    changed : list of Change
    anew : set of int
        B-scans that are drafted anew, changed or not.
    """
    before = result.labels()
    stay = result.accepted(before) | _any(result.by_hand(before))
    runs = {done.first: done.segmentation for done in outcome.drafts}
    changed = result.take_all(runs, but=stay)
    anew = {first + n for first, run in runs.items() for n in range(len(run.labels))} - stay
    now = result.labels()
    for z in anew:
        told.put(z, before[z], now[z], known)
    return changed, anew


def _any(where: NDArray[np.bool_]) -> set[int]:
    return {int(z) for z in np.flatnonzero(where.any(axis=(1, 2)))}


def _runs(bscans: Iterable[int]) -> list[range]:
    """Consecutive ones together."""
    found: list[range] = []
    for z in bscans:
        if found and found[-1].stop == z:
            found[-1] = range(found[-1].start, z + 1)
        else:
            found.append(range(z, z + 1))
    return found
