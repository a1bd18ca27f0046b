"""The process that learns: asked, cancelled, crashed, and what both desks say of it."""

import io
import json
import os
import signal
import threading
import time

import numpy as np
import pytest

from spad.annotation import RunProgress
from spad.checkpoint import IGNORE, LabelClass, read_card
from spad.inference import drained
from spad.remote import receive, send
from spad.worker import Drafts, LessonPlan, Worker, WorkerError, counted

SHAPE = (32, 48)


@pytest.fixture
def checkpoint(model, tmp_path):
    path = tmp_path / "tiny.safetensors"
    model().save(path)
    return path


@pytest.fixture
def worker():
    one = Worker()
    yield one
    one.close()


def plan(checkpoint, bscan, **changes):
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 10:30] = 2
    given = {
        "images": [bscan(SHAPE)],
        "label_maps": [labels],
        "accepted": 1,
        "out": checkpoint.parent / "new" / "learnt.safetensors",
        "device": "cpu",
        "options": {"steps": 3},
    }
    return LessonPlan(checkpoint, **{**given, **changes})


def finished(run):
    events = []
    outcome = drained(run, events.append)
    return outcome, [event for event in events if event is not None]


def test_a_lesson_in_the_worker_gives_a_checkpoint_and_its_progress(worker, checkpoint, bscan):
    learnt, events = finished(worker.learn(plan(checkpoint, bscan)))
    progress = [e for e in events if isinstance(e, RunProgress)]
    assert [(p.done, p.total) for p in progress] == [(1, 3), (2, 3), (3, 3)]
    assert read_card(learnt.out).name == "tiny, learnt"
    assert learnt.guard is None
    # Warm now: the next lesson is learnt by the same process, from the new model, and rehearses.
    again = plan(
        learnt.out, bscan, out=checkpoint.parent / "twice.safetensors",
        earlier=learnt.out.with_suffix(".lessons.npz"),
    )  # fmt: skip
    process = worker._process.pid
    twice, events = finished(worker.learn(again))
    assert worker._process.pid == process
    assert not [e for e in events if isinstance(e, str)]
    assert twice.earlier == 1
    assert all(0 <= g <= 1 for g in twice.guard)
    assert len(read_card(twice.out).training["learnt"]) == 2
    with np.load(twice.out.with_suffix(".lessons.npz")) as kept:
        assert {"image_0", "image_1", "labels_0", "labels_1"} < set(kept)


def test_what_does_not_fit_comes_back_in_words_and_the_worker_lives_on(worker, checkpoint, bscan):
    bad = plan(checkpoint, bscan, label_maps=[np.full(SHAPE, IGNORE, np.uint8)])
    with pytest.raises(WorkerError, match="no pixel of the label maps counts"):
        finished(worker.learn(bad))
    assert worker.running
    with pytest.raises(WorkerError, match="nowhere"):
        finished(worker.learn(plan(checkpoint.parent / "nowhere.safetensors", bscan)))
    torn = checkpoint.parent / "torn.npz"
    torn.write_bytes(b"PK\x03\x04 torn")
    learnt, _ = finished(worker.learn(plan(checkpoint, bscan, earlier=torn)))
    assert "torn.npz, could not be read" in learnt.said[0]
    assert "none is rehearsed" in learnt.said[0]
    other = checkpoint.parent / "other.npz"  # of a model of more classes
    about = json.dumps({"count": 1, "cases": [1]})
    np.savez(other, about=about, image_0=bscan(SHAPE), labels_0=np.full(SHAPE, 9, np.uint8))
    learnt, _ = finished(worker.learn(plan(checkpoint, bscan, earlier=other)))
    assert "other.npz, could not be read (label map 1 holds the values [9]" in learnt.said[0]
    assert learnt.earlier == 0
    with np.load(learnt.out.with_suffix(".lessons.npz")) as kept:
        assert json.loads(str(kept["about"])) == {"count": 1, "cases": [1]}
    np.savez(other, about=about, image_0=bscan(SHAPE), labels_0=np.full(SHAPE, 4, np.uint8))
    wide = (*read_card(checkpoint).classes, LabelClass(4, "ONL", (1, 2, 3)))
    fits = plan(checkpoint, bscan, earlier=other, classes=wide, options={"new_steps": 2})
    learnt, _ = finished(worker.learn(fits))
    assert learnt.earlier == 1
    assert not learnt.said


def test_closing_the_run_kills_the_worker_and_no_model_is_made(worker, checkpoint, bscan):
    run = worker.learn(plan(checkpoint, bscan, options={"steps": 10_000}))
    while not isinstance(next(run), RunProgress):
        pass
    run.close()
    assert not worker.running
    assert not (checkpoint.parent / "new").exists()
    learnt, _ = finished(worker.learn(plan(checkpoint, bscan)))
    assert learnt.out.exists()


def test_a_lesson_that_was_cancelled_is_not_sent_to_the_next_process(worker, checkpoint, bscan):
    """The thread that sends it may be behind: a process that was begun since is another's."""
    may = {}

    class Late(LessonPlan):
        def content(self):
            may[self.out.stem].wait(60)
            return super().content()

    def begun(name):
        may[name] = threading.Event()
        given = vars(plan(checkpoint, bscan, out=checkpoint.parent / f"{name}.safetensors"))
        run = worker.learn(Late(**given))
        while next(run) is not None:
            pass
        return run

    begun("first").close()
    (late,) = (t for t in threading.enumerate() if t.name == "spad lesson")
    second = begun("second")
    may["first"].set()
    late.join(60)
    may["second"].set()
    learnt, _ = finished(second)
    assert learnt.out.stem == "second"
    assert not (checkpoint.parent / "first.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_crash_of_the_worker_is_told_and_costs_nothing(worker, checkpoint, bscan):
    run = worker.learn(plan(checkpoint, bscan, options={"steps": 10_000}))
    while not isinstance(next(run), RunProgress):
        pass
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"has ended \(it was killed"):
        finished(run)
    assert checkpoint.exists()


def test_a_run_without_waiting_returns_at_once(worker, checkpoint, bscan):
    run = worker.learn(plan(checkpoint, bscan), wait_s=0)
    longest, deadline = 0.0, time.monotonic() + 300  # of a hang
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            event = next(run)
        except StopIteration:
            break
        if event is None:
            time.sleep(0.01)
        else:
            longest = max(longest, time.monotonic() - began)
    else:
        pytest.fail("it did not end")


def test_an_interpreter_that_is_not_there_is_named():
    with pytest.raises(WorkerError, match="could not be started"):
        Worker("/nowhere/python").warm_up()


def test_messages_come_back_as_they_were_and_a_cut_one_is_none():
    pipe = io.BytesIO()
    arrays = [np.arange(6, dtype=">i2").reshape(2, 3), np.ones((0, 4)), np.array([True])]
    send(pipe, {"kind": "x", "text": "ä\n"}, arrays)
    whole = pipe.getvalue()
    content, back = receive(io.BytesIO(whole))
    assert content == {"kind": "x", "text": "ä\n"}
    for a, b in zip(arrays, back, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert receive(io.BytesIO(b"")) is None
    assert receive(io.BytesIO(whole[:10])) is None
    assert receive(io.BytesIO(whole[:-1])) is None


def test_an_accepted_bscan_counts_whole_another_where_it_was_painted():
    labels = np.array([[0, 1, 9], [2, 3, 1]])
    painted = np.array([[True, False, True], [False, False, False]])
    whole = counted(labels, painted, accepted=True, classes=4)
    assert whole.tolist() == [[0, 1, 255], [2, 3, 1]]
    some = counted(labels, painted, accepted=False, classes=4)
    assert some.tolist() == [[0, 255, 255], [255, 255, 255]]


def test_the_model_s_own_pixels_count_a_little_only_where_a_bscan_was_not_accepted(tmp_path, bscan):
    two = {"images": [bscan(SHAPE)] * 2, "label_maps": [np.zeros(SHAPE, np.uint8)] * 2}
    assert plan(tmp_path / "x", bscan, **two, accepted=1).content()["options"]["own_weight"] == 0.2
    assert "own_weight" not in plan(tmp_path / "x", bscan, **two, accepted=2).content()["options"]


def test_drafts_say_what_each_model_needed_and_whether_learning_hurts():
    drafts, truth = Drafts(), np.ones((10, 10), np.uint8)
    assert not drafts.accept((1,), truth)
    assert drafts.told == ""
    half, most = truth.copy(), truth.copy()
    half[:5] = 0
    most[0, :3] = 0
    drafts.put((1,), half, most)
    assert drafts.accept((1,), truth)
    assert drafts.needed == (50, 3)
    assert not drafts.hurts
    assert drafts.told == "The model's drafts of 1 B-scan needed 50 px of correction, now 3 px."
    # Learnt again: the draft before any learning stays the measure.
    drafts.put((2,), most, half)
    drafts.put((2,), half, np.zeros_like(truth))
    drafts.accept((2,), truth)
    assert drafts.needed == (53, 103)
    assert drafts.hurts
    drafts.forget()
    assert drafts.needed == (0, 0)
    assert not drafts.accept((2,), truth)


def test_no_model_is_judged_by_a_structure_that_it_did_not_know():
    drafts, truth = Drafts(), np.ones((10, 10), np.uint8)
    before, after = truth.copy(), truth.copy()
    before[:2], after[:1] = 0, 0
    truth[5:] = 3  # new: of both drafts these 50 pixels have to be painted
    drafts.put((1,), before, after, known=3)
    drafts.accept((1,), truth)
    assert drafts.needed == (20, 10)
    assert drafts.told == (
        "The model's drafts of 1 B-scan needed 20 px of correction, now 10 px; structures that it "
        "did not know before are not counted (50 px now)."
    )
    after[5:] = 3
    after[2:5] = 3  # learnt, and in place of what was known
    drafts.put((1,), before, after, known=3)
    drafts.accept((1,), truth)
    assert drafts.needed == (20, 40)
    assert drafts.hurts
    assert drafts.told.endswith("now 40 px.")


def test_new_classes_reach_the_worker(worker, checkpoint, bscan, model):
    classes = (*model().card.classes, LabelClass(4, "ONL", (9, 9, 9)))
    labels = np.full(SHAPE, 4, np.uint8)
    asked = plan(checkpoint, bscan, label_maps=[labels], classes=classes, options={"new_steps": 2})
    learnt, _ = finished(worker.learn(asked))
    assert read_card(learnt.out).classes == classes
