"""Chains recorded as by a GPU, on the CPU: with other numbers they give the plain path's bits."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spad.inference import model as model_module


class Tape(TorchDispatchMode):
    """Operations with the tensors that they were given and made, which stay where they are."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        given = list(tensors([*args, *(kwargs or {}).values()]))
        # A view, or what was written into: there already.
        kept = [not any(torch._C._is_alias_of(t, g) for g in given) for t in tensors([made])]
        self.done.append((operation, args, kwargs or {}, made, kept))
        return made

    def replay(self):
        for operation, args, kwargs, made, kept in self.done:
            anew = operation(*args, **kwargs)
            for old, new, fresh in zip(tensors([made]), tensors([anew]), kept, strict=True):
                if fresh:
                    old.copy_(new)


def tensors(found):
    for one in found:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, (list, tuple)):
            yield from tensors(one)


class Recorder:
    """What `spad.chain.Recorder` does, but for the GPU."""

    def __init__(self, device, fault=None):
        self.fault, self.replays = fault, 0

    def tried(self, work):
        return work()

    def recorded(self, stage):
        with Tape() as tape:
            found = stage()
        if self.fault:
            raise self.fault

        def replay():
            self.replays += 1
            tape.replay()

        return replay, found


@pytest.fixture
def recording(monkeypatch):
    """Give the maker of a segmenter that records, and its recorders."""
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # torch 2.4 cannot watch it
    made = []

    def of(make, fault=None):
        def recorder(device):
            made.append(Recorder(device, fault))
            return made[-1]

        monkeypatch.setattr(model_module, "records", lambda device: True)
        monkeypatch.setattr(model_module, "Recorder", recorder)
        one = make()
        monkeypatch.setattr(model_module, "records", lambda device: False)
        return one, made

    return of


def same(one, other):
    return (
        np.array_equal(one.samples, other.samples)
        and np.array_equal(one.labels, other.labels)
        and np.array_equal(one.uncertainty, other.uncertainty)
    )


def edits(row, t0=None):
    clamp = np.full((40, 60), 255, np.uint8)
    clamp[row : row + 3, 10:30] = 2
    start = np.zeros_like(clamp)
    start[row : row + 9] = 1
    return {"clamp": clamp, "start": start} | ({"t0": t0} if t0 else {})


@pytest.mark.parametrize(
    ("sampling", "edited"),
    [
        ({"first": "denoiser"}, False),
        ({"first": "encoder", "coherence_px": 12}, False),
        ({"first": "denoiser", "coherence_px": 12, "mirrored": True}, True),
    ],
)
def test_recorded_chains_are_the_plain_path_s_to_the_bit(recording, model, bscan, sampling, edited):
    plain = model(**sampling)
    one, made = recording(partial(model, **sampling))
    for seed in range(4):
        given = edits(4 + 5 * seed, t0=90 if "coherence_px" not in sampling else None)
        options = {"samples": 3, "seed": seed} | (given if edited else {})
        image = bscan((40, 60), seed=seed)
        assert same(one.segment(image, **options), plain.segment(image, **options))
    steps = plain.card.sampling.steps
    # The first run is plain; the second is recorded, and compared.
    assert [recorder.replays for recorder in made] == [(1 + 3) * (1 + steps)]


def test_another_shape_or_number_of_steps_lets_go_of_what_was_recorded(recording, model, bscan):
    plain = model()
    one, made = recording(model)
    for side, steps in ((60, 2), (60, 2), (60, 3), (60, 3), (44, 3), (60, 3)):
        image = bscan((40, side))
        options = {"samples": 2, "steps": steps}
        assert same(one.segment(image, **options), plain.segment(image, **options))
    assert len(made) == 2
    assert one._model._recorded is None


def test_of_two_runs_at_a_time_one_goes_the_plain_path(recording, model, bscan):
    plain, image = model(), bscan((40, 60))
    one, _ = recording(model)
    for _ in range(2):
        one.segment(image, samples=2)
    first, second = (one.steps(image, samples=2, seed=seed) for seed in (5, 6))
    found = {}
    while len(found) < 2:
        for seed, run in ((5, first), (6, second)):
            try:
                next(run)
            except StopIteration as stop:
                found.setdefault(seed, stop.value)
    for seed, result in found.items():
        assert same(result, plain.segment(image, samples=2, seed=seed))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), False),
    ],
)
def test_what_cannot_be_recorded_goes_the_plain_path_and_says_so_once(
    recording, model, bscan, fault, said
):
    plain, image = model(), bscan((40, 60))
    one, made = recording(model, fault)
    words = []
    for _ in range(3):
        result = [step for step in one.steps(image, samples=2) if step.said]
        words += [step.said for step in result]
    assert len(made) == 1
    assert bool(words) == said
    if said:
        assert "could not be recorded" in words[0]
        assert "not permitted when stream is capturing" in words[0]
        assert len(words) == 1
    assert same(one.segment(image, samples=2), plain.segment(image, samples=2))


def test_recorded_chains_that_compute_something_else_are_not_used(
    recording, model, bscan, monkeypatch
):
    def zeros(tape):
        """What the last operation wrote into: p(x_0)."""
        _, args, options, *_ = tape.done[-1]
        options.get("out", args[0]).zero_()

    monkeypatch.setattr(Tape, "replay", zeros)
    image = bscan((40, 60))
    one, _ = recording(model)
    one.segment(image, samples=2)
    with pytest.warns(UserWarning, match=r"only .*% of the labels were the same"):
        result = one.segment(image, samples=2)
    assert same(result, model().segment(image, samples=2))


def test_a_run_s_tensors_are_let_go_of_with_it(model, bscan, monkeypatch):
    made = []
    own = model_module.Chains
    monkeypatch.setattr(
        model_module, "Chains", lambda *a, **k: made.append(weakref.ref(x := own(*a, **k))) or x
    )
    gc.disable()
    try:
        model().segment(bscan((40, 60)), samples=2)
        assert [ref() for ref in made] == [None]
    finally:
        gc.enable()
