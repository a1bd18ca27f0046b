"""A tiny random network and synthetic B-scans, for the tests of the segmenter."""

import numpy as np
import pytest
import torch

from spad.checkpoint.card import Card, InputConfig, NetworkConfig, SamplingConfig, ScheduleConfig
from spad.checkpoint.labels import label_classes
from spad.inference.segmenter import Segmenter
from spad.network import build


def _model(kind="cached", device="cpu", **sampling):
    config = NetworkConfig(
        kind=kind, widths=(8, 16, 16), blocks=1, denoiser_widths=(8, 16), time_width=16
    )
    card = Card(
        name="tiny",
        classes=label_classes(["background", "SRF", "IRF", "PED"]),
        network=config,
        schedule=ScheduleConfig(),
        input=InputConfig(size=(32, 48)),
        sampling=SamplingConfig(**({"steps": 3, "samples": 2} | sampling)),
    )
    torch.manual_seed(0)
    network = build(config, 4, None)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.15)
        network.encoder.head.weight *= 100  # sure in places, unsure in others
    return Segmenter(card, network, torch.device(device), "abc")


def _bscan(shape, dtype="uint8", seed=0):
    y, x = np.indices(shape[-2:])
    waves = np.sin(x / 9 + seed) * np.cos(y / 7 - seed) * 90 + 120
    noise = np.random.default_rng(seed).normal(0, 5, shape)
    return (waves + noise).clip(0, 255).astype(dtype)


@pytest.fixture(scope="session")
def model():
    """Give the maker of a segmenter with a random network: model(kind, device, ...)."""
    return _model


@pytest.fixture(scope="session")
def bscan():
    """Give the maker of smooth structures with a little noise: bscan(shape, dtype, seed)."""
    return _bscan


@pytest.fixture(scope="module")
def tiny():
    """Give a segmenter of :func:`model`, shared within a file."""
    return _model()
