"""The teacher of a denoiser: the checkpoint that a run starts from, as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from spad import checkpoint
from spad.checkpoint import LabelClass
from spad.network import Network, build
from spad.train.config import Config, ConfigError

__all__ = ["load_teacher"]


def load_teacher(
    config: Config, classes: Sequence[LabelClass], lowest: int, device: torch.device
) -> Network:
    """Load ``config.init`` as a teacher.

    Parameters
    ----------
    config : Config
    classes : sequence of LabelClass
        The run's.
    lowest : int
        The lowest time at which a sample is distilled.
    device : torch.device

    Returns
    -------
    Network
        In evaluation mode, without gradients.

    Raises
    ------
    ConfigError
        It is a plain U-Net, has other classes, another noise schedule or a stride that the input
        does not fit, or there is no room for its steps.
    ValueError, OSError
        As of :func:`spad.checkpoint.safetensors_file.load`.
    """
    card, tensors = checkpoint.load(checkpoint.shipped().get(config.init, Path(config.init)))
    who = f"loss.distilled: the teacher {config.init}"
    if not card.network.diffuses:
        raise ConfigError(
            f"{who} is a plain U-Net, which draws no samples; name a SPAD checkpoint in init"
        )
    theirs, ours = ([c.name for c in row] for row in (card.classes, classes))
    if theirs != ours:
        raise ConfigError(
            f"{who} has the classes {', '.join(theirs)}, this run {', '.join(ours)}; its samples "
            "must mean the same, so train with init first and distil the result"
        )
    if card.schedule != config.schedule:
        raise ConfigError(
            f"{who} has the noise schedule {card.schedule}, this run {config.schedule}; copy its "
            "card's settings into [schedule]"
        )
    if any(side % card.network.stride for side in config.input.size):
        raise ConfigError(
            f"{who} has the stride {card.network.stride}, which input.size {config.input.size} is "
            "not a multiple of; round it up"
        )
    if config.loss.teacher_steps > lowest:
        raise ConfigError(
            f"loss.teacher_steps is {config.loss.teacher_steps}, but from the lowest visited time "
            f"{lowest} there are only {lowest} steps; lower it, or lower sampling.steps"
        )
    teacher = build(card.network, len(classes), tensors)
    return teacher.requires_grad_(False).eval().to(device)
