"""Workers: each ends, whatever its work raises, and whether or not the window is still there."""

from __future__ import annotations

import threading
import warnings

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from qtpy.QtCore import QCoreApplication, QEvent

from napari_spad.desk import Background, FunctionWorker, GeneratorWorker

pytestmark = pytest.mark.gui


class Panic(BaseException):
    """As a decoder written in Rust raises."""


ERRORS = [ValueError("x"), RuntimeError("torch"), SystemExit("out"), Panic("rust")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_a_worker_tells_whatever_its_work_raises_and_ends(qtbot, kind, error):
    def function():
        raise error

    def generator():
        yield 1
        raise error

    worker = FunctionWorker(function) if kind == "function" else GeneratorWorker(generator)
    told = []
    worker.errored.connect(told.append)
    with qtbot.waitSignal(worker.finished, timeout=5000):
        worker.start()
    qtbot.waitUntil(lambda: told == [error], timeout=5000)
    assert not worker.is_running


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_work_in_the_background_is_not_waited_for_after_it_failed(qtbot, error):
    def work():
        raise error

    told = []
    background = Background(told.append)
    background.start(work, told.append)
    qtbot.waitUntil(lambda: not background.busy, timeout=5000)
    assert str(error) in told[0]


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_that_outlives_its_signals_ends_quietly(qtbot, capfd, fails):
    """As when napari closes beside it: Qt's half is gone, and emitting raises RuntimeError."""

    def work():
        worker.signals.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        if fails:
            raise ValueError("x")

    worker = FunctionWorker(work)
    worker.run()  # in this thread, which deletes
    assert not worker.is_running
    assert capfd.readouterr().err == ""


def test_workers_that_overlap_leave_pythons_warnings_as_they_were(qtbot):
    before = warnings.showwarning, list(warnings.filters)
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def work(mine, other):
        mine.set()
        warnings.warn("not shown", stacklevel=1)
        return other.wait(5)

    workers = [
        FunctionWorker(work, first_is_in, second_is_in),
        FunctionWorker(work, second_is_in, first_is_in),
    ]
    for worker in workers:
        worker.start()
    qtbot.waitUntil(lambda: first_is_in.is_set() and second_is_in.is_set(), timeout=5000)
    qtbot.waitUntil(lambda: not any(worker.is_running for worker in workers), timeout=5000)
    assert (warnings.showwarning, list(warnings.filters)) == before
