"""``spad average``: the mean of the weights of several models, as one model."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from spad.checkpoint.by_name import model_path
from spad.checkpoint.card import Card, joined_records
from spad.checkpoint.safetensors_file import load, load_origin, save

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["add_arguments", "averaged", "run"]

_LONGEST = 80  # characters of a card's name
_RANGES = [list(kinds) for kinds in product((int, float), repeat=3)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``spad average``."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="two or more, of one network")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Write the mean, with a card that tells of all."""
    if args.out.exists():
        raise ValueError(f"{args.out} exists; choose another name")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    card, tensors, origin = averaged([model_path(name) for name in args.models])
    save(args.out, card, tensors, origin=origin)
    print(f"{args.out}: the mean of {len(args.models)} models")
    return 0


def averaged(
    paths: Sequence[Path],
) -> tuple[Card, dict[str, Tensor], Mapping[str, Tensor] | None]:
    """Mean of the weights of models that went on from a common one.

    It costs no time when used, unlike an ensemble, and is often better than each of them where
    images differ from those of the training (Wortsman et al., "Model soups", ICML 2022). Of models
    that have no beginning in common it is worth nothing.

    Parameters
    ----------
    paths : sequence of Path
        Two or more checkpoints with equal networks, classes, schedules and input; the images that
        they were trained on may be others.

    Returns
    -------
    card : Card
        The first one's, without scores and licence, which were another model's; the name is of all,
        and so are what it knows of training images, and ``data`` and ``learnt`` of ``training``,
        which says of what it is the mean.
    tensors : dict of torch.Tensor
    origin : mapping of torch.Tensor, optional
        What learns as it was before the first lesson, where it is one for all of them: a model that
        has had no lesson is its own beginning. Where it is not, that is warned of.

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
    cards = [card]
    for path in paths[1:]:
        other, tensors = load(path)
        for what in ("network", "classes", "schedule", "input"):
            if (theirs := _compared(other, what)) != (first := _compared(card, what)):
                raise ValueError(
                    f"{path} and {paths[0]} differ in {what} ({_difference(theirs, first)}); "
                    "average models that went on from a common one"
                )
        if {n: t.shape for n, t in tensors.items()} != {n: t.shape for n, t in total.items()}:
            raise ValueError(
                f"{path} and {paths[0]} hold other tensors, though their cards agree; one is "
                "damaged: take it from where it came"
            )
        cards.append(other)
        for name in total:
            total[name] += tensors[name].double()
    mean = {name: (tensor / len(paths)).to(kinds[name]) for name, tensor in total.items()}
    return _card_of(cards), mean, _one_origin(paths)


def _compared(card: Card, what: str) -> Any:
    """A part of a card without what it tells of the training images."""
    return replace(card.input, statistics={}) if what == "input" else getattr(card, what)


def _difference(one: Any, other: Any) -> str:
    """What differs of two parts of cards, in a line: no histogram, and nothing that is alike."""
    if isinstance(one, tuple):
        names = [", ".join(c.name for c in classes) for classes in (one, other)]
        return " and ".join(names) if names[0] != names[1] else "colours or terms of alike names"
    pairs = {f.name: (getattr(one, f.name), getattr(other, f.name)) for f in fields(one)}
    return ", ".join(
        name if isinstance(a, Mapping) else f"{name} {a} and {b}"
        for name, (a, b) in pairs.items()
        if a != b
    )


def _card_of(cards: Sequence[Card]) -> Card:
    """The first card, with the names, the data and the lessons of all."""
    told = {k: v for k, v in cards[0].training.items() if k != "licence"}
    for what in ("data", "learnt"):
        if records := joined_records(*(card.training.get(what) for card in cards)):
            told[what] = records
    told["mean of"] = f"the weights of {len(cards)} models"
    *others, last = dict.fromkeys(card.name for card in cards)
    name = f"mean of {', '.join(others)} and {last}" if others else last
    if len(name) > _LONGEST:
        name = f"mean of {len(cards)} models"
    seen = _joined_ranges([card.input.statistics for card in cards])
    known = replace(cards[0].input, statistics=seen)
    return replace(cards[0], name=name, input=known, training=told, scores={})


def _joined_ranges(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is alike, and of ranges (least, middle, greatest) those that hold all; the rest goes."""
    found: dict[str, Any] = {}
    for name, first in every[0].items():
        values: list[Any] = [one.get(name) for one in every]
        if all(value == first for value in values):
            found[name] = first
        elif all(isinstance(value, Mapping) for value in values):
            found[name] = _joined_ranges(values)
        elif all(isinstance(v, list) and [*map(type, v)] in _RANGES for v in values):
            low, middle, high = zip(*values, strict=True)
            found[name] = [min(low), fmean(middle), max(high)]
    return found


def _one_origin(paths: Sequence[Path]) -> Mapping[str, Tensor] | None:
    """What the models were before their first lessons, if that is the same; None without any."""
    known = next(filter(None, map(load_origin, paths)), None)
    if known is None:
        return None
    for path in paths:
        begun = load_origin(path) or load(path)[1]
        if not all(n in begun and begun[n].equal(tensor) for n, tensor in known.items()):
            warnings.warn(
                f"{path} began to learn from other weights than the first that learnt, so the mean "
                "keeps none of them: lessons with it count as its first",
                stacklevel=3,
            )
            return None
    return known
