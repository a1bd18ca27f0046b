"""A diffusion on CCDM's U-Net and nnU-Net's U-Net: trained, saved, opened, used, fine-tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import spad
from spad import phantom
from spad.network import build
from spad.train.config import ConfigError, load_config
from spad.train.loop.loop import train
from spad.train.loop.state import Run, start
from spad.train.loop.update import Job, update
from spad.train.method import Batch

WORDS = {
    "concat": ["network.kind=concat", "network.widths=[8, 8, 8, 16]"],
    "dynunet": ["method=unet", "network.kind=dynunet", "network.widths=[8, 8, 16, 16]"],
}
COMPARED = {
    "swin-unet": ["network.widths=[8, 16]", "network.blocks=2"],
    "trans-unet": ["network.widths=[8, 16, 16, 16]", "network.blocks=1"],
    "msa": ["network.widths=[16, 16]", "network.blocks=2"],
    "d-lka": ["network.widths=[8, 16]", "network.blocks=1"],
    "dsc-amp": ["network.widths=[8, 16]", "network.blocks=1"],
}
WORDS |= {k: ["method=unet", f"network.kind={k}", *w] for k, w in COMPARED.items()}


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


@pytest.mark.parametrize("kind", COMPARED)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    shared_tiny: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(shared_tiny, [*WORDS[kind], "optimiser.steps=4"])
    train(config, tmp_path / "whole", device="cpu")

    def stops(run: Run, job: Job, batch: Batch) -> dict[str, Tensor]:
        if run.step == 3:
            raise KeyboardInterrupt
        return update(run, job, batch)

    with monkeypatch.context() as patch:
        patch.setattr("spad.train.loop.loop.update", stops)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "stopped", device="cpu")
    train(config, tmp_path / "stopped", resume=True, device="cpu")
    for name in ("latest.safetensors", "best.safetensors"):
        files = [tmp_path / run / name for run in ("whole", "stopped")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("kind", COMPARED)
def test_what_spad_is_compared_with_can_do_less_and_says_so(
    shared_tiny: Path, tmp_path: Path, kind: str
) -> None:
    words = [*WORDS[kind], "optimiser.steps=1"]
    segmenter = spad.load(train(load_config(shared_tiny, words), tmp_path / "run", device="cpu"))
    image = phantom.bscan(3, shape=(64, 96)).image
    with pytest.raises(ValueError, match="cannot sample around edits; take a SPAD model"):
        segmenter.segment(image, clamp=np.zeros(image.shape, np.uint8))
    with pytest.raises(ValueError, match=f"'{kind}' cannot learn from corrections"):
        segmenter.learn([image], [np.zeros(image.shape, np.uint8)])


def test_sam_s_weights_stay_as_they_are_and_the_card_names_them(
    shared_tiny: Path, tmp_path: Path
) -> None:
    config = load_config(shared_tiny, [*WORDS["msa"], "optimiser.steps=2"])
    torch.manual_seed(5)
    encoder = build(config.network, 6, None).encoder.state_dict()
    given = {n.replace(".own", ""): t.contiguous() for n, t in encoder.items()}
    save_file({f"vision_encoder.{n}": t for n, t in given.items()}, tmp_path / "sam.safetensors")
    config = load_config(
        shared_tiny, [*WORDS["msa"], "optimiser.steps=2", f"sam={tmp_path / 'sam.safetensors'}"]
    )
    segmenter = spad.load(train(config, tmp_path / "run", device="cpu"), "cpu")
    assert "from sam.safetensors" in segmenter.card.training["encoder"]
    learnt = segmenter._model.network.encoder.state_dict()
    same = {n for n, t in encoder.items() if torch.equal(t.half(), learnt[n].half())}
    assert {n for n in encoder if "adapter" not in n} == same
    with pytest.raises(ConfigError, match=r"network\.kind msa, and this is 'cached'"):
        load_config(shared_tiny, ["sam=sam.pth"])


def test_an_edit_is_held_on_ccdms_network(shared_tiny: Path, tmp_path: Path) -> None:
    words = [*WORDS["concat"], "optimiser.steps=1"]
    segmenter = spad.load(train(load_config(shared_tiny, words), tmp_path / "run", device="cpu"))
    image = phantom.bscan(3, shape=(64, 96)).image
    clamp = np.full(image.shape, 255, np.uint8)
    clamp[20:30, 40:50] = 2
    labels = segmenter.segment(image, samples=1, steps=2, clamp=clamp).labels
    assert (labels[20:30, 40:50] == 2).all()
