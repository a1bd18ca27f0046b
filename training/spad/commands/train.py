"""``spad train``: a run, from its first step or from where it stopped."""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

from spad.commands.options import add_config, add_device, rank, refuse_no_folder, say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad train``."""
    add_config(parser, "key=value", "replace single settings")
    parser.add_argument("--out", type=Path, help="folder of the run (runs/CONFIG)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the run in --out")
    again.add_argument(
        "--fresh", action="store_true", help="start anew; an old run in --out is renamed"
    )
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Train until the last step, or until asked to stop."""
    from spad.train.processes import stop_signals

    with stop_signals():  # from the first moment on: importing torch takes seconds
        return _train_until_stopped(args)


def _train_until_stopped(args: argparse.Namespace) -> int:
    from spad.train.config import load_config

    out = args.out or Path("runs") / args.config.stem
    refuse_no_folder(out)
    config = load_config(args.config, args.overrides)
    from spad.train.loop import train

    first = rank() == 0 and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if args.fresh and first and out.exists():
        _keep(out)
    best = train(config, out, resume=args.resume, device=args.device)
    if rank() == 0:
        print(best)
    return 0


def _keep(out: Path) -> None:
    """Rename an old run, unless it is at work: it would go on writing into the new folder."""
    from spad.train.processes import alone_in

    with alone_in(out):
        pass
    numbers = itertools.count(1)
    kept = next(old for n in numbers if not (old := out.with_name(f"{out.name}.{n}")).exists())
    out.rename(kept)
    say(f"what was in {out} is kept in {kept}")
