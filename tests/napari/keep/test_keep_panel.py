"""The panel “Keep”: export with two clicks, nothing overwritten unasked, a log of what was done."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

import tifffile
from PIL import Image as Picture

from napari_spad.desk.desk import Desk
from napari_spad.desk.run import Finished
from napari_spad.keep.annotation_log import AnnotationLog, dice_of
from napari_spad.keep.export import FORMATS, file_name
from napari_spad.keep.keep_panel import KeepPanel
from napari_spad.keep.log_lines import _read, append_lines, export_log
from napari_spad.scores.live_scores import LiveScores

from results import PLACED, SHAPE, segment, segmentation, stack, stroke  # isort: skip

pytestmark = pytest.mark.gui


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def desk(make_napari_viewer, engine, settings, tmp_path):
    settings.setValue("annotator", "Ada")
    desk = Desk(make_napari_viewer(), engine, settings, tmp_path)
    yield desk
    desk.shut_down()


@pytest.fixture
def panel(desk):
    panel = KeepPanel(desk)
    yield panel
    panel.disconnect_viewer()


def export(panel, qtbot, suffix: str, folder: Path) -> None:
    panel.export_panel.format.setCurrentIndex(panel.export_panel.format.findData(suffix))
    panel.export_panel.folder.setText(str(folder))
    panel.export_panel.button.click()
    qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)


# ---------------------------------------------------------------------- export


@pytest.mark.parametrize("suffix", [form.suffix for form in FORMATS])
def test_every_format_is_written_with_what_was_edited_and_by_whom(
    desk, panel, qtbot, tmp_path, suffix
):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye", **PLACED))
    stroke(result, 1)
    export(panel, qtbot, suffix, tmp_path / "out")
    images = [p for p in (tmp_path / "out").iterdir() if not p.name.endswith(".spad.json")]
    assert len(images) == (SHAPE[0] if suffix == ".png" else 1)
    sidecars = [json.loads(p.read_text("utf-8")) for p in sorted((tmp_path / "out").glob("*.json"))]
    assert {s["labels"] for s in sidecars} == {p.name for p in images}
    assert {s["annotator"] for s in sidecars} == {"Ada"}
    edited = [s["edited"]["pixels"] for s in sidecars if s["edited"]["pixels"]]
    assert edited == [{"IRF": int(result.hand.mask.sum())}]
    assert sum(len(s["provenance"]) for s in sidecars) == SHAPE[0]


def test_a_stack_as_png_is_a_file_a_bscan(desk, panel, qtbot, tmp_path):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    export(panel, qtbot, ".png", tmp_path)
    for z in range(SHAPE[0]):
        with Picture.open(tmp_path / f"eye – SPAD_{z + 1:03d}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), result.layer.data[z])


def test_labels_of_several_stacks_are_exported_by_the_way_that_a_refusal_names(
    desk, panel, qtbot, tmp_path
):
    many = np.arange(2 * 3 * 24 * 36).reshape(2, 3, 24, 36).astype(np.uint8) % 5
    desk.viewer.add_labels(many, name="two")
    failed = []
    desk.failed.connect(failed.append)
    for suffix in (".tif", ".nii.gz"):
        export(panel, qtbot, suffix, tmp_path)
        assert "export it as PNG in the tab Keep" in failed.pop()  # napari splits no labels
    export(panel, qtbot, ".png", tmp_path)
    for z in range(3):
        with Picture.open(tmp_path / f"two_002_{z + 1:03d}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), many[1, z])


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_files_that_exist_are_asked_about(desk, panel, qtbot, tmp_path, suffix):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    out = tmp_path / "out"
    export(panel, qtbot, suffix, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    result.layer.data[...] = 0
    export(panel, qtbot, suffix, out)
    assert "exist" in panel.export_panel.question.text.text()
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    panel.export_panel.question.buttons["Keep both"].click()
    qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)
    after = {p.name: p.read_bytes() for p in out.iterdir()}
    assert len(after) == 2 * len(before)
    assert {n: after[n] for n in before} == before
    export(panel, qtbot, suffix, out)
    panel.export_panel.question.buttons["Replace"].click()
    qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)
    assert len(list(out.iterdir())) == len(after)
    if suffix == ".tif":
        assert not tifffile.imread(out / "eye – SPAD.tif").any()


def test_another_formats_sidecar_is_asked_about_too(desk, panel, qtbot, tmp_path):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    out = tmp_path / "out"
    export(panel, qtbot, ".tif", out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    stroke(result, 1)
    export(panel, qtbot, ".nrrd", out)
    asked = panel.export_panel.question
    assert "SPAD.spad.json” exists there, the sidecar of another format." in asked.text.text()
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    asked.buttons["Keep both"].click()
    qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)
    assert {n: (out / n).read_bytes() for n in before} == before
    own = json.loads((out / "eye – SPAD 2.spad.json").read_text("utf-8"))
    assert own["labels"] == "eye – SPAD 2.nrrd"


def test_an_export_that_fails_says_why(desk, panel, qtbot, tmp_path):
    segment(desk, desk.viewer.add_image(stack(), name="eye"))
    failed = []
    desk.failed.connect(failed.append)
    (tmp_path / "file").write_text("in the way")
    export(panel, qtbot, ".tif", tmp_path / "file" / "below")
    export(panel, qtbot, ".tif", Path("relative"))
    assert "Nothing was exported" in failed[0]
    assert "no full path" in failed[1]
    assert panel.export_panel.button.isEnabled()


def test_what_was_exported_and_not_edited_since_is_not_offered_after_a_crash(
    desk, panel, qtbot, tmp_path
):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    (tracked,) = panel.autosave.tracked.values()
    export(panel, qtbot, ".tif", tmp_path)
    assert tracked.exported
    stroke(result, 1)
    assert not tracked.exported


def test_choices_are_remembered(desk, panel, qtbot, tmp_path):
    segment(desk, desk.viewer.add_image(stack(), name="eye"))
    panel.export_panel.format.activated.emit(2)
    panel.export_panel.format.setCurrentIndex(2)
    panel.export_panel.format.activated.emit(2)
    panel.export_panel.folder.setText(str(tmp_path))
    panel.export_panel.export()
    qtbot.waitUntil(lambda: panel.export_panel._worker is None, timeout=15_000)
    again = KeepPanel(desk)
    assert again.export_panel.format.currentData() == ".seg.nrrd"
    assert again.export_panel.folder.text() == str(tmp_path)
    again.disconnect_viewer()


def test_a_panel_that_was_let_go_shows_no_copies_that_were_still_looked_for(desk):
    let_go = KeepPanel(desk)
    kept = let_go.kept
    kept.list.addItem("as it was")
    let_go.disconnect_viewer()
    kept._on_looked(([], ""))  # its list may be gone by then
    assert kept.list.count() == 1
    kept.look()
    assert kept._worker is None


def test_each_kept_copy_can_be_read(panel):
    """In napari's style every second row of a list would be white on white."""
    assert not panel.kept.list.alternatingRowColors()


def test_it_is_narrow_enough(panel):
    assert panel.minimumSizeHint().width() <= 300


def test_a_layers_name_becomes_a_file_name():
    form = FORMATS[0]
    assert file_name("eye – SPAD", form) == "eye – SPAD.tif"
    assert file_name("a/b\\c:d", form) == "a_b_c_d.tif"
    assert file_name("nul", form) == "_nul.tif"  # a device of Windows
    assert file_name("../..", form) == "_.tif"
    assert file_name("...", form) == "labels.tif"


# ---------------------------------------------------------------------- log


@pytest.fixture
def log(desk):
    log = AnnotationLog(desk, Clock())
    log._arrive.setInterval(0)
    yield log
    log.shut_down()


def lines(log, qtbot, count: int) -> list[dict]:
    qtbot.waitUntil(lambda: log.lines == count, timeout=15_000)
    (file,) = log.folder.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def go(desk, log, qtbot, z: int) -> None:
    desk.viewer.dims.set_point(0, z)
    qtbot.waitUntil(lambda: log._visit is not None and log._visit.index == (z,), timeout=15_000)


def test_a_line_tells_what_was_done_on_a_bscan_and_what_it_brought(desk, log, qtbot):
    image = desk.viewer.add_image(stack(), name="eye")
    reference = desk.viewer.add_labels(np.full(SHAPE, 2, np.uint8), name="truth")
    result = segment(desk, image)
    live = LiveScores(lambda: None, lambda: None)
    live.watch(result.layer, reference)
    log.scores = lambda layer, index: dice_of(live, layer, index)
    go(desk, log, qtbot, 1)
    log._clock.now += 7
    stroke(result, 1, 2)
    log._clock.now += 3
    stroke(result, 1, 3)
    log._clock.now += 600  # a coffee
    result.layer.undo()
    live.settle()
    go(desk, log, qtbot, 2)  # looked at only
    go(desk, log, qtbot, 3)
    stroke(result, 3, 2)
    go(desk, log, qtbot, 0)
    first, second = lines(log, qtbot, 2)
    assert first["annotator"] == "Ada"
    assert first["bscan"] == [2]
    runs = result.layer.metadata["spad"]["provenance"]
    assert first["image_sha256"] == runs[1]["image_sha256"] != second["image_sha256"]
    assert first["seconds"] == 7 + 3 + 60
    assert (first["strokes"], first["undos"], first["redos"], first["resamplings"]) == (2, 1, 0, 0)
    assert set(first["pixels"]) == {"IRF", "PED"}
    assert first["dice_after"]["IRF"] > first["dice_before"]["IRF"] > 0
    assert second["bscan"] == [4]
    live.stop()


def test_resamplings_count_and_one_that_was_taken_back_does_not(desk, log, qtbot):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    go(desk, log, qtbot, 1)
    source_part = next(p for p in _parts(desk, result) if p.index == (1,))
    stroke(result, 1)
    for value in (3, 4):
        rows = np.array([20, 21])
        result.write(source_part, (rows, rows), np.full(2, value, np.uint8))
        desk.written.emit(result, (1,))
    result.layer.undo()
    go(desk, log, qtbot, 0)
    (line,) = lines(log, qtbot, 1)
    assert line["resamplings"] == 1
    assert line["undos"] == 0  # that is for strokes


def _parts(desk, result):
    from napari_spad.layers.image_source import open_source

    return open_source(result.image, desk.viewer, whole_stack=True).parts


def test_a_first_segmentation_is_no_correction(desk, log, qtbot):
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"), places=(0,))
    go(desk, log, qtbot, 1)
    part = next(p for p in _parts(desk, result) if p.index == (1,))
    result.put(Finished.of(part, segmentation(stack()[1])), undoable=True)
    desk.written.emit(result, (1,))
    go(desk, log, qtbot, 2)
    log.shut_down()
    assert not log.folder.exists()


def test_the_last_visit_is_written_when_the_dock_closes(desk, log, qtbot):
    result = segment(desk, desk.viewer.add_image(stack()[0], name="one B-scan"))
    result.layer.paint((5, 5), 2)
    log.shut_down()
    (file,) = log.folder.glob("*.jsonl")
    assert json.loads(file.read_text("utf-8"))["bscan"] == []


def test_a_log_that_cannot_be_written_is_said_and_kept_for_later(desk, log, qtbot, tmp_path):
    log.folder = tmp_path / "file" / "log"
    (tmp_path / "file").write_text("in the way")
    result = segment(desk, desk.viewer.add_image(stack(), name="eye"))
    go(desk, log, qtbot, 1)
    stroke(result, 1)
    with qtbot.waitSignal(log.failed, timeout=15_000) as said:
        desk.viewer.dims.set_point(0, 2)
    assert "could not be written" in said.args[0]
    (tmp_path / "file").unlink()
    go(desk, log, qtbot, 2)
    stroke(result, 2)
    go(desk, log, qtbot, 3)
    assert [line["bscan"] for line in lines(log, qtbot, 2)] == [[2], [3]]


def test_the_log_is_exported_as_a_table_with_a_column_for_each_structure(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    one = {"time": "t", "bscan": [3], "pixels": {"SRF": 5}, "dice_after": {"SRF": 0.5, "IRF": 1}}
    other = {"time": "u", "bscan": [], "pixels": {}, "dice_before": None}
    (folder / "2026-01.jsonl").write_text(json.dumps(one) + "\n")
    (folder / "2026-02.jsonl").write_text(json.dumps(other) + '\n{"time": "cut o')
    assert export_log(folder, tmp_path / "log.csv") == 2
    with (tmp_path / "log.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["bscan"] for row in rows] == ["3", ""]
    assert rows[0]["pixels SRF"] == "5"
    assert rows[0]["Dice after IRF"] == "1"
    assert rows[1]["Dice before SRF"] == ""
    with pytest.raises(ValueError, match="correct a B-scan first"):
        export_log(tmp_path / "none", tmp_path / "log.csv")


def test_a_log_cut_within_a_letter_is_exported_and_no_cell_is_a_formula(tmp_path):
    lines = [
        {"time": "t", "annotator": "=HYPERLINK(1)", "bscan": [1], "pixels": {"+SRF": -3}},
        {"time": "u\u2028v", "annotator": "Åsa", "bscan": None, "pixels": [1], "dice_before": 2},
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    (tmp_path / "2026-01.jsonl").write_bytes(text + '{"annotator": "Å'.encode()[:-1])
    (tmp_path / "2026-02.jsonl").write_bytes(b"[" * 100_000)
    assert export_log(tmp_path, tmp_path / "t.csv") == 2
    with (tmp_path / "t.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["annotator"], first["pixels +SRF"]) == ("'=HYPERLINK(1)", "-3")
    assert (second["time"], second["annotator"], second["bscan"]) == ("u\u2028v", "Åsa", "")


def test_a_full_disk_cuts_no_line_of_the_log_but_its_own(tmp_path):
    assert append_lines(tmp_path, ['{"bscan": [1]}'])[0] == ""
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'{"bsc')  # as much of it as there was room for
    assert append_lines(tmp_path, ['{"bscan": [2]}'])[0] == ""
    assert [line["bscan"] for line in _read(file)] == [[1], [2]]
    file.unlink()
    file.symlink_to("/dev/full")
    said, count = append_lines(tmp_path, ['{"bscan": [3]}'])
    assert said.startswith(f"The annotation log in {tmp_path} could not be written (No space left")
    assert said.endswith("free some room or allow writing there")
    assert count == 0
