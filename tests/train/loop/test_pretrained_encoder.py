"""An encoder that ImageNet has taught: found, checked, trained more gently, kept in checkpoints."""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

import pytest
import torch

import spad
from spad import checkpoint, phantom
from spad.backbones.efficientnet import EfficientNet, fold
from spad.checkpoint.labels import LabelClass
from spad.train.config import load_config
from spad.train.loop import pretrained_encoder as pretrained
from spad.train.loop.loop import train
from spad.train.loop.pretrained_encoder import SOURCES, Source, credit, pretrained_weights
from spad.train.loop.state import start

LITE0 = "efficientnet-lite0"
WORDS = [f"network.encoder={LITE0}", "network.widths=[8, 16, 16]"]
CLASSES = tuple(LabelClass(i, n, (i, i, i)) for i, n in enumerate(("background", "SRF", "IRF")))
CPU = torch.device("cpu")


def with_batchnorm(seed: int) -> dict[str, torch.Tensor]:
    """Weights as published, made up: each fold of them is the network's own random weights."""
    torch.manual_seed(seed)
    out = {}
    for name, tensor in EfficientNet(LITE0).state_dict().items():
        *where, layer, part = name.split(".")
        norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2", "stem": "_bn0"}[layer]
        block = f"_blocks.{where[1]}." if where else ""
        if part == "bias":
            out[f"{block}{norm}.bias"] = tensor
            out[f"{block}{norm}.running_mean"] = torch.zeros_like(tensor)
            out[f"{block}{norm}.running_var"] = torch.ones_like(tensor)
            out[f"{block}{norm}.weight"] = torch.ones_like(tensor)
        elif layer == "stem":
            out["_conv_stem.weight"] = tensor.repeat(1, 3, 1, 1) / 3
        else:
            out[f"{block}_{layer}_conv.weight"] = tensor
    return out


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of made-up ImageNet weights on the path; gives its file."""
    folder = tmp_path / "site" / "made_up_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a package is not run')")
    file = folder / "w.pth"
    torch.save(with_batchnorm(0), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(SOURCES, LITE0, Source("made-up-weights", "w.pth", digest))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return file


@pytest.fixture
def _no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, LITE0, Source("no-such-weights", "w.pth", "0" * 64))


def test_the_weights_are_read_from_the_package_without_running_it(package: Path) -> None:
    weights = pretrained_weights(LITE0)
    assert "made_up_weights" not in sys.modules
    expected = fold(with_batchnorm(0))
    assert weights.keys() == expected.keys() == EfficientNet(LITE0).state_dict().keys()
    assert all(torch.equal(weights[n], expected[n]) for n in expected)


@pytest.mark.usefixtures("_no_package")
def test_a_missing_package_is_said_with_the_remedies(tiny: Path) -> None:
    with pytest.raises(ImportError, match=r"napari-spad\[pretrained\].*pretrained=false"):
        start(load_config(tiny, WORDS), CLASSES, CPU)


def test_a_file_that_is_another_is_refused_before_it_is_opened(package: Path) -> None:
    package.write_bytes(package.read_bytes() + b"more")
    with pytest.raises(ValueError, match=r"SHA-256 .* install made-up-weights again"):
        pretrained_weights(LITE0)
    package.unlink()
    with pytest.raises(ImportError, match=r"cannot be read.* install made-up-weights again"):
        pretrained_weights(LITE0)


@pytest.mark.usefixtures("_no_package")
def test_random_weights_need_no_package(tiny: Path) -> None:
    run = start(load_config(tiny, [*WORDS, "pretrained=false"]), CLASSES, CPU)
    assert run.network.config.encoder == LITE0


@pytest.mark.usefixtures("_no_package")
def test_our_own_encoder_needs_no_package(tiny: Path) -> None:
    run = start(load_config(tiny), CLASSES, CPU)
    assert len(run.optimiser.param_groups) == 1
    assert not credit(run.network.config)


def test_a_run_starts_from_the_package_s_weights_also_with_fewer_levels(
    package: Path, tiny: Path
) -> None:
    state = start(load_config(tiny, WORDS), CLASSES, CPU).network.state_dict()
    weights = pretrained_weights(LITE0)
    own = {n.removeprefix("encoder.backbone."): t for n, t in state.items() if "backbone" in n}
    assert own.keys() < weights.keys()
    assert all(torch.equal(t, weights[n]) for n, t in own.items())


def test_the_pretrained_part_learns_at_its_own_rate(
    package: Path, tiny: Path, tmp_path: Path
) -> None:
    """Adam's first step is the learning rate's size, whatever the gradient's."""
    moved = {}
    for factor in (0.0, 0.1):
        words = [
            *WORDS, "optimiser.steps=1", "optimiser.warmup=0", "optimiser.ema=0",
            "optimiser.weight_decay=0", f"optimiser.encoder_factor={factor}", "validation.every=1",
        ]  # fmt: skip
        config = load_config(tiny, words)
        out = tmp_path / f"run{factor}"
        train(config, out, device="cpu")
        after = torch.load(out / "latest.pt", weights_only=True)["network"]
        classes = checkpoint.read_card(out / "best.safetensors").classes
        before = start(config, classes, CPU).network.state_dict()
        for part in ("encoder.backbone.", "encoder.head."):
            moved[factor, part] = max(
                float((after[n] - before[n]).abs().max()) for n in after if n.startswith(part)
            )
    rate = load_config(tiny).optimiser.learning_rate
    assert moved[0.0, "encoder.backbone."] == 0
    assert moved[0.1, "encoder.backbone."] == pytest.approx(0.1 * rate, rel=0.01)
    for factor in (0.0, 0.1):
        assert moved[factor, "encoder.head."] == pytest.approx(rate, rel=0.01)


def test_in_two_stages_the_preview_stays_the_first_stage_s(
    package: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A U-Net from ImageNet; then a denoiser on it, frozen, which needs the package no more."""
    words = [*WORDS, "optimiser.steps=2"]
    first = train(load_config(tiny, [*words, "method=unet"]), tmp_path / "unet", device="cpu")
    card = checkpoint.read_card(first)
    assert card.network.encoder == LITE0
    assert "Apache-2.0" in card.training["encoder"]

    monkeypatch.setitem(SOURCES, LITE0, Source("no-such-weights", "w.pth", "0" * 64))
    frozen = [*words, f"init={first}", "optimiser.freeze_encoder=true"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        second = train(load_config(tiny, frozen), tmp_path / "spad", device="cpu")
    (_, before), (_, after) = checkpoint.load(first), checkpoint.load(second)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(after) > len(before)

    image = phantom.bscan(3, shape=(64, 96)).image
    preview = spad.load(second, "cpu").segment(image, samples=1, steps=1).labels
    assert (preview != spad.load(first, "cpu").segment(image).labels).mean() < 0.005  # ties


def test_a_run_goes_on_where_it_was_stopped(package: Path, tiny: Path, tmp_path: Path) -> None:
    config = load_config(tiny, [*WORDS, "optimiser.steps=4", "validation.every=2"])
    whole = train(config, tmp_path / "whole", device="cpu")
    stopped = tmp_path / "stopped"

    class Enough(Exception):
        pass

    import spad.train.loop.loop as loop

    update, calls = loop.update, 0

    def few(*args):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Enough
        return update(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "update", few)
        with pytest.raises(Enough):
            train(config, stopped, device="cpu")
    again = train(config, stopped, resume=True, device="cpu")
    assert again.with_name("latest.safetensors").read_bytes() == (
        whole.with_name("latest.safetensors").read_bytes()
    )


@pytest.mark.parametrize("encoder", sorted(SOURCES))
def test_the_known_package_is_the_one_that_is_installed(encoder: str) -> None:
    """Skipped where it is not; then the real weights load and tell two images apart."""
    try:
        weights = pretrained.pretrained_weights(encoder)
    except ImportError as error:
        pytest.skip(str(error))
    net = EfficientNet(encoder)
    net.load_state_dict(weights)
    image = torch.from_numpy(phantom.bscan(3, shape=(64, 96)).image)[None, None] / 127.5 - 1
    with torch.no_grad():
        one, other = net(image)[-1], net(torch.zeros_like(image))[-1]
    assert (one - other).abs().mean() > 0.1
