"""A model on a server gives what it gives here, whatever the line does."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import spad
from spad.annotation import RunProgress
from spad.checkpoint import LabelClass
from spad.inference import ServerError, drained
from spad.remote import choose, connect, model_on, running
from spad.worker import LessonPlan, Worker

ONE, OTHER = "a-token-of-one-desk", "a-token-of-another"
SHAPE = (32, 48)


@pytest.fixture
def remote(served):
    return connect(served.url, ONE)["tiny"]


@pytest.fixture(scope="module")
def here(checkpoint):
    return spad.load(checkpoint, device="cpu")


def followed(run):
    steps = []
    return drained(run, steps.append), steps


def assert_alike(one, other):
    for name in ("labels", "samples", "uncertainty", "probability"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            assert_array_equal(a, b)
    assert one.classes == other.classes
    assert one.spacing_mm == other.spacing_mm
    changes = {"date", "server"}
    theirs, ours = (
        {k: v for k, v in x.provenance.items() if k not in changes} for x in (one, other)
    )
    assert theirs == ours


def waits(run):
    """Whether a server is done with what it was asked, within some seconds."""
    deadline = time.monotonic() + 20
    while run() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not run()


def test_a_run_gives_what_it_gives_here_bit_for_bit(remote, here, bscan, served):
    stack = np.stack([bscan(SHAPE, "uint16", seed=z) for z in range(3)])
    options = {"seed": 4, "first_slice": 2, "current": 3, "probability": True}
    made, steps = followed(remote.steps(stack, (0.1, 0.004, 0.01), **options))
    local, ours = followed(here.steps(stack, (0.1, 0.004, 0.01), **options))
    assert_alike(made, local)
    assert made.provenance["server"] == served.url
    final = [s for s in steps if s.labels is not None]
    assert [s.slice_index for s in final] == [3, 4, 2]
    for s in final:
        assert_array_equal(s.labels, local.labels[s.slice_index - 2])
    assert {(s.done, s.total) for s in ours} <= {(s.done, s.total) for s in steps}
    assert waits(lambda: served.service._runs)  # nothing is kept


def test_sampling_around_edits_and_colours_as_here(remote, here, bscan):
    image = np.repeat(bscan(SHAPE)[..., None], 3, axis=-1)
    clamp = np.full(SHAPE, 255, np.uint8)
    clamp[5:9, 5:20] = 2
    region = np.zeros(SHAPE, bool)
    region[:20] = True
    edits = {"clamp": clamp, "region": region, "start": np.ones(SHAPE, np.uint8), "t0": 2}
    options = {**edits, "rgb": True, "inverted": True, "samples": 3, "seed": np.int64(7)}
    assert_alike(remote.segment(image, **options), here.segment(image, **options))


class _Lazy:
    """Slices in a file, one of which is damaged."""

    def __init__(self, stack, error):
        self._stack, self.shape, self.dtype = stack, stack.shape, stack.dtype
        self._error = error

    def __getitem__(self, z):
        if z == 1:
            raise self._error
        return self._stack[z]


@pytest.mark.filterwarnings("ignore:B-scan 2 of the image cannot be read")
@pytest.mark.parametrize("error", [OSError("damaged"), SystemExit("out")], ids=repr)
def test_a_slice_that_cannot_be_read_costs_the_others_nothing(remote, here, bscan, error):
    lazy = _Lazy(np.stack([bscan(SHAPE, seed=z) for z in range(3)]), error)
    made, local = remote.segment(lazy), here.segment(lazy)
    assert_array_equal(made.labels, local.labels)
    assert made.uncertainty[1].min() == 1
    assert "B-scan 2 of the image cannot be read" in made.provenance["said"][0]


def test_what_does_not_fit_is_refused_in_the_words_of_here(remote, here, bscan):
    for wrong in ({"samples": 99}, {"t0": 3}, {"clamp": np.zeros((3, 3), np.uint8)}):
        with pytest.raises(ValueError) as ours:  # noqa: PT011
            here.segment(bscan(SHAPE), **wrong)
        with pytest.raises(ValueError) as theirs:  # noqa: PT011
            remote.segment(bscan(SHAPE), **wrong)
        assert str(theirs.value) == str(ours.value)
    with pytest.raises(ValueError, match="NaN or infinity"):
        remote.segment(np.full(SHAPE, np.nan))
    image, labels = bscan(SHAPE), np.ones(SHAPE, np.uint8)
    hidden = np.ma.masked_array(labels, labels == 1)
    for images, label_maps, seed in (
        ([image], [labels] * 2, 0),
        ([image] * 2, [labels, hidden], 0),
        ([image, np.full(SHAPE, np.nan)], [labels] * 2, 0),
        ([image], [labels * 9], 0),
        ([image], [labels], None),
        ([image], [labels * 255], 0),
    ):
        with pytest.raises(ValueError) as ours:  # noqa: PT011
            here.learn(images, label_maps, seed=seed)
        with pytest.raises(ValueError) as theirs:  # noqa: PT011
            remote.learn(images, label_maps, seed=seed)
        assert str(theirs.value) == str(ours.value)


def test_learning_there_gives_the_model_of_here_and_it_runs_there(remote, here, bscan, tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 10:30] = 4
    classes = (*here.card.classes, LabelClass(4, "ONL", (9, 9, 9)))
    lesson = {
        "classes": classes, "earlier": [(bscan(SHAPE, seed=3), labels // 2)], "seed": 1,
        "new_steps": 2,
    }  # fmt: skip
    learnt, steps = followed(remote.learn_steps([bscan(SHAPE)], [labels], **lesson))
    ours = here.learn([bscan(SHAPE)], [labels], **lesson)
    learnt.save(tmp_path / "theirs.safetensors")
    ours.save(tmp_path / "ours.safetensors")
    assert (tmp_path / "theirs.safetensors").read_bytes() == (
        tmp_path / "ours.safetensors"
    ).read_bytes()
    assert steps[-1].total == 2
    assert_alike(
        learnt.segment(bscan(SHAPE)),
        spad.load(tmp_path / "ours.safetensors", "cpu").segment(bscan(SHAPE)),
    )
    with pytest.raises(ValueError, match="is the server's"):
        remote.save(tmp_path / "mine.safetensors")


@pytest.fixture
def at_server(served, monkeypatch, tmp_path):
    """The file that stands for a model which only the server has."""
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path))
    choose(served.url, OTHER)
    return model_on("tiny", "server")


def test_a_model_that_only_the_server_has_runs_there(at_server, here, bscan):
    made = spad.load(at_server, "server").segment(bscan(SHAPE))
    assert_alike(made, here.segment(bscan(SHAPE)))


def test_the_desks_worker_learns_on_the_server_that_is_chosen(served, checkpoint, at_server, bscan):
    worker = Worker()
    plan = LessonPlan(
        at_server, [bscan(SHAPE)], [np.ones(SHAPE, np.uint8)], 1,
        checkpoint.parent / "learnt.safetensors", device="server", options={"steps": 2},
    )  # fmt: skip
    run = worker.learn(plan)
    learnt, _ = followed(run)
    endless = worker.learn(replace(plan, options={"steps": 10_000}))
    while not isinstance(next(endless), RunProgress):
        pass
    endless.close()
    assert not worker.running
    assert waits(lambda: served.service.processes[0].at_work)
    made = spad.load(learnt.out, "server").segment(bscan(SHAPE))
    assert_alike(made, spad.load(learnt.out, "cpu").segment(bscan(SHAPE)))


def test_a_line_that_is_slow_and_cut_in_the_middle_loses_nothing(served, here, bscan, slow_line):
    stack = np.stack([bscan((64, 96), seed=z) for z in range(4)])
    with slow_line(served.port) as proxy:
        model = connect(proxy.url, ONE)["tiny"]
        proxy.cut_at = 4000
        made, steps = followed(model.steps(stack, seed=2))
        assert proxy.cuts == 1
    assert any("is down; trying again" in s.said for s in steps)
    assert_alike(made, here.segment(stack, seed=2))


def test_who_stops_iterating_has_cancelled(remote, bscan, served):
    before = set(served.service._runs)
    run = remote.steps(np.stack([bscan(SHAPE)] * 40), samples=8, steps=50)
    while next(run).done == 0:
        pass
    run.close()
    assert waits(lambda: set(served.service._runs) - before)
    assert waits(lambda: served.service.processes[0].at_work)
    assert remote.segment(bscan(SHAPE)).labels.shape == SHAPE  # the same process goes on


def test_two_desks_at_once_each_have_their_own(served, here, bscan):
    made = {}

    def work(token, seed):
        model = connect(served.url, token)["tiny"]
        made[token] = [model.segment(bscan(SHAPE, seed=seed), seed=n) for n in range(3)]

    desks = [threading.Thread(target=work, args=x) for x in ((ONE, 1), (OTHER, 2))]
    for desk in desks:
        desk.start()
    for desk in desks:
        desk.join(60)
    for token, seed in ((ONE, 1), (OTHER, 2)):
        for n, one in enumerate(made[token]):
            assert_alike(one, here.segment(bscan(SHAPE, seed=seed), seed=n))


def test_a_run_that_takes_too_long_is_ended_in_words(remote, bscan, served, monkeypatch):
    run = remote.steps(np.stack([bscan(SHAPE)] * 40), samples=8, steps=50)
    while next(run).done == 0:
        pass
    object.__setattr__(served.service.limits, "minutes", 0.0)
    with pytest.raises(ServerError, match=r"more than 0 minutes.*raise --minutes"):
        followed(run)
    object.__setattr__(served.service.limits, "minutes", 60.0)


def test_the_process_of_a_device_that_dies_is_told_and_the_next_run_has_another(
    remote, bscan, served
):
    run = remote.steps(np.stack([bscan(SHAPE)] * 40), samples=8, steps=50)
    while next(run).done == 0:
        pass
    served.service.processes[0]._process.kill()
    with pytest.raises(ServerError, match="the process of cpu ended on the server"):
        followed(run)
    assert remote.segment(bscan(SHAPE)).labels.shape == SHAPE


def test_a_server_that_is_gone_is_told_of_and_does_not_hang(idle, bscan, monkeypatch):
    monkeypatch.setattr(running, "PATIENCE_S", 0.5)
    serving = idle()
    run = connect(serving.url, ONE)["tiny"].steps(bscan(SHAPE))
    while not serving.service._runs:
        next(run)
    serving.stop()
    with pytest.raises(ServerError, match=r"cannot be reached .*edits are as they were"):
        followed(run)
