"""How the network is run in training: computed again, compiled, by cuDNN's fastest ways, or not.

None changes what is trained, nor what is saved: all are settings of the run, not of the model.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from spad.network import Network
from spad.train.config import Optimiser

__all__ = ["gpu_ways", "prepare_network"]


@contextmanager
def gpu_ways(config: Optimiser, device: torch.device) -> Iterator[None]:
    """On an NVIDIA GPU: the fastest ways that cuDNN finds, as shapes never change; or steady ones.

    Parameters
    ----------
    config : Optimiser
        With ``deterministic`` nothing is computed in an order that may be another the next time.
    device : torch.device
    """
    if device.type != "cuda":
        yield
        return
    cudnn, steady = torch.backends.cudnn, config.deterministic
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    cudnn.benchmark, cudnn.deterministic = not steady, steady
    if steady:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it as it starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before[:2]
        torch.use_deterministic_algorithms(before[2])


def prepare_network(network: Network, config: Optimiser) -> nn.Module:
    """Give the network as the loss runs it.

    Parameters
    ----------
    network : Network
        On its device; its weights keep their names, its blocks are changed in place.
    config : Optimiser

    Returns
    -------
    nn.Module
        In place of ``network``, for :func:`spad.train.method.loss.loss_terms`.

    Warns
    -----
    UserWarning
        ``compile`` is asked for and this machine cannot; training goes on without.
    """
    if config.activation_checkpointing:
        for module in network.segments():
            _recompute(module)
    if config.compile:
        device = next(network.parameters()).device
        if missing := _compiler_missing(device):
            warnings.warn(
                f"optimiser.compile: {device} has no working compiler here ({missing}); going on "
                "without. Install a C++ compiler (CPU) or Triton (CUDA), or set it to false",
                stacklevel=2,
            )
        else:
            return cast(nn.Module, torch.compile(network))
    return network


def _recompute(module: nn.Module) -> None:
    """Keep of the module's forward its inputs alone; nothing in a network draws at random."""
    module.forward = partial(
        checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False
    )


def _compiler_missing(device: torch.device) -> str:
    """Try the compiler on a sum; what is missing, in a line, or nothing."""
    try:
        torch.compile(torch.add)(torch.ones(2, device=device), 1)
    except Exception as error:  # each backend has exceptions of its own
        return str(error).strip().partition("\n")[0][:200]
    return ""
