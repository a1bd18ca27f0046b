"""``spad average``: the mean of the weights of several models, as one model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spad.checkpoint.by_name import model_path
from spad.checkpoint.card import Card
from spad.checkpoint.safetensors_file import load, save

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["add_arguments", "averaged", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad average``."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="two or more, of one network")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Write the mean, with the first model's card."""
    if args.out.exists():
        raise ValueError(f"{args.out} exists; choose another name")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save(args.out, *averaged([model_path(name) for name in args.models]))
    print(f"{args.out}: the mean of {len(args.models)} models")
    return 0


def averaged(paths: Sequence[Path]) -> tuple[Card, dict[str, Tensor]]:
    """Mean of the weights of models that went on from a common one.

    It costs no time when used, unlike an ensemble, and is often better than each of them where
    images differ from those of the training (Wortsman et al., "Model soups", ICML 2022). Of models
    that have no beginning in common it is worth nothing.

    Parameters
    ----------
    paths : sequence of Path
        Two or more checkpoints with equal networks, classes, schedules and input.

    Returns
    -------
    card : Card
        The first one's, without scores and licence, which were another model's; ``training`` says
        of what it is the mean.
    tensors : dict of torch.Tensor

    Raises
    ------
    OSError, ValueError
        As `spad.checkpoint.load`; a ValueError also where models differ in what has to be equal.
    """
    if len(paths) < 2:
        raise ValueError(f"{len(paths)} model given; a mean needs two or more")
    card, total = load(paths[0])
    kinds = {name: tensor.dtype for name, tensor in total.items()}
    total = {name: tensor.double() for name, tensor in total.items()}
    for path in paths[1:]:
        other, tensors = load(path)
        for what in ("network", "classes", "schedule", "input"):
            if getattr(other, what) != getattr(card, what):
                raise ValueError(
                    f"{path} and {paths[0]} differ in {what} ({getattr(other, what)} and "
                    f"{getattr(card, what)}); average models that went on from a common one"
                )
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in total.items()}:
            raise ValueError(
                f"{path} and {paths[0]} hold other tensors, though their cards agree; one is "
                "damaged: take it from where it came"
            )
        for name in total:
            total[name] += tensors[name].double()
    mean = {name: (tensor / len(paths)).to(kinds[name]) for name, tensor in total.items()}
    told = {k: v for k, v in card.training.items() if k != "licence"}
    told["mean of"] = f"the weights of {len(paths)} models"
    return replace(card, training=told, scores={}), mean
