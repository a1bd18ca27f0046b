"""The panel Review in a real viewer: ranks, keys, where a click goes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import shown_errors
from qtpy.QtCore import QPoint, Qt
from reviewed import WORST_FIRST, close, listed, looks, press, queue_of, shown, stack

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_an_empty_viewer_says_what_comes_here(open_dock, qtbot):
    from napari_spad.review.review_panel import ReviewPanel

    _, dock = open_dock()
    panel = dock.findChild(ReviewPanel) or ReviewPanel(dock.desk)
    assert "Nothing to review yet" in panel.progress.text()
    assert not panel.accept_button.isEnabled()
    panel.accept()
    assert "press Segment first" in dock.footer.status.text()
    close(panel)


def test_the_most_uncertain_b_scans_come_first(review):
    viewer, _, panel = review()
    assert [name for name, _ in listed(panel)] == [f"B-scan {z}" for z in WORST_FIRST]
    assert "0 of 5" in panel.progress.text()
    assert looks(panel)[3] == "uncertain"
    assert panel.strip.current == shown(viewer)
    assert f"B-scan 3: expected error {panel.table.item(0, 2).text()}" in panel.strip.cells[3].tip


def test_a_click_goes_to_the_bscan_that_shows_most(review, qtbot):
    viewer, dock, panel = review()
    result = dock.desk.result
    areas = [int((np.asarray(result.layer.data[z]) > 0).sum()) for z in range(5)]
    most = int(np.argmax(areas))
    assert f">B-scan {most}</a> first" in panel.progress.text()
    viewer.dims.set_current_step(0, (most + 1) % 5)
    panel.progress.linkActivated.emit("teacher")
    assert shown(viewer) == most
    viewer.layers.selection.active = result.layer
    press(viewer, qtbot, "A")
    panel.refresh()
    assert "first" not in panel.progress.text()


def test_labels_into_which_other_data_were_put_are_not_reviewed(review, qtbot):
    viewer, dock, panel = review()
    result = dock.desk.result
    viewer.layers.selection.active = result.layer
    result.layer.data = np.asarray(result.layer.data)[:3].copy()  # as in napari's console
    viewer.dims.set_current_step(0, 4)
    panel.reviews.bench(result).queue.error.pop((1,))
    dock.desk.result_changed.emit(result)
    for key in "AS":
        press(viewer, qtbot, key)
        assert "holds other data now: segment the image anew" in dock.footer.status.text()
    qtbot.wait(200)
    assert (1,) not in panel.reviews.bench(result).queue.error
    assert shown_errors() == []


def test_b_scans_are_called_by_their_names(review):
    _, _, panel = review(metadata={"bscan_names": list("abcde")})
    assert [name for name, _ in listed(panel)] == ["3 · d", "1 · b", "2 · c", "4 · e", "0 · a"]


def test_a_bscan_s_number_is_the_one_that_napari_s_slider_shows(review, qtbot):
    viewer, dock, _ = review()
    viewer.layers.selection.active = dock.desk.result.layer
    press(viewer, qtbot, "N")
    slider = viewer.window._qt_viewer.dims.slider_widgets[0].curslice_label.text()
    assert dock.footer.status.text().startswith(f"B-scan {slider}: ")


def test_the_keys_work_on_the_canvas_while_painting(review, qtbot):
    viewer, dock, panel = review()
    viewer.layers.selection.active = dock.desk.result.layer
    dock.desk.result.layer.mode = "paint"
    press(viewer, qtbot, "N")
    assert shown(viewer) == 3
    press(viewer, qtbot, "A")
    assert shown(viewer) == 1
    press(viewer, qtbot, "S")
    assert shown(viewer) == 2
    assert queue_of(dock, panel).state == {
        (3,): "accepted", (1,): "skipped", (0,): "not seen", (2,): "not seen", (4,): "not seen"
    }  # fmt: skip
    for _ in range(3):
        press(viewer, qtbot, "A")
    assert shown(viewer) == 1  # the skipped one comes last
    assert "skipped" in dock.footer.status.text()
    press(viewer, qtbot, "A")
    assert "All 5 segmented B-scans are accepted" in dock.footer.status.text()
    panel.refresh()
    assert "5 of 5" in panel.progress.text()
    assert looks(panel) == ["accepted"] * 5


def test_the_buttons_say_their_keys_and_do_the_same(review, qtbot):
    viewer, _, panel = review()
    for button, key in (
        (panel.accept_button, "(A)"), (panel.skip_button, "(S)"), (panel.next_button, "(N)")
    ):  # fmt: skip
        assert key in button.text()
    qtbot.mouseClick(panel.next_button, Qt.MouseButton.LeftButton)
    assert shown(viewer) == 3
    qtbot.mouseClick(panel.accept_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.skip_button, Qt.MouseButton.LeftButton)
    assert shown(viewer) == 2


def test_the_keys_are_free_again_afterwards(review):
    viewer, _, panel = review(segment=False)
    assert {"A", "S", "N"} <= {str(key) for key in viewer.keymap}
    close(panel)
    assert not {"A", "S", "N"} & {str(key) for key in viewer.keymap}


def test_next_centres_the_uncertain_spot(review, qtbot):
    viewer, _, _ = review(stack((5, 10, 20)), scale=(1, 0.5, 2))
    press(viewer, qtbot, "N")
    assert shown(viewer) == 2
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (16 * 0.5, 26 * 2), atol=2)


def test_a_click_on_a_row_or_on_the_strip_goes_there(review, qtbot):
    viewer, _, panel = review()
    box = panel.table.visualItemRect(panel.table.item(2, 1))
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    assert shown(viewer) == 2
    centre = panel.strip.cell_rect(4).center().toPoint()
    qtbot.mouseClick(panel.strip, Qt.MouseButton.LeftButton, pos=centre)
    assert shown(viewer) == 4
    panel.refresh()
    assert panel.strip.current == 4
    beyond = QPoint(panel.strip.width() - 1, panel.strip.height() - 1)
    qtbot.mouseClick(panel.strip, Qt.MouseButton.LeftButton, pos=beyond)
    assert shown(viewer) == 4


def test_an_image_made_active_puts_its_last_result_to_work(review, qtbot):
    viewer, dock, panel = review()
    dock.complete()
    first = dock.results[0]
    panel.go((0,))
    panel.accept()
    assert dock.footer.status.text().startswith("B-scan 0 is accepted")  # no other is there
    viewer.add_image(stack((25, 35, 15, 65, 95)), name="other eye")
    assert dock.desk.result is first  # that one has no result
    panel.go((1,))
    panel.accept()
    assert dock.footer.status.text().startswith("“eye – SPAD”: B-scan 1 is accepted")
    viewer.layers.selection.active = viewer.layers["other eye"]
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
    second = dock.results[-1]
    second.show_all()
    qtbot.waitUntil(lambda: len(queue_of(dock, panel).error) == 5, timeout=15_000)
    assert dock.desk.result is second

    viewer.layers.selection.active = viewer.layers["eye"]
    assert dock.desk.result is first
    assert dock.scores.segmentation.layer is first.layer
    assert dock.keep.export_panel.layer.layer is first.layer
    viewer.dims.set_current_step(0, 2)
    press(viewer, qtbot, "A")
    assert (2,) in dock.desk.accepted(first)
    assert not list(dock.desk.accepted(second))
    assert dock.footer.status.text().startswith("“eye – SPAD”: B-scan 2 is accepted")


def test_of_an_images_results_the_one_at_work_last_is_put_to_work(review, qtbot):
    viewer, dock, _ = review()
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
    first, second = dock.results
    second.show_all()
    image, other = (
        viewer.layers["eye"],
        viewer.add_image(stack((25, 35, 15, 65, 95)), name="other eye"),
    )
    viewer.layers.selection.active = image
    assert dock.desk.result is second  # the newest
    viewer.layers.selection.active = first.layer
    viewer.layers.selection.active = other
    viewer.layers.selection.active = image
    assert dock.desk.result is first
    viewer.layers.remove(first.layer)
    assert dock.desk.result is second


def test_a_b_scan_that_is_not_segmented_cannot_be_accepted(review, qtbot):
    viewer, dock, panel = review(segment=False)
    dock.form.one.setChecked(True)
    viewer.dims.set_current_step(0, 2)
    dock.form.button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    qtbot.waitUntil(lambda: bool(queue_of(dock, panel).error), timeout=10_000)
    assert looks(panel) == ["", "", looks(panel)[2], "", ""]
    assert "0 of 5</b> accepted, 1 segmented" in panel.progress.text()
    viewer.dims.set_current_step(0, 0)
    press(viewer, qtbot, "A")
    assert "B-scan 0 is not segmented yet" in dock.footer.status.text()
    assert queue_of(dock, panel).count("accepted") == 0


def test_a_single_image_is_a_queue_of_one(review, qtbot):
    viewer, dock, panel = review(stack()[0])
    press(viewer, qtbot, "A")
    assert "All 1 segmented B-scans are accepted" in dock.footer.status.text()
    assert looks(panel) == ["accepted"]


def test_the_panel_fits_the_dock(review):
    _, _, panel = review()
    assert panel.minimumSizeHint().width() <= 308
