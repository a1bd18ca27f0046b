"""The shape of a network, as a card states it: which kinds there are, and what each can have.

Like the card, read from files of unknown origin: every value is checked when one is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from spad.checkpoint.schema import Checked, Within, short

__all__ = ["PLAIN", "NetworkConfig"]

_MAX_LEVELS = 5  # maps that a pre-trained encoder gives, at strides 2 to 32
_ENCODERS = ("own", "efficientnet-lite0", "efficientnet-lite2")
_TIMM = re.compile(r"timm/[A-Za-z0-9_.-]{1,80}")

Width = Annotated[int, Within(8, 1024, 8)]
Blocks = Annotated[int, Within(1, 8)]
Layers = Annotated[int, Within(1, 32)]
Compared = Literal["dynunet", "swin-unet", "trans-unet", "msa", "d-lka", "dsc-amp"]

PLAIN: tuple[str, ...] = ("unet", *get_args(Compared))
"""The kinds that do not diffuse, which ``method = "unet"`` trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig(Checked):
    """Shape of the network.

    Parameters
    ----------
    kind : str
        ``cached``: condition encoder and denoiser; ``concat``: CCDM's one U-Net on label map and
        image. The others do not diffuse: ``unet``, the condition encoder alone; ``dynunet``,
        nnU-Net's; and what SPAD is compared with (:mod:`spad.network.compare`), ``swin-unet``,
        ``trans-unet``, ``msa``, ``d-lka``, ``dsc-amp``.
    encoder : {"own", "efficientnet-lite0", "efficientnet-lite2", "timm/NAME"}
        Of kinds cached and unet: what reads the image. ``own`` learns from random weights, the
        others (Tan & Le, 2019; or NAME, any feature extractor of timm with maps at strides 4, 8,
        ...; up to five widths, no blocks) have learnt on ImageNet.
    widths : tuple of int
        Channels of the encoder at strides 2, 4, 8, ... (concat, dynunet: 1, 2, 4, ...; swin-unet,
        d-lka: 4, 8, 16, ...; trans-unet: the last one is the transformer's; msa: encoder and neck);
        1 to 8 multiples of 8 up to 1024.
    blocks : int
        Residual blocks at each level of the encoder, up to 8; dynunet has none. Of trans-unet and
        msa the transformer's layers, up to 32.
    denoiser_widths : tuple of int
        Channels of cached's denoiser at strides 4, 8, ..., no deeper than the encoder.
    denoiser_blocks : int
        Residual blocks at each level of cached's denoiser.
    time_width : int
        Channels of the embedding of t; only kinds that diffuse have it.
    """

    kind: Literal["cached", "unet", "concat", Compared] = "cached"
    encoder: str = "own"
    widths: Annotated[tuple[Width, ...], Within(1, 8)] = (32, 64, 96, 160, 192)
    blocks: Layers = 2
    denoiser_widths: Annotated[tuple[Width, ...], Within(1, 8)] = (48, 96, 128)
    denoiser_blocks: Blocks = 1
    time_width: Width = 128

    def _check(self) -> None:
        if self.kind == "cached" and len(self.denoiser_widths) >= len(self.widths):
            raise ValueError(
                f"network: denoiser_widths {self.denoiser_widths} reach stride "
                f"{2 ** (len(self.denoiser_widths) + 1)}, beyond the encoder's {self.stride}; "
                "drop levels of the denoiser or add levels to widths"
            )
        if self.encoder not in _ENCODERS and not _TIMM.fullmatch(self.encoder):
            raise ValueError(
                f"network: encoder is {short(self.encoder)}, not one of {', '.join(_ENCODERS)} or "
                "timm/NAME with a name that timm.list_models() has"
            )
        if self.encoder != "own" and (
            self.kind not in ("cached", "unet") or len(self.widths) > _MAX_LEVELS
        ):
            raise ValueError(
                f"network: encoder {self.encoder!r} has {_MAX_LEVELS} levels and belongs to kinds "
                f"cached and unet, not to {self.kind!r} with {len(self.widths)} widths; change "
                "these, or set encoder to 'own'"
            )
        fewest, most = {
            "dynunet": (3, 8),
            "swin-unet": (2, 6),
            "trans-unet": (3, 5),
            "msa": (2, 2),
            "d-lka": (2, 6),
        }.get(self.kind, (1, 8))
        if not fewest <= len(self.widths) <= most:
            raise ValueError(
                f"network: a {self.kind} has {fewest} to {most} levels, widths {self.widths} are "
                f"{len(self.widths)}; give as many, or leave network.widths out for the kind's own"
            )
        if self.blocks > (limit := 32 if self.kind in ("trans-unet", "msa") else 8):
            raise ValueError(
                f"network: blocks is {self.blocks}; a {self.kind} takes 1 to {limit}, lower it"
            )

    @property
    def diffuses(self) -> bool:
        """Whether the network samples; the others do not."""
        return self.kind not in PLAIN

    @property
    def first_stride(self) -> int:
        """Stride of the finest level."""
        return {"concat": 1, "dynunet": 1, "swin-unet": 4, "d-lka": 4, "msa": 16}.get(self.kind, 2)

    @property
    def stride(self) -> int:
        """Factor between the input and the coarsest level; input sides are multiples of it."""
        # The last width of a trans-unet is at the stride of the one before, that of msa a neck's.
        same = self.kind in ("trans-unet", "msa")
        return int(self.first_stride * 2 ** (len(self.widths) - 1 - same))

    def text(self) -> str:
        """The network in a few words, for a person."""
        encoder = "-".join(map(str, self.widths))
        if self.encoder != "own":
            encoder = f"{self.encoder} to {encoder}"
        denoiser = "-".join(map(str, self.denoiser_widths))
        return {
            "cached": f"condition encoder {encoder}, denoiser {denoiser}",
            "concat": f"U-Net {encoder} on label map and image (CCDM), whole at each step",
            "unet": f"U-Net {encoder}",
            "dynunet": f"DynUNet {encoder} (nnU-Net's U-Net)",
            "swin-unet": f"Swin-Unet {encoder}, {self.blocks} blocks a level",
            "trans-unet": f"TransUNet {encoder}, {self.blocks} layers",
            "msa": f"Medical SAM Adapter {encoder}, {self.blocks} blocks; no prompts",
            "d-lka": f"D-LKA Net {encoder}, {self.blocks} blocks a level; without its MaxViT",
            "dsc-amp": f"U-Net {encoder} with DSC-AMP, whose code is not public: length and number "
            "of its strips, its choice of shapes and its place are guessed",
        }[self.kind]
