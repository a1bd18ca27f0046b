"""SAM's weights from a file that a person names, into the encoder of kind ``msa``.

Either as `transformers` keeps them (safetensors, ``vision_encoder.layers.0...``) or SAM's official
file (``sam_vit_b_01ec64.pth``, ``image_encoder.blocks.0...``), which is opened as weights alone: a
file that would run code is refused.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from spad.network import Network
from spad.network.compare.adapted_sam import AdaptedSam

__all__ = ["load_sam"]

_PREFIXES = ("vision_encoder.", "image_encoder.", "sam.vision_encoder.")
_NAMES = {  # official: as transformers has it
    "blocks.": "layers.",
    ".norm1.": ".layer_norm1.",
    ".norm2.": ".layer_norm2.",
    "patch_embed.proj.": "patch_embed.projection.",
    "neck.0.": "neck.conv1.",
    "neck.1.": "neck.layer_norm1.",
    "neck.2.": "neck.conv2.",
    "neck.3.": "neck.layer_norm2.",
}


def load_sam(network: Network, path: str | Path) -> None:
    """Give the encoder of an ``msa`` network SAM's weights, and let only the rest learn.

    Parameters
    ----------
    network : Network
        Changed in place.
    path : path-like
        Safetensors, or PyTorch's own format.

    Raises
    ------
    ValueError
        The network is of another kind, the file is no file of weights, or its encoder is of another
        size: which weights, and what to do.
    OSError
        The file cannot be read.
    """
    if not isinstance(network, AdaptedSam):
        raise ValueError(
            f"{path}: SAM's weights are for network.kind msa, not {network.config.kind!r}; leave "
            "sam out"
        )
    given = {_own_name(name): tensor for name, tensor in _read(Path(path)).items()}
    wanted = network.encoder.state_dict()
    needed = [name for name in wanted if "adapter" not in name.split(".")]
    faults = [f"{n} is missing" for n in needed if n not in given]
    faults += [
        f"{n} has shape {tuple(given[n].shape)}, not {tuple(wanted[n].shape)}"
        for n in needed
        if n in given and given[n].shape != wanted[n].shape
    ]
    if faults:
        raise ValueError(
            f"{path} does not hold the encoder that [network] describes: {'; '.join(faults[:3])}"
            + (f" and {len(faults) - 3} more" if len(faults) > 3 else "")
            + ". ViT-B is widths [768, 256] with 12 blocks, ViT-L [1024, 256] with 24"
        )
    network.encoder.load_state_dict({n: given[n].float() for n in needed}, strict=False)
    network.keep_encoder()


def _own_name(name: str) -> str:
    """The name of a weight in our encoder; of one elsewhere any that it lacks."""
    prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
    if prefix is None:
        return f"elsewhere.{name}"
    name = name.removeprefix(prefix)
    if prefix == "image_encoder.":
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
    return name.replace(".attn.", ".attn.own.").replace(".mlp.", ".mlp.own.")


def _read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file."""
    path.open("rb").close()  # a file that cannot be opened is told in the system's words
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(tensor, Tensor) for tensor in found.values()):
            raise ValueError("it holds more than tensors")
        return dict(found)
    except Exception as error:  # torch, pickle and safetensors raise anything on a damaged file
        said = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} holds no weights that can be read ({said}); give SAM's official .pth, or "
            "safetensors as transformers writes them"
        ) from None
