"""The window does not go with what is on no disk, unless the person says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_spad.dock import SpadDock
from napari_spad.keep.log_lines import LogLines, append_lines
from spad.autosave.sessions import kept_layers

from results import segment, stack, stroke  # isort: skip

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


class Person:
    """Answers what the window asks when it is about to go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list = []
        self._look = QTimer(interval=20)
        self._look.timeout.connect(self._answer)
        self._look.start()

    def _answer(self) -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            self.asked.append(box.informativeText())
            title, first = self.answers.pop(0)
            first()
            next(one for one in box.buttons() if one.text() == title).click()


@pytest.fixture
def person(qapp):
    person = Person()
    yield person
    person._look.stop()
    assert not person.answers


@pytest.fixture
def work(make_napari_viewer, engine, settings, tmp_path, qtbot):
    """A window with a stroke in it that is on no disk: a file stands where the folder should."""
    folder = tmp_path / "there"
    folder.write_text("in the way")
    viewer = make_napari_viewer(show=True)
    dock = SpadDock(viewer, engine=engine, settings=settings, folder=folder)
    viewer.window.add_dock_widget(dock)
    dock.complete()
    result = segment(dock.desk, viewer.add_image(stack(), name="eye"))
    stroke(result, 1)
    reviews = dock.review.reviews
    qtbot.waitUntil(lambda: (1,) in reviews.bench(result).hashes, timeout=15_000)
    reviews.accept(result, (1,))
    yield viewer, folder, result, dock
    dock.shut_down()


def may_close(viewer, dock) -> bool:
    """What the cross of the window asks first."""
    return dock.keep.closing.may_close(viewer.window._qt_window)


def test_what_is_on_no_disk_is_told_and_tried_until_it_is(work, person):
    viewer, folder, result, dock = work
    person.answers = [("Try again", lambda: None), ("Try again", folder.unlink)]
    painted = result.layer.data.copy()
    assert may_close(viewer, dock)
    first, second = person.asked
    assert first == second
    assert "“eye – SPAD” cannot be autosaved" in first
    assert "The annotation log" in first
    assert "The record of reviews" in first
    assert str(folder) in first
    assert "Free some room" in first
    assert "Errno" not in first
    dock.shut_down()
    (kept,) = [one for one in kept_layers(folder / "autosave") if one.name == "eye – SPAD"]
    np.testing.assert_array_equal(kept.saved.load().labels, painted)
    (log,) = (folder / "log").glob("*.jsonl")
    assert [json.loads(line)["bscan"] for line in log.read_text("utf-8").splitlines()] == [[2]]
    assert "accepted" in (folder / "reviews.json").read_text("utf-8")


def test_who_goes_back_has_the_window_as_it_was(work, person):
    viewer, folder, result, dock = work
    person.answers = [("Back to napari", lambda: None)]
    assert not viewer.window._qt_window.close()
    assert viewer.window._qt_window.isVisible()
    stroke(result, 2)
    assert dock.desk.unsaved()
    folder.unlink()
    assert dock.desk.unsaved() == []
    assert may_close(viewer, dock)
    assert len(person.asked) == 1


def test_who_does_without_it_is_not_held_up(work, person):
    viewer, folder, _, dock = work
    person.answers = [("Close and lose it", lambda: None)]
    assert may_close(viewer, dock)
    assert folder.read_text() == "in the way"


def test_what_was_exported_is_not_asked_for(work):
    _, _, result, dock = work
    assert "cannot be autosaved" in " ".join(dock.desk.unsaved())
    dock.keep.autosave.exported(result.layer)
    assert "cannot be autosaved" not in " ".join(dock.desk.unsaved())


def test_a_dock_that_is_opened_again_writes_what_the_one_before_could_not(work):
    _, folder, _, dock = work
    dock.shut_down()
    assert LogLines.of(folder / "log").waiting
    folder.unlink()
    assert LogLines.of(folder / "log").write() == ("", 1)
    assert not LogLines.of(folder / "log").waiting


def test_lines_that_a_full_disk_took_are_not_written_twice(tmp_path, monkeypatch):
    lines = LogLines(tmp_path)
    for number in (1, 2, 3):
        lines.add(json.dumps({"bscan": [number]}))

    class Short:  # a disk on which there is room for one line and a half
        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_) -> None:
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, text: bytes) -> int:
            return self.file.write(text[:20])

    opened = type(tmp_path).open
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "open", lambda *a, **k: Short(opened(*a, **k)))
        said, count = lines.write()
    assert "No space left" in said
    assert (count, lines.waiting) == (1, True)
    assert lines.write() == ("", 2)
    (file,) = tmp_path.glob("*.jsonl")
    written = file.read_text("utf-8").splitlines()
    assert [line for line in written if line.endswith("}")] == [
        f'{{"bscan": [{number}]}}' for number in (1, 2, 3)
    ]
    assert append_lines(tmp_path, []) == ("", 0)
