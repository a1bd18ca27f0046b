"""``spad ablate``: rows of SPAD's Tables 1 and 3, or others, over seeds; `spad sweep` shares it."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Literal

from spad.commands.options import add_config, add_device, refuse_no_folder, say
from spad.train.experiments import Arms, choose_arms

__all__ = ["add_arguments", "add_common", "run", "run_experiment", "without_settings"]

_MOST_SEEDS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad ablate``."""
    add_common(parser, "key=value", "replace single settings of every trial")
    parser.add_argument(
        "--arms",
        nargs="+",
        metavar="NAME",
        help="table3 (the default), table1, table1-narrow (smaller networks, for a CPU), leakage, "
        "or rows of these: unet, DynUNet, CCDM, Swin-Unet ...",
    )
    parser.add_argument(
        "--arm",
        action="append",
        default=[],
        metavar='"NAME: key=value ..."',
        help="a row of your own; may be repeated",
    )


def add_common(parser: argparse.ArgumentParser, words: str, meaning: str) -> None:
    """Arguments of every experiment; the settings are `words`."""
    add_config(parser, words, meaning)
    parser.add_argument("--out", type=Path, help="folder of the experiment (runs/CONFIG-COMMAND)")
    parser.add_argument(
        "--seeds",
        nargs="+",
        default=["3"],
        metavar="N",
        help="how many (3), or several numbers: 0 1 2; added to the configuration's seed",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="trials at a time (1)")
    parser.add_argument("--samples", type=int, default=8, help="chains to score with (8)")
    parser.add_argument("--steps", type=int, help="reverse steps of a chain (the configuration's)")
    parser.add_argument("--against", metavar="NAME", help="row of reference (the first)")
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``spad ablate``; 0, or 1 if a trial is not finished."""
    words = list(args.overrides)
    names = without_settings(args.arms or ["table3"], words)
    seeds = without_settings(args.seeds, words)
    # Rows of Table 3 are SPAD's, also where the configuration is that of a plain U-Net.
    arms = {name: ("method=spad", *own) for name, own in choose_arms(names, args.arm).items()}
    return run_experiment(args, "ablation", words, arms, seeds)


def without_settings(given: list[str], words: list[str]) -> list[str]:
    """Move what is ``key=value`` to `words`: argparse gives all that follows an option to it."""
    words += [one for one in given if "=" in one]
    return [one for one in given if "=" not in one]


def _seeds(given: list[str]) -> tuple[int, ...]:
    if not given or not all(one.isdecimal() for one in given):
        raise ValueError(f"--seeds {' '.join(given)}: give how many, or several numbers: 0 1 2")
    numbers = [int(one) for one in given]
    if len(numbers) == 1:
        if numbers[0] > _MOST_SEEDS:
            raise ValueError(
                f"--seeds {given[0]} are too many trials of each arm; give at most {_MOST_SEEDS}, "
                "or several numbers for these alone: 0 1 2"
            )
        numbers = list(range(numbers[0]))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"--seeds {' '.join(given)}: give at least one, and each only once")
    return tuple(numbers)


def run_experiment(
    args: argparse.Namespace,
    kind: Literal["ablation", "sweep"],
    words: list[str],
    arms: Arms,
    seeds: list[str],
) -> int:
    """Train and score the arms over the seeds; 0, or 1 if a trial is not finished."""
    numbers = _seeds(seeds)
    if args.jobs < 1:
        raise ValueError(f"--jobs {args.jobs} is below 1; give at least one")
    out = args.out or Path("runs") / f"{args.config.stem}-{args.command}"
    refuse_no_folder(out)

    from spad.train.experiments import Experiment, Sampling, plan, run_trials

    experiment = Experiment(
        kind=kind,
        out=out,
        path=args.config,
        words=tuple(words),
        arms=arms,
        seeds=numbers,
        sampling=Sampling(samples=args.samples, steps=args.steps),
        command=shlex.join(["spad", *args.argv]),
    )

    trials = plan(experiment)
    done = run_trials(
        experiment, trials, jobs=args.jobs, device=args.device, against=args.against, say=say
    )
    print(experiment.out / "table.md")
    if not done:
        say("not every trial is finished: see the table; the same command tries the rest again")
    return 0 if done else 1
