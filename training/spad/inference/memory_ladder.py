"""How much of a run is done at once, and what to try when the memory of a device does not do.

The ladder: fewer slices at once, fewer chains at once, tiles, smaller tiles, and at last the CPU.
Each rung is said aloud by who climbs down it; none changes a draw.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn

from spad.checkpoint import Card
from spad.inference.hosts import is_out_of_memory
from spad.network import Network

__all__ = [
    "CPU",
    "KEPT",
    "Limits",
    "Plan",
    "first_plan",
    "free_bytes",
    "moved",
    "placed",
    "release",
    "reserved_bytes",
    "smaller",
]

_T = TypeVar("_T")
CPU = torch.device("cpu")
KEPT = 2**28
"""Bytes of a GPU that may lie unused between two runs."""
_SMALLEST_TILE = 8  # strides; below, a tile sees too little around it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may do at once.

    Parameters
    ----------
    slices : int, optional
        Slices at once; by the free memory if None: on a CPU, one.
    grid_px : int
        A larger grid is tiled from the start: fixed, so that no result depends on what else fills
        the memory.
    tile_px : int
        Side of a tile.
    """

    slices: int | None = None
    grid_px: int = 2**24
    tile_px: int = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run goes about its slices.

    Parameters
    ----------
    device : torch.device
    slices, chains : int
        How many at once.
    tile_px : int, optional
        Side of the tiles; None without.
    """

    device: torch.device
    slices: int
    chains: int
    tile_px: int | None = None


def first_plan(
    limits: Limits,
    card: Card,
    grid: tuple[int, int],
    *,
    depth: int,
    chains: int,
    device: torch.device,
) -> Plan:
    """What to try first for at most ``depth`` slices of one grid."""
    stride, slices = card.network.stride, limits.slices
    if slices is None:
        slices = 1
        if device.type == "cuda":
            slices = free_bytes(device) // 2 // (math.prod(grid) * _bytes_per_px(card, chains))
    tiled = math.prod(grid) > limits.grid_px
    side = max(limits.tile_px // stride, 1) * stride if tiled else None
    return Plan(device, min(max(slices, 1), depth), chains, side)


def smaller(last: Plan, first: Plan, grid: tuple[int, int], stride: int) -> tuple[Plan, str] | None:
    """The next rung of the ladder that began with ``first``, and its name; None at its foot."""
    if last.slices > 1:
        return replace(last, slices=last.slices // 2), f"slices at once: {last.slices // 2}"
    if last.chains > 1:
        return replace(last, chains=last.chains // 2), f"samples at once: {last.chains // 2}"
    side = (last.tile_px or max(grid)) // 2 // stride * stride
    if side >= _SMALLEST_TILE * stride:
        return replace(last, tile_px=side), f"tiles of {side} pixels"
    if last.device != CPU:
        return replace(first, device=CPU, slices=1), "the CPU"
    return None


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that a run can have: what is free, and what torch holds unused."""
    return int(torch.cuda.mem_get_info(device.index)[0]) + _unused(device)


def reserved_bytes(device: torch.device) -> int:
    """Bytes of an NVIDIA GPU that torch holds, used or not."""
    return int(torch.cuda.memory_reserved(device)) if device.type == "cuda" else 0


def _unused(device: torch.device) -> int:
    """Bytes of a GPU that torch holds for later."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() - torch.mps.current_allocated_memory()
    return 0


def placed(make: Callable[[torch.device], _T], device: torch.device, *, else_cpu: bool) -> _T:
    """What is made on a device; where that is full, on the CPU, with a warning.

    Raises
    ------
    MemoryError
        The device is full, and the CPU is not to take its place.
    """
    try:
        return make(device)
    except (RuntimeError, MemoryError) as error:
        if device == CPU or not is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    release(device)
    full = f"not enough memory on {device} for the model itself ({reason})"
    if not else_cpu:
        raise MemoryError(f"{full}: close other programs that use it, or choose the device cpu")
    warnings.warn(f"{full}: going on with the CPU", stacklevel=3)
    return make(CPU)


def moved(network: Network, device: torch.device) -> Network:
    """A copy of a network on a device, which asks the device it comes from for no memory."""
    memo: dict[int, object] = {
        id(p): nn.Parameter(p.detach().to(device), requires_grad=p.requires_grad)
        for p in network.parameters()
    }
    memo |= {id(b): b.to(device) for b in network.buffers()}
    return copy.deepcopy(network, memo)


def release(device: torch.device, keep: int = 0) -> None:
    """Give a device's unused memory back, where it is more than ``keep`` bytes.

    What comes next finds it in one piece, and another process finds it at all: a training beside
    this one, say. Little is kept, for to ask for it anew takes time.
    """
    if _unused(device) <= keep:
        return
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _bytes_per_px(card: Card, chains: int) -> int:
    """Of a slice's grid, roughly: what the widest layers and the chains' probabilities take."""
    config = card.network
    widest = config.widths[0] / config.first_stride**2
    each = 6.0 * len(card.classes)
    if config.kind == "concat":
        each += 8 * widest
    elif config.kind == "cached":
        each += config.denoiser_widths[0] / 2
    return int(4 * (8 * widest + chains * each))
