"""``spad phantom``: a case folder of procedural B-scans."""

from __future__ import annotations

import argparse
from pathlib import Path

from spad.cases import CaseError
from spad.commands.options import seed

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad phantom``."""
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--train", type=int, default=64, metavar="N", help="training cases (64)")
    parser.add_argument("--val", type=int, default=16, metavar="N", help="validation cases (16)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(256, 384), metavar=("H", "W"), help="(256 384)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="another seed, other phantoms (0)")
    parser.add_argument("--randomise", action="store_true", help="vary the looks widely")
    parser.add_argument(
        "--disease",
        default="wet-amd",
        metavar="D",
        help="(wet-amd), oedema or serous",
    )
    parser.add_argument(
        "--raters", type=int, default=0, metavar="R", help="R people's readings, not the truth (0)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder, which must be new or empty."""
    from spad.phantom import CLASS_NAMES
    from spad.train.data import phantom_cases, target_problems, whole_folder, write_folder

    if problems := target_problems(args.out):
        raise CaseError(problems)
    made = phantom_cases(
        args.train,
        args.val,
        size=tuple(args.size),
        seed=args.seed,
        randomise=args.randomise,
        disease=args.disease,
        raters=args.raters,
    )
    with whole_folder(args.out) as folder:
        count = write_folder(folder, made, dict(enumerate(CLASS_NAMES)))
    of = f" ({args.raters} readings of each image)" if args.raters else ""
    print(f"{args.out}: {count} phantoms{of}")
    return 0
