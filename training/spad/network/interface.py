"""What every network offers, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor, nn

from spad.checkpoint import NetworkConfig

__all__ = ["Condition", "Network", "Outputs"]


class Condition(NamedTuple):
    """What the denoiser needs of B images, computed once.

    ``logits``: told by the image alone, float32 (B, K, H, W); None where only label maps give any.
    ``context``: features, (B, C, h, w).
    """

    logits: Tensor | None
    context: Tensor

    def with_mirrored(self, other: Condition) -> Condition:
        """Mean of this and what was made of the images mirrored left to right."""
        logits = None
        if self.logits is not None and other.logits is not None:
            logits = (self.logits + other.logits.flip(-1)) / 2
        return Condition(logits, (self.context + other.context.flip(-1)) / 2)


class Outputs(NamedTuple):
    """What a training pass gives the loss.

    ``encoder``: logits told by the image alone, float32 (B, K, H, W), then those of each coarser
    scale that is trained too, (B, K, H/2, W/2), ...; empty for a network without such logits.
    ``denoiser``: logits of the denoiser, float32 (B, n, K, H, W); None for a plain U-Net.
    """

    encoder: tuple[Tensor, ...]
    denoiser: Tensor | None


class Network(nn.Module):
    """Base of the networks.

    Parameters
    ----------
    config : NetworkConfig
    num_classes : int
        K, background included.

    Attributes
    ----------
    diffuses : bool
        Whether there is a denoiser; a plain U-Net has none.
    predicts : {"prior", "x_0"}
        What the denoiser's logits are of: ``pi(x_0 | x_t, image)``, before a pixel's own noisy
        label is weighed, or ``p(x_0 | x_t, image)``; :func:`spad.chain.diffusion.prior_logits`
        makes the one of the other.
    class_axes : mapping of str to int
        Layers that read or write classes, by name, and the axis of their weights on which each
        class has one block of neighbouring channels.
    """

    diffuses: ClassVar[bool]
    predicts: ClassVar[Literal["prior", "x_0"]] = "prior"
    class_axes: Mapping[str, int]

    def __init__(self, config: NetworkConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes

    def encode(self, image: Tensor) -> Condition:
        """Do what needs doing once an image: (B, 1, H, W) in [-1, 1] to a :class:`Condition`."""
        raise NotImplementedError

    def denoise(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Logits of what the network predicts, float32 (B, n, K, H, W).

        Parameters
        ----------
        x_t : Tensor of integers, shape (B, n, H, W)
            Noisy label maps of n chains for each image.
        t : Tensor of float32, shape (1,), (B,) or (B, n)
            t / T in 0..1; one may be the time of all.
        condition : Condition

        Raises
        ------
        ValueError
            The network does not diffuse.
        """
        raise ValueError(f"a {self.config.kind} has no denoiser; take the logits of its condition")

    def hinted(self, condition: Condition, hints: Tensor) -> Condition:
        """Tell a condition what a person fixed, once for all chains and steps.

        Parameters
        ----------
        condition : Condition
        hints : Tensor of uint8, shape (B, H, W)
            The class at each fixed pixel, 255 elsewhere.

        Returns
        -------
        Condition
            As it was, of a network whose condition has no logits to correct.
        """
        return condition

    def forward(self, image: Tensor, x_t: Tensor | None = None, t: Tensor | None = None) -> Outputs:
        """Run a whole training pass, so that what wraps a module (DDP, compile) sees all of it.

        Parameters
        ----------
        image : Tensor, shape (B, 1, H, W)
        x_t, t : Tensor
            As of :meth:`denoise`; a plain U-Net is given neither.
        """
        condition = self.encode(image)
        encoder = () if condition.logits is None else (condition.logits,)
        if x_t is None or t is None:
            return Outputs(encoder, None)
        return Outputs(encoder, self.denoise(x_t, t, condition))

    def segments(self) -> list[nn.Module]:
        """The modules whose inner activations are worth computing again instead of keeping."""
        raise NotImplementedError
