"""How the network is run in training: activations computed again, or compiled.

Neither changes what is trained, nor what is saved: both are settings of the run, not of the model.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from spad.network import Network
from spad.train.config import Optimiser

__all__ = ["prepare_network"]


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
