"""What becomes of a B-scan under review, and what of it survives the session."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.utils.notifications import notification_manager
from reviewed import close, looks, press, queue_of, record, shown

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_what_was_on_screen_for_a_while_was_seen(review, qtbot, monkeypatch):
    monkeypatch.setattr("napari_spad.review.records.LOOK_MS", 50)
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


def test_an_edit_taken_back_on_its_b_scan_alone_is_judged_by_the_labels_left(review, qtbot):
    viewer, dock, panel = review()
    layer, queue = dock.desk.result.layer, queue_of(dock, panel)
    press(viewer, qtbot, "N")
    layer.data_setitem((np.array([3]), np.array([0]), np.array([0])), 5)
    press(viewer, qtbot, "A")
    viewer.dims.set_current_step(0, 3)
    dock.desk.undo_here()
    assert queue.state[(3,)] == "edited"  # what was accepted is not there any more
    layer.undo()
    assert queue.state[(3,)] == "accepted"
    layer.data_setitem((np.array([3]), np.array([1]), np.array([0])), 5)
    assert queue.state[(3,)] == "edited"
    dock.desk.undo_here()  # and here it is again
    assert queue.state[(3,)] == "accepted"


def test_the_queue_sets_aside_what_phantoms_alone_have_taught(review, engine):
    from spad.annotation import expected_error

    engine.phantoms_only = ("SRF", "PED")
    _, dock, panel = review()
    result, queue = dock.desk.result, queue_of(dock, panel)
    aside = {c.value for c in result.classes if c.name in engine.phantoms_only}
    assert len(aside) == 2
    for place, error in queue.error.items():
        of = result.layer.data[place], result.uncertainty.data[place], len(result.classes)
        assert error == expected_error(*of, aside).error != expected_error(*of).error


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


def test_pixels_that_were_replaced_are_not_taken_for_those_that_were_segmented(review, qtbot):
    viewer, dock, _ = review()
    layer, result = viewer.layers["eye"], dock.desk.result
    layer.data = layer.data.copy()  # the same, in another array
    assert result.open_image().data is layer.data
    layer.data = layer.data[::-1].copy()
    with pytest.raises(ValueError, match="the pixels of “eye” were replaced since"):
        result.open_image()
    dock.form.whole.setChecked(False)
    dock.form.button.click()  # one B-scan of the new pixels: into a layer of its own
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)
    assert len(dock.desk.results) == 2
