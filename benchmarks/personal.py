"""A model of one's own: what the eyes that a person has corrected bring to the next one.

    python benchmarks/personal.py oct-lesions DUKE --teach fluid=IRF --score fluid=SRF,IRF

Each eye (patient) in turn is the next one. The others are learnt from one after the other, whole,
each from the model that the one before has left, with what that one kept to rehearse, as a person
does who keeps the model of each eye for the next. Scored as `benchmarks/learning.py` does: the
first draft of the next eye after each of them, and at last, with one and three of its own B-scans
given, the others before and after. With ``--guard CASES``, what the last model has forgotten; with
``--untaught FOLDER NAME=CLASS``, how the first draft before the first of them and after the last
shows what another reference of the same images outlines and no lesson does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from learning import Guard, Task, options_of, places, read_eyes, scores, task_of

import spad
from spad.cases import open_folder
from spad.inference import Segmenter
from spad.worker import Pairs, rehearsed


def eye_by_eye(
    model: Segmenter, eyes: list[Pairs], options: dict[str, Any]
) -> Iterator[tuple[Segmenter, list[Pairs]]]:
    """The model after no eye, one, two and so on, and the cases that it may rehearse."""
    cases: list[Pairs] = []
    yield model, cases
    for eye in eyes:
        model = learnt_from(model, eye, cases, options)
        cases = rehearsed([eye, *cases])
        yield model, cases


def learnt_from(
    model: Segmenter, pairs: Pairs, cases: list[Pairs], options: dict[str, Any]
) -> Segmenter:
    """What a model has learnt of some B-scans, with earlier cases to rehearse."""
    images, labels = zip(*pairs, strict=True)
    earlier = [pair for case in cases for pair in case]
    return model.learn(images, labels, earlier=earlier, seed=0, **options)


def main() -> None:
    """Print a row an eye, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--given", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--teach", nargs="+", required=True, metavar="NAME=CLASS")
    parser.add_argument("--score", nargs="+", required=True, metavar="NAME=CLASS,CLASS")
    parser.add_argument("--eyes", nargs="+", help="only these patients are the next one")
    parser.add_argument("--guard", type=Path, help="cases that it must not forget")
    parser.add_argument(
        "--untaught", nargs=2, metavar=("FOLDER", "NAME=CLASS"), help="a structure not taught"
    )
    parser.add_argument("--options", nargs="+", default=[], metavar="option=value", help="recipe")
    args = parser.parse_args()
    base = spad.load(args.model)
    folder = open_folder(args.folder)
    args.new = None
    task = task_of(args, dict(folder.names), base)
    eyes = {name: eye for name, (_, eye) in read_eyes(folder, None).items()}
    guard = Guard(args.guard, base, 0) if args.guard else None
    untaught = untaught_of(args, base) if args.untaught else None
    rows = []
    for name in args.eyes or eyes:
        row = next_eye(base, eyes, name, task, args, guard, untaught)
        rows.append(row)
        print(f"{name} | {told(row)}", flush=True)
    print(f"mean | {told([tuple(np.mean(column, 0)) for column in zip(*rows, strict=True)])}")


def untaught_of(args: argparse.Namespace, base: Segmenter) -> tuple[dict[str, list[Any]], Task]:
    """Each eye with the other reference, and what is scored in it."""
    folder = open_folder(Path(args.untaught[0]))
    asked = argparse.Namespace(new=None, teach=[], score=[args.untaught[1]])
    eyes = {name: eye for name, (_, eye) in read_eyes(folder, None).items()}
    return eyes, task_of(asked, dict(folder.names), base)


def next_eye(
    base: Segmenter,
    eyes: dict[str, list[Any]],
    name: str,
    task: Task,
    args: argparse.Namespace,
    guard: Guard | None,
    untaught: tuple[dict[str, list[Any]], Task] | None,
) -> list[tuple[float, ...]]:
    """Pooled and per image: the first drafts, then before and after each number of its own."""
    options = options_of(args.options)

    def taught(eye: list[Any]) -> Pairs:
        return [(image, task.taught(reference)) for image, reference in eye]

    others = [taught(eye) for other, eye in eyes.items() if other != name]
    row: list[tuple[float, ...]] = []
    for model, cases in eye_by_eye(base, others, options):  # noqa: B007  (the last ones stay)
        row.append(scores(model, eyes[name], task))
    for given in args.given:
        eye, at = eyes[name], places(len(eyes[name]), given)
        rest = [one for i, one in enumerate(eye) if i not in at]
        row.append(scores(model, rest, task))
        learnt = learnt_from(model, taught([eye[i] for i in at]), cases, options)
        row.append(scores(learnt, rest, task))
    if guard is not None:
        row.append((guard.score(model),))
    if untaught is not None:
        row += [scores(m, untaught[0][name], untaught[1]) for m in (base, model)]
    return row


def told(row: list[tuple[float, ...]]) -> str:
    """The cells of a row: pooled, and per image in brackets."""
    return " | ".join(f"{d[0]:.3f}" + "".join(f" ({x:.2f})" for x in d[1:]) for d in row)


if __name__ == "__main__":
    main()
