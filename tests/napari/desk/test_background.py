"""Workers: each ends, whatever its work raises, and whether or not the window is still there."""

from __future__ import annotations

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


def test_a_worker_leaves_pythons_warnings_as_they_were(qtbot):
    before = warnings.showwarning
    during = []
    FunctionWorker(lambda: during.append(warnings.showwarning)).run()
    assert during == [before]
    assert warnings.showwarning is before
