"""What filling the B-scans between two that are right is worth.

    python benchmarks/between.py oct-phantom --stacks 12
    python benchmarks/between.py oct-lesions --duke DUKE

Each second, fourth and eighth B-scan of a stack is given with its reference, and those between are
proposed: by the *model* alone, the nearest given label map *copied*, by *shapes* alone
(:mod:`spad.between`), and by *shapes and model*, as the hosts do. With ``--sampler`` also by the
sampler restarted from the shapes at 0.3 T; with ``--learn`` by the model that has learnt from the
B-scans given (one lesson a stack and distance), alone and with the shapes. Mean over structures
that are in either map, B-scans, then stacks; in brackets 95 % intervals from a bootstrap over
stacks (1000 resamples), of the points beyond the model alone; and the stack that gains least.
``--keep`` names a folder in which the model's answers are kept for the next time.

Of Duke a stack is an eye's 11 B-scans, whose places in the volume are in the files' names. Its
reference tells no IRF from SRF: each part counts as what the model rather takes it for when it is
given, and both count as fluid when scored.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import spad
from spad.annotation import RESTART
from spad.between import Neighbour, Shapes, mixed, shapes_between
from spad.cases import open_folder
from spad.checkpoint import IGNORE
from spad.inference import Segmenter
from spad.metrics import confusion_matrix, mean_scores, structure_scores
from spad.phantom import stack
from spad.train.data import read_image, read_labels

_RESAMPLES = 1000
_ALONE = "model alone"
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Stack:
    """B-scans of an eye, their places, what may be given of them, and what they are judged by."""

    name: str
    images: list[NDArray[Any]]
    places: list[int]
    given: list[U8]
    reference: list[U8]
    found: list[Found]


@dataclass(frozen=True)
class Found:
    """What the model alone says of a B-scan."""

    labels: U8
    probability: NDArray[Any]


def answers(
    model: Segmenter, images: Sequence[Any], numbers: Sequence[int], kept: Path | None
) -> list[Found]:
    """What the model says of B-scans; from the folder where it is kept."""
    if kept is not None and kept.exists():
        with np.load(kept) as file:
            return [Found(*each) for each in zip(file["labels"], file["probability"], strict=True)]
    found = []
    for image, number in zip(images, numbers, strict=True):
        made = model.segment(image, first_slice=number, probability=True)
        found.append(Found(made.labels, made.probability))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        labels, probability = [f.labels for f in found], [f.probability for f in found]
        np.savez(kept, labels=labels, probability=probability)
    return found


def phantoms(model: Segmenter, count: int, seed: int, keep: Path | None) -> Iterator[Stack]:
    """Phantom stacks of 16."""
    for number in range(seed, seed + count):
        made = stack(number)
        images, maps = list(made.image), list(made.labels)
        places = list(range(len(images)))
        found = answers(model, images, places, keep and keep / f"phantom{number}.npz")
        yield Stack(str(number), images, places, maps, maps, found)


def duke(model: Segmenter, path: Path, keep: Path | None) -> Iterator[Stack]:
    """Duke's eyes."""
    folder = open_folder(path)
    cases = sorted((c for split in folder.splits.values() for c in split), key=lambda c: c.name)
    for eye in dict.fromkeys(c.patient for c in cases):
        own = [c for c in cases if c.patient == eye]
        images = [read_image(c) for c in own]
        reference = [read_labels(c, np.arange(256, dtype=np.uint8)) for c in own]
        found = answers(model, images, [0] * len(own), keep and keep / f"{eye}.npz")
        by_name = {c.name: c.value for c in model.card.classes}
        fluids = by_name["SRF"], by_name["IRF"]
        given = [_as_classes(r, f, *fluids) for r, f in zip(reference, found, strict=True)]
        places = [int(re.findall(r"\d+", c.name)[-1]) for c in own]
        yield Stack(str(eye), images, places, given, reference, found)


def _as_classes(reference: U8, found: Found, srf: int, irf: int) -> U8:
    """Fluid as the class that the model gives each part of it rather."""
    parts, count = ndimage.label(reference == 1)
    out = np.zeros_like(reference)
    for number in range(1, count + 1):
        part = parts == number
        more = found.probability[srf][part].sum() > found.probability[irf][part].sum()
        out[part] = srf if more else irf
    return out


def proposals(
    model: Segmenter, learnt: Segmenter | None, one: Stack, every: int, *, sampler: bool
) -> Iterator[tuple[U8, dict[str, U8]]]:
    """Each B-scan between given ones: its reference and, by name, what is proposed."""
    classes, rule = len(model.card.classes), model.card.sampling

    def weighed(shapes: Shapes, said: Any) -> U8:
        return mixed(shapes, said.labels, said.probability, between=every - 1, rule=rule)

    for a, b in pairwise(range(0, len(one.images), every)):
        ends = [Neighbour(one.images[i], one.given[i]) for i in (a, b)]
        for z in range(a + 1, b):
            image, found = one.images[z], one.found[z]
            share = (one.places[z] - one.places[a]) / (one.places[b] - one.places[a])
            shapes = shapes_between(image, ends[0], ends[1], share, classes)
            maps = {
                _ALONE: found.labels,
                "neighbour copied": ends[round(share)].labels,
                "shapes": shapes.labels,
                "**shapes and model**": weighed(shapes, found),
            }
            if sampler:
                t0 = round(RESTART * model.card.schedule.steps)
                run = model.segment(image, start=shapes.labels, t0=t0, first_slice=z)
                maps["sampler from the shapes"] = run.labels
            if learnt is not None:
                taught = learnt.segment(image, first_slice=z, probability=True)
                maps["learnt model"] = taught.labels
                maps["shapes and learnt model"] = weighed(shapes, taught)
            yield one.reference[z], maps


def dice(labels: U8, reference: U8, model: Segmenter, *, fluid: bool) -> float:
    """Mean over structures in either map; of fluid, SRF and IRF as one; NaN for none."""
    if fluid:
        values = [c.value for c in model.card.classes if c.name in ("SRF", "IRF")]
        known = reference != IGNORE
        a, b = np.isin(labels, values) & known, reference == 1
        size = float(a.sum() + b.sum())
        return 2 * float((a & b).sum()) / size if size else float("nan")
    matrix = confusion_matrix(labels, reference, len(model.card.classes))
    return mean_scores(structure_scores(matrix, model.card.classes))[0]


def main() -> None:
    """Print a table, a row for each way and two columns for each distance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--stacks", type=int, default=12)
    parser.add_argument("--seed", type=int, default=9200, help="of the first stack")
    parser.add_argument("--duke", type=Path, help="a case folder of Duke's instead of phantoms")
    parser.add_argument("--every", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--sampler", action="store_true", help="also by the sampler")
    parser.add_argument("--keep", type=Path, help="folder for the model's answers")
    parser.add_argument("--learn", action="store_true", help="also by a model that has learnt")
    args = parser.parse_args()
    model = spad.load(args.model)
    stacks = (
        duke(model, args.duke, args.keep)
        if args.duke
        else phantoms(model, args.stacks, args.seed, args.keep)
    )
    scores: dict[int, dict[str, list[float]]] = {every: {} for every in args.every}
    for one in stacks:
        for every in args.every:
            at = range(0, len(one.images), every)
            learnt = None
            if args.learn:
                learnt = model.learn([one.images[i] for i in at], [one.given[i] for i in at])
            found: dict[str, list[float]] = {}
            for reference, maps in proposals(model, learnt, one, every, sampler=args.sampler):
                for way, labels in maps.items():
                    found.setdefault(way, []).append(
                        dice(labels, reference, model, fluid=bool(args.duke))
                    )
            for way, each in found.items():
                scores[every].setdefault(way, []).append(float(np.nanmean(each)))
        print(f"\r{one.name}", end="", file=sys.stderr)
    _table(scores)


def _table(scores: dict[int, dict[str, list[float]]]) -> None:
    rng = np.random.default_rng(0)
    count = len(next(iter(scores.values()))[_ALONE])
    draws = rng.integers(count, size=(_RESAMPLES, count))
    print("\n| way |" + "".join(f" each {e} given | points | least |" for e in scores))
    print("|---" * (1 + 3 * len(scores)) + "|")
    for way in next(iter(scores.values())):
        cells = []
        for found in scores.values():
            gain = 100 * (np.array(found[way]) - np.array(found[_ALONE]))
            low, high = np.percentile(gain[draws].mean(1), [2.5, 97.5])
            cells.append(f" {np.mean(found[way]):.3f} |")
            cells.append(f" {gain.mean():+.1f} [{low:+.1f}, {high:+.1f}] | {gain.min():+.1f} |")
        print(f"| {way} |" + "".join(cells))


if __name__ == "__main__":
    main()
