"""Autosave and recovery in a real viewer; one of them is killed seconds after a stroke."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

import napari_spad.keep.autosave as autosave_module
from napari_spad.desk import Finished
from napari_spad.desk.desk import Desk
from napari_spad.keep.keep_panel import KeepPanel
from napari_spad.keep.tracked_layer import SaveJob, TrackedLayer
from napari_spad.layers.by_hand import Hand
from napari_spad.layers.image_source import open_source
from spad.autosave.autosaved_layer import AutosavedLayer
from spad.autosave.sessions import kept_layers

from conftest import CLASSES  # isort: skip
from results import PLACED, SHAPE, segment, segmentation, stack, stroke  # isort: skip

pytestmark = pytest.mark.gui


@pytest.fixture
def open_desk(make_napari_viewer, engine, settings, qtbot, tmp_path):
    """A viewer with a desk and the panel “Keep”, as often as it is asked for."""
    opened = []

    def start(folder: Path = tmp_path):
        viewer = make_napari_viewer()
        desk = Desk(viewer, engine, settings, folder)
        panel = KeepPanel(desk)
        viewer.window.add_dock_widget(panel, name="Keep", area="right")
        opened.append(panel)
        return viewer, desk, panel

    yield start
    for panel in opened:
        panel.disconnect_viewer()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Tests need not wait for a second after each stroke."""
    monkeypatch.setattr(autosave_module, "WAIT_MS", 20)
    monkeypatch.setattr(autosave_module, "RETRY_MS", 100)


def saved(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: not panel.autosave.waiting, timeout=15_000)


def crash(panel) -> None:
    """What a killed process leaves: an unlocked folder without a proper end."""
    panel.autosave.session.close(properly=False)
    panel.autosave._timer.stop()
    panel.autosave._jobs()  # and its last save never comes


def on_disk(panel) -> dict[str, int]:
    folder = panel.autosave.session.folder
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*.npz")}


# ---------------------------------------------------------------------- saving


def test_a_draft_that_is_undone_is_saved_with_the_run_that_its_labels_are_of(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED))
    part = result.part((1,))
    other = segmentation(stack()[1, ::-1], seed=8)
    other.labels = other.labels[::-1]
    result.put(Finished.of(part, other), undoable=True)
    desk.written.emit(result, part.index)

    def seed() -> int:
        saved(panel, qtbot)
        (tracked,) = panel.autosave.tracked.values()
        return AutosavedLayer(tracked.saved.folder).load().model[1,].provenance["seed"]

    assert seed() == 8
    result.layer.undo()
    assert seed() == 7
    result.layer.redo()
    assert seed() == 8


def test_a_stroke_an_undo_and_a_redo_are_saved_each_as_one_bscan(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED))
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    for act in (lambda: stroke(result, 1), result.layer.undo, result.layer.redo):
        before = on_disk(panel)
        act()
        saved(panel, qtbot)
        after = on_disk(panel)
        assert [Path(n).name for n in after if after[n] != before[n]] == ["b-0001.npz"]
        back = tracked.saved.load()
        np.testing.assert_array_equal(back.labels, result.layer.data)
        np.testing.assert_array_equal(back.by_hand, result.hand.mask)
    assert result.hand.mask[1].any()
    assert "all saved" in panel.state.text()


def test_another_scale_is_saved_at_once(open_desk, qtbot):
    viewer, _, panel = open_desk()
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine", **PLACED)
    layer.data_setitem(tuple(np.array([[0], [1], [1]])), 1)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    layer.scale, layer.units = (0.5, 0.01, 0.02), ("mm",) * 3  # as the row of the scale does
    saved(panel, qtbot)
    placement = tracked.saved.load().header["placement"]
    assert placement["scale"] == [0.5, 0.01, 0.02]
    assert placement["units"] == ["millimeter"] * 3


def test_a_layer_that_no_model_made_is_saved_from_the_first_stroke_on(open_desk, qtbot):
    viewer, _, panel = open_desk()
    layer = viewer.add_labels(np.ones(SHAPE, np.uint8), name="mine", **PLACED)
    assert not panel.autosave.tracked
    with layer.block_history():  # as of the mouse: told when it has come to its end
        layer.paint((2, 5, 5), 3)
    saved(panel, qtbot)  # the B-scans without a stroke, too
    (tracked,) = panel.autosave.tracked.values()
    np.testing.assert_array_equal(tracked.saved.load().labels, layer.data)
    layer.undo()
    saved(panel, qtbot)
    assert (tracked.saved.load().labels == 1).all()


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"spad": "x"}},
        {"metadata": {"spad": {"classes": [{"value": 1}], "provenance": 3, "by_hand": "x"}}},
        {"features": {"index": ["a"], "name": [None]}},
    ],
)
def test_what_others_wrote_into_a_layer_costs_no_layer_its_save(open_desk, qtbot, odd):
    viewer, _, panel = open_desk()
    for settings in (odd, {}):
        viewer.add_labels(np.zeros(SHAPE, np.uint8), **settings).paint((2, 5, 5), 3)
    saved(panel, qtbot)
    assert not panel.autosave.trouble
    for tracked in panel.autosave.tracked.values():
        np.testing.assert_array_equal(tracked.saved.load().labels, tracked.layer.data)


def test_a_layer_that_cannot_be_saved_is_named_and_costs_no_other(open_desk, qtbot, monkeypatch):
    viewer, _, panel = open_desk()
    bad, good = (viewer.add_labels(np.zeros(SHAPE, np.uint8), name=n) for n in ("bad", "good"))
    bad.paint((2, 5, 5), 3)
    good.paint((2, 5, 5), 3)
    untold, unwritten = TrackedLayer.take_job, SaveJob.write

    def take_job(self):
        if self.layer is bad:
            raise TypeError("odd")
        return untold(self)

    def write(self):
        if self.tracked.layer is bad:
            raise OSError("no room")
        unwritten(self)

    monkeypatch.setattr(TrackedLayer, "take_job", take_job)
    assert panel.autosave.flush().startswith("“bad” cannot be autosaved (odd): save it by")
    of_good = panel.autosave.tracked[id(good)]
    np.testing.assert_array_equal(of_good.saved.load().labels, good.data)
    monkeypatch.setattr(TrackedLayer, "take_job", untold)
    monkeypatch.setattr(SaveJob, "write", write)
    good.paint((1, 5, 5), 2)
    assert "no room" in panel.autosave.flush()
    np.testing.assert_array_equal(of_good.saved.load().labels, good.data)


def test_other_data_put_into_a_layer_leave_a_copy_of_the_old(open_desk, qtbot):
    viewer, _, panel = open_desk()
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine")
    layer.paint((2, 5, 5), 3)
    saved(panel, qtbot)
    first = layer.data.copy()
    layer.data = np.ones((7, 8), np.uint8)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    np.testing.assert_array_equal(tracked.saved.load().labels, np.ones((7, 8)))
    (old,) = panel.autosave.removed
    np.testing.assert_array_equal(old.saved.load().labels, first)


def test_a_full_disk_is_said_once_and_tried_again(open_desk, qtbot, monkeypatch):
    viewer, desk, panel = open_desk()
    failed = []
    desk.failed.connect(failed.append)
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    saved(panel, qtbot)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("spad.cases.atomic_files.os.fsync", full)
        stroke(result, 1)
        qtbot.waitUntil(lambda: bool(panel.autosave.trouble), timeout=15_000)
        stroke(result, 2)
        qtbot.wait(300)  # several tries
        assert len(failed) == 1
        assert "No space left" in failed[0]
        assert "Not autosaved" in panel.state.text()
    saved(panel, qtbot)
    assert not panel.autosave.trouble
    (tracked,) = panel.autosave.tracked.values()
    np.testing.assert_array_equal(tracked.saved.load().labels, result.layer.data)


def test_a_folder_that_cannot_be_written_does_not_stop_the_work(open_desk, qtbot, tmp_path):
    (tmp_path / "file").write_text("in the way")
    viewer, desk, panel = open_desk(tmp_path / "file")
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    qtbot.waitUntil(lambda: bool(panel.autosave.trouble), timeout=15_000)
    stroke(result, 1)
    assert (result.layer.data[1, 4:6, 29:31] == 2).all()


def test_what_another_program_takes_away_is_saved_anew(open_desk, qtbot, tmp_path):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED))
    stroke(result, 1)
    saved(panel, qtbot)
    folder = panel.autosave.session.folder
    folder.rename(tmp_path / "taken")
    stroke(result, 2)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    back = tracked.saved.load()
    np.testing.assert_array_equal(back.labels, result.layer.data)
    np.testing.assert_array_equal(back.by_hand, result.hand.mask)
    assert set(back.model) == set(result.packed)
    assert not kept_layers(folder.parent)  # nobody else may have it
    shutil.rmtree(folder)  # and just before the end
    stroke(result, 3)
    panel.disconnect_viewer()
    back = AutosavedLayer(tracked.saved.folder).load()
    np.testing.assert_array_equal(back.labels, result.layer.data)


def test_nothing_of_the_patient_is_saved_logged_or_exported(open_desk, qtbot, tmp_path):
    viewer, desk, panel = open_desk()
    secret = {"patient": "Doe^Jane", "PatientName": "Doe^Jane", "PatientID": "4711-0815"}
    image = viewer.add_image(stack(), name="eye", metadata={**secret, "dicom": dict(secret)})
    result = segment(desk, image)
    result.layer.metadata.update(secret)
    mine = viewer.add_labels(np.zeros(SHAPE, np.uint8), metadata=dict(secret), name="mine")
    mine.paint((1, 5, 5), 3)
    stroke(result, 1)
    viewer.dims.set_point(0, 3)
    panel.export_panel.layer.choose(result.layer)
    for number, _ in enumerate(range(panel.export_panel.format.count())):
        panel.export_panel.format.setCurrentIndex(number)
        panel.export_panel.folder.setText(str(tmp_path / f"out{number}"))
        panel.export_panel.export()
        qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)
    panel.disconnect_viewer()
    panel.log._worker = None
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.suffix for p in written} >= {".json", ".jsonl", ".npz", ".png", ".gz", ".nrrd"}
    for path in written:
        content = path.read_bytes()
        if path.suffix == ".npz":
            with np.load(path) as archive:
                content = b"".join(archive[name].tobytes() for name in archive)
        assert b"Doe" not in content, path
        assert b"4711" not in content, path
    for path in (*tmp_path.rglob("*.spad.json"), *tmp_path.rglob("*.jsonl")):
        assert str(tmp_path) not in path.read_text("utf-8"), path


# ---------------------------------------------------------------------- coming back


def press(panel, qtbot, title: str) -> None:
    panel.kept.offer.buttons[title].click()


def offered(panel, qtbot) -> str:
    qtbot.waitUntil(lambda: not panel.kept.offer.isHidden(), timeout=15_000)
    return panel.kept.offer.text.text()


def recovered(desk, qtbot) -> str:
    with qtbot.waitSignal(
        desk.said, timeout=15_000, check_params_cb=lambda s: s.startswith("Recovered")
    ) as said:
        pass
    return said.args[0]


def test_after_a_crash_a_result_comes_back_to_its_image_and_works_on(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED), places=(0, 1))
    stroke(result, 1)
    result.locked.add(3)
    result.layer.metadata["annotator"] = "Ada"
    result.layer.name = "my eye"
    saved(panel, qtbot)
    before = {
        "labels": result.layer.data.copy(),
        "hand": result.hand.mask.copy(),
        "written": result.written.copy(),
        "uncertainty": result.uncertainty.data.copy(),
        "provenance": result.layer.metadata["spad"]["provenance"],
    }
    crash(panel)

    viewer, desk, panel = open_desk()
    viewer.add_image(stack(1), name="eye", **PLACED)  # of the same name and shape, another eye
    image = viewer.add_image(stack(), name="the same eye", **PLACED)
    assert "“my eye” with 2 B-scans" in offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    assert "on “the same eye”" in recovered(desk, qtbot)
    (back,) = desk.results
    assert back.layer.name == "my eye"
    assert back.image is image
    assert desk.result is back
    np.testing.assert_array_equal(back.layer.data, before["labels"])
    np.testing.assert_array_equal(back.hand.mask, before["hand"])
    np.testing.assert_array_equal(back.by_hand.data, before["hand"])
    np.testing.assert_array_equal(back.written, before["written"])
    np.testing.assert_array_equal(back.uncertainty.data, before["uncertainty"])
    np.testing.assert_array_equal(back.packed[(1,)].samples()[1], before["written"][1] * 0)
    assert back.layer.metadata["spad"]["provenance"] == before["provenance"]
    assert back.layer.metadata["annotator"] == "Ada"
    assert back.locked == {3}
    assert [c.color for c in back.classes] == [c.color for c in CLASSES]
    np.testing.assert_allclose(back.layer.get_color(1)[:3] * 255, CLASSES[1].color, atol=1)
    np.testing.assert_allclose(back.layer.scale, PLACED["scale"])
    # The rules of a result hold: the edited B-scan is not for a model to write to, the others are.
    source = open_source(image, viewer, whole_stack=True)
    untouched = {part.index[-1]: back.untouched(part) for part in source.parts}
    assert untouched == {0: True, 1: False, 2: True, 3: True}
    # And it is saved on, where it was.
    stroke(back, 0)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    np.testing.assert_array_equal(tracked.saved.load().labels, back.layer.data)
    crash(panel)
    assert [k.bscans for k in kept_layers(desk.folder / "autosave")] == [2]


@pytest.mark.parametrize("change", ["pixels", "size"])
def test_an_open_image_of_its_name_that_is_another_is_not_asked_for_again(open_desk, qtbot, change):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED))
    stroke(result, 1)
    saved(panel, qtbot)
    crash(panel)

    viewer, desk, panel = open_desk()
    viewer.add_image(stack(1) if change == "pixels" else stack()[:3], name="eye", **PLACED)
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    said = recovered(desk, qtbot)
    assert "the “eye” that is open has other pixels or another size" in said
    assert "open its image" not in said
    assert desk.results == []


def test_without_its_image_it_comes_back_as_labels_and_is_joined_to_it_later(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", **PLACED))
    stroke(result, 1)
    result.locked.add(3)
    saved(panel, qtbot)
    labels, hand = result.layer.data.copy(), result.hand.mask.copy()
    crash(panel)

    viewer, desk, panel = open_desk()
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    assert "open its image “eye”" in recovered(desk, qtbot)
    layer = viewer.layers["eye – SPAD"]
    np.testing.assert_array_equal(layer.data, labels)
    np.testing.assert_array_equal(layer.metadata["spad"]["by_hand"], hand)
    assert layer.features["name"].tolist() == [c.name for c in CLASSES]
    np.testing.assert_allclose(layer.get_color(1)[:3] * 255, CLASSES[1].color, atol=1)
    np.testing.assert_allclose(layer.translate, PLACED["translate"])
    layer.paint((2, 5, 30), 4)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    assert tracked.saved.read_header()["locked"] == [3]  # a second crash takes no lock
    viewer.add_image(stack(1), name="eye")  # another eye
    qtbot.wait(200)
    assert desk.results == []
    viewer.add_image(stack(), name="eye again", **PLACED)
    qtbot.waitUntil(lambda: len(desk.results) == 1, timeout=15_000)
    (back,) = desk.results
    assert [n.name for n in viewer.layers if n.name.startswith("eye – SPAD")] == ["eye – SPAD"]
    assert back.locked == {3}
    assert (back.layer.data[2, 4:6, 29:31] == 4).any()
    assert back.hand.mask[2].any()
    saved(panel, qtbot)
    assert len(panel.autosave.tracked) == 1
    assert not panel.autosave.removed
    crash(panel)
    (kept,) = kept_layers(desk.folder / "autosave")
    np.testing.assert_array_equal(kept.saved.load().labels, back.layer.data)
    assert kept.saved.read_header()["model"] == "model"


def test_a_bscan_that_is_padded_comes_back_with_what_the_model_said(open_desk, qtbot):
    sizes = {"bscan_sizes": [(24, 36), (20, 30), (24, 25), (13, 36)]}
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye", metadata=sizes))
    samples = {place: packed.samples() for place, packed in result.packed.items()}
    assert samples[1,].shape == (2, 20, 30)
    saved(panel, qtbot)
    crash(panel)
    viewer, desk, panel = open_desk()
    viewer.add_image(stack(), name="eye", metadata=sizes)
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    assert "could not be read" not in recovered(desk, qtbot)
    (back,) = desk.results
    assert len(back.runs) == 4
    for place, expected in samples.items():
        np.testing.assert_array_equal(back.packed[place].samples(), expected)
        assert back.untouched(back.part(place))


def test_all_labels_of_an_image_are_joined_to_it_when_it_is_opened(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    image = viewer.add_image(stack(), name="eye", **PLACED)
    for z in range(3):  # two models' labels and a third run's
        stroke(segment(desk, image), z)
    saved(panel, qtbot)
    names = sorted(result.layer.name for result in desk.results)
    crash(panel)
    viewer, desk, panel = open_desk()
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    recovered(desk, qtbot)
    viewer.add_image(stack(), name="eye", **PLACED)
    qtbot.waitUntil(lambda: len(desk.results) == 3, timeout=15_000)
    assert sorted(result.layer.name for result in desk.results) == names
    assert not [layer.name for layer in viewer.layers if "without its image" in layer.name]


def test_not_now_keeps_it_and_discard_asks_first(open_desk, qtbot, tmp_path):
    viewer, desk, panel = open_desk()
    segment(desk, viewer.add_image(stack(), name="eye"))
    saved(panel, qtbot)
    crash(panel)
    viewer, desk, panel = open_desk()
    offered(panel, qtbot)
    press(panel, qtbot, "Not now")
    assert panel.kept.offer.isHidden()
    assert "left by a crash" in panel.kept.list.item(0).text()
    panel.disconnect_viewer()
    viewer, desk, panel = open_desk()
    offered(panel, qtbot)
    press(panel, qtbot, "Discard…")
    assert "for good" in panel.kept.offer.text.text()
    press(panel, qtbot, "Keep")
    assert "did not close properly" in offered(panel, qtbot)
    press(panel, qtbot, "Discard…")
    press(panel, qtbot, "Delete")
    qtbot.waitUntil(lambda: not panel.kept.copies, timeout=15_000)
    assert not list((tmp_path / "autosave").glob("*/*/layer.json"))


def test_a_proper_end_offers_nothing_but_keeps_a_copy(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    stroke(result, 1)
    panel.disconnect_viewer()  # at once: the last stroke is saved at the end
    viewer, desk, panel = open_desk()
    qtbot.waitUntil(lambda: len(panel.kept.copies) == 1, timeout=15_000)
    assert panel.kept.offer.isHidden()
    assert "closed" in panel.kept.list.item(0).text()
    np.testing.assert_array_equal(panel.kept.copies[0].saved.load().labels, result.layer.data)


def test_a_removed_layer_can_be_brought_back(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    stroke(result, 1)
    labels = result.layer.data.copy()
    viewer.layers.remove(result.layer)
    qtbot.waitUntil(lambda: len(panel.kept.copies) == 1, timeout=15_000)
    assert "removed" in panel.kept.list.item(0).text()
    assert panel.kept.offer.isHidden()
    panel.kept.list.item(0).setSelected(True)
    panel.kept.recover_button.click()
    recovered(desk, qtbot)
    (back,) = desk.results
    np.testing.assert_array_equal(back.layer.data, labels)
    saved(panel, qtbot)
    crash(panel)
    assert [k.lost for k in kept_layers(desk.folder / "autosave")] == [True]  # it is open again


def test_a_damaged_bscan_is_named_when_its_layer_comes_back(open_desk, qtbot):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    crash(panel)
    (tracked.saved.folder / "b-0002.npz").write_bytes(b"rubbish")
    viewer, desk, panel = open_desk()
    viewer.add_image(stack(), name="eye")
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    assert "B-scan 2 of “eye – SPAD”: the labels could not be read back" in recovered(desk, qtbot)
    (back,) = desk.results
    np.testing.assert_array_equal(back.layer.data[[0, 1, 3]], result.layer.data[[0, 1, 3]])
    assert isinstance(back.hand, Hand)


ODD_HEADERS = {
    "nothing": {},
    "place": {"placement": {"scale": "x", "axis_labels": 3}},
    "colours": {"classes": [{"value": 900, "name": "A", "color": [1, 2, 3]}]},
    "no dict": [],
}


@pytest.mark.parametrize("odd", ODD_HEADERS)
def test_odd_files_hide_no_layer(open_desk, qtbot, odd):
    viewer, desk, panel = open_desk()
    result = segment(desk, viewer.add_image(stack(), name="eye"))
    stroke(result, 1)
    saved(panel, qtbot)
    (tracked,) = panel.autosave.tracked.values()
    crash(panel)
    folder, change = tracked.saved.folder, ODD_HEADERS[odd]
    (folder / "b-0001-LAPTOP.npz").write_bytes(b"rubbish")
    header = json.loads((folder / "layer.json").read_text("utf-8"))
    del header["name"]
    new = header | change if isinstance(change, dict) else change
    (folder / "layer.json").write_text(json.dumps(new), "utf-8")
    viewer, desk, panel = open_desk()
    viewer.add_image(stack(), name="eye")
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    said = recovered(desk, qtbot)
    assert "b-0001-LAPTOP.npz" in said
    assert "no readable name" in said or "no JSON object" in said
    named = [la for la in viewer.layers if la.name.startswith("labels without a name")]
    back = next(la for la in named if la.data.any())
    np.testing.assert_array_equal(back.data, result.layer.data)
    assert len(desk.results) == (odd in ("nothing", "place"))


# ---------------------------------------------------------------------- killed

KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import napari, numpy as np
from qtpy.QtCore import QSettings, QTimer
from conftest import FakeEngine
from results import segment, stack, stroke
from napari_spad.desk import Finished
from napari_spad.desk.desk import Desk
from napari_spad.keep.keep_panel import KeepPanel

folder = Path(sys.argv[1])
viewer = napari.Viewer()
settings = QSettings(str(folder / "s.ini"), QSettings.Format.IniFormat)
desk = Desk(viewer, FakeEngine(folder / "fake.safetensors"), settings, folder)
panel = KeepPanel(desk)
viewer.window.add_dock_widget(panel, name="Keep", area="right")
result = segment(desk, viewer.add_image(stack(), name="eye"))

def paint():
    stroke(result, 1)
    np.save(folder / "painted.npy", result.layer.data)
    np.save(folder / "hand.npy", result.hand.mask)
    (folder / "now").touch()

QTimer.singleShot(1500, paint)
napari.run()
"""


@pytest.mark.slow
def test_killed_seconds_after_a_stroke_the_stroke_is_there(open_desk, qtbot, tmp_path):
    here = str(Path(__file__).parents[1])
    window = subprocess.Popen([sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), here])
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "now").exists():
            assert window.poll() is None, "napari ended by itself"
            assert time.monotonic() < end, "napari did not start"
            time.sleep(0.1)
        time.sleep(4)
    finally:
        window.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        window.wait(20)
    viewer, desk, panel = open_desk()
    viewer.add_image(stack(), name="eye")
    offered(panel, qtbot)
    press(panel, qtbot, "Recover")
    recovered(desk, qtbot)
    (back,) = desk.results
    np.testing.assert_array_equal(back.layer.data, np.load(tmp_path / "painted.npy"))
    np.testing.assert_array_equal(back.hand.mask, np.load(tmp_path / "hand.npy"))
    assert json.loads(json.dumps(back.layer.metadata["spad"]["provenance"]))[1]["seed"] == 7
