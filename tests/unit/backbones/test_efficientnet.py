"""EfficientNet-Lite: what its publishers' network computes, behind the interface of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from spad import checkpoint
from spad.backbones.efficientnet import (
    EfficientNet,
    InvertedResidual,
    SameConv2d,
    fold,
    same_padding,
)
from spad.checkpoint.card import Card, NetworkConfig
from spad.network import Tiled, build, transfer

LITE0, LITE2 = "efficientnet-lite0", "efficientnet-lite2"
# Outputs, kernel, stride, expansion of each block, as in the published weights.
BLOCKS = [
    (16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6), (80, 3, 2, 6),
    (80, 3, 1, 6), (80, 3, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (192, 5, 2, 6),
    (192, 5, 1, 6), (192, 5, 1, 6), (192, 5, 1, 6), (320, 3, 1, 6),
]  # fmt: skip
BLOCKS_2 = [
    (16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (24, 3, 1, 6), (48, 5, 2, 6), (48, 5, 1, 6),
    (48, 5, 1, 6), (88, 3, 2, 6), (88, 3, 1, 6), (88, 3, 1, 6), (88, 3, 1, 6), (120, 5, 1, 6),
    (120, 5, 1, 6), (120, 5, 1, 6), (120, 5, 1, 6), (208, 5, 2, 6), (208, 5, 1, 6), (208, 5, 1, 6),
    (208, 5, 1, 6), (208, 5, 1, 6), (352, 3, 1, 6),
]  # fmt: skip
SHAPE = {"widths": (8, 16, 16, 24, 24), "denoiser_widths": (8, 16), "time_width": 16}
CACHED = NetworkConfig(kind="cached", encoder=LITE0, **SHAPE)
UNET = replace(CACHED, kind="unet")


def published(seed=0, blocks=BLOCKS):
    """Weights with BatchNorm, named as the published ones, drawn at random."""
    rng = torch.Generator().manual_seed(seed)
    out = {}

    def layer(conv, norm, outputs, inputs, kernel):
        spread = (2 / (inputs * kernel**2)) ** 0.5
        shape = (outputs, inputs, kernel, kernel)
        out[f"{conv}.weight"] = torch.randn(shape, generator=rng) * spread
        for part in ("weight", "running_var"):
            out[f"{norm}.{part}"] = torch.rand(outputs, generator=rng) + 0.5
        for part in ("bias", "running_mean"):
            out[f"{norm}.{part}"] = torch.randn(outputs, generator=rng) * 0.2

    layer("_conv_stem", "_bn0", 32, 3, 3)
    before = 32
    for i, (width, kernel, _, expansion) in enumerate(blocks):
        name, inner = f"_blocks.{i}.", before * expansion
        if expansion > 1:
            layer(f"{name}_expand_conv", f"{name}_bn0", inner, before, 1)
        layer(f"{name}_depthwise_conv", f"{name}_bn1", inner, 1, kernel)
        layer(f"{name}_project_conv", f"{name}_bn2", width, inner, 1)
        before = width
    return out


def reference(weights, image, blocks=BLOCKS):
    """The published network, layer by layer, in evaluation mode: its map of every stride."""

    def layer(x, conv, norm, stride=1, groups=1):
        weight = weights[f"{conv}.weight"]
        kernel, pads = weight.shape[-1], []
        for size in (x.shape[-1], x.shape[-2]):
            wanted = -(-size // stride)
            total = max((wanted - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)
        mean, var, gain, shift = (
            weights[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, gain, shift, training=False, eps=1e-3)

    x = F.relu6(layer(image.expand(-1, 3, -1, -1), "_conv_stem", "_bn0", 2))
    maps = {x.shape[-2:]: x}
    for i, (width, _, stride, expansion) in enumerate(blocks):
        name, h = f"_blocks.{i}.", x
        if expansion > 1:
            h = F.relu6(layer(h, f"{name}_expand_conv", f"{name}_bn0"))
        h = F.relu6(layer(h, f"{name}_depthwise_conv", f"{name}_bn1", stride, h.shape[1]))
        h = layer(h, f"{name}_project_conv", f"{name}_bn2")
        x = x + h if stride == 1 and x.shape[1] == width else h
        maps[x.shape[-2:]] = x
    return list(maps.values())


def images(b=1, h=64, w=96, seed=0):
    return torch.rand(b, 1, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def network(config, num_classes=4, seed=0):
    torch.manual_seed(seed)
    out = build(config, num_classes, None).eval()
    with torch.no_grad():
        for name, parameter in out.named_parameters():
            if ".backbone." not in name:
                parameter.normal_(0, 0.15)
    return out


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


# What was published


@pytest.mark.parametrize(("variant", "blocks"), [(LITE0, BLOCKS), (LITE2, BLOCKS_2)])
@pytest.mark.parametrize("size", [(64, 96), (65, 95), (33, 50)])
def test_folded_it_computes_what_the_published_network_does_with_batchnorm(size, variant, blocks):
    weights = published(blocks=blocks)
    net = EfficientNet(variant)
    net.load_state_dict(fold(weights))  # all names, all shapes
    # In float64, since 16 blocks of random weights amplify what float32 rounds.
    precise = {name: t.double() for name, t in weights.items()}
    exact = reference(precise, images(2, *size).double(), blocks)
    for ours, theirs in zip(net.double()(images(2, *size).double()), exact, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_a_published_file_without_a_layer_is_refused():
    weights = published()
    del weights["_blocks.3._bn2.running_var"]
    with pytest.raises(KeyError, match="running_var"):
        fold(weights)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),  # as TensorFlow's documentation of "SAME" has it
        (224, 5, 2, (1, 2)),
        (7, 3, 2, (1, 1)),
        (7, 5, 2, (2, 2)),
        (8, 3, 1, (1, 1)),
        (8, 1, 2, (0, 0)),
    ],
)
def test_padding_is_tensorflows(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize(("kernel", "first"), [(3, 0), (5, -1)])
def test_at_stride_two_a_kernel_s_first_weight_sees_the_pixel_that_tensorflow_shows_it(
    kernel, first
):
    conv = SameConv2d(1, 1, kernel, 2)
    conv.weight.zero_()[0, 0, 0, 0] = 1
    conv.bias.zero_()
    image = torch.arange(1.0, 65).view(1, 1, 8, 8)
    expected = F.pad(image, (1, 0, 1, 0))[..., first + 1 :: 2, first + 1 :: 2][..., :4, :4]
    assert torch.equal(conv(image), expected)


# Shapes


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 31), (1, 7)])
@pytest.mark.parametrize("levels", [1, 3, 5])
@pytest.mark.parametrize("variant", [LITE0, LITE2])
def test_it_gives_a_map_a_level_of_any_size_and_no_block_more(variant, size, levels):
    network = EfficientNet(variant, levels)
    maps = network(images(2, *size))
    wanted = zip(network.channels, [2 ** (i + 1) for i in range(levels)], strict=True)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, -(-size[0] // s), -(-size[1] // s)) for c, s in wanted
    ]


def test_a_level_less_has_the_same_weights_but_for_the_last():
    few, all_ = EfficientNet(LITE0, 3).state_dict(), EfficientNet(LITE0).state_dict()
    assert few.keys() < all_.keys()
    assert all(few[name].shape == all_[name].shape for name in few)


def test_random_weights_keep_a_signal_s_size():
    torch.manual_seed(0)
    for x in EfficientNet(LITE0)(images(2, 128, 128)):
        assert 0.05 < x.std() < 50


def test_the_whole_network_has_fewer_weights_than_with_our_own_encoder():
    with torch.device("meta"):
        own, lite = (
            sum(
                p.numel()
                for p in build(NetworkConfig(kind="unet", encoder=e), 5, None).parameters()
            )
            for e in ("own", LITE0)
        )
    assert lite < own


@pytest.mark.parametrize(("h", "w"), [(32, 32), (64, 96), (96, 32)])
def test_every_class_gets_a_logit_at_every_pixel_of_any_multiple_of_the_stride(h, w):
    net = network(CACHED)
    assert CACHED.stride == 32
    condition = net.encode(images(2, h, w))
    assert condition.logits.shape == (2, 4, h, w)
    x_t = torch.zeros(2, 3, h, w, dtype=torch.uint8)
    assert net.denoise(x_t, torch.ones(1), condition).shape == (2, 3, 4, h, w)


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "concat"}, {"kind": "dynunet"}, {"widths": (8,) * 6}, {"encoder": "resnet-50"}],
    ids=str,
)
def test_what_the_encoder_does_not_go_with_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match="encoder"):
        NetworkConfig(**{"encoder": LITE0, **wrong})


# Behind the interface


def test_all_of_it_is_on_the_device_asked_for():
    with torch.device("meta"):
        net = build(CACHED, 4, None)
        condition = net.encode(torch.rand(2, 1, 64, 96))
        x_t = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
        out = net.denoise(x_t, torch.ones(2), condition)
    assert {t.device.type for t in (*net.parameters(), *condition, out)} == {"meta"}


def test_an_image_s_result_does_not_depend_on_its_batch_nor_on_training_mode():
    net = network(UNET)
    assert not list(net.buffers())
    together = net.encode(images(3)).logits
    for b in range(3):
        torch.testing.assert_close(
            net.encode(images(3)[b : b + 1]).logits, together[b : b + 1], rtol=1e-4, atol=1e-4
        )
    assert torch.equal(net.train().encode(images(3)).logits, together)


def test_every_weight_learns():
    net = build(CACHED, 4, None)
    target = torch.randint(4, (2, 64, 96), generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    with torch.enable_grad():
        for _ in range(4):
            optimiser.zero_grad()
            x_t = target[:, None].to(torch.uint8)
            out = net.denoise(x_t, torch.tensor([0.3, 0.9]), net.encode(images(2)))[:, 0]
            F.cross_entropy(out, target).backward()
            optimiser.step()
    assert not [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_activations_of_its_blocks_can_be_computed_again():
    assert sum(isinstance(m, InvertedResidual) for m in network(UNET).segments()) == len(BLOCKS)


@pytest.mark.parametrize("config", [CACHED, UNET], ids=["cached", "unet"])
def test_in_tiles_it_gives_what_it_gives_untiled(config):
    """It looks further than tiles overlap, but hardly sees what is there."""
    net = network(config)
    image = images(2, 256, 96)
    with torch.inference_mode():
        tiled, whole = (n.encode(image).logits.softmax(1) for n in (Tiled(net, 192), net))
    assert (tiled - whole).abs().max() < 0.1
    assert (tiled - whole).abs().mean() < 0.005


def test_weights_are_taken_over_by_name_and_classes_in_any_order():
    source, other = network(UNET), network(CACHED, seed=1)
    names = ["background", "SRF", "IRF", "PED"]
    order = [0, 3, 1, 2]
    given = transfer(source.state_dict(), names, other, [names[i] for i in order])
    assert {n for n in other.state_dict() if n.startswith("encoder.")} == given.keys()
    other.load_state_dict(given, strict=False)
    logits = source.encode(images()).logits
    torch.testing.assert_close(other.encode(images()).logits, logits[:, order])


def test_a_checkpoint_holds_all_that_it_needs(tiny, tmp_path):
    card = replace(tiny.card, network=UNET, input=replace(tiny.card.input, size=(64, 96)))
    net = network(UNET, len(card.classes))
    checkpoint.save(tmp_path / "m.safetensors", card, net.state_dict(), half=False)
    read, tensors = checkpoint.load(tmp_path / "m.safetensors")
    assert read.network.encoder == LITE0
    assert LITE0 in read.text()
    again = build(read.network, len(read.classes), tensors).eval()
    assert torch.equal(again.encode(images()).logits, net.encode(images()).logits)


def test_a_checkpoint_from_before_has_our_own_encoder():
    for path in checkpoint.shipped().values():
        obj = checkpoint.read_card(path).as_json()
        obj["network"].pop("encoder", None)
        assert Card.from_json(obj).network.encoder in ("own", LITE0)
    del obj["network"]
    with pytest.raises(ValueError, match="network"):
        Card.from_json(obj)


def test_in_bfloat16_logits_and_gradients_are_nearly_those_of_float32():
    """Also where a CPU's training leaves bfloat16, because gradients are slow there."""
    net = network(UNET)
    found = []
    for enabled in (False, True):
        net.zero_grad()
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            trained = net.encode(images(2)).logits
            trained.square().mean().backward()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            used = net.encode(images(2)).logits
        assert trained.dtype == used.dtype == torch.float32
        found.append([trained.detach(), used, net.encoder.backbone.blocks[3].depthwise.weight.grad])
    for exact, rough, share in zip(*found, (0.05, 0.05, 0.2), strict=True):
        assert (rough - exact).abs().mean() < share * exact.std()
