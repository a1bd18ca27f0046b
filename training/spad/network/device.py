"""Devices: which there are, which one "auto" is, and where bfloat16 pays."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "autocast",
    "devices",
    "fastest_ways",
    "gpus",
    "learns_by_planes",
    "pick_device",
    "uncast",
]

_LARGE = 6000
"""Pixels of a map below which its layout makes no difference, but to change it takes time."""


def devices() -> list[str]:
    """Devices of this machine that a model can run on, the one that "auto" picks first."""
    found = [name for name, fault in gpus().items() if not fault]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def gpus() -> dict[str, str]:
    """NVIDIA's and AMD's GPUs, and what keeps this torch from computing on each: "", or words."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    built = torch.cuda.get_arch_list() if count else []
    found = {}
    for number in range(count):
        major, minor = torch.cuda.get_device_capability(number)
        known = torch.version.cuda is None or any(_runs(arch, major, minor) for arch in built)
        found[f"cuda:{number}"] = "" if known else (
            f"PyTorch {torch.__version__} was not built for cuda:{number} "
            f"({torch.cuda.get_device_name(number)}, compute capability {major}.{minor}) but for "
            f"{', '.join(built) or 'none'}; install a build that names it, or use the CPU"
        )  # fmt: skip
    return found


def _runs(arch: str, major: int, minor: int) -> bool:
    """Whether code for an architecture, as "sm_86", "sm_90a" or "compute_80", runs on a GPU."""
    kind, _, number = arch.partition("_")
    own = divmod(int(re.sub(r"\D", "", number) or 0), 10)
    if kind == "compute":
        return own <= (major, minor)
    return own[0] == major and own[1] <= minor


def pick_device(name: str) -> torch.device:
    """A device by its name, or the best one for "auto": CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        No such device on this machine; the message lists those there are. Or a GPU that this torch
        was not built for.

    Warns
    -----
    UserWarning
        There is a GPU that "auto" cannot take.
    """
    present = devices()
    cannot = {gpu: fault for gpu, fault in gpus().items() if fault}
    if name == "auto":
        if cannot and present[0].partition(":")[0] != "cuda":
            warnings.warn(f"{'. '.join(cannot.values())}. Going on with {present[0]}", stacklevel=2)
        return torch.device(present[0])
    if name == "cuda" and (cannot or present[0].startswith("cuda")):
        name = present[0] if present[0].startswith("cuda") else next(iter(cannot))
    if name in present or name == "meta":
        return torch.device(name)
    if name in cannot:
        raise ValueError(cannot[name])
    raise ValueError(
        f"device {name!r} is not on this machine; choose among {', '.join(present)}, auto"
    )


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 for the network where the device computes it faster than float32, else nothing."""
    if device.type == "cpu":
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private: it may go
        enabled = bool(probe and probe())
    else:
        # Cards before Ampere are said to support it too, by emulation: many times slower.
        enabled = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    return torch.autocast(device.type if enabled else "cpu", torch.bfloat16, enabled=enabled)


@contextmanager
def uncast(device: torch.device) -> Iterator[None]:
    """The host's own autocast, on a device and on the CPU, is off meanwhile, and then as it was."""
    kinds = {device.type, "cpu"} - {"meta"}
    before = {kind: torch.is_autocast_enabled(kind) for kind in kinds}
    for kind in kinds:
        torch.set_autocast_enabled(kind, False)
    try:
        yield
    finally:
        torch.clear_autocast_cache()  # within the host's, weights would stay as they were cast
        for kind, enabled in before.items():
            torch.set_autocast_enabled(kind, enabled)


def learns_by_planes(x: Tensor) -> bool:
    """Whether weights learn quicker from these maps as planes than with channels last."""
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    # oneDNN has that gradient for channels last from AVX-512 on; elsewhere nobody measured.
    return x.shape[-2] * x.shape[-1] >= _LARGE and torch.backends.cpu.get_cpu_capability() == "AVX2"


@contextmanager
def fastest_ways(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """On an NVIDIA GPU let cuDNN try which way is the fastest for each new shape.

    Trying takes time, and pays where shapes come again.
    """
    cudnn = torch.backends.cudnn
    if device.type != "cuda" or not wanted or cudnn.deterministic:
        yield
        return
    before, cudnn.benchmark = cudnn.benchmark, True
    try:
        yield
    finally:
        cudnn.benchmark = before
