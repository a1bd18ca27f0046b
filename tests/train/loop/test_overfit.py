"""The trainer as it is, perturbation and all, learns four phantoms by heart."""

from __future__ import annotations

from pathlib import Path

import pytest

from spad import checkpoint, phantom
from spad.cases import NewCase
from spad.train.config import load_config
from spad.train.data import write_folder
from spad.train.loop.loop import train

SEEDS = (1, 7, 17, 28)
"""Phantoms that hold four structures each, all five among them."""
CONFIG = """
name = "by heart"
[data]
folders = ["set"]
workers = 0
[input]
size = [64, 96]
[network]
widths = [16, 32, 32]
denoiser_widths = [16, 32]
time_width = 32
[augmentation]
flip = false
rotate_degrees = 0
zoom = 0
stretch = 0
shift = 0
gamma = 0
contrast = 0
brightness = 0
noise = 0
blur_px = 0
[optimiser]
steps = 600
batch = 4
learning_rate = 3e-3
warmup = 10
[validation]
every = 600
save_every = 600
samples = 2
"""


@pytest.fixture
def by_heart(tmp_path: Path) -> Path:
    """A configuration that is scored on the very images that it trains on."""
    made = {seed: phantom.bscan(seed, shape=(64, 96)) for seed in SEEDS}
    cases = [
        NewCase(f"{split}-{seed}", one.image, one.labels, split=split, patient=f"{split}-{seed}")
        for seed, one in made.items()
        for split in ("train", "val")
    ]
    write_folder(tmp_path / "set", cases, dict(enumerate(phantom.CLASS_NAMES)))
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path / "run.toml"


@pytest.mark.slow
def test_the_trainer_overfits_four_phantoms_to_a_dice_above_95(by_heart: Path) -> None:
    config = load_config(by_heart)
    assert config.perturbation.semantic
    assert config.perturbation.boundary
    best = train(config, by_heart.parent / "run", device="cpu")
    scores = checkpoint.read_card(best).scores["validation"]
    assert scores["pooled mean Dice"] > 0.95
    assert scores["per-image mean Dice"] > 0.95
    assert min(scores["pooled Dice"].values()) > 0.9


@pytest.mark.slow
def test_a_swin_unet_overfits_them_to_a_dice_above_9(by_heart: Path) -> None:
    words = [
        "method=unet", "network.kind=swin-unet", "network.widths=[32, 64]", "network.blocks=2",
        "optimiser.steps=300", "optimiser.learning_rate=2e-3", "optimiser.ema=0.98",
        "validation.every=300",
    ]  # fmt: skip
    best = train(load_config(by_heart, words), by_heart.parent / "run", device="cpu")
    assert checkpoint.read_card(best).scores["validation"]["pooled mean Dice"] > 0.9
