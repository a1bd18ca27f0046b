"""The most memory that was in use since a moment: a GPU's tensors, or the whole process."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

__all__ = ["forget_peak", "peak_bytes"]

_PROCESS = Path("/proc/self")  # Linux; elsewhere a peak cannot be forgotten


def forget_peak(device: torch.device) -> None:
    """Begin to measure; what was in use before counts no longer."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            (_PROCESS / "clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int | None:
    """The peak since `forget_peak`, in bytes; None where there is no telling."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None
