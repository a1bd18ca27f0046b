"""What teaches: B-scans that a person accepted count whole, of others what is by hand."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.desk import Desk, EngineError, Request, Result, segment_parts
from napari_spad.layers import Part, segmented
from spad.checkpoint import LabelClass
from spad.inference import Engine

__all__ = ["LessonRequest", "Taught", "is_open"]


@dataclass(frozen=True)
class Taught:
    """The B-scans of a result that teach, as they are now.

    Parameters
    ----------
    parts : tuple of Part
    label_maps : tuple of arrays of uint8, shape (H, W)
        255 where it does not count.
    whole : int
        How many of them count whole; they come first.
    painted : int
        Pixels that count in the others.
    """

    parts: tuple[Part, ...]
    label_maps: tuple[NDArray[np.uint8], ...]
    whole: int
    painted: int

    @classmethod
    def of(cls, desk: Desk, result: Result) -> Taught:
        """Gather them."""
        from spad.checkpoint import IGNORE
        from spad.worker import counted

        accepted = sorted(set(desk.accepted(result)))
        by_hand = result.hand.mask.reshape(*result.hand.mask.shape[:-2], -1).any(-1)
        painted = {tuple(int(i) for i in at) for at in np.argwhere(by_hand)} - set(accepted)
        parts, label_maps = [], []
        for place in (*accepted, *sorted(painted)):
            part = result.part(place)
            labels = counted(
                np.asarray(result.layer.data[part.region]),
                result.painted(part),
                accepted=place not in painted,
                classes=len(result.classes),
            )
            if (labels != IGNORE).any():
                parts.append(part)
                label_maps.append(labels)
        whole = sum(part.index not in painted for part in parts)
        pixels = sum(int((labels != IGNORE).sum()) for labels in label_maps[whole:])
        return cls(tuple(parts), tuple(label_maps), whole, pixels)

    @property
    def accepted(self) -> dict[tuple[int, ...], NDArray[np.uint8]]:
        """Label maps of those that count whole, by place."""
        places = [part.index for part in self.parts[: self.whole]]
        return dict(zip(places, self.label_maps[: self.whole], strict=True))

    @property
    def told(self) -> str:
        """From how much, in words."""
        some = len(self.parts) - self.whole
        words = [f"{self.whole} B-scan{'s' * (self.whole > 1)}"] if self.whole else []
        if some:
            pixels = f"{self.painted:,} painted pixel{'s' * (self.painted > 1)}"
            words.append(pixels if self.whole else f"{pixels} on {some} B-scan{'s' * (some > 1)}")
        return " and ".join(words)


def is_open(desk: Desk, result: Result, part: Part) -> bool:
    """Whether a B-scan is all a model's: segmented, not accepted, and nothing in it by hand."""
    return (
        part.index in (segmented(result.layer) or ())
        and part.index not in set(desk.accepted(result))
        and not result.hand.mask[part.region].any()
        and result.untouched(part)
    )


@dataclass(frozen=True, kw_only=True)
class LessonRequest(Request):
    """Learn in the worker, then segment anew what is a model's.

    Parameters
    ----------
    worker : Worker
    taught : Taught
    out : Path
        Where the new model goes.
    classes : tuple of LabelClass or None
        The model's own, then new ones.
    anew : list of Part
        What to segment; whoever takes the `Learnt` may write it anew.
    """

    worker: Any
    taught: Taught
    out: Path
    classes: tuple[LabelClass, ...] | None
    anew: list[Part]

    def work(self, engine: Engine) -> Generator[Any, None, None]:
        """Yield what goes on, a `Learnt`, then what `segment_parts` does."""
        from dataclasses import replace

        from spad.worker import LessonPlan, WorkerError

        yield "reading the B-scans that teach…"
        earlier = self.checkpoint.with_suffix(".lessons.npz")
        plan = LessonPlan(
            self.checkpoint,
            [self.source.read(part) for part in self.taught.parts],
            list(self.taught.label_maps),
            self.taught.whole,
            self.out,
            device=self.device,
            classes=self.classes,
            earlier=earlier if earlier.is_file() else None,
            inverted=self.source.inverted,
            seed=self.seed,
        )
        yield f"learning from {self.taught.told}…"
        try:
            learnt = yield from self.worker.learn(plan)
        except WorkerError as error:
            raise EngineError(str(error)) from error
        yield learnt
        if self.anew:
            self.source.parts = tuple(self.anew)
            yield from segment_parts(engine, replace(self, checkpoint=learnt.out))
