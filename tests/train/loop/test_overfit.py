"""The trainer as it is, perturbation and all, learns four phantoms by heart."""

from __future__ import annotations

from pathlib import Path

import pytest
from by_heart import four_phantoms

from spad import checkpoint
from spad.train.config import load_config
from spad.train.loop.loop import train


@pytest.mark.slow
def test_the_trainer_overfits_four_phantoms_to_a_dice_above_95(tmp_path: Path) -> None:
    config = load_config(four_phantoms(tmp_path))
    assert config.perturbation.semantic
    assert config.perturbation.boundary
    best = train(config, tmp_path / "run", device="cpu")
    scores = checkpoint.read_card(best).scores["validation"]
    assert scores["pooled mean Dice"] > 0.95
    assert scores["per-image mean Dice"] > 0.95
    assert min(scores["pooled Dice"].values()) > 0.9
