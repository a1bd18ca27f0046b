"""What the host alone can tell the chains of a batch: the keys of all their draws.

Made before the first step and sent as one block. Everything else that a chain does is then done by
the device, which asks for nothing; so its steps can be recorded, and run again with other words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad.chain import draws
from spad.chain.coherent_draws import field_words
from spad.chain.noise_schedule import NoiseSchedule

__all__ = ["block", "chain_words", "views"]


def chain_words(
    schedule: NoiseSchedule,
    times: Sequence[int],
    *,
    seed: int,
    slices: Sequence[int],
    chains: Sequence[int],
    num_classes: int,
    coherent: bool,
) -> dict[str, NDArray[np.int32]]:
    """Words by what they are for.

    Parameters
    ----------
    schedule : NoiseSchedule
    times : sequence of int
        Falling, as from :func:`spad.chain.sampler.step_times`.
    seed : int
    slices, chains : sequence of int
        Numbers of the B images and of the n chains: with the seed they alone decide on the draws.
    num_classes : int
        K.
    coherent : bool
        Whether neighbours agree in draws from an x_t that says nothing.

    Returns
    -------
    dict of arrays of int32
        "first" (B, n, 2): keys of the noise that the chains begin with; "one" (B, 1, 2): of chain
        0's, whichever chains these are; by each time but the last "draw T" (B, n, 2), and, where
        x_t says nothing and draws are coherent, "fields T" (B, n, K, 4).
    """
    size = (len(slices), len(chains))

    def keys(t: int, chains: Sequence[int]) -> NDArray[np.int32]:
        numbers = [(z, chain, t) for z in slices for chain in chains]
        return draws.keys(seed, numbers, "chain").reshape(len(slices), -1, 2)

    noise = schedule.steps + 1
    found = {"first": keys(noise, chains), "one": keys(noise, [0])}
    for t in times[:-1]:
        found[f"draw {t}"] = keys(t, chains)
        if coherent and schedule.forgets(t):
            numbers = [
                (z, chain, t, value)
                for z in slices
                for chain in chains
                for value in range(num_classes)
            ]
            found[f"fields {t}"] = field_words(seed, numbers, "coherent").reshape(*size, -1, 4)
    return found


def block(words: Mapping[str, NDArray[np.int32]]) -> Tensor:
    """All words one after another, int32 on the host."""
    return torch.from_numpy(np.concatenate([each.ravel() for each in words.values()]))


def views(shapes: Mapping[str, tuple[int, ...]], whole: Tensor) -> dict[str, Tensor]:
    """The parts of a :func:`block` by their shapes, wherever it lies."""
    parts = torch.split(whole, [math.prod(shape) for shape in shapes.values()])
    named = zip(shapes.items(), parts, strict=True)
    return {name: part.view(shape) for (name, shape), part in named}
