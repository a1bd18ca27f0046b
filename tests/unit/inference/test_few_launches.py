"""A GPU's few large steps come out as the CPU's many small ones: compared on the CPU."""

import numpy as np
import pytest
import torch

from spad.chain import coherent_draws, diffusion, draws
from spad.inference import model as model_module
from spad.learning import loss
from spad.network import encoder_decoder

PARTS = (coherent_draws, diffusion, draws, encoder_decoder, loss)


@pytest.fixture
def few(monkeypatch):
    """Give a switch: few(True) takes the GPU's steps."""

    def switch(on):
        for part in PARTS:
            monkeypatch.setattr(part, "few_launches", lambda x: on)

    return switch


def both(few, work):
    found = []
    for on in (False, True):
        few(on)
        found.append(work())
    return found


def test_draws_are_the_same_bits(few):
    keys = draws.keys(3, range(4), "test")
    for shape in ((7,), (5, 9), (2,)):
        assert torch.equal(*both(few, lambda shape=shape: draws.uniform(keys, shape)))


@pytest.mark.parametrize("coherence_px", [0, 12])
def test_label_maps_of_a_chain_are_the_same(few, model, bscan, coherence_px, monkeypatch):
    exact = lambda device: torch.autocast("cpu", enabled=False)  # noqa: E731
    monkeypatch.setattr(model_module, "autocast", exact)
    one = model(coherence_px=coherence_px, first="denoiser")
    clamp = np.full((40, 60), 255, np.uint8)
    clamp[4:7, 10:30] = 2
    for edits in ({}, {"clamp": clamp, "start": np.zeros_like(clamp), "t0": 90}):
        a, b = both(few, lambda edits=edits: one.segment(bscan((40, 60)), samples=4, **edits))
        assert (a.samples == b.samples).mean() > 0.999
        assert (a.labels == b.labels).mean() > 0.999


def test_a_network_with_weights_in_bfloat16_gives_nearly_autocast_s_labels(
    few, model, bscan, monkeypatch
):
    monkeypatch.setattr(
        model_module, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16)
    )
    few(False)
    plain, halved = model(), model()
    halved._model._fast = halved._model._fast.to(torch.bfloat16)
    image = bscan((2, 40, 60))
    expected = plain.segment(image, samples=4)
    few(True)
    found = halved.segment(image, samples=4)
    assert (expected.labels == found.labels).mean() > 0.99
    assert np.abs(expected.uncertainty - found.uncertainty).mean() < 0.01


def test_soft_dice_sums_the_same_pixels(few):
    probabilities = torch.rand(3, 4, 9, 8).softmax(1).requires_grad_()
    labels = torch.randint(0, 5, (3, 9, 8), dtype=torch.uint8)
    labels[labels == 4] = 255

    def way():
        probabilities.grad = None
        value = loss.soft_dice(probabilities, labels)
        value.backward()
        return value.detach(), probabilities.grad

    (one, its), (two, others) = both(few, way)
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(its, others)
