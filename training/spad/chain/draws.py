"""Random numbers that depend on what they are for, and on nothing else.

Every draw is keyed by (seed, numbers, purpose), never by a generator's state: it is the same
whatever the batch split, the worker, the rank or the device, and a resumed run stores no generator.
The generator is counter-based: two rounds of a 32-bit integer hash over (key, pixel), in plain
tensor arithmetic that wraps alike on every device. Integers are equal to the bit everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spad.chain.launches import few_launches, sent

__all__ = ["key", "keys", "normal", "uniform"]


def key(seed: int, *numbers: int, purpose: str) -> tuple[int, int]:
    """Two signed 32-bit words for one draw.

    Parameters
    ----------
    seed : int
        Non-negative.
    *numbers : int
        What tells this draw from others: sample number, chain, slice, time. Non-negative.
    purpose : str
        What the draw is for.
    """
    words = [seed, *numbers, zlib.crc32(purpose.encode())]
    state = np.random.SeedSequence(words).generate_state(2, np.uint32).view(np.int32)
    return int(state[0]), int(state[1])


def keys(seed: int, numbers: Sequence[Sequence[int] | int], purpose: str) -> NDArray[np.int32]:
    """Keys of a batch, int32 of shape (B, 2): one row for each entry of ``numbers``."""
    rows = [key(seed, *((n,) if isinstance(n, int) else n), purpose=purpose) for n in numbers]
    return np.array(rows, dtype=np.int32).reshape(-1, 2)


def uniform(
    keys: NDArray[np.int32] | Tensor,
    shape: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Uniform numbers inside (0, 1), float32 of shape ``(B, *shape)``.

    Parameters
    ----------
    keys : array or Tensor of int32, shape (B, 2)
        From :func:`keys`; row b alone decides on entry b.
    shape : sequence of int
        Shape of one entry, fewer than 2**31 numbers.
    device : torch.device
        Of the numbers; of keys that are a Tensor it is theirs.
    """
    if isinstance(keys, Tensor):
        words = keys
    else:
        words = sent(torch.from_numpy(np.ascontiguousarray(keys)), device)
    view = (-1,) + (1,) * len(shape)
    counter = _counter(int(np.prod(shape, dtype=np.int64)), words.device).view(*shape)
    bits = _mix(counter ^ words[:, 0].view(view))
    bits = _mix(bits.add_(words[:, 1].view(view)))
    # The upper 23 bits, in the middle of their interval, which float32 holds exactly: with 24 the
    # largest would round to 1, and a normal draw to infinity.
    return bits.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF).float().add_(0.5).mul_(2.0**-23)


def normal(
    keys: NDArray[np.int32] | Tensor,
    shape: Sequence[int],
    *,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal numbers, float32 of shape ``(B, *shape)``; arguments of :func:`uniform`."""
    return uniform(keys, shape, device=device).mul_(2).sub_(1).erfinv_().mul_(2**0.5)


def _counter(count: int, device: torch.device) -> Tensor:
    """0, 1, ...; kept on a CPU alone, since a captured graph would read it after it was let go."""
    if device.type == "cpu":
        return _kept_counter(count)
    return torch.arange(count, dtype=torch.int32, device=device)


@lru_cache(maxsize=4)
def _kept_counter(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.int32, device="cpu")


def _mix(x: Tensor) -> Tensor:
    """Hash "lowbias32" (Wellons, public domain) of int32 words, in place, with logical shifts."""
    shifted = torch.empty_like(x)  # one for all three: fresh memory costs more than the arithmetic

    def fold() -> None:
        """Upper halves onto lower ones, x ^= x >> 16: one launch on a GPU."""
        nonlocal x
        if few_launches(x):
            lower, upper = x.view(torch.int16).view(*x.shape, 2).unbind(-1)  # little-endian
            lower ^= upper
        else:
            x ^= torch.bitwise_right_shift(x, 16, out=shifted).bitwise_and_(0xFFFF)

    fold()
    x *= 0x7FEB352D
    x ^= torch.bitwise_right_shift(x, 15, out=shifted).bitwise_and_(0x1FFFF)
    x *= 0x846CA68B - (1 << 32)
    fold()
    return x
