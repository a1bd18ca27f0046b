"""From a card's network settings, and weights, to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spad.checkpoint import NetworkConfig
from spad.network import compare
from spad.network.ccdm import Concat
from spad.network.denoiser import Cached
from spad.network.interface import Network
from spad.network.unet import PlainUNet

__all__ = ["build", "transfer"]

_COMPARED = {
    "swin-unet": "SwinUNet",
    "trans-unet": "TransUNet",
    "msa": "AdaptedSam",
    "d-lka": "DeformableLka",
    "dsc-amp": "StripUNet",
}


class _Undrawn(TorchFunctionMode):
    """Draws no normal numbers, which weights without memory cannot hold.

    On ``meta`` torch would fetch its compiler for them, and with it Triton; where Mesa's OpenGL, as
    in napari, was there before, the two LLVMs clash and the program ends.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def build(config: NetworkConfig, num_classes: int, tensors: Mapping[str, Tensor] | None) -> Network:
    """Build a network, with the weights of a checkpoint if given.

    The network is laid out on the ``meta`` device first, which takes no memory, so that names and
    shapes are compared before anything is allocated.

    Parameters
    ----------
    config : NetworkConfig
    num_classes : int
    tensors : mapping of str to Tensor, optional
        All weights, by name. None: freshly initialised.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        The tensors do not fit the configuration: which ones, and how.
    ImportError
        The kind needs a package that is not there.
    """
    kind = _kind(config)
    if tensors is None:
        return _channels_last(kind(config, num_classes))
    with torch.device("meta"), _Undrawn():
        network = kind(config, num_classes)
    wanted = {name: tuple(p.shape) for name, p in network.state_dict().items()}
    given = {name: tuple(p.shape) for name, p in tensors.items()}
    faults = [f"{n} is missing" for n in wanted.keys() - given.keys()]
    faults += [f"{n} is unknown" for n in given.keys() - wanted.keys()]
    faults += [
        f"{n} has shape {given[n]}, not {wanted[n]}"
        for n in wanted.keys() & given.keys()
        if wanted[n] != given[n]
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError(
            f"the weights do not fit the network that the card describes: "
            f"{'; '.join(sorted(faults)[:5])}{more}. The file was altered or put together by hand."
        )
    network.load_state_dict(dict(tensors), assign=True)
    return _channels_last(network)


def transfer(
    tensors: Mapping[str, Tensor],
    names: Sequence[str],
    network: Network,
    network_names: Sequence[str],
) -> dict[str, Tensor]:
    """Weights of one model for a network with other classes, matched by name.

    Layers that read or write classes keep a block of neighbouring channels for each class; those
    of a class that both models have are taken over, the others stay the network's own.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the model.
    names, network_names : sequence of str
        Classes of the model and of the network, background first.
    network : Network

    Returns
    -------
    dict of str to Tensor
        For ``network.load_state_dict(..., strict=False)``: what fits, by name.
    """
    both = [(network_names.index(n), names.index(n)) for n in network_names if n in names]
    out = {}
    for name, own in network.state_dict().items():
        if (given := tensors.get(name)) is None:
            continue
        axis = network.class_axes.get(name.rsplit(".", 1)[0], own.ndim)
        if axis < own.ndim:  # one block of neighbouring channels for each class
            mine = list(own.clone().chunk(len(network_names), axis))
            theirs = given.chunk(len(names), axis)
            if both and mine[0].shape == theirs[0].shape:
                for to, source in both:
                    mine[to] = theirs[source]
                out[name] = torch.cat(mine, axis)
        elif given.shape == own.shape:
            out[name] = given
    return out


def _kind(config: NetworkConfig) -> type[Network]:
    if config.kind == "dynunet":
        from spad.network.dynunet import DynUNet  # MONAI only where it is asked for

        return DynUNet
    if (name := _COMPARED.get(config.kind)) is not None:
        kind: type[Network] = getattr(compare, name)  # whose file, and package, are loaded now
        return kind
    return {"cached": Cached, "unet": PlainUNet, "concat": Concat}[config.kind]


def _channels_last(network: Network) -> Network:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
