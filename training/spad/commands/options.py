"""Words that several verbs share: the model, how to sample, the device; and what is told."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from pathlib import Path
from typing import Any

__all__ = [
    "add_device",
    "add_model",
    "add_sampling",
    "model_path",
    "positive",
    "rank",
    "sampling",
    "say",
]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Argument ``MODEL``."""
    parser.add_argument("model", metavar="MODEL", help="a checkpoint, or the name of a shipped one")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Options of the reverse chain, and the device."""
    parser.add_argument("--steps", type=positive, help="reverse steps of a chain (the model's)")
    parser.add_argument("--samples", type=positive, help="chains (the model's)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Option ``--device``."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")


def positive(text: str) -> int:
    """A number of at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def model_path(name: str) -> Path:
    """Path of a checkpoint that is given by path or by the name of a shipped one."""
    from spad.checkpoint import shipped

    path = Path(name)
    models = shipped()
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if name not in models:
        near = difflib.get_close_matches(name, models, 1)
        hint = f"did you mean {near[0]}?" if near else f"shipped are: {', '.join(models) or 'none'}"
        raise ValueError(f"{name}: there is no such file and no such shipped model; {hint}")
    return models[name]


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """What :meth:`spad.Segmenter.segment` is asked for by these words."""
    return {"samples": args.samples, "steps": args.steps, "seed": args.seed}


def rank() -> int:
    """Number of this process among those that torchrun has started; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def say(text: str) -> None:
    """Tell the person at the terminal."""
    who = f"spad (rank {number})" if (number := rank()) else "spad"
    print(f"{who}: {text}", file=sys.stderr, flush=True)
