"""How a lesson is learnt. The defaults were chosen by measurement: docs/results.md, Learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from spad.checkpoint import Checked, Within

__all__ = ["Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Checked):
    """Settings of a lesson.

    Parameters
    ----------
    steps : int
        Updates of the weights.
    new_steps : int
        The same where a structure is new to the model: its weights start from nothing.
    batch : int
        Views an update.
    learning_rate : float
        Of AdamW; rises over five steps and falls to 0 in a straight line.
    encoder_factor : float
        The same for what is pre-trained, as a factor; 0 leaves it as it is.
    denoiser_factor : float
        The same for the denoiser; 0 leaves it as it is, and lets it say nothing.
    old_bscans : float
        The outcome is a mean of old and learnt weights (Wortsman et al., CVPR 2022), in which the
        old ones count as so many B-scans: what was learnt of one reaches the others, what was known
        before is not lost, and the more is shown the more is learnt. A model with a new structure
        keeps none.
    reach : float
        How far lesson after lesson may lead from the model of before the first, as a share of the
        norm of the weights that have learnt in any of them. A new structure may lead anywhere,
        and begins anew.
    kept_weight : float
        Of keeping what the lesson does not show as the old model has it; 0: it may shift.
    own_weight : float
        Weight, beside a pixel of a person's, of one that is 255 and that the old model is sure of;
        0: such a pixel does not count.
    own_confidence : float
        From which probability on it is sure.
    earlier_share : float
        Chance of a view to come from an earlier case, where there are any.
    """

    steps: Annotated[int, Within(1, 10_000)] = 40
    new_steps: Annotated[int, Within(1, 10_000)] = 200
    batch: Annotated[int, Within(1, 64)] = 2
    learning_rate: Annotated[float, Within(1e-6, 0.1)] = 1e-3
    encoder_factor: Annotated[float, Within(0, 1)] = 0.0
    denoiser_factor: Annotated[float, Within(0, 1)] = 1.0
    old_bscans: Annotated[float, Within(0, 1000)] = 3.0
    reach: Annotated[float, Within(0, 1000)] = 0.09
    kept_weight: Annotated[float, Within(0, 100)] = 1.0
    own_weight: Annotated[float, Within(0, 1)] = 0.0
    own_confidence: Annotated[float, Within(0.5, 1)] = 0.9
    earlier_share: Annotated[float, Within(0, 0.9)] = 0.25
