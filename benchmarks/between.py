"""What filling the B-scans between two that are right is worth.

    python benchmarks/between.py oct-phantom --stacks 12
    python benchmarks/between.py oct-lesions --duke DUKE

Each second, fourth and eighth B-scan of a stack is given with its reference, and those between are
proposed: the nearest given label map *copied*, by *shapes* alone (:mod:`spad.between`), by the
*sampler* restarted from them at 0.3 T, by the *model* alone, and by *shapes and model*, as the
hosts do. With ``--learn`` also by the model that has learnt from the B-scans given (one lesson a
stack and distance), alone and with the shapes. Mean over structures that are in either map,
B-scans, then stacks; in brackets 95 % intervals from a bootstrap over stacks (1000 resamples), of
the points beyond the model alone; and the stack that gains least.

Of Duke a stack is an eye's 11 B-scans, whose places in the volume are in the files' names. Its
reference tells no IRF from SRF: each part counts as what the model rather takes it for when it is
given, and both count as fluid when scored.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import spad
from spad.annotation import RESTART
from spad.between import Neighbour, mixed, shapes_between
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
    found: list[Any]  # of the model alone, with probabilities


def phantoms(model: Segmenter, count: int, seed: int) -> Iterator[Stack]:
    """Phantom stacks of 16."""
    for number in range(seed, seed + count):
        made = stack(number)
        found = [
            model.segment(image, first_slice=z, probability=True)
            for z, image in enumerate(made.image)
        ]
        maps = list(made.labels)
        yield Stack(f"{number}", list(made.image), list(range(len(maps))), maps, maps, found)


def duke(model: Segmenter, path: Path) -> Iterator[Stack]:
    """Duke's eyes."""
    folder = open_folder(path)
    cases = sorted((c for split in folder.splits.values() for c in split), key=lambda c: c.name)
    for eye in dict.fromkeys(c.patient for c in cases):
        own = [c for c in cases if c.patient == eye]
        images = [read_image(c) for c in own]
        reference = [read_labels(c, np.arange(256, dtype=np.uint8)) for c in own]
        found = [model.segment(image, probability=True) for image in images]
        given = [_as_classes(r, f) for r, f in zip(reference, found, strict=True)]
        places = [int(re.findall(r"\d+", c.name)[-1]) for c in own]
        yield Stack(eye, images, places, given, reference, found)


def _as_classes(reference: U8, found: Any) -> U8:
    """Fluid as the class that the model gives each part of it rather."""
    by_name = {c.name: c.value for c in found.classes}
    srf, irf = by_name["SRF"], by_name["IRF"]
    parts, count = ndimage.label(reference == 1)
    out = np.zeros_like(reference)
    for number in range(1, count + 1):
        part = parts == number
        more = found.probability[srf][part].sum() > found.probability[irf][part].sum()
        out[part] = srf if more else irf
    return out


def proposals(model: Segmenter, learnt: Segmenter | None, one: Stack, every: int) -> Any:
    """Each B-scan between given ones: its reference and, by name, what is proposed."""
    classes, odds = len(model.card.classes), model.card.sampling.odds
    for a, b in pairwise(range(0, len(one.images), every)):
        ends = [Neighbour(one.images[i], one.given[i]) for i in (a, b)]
        for z in range(a + 1, b):
            image, found = one.images[z], one.found[z]
            share = (one.places[z] - one.places[a]) / (one.places[b] - one.places[a])
            shapes = shapes_between(image, ends[0], ends[1], share, classes)
            t0 = round(RESTART * model.card.schedule.steps)
            run = model.segment(image, start=shapes.labels, t0=t0, first_slice=z)
            maps = {
                _ALONE: found.labels,
                "neighbour copied": ends[round(share)].labels,
                "shapes": shapes.labels,
                "sampler from the shapes": run.labels,
                "**shapes and model**": mixed(shapes, found.probability, odds=odds),
            }
            if learnt is not None:
                taught = learnt.segment(image, first_slice=z, probability=True)
                maps["learnt model"] = taught.labels
                maps["shapes and learnt model"] = mixed(shapes, taught.probability, odds=odds)
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
    parser.add_argument("--learn", action="store_true", help="also by a model that has learnt")
    args = parser.parse_args()
    model = spad.load(args.model)
    stacks = duke(model, args.duke) if args.duke else phantoms(model, args.stacks, args.seed)
    scores: dict[int, dict[str, list[float]]] = {every: {} for every in args.every}
    for one in stacks:
        for every in args.every:
            at = range(0, len(one.images), every)
            learnt = None
            if args.learn:
                learnt = model.learn([one.images[i] for i in at], [one.given[i] for i in at])
            found: dict[str, list[float]] = {}
            for reference, maps in proposals(model, learnt, one, every):
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
