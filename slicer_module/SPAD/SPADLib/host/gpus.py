"""Whether PyTorch can use the GPU that is there."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["torch_note"]


def torch_note(torch: Any, has_nvidia: bool) -> str:
    """Say where a GPU is there that this PyTorch cannot use; empty where all is well.

    Parameters
    ----------
    torch : module
    has_nvidia : bool
        There is a driver for NVIDIA's GPUs.
    """
    if not has_nvidia:
        return ""
    remedy = "reinstall it in the module PyTorch Utils, with the backend “automatic”"
    if torch.version.cuda is None:
        return f"This computer has an NVIDIA GPU, but its PyTorch is built for the CPU: {remedy}"
    if not torch.cuda.is_available():
        return (
            f"PyTorch {torch.__version__} cannot use the NVIDIA GPU (is its driver too old for "
            f"CUDA {torch.version.cuda}?): update the driver, or {remedy}"
        )
    major, minor = torch.cuda.get_device_capability()
    built = torch.cuda.get_arch_list()
    if built and not any(_runs(arch, major, minor) for arch in built):
        return (
            f"PyTorch {torch.__version__} was not built for this GPU (compute capability "
            f"{major}.{minor}): {remedy}, or run on the CPU"
        )
    return ""


def _runs(arch: str, major: int, minor: int) -> bool:
    """Whether code for an architecture, "sm_86" or "compute_80", runs on a GPU."""
    number = re.sub(r"\D", "", arch.partition("_")[2])
    own = (int(number[:-1] or 0), int(number[-1:] or 0))
    if arch.startswith("compute"):
        return own <= (major, minor)
    return own[0] == major and own[1] <= minor
