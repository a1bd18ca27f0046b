"""Words that several verbs share: model, cases, sampling, device; and how the person is told."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spad.cases import CaseFolder
    from spad.checkpoint import Card

__all__ = [
    "add_cases",
    "add_config",
    "add_device",
    "add_draws",
    "add_model",
    "add_overwrite",
    "add_sampling",
    "add_workers",
    "among_workers",
    "length",
    "mapping_of",
    "positive",
    "rank",
    "refuse_existing",
    "refuse_no_folder",
    "refuse_swapped",
    "sampling",
    "say",
    "seed",
]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Argument ``MODEL``."""
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a model")


def add_cases(parser: argparse.ArgumentParser) -> None:
    """Argument ``CASES`` and which of them."""
    parser.add_argument("cases", type=Path, metavar="CASES", help="a case folder")
    parser.add_argument("--split", default="val", help="which split (val)")


def add_config(parser: argparse.ArgumentParser, words: str, meaning: str) -> None:
    """Argument ``CONFIG.toml``, and the settings that replace some of its own."""
    parser.add_argument("config", type=Path, metavar="CONFIG.toml")
    parser.add_argument("overrides", nargs="*", metavar=words, help=meaning)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Options of the reverse chain, and the device."""
    parser.add_argument("--steps", type=positive, help="reverse steps of a chain (the model's)")
    add_draws(parser)
    add_device(parser)


def add_draws(parser: argparse.ArgumentParser) -> None:
    """How many chains, and the seed of their draws."""
    parser.add_argument("--samples", type=positive, help="chains (the model's)")
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (0)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Option ``--device``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Option ``--overwrite``, for `refuse_existing`."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def refuse_existing(paths: Iterable[Path], args: argparse.Namespace) -> None:
    """Raise a ValueError, before anything is computed, for output that would replace a file."""
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it")
        if path.is_file() and not args.overwrite:  # /dev/null is none
            raise ValueError(f"{path} exists; choose another name, or --overwrite")


def refuse_no_folder(out: Path) -> None:
    """Raise a ValueError for a file where the folder of several files is meant."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file, and a folder is written to; name a folder")


def refuse_swapped(args: argparse.Namespace, others: Iterable[str | Path]) -> None:
    """Raise a ValueError where the model stands after what it is for."""
    from spad.checkpoint import installed

    def is_model(word: str) -> bool:
        return word.endswith(".safetensors") or (word in installed() and not Path(word).exists())

    for other in map(str, others):
        if is_model(other) and not is_model(args.model):
            raise ValueError(
                f"{other} is a model, which comes first: spad {args.command} {other} {args.model}"
            )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Options of a cohort: processes of this machine, or of a Dask cluster."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=positive, metavar="N",
        help="hand the files out to N processes; what an earlier run did is not done again",
    )  # fmt: skip
    where.add_argument(
        "--dask", metavar="ADDRESS", help="the same, to the workers of a Dask scheduler (tcp://...)"
    )


def among_workers(args: argparse.Namespace) -> bool:
    """Whether files are handed out to other processes."""
    return args.workers is not None or args.dask is not None


def positive(text: str) -> int:
    """A number of at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def seed(text: str) -> int:
    """A seed of random numbers, of 0 to `LARGEST_SEED`."""
    from spad.cases import LARGEST_SEED

    try:
        number = int(text)
    except ValueError:  # no number, or one of more than 4300 digits
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f"{text[:40]} is no whole number from 0 to {LARGEST_SEED}; choose one"
        )
    return number


def length(text: str) -> float:
    """A length above 0, or 0 where it is not known."""
    if not 0 <= (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no length; 0 stands for one that is not known")
    return number


def mapping_of(
    folder: CaseFolder,
    card: Card,
    given: list[str] | None = None,
    classes: Sequence[str] | None = None,
) -> Any:
    """Values of each class of a model: as given, by equal names, or as it was trained.

    ``classes`` are the card's, unless some of them are scored together.

    None where the folder names no class, which `spad.train.data.check` then says.
    """
    from spad.train.data import model_mapping, parse_mapping

    if not folder.names:
        return None
    stored = card.training.get("mapping")
    return model_mapping(
        folder,
        classes or [one.name for one in card.classes],
        given=None if given is None else parse_mapping(given),
        stored=stored.get(folder.path.resolve().name) if isinstance(stored, Mapping) else None,
    )


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """What :meth:`spad.Segmenter.segment` is asked for by these words."""
    return {"samples": args.samples, "steps": args.steps, "seed": args.seed}


def rank() -> int:
    """Number of this process among those that torchrun has started; 0 without torchrun."""
    number = os.environ.get("RANK", "")
    return int(number) if number.isdecimal() else 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    who = f"spad (rank {number})" if (number := rank()) else "spad"
    print(f"{who}: {text}", file=sys.stderr, flush=True)
