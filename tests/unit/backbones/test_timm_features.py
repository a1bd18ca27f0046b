"""Any network of timm as condition encoder; where timm is not installed, what is said of it."""

import sys

import pytest
import torch

from spad.backbones.timm_features import TimmFeatures
from spad.checkpoint.card import NetworkConfig
from spad.network import build

SHAPE = {"widths": (8, 16, 16), "denoiser_widths": (8, 16), "time_width": 16}


def test_without_timm_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"needs timm.*napari-spad\[timm\]"):
        build(NetworkConfig(kind="unet", encoder="timm/resnet18", **SHAPE), 4, None)


@pytest.mark.parametrize("encoder", ["timm/", "timm/a/b", "timm/hf-hub:who/what", "resnet18", ""])
def test_a_name_that_could_reach_elsewhere_is_refused(encoder):
    with pytest.raises(ValueError, match="encoder is"):
        NetworkConfig(encoder=encoder)


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", (64, 64, 128)), ("convnext_atto", (0, 40, 80))]
)
def test_its_maps_take_the_place_of_our_encoder_s(name, channels):
    pytest.importorskip("timm", exc_type=ImportError)
    torch.manual_seed(0)
    features = TimmFeatures(name, 3)
    assert features.channels == channels
    maps = features(torch.rand(2, 1, 64, 96))
    sizes = [(64 // s, 96 // s) for s, c in zip((2, 4, 8), channels, strict=True) if c]
    assert [tuple(m.shape[-2:]) for m in maps] == sizes
    config = NetworkConfig(kind="cached", encoder=f"timm/{name}", **SHAPE)
    network = build(config, 4, None).train()
    image = torch.rand(2, 1, 64, 96) * 2 - 1
    together = network.encode(image).logits
    assert together.shape == (2, 4, 64, 96)
    alone = network.encode(image[:1]).logits  # in training too
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)
    assert all(tensor.is_floating_point() for tensor in network.state_dict().values())
    again = build(config, 4, network.state_dict())
    assert torch.equal(again.eval().encode(image).logits, network.eval().encode(image).logits)


@pytest.mark.parametrize("name", ["no_such_network", "vit_tiny_patch16_224"])
def test_a_network_that_timm_lacks_or_without_such_maps_is_refused(name):
    pytest.importorskip("timm", exc_type=ImportError)
    with pytest.raises(ValueError, match=r"cannot be used.*timm\.list_models"):
        TimmFeatures(name)
