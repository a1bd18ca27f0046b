"""A layer that goes: napari frees its share of the graphics card, and must do so in its canvas."""

from __future__ import annotations

import numpy as np
import pytest
from docked import press_segment, stack
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


@pytest.fixture
def freed(open_dock, qtbot, monkeypatch):
    """A viewer and its dock; whether each time that napari frees is in the canvas' context."""
    viewer, dock = open_dock(show=True)
    viewer.add_image(stack(), name="eye")
    canvas = viewer.window._qt_viewer.canvas
    qtbot.waitUntil(canvas.native.isValid)
    context, seen = canvas._scene_canvas.context, []
    finish = context.finish

    def watched() -> None:
        seen.append(QOpenGLContext.currentContext() is canvas.native.context())
        finish()

    monkeypatch.setattr(context, "finish", watched)
    return viewer, dock, seen


@pytest.fixture
def windows_own():
    """Make another context the current one, as Qt does when it has drawn the window."""
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    context.create()

    def make_current() -> None:
        assert context.makeCurrent(surface)

    yield make_current
    context.doneCurrent()


@pytest.mark.parametrize("which", ["eye", "eye – SPAD"])
def test_what_a_layer_had_drawn_is_freed_in_the_canvas(freed, windows_own, engine, qtbot, which):
    viewer, dock, seen = freed
    dock.form.whole.setChecked(True)
    engine.seconds_a_step = 0.05
    press_segment(dock, qtbot)
    qtbot.waitUntil(lambda: len(viewer.layers) >= 2, timeout=10_000)
    windows_own()
    viewer.layers.remove(which)
    assert seen == [True]
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)


def test_so_it_is_when_all_layers_go(freed, windows_own):
    viewer, _, seen = freed
    viewer.add_labels(np.zeros((4, 24, 36), np.uint8))
    windows_own()
    viewer.layers.clear()
    assert seen == [True]


def test_a_closed_dock_leaves_napari_as_it_was(freed, windows_own):
    viewer, dock, seen = freed
    dock.shut_down()
    windows_own()
    viewer.layers.clear()
    assert seen == [False]
