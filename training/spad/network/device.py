"""Devices: which there are, which one "auto" is, and where bfloat16 pays."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = ["autocast", "devices", "pick_device"]


def devices() -> list[str]:
    """Devices of this machine that a model can run on, the one that "auto" picks first."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.insert(0, "mps")
    if torch.cuda.is_available():
        found[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return found


def pick_device(name: str) -> torch.device:
    """A device by its name, or the best one for "auto": CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        No such device on this machine; the message lists those there are.
    """
    present = devices()
    if name == "auto":
        return torch.device(present[0])
    if name in present or (name == "cuda" and present[0].startswith("cuda")) or name == "meta":
        return torch.device(name)
    raise ValueError(
        f"device {name!r} is not on this machine; choose among {', '.join(present)}, auto"
    )


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 for the network where the device computes it faster than float32, else nothing."""
    if device.type == "cpu":
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch >= 2.6
        enabled = bool(probe and probe())
    else:
        enabled = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type if enabled else "cpu", torch.bfloat16, enabled=enabled)
