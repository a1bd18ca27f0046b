"""What a program has set in torch for itself changes no result, and stays as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from spad.checkpoint import LabelClass
from spad.inference.memory_ladder import Limits

SHAPE = (32, 48)


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SET = {
    "float64": lambda: default(torch.float64),
    "bfloat16": lambda: default(torch.bfloat16),
    "device": lambda: torch.device("meta"),  # stands for a GPU
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
}


def segmented(segmenter, bscan):
    """Arrays of a plain run, one around edits, and one in tiles."""
    image, start = bscan(SHAPE), (bscan(SHAPE) > 150).astype(np.uint8)
    clamp = np.full(SHAPE, 255, np.uint8)
    clamp[5:9, 5:30] = 2
    runs = [
        segmenter.segment(image, seed=3, probability=True),
        segmenter.segment(image, seed=3, probability=True, start=start, clamp=clamp),
    ]
    before, segmenter._limits = segmenter._limits, Limits(grid_px=1, tile_px=32)
    try:
        runs.append(segmenter.segment(bscan((60, 90)), seed=3, probability=True))
    finally:
        segmenter._limits = before
    return [array for r in runs for array in (r.samples, r.uncertainty, r.probability)]


def learnt(segmenter, bscan):
    """Weights after a lesson, and after one with a new structure."""
    image, labels = bscan(SHAPE), (bscan(SHAPE) > 150).astype(np.uint8)
    labels[:4] = 4
    known = np.where(labels == 4, 0, labels)
    wide = (*segmenter.card.classes, LabelClass(4, "ONL", (1, 2, 3)))
    models = [
        segmenter.learn([image], [shown], classes=classes, steps=2, new_steps=2)
        for shown, classes in ((known, None), (labels, wide))
    ]
    return [v.numpy() for m in models for v in m._model.network.state_dict().values()]


@pytest.mark.parametrize("what", SET)
def test_a_program_s_defaults_change_no_result(model, bscan, what):
    segmenter = model(coherence_px=16)
    expected = segmented(segmenter, bscan) + learnt(segmenter, bscan)
    with SET[what]():
        before = torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
        found = segmented(segmenter, bscan) + learnt(segmenter, bscan)
        assert before == (torch.get_default_dtype(), torch.is_autocast_enabled("cpu"))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_a_host_s_autocast_is_its_own_between_the_steps(tiny, bscan):
    run = tiny.steps(bscan(SHAPE))
    with torch.autocast("cpu", torch.bfloat16):
        next(run)
        assert torch.is_autocast_enabled("cpu")
        run.close()
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_no_run_and_no_lesson_draws_from_the_program_s_generator(model, bscan):
    segmenter = model()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    segmented(segmenter, bscan)
    learnt(segmenter, bscan)
    assert torch.get_rng_state().equal(before)
