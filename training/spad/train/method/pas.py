"""PaS, the progress-aware scheduler: intensity of the noise and number of targets, epoch by epoch.

SPAD, section 4.4: strong at first and ever less, so that a model learns from coarse to fine.
"""

from __future__ import annotations

import math

from spad.train.config import Perturbation

__all__ = ["EPOCHS", "intensity", "target_count"]

EPOCHS = 200
"""Epochs of the paper's training; progress 0..1 is read as this many in the ``default`` curve."""


def intensity(config: Perturbation, progress: float, epoch: float) -> float:
    """Sigma, the standard deviation of the noise on images in [-1, 1] (method, Eq. 19).

    ``paper``: ``sigma_0 / (1 + alpha e)`` at epoch e. ``default``: the same fall over the whole
    run, whatever its length, shifted and scaled to end at exactly 0. Without PaS it stays at
    ``sigma_0``.

    Parameters
    ----------
    config : Perturbation
    progress : float
        Step / total steps, 0..1.
    epoch : float
        Epochs done.
    """
    if not config.progressive:
        return config.sigma_0
    if config.curve == "paper":
        return config.sigma_0 / (1 + config.alpha * math.floor(epoch))

    def fall(p: float) -> float:
        return 1 / (1 + EPOCHS * config.alpha * p)

    return config.sigma_0 * (fall(progress) - fall(1)) / (1 - fall(1))


def target_count(config: Perturbation, progress: float, epoch: float) -> int:
    """K_e, how many targets are perturbed: ``K_0 / (1 + gamma e)``, rounded, at least K_min.

    Parameters as of :func:`intensity`; the caller caps the number at the targets present.
    """
    if not config.progressive:
        return config.targets_0
    e = math.floor(epoch) if config.curve == "paper" else EPOCHS * progress
    # SPAD, sections 4.2 and 4.4; method, Eq. 15
    return max(config.targets_min, math.floor(config.targets_0 / (1 + config.gamma * e) + 0.5))
