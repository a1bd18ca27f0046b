"""``spad tune``: the cheapest sampling that loses nothing, measured on annotated images."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from spad import checkpoint
from spad.cases import CaseFolder, open_folder
from spad.chain import cosine_schedule
from spad.checkpoint import Card
from spad.commands.options import (
    add_cases,
    add_device,
    add_draws,
    mapping_of,
    positive,
    refuse_swapped,
)
from spad.train.data import check, class_table
from spad.train.tune import Bench, Tuning, named_settings, say, scans_of, some

__all__ = ["add_arguments", "run"]


_LONGEST = 4096  # pixels of the network's grid, as in a card
_LEARNT = 8  # steps; every more multiplies the search, and short chains are what it is for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad tune``."""
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a model")
    add_cases(parser)
    parser.add_argument(
        "--map", nargs="+", metavar="CLASS=VALUES", help="the data set's values of each class"
    )
    parser.add_argument(
        "--images", type=positive, default=24, metavar="N", help="measure on so many (24)"
    )
    parser.add_argument(
        "--reference-images",
        type=positive,
        default=8,
        metavar="N",
        help="run the whole chain on so many of them (8)",
    )
    parser.add_argument(
        "--steps", type=positive, nargs="+", default=[1, 2, 3, 5, 10, 25], metavar="N",
        help="numbers of steps (1 2 3 5 10 25; the whole chain is always measured)",
    )  # fmt: skip
    parser.add_argument(
        "--learn", type=int, default=3, metavar="N", help="learn times for 2 to N steps (3; 0: no)"
    )
    parser.add_argument(
        "--coherence", type=int, default=32, metavar="PX",
        help="also try first draws that are coherent over so many pixels (32; 0: no)",
    )  # fmt: skip
    add_draws(parser)
    out = parser.add_mutually_exclusive_group()
    out.add_argument("--out", type=Path, metavar="FILE", help="where to (MODEL-tuned.safetensors)")
    out.add_argument("--in-place", action="store_true", help="write into MODEL itself")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``spad tune``.

    Raises
    ------
    ValueError
        A model that cannot sample, cases that do not fit it, or a place that is taken.
    OSError
        A file cannot be read or written.
    KeyboardInterrupt
        Stopped; says where the measurements are.
    """
    if not 0 <= args.learn <= _LEARNT:
        raise ValueError(f"--learn {args.learn}: times are learnt for at most {_LEARNT} steps")
    if not 0 <= args.coherence <= _LONGEST:
        raise ValueError(f"--coherence {args.coherence}: give 0 to {_LONGEST} pixels")
    refuse_swapped(args, [args.cases])
    path = checkpoint.model_path(args.model)
    card = checkpoint.read_card(path)
    if not card.network.diffuses:
        raise ValueError(
            f"{args.model} does not diffuse: one pass gives its one answer, there are no steps to "
            "choose; take a SPAD model"
        )
    out = _out(args, path)
    folder = open_folder(args.cases)
    for text in folder.said:
        say(text)
    tuning = _tuning(args, path, card, folder, out)
    bench = tuning.bench
    if before := len(bench.done):
        say(f"{before} measurements of {bench.file} are used again")
    try:
        use, facts = tuning.run(args.learn)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; {len(bench.done)} measurements are kept in {bench.file}, the same "
            "command goes on from there"
        ) from None
    facts = {
        "cases": f"{folder.path.resolve().name}, {args.split}",
        "date": datetime.now(UTC).date().isoformat(),
        # Folders are the reader's own business, and a card is passed on.
        "command": shlex.join(["spad", *(Path(word).name or word for word in args.argv)]),
        **facts,
    }
    scores = {**card.scores, "tuning": facts}
    checkpoint.save_with_card(path, replace(card, sampling=use, scores=scores), out)
    print(out)
    return 0


def _tuning(
    args: argparse.Namespace, path: Path, card: Card, folder: CaseFolder, out: Path
) -> Tuning:
    """The search, on checked cases."""
    mapping = mapping_of(folder, card, args.map)
    check([folder], mapping, [args.split])
    cases = folder.splits[args.split]
    samples = card.sampling.samples if args.samples is None else args.samples
    schedule = cosine_schedule(card.schedule.steps, card.schedule.offset, card.schedule.beta_max)
    settings = named_settings(card.sampling, schedule, args.steps, samples, args.coherence)
    bench = Bench(
        model=path,
        table=class_table(folder.names, mapping),
        names=folder.names,
        file=out.with_name(f"{out.stem}.{checkpoint.sha256(path)[:8]}.jsonl"),
        in_mm=all(case.spacing_mm is not None for case in cases),
        seed=args.seed,
        device=args.device,
    )
    return Tuning(bench, settings, some(scans_of(cases), args.images), args.reference_images)


def _out(args: argparse.Namespace, path: Path) -> Path:
    """Where the tuned checkpoint goes; refused before anything is measured."""
    ships = path.resolve() in {p.resolve() for p in checkpoint.installed().values()}
    if args.in_place:
        if ships:
            raise ValueError(
                f"{args.model} goes by its name, for others too, and is not changed in place; name "
                "another file with --out"
            )
        return path
    beside = Path() if ships else path.parent
    out: Path = args.out or beside / f"{path.stem}-tuned.safetensors"
    if out.exists():
        raise ValueError(
            f"{out} exists and is not overwritten; remove it, or choose another with --out"
        )
    return out
