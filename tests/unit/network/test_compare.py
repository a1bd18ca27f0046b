"""What each system of Table 1 is made of, against others' code of it or against what it must do."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

from spad.checkpoint.card import NetworkConfig
from spad.network import Tiled, build, compare
from spad.network.compare.deformable_lka import DeformableConv
from spad.network.compare.dynamic_strips import DynamicStrip
from spad.network.compare.sam_weights import load_sam
from spad.network.compare.swin_unet import SwinBlock


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def sam(widths=(16, 16)):
    return build(NetworkConfig(kind="msa", widths=widths, blocks=2), 3, None).eval()


@pytest.mark.parametrize("shift", [0, 3])
def test_a_swin_block_is_that_of_transformers(shift):
    from transformers import SwinConfig
    from transformers.models.swin.modeling_swin import SwinLayer

    config = SwinConfig(window_size=7, hidden_act="gelu", layer_norm_eps=1e-5)
    theirs = SwinLayer(config, 64, (10, 15), 2, shift_size=shift).eval()
    ours = SwinBlock(64, shift).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(0, 0.2)
        state = ours.state_dict()
        for end in ("weight", "bias"):
            for i in (1, 2):
                name = ("before", "after")[i - 1]
                getattr(getattr(theirs, f"layernorm_{name}"), end).copy_(state[f"norm_{i}.{end}"])
                getattr(getattr(theirs.mlp, f"fc{i}"), end).copy_(state[f"mlp.{2 * i - 2}.{end}"])
            parts = state[f"attention.qkv.{end}"].chunk(3)
            for name, part in zip("qkv", parts, strict=True):
                getattr(getattr(theirs.attention, f"{name}_proj"), end).copy_(part)
            getattr(theirs.attention.o_proj, end).copy_(state[f"attention.out.{end}"])
        table = theirs.attention.relative_position_bias.relative_position_bias_table
        table.copy_(state["attention.bias"].flatten(1).T)
        x = torch.randn(2, 10, 15, 64)
        expected = theirs(x.flatten(1, 2), (10, 15), always_partition=True)[0]
        torch.testing.assert_close(ours(x), expected.view_as(x), rtol=1e-4, atol=1e-4)


def test_a_deformable_convolution_is_one_whose_weights_look_elsewhere():
    conv = DeformableConv(3, 5, 2)
    plain = torch.nn.Conv2d(3, 3, 5, padding=4, dilation=2, groups=3, bias=False)
    x = torch.randn(2, 3, 9, 12)
    with torch.no_grad():
        plain.weight.copy_(conv.weight.unsqueeze(1))
        conv.offsets.weight.zero_()
        conv.offsets.bias.zero_()
        torch.testing.assert_close(conv(x), plain(x), rtol=1e-4, atol=1e-5)
        conv.offsets.bias.view(25, 2)[:, 0] = 1  # all look a row further down, where 0 ends the map
        lower = torch.nn.functional.pad(x, (0, 0, 4, 5))[:, :, 1:]
        expected = torch.nn.functional.conv2d(
            lower, plain.weight, padding=(0, 4), dilation=2, groups=3
        )
        torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_where_a_deformable_convolution_looks_is_learnt_in_full_precision():
    conv = DeformableConv(24, 7, 3)
    x = torch.randn(2, 24, 32, 32)
    learnt = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = conv(x)
        out.square().mean().backward()
        learnt.append(conv.offsets.weight.grad.clone())
        conv.zero_grad()
    torch.testing.assert_close(*learnt)


@pytest.mark.parametrize("kind", ["swin-unet", "trans-unet", "d-lka", "dsc-amp"])
def test_what_does_not_fit_in_one_pass_is_run_in_tiles(kind):
    config = NetworkConfig(kind=kind, widths=(8, 16, 16), blocks=1)
    net = build(config, 3, None).eval()
    image = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        whole, tiled = net.encode(image).logits, Tiled(net, 48).encode(image).logits
    assert tiled.shape == whole.shape
    assert (tiled.softmax(1) - whole.softmax(1)).abs().mean() < 0.05


@pytest.mark.parametrize("lying", [True, False])
def test_a_dynamic_strip_reaches_along_its_axis_with_each_image_s_own_kernel(lying):
    strip = DynamicStrip(2, lying=lying)
    x = torch.zeros(2, 2, 21, 21)
    x[:, :, 10, 10] = torch.tensor([[1.0, 1.0], [200.0, -100.0]])
    seen = strip(x).abs() > 1e-6
    rows, columns = seen.any(3).sum(2), seen.any(2).sum(2)
    assert bool(((columns if lying else rows) == 11).all())
    assert bool(((rows if lying else columns) == 1).all())
    kernels = strip(x)[:, :, 10, 5:16] if lying else strip(x)[:, :, 5:16, 10]
    of_one, of_other = kernels / torch.tensor([[1.0, 1.0], [200.0, -100.0]]).unsqueeze(2)
    assert (of_one - of_other).abs().max() > 1e-3


@pytest.mark.parametrize("official", [True, False])
def test_sam_s_weights_are_taken_from_either_file_and_stay_as_they_are(tmp_path, official):
    source, target = sam(), sam()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.normal_(0, 0.2)
    weights = {
        n.replace(".own", ""): t.contiguous()
        for n, t in source.encoder.state_dict().items()
        if "adapter" not in n
    }
    if official:
        path = tmp_path / "sam_vit_b.pth"
        for ours, theirs in (
            ("layers.", "blocks."), ("layer_norm1", "norm1"), ("layer_norm2", "norm2"),
            ("neck.conv1", "neck.0"), ("neck.norm1", "neck.1"), ("neck.conv2", "neck.2"),
            ("neck.norm2", "neck.3"), ("patch_embed.projection", "patch_embed.proj"),
        ):  # fmt: skip
            weights = {n.replace(ours, theirs): t for n, t in weights.items()}
        weights = {f"image_encoder.{n}": t for n, t in weights.items()}
        torch.save({**weights, "mask_decoder.x": torch.ones(1)}, path)
    else:
        path = tmp_path / "sam.safetensors"
        save_file({f"vision_encoder.{n}": t for n, t in weights.items()}, path)
    load_sam(target, path)
    for name, tensor in target.encoder.named_parameters():
        adapted = "adapter" in name
        assert tensor.requires_grad == adapted
        assert adapted or torch.equal(tensor, source.encoder.state_dict()[name])
    assert all(p.requires_grad for p in target.head.parameters())


def test_a_file_that_is_not_sam_s_is_refused_with_what_is_wrong(tmp_path):
    path = tmp_path / "wide.safetensors"
    wide = sam((32, 16)).encoder.state_dict()
    kept = {n.replace(".own", ""): t.contiguous() for n, t in wide.items() if "adapter" not in n}
    save_file({f"vision_encoder.{n}": t for n, t in kept.items()}, path)
    with pytest.raises(ValueError, match=r"has shape \(.*32.*\), not .*ViT-B is widths"):
        load_sam(sam(), path)
    (tmp_path / "no.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no weights that can be read"):
        load_sam(sam(), tmp_path / "no.pth")
    with pytest.raises(ValueError, match=r"for network\.kind msa, not 'unet'"):
        load_sam(build(NetworkConfig(kind="unet", widths=(8,)), 3, None), path)
    with pytest.raises(FileNotFoundError):
        load_sam(sam(), tmp_path / "none.pth")


def test_with_its_adapters_at_nothing_msa_s_encoder_is_sam_s():
    from transformers import SamVisionConfig
    from transformers.models.sam.modeling_sam import SamVisionEncoder

    ours = sam()
    with torch.no_grad():
        for name, parameter in ours.encoder.named_parameters():
            parameter.normal_(0, 0.1)
            if ".adapter.up." in name:
                parameter.zero_()
        theirs = SamVisionEncoder(
            SamVisionConfig(
                hidden_size=16, output_channels=16, num_hidden_layers=2, num_attention_heads=1,
                mlp_dim=64, image_size=64, global_attn_indexes=[0, 1],
            )
        ).eval()  # fmt: skip
        own = ours.encoder.state_dict()
        taken = {n.replace(".own", ""): t for n, t in own.items() if "adapter" not in n}
        for name, mine in theirs.state_dict().items():
            if mine.shape != taken[name].shape:  # a smaller grid: embeddings are interpolated
                del taken[name]
        rows = torch.nn.functional.interpolate
        taken["pos_embed"] = rows(
            own["pos_embed"].permute(0, 3, 1, 2), (4, 4), mode="bilinear"
        ).permute(0, 2, 3, 1)
        for name in own:
            if "rel_pos" in name:
                taken[name.replace(".own", "")] = rows(own[name].T[None], 7, mode="linear")[0].T
        theirs.load_state_dict(taken)
        image = torch.rand(1, 1, 64, 64) * 2 - 1
        seen = []
        ours.up.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        ours.encode(image)
        grey = (image * 2.212 + 0.226).expand(-1, 3, -1, -1)
        expected = theirs(grey).last_hidden_state
    torch.testing.assert_close(seen[0], expected, rtol=1e-3, atol=1e-4)


def test_without_transformers_msa_is_refused_with_the_extra_and_the_others_built(monkeypatch):
    monkeypatch.delitem(vars(compare), "AdaptedSam", raising=False)
    monkeypatch.delitem(sys.modules, "spad.network.compare.adapted_sam", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"napari-spad\[compare\]"):
        sam()
    build(NetworkConfig(kind="swin-unet", widths=(8, 16)), 3, None)


def test_a_transformers_that_refuses_to_load_says_why(monkeypatch):
    class Refusing(ModuleType):
        def __getattr__(self, name):
            raise ImportError("safetensors>=0.8.0 is required")  # which has no `name`

    monkeypatch.delitem(vars(compare), "AdaptedSam", raising=False)
    monkeypatch.delitem(sys.modules, "spad.network.compare.adapted_sam", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", Refusing("transformers"))
    with pytest.raises(ImportError, match=r"needs safetensors>=0\.8\.0 is required: pip install"):
        sam()


@pytest.mark.parametrize(
    ("kind", "widths", "blocks", "millions"),
    [
        ("swin-unet", (96, 192, 384, 768), 2, 27.17),  # as its authors count
        ("trans-unet", (64, 256, 512, 1024, 768), 12, 105.28),
    ],
)
def test_the_papers_configurations_have_the_papers_parameters(kind, widths, blocks, millions):
    with torch.device("meta"):
        net = build(NetworkConfig(kind=kind, widths=widths, blocks=blocks), 9, None)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.001)
