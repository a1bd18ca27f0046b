"""The driver does what a person could do, and nothing else; else a session shown with it lies."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from driver import Counts, Driver
from qtpy.QtWidgets import QComboBox, QPushButton, QVBoxLayout, QWidget

pytestmark = pytest.mark.gui

SCALE = (0.5, 0.004, 0.011)


@pytest.fixture
def shown(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((3, 60, 90)), scale=SCALE, translate=(1, 2, 3))
    layer = viewer.add_labels(np.zeros((3, 60, 90), np.uint8), scale=SCALE, translate=(1, 2, 3))
    viewer.reset_view()
    viewer.dims.set_current_step(0, 2)
    return viewer, layer, Driver(viewer)


def test_a_stroke_paints_the_pixels_it_is_drawn_through(shown):
    _, layer, driver = shown
    layer.mode = "paint"
    driver.stroke(layer, [(20, 10), (20, 70), (50, 70)], brush=1)
    wanted = np.zeros((60, 90), bool)
    wanted[20, 10:71] = wanted[20:51, 70] = True
    np.testing.assert_array_equal(layer.data[2] > 0, wanted)
    assert not layer.data[:2].any()
    driver.press("Ctrl+Z")
    assert not layer.data.any()
    assert driver.counts == Counts(strokes=1, keys=1)


def test_keys_reach_the_layer_and_the_wheel_the_slider_and_the_camera(shown):
    viewer, layer, driver = shown
    driver.press("P")
    assert layer.mode == "paint"
    camera = getattr(viewer, "scene", viewer).camera  # `camera` until napari 0.9
    zoom = camera.zoom
    driver.scroll(layer, (30, 45), 1)
    assert camera.zoom > zoom
    driver.scroll(layer, (30, 45), 2, "Ctrl")
    assert viewer.dims.current_step[0] == 0


def test_what_a_person_cannot_reach_it_refuses(shown):
    viewer, layer, driver = shown
    panel = QWidget()
    column = QVBoxLayout(panel)
    button, hidden, grey, covered = (QPushButton(t) for t in ("a", "b", "c", "d"))
    combo = QComboBox()
    combo.addItems(["one", "two", "three"])
    for widget in (button, hidden, grey, covered, combo):
        column.addWidget(widget)
    grey.setEnabled(False)
    viewer.window.add_dock_widget(panel)
    hidden.hide()
    driver.pause(100)
    lid = QWidget(panel)
    lid.setGeometry(covered.geometry())
    lid.show()
    clicked = []
    button.clicked.connect(lambda: clicked.append(1))
    driver.click(button)
    assert clicked
    driver.choose(combo, "three")
    assert combo.currentText() == "three"
    for widget, why in ((hidden, "hidden"), (grey, "disabled"), (covered, "covered")):
        with pytest.raises(ValueError, match=why):
            driver.click(widget)
    with pytest.raises(ValueError, match="not on screen"):
        driver.move_to(layer, (30, 4000))
    assert driver.counts == Counts(clicks=3)


def test_waiting_in_vain_is_told(shown):
    with pytest.raises(TimeoutError, match="for Godot"):
        shown[2].wait(lambda: False, 0.1, "Godot")
