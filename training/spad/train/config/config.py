"""A run's configuration: its sections together, and what must fit among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from spad.checkpoint import (
    PLAIN,
    Checked,
    InputConfig,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
    Within,
    plain,
)
from spad.train.config.sections import (
    Augmentation,
    Data,
    Loss,
    Optimiser,
    Perturbation,
    Text,
    Validation,
)

__all__ = ["Config", "ConfigError"]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, the limit and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    """A training run.

    Parameters
    ----------
    name : str
        Of the model.
    method : {"spad", "unet"}
        ``spad`` is the label diffusion (network.kind cached or concat); ``unet`` what it is
        compared with: the plain U-Net, or any other kind of network.
    preset : {"default", "paper"}
    seed : int
    init : str
        Checkpoint to start from, a path or the name of a model (`spad models`); empty: random
        weights. Fine-tuning is not perturbed unless ``perturbation`` is given.
    pretrained : bool
        Start a ``network.encoder`` other than own from its ImageNet weights, unless ``init`` has
        it already; false: from random ones, for comparison.
    sam : str
        Of network.kind msa: a file of SAM's weights, whose encoder then stays as it is while its
        adapters learn; empty: all of it learns.
    classes : mapping
        Name of each class, background first: the data set's values (or names) that become it.
        Empty: the classes of ``labels.json``.
    """

    name: Annotated[str, Within(1, 80)]
    method: Literal["spad", "unet"] = "spad"
    preset: Literal["default", "paper"] = "default"
    seed: Annotated[int, Within(0, 2**31)] = 0
    init: Text = ""
    pretrained: bool = True
    sam: Text = ""
    classes: Mapping[str, Any] = field(default_factory=dict)
    data: Data
    input: InputConfig = field(default_factory=InputConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    perturbation: Perturbation = field(default_factory=Perturbation)
    loss: Loss = field(default_factory=Loss)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimiser: Optimiser = field(default_factory=Optimiser)
    validation: Validation = field(default_factory=Validation)

    def _check(self) -> None:
        if (self.method == "spad") != self.network.diffuses:
            kinds = "cached or concat" if self.method == "spad" else ", ".join(PLAIN)
            raise ValueError(
                f"method {self.method!r} goes with network.kind {kinds}, not with "
                f"{self.network.kind!r}; set method alone, the network follows"
            )
        loss, kind = self.loss, self.network.kind
        if self.sam and kind != "msa":
            raise ValueError(
                f"sam names weights for network.kind msa, and this is {kind!r}; leave sam out, or "
                "set network.kind to msa"
            )
        encoder = kind != "concat" and (loss.encoder_cross_entropy or loss.encoder_dice)
        denoiser = self.network.diffuses and (loss.kl or loss.cross_entropy or loss.dice)
        if not (encoder or denoiser):
            raise ValueError(
                f"no term of the loss that a network of kind {kind!r} has weighs more "
                "than 0; raise loss.kl, or loss.encoder_cross_entropy for a plain U-Net"
            )
        if kind == "cached" and not encoder and self.sampling.first == "encoder":
            raise ValueError(
                "sampling.first is 'encoder', whose logits no term of the loss trains; set it to "
                "'denoiser', or raise loss.encoder_cross_entropy"
            )
        if self.optimiser.freeze_encoder and not (kind == "cached" and self.init and denoiser):
            raise ValueError(
                "optimiser.freeze_encoder trains the denoiser alone, so it needs network.kind "
                f"cached (not {kind!r}), a checkpoint in init, and loss.kl, loss.cross_entropy or "
                "loss.dice above 0"
            )
        if self.sampling.mirrored and self.augmentation.flip_swaps:
            raise ValueError(
                "sampling.mirrored averages an image with its mirror image, in which "
                f"{' and '.join(self.augmentation.flip_swaps[0])} change places "
                "(augmentation.flip_swaps); leave mirrored out"
            )
        if self.validation.steps > self.schedule.steps:
            raise ValueError(
                f"validation.steps is {self.validation.steps}, and the schedule has only "
                f"{self.schedule.steps}: the first validation would end the run; lower it"
            )
        if loss.recycled and not self.network.diffuses:
            raise ValueError(
                f"loss.recycled trains a denoiser, which a network of kind {kind!r} lacks; set it "
                "to 0, or method to spad"
            )
        if loss.recycled and self.sampling.steps == 1:
            raise ValueError(
                "loss.recycled trains the jumps of a chain, and sampling.steps is 1; set it to 2 "
                "or more, or raise loss.at_T instead"
            )

    def as_json(self) -> dict[str, Any]:
        """Give the configuration as plain JSON values."""
        values: dict[str, Any] = plain(self)
        return values
