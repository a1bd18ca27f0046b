"""Stacks: read once, in any order, with results that leave the memory where they are large."""

import gc
import os
import weakref
from collections import Counter

import numpy as np
import pytest
import torch

from spad.inference import drained, segmentation
from spad.inference.stack import order_of

SHAPE = (37, 53)


class Lazy:
    """A stack that gives one slice at a time, and may fail at some."""

    def __init__(self, array, fails_at=(), error=None):
        self.array, self.fails_at = array, fails_at
        self.error = OSError("the disk is gone") if error is None else error
        self.shape, self.dtype, self.reads = array.shape, array.dtype, []

    def __getitem__(self, z):
        self.reads.append(z)
        if z in self.fails_at:
            raise self.error
        return self.array[z]


def steps_of(run):
    steps = []
    result = drained(run, steps.append)
    return steps, result


# Order


@pytest.mark.parametrize(
    ("depth", "current", "order"),
    [
        (4, None, [0, 1, 2, 3]),
        (5, 2, [2, 3, 1, 4, 0]),
        (4, 0, [0, 1, 2, 3]),
        (4, 3, [3, 2, 1, 0]),
        (1, 0, [0]),
    ],
)
def test_the_slice_on_screen_comes_first_then_its_neighbours(depth, current, order):
    assert order_of(depth, current) == order


def test_labels_come_in_that_order_and_the_result_is_the_same(tiny, bscan):
    image = bscan((5, *SHAPE))
    steps, result = steps_of(tiny.steps(image, first_slice=7, current=9))
    assert [s.slice_index for s in steps if s.labels is not None] == [9, 10, 8, 11, 7]
    assert [s.done for s in steps] == list(range(1, 16))
    for step in steps:
        if step.labels is not None:
            assert np.array_equal(step.labels, result.labels[step.slice_index - 7])
    expected = tiny.segment(image, first_slice=7)
    assert np.array_equal(result.samples, expected.samples)
    assert np.array_equal(result.uncertainty, expected.uncertainty)
    assert result.provenance["image_sha256"] == expected.provenance["image_sha256"]


@pytest.mark.parametrize("current", [6, 10, -1, 7.5])
def test_a_current_slice_that_is_not_in_the_stack_is_refused(tiny, current, bscan):
    with pytest.raises(ValueError, match=rf"current is {current}"):
        next(tiny.steps(bscan((3, *SHAPE)), first_slice=7, current=current))


# Lazy stacks


@pytest.mark.parametrize("current", [None, 2])
def test_each_slice_of_a_lazy_stack_is_read_once_and_when_its_turn_comes(tiny, current, bscan):
    lazy = Lazy(bscan((4, *SHAPE), "float32"))
    run = tiny.steps(lazy, current=current)
    next(run)
    assert lazy.reads == [current or 0]
    for _ in run:
        pass
    assert Counter(lazy.reads) == {0: 1, 1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_tensor_that_numpy_does_not_take_is_refused_with_what_to_do(tiny, bscan, ndim):
    image = torch.from_numpy(np.stack([bscan((40, 60))] * 2)[0 if ndim == 2 else slice(None)])
    for tensor in (image.bfloat16(), image.float().requires_grad_(), image.to("meta")):
        with pytest.raises(ValueError, match=r"no array \(.*\.detach\(\)\.cpu\(\)\.float\(\)"):
            tiny.segment(tensor)
        with pytest.raises(ValueError, match="no array"):
            tiny.learn([tensor], [np.zeros((40, 60), np.uint8)])
    whole = image.float().requires_grad_().detach().cpu().float().numpy()
    assert np.array_equal(tiny.segment(whole).labels, tiny.segment(image.float()).labels)


def test_a_bad_slice_of_a_lazy_stack_costs_no_other(tiny, bscan):
    image = bscan((5, *SHAPE), "float32")
    whole = tiny.segment(image)
    image[1, 3, 4] = np.nan
    steps, result = steps_of(tiny.steps(Lazy(image, fails_at=[3]), probability=True))
    said = [(s.slice_index, s.said) for s in steps if s.said]
    assert [z for z, _ in said] == [1, 3]
    assert "B-scan 2 of the image holds NaN or infinity; replace them" in said[0][1]
    assert "B-scan 4 of the image cannot be read (the disk is gone)" in said[1][1]
    assert result.provenance["said"] == [text for _, text in said]
    good = [0, 2, 4]
    assert np.array_equal(result.samples[:, good], whole.samples[:, good])
    assert not result.labels[[1, 3]].any()
    assert not result.samples[:, [1, 3]].any()
    assert (result.uncertainty[[1, 3]] == 1).all()
    assert (result.probability[0, [1, 3]] == 1).all()
    assert [s.done for s in steps][-1] == steps[-1].total == 15


class Panic(BaseException):
    """As a decoder written in Rust raises."""


@pytest.mark.parametrize("error", [SystemExit("decoder"), Panic("rust")], ids=repr)
def test_a_reader_that_would_end_the_program_costs_its_slice_alone(tiny, bscan, error):
    image = bscan((3, *SHAPE))
    steps, result = steps_of(tiny.steps(Lazy(image, [1], error)))
    (said,) = (s.said for s in steps if s.said)
    assert said.startswith("B-scan 2 of the image cannot be read (")
    assert f"{type(error).__name__}: {error}" in said
    assert np.array_equal(result.samples[:, [0, 2]], tiny.segment(image).samples[:, [0, 2]])


def test_a_person_ends_the_program_while_a_slice_is_read(tiny, bscan):
    with pytest.raises(KeyboardInterrupt):
        tiny.segment(Lazy(bscan((3, *SHAPE)), [1], KeyboardInterrupt()))


def test_a_slice_of_another_shape_or_type_than_its_stack_costs_no_other(tiny, bscan):
    class Lies(Lazy):
        def __getitem__(self, z):
            found = super().__getitem__(z)
            return {1: found[:-3], 2: found * 1j}.get(z, found)

    image = bscan((4, *SHAPE), "float32")
    steps, result = steps_of(tiny.steps(Lies(image)))
    said = [s.said for s in steps if s.said]
    assert [text[:9] for text in said] == ["B-scan 2 ", "B-scan 3 "]
    assert all("cannot be read (its reader gave" in text for text in said)
    assert np.array_equal(result.samples[:, [0, 3]], tiny.segment(image).samples[:, [0, 3]])


def test_bad_slices_do_not_hold_up_a_batch(tiny, monkeypatch, bscan):
    from spad.inference.memory_ladder import Limits

    monkeypatch.setattr(tiny, "_limits", Limits(slices=3))
    lazy = Lazy(bscan((7, *SHAPE)), fails_at=[0, 1, 2, 4])
    steps, result = steps_of(tiny.steps(lazy))
    assert [s.slice_index for s in steps if s.labels is not None] == [0, 1, 2, 4, 3, 5, 6]
    assert result.labels[[3, 5, 6]].any(axis=(1, 2)).all()
    assert Counter(lazy.reads) == dict.fromkeys(range(7), 1)


# Memory


@pytest.fixture
def small_memory(monkeypatch):
    """Let every array of a result but the smallest go to a file."""
    monkeypatch.setattr(segmentation, "IN_MEMORY_BYTES", 1000)


def test_a_large_result_is_mapped_to_files_and_equals_that_in_memory(tiny, monkeypatch, bscan):
    image = bscan((3, *SHAPE))
    expected = tiny.segment(image, probability=True)
    monkeypatch.setattr(segmentation, "IN_MEMORY_BYTES", 1000)
    result = tiny.segment(image, probability=True)
    for name in ("labels", "samples", "uncertainty", "probability"):
        array = getattr(result, name)
        assert isinstance(array, np.memmap)
        assert not isinstance(getattr(expected, name), np.memmap)
        assert np.array_equal(array, getattr(expected, name))


@pytest.mark.usefixtures("small_memory")
def test_the_files_go_with_the_result_even_if_the_run_is_cancelled(
    tiny, monkeypatch, tmp_path, bscan
):
    monkeypatch.setattr(segmentation.tempfile, "tempdir", str(tmp_path))
    result = tiny.segment(bscan((3, *SHAPE)))
    part = result.labels[1]
    if os.name == "posix":
        assert list(tmp_path.iterdir()) == []  # a file without a name
    mapping = weakref.ref(result.samples._mmap)
    kept = part.copy()
    del result
    gc.collect()
    assert mapping() is None
    assert np.array_equal(part, kept)  # what is still in use stays
    run = tiny.steps(bscan((3, *SHAPE)))
    next(run)
    run.close()
    del part, run
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_memory")
def test_no_room_for_the_files_is_said_before_the_first_step(tiny, monkeypatch, tmp_path, bscan):
    monkeypatch.setattr(segmentation.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tiny._model.network, "encode", lambda *_: pytest.fail("encoded"))
    usage = segmentation.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(segmentation.shutil, "disk_usage", lambda _: usage._replace(free=999))
    with pytest.raises(
        OSError, match=r"0\.0 GB in .*free some room.*TMPDIR.*fewer samples"
    ) as told:
        next(tiny.steps(bscan((3, *SHAPE))))
    assert str(tmp_path) in str(told.value)


@pytest.mark.usefixtures("small_memory")
def test_no_tensor_of_a_finished_slice_is_kept(tiny, bscan):
    """Else memory would grow with the number of slices."""

    def alive():
        gc.collect()
        return sum(t.nbytes for t in gc.get_objects() if type(t) is torch.Tensor)

    after = {}
    for step in tiny.steps(Lazy(bscan((5, *SHAPE)))):
        if step.labels is not None and step.slice_index in (1, 4):
            after[step.slice_index] = alive()
    assert after[4] <= after[1]
