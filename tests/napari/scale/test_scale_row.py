"""The scale beside the image: said with its origin, typed, kept; and the view that is stretched."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import segment, shown_errors
from napari.components import ViewerModel
from qtpy.QtCore import QLocale, QPoint, Qt
from qtpy.QtTest import QTest

from napari_spad.scale import Facts, KeptFacts
from napari_spad.scale.image_facts import scale_of
from spad.measuring import Scale

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]

SHAPE = (3, 24, 36)


def stack(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype("uint8")


def type_scale(row, /, **um: float) -> None:
    row.edit.click()
    for axis, value in um.items():
        row.fields[axis].setValue(value)
    row.use.click()


def test_a_readers_scale_is_said_with_its_origin_and_a_later_one_is_not_its(open_dock):
    viewer, dock = open_dock()
    told = Scale.of((0.24, 0.0039, 0.0112), "derived", "from the scan angle of a medium eye")
    image = viewer.add_image(
        stack(), scale=(0.24, 0.0039, 0.0112), units=("mm",) * 3, metadata={"scale": told.as_json()}
    )
    words = "11.2 × 3.9 µm, B-scans 240 µm, derived from the scan angle of a medium eye"
    assert dock.measure.scale.text.text() == words
    image.scale = (0.24, 0.0039, 0.02)
    assert "20 µm (derived from the layer's scale)" in dock.measure.scale.text.text()
    assert scale_of(image).column.words == "derived from the layer's scale"


@pytest.mark.parametrize("language", ["de_DE", "en_US"])
@pytest.mark.parametrize("mark", [".", ","])
def test_a_click_into_an_unknown_scale_and_keys_type_it_in_any_language(open_dock, language, mark):
    before = QLocale()
    QLocale.setDefault(QLocale(language))
    try:
        viewer, dock = open_dock(show=True)
    finally:
        QLocale.setDefault(before)
    viewer.add_image(stack(), name="eye")
    row = dock.measure.scale
    row.edit.click()
    for axis, digits in {"column": f"11{mark}2", "row": f"3{mark}87", "bscan": "240"}.items():
        field = row.fields[axis]
        QTest.mouseClick(field.lineEdit(), Qt.MouseButton.LeftButton)  # amid “unknown”
        QTest.keyClicks(field, digits)
    row.use.click()
    assert row.text.text() == "11.2 × 3.87 µm, B-scans 240 µm, typed"


def test_a_missing_scale_is_typed_and_all_layers_on_the_grid_follow(open_dock, qtbot):
    viewer, dock = open_dock()
    image = viewer.add_image(stack(), name="eye")
    row = dock.measure.scale
    assert row.text.text() == "scale unknown: type it, to measure in mm"
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    type_scale(row, column=11.2, row=3.9, bscan=240)
    assert row.text.text() == "11.2 × 3.9 µm, B-scans 240 µm, typed"
    for layer in (image, viewer.layers["eye – SPAD"], viewer.layers["eye – by hand"]):
        np.testing.assert_allclose(layer.scale, (0.24, 0.0039, 0.0112))
        assert [str(u) for u in layer.units] == ["millimeter"] * 3
        assert Scale.from_json(layer.metadata["scale"]).row.words == "typed"
    row.edit.click()
    row.opened.click()
    assert row.text.text() == "scale unknown: type it, to measure in mm"
    np.testing.assert_allclose(viewer.layers["eye – SPAD"].scale, 1)
    assert not shown_errors()


def test_layers_without_pixels_do_not_stand_in_the_way_of_a_scale(open_dock):
    viewer, dock = open_dock()
    image = viewer.add_image(stack()[0], name="eye")
    viewer.add_shapes([[(1, 2), (1, 9), (8, 9), (8, 2)]], name="SPAD region")
    viewer.add_points([(3, 4)])
    viewer.add_surface((np.eye(3)[:, :2] * 9, np.array([[0, 1, 2]])))
    type_scale(dock.measure.scale, column=11.2, row=3.9)
    assert dock.measure.scale.text.text() == "11.2 × 3.9 µm (typed)"
    np.testing.assert_allclose(image.scale, (0.0039, 0.0112))
    assert not shown_errors()


def test_what_was_typed_is_there_when_the_image_is_opened_again(open_dock, tmp_path):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye")
    type_scale(dock.measure.scale, column=11.2, row=3.9, bscan=240)
    dock.measure.measures.facts.choose_eye("OS")
    dock.measure.measures.facts.place_fovea((1.0, 20.0))
    text = (tmp_path / "images.json").read_text("utf-8")
    assert "eye" in text and str(tmp_path) not in text  # noqa: PT018
    viewer.layers.clear()
    other = viewer.add_image(stack(1), name="another")
    assert dock.measure.scale.text.text() == "scale unknown: type it, to measure in mm"
    viewer.layers.remove(other)
    again = viewer.add_image(stack(), name="the same")
    np.testing.assert_allclose(again.scale, (0.24, 0.0039, 0.0112))
    facts = dock.measure.measures.facts
    assert (facts.eye, facts.fovea.at) == ("OS", (1.0, 20.0))


def test_a_damaged_record_is_set_aside_and_told(open_dock, tmp_path):
    (tmp_path / "images.json").write_text('{"images": 3')
    viewer, dock = open_dock()
    assert "damaged" in shown_errors()[0]
    viewer.add_image(stack(), name="eye")
    type_scale(dock.measure.scale, column=11.2)
    assert (tmp_path / "images.damaged-1.json").read_text() == '{"images": 3'
    assert len(json.loads((tmp_path / "images.json").read_text("utf-8"))["images"]) == 1


@pytest.mark.parametrize(
    "odd",
    [
        3,
        {"scale": {"row": {"mm": 10**400, "origin": "typed"}}},
        {"fovea": {"at": [10**400, 1]}, "eye": [], "date": {}},
    ],
    ids=["no facts", "scale", "fovea"],
)
def test_odd_facts_of_an_image_are_as_good_as_none(tmp_path, odd):
    viewer, path = ViewerModel(), tmp_path / "images.json"
    image = viewer.add_image(stack())
    Facts(image, viewer, KeptFacts(path, pytest.fail), lambda: None).choose_eye("OS")
    book = json.loads(path.read_text("utf-8"))
    book["images"] = dict.fromkeys(book["images"], odd)
    path.write_text(json.dumps(book), "utf-8")
    facts = Facts(viewer.add_image(stack()), viewer, KeptFacts(path, pytest.fail), lambda: None)
    assert (facts.fovea, facts.eye, facts.scale.row.mm) == (None, None, None)
    facts.choose_eye("OD")
    assert (facts.eye, KeptFacts(path, pytest.fail).of(*book["images"])["eye"]) == ("OD", "OD")


def test_a_fovea_outside_the_scan_is_none(open_dock):
    viewer, dock = open_dock()
    viewer.add_image(stack(), metadata={"fovea": {"at": [1, 99], "origin": "in the file"}})
    assert dock.measure.measures.facts.fovea is None


def test_stretched_is_a_view_and_the_mouse_paints_where_it_points(open_dock, qtbot):
    viewer, dock = open_dock(show=True)
    image = viewer.add_image(
        np.zeros((2, 60, 60), np.uint8), name="eye", scale=(0.2, 0.004, 0.016), units=("mm",) * 3
    )
    labels = viewer.add_labels(
        np.zeros((2, 60, 60), np.uint8), scale=image.scale, units=image.units
    )
    native = viewer.window._qt_viewer.canvas.native
    qtbot.waitUntil(lambda: dock.isVisible() and not dock._settled.isActive())
    viewer.reset_view()
    flat = viewer.screenshot(canvas_only=True, flash=False)
    dock.measure.scale.stretch.click()
    assert image.scale.tolist() == [0.2, 0.004, 0.016]
    assert dock.desk.framing.stretch == pytest.approx(4)
    qtbot.wait(200)
    labels.mode, labels.brush_size, labels.selected_label, labels.opacity = "paint", 1, 1, 1
    centre = native.rect().center()
    middle = np.array(labels.data.shape[1:]) // 2
    for offset in (QPoint(0, 0), QPoint(0, 60)):
        QTest.mouseMove(native, centre + offset)
        QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=centre + offset)
        QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=centre + offset)
    rows = np.nonzero(labels.data[viewer.dims.current_step[0]])[0]
    zoom = viewer.scene.camera.zoom if hasattr(viewer, "scene") else viewer.camera.zoom
    assert abs(rows.min() - middle[0]) <= 1
    assert rows.max() - rows.min() == pytest.approx(60 / (zoom * 0.004), abs=1.5)
    dock.measure.scale.stretch.click()
    assert dock.desk.framing.stretch == 1
    assert flat.shape == viewer.screenshot(canvas_only=True, flash=False).shape
