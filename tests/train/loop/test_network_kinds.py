"""A diffusion on CCDM's U-Net and nnU-Net's U-Net: trained, saved, opened, used, fine-tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import spad
from spad import phantom
from spad.train.config import load_config
from spad.train.loop.loop import train
from spad.train.loop.state import start

WORDS = {
    "concat": ["network.kind=concat", "network.widths=[8, 8, 8, 16]"],
    "dynunet": ["method=unet", "network.kind=dynunet", "network.widths=[8, 8, 16, 16]"],
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_run_ends_in_a_model_that_segments_and_can_be_trained_on(
    shared_tiny: Path, tmp_path: Path, kind: str
) -> None:
    words = [*WORDS[kind], "optimiser.steps=3", "optimiser.activation_checkpointing=true"]
    best = train(load_config(shared_tiny, words), tmp_path / "run", device="cpu")
    segmenter = spad.load(best, "cpu")
    assert segmenter.card.network.kind == kind
    image = phantom.bscan(3, shape=(64, 96)).image
    result = segmenter.segment(image, samples=2, steps=2, seed=1)
    assert result.labels.shape == image.shape
    samples = 2 if kind == "concat" else 1
    assert result.samples.shape == (samples, *image.shape)
    assert result.provenance["samples"] == samples
    again = segmenter.segment(image, samples=2, steps=2, seed=1)
    assert np.array_equal(result.uncertainty, again.uncertainty)
    assert result.uncertainty.any()

    config = load_config(shared_tiny, [*WORDS[kind], f"init={best}"])
    with pytest.warns(UserWarning, match="started from tiny") as said:
        tuned = start(config, segmenter.card.classes, torch.device("cpu"))
    assert "left random" not in str(said[0].message)
    own = tuned.network.state_dict()
    assert all(torch.equal(t, own[n]) for n, t in segmenter._model.network.state_dict().items())


def test_an_edit_is_held_on_ccdms_network(shared_tiny: Path, tmp_path: Path) -> None:
    words = [*WORDS["concat"], "optimiser.steps=1"]
    segmenter = spad.load(train(load_config(shared_tiny, words), tmp_path / "run", device="cpu"))
    image = phantom.bscan(3, shape=(64, 96)).image
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[20:30, 40:50] = 2
    labels = segmenter.segment(image, samples=1, steps=2, clamp=clamp).labels
    assert (labels[20:30, 40:50] == 2).all()
