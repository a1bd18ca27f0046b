"""Every kind of network behind the one interface: what holds for all, and each one's own."""

from __future__ import annotations

import sys

import pytest
import torch

from spad.checkpoint.card import NetworkConfig
from spad.network import Outputs, build, transfer
from spad.network.encoder_decoder import Convolution

SHAPES = {
    "cached": {"widths": (8, 16, 16), "blocks": 1, "denoiser_widths": (8, 16), "time_width": 16},
    "unet": {"widths": (8, 16, 16), "blocks": 1},
    "concat": {"widths": (8, 8, 16, 32), "blocks": 2, "time_width": 16},
    "dynunet": {"widths": (8, 8, 16, 16)},
    "swin-unet": {"widths": (8, 16), "blocks": 2},
    "trans-unet": {"widths": (8, 16, 16, 16), "blocks": 1},
    "msa": {"widths": (16, 16), "blocks": 2},
    "d-lka": {"widths": (8, 16), "blocks": 1},
    "dsc-amp": {"widths": (8, 16, 16), "blocks": 1},
}
KINDS = tuple(SHAPES)
DIFFUSING = ("cached", "concat")
K, H, W = 4, 32, 48


def config(kind):
    return NetworkConfig(kind=kind, **SHAPES[kind])


def network(kind, *, seed=0, num_classes=K):
    """A network whose every weight is random, also those that start at zero."""
    torch.manual_seed(seed)
    out = build(config(kind), num_classes, None)
    with torch.no_grad():
        for parameter in out.parameters():
            parameter.normal_(0, 0.15)
    return out


def images(b=2, seed=0):
    return torch.rand(b, 1, H, W, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def labels(b=2, n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(K, (b, n, H, W), generator=generator, dtype=torch.uint8)


def given(net, b=2, n=1):
    """Arguments of a training pass."""
    times = torch.linspace(0.2, 1.0, b)
    return (images(b), labels(b, n), times) if net.diffuses else (images(b),)


def all_outputs(out: Outputs):
    return [*out.encoder, *([] if out.denoiser is None else [out.denoiser])]


# All kinds


@pytest.mark.parametrize("kind", ["cached", "unet", "concat", "dynunet"])
def test_weights_learn_the_same_whatever_the_layout_of_the_maps(kind, monkeypatch):
    def learnt(capability):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        monkeypatch.setattr("spad.network.device._LARGE", 1)  # pixels
        net, laid_out = network(kind), {True: [], False: []}
        for module in net.modules():
            if isinstance(module, Convolution) and module.kernel_size == (3, 3):
                module.register_forward_hook(
                    lambda _, __, out: laid_out[torch.is_grad_enabled()].append(out.is_contiguous())
                )
        sum(x.square().mean() for x in all_outputs(net(*given(net)))).backward()
        with torch.no_grad():
            condition = net.encode(images())
            if net.diffuses:
                net.denoise(*given(net)[1:], condition)
        return net, laid_out

    (one, planes), (other, last) = learnt("AVX2"), learnt("AVX512")
    assert len(planes[True]) > 3
    assert all(planes[True])
    assert not any(last[True])
    assert len(planes[False]) > 3
    assert not any(planes[False])
    for (name, p), q in zip(one.named_parameters(), other.parameters(), strict=True):
        near = 1e-3 * float(q.grad.abs().max()) + 1e-7
        assert torch.allclose(p.grad, q.grad, rtol=1e-3, atol=near), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_pass_gives_what_encode_and_denoise_give(kind):
    net = network(kind)
    assert net.diffuses == config(kind).diffuses == (kind in DIFFUSING)
    image, *rest = given(net)
    out, condition = net(image, *rest), net.encode(image)
    if condition.logits is None:
        assert out.encoder == ()
    else:
        assert torch.equal(out.encoder[0], condition.logits)
        assert condition.logits.shape == (2, K, H, W)
    if net.diffuses:
        assert torch.equal(out.denoiser, net.denoise(*rest, condition))
        assert out.denoiser.shape == (2, 1, K, H, W)
    else:
        assert out.denoiser is None
        with pytest.raises(ValueError, match="no denoiser"):
            net.denoise(labels(), torch.ones(2), condition)


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_does_not_depend_on_its_batch(kind):
    net = network(kind).eval()
    image, *rest = given(net, b=3)
    if kind == "trans-unet":  # its float32 rounds up to 1.1e-5 apart on a CPU of AVX2
        net, image = net.double(), image.double()
    with torch.no_grad():
        together = all_outputs(net(image, *rest))
        alone = [all_outputs(net(*(x[b : b + 1] for x in (image, *rest)))) for b in range(3)]
    for whole, *parts in zip(together, *alone, strict=True):
        assert (whole[0] - whole[1]).abs().max() > 0.01 * whole.abs().max()
        assert (whole - torch.cat(parts)).abs().max() <= 1e-5 * whole.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_keeps_statistics_of_a_batch(kind):
    net = network(kind)
    assert not list(net.buffers())
    assert not [m for m in net.modules() if "BatchNorm" in type(m).__name__]
    trained = net.train().encode(images())
    evaluated = net.eval().encode(images())
    assert torch.equal(trained.context, evaluated.context)


@pytest.mark.parametrize("kind", DIFFUSING)
def test_chains_and_their_times_stay_apart(kind):
    net = network(kind).eval()
    with torch.no_grad():
        condition, x_t = net.encode(images()), labels(2, 3)
        t = torch.tensor([[0.1, 0.5, 1.0], [1.0, 0.2, 0.7]])
        together = net.denoise(x_t, t, condition)
        for chain in range(3):
            alone = net.denoise(x_t[:, chain : chain + 1], t[:, chain], condition)
            expected = together[:, chain : chain + 1]
            torch.testing.assert_close(expected, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("what", ["x_t", "t", "image"])
def test_a_concat_sees_the_labels_the_time_and_the_image(what):
    net = network("concat").eval()
    one = {"x_t": labels(1, 1), "t": torch.tensor([0.3]), "image": images(1)}
    other = {"x_t": labels(1, 1, seed=1), "t": torch.tensor([0.4]), "image": images(1, seed=1)}

    def logits(x_t, t, image):
        return net.denoise(x_t, t, net.encode(image))

    with torch.no_grad():
        change = logits(**one) - logits(**(one | {what: other[what]}))
    assert change.abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_network_learns_everywhere(kind):
    torch.manual_seed(0)
    net = build(config(kind), K, None)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    target = labels(2, 1, seed=3)[:, 0].long()
    for _ in range(5):
        optimiser.zero_grad()
        loss = 0.0
        for out in all_outputs(net(*given(net))):
            stride = H // out.shape[-2]
            logits = out[:, 0] if out.ndim == 5 else out
            where = target[:, ::stride, ::stride]
            loss = loss + torch.nn.functional.cross_entropy(logits, where)
        loss.backward()
        optimiser.step()
    assert not [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_and_a_sampling_step_stay_on_the_device_asked_for(kind):
    with torch.device("meta"):
        net = build(config(kind), K, None)
        image, x_t, t = torch.rand(2, 1, H, W), torch.zeros(2, 3, H, W).byte(), torch.ones(2)
    outputs = all_outputs(net(image, *((x_t, t) if net.diffuses else ())))
    torch.stack([out.mean() for out in outputs]).sum().backward()
    with torch.no_grad():
        condition = net.encode(image)
        if net.diffuses:
            outputs.append(net.denoise(x_t, t, condition))
    tensors = [*net.parameters(), *(p.grad for p in net.parameters()), *outputs]
    tensors += [of for of in condition if of is not None]
    assert {of.device.type for of in tensors} == {"meta"}
    assert {of.dtype for of in tensors} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
def test_in_bfloat16_the_logits_are_float32_and_nearly_the_same(kind):
    net = network(kind).eval()
    with torch.no_grad():
        exact = all_outputs(net(*given(net)))
        with torch.autocast("cpu", torch.bfloat16):
            rough = all_outputs(net(*given(net)))
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).abs().mean() < 0.05 * one.std()


# Weights


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_back_and_those_of_another_kind_are_refused(kind):
    net = network(kind)
    tensors = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert len({t.data_ptr() for t in net.state_dict().values()}) == len(tensors)
    copy = build(config(kind), K, tensors)
    for one, other in zip(
        all_outputs(net(*given(net))), all_outputs(copy(*given(net))), strict=True
    ):
        assert torch.equal(one, other)
    for other in KINDS:
        if other != kind:
            with pytest.raises(ValueError, match="do not fit"):
                build(config(other), K, tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_taken_over_by_name_give_each_class_its_own_logits_in_any_order(kind):
    source, other, order = network(kind), network(kind, seed=1), [0, 3, 1, 2]
    names = ["background", "SRF", "IRF", "PED"]
    taken = transfer(source.state_dict(), names, other, [names[i] for i in order])
    assert taken.keys() == source.state_dict().keys()
    other.load_state_dict(taken)
    image, *rest = given(source)
    if rest:
        renamed = torch.argsort(torch.tensor(order))[rest[0].long()].to(torch.uint8)
        moved = other(image, renamed, rest[1])
    else:
        moved = other(image)
    for one, two in zip(all_outputs(source(image, *rest)), all_outputs(moved), strict=True):
        torch.testing.assert_close(
            two, one.index_select(-3, torch.tensor(order)), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(("kind", "layer"), [("concat", "head"), ("dynunet", "heads.0.conv.conv")])
def test_a_new_class_keeps_the_new_network_s_weights(kind, layer):
    source, other = network(kind), network(kind, num_classes=3, seed=1)
    own = other.state_dict()[f"{layer}.weight"].clone()
    old = source.state_dict()[f"{layer}.weight"]
    names = ["background", "SRF", "IRF", "PED"]
    head = transfer(source.state_dict(), names, other, ["background", "drusen", "IRF"])[
        f"{layer}.weight"
    ]
    assert torch.equal(head, torch.stack([old[0], own[1], old[2]]))


# Each kind's own


def test_a_concat_is_one_u_net_on_labels_and_image_beside_each_other():
    """Its first convolution, kept in two parts, is one on the concatenation."""
    net = network("concat")
    image, x_t = images(), labels(2, 1)[:, 0]
    one_hot = torch.nn.functional.one_hot(x_t.long(), K).permute(0, 3, 1, 2).float()
    weight = torch.cat([net.labels.weight, net.image.weight], dim=1)
    both = torch.cat([one_hot, image], dim=1)
    expected = torch.nn.functional.conv2d(both, weight, net.labels.bias, padding=1)
    seen = []
    net.encoder[0][0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(image, x_t[:, None], torch.ones(2))
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


def test_a_concat_attends_at_strides_8_to_32_and_in_the_middle_and_starts_at_even_odds():
    net = build(NetworkConfig(kind="concat", widths=(8,) * 7, blocks=2, time_width=8), K, None)
    attends = [[hasattr(s.attention, "qkv") for s in level] for level in net.encoder]
    assert [all(level) for level in attends] == [any(level) for level in attends]
    assert [any(level) for level in attends] == [False] * 3 + [True] * 3 + [False]
    assert [len(level) for level in net.decoder] == [3] * 7
    assert hasattr(net.middle[0].attention, "qkv")
    small = build(config("concat"), K, None)
    assert not small(*given(small)).denoiser.any()
    assert NetworkConfig(kind="concat", widths=(8, 8, 8)).stride == 4


def test_a_dynunet_is_monai_s_in_the_configuration_of_nnu_net():
    from monai.networks.nets.dynunet import DynUNet

    net = network("dynunet").eval()
    theirs = DynUNet(
        spatial_dims=2, in_channels=1, out_channels=K, kernel_size=[3] * 4, strides=[1, 2, 2, 2],
        upsample_kernel_size=[2] * 3, filters=SHAPES["dynunet"]["widths"],
        norm_name=("INSTANCE", {"affine": True}), deep_supervision=True, deep_supr_num=1,
    ).eval()  # fmt: skip
    parts = {"input_block": "encoder.0", "downsamples.0": "encoder.1", "downsamples.1": "encoder.2",
             "bottleneck": "encoder.3", "upsamples": "decoder", "output_block": "heads.0",
             "deep_supervision_heads.0": "heads.1"}  # fmt: skip
    weights = {
        theirs_name + name[len(ours) :]: tensor
        for theirs_name, ours in parts.items()
        for name, tensor in net.state_dict().items()
        if name.startswith(f"{ours}.")
    }
    assert len(weights) == len(net.state_dict())
    theirs.load_state_dict(weights, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(net.encode(images()).logits, theirs(images()))
        scales = net(images()).encoder
    assert [tuple(s.shape[2:]) for s in scales] == [(H, W), (H // 2, W // 2)]


def test_without_monai_a_dynunet_is_refused_with_the_extra_and_the_others_built(monkeypatch):
    monkeypatch.delitem(sys.modules, "spad.network.dynunet", raising=False)
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.networks.nets.dynunet", None)
    with pytest.raises(ImportError, match=r"napari-spad\[nnunet\]"):
        build(config("dynunet"), K, None)
    build(config("concat"), K, None)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"kind": "dynunet", "widths": (8, 8)}, "3 to 8 levels"),
        ({"kind": "swin-unet", "widths": (8,)}, "2 to 6 levels"),
        ({"kind": "trans-unet", "widths": (8,) * 6}, "3 to 5 levels"),
        ({"kind": "msa", "widths": (16, 16, 16)}, "2 to 2 levels"),
        ({"kind": "unet", "blocks": 9}, "a unet takes 1 to 8"),
        ({"kind": "transformer"}, "not one of cached, unet, concat, dynunet, swin-unet"),
    ],
)
def test_a_shape_that_a_kind_cannot_have_is_refused(shape, words):
    with pytest.raises(ValueError, match=words):
        NetworkConfig(**shape)
