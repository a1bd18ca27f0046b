"""What a model learns of an eye from the B-scans that a person corrected, and what it forgets.

    python benchmarks/learning.py oct-lesions DUKE --teach fluid=IRF --score fluid=SRF,IRF
    python benchmarks/learning.py oct-lesions DUKE_LAYERS --new ONL-ISM --given 3

A patient's B-scans, in the order of their names, are one eye. Given the middle one, or three at a
quarter, the middle and three quarters of the way, or others by ``--at`` (also ``most``, that whose
draft shows most, and ``worst``, the first of the review queue), with their reference, the model
learns (`Segmenter.learn`); the others are segmented before and after and scored at the
image's own size: Dice pooled over them, and the mean per image in brackets. All goes through
`Segmenter`, 8 samples.

With ``--reader FOLDER``, another person's label maps of the same images, it says how far that one
agrees with the reference on the other B-scans; what only one of them outlines counts for neither.

With ``--guard CASES`` the learnt model is scored on these cases' validation images too, as
`spad evaluate` does: what it forgets. ``--rehearse N`` gives it N of their training images as
earlier cases.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import spad
from spad.annotation import Queue, expected_error, taught_by_phantoms
from spad.cases import CaseFolder, open_folder
from spad.checkpoint import IGNORE, label_classes
from spad.inference import Segmenter
from spad.train.data import class_table, read_image, read_labels
from spad.train.data.class_mapping import model_mapping
from spad.train.evaluation import evaluate
from spad.worker import shows_structure

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """What is taught and scored.

    Parameters
    ----------
    teach : mapping
        Value in the reference to the class that is taught; others are background.
    score : mapping
        The same to the classes that count as it in a result.
    """

    teach: dict[int, int]
    score: dict[int, tuple[int, ...]]

    def taught(self, reference: U8) -> U8:
        """Label map to learn from."""
        out = np.where(reference == IGNORE, IGNORE, 0).astype(np.uint8)
        for value, to in self.teach.items():
            out[reference == value] = to
        return out


def places(count: int, given: int) -> list[int]:
    """Numbers of the B-scans that are given."""
    if given == 1:
        return [count // 2]
    return [round((i + 1) * (count - 1) / (given + 1)) for i in range(given)]


def places_by_draft(which: str, model: Segmenter, images: Sequence[Any]) -> list[int]:
    """The B-scan that teaches most by its draft, or the one that is likely to be the worst."""
    queue = Queue()
    for number, image in enumerate(images):
        found = model.segment(image, seed=0)
        aside = taught_by_phantoms(model.card.classes, [found.provenance])
        one = expected_error(found.labels, found.uncertainty, len(model.card.classes), aside)
        queue.put((number,), one.error, one.shown)
    place = queue.teacher() if which == "most" else queue.ranked()[0]
    return list(place or ())


def scores(model: Segmenter, eye: Sequence[tuple[Any, U8]], task: Task) -> tuple[float, float]:
    """:func:`dice` of a model's label maps."""
    return dice(((model.segment(x, seed=0).labels, reference) for x, reference in eye), task.score)


def read_eyes(
    folder: CaseFolder, only: Sequence[str] | None
) -> dict[str, tuple[list[str], list[tuple[Any, U8]]]]:
    """Names of each patient's B-scans, in order; images and references."""
    eyes: dict[str, tuple[list[str], list[tuple[Any, U8]]]] = {}
    cases = [case for split in folder.splits.values() for case in split]
    for case in sorted(cases, key=lambda c: c.name):
        if only and case.patient not in only:
            continue
        names, pairs = eyes.setdefault(case.patient, ([], []))
        names.append(case.name)
        pairs.append((read_image(case), read_labels(case, np.arange(256, dtype=np.uint8))))
    return eyes


def read_again(folder: Path, names: Sequence[str], references: Sequence[U8]) -> list[U8]:
    """Another reader's label maps, 255 also where the reference shows what that one never does."""
    maps = [np.array(Image.open(folder / f"{name}.png")) for name in names]
    shown = np.unique(np.stack(maps))
    return [
        np.where(np.isin(reference, shown), labels, IGNORE).astype(np.uint8)
        for labels, reference in zip(maps, references, strict=True)
    ]


def dice(maps: Iterable[tuple[U8, U8]], score: Mapping[int, Sequence[int]]) -> tuple[float, float]:
    """Pooled Dice over label maps and references, and its mean per image where there is any."""
    both = size = 0.0
    each = []
    for labels, reference in maps:
        known = (reference != IGNORE) & (labels != IGNORE)
        for value, classes in score.items():
            a, b = np.isin(labels, classes) & known, (reference == value) & known
            both += float((a & b).sum())
            size += float(a.sum() + b.sum())
            if b.any():
                each.append(2.0 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return 2 * both / max(size, 1), float(np.mean(each)) if each else float("nan")


def task_of(args: argparse.Namespace, names: dict[int, str], model: Segmenter) -> Task:
    """The task, and for a new structure its value: the first that the model has not."""

    def value(name: str) -> int:
        found = [v for v, n in names.items() if name in (n, n.split(" (")[0])]
        if not found:
            raise SystemExit(f"{name!r} is none of {', '.join(names.values())}")
        return found[0]

    if args.new:
        new = len(model.card.classes)
        return Task({value(args.new): new}, {value(args.new): (new,)})
    own = {c.name: c.value for c in model.card.classes}
    teach = dict(pair.split("=") for pair in args.teach)
    score = dict(pair.split("=") for pair in args.score)
    return Task(
        {value(k): own[v] for k, v in teach.items()},
        {value(k): tuple(own[n] for n in v.split(",")) for k, v in score.items()},
    )


class Guard:
    """What a model must not forget: a data set's validation images, and some to rehearse.

    Parameters
    ----------
    path : Path
        The case folder.
    model : Segmenter
    rehearsed : int
        Training images that are given as earlier cases, evenly taken from all.
    """

    def __init__(self, path: Path, model: Segmenter, rehearsed: int) -> None:
        self._folder = folder = open_folder(path)
        self._names = [c.name for c in model.card.classes]
        stored = model.card.training.get("mapping", {}).get(folder.path.name)
        self._table = class_table(folder.names, model_mapping(folder, self._names, stored=stored))
        train = folder.splits["train"]
        chosen = [train[i * len(train) // rehearsed] for i in range(rehearsed)]
        self.earlier = [(read_image(case), read_labels(case, self._table)) for case in chosen]

    def score(self, model: Segmenter) -> float:
        """Pooled Dice, mean over the structures."""
        report = evaluate(
            lambda image: model.segment(image, seed=0).labels,
            self._folder.splits["val"],
            self._table,
            self._names,
            names=self._folder.names,
        )
        return float(report.mean.dice_pooled.value)


def options_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings of the recipe."""
    out: dict[str, Any] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        out[key] = float(text) if "." in text or "e" in text else int(text)
    return out


def main() -> None:
    """Run the lessons, and print a row an eye."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--given", type=int, nargs="+", default=[1, 3])
    parser.add_argument(
        "--at", nargs="+", default=[], help="which instead, as 3 or 1,5,8, from 0 on; most, worst"
    )
    parser.add_argument("--teach", nargs="+", default=[], metavar="NAME=CLASS")
    parser.add_argument("--score", nargs="+", default=[], metavar="NAME=CLASS,CLASS")
    parser.add_argument("--new", help="a structure of the folder that the model does not know")
    parser.add_argument("--eyes", nargs="+", help="only these patients")
    parser.add_argument("--reader", type=Path, help="label maps of another reader")
    parser.add_argument("--guard", type=Path, help="cases that it must not forget")
    parser.add_argument("--rehearse", type=int, default=0, help="how many of them are rehearsed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", nargs="+", default=[], metavar="option=value", help="recipe")
    args = parser.parse_args()
    model = spad.load(args.model)
    folder = open_folder(args.folder)
    task = task_of(args, dict(folder.names), model)
    classes = None
    if args.new:
        names = [c.name for c in model.card.classes]
        classes = (*model.card.classes, label_classes([*names, args.new])[-1])
    eyes = read_eyes(folder, args.eyes)
    guard = Guard(args.guard, model, args.rehearse) if args.guard else None
    if guard is not None:
        print(f"{args.guard.name}: {guard.score(model):.3f} before", flush=True)
    for given in args.at or args.given:
        rows = []
        for name, (bscans, eye) in eyes.items():
            if given in ("most", "worst"):
                at = places_by_draft(given, model, [image for image, _ in eye])
            else:
                at = [int(i) for i in given.split(",")] if args.at else places(len(eye), given)
            rest = [i for i in range(len(eye)) if i not in at]
            others = [eye[i] for i in rest]
            agreed = ""
            if args.reader:
                references = [reference for _, reference in others]
                maps = read_again(args.reader, [bscans[i] for i in rest], references)
                agreed = " | {:.3f} ({:.2f}) another reader".format(
                    *dice(zip(maps, references, strict=True), {v: [v] for v in task.score})
                )
            before = (0.0, 0.0) if args.new else scores(model, others, task)
            began = time.perf_counter()
            taught = [task.taught(eye[i][1]) for i in at]
            earlier = guard.earlier if guard is not None else ()
            learnt = model  # as a desk does where nothing can be learnt
            if shows_structure(taught):
                learnt = model.learn(
                    [eye[i][0] for i in at],
                    taught,
                    classes=classes,
                    earlier=earlier,
                    seed=args.seed,
                    **options_of(args.options),
                )
            seconds = time.perf_counter() - began
            after = scores(learnt, others, task)
            rows.append((*before, *after, seconds))
            print(
                f"{name} | {given} | {before[0]:.3f} ({before[1]:.2f}) | "
                f"{after[0]:.3f} ({after[1]:.2f}) | {seconds:.1f} s{agreed}"
                + (f" | {guard.score(learnt):.3f} on {args.guard.name}" if guard else ""),
                flush=True,
            )
        mean = np.mean(rows, axis=0)
        worst = min(after - before for before, _, after, _, _ in rows)
        print(
            f"mean | {given} | {mean[0]:.3f} ({mean[1]:.2f}) | {mean[2]:.3f} ({mean[3]:.2f}) | "
            f"{mean[4]:.1f} s | least gain {worst:+.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
