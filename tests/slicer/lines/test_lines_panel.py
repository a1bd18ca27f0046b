"""Lines in Slicer: curves of the B-scan on screen, pulled; labels, files, scenes and crashes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import standin
from driving import SHAPE, said, settle, wait_until
from fakes import paint
from scene import save_scene

from spad.borders import Lines, read_lines, write_lines
from SPADLib.desk.views import show_bscan

pytestmark = pytest.mark.gui
DEEP, ROWS, WIDTH = SHAPE
TOP = 10  # row and column from which on the volume is bright, and class 1


@pytest.fixture
def lines(panel, panel_volume, panel_result):
    """The section, with top and bottom of class 1 shown on B-scan 3."""
    settle(panel)
    show_bscan(panel.desk.view, panel_volume, panel_result.layout, 2)
    panel.lines.structures.setCurrentIndex(0)
    panel.lines.band.click()
    return panel.lines


def curves(lines):
    return [node for line in (0, 1) for node in lines.curves.shown(line)]


def place(lines, node, n):
    """B-scan, row and column of a point."""
    from SPADLib.desk.views import place_of

    ras = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(n, ras)
    return place_of(lines.editing.lines.volume, lines.editing.lines.layout, ras)


def pull(lines, node, n, row, column):
    """Drag a point, as the mouse does."""
    from SPADLib.desk.views import world_of

    shown = lines.editing.lines
    node.InvokeEvent(node.PointStartInteractionEvent)
    node.SetNthControlPointPositionWorld(
        n, *world_of(shown.volume, shown.layout, (lines._bscan, row, column))
    )
    assert not lines._soon.isActive()  # not while it is held
    node.InvokeEvent(node.PointEndInteractionEvent)
    wait_until(lambda: not lines._soon.isActive())


def test_top_and_bottom_are_curves_of_the_bscan_on_screen(panel, panel_volume, lines):
    top, bottom = curves(lines)
    assert (top.GetName(), bottom.GetName()) == ("SRF top", "SRF bottom")
    for node, row in ((top, TOP - 0.5), (bottom, ROWS - 0.5)):
        assert node.GetNumberOfControlPoints() == 2
        assert place(lines, node, 0) == pytest.approx((2, row, TOP))
        assert place(lines, node, 1) == pytest.approx((2, row, WIDTH - 1))
        assert not node.GetSaveWithScene()
        assert node.GetDisplayNode().GetNthViewNodeID(0) == panel.desk.view.GetID()
    show_bscan(panel.desk.view, panel_volume, panel.desk.result.layout, 0)
    assert curves(lines) == [top, bottom]
    assert place(lines, top, 0) == pytest.approx((0, TOP - 0.5, TOP))
    lines.which.setCurrentIndex(0)
    assert curves(lines) == []
    assert top.GetScene() is None


def test_curves_follow_a_volume_that_is_moved_and_are_pulled_there(
    panel, panel_volume, panel_result, lines
):
    heights = lines.editing.lines.heights.copy()
    panel_volume.SetOrigin(3, 4, 5)
    panel_volume.SetSpacing(0.02, 0.004, 0.25)
    settle(panel)
    top, bottom = curves(lines)
    assert place(lines, top, 0) == pytest.approx((2, TOP - 0.5, TOP))
    assert place(lines, bottom, 1) == pytest.approx((2, ROWS - 0.5, WIDTH - 1))
    np.testing.assert_array_equal(lines.editing.lines.heights, heights)
    pull(lines, top, 0, TOP - 0.5 + 6, TOP)
    settle(panel)
    assert lines.editing.lines.heights[0, 2, TOP] == pytest.approx(TOP + 5.5)
    assert not panel_result.labels()[2, TOP : TOP + 5, TOP].any()


def test_a_pulled_point_changes_its_bscan_and_the_labels_in_one_step(
    panel, panel_result, panel_engine, lines
):
    before, heights = panel_result.labels().copy(), lines.editing.lines.heights.copy()
    top, _ = curves(lines)
    pull(lines, top, 0, TOP - 0.5 + 6, TOP)
    settle(panel)
    new = lines.editing.lines.heights.copy()
    slope = np.linspace(TOP + 5.5, TOP - 0.5, WIDTH - TOP, dtype=np.float32)
    np.testing.assert_allclose(new[0, 2, TOP:], slope, atol=1e-4)
    np.testing.assert_array_equal(new[:, [0, 1, 3]], heights[:, [0, 1, 3]])
    expected = before.copy()
    expected[2, :, TOP:][np.arange(ROWS)[:, None] < new[0, 2, TOP:]] = 0
    np.testing.assert_array_equal(panel_result.labels(), expected)
    held = expected != before
    for column in range(TOP, WIDTH - 1):  # two rows on either side of the line, too
        row = int(np.ceil(new[0, 2, column]))
        held[2, row - 2 : row + 2, column] = True
    np.testing.assert_array_equal(panel_result.by_hand(), held)
    count = len(panel_engine.asked)
    panel.ui.resampleButton.click()
    settle(panel)
    (asked,) = panel_engine.asked[count:]
    np.testing.assert_array_equal(asked["clamp"] != 255, held[2])
    np.testing.assert_array_equal(asked["clamp"][held[2]], expected[2][held[2]])
    np.testing.assert_array_equal(lines.editing.lines.heights, new)
    panel.ui.takeBackButton.click()
    lines.undo.click()
    assert "of B-scan 3 are as they were" in said(panel)
    np.testing.assert_array_equal(panel_result.labels(), before)
    assert not panel_result.by_hand().any()
    np.testing.assert_array_equal(lines.editing.lines.heights, heights)
    pull(lines, top, 0, TOP + 2.5, TOP)
    lines.which.setCurrentIndex(0)
    lines.which.setCurrentIndex(1)  # its steps are kept
    lines.undo.click()
    np.testing.assert_array_equal(lines.editing.lines.heights, heights)
    lines.undo.click()
    assert "Nothing is left to undo" in said(panel)


def test_the_mouse_pulls_a_point_in_slicer_s_own_slice_view(panel, panel_volume, lines):
    """Events of the mouse go through Slicer's displayable manager of markups."""
    import vtk
    from render import SliceView

    view = SliceView(slicer.mrmlScene, slicer.app.applicationLogic(), "Seen", (300, 220))
    show_bscan(view.node, panel_volume, panel.desk.result.layout, 2)
    top, _ = curves(lines)
    top.GetDisplayNode().SetViewNodeIDs([view.node.GetID()])
    blue = [86, 180, 233]
    assert np.abs(view.pixels().astype(int) - blue).sum(2).min() < 60  # it is drawn
    ras = [0.0, 0.0, 0.0]
    top.GetNthControlPointPositionWorld(0, ras)
    row, x = view.at(ras)
    manager = view.group.GetDisplayableManagerByClassName("vtkMRMLMarkupsDisplayableManager")

    def mouse(kind, down):
        event = slicer.vtkMRMLInteractionEventData()
        event.SetType(kind)
        y = view.window.GetSize()[1] - 1 - row - down
        event.SetDisplayPosition([x, y])
        event.SetWorldPosition(view.node.GetXYToRAS().MultiplyPoint((x, y, 0, 1))[:3])
        assert manager.CanProcessInteractionEvent(event, vtk.reference(0.0))
        manager.ProcessInteractionEvent(event)

    command = vtk.vtkCommand
    mouse(command.MouseMoveEvent, 0)
    mouse(command.LeftButtonPressEvent, 0)
    for down in range(1, 21):
        mouse(command.MouseMoveEvent, down)
    mouse(command.LeftButtonReleaseEvent, 20)
    wait_until(lambda: not lines._soon.isActive())
    per_px = view.node.GetFieldOfView()[1] / 220 / 0.004  # rows of the B-scan in one of the view
    moved = lines.editing.lines.heights[0, 2, TOP] - (TOP - 0.5)
    assert moved == pytest.approx(20 * per_px, abs=per_px)
    view.close()


def test_the_segment_editor_s_undo_takes_the_lines_along(panel, panel_result, lines):
    before = panel_result.labels().copy()
    pull(lines, curves(lines)[0], 1, 15.25, WIDTH - 1)
    settle(panel)
    assert (panel_result.labels() != before).any()
    panel.edit.editor.widget.undo()
    settle(panel)
    np.testing.assert_array_equal(panel_result.labels(), before)
    top = lines.editing.lines.heights[0, 2, TOP:]
    np.testing.assert_array_equal(np.ceil(top), TOP)  # fractions that fit the labels stay


def test_lines_follow_a_stroke_and_keep_fractions_elsewhere(panel, panel_result, lines):
    pull(lines, curves(lines)[0], 0, 9.75, TOP)
    settle(panel)
    fine = lines.editing.lines.plane(2)
    assert fine[0, TOP] == 9.75
    paint(panel_result, 2, slice(4, TOP + 2), slice(20, 22), 1)
    settle(panel)
    now = lines.editing.lines.plane(2)
    np.testing.assert_array_equal(now[0, 20:22], 3.5)
    rest = np.r_[0:20, 22:WIDTH]
    np.testing.assert_array_equal(now[:, rest], fine[:, rest])
    assert curves(lines)[0].GetNumberOfControlPoints() > 2


def test_lines_that_are_met_are_pushed_and_gone_points_leave_a_gap(panel, panel_result, lines):
    top, bottom = curves(lines)
    pull(lines, bottom, 0, TOP - 4, TOP)
    now = lines.editing.lines.plane(2)
    assert now[0, TOP] == now[1, TOP] == TOP - 4
    assert (now[0] <= now[1])[TOP:].all()
    pull(lines, top, top.GetNumberOfControlPoints() - 1, now[0, 30], 30)  # shorter by a column
    assert np.isnan(lines.editing.lines.plane(2)[0, 31])
    top.RemoveAllControlPoints()
    wait_until(lambda: not lines._soon.isActive())
    assert np.isnan(lines.editing.lines.plane(2)[0]).all()
    settle(panel)
    assert not (panel_result.labels()[2] == 1).any()
    lines.undo.click()
    assert np.isfinite(lines.editing.lines.plane(2)[0, TOP:31]).all()


def test_a_curve_that_was_deleted_takes_no_line_along(panel, panel_volume, panel_result, lines):
    before = lines.editing.lines.heights.copy()
    slicer.mrmlScene.RemoveNode(curves(lines)[0])
    pull(lines, curves(lines)[1], 0, ROWS - 2, TOP)
    np.testing.assert_array_equal(lines.editing.lines.heights[0], before[0])
    assert [n.GetScene() is slicer.mrmlScene for n in curves(lines)] == [True, True]


def file_lines(tmp_path, name="two.csv"):
    random = np.random.default_rng(0)
    heights = np.sort(random.uniform(2, ROWS - 3, (2, DEEP, WIDTH)).astype(np.float32), axis=0)
    heights[:, 3] = np.nan
    write_lines(Lines(("ILM", "BM"), heights), tmp_path / name)
    return heights


def test_lines_of_a_file_are_pulled_and_exported_to_the_same_numbers(panel, lines, tmp_path):
    heights, before = file_lines(tmp_path), panel.desk.result.labels().copy()
    standin.dialogs.answer("open file", str(tmp_path / "two.csv"))
    lines.file.click()
    assert {n.GetName() for n in curves(lines)} == {"ILM", "BM"}
    assert lines.which.count() == 3
    standin.dialogs.answer("save file", str(tmp_path / "out.npz"))
    lines.export.click()
    found = read_lines(tmp_path / "out.npz")
    assert found.names == ("ILM", "BM")
    np.testing.assert_array_equal(found.heights, heights)
    pull(lines, curves(lines)[0], 0, 1.25, 0)
    assert lines.editing.lines.heights[0, 2, 0] == 1.25
    settle(panel)
    np.testing.assert_array_equal(panel.desk.result.labels(), before)  # they border no structure


def test_lines_that_a_bscan_lacks_are_copied_from_the_nearest(panel, panel_volume, lines, tmp_path):
    heights = file_lines(tmp_path)
    standin.dialogs.answer("open file", str(tmp_path / "two.csv"))
    lines.file.click()
    lines.copy.click()
    assert "All lines are on B-scan 3" in said(panel)
    show_bscan(panel.desk.view, panel_volume, panel.desk.result.layout, 3)
    assert curves(lines) == []
    lines.copy.click()
    assert "Copied from B-scan 3, +0 rows and +0 columns" in said(panel)
    np.testing.assert_array_equal(lines.editing.lines.heights[:, 3], heights[:, 2])


def test_a_file_of_another_size_is_refused_in_words(panel, lines, tmp_path):
    write_lines(Lines(("a",), np.zeros((1, 2, 9), np.float32)), tmp_path / "x.npz")
    standin.dialogs.answer("open file", str(tmp_path / "x.npz"))
    lines.file.click()
    assert "x.npz has lines of 2 B-scans of 9 columns, and the image 4 of 32" in said(panel)


def test_lines_are_saved_with_the_scene_and_curves_are_not(panel, panel_result, lines, tmp_path):
    from SPADLib.lines import line_sets
    from SPADLib.scene import results

    pull(lines, curves(lines)[0], 0, 7.8125, TOP)
    expected = lines.editing.lines.heights.copy()
    again = slicer.vtkMRMLScene()
    again.SetURL(str(save_scene(slicer.mrmlScene, tmp_path)))
    again.Connect()  # says 0, for this scene has no presets for views
    (result,) = results(again)
    (found,) = line_sets(result.volume, result.layout.axis)
    assert found.names == ("SRF top", "SRF bottom")
    np.testing.assert_array_equal(found.heights, expected)
    assert found.heights[0, 2, TOP] == 7.8125
    assert found.band == (result.segmentation, 1)
    assert again.GetNumberOfNodesByClass("vtkMRMLMarkupsCurveNode") == 0


def test_nothing_is_left_where_the_scene_is_closed_or_the_volume_goes(
    panel, panel_volume, panel_result, lines
):
    top, _ = curves(lines)
    slicer.mrmlScene.RemoveNode(panel_volume)
    panel.desk.tell("parameters")
    assert lines.editing is None
    assert top.GetScene() is None
    slicer.mrmlScene.Clear(0)
    settle(panel)
    assert not lines.band.isEnabled()


def test_a_volume_under_a_transform_has_its_lines_there(panel, panel_volume, panel_result, lines):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(1, 3, 5)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    before = lines.editing.lines.heights.copy()
    for node in (panel_volume, panel_result.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    lines._draw()
    transform.SetMatrixTransformToParent(matrix)  # the curves move with it
    assert place(lines, curves(lines)[0], 0) == pytest.approx((2, TOP - 0.5, TOP))
    pull(lines, curves(lines)[0], 0, 8.5, TOP)
    now = lines.editing.lines.heights
    assert now[0, 2, TOP] == pytest.approx(8.5)
    np.testing.assert_array_equal(now[1], before[1])


def test_deleted_lines_are_asked_for(panel, lines):
    standin.dialogs.answer("yes/no", False)
    lines.delete.click()
    assert lines.editing is not None
    node = lines.editing.lines.node
    lines.delete.click()
    assert lines.editing is None
    assert node.GetScene() is None
    assert curves(lines) == []


def test_thickness_between_lines_is_measured_and_follows_them(panel, lines, tmp_path):
    import csv

    panel.measure.section.setProperty("collapsed", False)
    settle(panel)
    layer = "SRF top – SRF bottom"
    um = (ROWS - TOP) * 4  # rows of 4 µm
    assert f"Mean thickness between lines: {layer}: {um} µm." in panel.measure.label.text()
    assert f"is missing in {TOP / WIDTH:.1%} ({layer}) of the columns" in panel.measure.label.text()
    standin.dialogs.answer("save file", str(tmp_path / "m.csv"))
    for n in (0, 1):
        pull(lines, curves(lines)[0], n, TOP + 1.5, TOP if n == 0 else WIDTH - 1)
    settle(panel)
    panel.measure.to_csv.click()
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text("utf-8-sig").splitlines()))
    (row,) = (r for r in rows if r["structure"] == layer)
    assert float(row["mean height [µm]"]) == pytest.approx(um - 2 * 4 / DEEP, rel=1e-5)
    assert row["volume [nL]"] == ""
