"""``spad evaluate``: scores of a model on annotated cases."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spad.commands.options import (
    add_cases,
    add_model,
    add_overwrite,
    add_sampling,
    mapping_of,
    refuse_existing,
    refuse_swapped,
    sampling,
    say,
)
from spad.remote import model_on

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spad.cases import CaseFolder
    from spad.checkpoint import Card

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad evaluate``."""
    add_model(parser)
    add_cases(parser)
    parser.add_argument(
        "--map",
        nargs="+",
        metavar="CLASS=VALUES",
        help='the data set\'s values of each class: "SRF=1 PED=3 background=0,5 ignore=6"',
    )
    parser.add_argument(
        "--merge",
        nargs="+",
        metavar="NEW=CLASSES",
        default=(),
        help='the model\'s classes that the data do not tell apart: "fluid=SRF,IRF"',
    )
    add_sampling(parser)
    parser.add_argument(
        "-o", "--out", type=Path, metavar="REPORT.json", help="write the scores here"
    )
    add_overwrite(parser)


def run(args: argparse.Namespace) -> int:
    """Print the scores as Markdown, and write them as JSON if asked."""
    from spad.cases import open_folder, write_json
    from spad.checkpoint import read_card, sha256
    from spad.train.data import check, class_table
    from spad.train.evaluation import evaluate, merge_classes

    refuse_swapped(args, [args.cases])
    refuse_existing([args.out] if args.out else [], args)
    path = model_on(args.model, args.device)
    card = read_card(path)
    names, merged = merge_classes([one.name for one in card.classes], args.merge)
    folder = open_folder(args.cases)
    for text in folder.said:
        say(text)
    stored = card.training.get("mapping")
    trained = isinstance(stored, Mapping) and folder.path.resolve().name in stored
    if trained and args.split == "train":
        say(
            f"{card.name} was trained on a folder of this name: it has seen images of the split "
            "'train', so that its scores there are too good; judge it by patients that it has not "
            "seen"
        )
    mapping = _mapping(folder, card, args.map, names, merged)
    check([folder], mapping, [args.split])

    import spad

    segmenter = spad.load(path, device=args.device)
    options = sampling(args)
    report = evaluate(
        lambda image: merged[segmenter.segment(image, **options).labels],
        folder.splits[args.split],
        class_table(folder.names, mapping),
        names,
        names=folder.names,
        progress=_progress,
    )
    print(report.markdown())
    if args.out is not None:
        content = {
            "model": {"name": card.name, "sha256": sha256(path)},
            "cases": {"folder": folder.path.name, "split": args.split, "mapping": mapping},
            "sampling": options,
            "notice": card.notice,
            **report.as_json(),
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, content)
    return 0


def _mapping(
    folder: CaseFolder,
    card: Card,
    given: list[str] | None,
    names: Sequence[str],
    merged: NDArray[np.uint8],
) -> Any:
    """The folder's values of each class; those of the model's own are taken together as they are.

    A folder that knows the classes apart needs no ``--map`` to have them scored together.
    """
    from spad.cases import CaseError

    if given is None and folder.names and not set(folder.names.values()) <= set(names):
        with contextlib.suppress(CaseError):  # else it says what is missing of the merged ones
            own = mapping_of(folder, card)
            found: dict[str, list[int | str]] = {name: [] for name in names}
            for one in card.classes:
                found[names[merged[one.value]]] += own.pop(one.name)
            return {**found, **own}
    return mapping_of(folder, card, given, names)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:  # a file of a log takes no line again and again
        print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
