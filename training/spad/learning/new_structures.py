"""A model with more structures than it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from spad.checkpoint import MAX_CLASSES, Card, LabelClass, label_classes
from spad.network import Network, build, transfer

__all__ = ["widened"]

_RARE = 2.0  # a new structure begins that much less likely than background, in its logit


def widened(
    card: Card, network: Network, classes: Sequence[LabelClass], shown: int
) -> tuple[Card, Network]:
    """A card and a copy of a network for the classes given: the network's own, then new ones.

    A new structure was background so far; so it begins as background does, in all layers that read
    or write classes, and less likely.

    Parameters
    ----------
    card : Card
    network : Network
    classes : sequence of LabelClass
    shown : int
        New ones from this value on are left out: a lesson that shows nothing of them teaches
        nothing of them, and moves more of what is known.

    Raises
    ------
    ValueError
        The model's own classes do not come first, or there are too many.
    """
    own = card.classes
    named = [(c.value, c.name) for c in classes]
    if named[: len(own)] != [(c.value, c.name) for c in own]:
        raise ValueError(
            f"the classes begin with {', '.join(f'{v} {n}' for v, n in named[: len(own)])}, the "
            f"model's are {', '.join(f'{c.value} {c.name}' for c in own)}; give these first, then "
            "the new ones"
        )
    if [v for v, _ in named] != list(range(len(named))) or len(named) > MAX_CLASSES:
        raise ValueError(
            f"class values {', '.join(str(v) for v, _ in named)} are not 0, 1, ... up to at most "
            f"{MAX_CLASSES - 1}; renumber the new ones"
        )
    names = [n for _, n in named]
    label_classes(names)  # refuses two that people take for one
    classes = classes[: max(len(own), shown)]
    names = names[: len(classes)]
    with torch.random.fork_rng(devices=[]):  # what is drawn here is none of the host's draws
        wide = build(card.network, len(classes), None).float()
    state = network.state_dict()
    tensors = transfer(state, [c.name for c in own], wide, names)
    for layer, axis in network.class_axes.items():
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name not in tensors or tensors[name].ndim <= axis:
                continue
            blocks = list(tensors[name].chunk(len(classes), axis))
            for k in range(len(own), len(classes)):
                blocks[k] = blocks[0].clone()
                if name == "encoder.head.bias":
                    blocks[k] -= _RARE
            tensors[name] = torch.cat(blocks, axis)
    wide.load_state_dict(tensors, strict=False)
    device = next(network.parameters()).device
    return replace(card, classes=tuple(classes)), wide.to(device)
