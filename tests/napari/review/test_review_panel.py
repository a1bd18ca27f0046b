"""The panel Review in a real viewer: ranks, keys, states that survive, findings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import FakeEngine
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt

pytestmark = pytest.mark.gui

DOUBT = (10, 60, 30, 90, 20)  # of each B-scan of `stack`, in percent
WORST_FIRST = [3, 1, 2, 4, 0]


class Doubting(FakeEngine):
    """An engine as uncertain as the B-scan is bright, at one spot more so."""

    def steps(self, image, *args, **kwargs):
        made = yield from super().steps(image, *args, **kwargs)
        plane = np.asarray(image)
        uncertainty = np.full(plane.shape, plane[0, 0] / 100 * 0.35, np.float16)
        uncertainty[15:18, 25:28] += 0.2
        made.uncertainty = uncertainty
        made.provenance["image_sha256"] = hashlib.sha256(plane.tobytes()).hexdigest()
        return made


@pytest.fixture
def engine(tmp_path: Path) -> Doubting:
    path = tmp_path / "fake.safetensors"
    path.write_bytes(b"fake")
    return Doubting(path)


@pytest.fixture(autouse=True)
def quiet():
    notification_manager.records.clear()
    yield
    notification_manager.records.clear()


def stack(doubt=DOUBT) -> np.ndarray:
    out = np.zeros((len(doubt), 24, 36), np.uint8)
    out += np.array(doubt, np.uint8)[:, None, None]
    return out


@pytest.fixture
def review(open_dock, qtbot):
    """Open a stack in the dock, segment it whole, and wait until it is judged."""
    from napari_spad.review.review_panel import ReviewPanel

    def opened(data=None, *, segment=True, **settings):
        viewer, dock = open_dock()
        viewer.add_image(stack() if data is None else data, name="eye", **settings)
        panel = dock.findChild(ReviewPanel)
        if panel is None:
            panel = ReviewPanel(dock.desk)
            dock.panels.addTab(panel, "Review")
        dock.panels.setCurrentWidget(panel)
        if segment:
            dock.form.whole.setChecked(True)
            dock.form.button.click()
            qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
            count = viewer.layers["eye"].data.shape[0] if viewer.layers["eye"].ndim > 2 else 1
            qtbot.waitUntil(lambda: len(queue_of(dock, panel).error) == count, timeout=15_000)
            panel.refresh()
        return viewer, dock, panel

    panels: list = []

    def remembered(*args, **kwargs):
        viewer, dock, panel = opened(*args, **kwargs)
        panels.append(panel)
        return viewer, dock, panel

    yield remembered
    for panel in panels:
        close(panel)


def close(panel) -> None:
    """Close the panel, once."""
    if not getattr(panel, "closed_by_test", False):
        panel.closed_by_test = True
        panel.disconnect_viewer()


def queue_of(dock, panel):
    return panel.reviews.bench(dock.desk.result).queue


def press(viewer, qtbot, key: str) -> None:
    """Press a key while the canvas has the focus."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))


def shown(viewer) -> int:
    return viewer.dims.current_step[0]


def listed(panel) -> list[tuple[str, str]]:
    table = panel.table
    return [(table.item(r, 1).text(), table.item(r, 3).text()) for r in range(table.rowCount())]


def looks(panel) -> list[str]:
    panel.refresh()
    return [cell.look for cell in panel.strip.cells]


def record(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "reviews.json").read_text("utf-8"))


# ---------------------------------------------------------------------- the queue


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
    assert [name for name, _ in listed(panel)] == [f"B-scan {z + 1}" for z in WORST_FIRST]
    assert "0 of 5" in panel.progress.text()
    assert looks(panel)[3] == "uncertain"
    assert panel.strip.current == shown(viewer)
    assert f"B-scan 4: expected error {panel.table.item(0, 2).text()}" in panel.strip.cells[3].tip


def test_b_scans_are_called_by_their_names(review):
    _, _, panel = review(metadata={"bscan_names": list("abcde")})
    assert [name for name, _ in listed(panel)] == ["d", "b", "c", "e", "a"]


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
    assert "B-scan 1 is not segmented yet" in dock.footer.status.text()
    assert queue_of(dock, panel).count("accepted") == 0


def test_a_single_image_is_a_queue_of_one(review, qtbot):
    viewer, dock, panel = review(stack()[0])
    press(viewer, qtbot, "A")
    assert "All 1 segmented B-scans are accepted" in dock.footer.status.text()
    assert looks(panel) == ["accepted"]


def test_500_b_scans_fit_a_strip_of_320_pixels(review, qtbot):
    from napari_spad.review.strip import Cell, Strip

    strip = Strip()
    qtbot.addWidget(strip)
    strip.resize(308, 50)
    for count in (1, 5, 60, 500):
        strip.show_cells([Cell("seen", f"{z}") for z in range(count)], count - 1)
        strip.resize(308, strip.heightForWidth(308))
        strip.grab()
        assert strip.height() <= 160
        last = strip.cell_rect(count - 1)
        assert last.right() <= 308
        assert last.bottom() <= strip.height()
        for number in {0, count // 2, count - 1}:
            centre = strip.cell_rect(number).center()
            assert strip.cell_at(centre.x(), centre.y()) == number


def test_each_state_has_a_shape_of_its_own(qtbot):
    """Without colours, as a colour-blind user or a printer sees them."""
    from napari_spad.review.strip import LOOKS, Cell, Strip

    drawn = {}
    for look in (*LOOKS, ""):
        strip = Strip()
        qtbot.addWidget(strip)
        strip.resize(40, 24)
        strip.show_cells([Cell(look, "")], -1)
        image = strip.grab().toImage()
        ground = image.pixelColor(39, 0).lightness()
        at = strip.cell_rect(0).toRect()
        drawn[look] = frozenset(
            (x, y)
            for x in range(at.width())
            for y in range(at.height())
            if abs(image.pixelColor(x, y).lightness() - ground) > 25
        )
    assert len(set(drawn.values())) == len(drawn)
    sizes = {look: len(pixels) for look, pixels in drawn.items()}
    assert min(sizes.values()) > 0
    assert sizes["accepted"] > sizes["uncertain"] > sizes["not seen"]


# ---------------------------------------------------------------------- what becomes of a B-scan


def test_what_was_on_screen_for_a_while_was_seen(review, qtbot):
    viewer, dock, panel = review()
    viewer.dims.set_current_step(0, 4)
    assert queue_of(dock, panel).state[(4,)] == "not seen"
    qtbot.waitUntil(lambda: queue_of(dock, panel).state[(4,)] == "seen", timeout=5000)
    assert looks(panel)[4] == "seen"


def test_an_edit_makes_an_accepted_b_scan_an_edited_one_until_it_is_undone(review, qtbot):
    viewer, dock, panel = review()
    layer, queue = dock.desk.result.layer, queue_of(dock, panel)
    press(viewer, qtbot, "N")
    press(viewer, qtbot, "A")
    layer.data_setitem((np.array([3]), np.array([0]), np.array([0])), 5)
    assert queue.state[(3,)] == "edited"
    assert looks(panel)[3] == "edited"
    layer.undo()
    assert queue.state[(3,)] == "accepted"
    layer.redo()
    assert queue.state[(3,)] == "edited"


def test_strokes_taken_back_leave_no_trace(review):
    _, dock, panel = review()
    layer, queue = dock.desk.result.layer, queue_of(dock, panel)
    layer.data_setitem((np.array([2]), np.array([0]), np.array([0])), 5)
    assert queue.state[(2,)] == "edited"
    layer.undo()
    assert queue.state[(2,)] == "seen"


def test_what_a_model_writes_over_an_accepted_b_scan_is_to_be_looked_at(review, qtbot):
    viewer, dock, panel = review()
    press(viewer, qtbot, "N")
    press(viewer, qtbot, "A")
    result = dock.desk.result
    result.layer.data[3, :2] = 4
    dock.desk.written.emit(result, (3,))
    qtbot.waitUntil(lambda: queue_of(dock, panel).state[(3,)] == "edited", timeout=5000)


# ---------------------------------------------------------------------- another session


def test_reviews_survive_a_restart_and_name_no_patient(review, qtbot, tmp_path):
    secret = {"metadata": {"bscan_names": [f"Miller-{z}" for z in range(5)]}}
    viewer, _, panel = review(**secret)
    for key in ("N", "A", "A", "S"):
        press(viewer, qtbot, key)
    close(panel)  # before the timer: it is saved at the latest now
    text = (tmp_path / "reviews.json").read_text("utf-8")
    assert "Miller" not in text
    assert "eye" not in text
    viewer, dock, panel = review(**secret)
    queue = queue_of(dock, panel)
    qtbot.waitUntil(lambda: queue.count("accepted") == 2, timeout=5000)
    assert (queue.state[(3,)], queue.state[(1,)], queue.state[(2,)]) == (
        "accepted", "accepted", "skipped"
    )  # fmt: skip
    press(viewer, qtbot, "N")
    assert shown(viewer) == 4


def test_reviews_are_saved_within_seconds(review, qtbot, tmp_path):
    viewer, _, _ = review()
    press(viewer, qtbot, "N")
    press(viewer, qtbot, "A")

    def accepted() -> bool:
        path = tmp_path / "reviews.json"
        states = record(tmp_path)["annotators"][""].values() if path.exists() else ()
        return [e["state"] for e in states].count("accepted") == 1

    qtbot.waitUntil(accepted, timeout=5000)


def test_another_labelling_of_an_accepted_b_scan_is_not_accepted(review, qtbot, tmp_path):
    viewer, dock, panel = review()
    press(viewer, qtbot, "N")
    dock.desk.result.layer.data_setitem((np.array([3]), np.array([0]), np.array([0])), 5)
    press(viewer, qtbot, "A")
    assert queue_of(dock, panel).state[(3,)] == "accepted"
    close(panel)
    _, dock, panel = review()  # segmented anew, without the stroke
    qtbot.waitUntil(lambda: queue_of(dock, panel).state[(3,)] == "edited", timeout=5000)


def test_each_annotator_has_reviews_of_their_own(review, qtbot, settings):
    settings.setValue("annotator", "A")
    viewer, _, panel = review()
    press(viewer, qtbot, "N")
    press(viewer, qtbot, "A")
    close(panel)
    settings.setValue("annotator", "B")
    _, dock, panel = review()
    assert queue_of(dock, panel).count("accepted") == 0


def test_a_damaged_record_is_told_and_kept(review, tmp_path):
    (tmp_path / "reviews.json").write_text("{nonsense", "utf-8")
    review()
    said = [str(n.message) for n in notification_manager.records]
    assert any("reviews.damaged-1.json" in text for text in said)
    assert (tmp_path / "reviews.damaged-1.json").read_text("utf-8") == "{nonsense"


def test_a_record_that_cannot_be_written_is_told(review, qtbot, tmp_path, monkeypatch):
    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    viewer, _, panel = review()
    monkeypatch.setattr("os.replace", full)
    press(viewer, qtbot, "N")
    press(viewer, qtbot, "A")
    qtbot.waitUntil(
        lambda: any("No space left" in str(n.message) for n in notification_manager.records),
        timeout=5000,
    )
    assert panel.reviews.book.unsaved
    monkeypatch.undo()
    close(panel)
    assert record(tmp_path)["annotators"][""]


# ---------------------------------------------------------------------- findings


def findings(panel) -> list[str]:
    listing = panel.checks.list
    return [listing.item(i).text() for i in range(listing.count())]


def paint_a_ring(layer, z: int) -> None:
    """Paint a square with a hole at row 20, column 20, below all bands of the fake engine."""
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    rows, columns = np.nonzero(ring)
    layer.data_setitem((np.full(24, z), rows + 18, columns + 18), 3)


def test_findings_follow_the_strokes_and_a_click_goes_there(review, qtbot):
    viewer, dock, panel = review()
    layer = dock.desk.result.layer
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: "finding" in panel.checks.title.text(), timeout=5000)
    before = findings(panel)
    paint_a_ring(layer, 1)
    text = "hole in PED (1 px)"
    qtbot.waitUntil(lambda: text in findings(panel), timeout=5000)
    listing = panel.checks.list
    row = findings(panel).index(text)
    labels = layer.data.copy()
    listing.scrollToItem(listing.item(row))
    box = listing.visualItemRect(listing.item(row))
    qtbot.mouseClick(listing.viewport(), Qt.MouseButton.LeftButton, pos=box.center())
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (20, 20))
    np.testing.assert_array_equal(layer.data, labels)
    layer.undo()
    qtbot.waitUntil(lambda: findings(panel) == before, timeout=5000)


def test_no_findings_are_said_in_words(review, qtbot):
    viewer, dock, panel = review()
    dock.desk.result.layer.data[2] = 0
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(
        lambda: panel.checks.title.text() == "Checks: no findings in this B-scan.", timeout=5000
    )
    assert panel.checks.list.isHidden()


def test_findings_have_their_area_where_the_spacing_is_known(review, qtbot):
    viewer, dock, panel = review(scale=(0.1, 0.02, 0.03), units=("mm",) * 3)
    viewer.dims.set_current_step(0, 1)
    paint_a_ring(dock.desk.result.layer, 1)
    qtbot.waitUntil(lambda: any("0.0006 mm²" in t for t in findings(panel)), timeout=5000)


def test_the_panel_fits_the_dock(review):
    _, _, panel = review()
    assert panel.minimumSizeHint().width() <= 308
