"""``spad sweep``: several values of a setting, over seeds."""

from __future__ import annotations

import argparse

from spad.commands.ablate import add_common, run_experiment, without_settings
from spad.train.experiments import sweep_arms

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad sweep``."""
    add_common(
        parser, "key=v1,v2,...", "the values of a setting; with one value, a setting of every trial"
    )
    parser.add_argument(
        "--grid", action="store_true", help="all combinations, instead of one key at a time"
    )


def run(args: argparse.Namespace) -> int:
    """Run ``spad sweep``; 0, or 1 if a trial is not finished."""
    words = list(args.overrides)
    seeds = without_settings(args.seeds, words)
    fixed, arms = sweep_arms(words, grid=args.grid)
    return run_experiment(args, "sweep", list(fixed), arms, seeds)
