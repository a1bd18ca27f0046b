"""The scores in the dock: they compare, and follow every stroke."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES
from docked import cell, segment, shown_errors, stack, with_reference
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from spad.metrics import hd95

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_an_exported_nifti_opened_again_is_scored_by_its_names_in_its_place(
    open_dock, qtbot, tmp_path
):
    pytest.importorskip("nibabel")
    from napari_spad.read.reader import read
    from napari_spad.write.volume_files import write_nifti

    viewer, dock = with_reference(open_dock, qtbot)
    dock.complete()
    ours = dock.results[0].layer
    dice = cell(dock, "SRF", 1)
    data, meta, _ = ours.as_layer_data_tuple()
    write_nifti(str(tmp_path / "a.nii.gz"), data, meta)
    for values, looks, kind in read(tmp_path / "a.nii.gz"):
        back = getattr(viewer, f"add_{kind}")(values, **looks)
    np.testing.assert_array_equal(back.extent.world, ours.extent.world)
    assert dock.scores.segmentation.layer is back
    assert dock.scores.reference.currentText() == "reference"
    assert cell(dock, "SRF", 1) == dice
    assert [run["bscan"] for run in back.metadata["spad"]["provenance"]] == [[z] for z in range(4)]
    assert not shown_errors()


def test_the_table_compares_with_the_reference(open_dock, qtbot):
    _, dock = with_reference(open_dock, qtbot)
    table = dock.scores.table
    assert dock.scores.reference.currentText() == "reference"
    assert cell(dock, "SRF", 1) == "0.800"  # 24 of 36 columns: 2*24/(36+24)
    assert cell(dock, "SRF", 2) == "0.667"
    assert cell(dock, "SRF", 4) == "0.029"  # two rows of 36 pixels of 0.02 mm squared
    assert cell(dock, "IS/OS", 1) == "invented"
    assert cell(dock, "Mean", 1) == "0.640"
    assert table.horizontalHeaderItem(3).text() == "HD95\nmm"
    assert table.horizontalHeaderItem(4).text() == "Area\nmm²"
    qtbot.waitUntil(lambda: cell(dock, "SRF", 3) not in ("", "…"), timeout=5000)
    assert float(cell(dock, "SRF", 3)) == pytest.approx(11 * 0.02, abs=0.021)
    dock.scores.stack.setChecked(True)
    assert table.horizontalHeaderItem(4).text() == "Volume\nmm³"
    assert cell(dock, "SRF", 3) == "…"
    qtbot.waitUntil(lambda: cell(dock, "SRF", 3) != "…", timeout=5000)


def test_what_is_undone_in_hidden_labels_is_scored(open_dock, qtbot):
    _, dock = with_reference(open_dock, qtbot)
    layer = dock.results[0].layer
    layer.fill((*dock.desk.place(), 6, 0), 0)
    layer.visible = False
    qtbot.waitUntil(lambda: not dock.scores._quiet.isActive(), timeout=5000)
    assert cell(dock, "SRF", 1) == "missed"
    layer.undo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == "0.800", timeout=5000)


def test_labels_that_a_person_chose_keep_their_role_while_images_are_clicked_on(open_dock, qtbot):
    viewer, dock = open_dock()
    dock.complete()
    dock.form.whole.setChecked(True)
    results = []
    for name in ("eye A", "eye B"):
        viewer.add_image(stack(), name=name)
        segment(dock, qtbot)
        results.append(dock.results[-1])
    scored, exported = dock.scores.segmentation, dock.keep.export_panel.layer
    mine = viewer.add_labels(np.array(results[0].layer.data), name="mine")
    assert scored.layer is exported.layer is results[1].layer

    viewer.layers.selection.active = viewer.layers["eye A"]
    assert dock.scores.reference.layer is mine
    assert scored.layer is exported.layer is results[0].layer  # nobody chose another
    for box in (scored, exported):
        box.setCurrentIndex(box.findText("mine"))
        box.activated.emit(box.currentIndex())
    reference = dock.scores.reference.layer
    for name in ("eye B", "eye A", "eye B – by hand"):
        viewer.layers.selection.active = viewer.layers[name]
        assert scored.layer is exported.layer is mine
        assert dock.scores.reference.layer is reference

    viewer.layers.remove("mine")
    viewer.layers.selection.active = viewer.layers["eye A"]
    assert scored.layer is exported.layer is results[0].layer
    scored.activated.emit(0)  # none
    viewer.layers.selection.active = viewer.layers["eye B"]
    assert scored.layer is None


def test_absent_and_missed_are_told_in_words(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    layer.data_setitem(np.nonzero(layer.data == 5), 0)
    assert cell(dock, "SRF", 1) == "missed"
    assert cell(dock, "IS/OS", 1) == "absent in both"


def test_undefined_values_get_a_row(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    viewer.layers["eye – SPAD"].paint((viewer.dims.current_step[0], 1, 30), 9)
    assert cell(dock, "undefined", 1) == "value without a name"


def test_the_slider_changes_the_scores(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data[:1] == 1), 0)
    viewer.dims.set_current_step(0, 0)
    assert cell(dock, "SRF", 1) == "missed"
    viewer.dims.set_current_step(0, 1)
    assert cell(dock, "SRF", 1) == "0.800"


def test_of_visits_along_a_fourth_axis_the_one_on_screen_is_the_whole_stack(open_dock, qtbot):
    """As for *Segment* and *Review*; between visits there is no distance."""
    viewer, dock = open_dock()
    truth = np.zeros((2, 3, 20, 30), np.uint8)
    truth[:, :, 4:12, 5:25] = 1
    ours = truth.copy()
    ours[1, :, 4:12, 15:25] = 0  # the second visit lacks half
    ours[1, 2] = 0
    placed = {"scale": (1, 0.25, 0.1, 0.1), "units": ("day", "mm", "mm", "mm")}
    dock.scores.show_segmentation(viewer.add_labels(ours, name="ours", **placed))
    dock.scores.reference.choose(viewer.add_labels(truth, name="truth", **placed))
    dock.scores.stack.setChecked(True)
    scores = {}
    for visit in (0, 1):
        viewer.dims.set_current_step(0, visit)
        qtbot.waitUntil(lambda: cell(dock, "label 1", 3) not in ("", "…"), timeout=5000)
        scores[visit] = [cell(dock, "label 1", column) for column in (1, 3, 4)]
    assert scores[0] == ["1.000", "0.000", "1.200"]  # 3 x 8 x 20 of 0.25 x 0.1 x 0.1 mm
    apart = hd95(ours[1] > 0, truth[1] > 0, (0.25, 0.1, 0.1))
    assert scores[1] == ["0.500", f"{apart:.3f}", "0.400"]  # 160 of 480: twice 160 in 640
    table = dock.scores.table
    assert table.horizontalHeaderItem(4).text() == "Volume\nmm³"
    dock.scores.row_actions._on_double_click(0)
    assert viewer.dims.current_step[:2] == (1, 2)
    viewer.dims.set_current_step(0, 0)
    dock.scores.row_actions._on_double_click(0)
    assert viewer.dims.current_step[0] == 0
    viewer.dims.set_current_step(1, 1)
    dock.scores.stack.setChecked(False)
    viewer.dims.set_current_step(0, 1)
    assert cell(dock, "label 1", 1) == "0.667"


def test_a_click_on_a_row_selects_the_label(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    table = dock.scores.table
    viewer.layers.selection.active = viewer.layers["eye"]
    spot = table.visualItemRect(table.item(2, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert viewer.layers["eye – SPAD"].selected_label == 3
    assert viewer.layers.selection.active is viewer.layers["eye – SPAD"]


def test_a_reference_that_does_not_fit_is_refused_in_words(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    small = viewer.add_labels(np.zeros((4, 10, 10), int), name="small")
    dock.scores.reference.choose(small)
    assert "its shape is 4 × 10 × 10" in dock.scores.note.text()
    assert cell(dock, "SRF", 1) == "–"
    dock.scores.reference.choose(viewer.layers["reference"])
    assert cell(dock, "SRF", 1) == "0.800"
    viewer.layers.remove("reference")
    assert "add a reference" in dock.scores.note.text()


def test_a_reference_of_foreign_values_alone_is_no_reference(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    ours = dock.results[0].layer
    with_some = cell(dock, "Mean", 1)
    strange = viewer.add_labels(
        np.full(ours.data.shape, 300, np.uint16), name="strange", scale=ours.scale
    )
    dock.scores.reference.choose(strange)
    said = "Nothing to compare: no structure here is in the reference, only 300."
    assert dock.scores.note.text() == said
    assert dock.scores.live.reference is None
    table = dock.scores.table
    texts = [table.item(row, 1).text() for row in range(table.rowCount())]
    assert not {"invented", "0.000"} & set(texts)
    assert not dock.scores.differences.isEnabled()
    painted = tuple(axis.ravel() for axis in np.mgrid[:1, 6:12, :36])
    strange.data_setitem(painted, 1)  # somebody paints a structure in it
    qtbot.waitUntil(lambda: dock.scores.live.reference is strange, timeout=5000)
    assert dock.scores.note.text() == "In the reference only, counted as background: 300."
    assert dock.scores.differences.isEnabled()
    assert cell(dock, "IRF", 1) == "invented"  # where only some are foreign, as ever
    strange.data_setitem(painted, 300)
    qtbot.waitUntil(lambda: dock.scores.note.text() == said, timeout=5000)
    dock.scores.reference.choose(viewer.layers["reference"])
    assert cell(dock, "Mean", 1) == with_some


def test_a_lazy_reference_that_cannot_be_read_is_named_and_costs_the_scores_alone(open_dock, qtbot):
    import dask.array as da
    from dask import delayed

    viewer, dock = with_reference(open_dock, qtbot)
    good = viewer.layers["reference"].data

    def plane(z):
        if z == 3:
            raise KeyError("chunk 3")
        return good[z]

    planes = [da.from_delayed(delayed(plane)(z), good.shape[1:], good.dtype) for z in range(4)]
    lazy = viewer.add_labels(da.stack(planes), name="lazy")
    dock.scores.reference.choose(lazy)
    assert "“lazy” cannot be read ('chunk 3'): no scores with it" in dock.scores.note.text()
    viewer.dims.set_current_step(0, 1)
    viewer.layers["eye – SPAD"].paint((1, 5, 20), 2)
    assert cell(dock, "SRF", 1) == "–"
    assert float(cell(dock, "SRF", 4)) > 0
    dock.scores.reference.choose(viewer.layers["reference"])
    assert cell(dock, "IS/OS", 1) == "invented"


@pytest.mark.parametrize(
    ("placed", "said"), [({"scale": (0.1, -0.02, 0.02)}, True), ({"rotate": 20}, True),
                         ({}, False), ({"scale": (1, 3, 2), "translate": (0, 5, 5)}, False)],
)  # fmt: skip
def test_a_reference_that_is_mirrored_on_screen_is_said_to_be(open_dock, qtbot, placed, said):
    viewer, dock = with_reference(open_dock, qtbot)
    other = viewer.add_labels(viewer.layers["reference"].data, name="other", **placed)
    dock.scores.reference.choose(other)
    assert ("turned or mirrored" in dock.scores.note.text()) is said
    assert cell(dock, "SRF", 1) == "0.800"


def test_undo_and_redo_are_followed_within_a_moment(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot)
    layer = viewer.layers["eye – SPAD"]
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    layer.undo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == "0.800", timeout=2000)
    layer.redo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == "missed", timeout=2000)


def canvas_pixels(viewer) -> np.ndarray:
    return viewer.screenshot(canvas_only=True, flash=False)


def test_painting_with_the_mouse_changes_dice_and_pixels(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot, show=True)
    layer = viewer.layers["eye – SPAD"]
    viewer.layers["reference"].visible = False
    viewer.layers["eye"].visible = False
    layer.opacity = 1
    layer.selected_label, layer.brush_size, layer.mode = 1, 6, "paint"
    canvas = viewer.window._qt_viewer.canvas
    native = canvas.native
    qtbot.waitUntil(lambda: native.width() > 100)
    viewer.reset_view()
    qtbot.wait(200)
    before, pixels = cell(dock, "SRF", 1), canvas_pixels(viewer)
    centre = native.rect().center()
    QTest.mouseMove(native, centre)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=centre)
    for dx in range(4, 60, 4):
        QTest.mouseMove(native, centre + QPoint(dx, 0))
        qtbot.wait(5)
    middle = layer.data.copy()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=centre + QPoint(60, 0))
    after = layer.data[viewer.dims.current_step[0]]
    assert (middle == 1).sum() > 4 * 2 * 36  # painted as the mouse went
    assert cell(dock, "SRF", 1) != before
    reference = viewer.layers["reference"].data[viewer.dims.current_step[0]]
    both = ((after == 1) & (reference == 1)).sum()
    dice = 2 * both / ((after == 1).sum() + (reference == 1).sum())
    assert cell(dock, "SRF", 1) == f"{dice:.3f}"
    qtbot.wait(100)
    color = np.array(CLASSES[1].color)
    near = [(np.abs(p[..., :3].astype(int) - color).max(-1) < 8).sum() for p in
            (pixels, canvas_pixels(viewer))]  # fmt: skip
    assert near[0] > 0
    assert near[1] > near[0]
    layer.undo()
    qtbot.waitUntil(lambda: cell(dock, "SRF", 1) == before, timeout=2000)


def test_the_canvas_shows_every_structures_colour(open_dock, qtbot):
    viewer, _ = with_reference(open_dock, qtbot, show=True)
    for name in ("reference", "eye"):
        viewer.layers[name].visible = False
    viewer.layers["eye – SPAD"].opacity = 1
    viewer.reset_view()
    qtbot.wait(200)
    seen = {tuple(c) for c in canvas_pixels(viewer)[..., :3].reshape(-1, 3)}
    assert {c.color for c in CLASSES[1:]} <= seen


def test_names_and_numbers_are_whole_in_the_narrowest_dock_beside_a_scroll_bar(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot, show=True)
    dock.scores._add_structure("Drusen α")
    viewer.layers["eye – SPAD"].paint((viewer.dims.current_step[0], 1, 30), 9)
    viewer.window._qt_window.resizeDocks([dock.parentWidget()], [320], Qt.Orientation.Horizontal)
    table = dock.scores.table
    names = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert {"SHRM", "Drusen α", "undefined"} <= set(names)
    table.setFixedHeight(24 * len(names))  # less than all of it, so that the bar is there
    qtbot.waitUntil(table.verticalScrollBar().isVisible)
    assert table.width() <= 300
    for column in range(5):
        assert table.sizeHintForColumn(column) <= table.columnWidth(column), column
    assert table.item(5, 0).toolTip() == "Drusen α: label 6, key 6"  # where one is too long


def test_eyes_and_padlocks_follow_the_theme(open_dock, qtbot):
    viewer, dock = with_reference(open_dock, qtbot, show=True)
    table, inks = dock.scores.table, []
    for theme in ("dark", "light", "dark"):
        viewer.theme = theme
        qtbot.wait(50)
        inks.append(table.palette().color(table.foregroundRole()).name())
        for column in (5, 6):
            assert inks[-1] in table.item(0, column).data(Qt.ItemDataRole.UserRole)
    assert inks[0] == inks[2] != inks[1]
