"""Where many small steps are dear: each is a launch of a GPU; a CPU's caches like them small."""

from __future__ import annotations

from torch import Tensor

__all__ = ["few_launches"]


def few_launches(x: Tensor) -> bool:
    """Whether what is done to a tensor should be few and large steps: on an NVIDIA or AMD GPU."""
    return x.device.type == "cuda"
