"""What learns, and how far: the origin that lesson after lesson stays near; what is no model."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from spad.checkpoint import LabelClass
from spad.checkpoint import save as save_checkpoint
from spad.inference.segmenter import load as open_segmenter

SHAPE = (32, 48)
QUICK = {"steps": 3, "batch": 1}
HARD = {"steps": 10, "batch": 1, "learning_rate": 0.05, "old_bscans": 0, "reach": 0.02}


@pytest.fixture
def asked(bscan):
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 10:30] = 2
    return [bscan(SHAPE)], [labels]


def state(segmenter):
    return {k: v.clone() for k, v in segmenter._model.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(value, state(other)[name]) for name, value in state(one).items())


def distance(segmenter, first, names):
    """From the first model, as a share of its norm, of the weights named."""
    now, then = state(segmenter), state(first)
    gone, norm = (
        float(torch.stack([x.double().norm() for x in those]).norm())
        for those in ([now[n] - then[n] for n in names], [then[n] for n in names])
    )
    return gone / norm


def test_what_a_lesson_leaves_alone_keeps_its_origin_and_counts(model, asked):
    first = model()
    now = first.learn(*asked, **HARD)
    names = set(now._origin)
    assert any(name.startswith("denoiser") for name in names)
    for factor in (1.0, 0.0, 1.0, 0.0, 0.0):
        now = now.learn(*asked, **HARD, denoiser_factor=factor)
        assert set(now._origin) == names
        assert all(torch.equal(now._origin[n], state(first)[n]) for n in names)
        assert distance(now, first, names) <= 0.02 * (1 + 1e-5)
    assert distance(now, first, names) == pytest.approx(0.02, rel=1e-4)


def test_what_begins_to_learn_later_begins_where_it_stands(model, asked):
    first = model()
    now = first.learn(*asked, **HARD, denoiser_factor=0)
    assert not any(name.startswith("denoiser") for name in now._origin)
    now = now.learn(*asked, **HARD)
    assert all(torch.equal(now._origin[n], state(first)[n]) for n in now._origin)
    assert distance(now, first, now._origin) <= 0.02 * (1 + 1e-5)


def test_a_reach_that_was_left_before_holds_what_learns_where_it_was(model, asked):
    first = model()
    far = first.learn(*asked, **(HARD | {"reach": 10}))
    near = far.learn(*asked, **HARD, denoiser_factor=0)
    learns = [n for n in near._origin if not n.startswith("denoiser")]
    assert distance(near, first, learns) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool])
def test_an_origin_that_holds_no_weights_is_left_out(model, asked, tmp_path, kind):
    learnt = model().learn(*asked, **QUICK)
    name, tensor = next(iter(learnt._origin.items()))
    odd = {**learnt._origin, name: torch.zeros_like(tensor).to(kind)}
    without = {n: p for n, p in learnt._origin.items() if n != name}
    again = []
    for file, origin in (("odd", odd), ("without", without)):
        path = tmp_path / f"{file}.safetensors"
        save_checkpoint(path, learnt.card, state(learnt), origin=origin)
        again.append(open_segmenter(path, device="cpu").learn(*asked, **QUICK))
    assert same(*again)
    assert {p.dtype for p in again[0]._origin.values()} == {torch.float32}


@pytest.mark.parametrize("new", [False, True])
def test_a_lesson_that_led_nowhere_is_no_model(model, asked, new, monkeypatch):
    old = model()
    classes = (*old.card.classes, LabelClass(4, "ONL", (1, 2, 3))) if new else None
    images, (labels,) = asked
    if new:
        labels[labels == 2] = 4
    step = torch.optim.AdamW.step

    def diverging(self):
        step(self)
        self.param_groups[0]["params"][0].data[0] = float("nan")

    monkeypatch.setattr(torch.optim.AdamW, "step", diverging)
    with pytest.raises(ValueError, match=r"learning_rate 0.1 is too large for 3 steps.* 0.001\)"):
        old.learn(images, [labels], classes=classes, learning_rate=0.1, new_steps=3, **QUICK)


@pytest.mark.parametrize("opened", [nullcontext, torch.inference_mode])
@pytest.mark.parametrize("within", [torch.inference_mode, torch.no_grad])
def test_a_lesson_is_learnt_in_any_mode_of_the_host_s(model, asked, tmp_path, opened, within):
    old = model()
    old.save(tmp_path / "old.safetensors")
    plain = open_segmenter(tmp_path / "old.safetensors", device="cpu").learn(*asked, **QUICK)
    with opened():
        again = open_segmenter(tmp_path / "old.safetensors", device="cpu")
    with within():
        run = again.learn_steps(*asked, **QUICK)
        next(run)
        assert torch.is_grad_enabled() is False  # between the steps it is the host's
        run.close()
        again = again.learn(*asked, **QUICK)
        wide = (*old.card.classes, LabelClass(4, "ONL", (1, 2, 3)))
        shown = [np.where(labels == 2, 4, 0).astype(np.uint8) for labels in asked[1]]
        new = again.learn(asked[0], shown, classes=wide, new_steps=2, **QUICK)
        assert len(new.card.classes) == 5
    assert same(plain, again)
    assert not any(value.is_inference() for value in state(again).values())
