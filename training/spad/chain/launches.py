"""What differs between devices for who gives them work: small steps or few, and copies to them.

Many small steps are dear where each is a launch of a GPU; a CPU's caches like them small.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["few_launches", "sent"]


def few_launches(x: Tensor) -> bool:
    """Whether what is done to a tensor should be few and large steps: on an NVIDIA or AMD GPU."""
    return x.device.type == "cuda"


def sent(x: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device; the host waits for the copy only where it has to.

    On MPS it has to: a copy that nobody waits for reads what may have been let go by then, and the
    values come out wrong without a word (pytorch/pytorch issues 139550 and 189690).
    """
    return x.to(device, non_blocking=torch.device(device).type == "cuda")
