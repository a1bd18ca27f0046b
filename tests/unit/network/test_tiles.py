"""A network in tiles gives what it gives untiled, wherever the seams are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import spad
from spad import phantom
from spad.checkpoint.card import InputConfig, NetworkConfig
from spad.inference.memory_ladder import Limits
from spad.inference.segmenter import Segmenter
from spad.network import Tiled, build
from spad.network.tiles import tiles

TILED = Limits(grid_px=1, tile_px=256)


def random_network(kind):
    config = NetworkConfig(
        kind=kind, widths=(8, 16, 16), blocks=1, denoiser_widths=(8, 16), time_width=16
    )
    torch.manual_seed(0)
    network = build(config, 3, None).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.1)
    return network


@pytest.mark.parametrize(("grid", "side"), [((512, 192), 256), ((96, 352), 64), ((64, 64), 64)])
def test_windows_cover_the_grid_cores_share_it_out_and_weights_sum_to_one(grid, side):
    cores, weights = torch.zeros(grid), torch.zeros(grid)
    for tile in tiles(grid, side, 16):
        assert all(s.start % 16 == s.stop % 16 == 0 for s in (*tile.window, *tile.core))
        assert tile.weights.shape == tuple(s.stop - s.start for s in tile.window)
        assert max(tile.weights.shape) <= side
        assert tile.weights.min() >= 0
        weights[tile.window] += tile.weights
        cores[tile.window][tile.core] += 1
    assert (cores == 1).all()
    torch.testing.assert_close(weights, torch.ones(grid))


def test_a_tile_s_inner_border_has_no_weight_and_the_blend_is_smooth():
    first, *_ = tiles((1024, 64), 256, 32)
    assert first.weights[0, 0] == 1
    assert first.weights[-1, 0] == 0
    assert first.weights[:, 0].diff().abs().max() < 0.03


@pytest.mark.parametrize("kind", ["cached", "unet", "concat", "dynunet"])
def test_every_kind_of_network_gives_its_untiled_logits_in_tiles(kind):
    if kind == "dynunet":
        pytest.importorskip("monai")
    network = random_network(kind)
    rng = torch.Generator().manual_seed(1)
    image = torch.rand(2, 1, 256, 96, generator=rng) * 2 - 1
    x_t = torch.randint(0, 3, (2, 3, 256, 96), generator=rng, dtype=torch.uint8)
    time = torch.tensor([0.3, 0.9])
    in_tiles = Tiled(network, 128)
    assert (in_tiles.diffuses, in_tiles.predicts) == (network.diffuses, network.predicts)
    with torch.inference_mode():
        condition, expected = in_tiles.encode(image), network.encode(image)
        assert (condition.logits is None) == (expected.logits is None)
        if expected.logits is not None:
            difference = condition.logits.softmax(1) - expected.logits.softmax(1)
            assert difference.abs().max() < 0.02
        torch.testing.assert_close(condition.context, expected.context, atol=0.1, rtol=0.1)
        if not network.diffuses:
            return
        out, whole = (n.denoise(x_t, time, expected).softmax(2) for n in (in_tiles, network))
    # Attention, in `concat`, sees its tile alone.
    assert (out - whole).abs().max() < (0.1 if kind == "concat" else 0.02)


def test_norms_see_the_whole_grid_and_are_left_as_they_were():
    network = random_network("unet")
    image = torch.rand(1, 1, 256, 64) - 1
    image[:, :, :128] += 1  # two halves that differ: tiles normed alone would not see it
    with torch.inference_mode():
        whole = network.encode(image).logits
        tiled = Tiled(network, 128).encode(image).logits
        alone = torch.cat([network.encode(half).logits for half in image.split(128, 2)], 2)
        again = network.encode(image).logits
    assert torch.equal(whole, again)
    assert not [m for m in network.modules() if "forward" in vars(m)]

    def off(logits):
        return (logits.softmax(1) - whole.softmax(1)).abs().mean()

    assert off(tiled) < 0.2 * off(alone)


def test_a_network_that_fails_in_a_tile_leaves_its_norms_as_they_were(monkeypatch):
    network = random_network("unet")
    monkeypatch.setattr(network.encoder.head, "forward", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), torch.inference_mode():
        Tiled(network, 128).encode(torch.zeros(1, 1, 256, 64))
    assert not [
        m for m in network.modules() if "forward" in vars(m) and m is not network.encoder.head
    ]


def test_the_shipped_model_labels_a_tiled_phantom_as_the_untiled_one():
    """Without seams: less than 0.5 % of the pixels differ."""
    whole = spad.load("oct-phantom", device="cpu")
    in_tiles = Segmenter(whole.card, whole._model.network, whole.device, limits=TILED)
    image = phantom.bscan(9000, shape=(1024, 384)).image
    a, b = (s.segment(image, samples=1, steps=2) for s in (whole, in_tiles))
    assert (a.labels > 0).mean() > 0.02
    assert 0 < (a.labels != b.labels).mean() < 0.005


def test_edits_hold_in_tiles_too(tiny, bscan):
    card = replace(tiny.card, input=InputConfig(size=(256, 64)))
    image = bscan((256, 64))
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[100:150] = 2
    limits = Limits(grid_px=1, tile_px=128)
    pair = [
        Segmenter(card, tiny._model.network, tiny.device, limits=each) for each in (None, limits)
    ]
    a, b = (s.segment(image, clamp=clamp, start=np.zeros_like(clamp), samples=2) for s in pair)
    assert (b.labels[100:150] == 2).all()
    assert (a.labels == b.labels).mean() > 0.995
    assert (a.samples == b.samples).mean() > 0.99
