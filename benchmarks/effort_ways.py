"""The ways of working that `effort.py` compares: what helps a person who paints.

A way opens a B-scan with a label map, may answer to the strokes, and hears what was accepted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from annotator import U8, Annotator, Work
from numpy.typing import NDArray

from spad.annotation import RESTART, edits_for
from spad.checkpoint import IGNORE
from spad.inference import Segmenter

PATIENCE = 2
"""Answers in a row that do not mend, after which a person asks no more in this B-scan."""


@dataclass(frozen=True)
class Eye:
    """B-scans of one eye in their order, with their reference in the model's class values.

    Parameters
    ----------
    name : str
    images : list of array, each (H, W)
    references : list of array of uint8, each (H, W)
    judged : array of uint8, shape (256,)
        What each class value of the model counts as.
    classes : int
        K of the model.
    """

    name: str
    images: list[NDArray[Any]]
    references: list[U8]
    judged: U8
    classes: int


@dataclass
class Scratch:
    """An empty label map. What the other ways are made of, too.

    Parameters
    ----------
    eye : Eye
    """

    eye: Eye
    seconds: float = 0.0  # of CPU time, of one core
    asked: int = 0
    answers = False
    stays = False  # what it answers, also where it is worse: then strokes tell it so

    def opened(self, z: int) -> list[U8]:
        """Label maps to begin with, of which a person takes that with the fewest mistakes."""
        return [np.zeros(self.eye.images[z].shape, np.uint8)]

    def answer(self, z: int, work: Work) -> U8 | None:
        """A label map that answers to the strokes so far."""
        return None

    def accepted(self, z: int, work: Work, waiting: Sequence[int]) -> None:
        """Hear that a B-scan is done, and which wait."""


@dataclass
class Model(Scratch):
    """The model's drafts, and its help.

    Parameters
    ----------
    model : Segmenter
    drafts : list of array of uint8
        The model's, of every B-scan.
    around : bool
        Sampled anew around the strokes (key R).
    onward : bool
        Each accepted B-scan is carried to the next (key O).
    learns : bool
        From all that is accepted, after the first B-scan with a structure and each third further
        one; then all that wait are segmented anew.
    """

    model: Segmenter | None = None
    drafts: list[U8] = field(default_factory=list)
    around: bool = False
    onward: bool = False
    learns: bool = False

    def __post_init__(self) -> None:
        assert self.model is not None
        self.now = self.model
        self.first, self.drafts = self.drafts, list(self.drafts)
        self.answers = self.around
        self.last: U8 | None = None
        self.done: list[tuple[int, U8]] = []
        self.since = 0

    def opened(self, z: int) -> list[U8]:
        """The draft, that from before learning (one step of undo), and the last B-scan onward."""
        found = [self.drafts[z]]
        if self.drafts[z] is not self.first[z]:
            found.append(self.first[z])
        if self.onward and self.last is not None and self.last.shape == found[0].shape:
            t0 = max(1, round(RESTART * self.now.card.schedule.steps))
            nothing = np.zeros(self.last.shape, bool)
            edits = edits_for(self.drafts[z], nothing, self.eye.classes)
            edits |= {"start": self.last}
            found.append(self._segment(z, **edits, t0=t0))
        return found

    def answer(self, z: int, work: Work) -> U8 | None:
        """Sampled anew, the strokes held."""
        return self._segment(z, **edits_for(work.labels, work.hand, self.eye.classes))

    def accepted(self, z: int, work: Work, waiting: Sequence[int]) -> None:
        """Learn, if it is time."""
        self.last = np.where(work.labels < self.eye.classes, work.labels, 0).astype(np.uint8)
        shown = np.where(work.reference == IGNORE, IGNORE, work.seen).astype(np.uint8)
        self.done.append((z, shown))
        self.since += 1
        tells = any(((m > 0) & (m != IGNORE)).any() for _, m in self.done)
        if not (self.learns and waiting and tells and (self.now is self.model or self.since >= 3)):
            return
        assert self.model is not None
        began = time.process_time()
        self.now = self.model.learn(
            [self.eye.images[i] for i, _ in self.done], [m for _, m in self.done], seed=0
        )
        self.seconds += time.process_time() - began
        self.asked += 1
        self.since = 0
        for i in waiting:
            self.drafts[i] = self._segment(i)

    def _segment(self, z: int, **edits: Any) -> U8:
        began = time.process_time()
        labels = self.now.segment(self.eye.images[z], seed=0, **edits).labels
        self.seconds += time.process_time() - began
        self.asked += 1
        return labels


@dataclass
class Walker(Scratch):
    """scikit-image's random walker (Grady 2006) from the strokes, in a box around them.

    The box's edge counts as background where nobody painted. Wider boxes than 48 pixels take
    longer and leak farther.
    """

    beta: float = 130.0
    answers = stays = True

    def answer(self, z: int, work: Work) -> U8 | None:
        """Every pixel's most likely stroke."""
        from skimage.filters import gaussian
        from skimage.segmentation import random_walker

        began = time.process_time()
        told = np.where(work.hand, work.labels.astype(np.intp) + 1, 0)
        rows, columns = (np.flatnonzero((told > 1).any(axis)) for axis in (1, 0))
        if not len(rows):
            return None
        box = tuple(slice(max(0, int(x[0]) - 48), int(x[-1]) + 49) for x in (rows, columns))
        seeds = told[box]
        edge = np.ones(seeds.shape, bool)
        edge[1:-1, 1:-1] = False
        seeds[edge & (seeds == 0)] = 1
        image = np.asarray(self.eye.images[z], float)
        grey = gaussian((image - image.min()) / max(np.ptp(image), 1e-9), 1.0)[box]
        values, numbers = np.unique(seeds, return_inverse=True)  # 0 first: free pixels
        numbers = numbers.reshape(seeds.shape)
        if len(values) < 3 or values[0] != 0:
            return None
        found = random_walker(grey, numbers, beta=self.beta, mode="cg_j", tol=1e-3)
        out = work.labels.copy()
        out[box] = values[found] - 1
        self.seconds += time.process_time() - began
        self.asked += 1
        return out


@dataclass
class Forest(Scratch):
    """A random forest on multi-scale features of all strokes of the eye, as ilastik has it.

    Features and forest as in scikit-image's example of trainable segmentation, with up to 2000
    painted pixels of each class and B-scan; the image's edge counts as background.
    """

    answers = stays = True

    def __post_init__(self) -> None:
        self.features: dict[int, NDArray[np.float32]] = {}
        self.told: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

    def opened(self, z: int) -> list[U8]:
        """What the forest of the B-scans before says."""
        began = time.process_time()
        found = super().opened(z)
        if any(values.any() for _, values in self.told.values()):
            found.append(self._said(z))
        self.seconds += time.process_time() - began
        return found

    def answer(self, z: int, work: Work) -> U8 | None:
        """Every pixel's most likely class."""
        began = time.process_time()
        self._hear(z, work)
        out = self._said(z) if any(v.any() for _, v in self.told.values()) else None
        self.seconds += time.process_time() - began
        return out

    def accepted(self, z: int, work: Work, waiting: Sequence[int]) -> None:
        """Keep the strokes, not the image's features."""
        began = time.process_time()
        if work.hand.any():
            self._hear(z, work)
        self.features.pop(z, None)
        self.seconds += time.process_time() - began

    def _hear(self, z: int, work: Work) -> None:
        edge = np.ones(work.hand.shape, bool)
        edge[1:-1, 1:-1] = False
        rng = np.random.default_rng(z)
        chosen = []
        for value in range(self.eye.classes):
            own = work.hand & (work.labels == value)
            pixels = np.flatnonzero(own | (edge & ~work.hand) if value == 0 else own)
            chosen.append(rng.permutation(pixels)[:2000])
        at = np.concatenate(chosen)
        shown = np.where(work.hand, work.labels, 0).ravel()[at]
        self.told[z] = self._features(z)[at], shown

    def _said(self, z: int) -> U8:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(50, max_depth=10, max_samples=0.5, random_state=0)
        forest.fit(*(np.concatenate(x) for x in zip(*self.told.values(), strict=True)))
        self.asked += 1
        found = forest.predict(self._features(z)).astype(np.uint8)
        return np.asarray(found.reshape(self.eye.images[z].shape))

    def _features(self, z: int) -> NDArray[np.float32]:
        from skimage.feature import multiscale_basic_features

        if z not in self.features:
            image = np.asarray(self.eye.images[z], np.float32)
            found = multiscale_basic_features(image, sigma_min=1, sigma_max=16, workers=1)
            self.features[z] = found.reshape(-1, found.shape[-1]).astype(np.float32)
        return self.features[z]


WAYS: dict[str, Callable[[Eye, Segmenter, list[U8]], Scratch]] = {
    "from scratch": lambda eye, model, drafts: Scratch(eye),
    "draft": lambda eye, model, drafts: Model(eye, model=model, drafts=drafts),
    "draft + R": lambda eye, model, drafts: Model(eye, model=model, drafts=drafts, around=True),
    "draft + O": lambda eye, model, drafts: Model(eye, model=model, drafts=drafts, onward=True),
    "draft + Learn": lambda eye, model, drafts: Model(eye, model=model, drafts=drafts, learns=True),
    "all": lambda eye, model, drafts: Model(
        eye, model=model, drafts=drafts, around=True, onward=True, learns=True
    ),
    "random walker": lambda eye, model, drafts: Walker(eye),
    "random forest": lambda eye, model, drafts: Forest(eye),
}


def worked_through(
    help_: Scratch, eye: Eye, person: Annotator, *, every: int, order: Sequence[int], seed: int
) -> dict[str, list[Any]]:
    """Let a person work through an eye.

    Returns
    -------
    dict
        For each B-scan, in the order of work: ``strokes``, ``painted`` pixels, whether it was
        ``reached`` what the person accepts, answers ``taken``, and the ``curve`` of (strokes,
        twice the pixels in both maps, the sum of those in either).
    """
    out: dict[str, list[Any]] = {n: [] for n in ("strokes", "painted", "reached", "taken", "curve")}
    for place, z in enumerate(order):
        choices = [Work(m, eye.references[z], eye.judged, eye.classes) for m in help_.opened(z)]
        work = min(choices, key=Work.mistakes)
        rng = np.random.default_rng([seed, z])
        curve, strokes = [(0, *work.overlap())], 0
        taken = refused = 0
        begun = work.labels.copy()
        for drawn, strokes in enumerate(person.strokes(work, rng), start=1):
            asks = help_.answers and drawn % every == 0 and refused < PATIENCE
            if asks and work.unfinished(person.accepts):
                better = _asked(help_, z, work)
                taken += better
                refused = 0 if better else refused + 1
                if help_.stays and refused == PATIENCE:
                    _kept(work, begun)
            curve.append((strokes, *work.overlap()))
        out["strokes"].append(strokes)
        out["painted"].append(work.painted)
        out["reached"].append(not work.unfinished(person.accepts))
        out["taken"].append(taken)
        out["curve"].append(curve)
        help_.accepted(z, work, order[place + 1 :])
    return out


def _asked(help_: Scratch, z: int, work: Work) -> bool:
    """Ask for an answer; whether it mends."""
    before, mistakes = work.labels, work.mistakes()
    labels = help_.answer(z, work)
    if labels is None:
        return False
    work.take(labels)
    better = work.mistakes() < mistakes
    if not better and not help_.stays:
        work.take(before)
    return better


def _kept(work: Work, other: U8) -> None:
    """Take over another map, but for the strokes, if that has fewer mistakes."""
    before, mistakes = work.labels, work.mistakes()
    work.take(other)
    if work.mistakes() >= mistakes:
        work.take(before)
