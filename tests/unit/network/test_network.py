"""The networks: shapes, independence of images and chains, one encoder call, honest weights."""

import pytest
import torch

from spad.checkpoint.card import NetworkConfig
from spad.network import build, transfer

SMALL = {"widths": (8, 16, 16), "blocks": 1, "denoiser_widths": (8, 16), "time_width": 16}
CACHED = NetworkConfig(**SMALL)
UNET = NetworkConfig(kind="unet", **SMALL)


def network(config=CACHED, num_classes=4, *, seed=0):
    """A network whose every weight is random, also those that start at zero."""
    torch.manual_seed(seed)
    out = build(config, num_classes, None).eval()
    with torch.no_grad():
        for parameter in out.parameters():
            parameter.normal_(0, 0.15)
    return out


def images(b=1, h=32, w=48, seed=0):
    return torch.rand(b, 1, h, w, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def labels(b, n, num_classes=4, h=32, w=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(num_classes, (b, n, h, w), generator=generator, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


# Shapes


@pytest.mark.parametrize("num_classes", [2, 3, 7, 64])
@pytest.mark.parametrize(("h", "w"), [(8, 8), (32, 48), (8, 72), (56, 16)])
def test_every_class_gets_a_logit_at_every_pixel_of_any_multiple_of_the_stride(num_classes, h, w):
    net = network(num_classes=num_classes)
    condition = net.encode(images(2, h, w))
    assert condition.logits.shape == (2, num_classes, h, w)
    assert condition.context.shape == (2, 8, h // 4, w // 4)
    out = net.denoise(labels(2, 3, num_classes, h, w), torch.tensor([0.5, 1.0]), condition)
    assert out.shape == (2, 3, num_classes, h, w)
    assert out.dtype == condition.logits.dtype == torch.float32


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "unet", "widths": (8,)},
        {"widths": (8, 16), "denoiser_widths": (8,)},
        {"widths": (8, 16, 16, 8), "denoiser_widths": (16, 8), "blocks": 3, "denoiser_blocks": 2},
        {"widths": (8, 16, 16, 8), "denoiser_widths": (24,), "time_width": 8},
    ],
    ids=["one level", "two levels", "four levels", "wide denoiser"],
)
def test_any_shape_that_a_card_allows_runs_at_its_own_stride(shape):
    config = NetworkConfig(**shape)
    net = network(config)
    h, w = config.stride * 4, config.stride * 8
    condition = net.encode(images(1, h, w))
    assert condition.logits.shape == (1, 4, h, w)
    if config.kind == "cached":
        out = net.denoise(labels(1, 1, 4, h, w), torch.ones(1), condition)
        assert out.shape == (1, 1, 4, h, w)


def test_a_plain_unet_is_the_encoder_alone_and_says_so():
    net = network(UNET)
    assert not net.diffuses
    condition = net.encode(images())
    cached = network(CACHED)
    cached.encoder.load_state_dict(net.encoder.state_dict())
    assert torch.equal(condition.logits, cached.encode(images()).logits)
    with pytest.raises(ValueError, match="no denoiser"):
        net.denoise(labels(1, 1), torch.ones(1), condition)


# Independence


def test_an_image_s_result_does_not_depend_on_its_batch():
    net = network()
    image, x_t, t = images(3), labels(3, 2), torch.tensor([0.1, 0.5, 1.0])
    together = net.denoise(x_t, t, net.encode(image))
    for b in range(3):
        one = slice(b, b + 1)
        alone = net.denoise(x_t[one], t[one], net.encode(image[one]))
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_chain_s_result_does_not_depend_on_the_chains_beside_it():
    net = network()
    condition, t = net.encode(images(2)), torch.tensor([0.1, 1.0])
    x_t = labels(2, 5)
    together = net.denoise(x_t, t, condition)
    for chain in range(5):
        alone = net.denoise(x_t[:, chain : chain + 1], t, condition)
        torch.testing.assert_close(together[:, chain : chain + 1], alone, rtol=1e-4, atol=1e-4)


def test_a_time_for_each_chain_is_the_same_as_running_it_alone_at_that_time():
    net = network()
    condition, x_t = net.encode(images(2)), labels(2, 3)
    t = torch.tensor([[0.1, 0.5, 1.0], [1.0, 0.2, 0.7]])
    together = net.denoise(x_t, t, condition)
    for chain in range(3):
        alone = net.denoise(x_t[:, chain : chain + 1], t[:, chain], condition)
        torch.testing.assert_close(together[:, chain : chain + 1], alone, rtol=1e-4, atol=1e-4)


def test_what_is_trained_is_what_is_used():
    """Where nothing learns, a CPU takes other ways to the same numbers."""
    net = network()
    image, x_t, t = images(2), labels(2, 3), torch.tensor([0.1, 0.7])
    used = net.encode(image)
    told = net.denoise(x_t, t, used)
    with torch.enable_grad():
        trained = net.encode(image)
        assert trained.context.requires_grad
        learns = net.denoise(x_t, t, trained)
    torch.testing.assert_close(used.context, trained.context, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(told, learns, rtol=1e-4, atol=1e-4)


def test_no_layer_keeps_statistics_of_a_batch():
    net = network()
    assert not list(net.buffers())
    image = images(2)
    trained, evaluated = net.train().encode(image), net.eval().encode(image)
    assert torch.equal(trained.logits, evaluated.logits)


@pytest.mark.parametrize("what", ["x_t", "t", "image"])
def test_the_denoiser_sees_the_labels_the_time_and_the_image(what):
    net = network()
    given = {"x_t": labels(1, 1), "t": torch.tensor([0.3]), "image": images()}
    other = {"x_t": labels(1, 1, seed=1), "t": torch.tensor([0.31]), "image": images(seed=1)}

    def correction(x_t, t, image):
        condition = net.encode(image)
        return net.denoise(x_t, t, condition) - condition.logits.unsqueeze(1)

    change = correction(**given) - correction(**(given | {what: other[what]}))
    assert change.abs().max() > 1e-3


def test_the_denoiser_sees_a_label_where_it_is():
    """A changed pixel changes the correction most where it lies: no flip, no transposition."""
    net = network()
    condition, t = net.encode(images()), torch.tensor([0.3])
    x_t = labels(1, 1)
    changed = x_t.clone()
    changed[0, 0, 20:24, 36:40] = (changed[0, 0, 20:24, 36:40] + 1) % 4
    change = (net.denoise(x_t, t, condition) - net.denoise(changed, t, condition)).abs()
    y, x = divmod(int(change[0, 0].sum(0).argmax()), 48)
    assert abs(y - 21.5) < 6
    assert abs(x - 37.5) < 6


def test_a_fresh_denoiser_corrects_nothing_so_that_the_encoder_s_logits_stand():
    torch.manual_seed(0)
    net = build(CACHED, 5, None)
    assert not net.denoiser.head.weight.any()
    assert not net.denoiser.head.bias.any()
    condition = net.encode(images(2))
    assert condition.logits.std() > 0
    out = net.denoise(labels(2, 3, 5), torch.tensor([0.5, 1.0]), condition)
    assert torch.equal(out, condition.logits.unsqueeze(1).expand_as(out))


def test_a_fresh_network_learns_everywhere():
    """Zero weights of a residual branch must not cut off the rest: few steps reach all weights."""
    torch.manual_seed(0)
    net = build(CACHED, 4, None)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    target = labels(2, 1, seed=3)[:, 0].long()
    with torch.enable_grad():
        for _ in range(4):
            optimiser.zero_grad()
            condition = net.encode(images(2))
            out = net.denoise(labels(2, 1), torch.tensor([0.3, 0.9]), condition)[:, 0]
            torch.nn.functional.cross_entropy(out, target).backward()
            optimiser.step()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


# Devices


@pytest.mark.parametrize("config", [CACHED, UNET], ids=["cached", "unet"])
def test_every_parameter_and_output_is_on_the_device_asked_for(config):
    with torch.device("meta"):
        net = build(config, 4, None)
        image, x_t, t = torch.rand(2, 1, 32, 48), torch.zeros(2, 3, 32, 48), torch.ones(2)
    assert {p.device.type for p in net.parameters()} == {"meta"}
    condition = net.encode(image)
    assert {of.device.type for of in condition} == {"meta"}
    if config is CACHED:
        out = net.denoise(x_t.to(torch.uint8), t, condition)
        assert out.device.type == "meta"
        assert out.shape == (2, 3, 4, 32, 48)


def test_in_bfloat16_the_logits_are_float32_and_nearly_the_same():
    net = network()
    exact = net.denoise(labels(1, 2), torch.ones(1), net.encode(images()))
    with torch.autocast("cpu", torch.bfloat16):
        condition = net.encode(images())
        rough = net.denoise(labels(1, 2), torch.ones(1), condition)
    assert condition.logits.dtype == rough.dtype == torch.float32
    assert condition.context.dtype == torch.bfloat16
    assert (rough - exact).abs().mean() < 0.02 * exact.std()


# Weights


def weights():
    return {name: tensor.clone() for name, tensor in network().state_dict().items()}


def test_a_network_built_from_weights_gives_the_same_result():
    source = network()
    copy = build(CACHED, 4, source.state_dict()).eval()
    x_t, t = labels(1, 2), torch.ones(1)
    expected = source.denoise(x_t, t, source.encode(images()))
    assert {p.device.type for p in copy.parameters()} == {"cpu"}
    torch.testing.assert_close(copy.denoise(x_t, t, copy.encode(images())), expected)


def test_a_missing_an_unknown_and_a_misshapen_tensor_are_named():
    tensors = weights()
    del tensors["encoder.stem.bias"]
    tensors["evil.weight"] = torch.zeros(3)
    tensors["denoiser.head.bias"] = torch.zeros(7)
    with pytest.raises(ValueError, match="do not fit") as caught:
        build(CACHED, 4, tensors)
    message = str(caught.value)
    assert "encoder.stem.bias is missing" in message
    assert "evil.weight is unknown" in message
    assert "denoiser.head.bias has shape (7,), not (64,)" in message
    assert "more" not in message


@pytest.mark.parametrize("tensors", [{}, {f"a{i}": torch.zeros(1) for i in range(300)}])
def test_many_faults_are_counted_not_listed(tensors):
    with pytest.raises(ValueError, match=r"and \d+ more") as caught:
        build(CACHED, 4, tensors)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(("config", "num_classes"), [(UNET, 4), (CACHED, 5)])
def test_the_weights_of_another_network_are_refused(config, num_classes):
    with pytest.raises(ValueError, match=r"is unknown|has shape"):
        build(config, num_classes, weights())


def test_weights_taken_over_by_name_give_each_class_its_own_logits_in_any_order():
    source, order = network(), [0, 3, 1, 2]
    names = ["background", "SRF", "IRF", "PED"]
    other = network(seed=1)
    given = transfer(source.state_dict(), names, other, [names[i] for i in order])
    other.load_state_dict(given)
    condition, moved = source.encode(images()), other.encode(images())
    torch.testing.assert_close(moved.logits, condition.logits[:, order])
    x_t, t = labels(1, 2), torch.ones(1)
    expected = source.denoise(x_t, t, condition)[:, :, order]
    renamed = torch.argsort(torch.tensor(order))[x_t.long()].to(torch.uint8)
    torch.testing.assert_close(other.denoise(renamed, t, moved), expected, rtol=1e-4, atol=1e-4)


def test_a_class_that_only_one_model_has_keeps_the_weights_of_the_new_network():
    source, other = network(), network(num_classes=3, seed=1)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    names = ["background", "SRF", "IRF", "PED"]
    given = transfer(source.state_dict(), names, other, ["background", "drusen", "IRF"])
    head, own, old = (of["encoder.head.weight"] for of in (given, before, source.state_dict()))
    assert torch.equal(head[0:4], old[0:4])
    assert torch.equal(head[4:8], own[4:8])
    assert torch.equal(head[8:12], old[8:12])
    assert torch.equal(given["encoder.stem.weight"], source.encoder.stem.weight)


# What inference does otherwise than training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_classes", [2, 4, 8, 9, 64])  # a table of 4, 4, 4, 2 and 2 labels
def test_sampling_looks_labels_up_and_gets_what_training_computes(num_classes, dtype):
    net = network(num_classes=num_classes)
    x_t, t = labels(2, 3, num_classes), torch.tensor([0.4])
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        condition = net.encode(images(2))
        sampled = net.denoise(x_t, t, condition)
        with torch.enable_grad():
            trained = net.denoise(x_t, t.expand(2), condition)
    assert sampled.is_contiguous()
    tolerance = 1e-5 if dtype == torch.float32 else 0.05 * trained.std().item()
    torch.testing.assert_close(sampled, trained.detach(), rtol=0, atol=tolerance)


def test_one_time_serves_all_images_and_chains():
    net = network()
    condition, x_t = net.encode(images(2)), labels(2, 3)
    one, each = (net.denoise(x_t, torch.full(shape, 0.7), condition) for shape in [(1,), (2, 3)])
    torch.testing.assert_close(one, each, rtol=1e-5, atol=1e-5)


def test_sampling_runs_on_whatever_device_the_labels_are():
    with torch.device("meta"):
        net = build(CACHED, 4, None)
        x_t = torch.zeros(1, 2, 32, 48, dtype=torch.uint8)
        out = net.denoise(x_t, torch.ones(1), net.encode(torch.zeros(1, 1, 32, 48)))
    assert out.device.type == "meta"
    assert out.shape == (1, 2, 4, 32, 48)
