"""Lines in a real viewer under the dock: mouse and keys, a band and its labels, a kill, a copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from docked import segment, shown_errors, stack
from driver import Driver
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_spad.borders import borders_of
from napari_spad.read.opened_layers import reference_layer
from spad.borders import Lines, band_lines, write_lines
from spad.checkpoint import IGNORE
from spad.measuring import Scale

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def opened(open_dock, **options):
    viewer, dock = open_dock(**options)
    viewer.add_image(stack((4, 60, 90)), name="eye", scale=(0.1, 0.02, 0.02), units=("mm",) * 3)
    dock.panels.setCurrentWidget(dock.correct)
    return viewer, dock


def test_lines_are_drawn_dragged_and_undone_by_mouse_and_keys(open_dock) -> None:
    viewer, dock = opened(open_dock, show=True)
    assert dock.borders.box.isHidden()
    dock.borders.add.add_new(["ILM", "BM"])
    assert not dock.borders.box.isHidden()
    layer = dock.borders.layer
    borders = borders_of(layer)
    person = Driver(viewer)
    person.pause(500)  # the camera settles after the dock has taken its room
    z = dock.borders.at_work.tools.bscan

    def press(key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(person.native, key, held)

    person.stroke(layer, [(20, 5), (20, 45), (20, 85)])
    press(Qt.Key.Key_2)
    person.stroke(layer, [(40, 5), (40, 85)])
    assert np.nanmean(borders.heights[0, z]) == pytest.approx(20, abs=0.5)
    assert np.nanmean(borders.heights[1, z]) == pytest.approx(40, abs=0.5)
    press(Qt.Key.Key_G)
    camera = getattr(viewer, "scene", viewer).camera.center
    person.stroke(layer, [(40, 45), (46, 45), (50, 45)])
    assert getattr(viewer, "scene", viewer).camera.center == camera
    assert borders.heights[1, z, 45] == pytest.approx(50, abs=0.6)
    press(Qt.Key.Key_Z, CONTROL)
    assert borders.heights[1, z, 45] == pytest.approx(40, abs=0.6)
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert borders.heights[1, z, 45] == pytest.approx(50, abs=0.6)
    press(Qt.Key.Key_D)
    begin, end = (person.at(layer, (20, column)) for column in (30, 60))
    person.move_to(layer, (20, 30))
    press(Qt.Key.Key_1)
    QTest.mousePress(person.native, Qt.MouseButton.LeftButton, SHIFT, begin)
    QTest.mouseMove(person.native, end)
    person.pause(50)
    QTest.mouseRelease(person.native, Qt.MouseButton.LeftButton, SHIFT, end)
    assert np.isnan(borders.heights[0, z, 32:58]).all(), "with Shift it is rubbed out"
    assert np.isfinite(borders.heights[0, z, [10, 25, 65, 80]]).all()
    press(Qt.Key.Key_X)
    assert dock.borders.at_work.tools.others == "stop"
    visuals = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node.children
    assert sum(node.visible for node in visuals if type(node).__name__ == "Line") == 2
    assert not shown_errors()


def banded(open_dock, qtbot):
    """A dock with a result, the two lines of whose PED are open; the result, its labels before."""
    _, dock = opened(open_dock)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    (result,) = dock.results
    before = result.layer.data.copy()
    dock.borders.add.add_band(3)
    return dock, result, before


def test_a_band_and_its_labels_follow_each_other(open_dock, engine, qtbot) -> None:
    dock, result, before = banded(open_dock, qtbot)
    borders = borders_of(dock.borders.layer)
    assert borders.names == ("PED top", "PED bottom")
    dock.desk.settings.setValue("export_folder", "/exports")
    proposed = dock.borders.add._beside_result(dock.borders.layer)
    assert proposed == Path("/exports", f"{result.layer.name}.lines.csv"), "for spad measure"
    z = dock.borders.at_work.tools.bscan
    plane = borders.plane(z)
    plane[0, 30:40] -= 4
    borders.put({z: plane})
    changed = result.layer.data != before
    assert changed.sum() == 40
    assert (result.layer.data[changed] == 3).all()
    held = changed.copy()
    for column in range(30, 40):  # two rows on either side of the line, too
        row = int(np.ceil(plane[0, column]))
        held[z, row - 2 : row + 2, column] = True
    assert np.array_equal(result.hand.mask.astype(bool), held), "held by sampling around edits"
    engine.shift = -6  # the model would have the structure two rows further up
    dock.correct.resampling.around_edits("B-scan")
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    clamp = engine.calls[-1]["clamp"]
    assert np.array_equal(clamp != IGNORE, held[z])
    assert np.array_equal(clamp[held[z]], result.layer.data[z][held[z]])
    assert (result.layer.data[z] != before[z]).sum() > 40, "the rest was sampled anew"
    assert np.array_equal(borders.plane(z)[0, 30:40], plane[0, 30:40]), "and the line stays"
    result.layer.undo()
    result.layer.undo()
    assert np.array_equal(result.layer.data, before), "one undo step"
    assert not result.hand.mask.any()
    qtbot.waitUntil(lambda: np.array_equal(borders.plane(z), band_lines(before[z], 3)))
    borders.put({z: plane})
    assert np.array_equal(result.hand.mask.astype(bool), held)
    borders.undo()
    assert np.array_equal(result.layer.data, before), "with what it had painted over"
    assert not result.hand.mask.any(), "an edit that was undone in the lines holds nothing"
    qtbot.waitUntil(lambda: np.array_equal(borders.plane(z), band_lines(before[z], 3)))
    result.layer.data_setitem(np.nonzero(before == 3), 0)
    qtbot.waitUntil(lambda: np.isnan(borders.plane(z)).all())
    result.layer.undo()
    qtbot.waitUntil(lambda: np.isfinite(borders.plane(z)).all())
    result.locked.add(3)
    borders.put({z: plane})
    assert np.array_equal(result.layer.data, before), "a locked structure stays"


def test_an_undo_in_the_labels_brings_lines_back_to_fractions_of_a_pixel(open_dock, qtbot) -> None:
    dock, result, _ = banded(open_dock, qtbot)
    borders, z = borders_of(dock.borders.layer), dock.borders.at_work.tools.bscan
    drawn = [borders.plane(z)]
    for columns, rows in ((slice(30, 60), 4.3), (slice(40, 70), 1.7)):
        plane = borders.plane(z)
        plane[0, columns] -= rows
        borders.put({z: plane})
        drawn.append(plane)
    for act, expected in (
        (result.layer.undo, drawn[1]),
        (result.layer.undo, drawn[0]),
        (result.layer.redo, drawn[1]),
        (result.layer.redo, drawn[2]),
    ):
        act()
        qtbot.waitUntil(lambda expected=expected: np.array_equal(borders.plane(z), expected))


def test_undoing_a_line_brings_back_the_holes_of_its_structure(open_dock, qtbot) -> None:
    _, dock = opened(open_dock)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    (result,) = dock.results
    row = np.nonzero(result.layer.data[0, :, 0] == 3)[0][2]
    result.layer.data[:, row, 35:50] = 0
    before = result.layer.data.copy()
    dock.borders.add.add_band(3)
    borders, z = borders_of(dock.borders.layer), dock.borders.at_work.tools.bscan
    plane = borders.plane(z)
    plane[0, 30:40] -= 4
    borders.put({z: plane})
    assert (result.layer.data[z, row, 35:40] == 3).all(), "the lines are the outermost ones"
    assert (result.layer.data[z, row, 40:50] == 0).all()
    borders.undo()
    assert np.array_equal(result.layer.data, before)
    assert not result.hand.mask.any()


def test_undoing_a_line_leaves_what_was_painted_since_elsewhere_on_the_bscan(
    open_dock, qtbot
) -> None:
    dock, result, before = banded(open_dock, qtbot)
    borders, z = borders_of(dock.borders.layer), dock.borders.at_work.tools.bscan
    plane = borders.plane(z)
    plane[0, 10:20] -= 4
    borders.put({z: plane})
    top = int(np.ceil(plane[0, 60]))
    rows, columns = (axis.ravel() for axis in np.mgrid[top - 3 : top, 55:70])
    result.layer.data_setitem((np.full(rows.size, z), rows, columns), 3)
    qtbot.waitUntil(lambda: borders.plane(z)[0, 60] == top - 3.5)
    borders.undo()
    assert np.array_equal(result.layer.data[z, :, :30], before[z, :, :30])
    assert (result.layer.data[z, rows, columns] == 3).all(), "the brush's work is lost"
    assert borders.plane(z)[0, 60] == top - 3.5
    borders.redo()
    assert np.array_equal(borders.plane(z)[0, 10:20], plane[0, 10:20])
    assert (result.layer.data[z, rows, columns] == 3).all()


def test_lines_survive_a_kill_to_the_last_bit(open_dock, qtbot, tmp_path) -> None:
    _, dock = opened(open_dock)
    dock.borders.add.add_new(["ILM", "BM"])
    borders = borders_of(dock.borders.layer)
    plane = borders.plane(1)
    plane[0, 3:70] = np.random.default_rng(0).uniform(0, 59, 67)
    borders.put({1: plane})
    autosave = dock.keep.autosave
    qtbot.waitUntil(lambda: not autosave.waiting, timeout=10_000)
    want = borders.heights.copy()
    # A killed process leaves its folder, and a lock that nobody holds.
    shutil.copytree(autosave.session.folder, tmp_path / "autosave" / "killed")
    _, again = opened(open_dock)
    qtbot.waitUntil(lambda: bool(again.keep.kept.copies), timeout=10_000)
    (copy,) = [c for c in again.keep.kept.copies if c.name == "eye – lines"]
    assert copy.lost
    again.keep.kept._recover([copy])
    qtbot.waitUntil(lambda: again.borders.layer is not None, timeout=10_000)
    back = borders_of(again.borders.layer)
    assert back.names == ("ILM", "BM")
    assert np.array_equal(back.heights, want, equal_nan=True)
    assert back.by_hand[0].tolist() == [False, True, False, False]


def test_lines_that_were_there_before_their_image_are_not_hidden_by_it(open_dock, qtbot) -> None:
    viewer, dock = opened(open_dock)
    dock.borders.add.add_new(["ILM", "BM"])
    lines = dock.borders.layer
    viewer.layers.remove("eye")  # as after a crash: lines come back alone, and their image later
    viewer.add_image(stack((4, 60, 90)), name="other")
    qtbot.wait(50)
    assert viewer.layers.index(lines) < viewer.layers.index("other"), "it is none of theirs"
    viewer.add_image(stack((4, 60, 90)), name="eye")
    qtbot.waitUntil(lambda: viewer.layers.index(lines) == 2)
    assert viewer.layers.selection.active is viewer.layers["eye"]


def test_the_devices_lines_come_over_the_image_of_their_own_file(open_dock) -> None:
    viewer, dock = open_dock()
    for number in (1, 2):
        scale = (0.1, 0.02 * number, 0.02)
        image = viewer.add_image(stack((4, 60, 90)), name=f"visit {number}", scale=scale)
        rows = {"ILM": np.full((4, 90), 10.0 * number), "BM": np.full((4, 90), 25.0 * number)}
        ((labels, settings, _),) = reference_layer(rows, (4, 60, 90), Scale.of(image.scale))
        viewer.add_labels(labels, **settings)
    viewer.layers.selection.active = viewer.layers["visit 1"]
    add = dock.borders.add
    add.fill()
    titles = [action.text() for action in add.menu().actions()[:2]]
    assert titles == [f"The device's (“visit {n}”): ILM, BM" for n in (1, 2)]
    add.menu().actions()[1].trigger()
    assert dock.borders.layer.name == "visit 2 – lines"
    assert tuple(dock.borders.layer.scale) == (0.1, 0.04, 0.02)


def test_lines_follow_the_scale_that_is_typed_and_a_kill_keeps_it(
    open_dock, qtbot, tmp_path
) -> None:
    viewer, dock = open_dock()
    image = viewer.add_image(stack((5, 60, 90)), name="eye")
    other = viewer.add_image(stack((5, 60, 90)), name="other")
    rows = np.stack([np.full((5, 90), row, np.float32) for row in (10, 30)])
    theirs = dock.borders.add.add_found(Lines(("ILM", "BM"), rows), other)
    layer = dock.borders.add.add_found(Lines(("ILM", "BM"), rows), image)
    image.name, layer.name = "baseline", "two lines"
    assert "20.0 px" in dock.borders.thickness.text()
    qtbot.waitUntil(lambda: not dock.keep.autosave.lines.waiting, timeout=5000)
    dock.measure.measures.facts_of(image).type_scale({"bscan": 0.25, "row": 0.004, "column": 0.01})
    assert tuple(layer.scale) == (0.25, 0.004, 0.01)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert "80 µm" in dock.borders.thickness.text()
    assert tuple(theirs.scale) == (1, 1, 1)
    qtbot.waitUntil(lambda: not dock.keep.autosave.lines.waiting, timeout=5000)
    headers = [json.loads(path.read_text()) for path in tmp_path.rglob("layer.json")]
    (kept,) = (one for one in headers if one["name"] == "two lines")
    assert kept["image"] == "baseline"
    assert kept["placement"]["scale"] == [0.25, 0.004, 0.01]


def test_lines_over_a_single_bscan_can_be_looked_at_in_3d(open_dock, qtbot) -> None:
    viewer, dock = open_dock()
    viewer.add_image(stack((60, 90)), name="eye")
    dock.borders.add.add_new(["ILM"])
    borders = borders_of(dock.borders.layer)
    borders.put({0: np.full((1, 90), 30, np.float32)})
    viewer.dims.ndisplay = 3
    canvas = viewer.window._qt_viewer.canvas
    vertices = canvas.layer_to_visual[dock.borders.layer].node._meshdata.get_vertices()
    assert vertices.shape[1] == 3, "napari ends where the mesh has four axes"
    qtbot.wait(100)
    viewer.dims.ndisplay = 2
    assert (borders.heights == 30).all()


def test_new_lines_go_over_no_other_image_than_the_active_one(open_dock) -> None:
    viewer, dock = open_dock()
    viewer.add_image(stack((50, 50)), name="fundus")
    viewer.add_image(np.zeros((3, 4, 60, 90)), name="series")
    count = len(viewer.layers)
    dock.borders.add.add_new(["ILM"])
    assert len(viewer.layers) == count
    assert "“series” has 4 axes" in shown_errors()[-1]


def test_the_devices_lines_can_be_edited_and_areas_become_labels(open_dock) -> None:
    viewer, dock = opened(open_dock)
    rows = {"BM": np.full((4, 90), 40.0), "ILM": np.full((4, 90), 12.5)}
    ((labels, settings, _),) = reference_layer(rows, (4, 60, 90), Scale())
    viewer.add_labels(labels, **settings)
    dock.borders.add.fill()
    offered = [action.text() for action in dock.borders.add.menu().actions()]
    assert offered[0] == "The device's: ILM, BM"
    dock.borders.add.menu().actions()[0].trigger()
    borders = borders_of(dock.borders.layer)
    assert borders.heights[:, 0, 0].tolist() == [12.5, 40]
    dock.borders.do("areas")
    areas = viewer.layers[-1]
    assert np.array_equal(areas.data, labels), "one rule for lines of the device and of a person"
    assert areas.features["name"].tolist() == ["background", "ILM to BM"]
    assert "550 µm" in dock.borders.thickness.text()


def test_lines_of_a_file_open_to_the_same_numbers_and_it_is_said(open_dock, tmp_path) -> None:
    _, dock = opened(open_dock)
    dock.borders.add.add_new(["ILM"])
    borders = borders_of(dock.borders.layer)
    borders.heights[0, 1] = 12.25
    write_lines(borders.lines, tmp_path / "mine.csv")
    dock.borders.add.open(tmp_path / "mine.csv")
    again = borders_of(dock.borders.layer)
    assert again is not borders
    assert np.array_equal(again.heights, borders.heights, equal_nan=True)
    assert dock.footer.status.text() == "Opened mine.csv: ILM"
