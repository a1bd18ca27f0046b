"""What the menu of the scores does: copies, files, annotators."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES
from qtpy.QtGui import QGuiApplication

from napari_spad.desk.annotators import AnnotatorField, hand_over, whose
from napari_spad.desk.result import Result
from napari_spad.layers.image_source import open_source
from napari_spad.scores.annotators_compared import Comparison
from napari_spad.scores.spreadsheet import copy_table

pytestmark = pytest.mark.gui

SRF, IRF, PED = 1, 2, 3


def test_the_table_is_copied_as_it_is_seen(bench):
    _, _, table, _ = bench()
    copy_table(table.table)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "structure\tDice\tIoU\tHD95 mm\tArea mm²"
    assert lines[1].startswith("SRF\t1.000\t1.000\t")
    assert lines[3] == "PED\tabsent in both\t\t\t0"


def saved(table, path: Path, qtbot) -> None:
    table.menu._file.save(path)
    qtbot.waitUntil(lambda: not table.menu._file.busy, timeout=10_000)


def test_scores_are_saved_per_b_scan_and_for_the_stack(bench, qtbot, tmp_path: Path):
    _, desk, table, result = bench()
    result.layer.name, result.layer.metadata["annotator"] = "=1+1", "Ana"
    path = tmp_path / "scores.csv"
    saved(table, path, qtbot)
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert [r["bscan_from_1"] for r in rows if r["structure"] == "SRF"] == ["1", "2", "3", "all"]
    worst = next(r for r in rows if r["structure"] == "SRF" and r["bscan_from_1"] == "3")
    assert (worst["annotator"], worst["state"], worst["hd95_unit"]) == ("Ana", "compared", "mm")
    assert float(worst["dice"]) == pytest.approx(400 / 464)
    assert float(worst["size"]) == pytest.approx(200 * 0.02 * 0.01)
    assert worst["segmentation"] == "'=1+1"  # no spreadsheet runs it
    assert "MONAI" in worst["hd95_convention"]
    whole = [r for r in rows if r["bscan_from_1"] == "all"]
    assert {r["size_unit"] for r in whole if r["structure"] != "mean"} == {"mm3"}
    assert str(path) in desk.heard[-1]
    assert [p.name for p in tmp_path.glob("*scores*")] == ["scores.csv"]


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(bench, qtbot, tmp_path: Path):
    _, desk, table, _ = bench()
    old = tmp_path / "taken"
    old.mkdir()
    failed: list[str] = []
    desk.failed.connect(failed.append)
    saved(table, old, qtbot)  # a folder is there
    assert "cannot be written" in failed[0]
    assert "choose another folder" in failed[0]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("error", [RuntimeError("torch says"), SystemExit("out")], ids=repr)
def test_whatever_ends_the_counting_is_told(bench, qtbot, tmp_path: Path, monkeypatch, error):
    def records(*_, **__):
        raise error
        yield

    monkeypatch.setattr("napari_spad.scores.spreadsheet.score_records", records)
    _, desk, table, _ = bench()
    failed: list[str] = []
    desk.failed.connect(failed.append)
    saved(table, tmp_path / "scores.csv", qtbot)
    qtbot.waitUntil(lambda: bool(failed), timeout=5000)
    assert str(error) in failed[0]


def test_new_results_bear_the_annotator_s_name(bench, qtbot):
    _, desk, _, result = bench()
    assert whose(result.layer) == ""
    field = AnnotatorField(desk)
    qtbot.addWidget(field)
    field.line.setText(" Ana ")
    field.line.editingFinished.emit()
    again = Result(
        desk.viewer, open_source(result.image, desk.viewer, whole_stack=True), CLASSES, "fake"
    )
    desk.add_result(again)
    assert whose(again.layer) == "Ana"
    assert whose(result.layer) == ""


def test_a_copy_for_another_annotator_is_a_result_of_its_own(bench):
    _, desk, table, result = bench()
    result.layer.paint((0, 35, 35), PED)
    before = result.layer.data.copy()
    made = hand_over(desk, result.layer, "Ben")
    table.show_segmentation(made)
    assert made.name == "eye – SPAD – Ben"
    assert whose(made) == "Ben"
    assert not result.layer.visible
    copy = desk.results[-1]
    assert copy.layer is made
    np.testing.assert_array_equal(copy.hand.mask, result.hand.mask)
    made.paint((0, 2, 2), IRF)
    np.testing.assert_array_equal(result.layer.data, before)
    assert "annotator" not in result.layer.metadata
    assert hand_over(desk, made, "Eve").name == "eye – SPAD – Eve"


@pytest.mark.parametrize("name", ["", "  ", "Ben"])
def test_a_copy_needs_another_name(bench, name: str):
    _, desk, _, result = bench()
    result.layer.metadata["annotator"] = "Ben"
    with pytest.raises(ValueError, match="give"):
        hand_over(desk, result.layer, name)


def test_annotators_are_compared_in_pairs(bench, qtbot):
    viewer, desk, table, result = bench()
    viewer.add_labels(np.zeros((2, 2), np.uint8), name="of another shape")
    hand_over(desk, result.layer, "Ben").data_setitem(np.nonzero(result.layer.data == SRF), 0)
    window = Comparison(desk, table.live)
    qtbot.addWidget(window)
    window.stack.setChecked(True)
    qtbot.waitUntil(lambda: "neither of two" in window.note.text(), timeout=10_000)
    assert sorted(window.names) == ["Ben", "eye – SPAD", "reference"]
    mine, ben = window.names.index("eye – SPAD"), window.names.index("Ben")
    assert window.dice[mine, ben, SRF] == 0
    assert window.dice[ben, mine, IRF] == 1
    window.structure.setCurrentIndex(IRF)
    assert window.table.item(mine, ben).text() == "1.000"
    window.copy()
    assert "IRF\t1.000" in QGuiApplication.clipboard().text()
    window.close()


def test_one_layer_alone_is_told_what_is_missing(bench, qtbot):
    viewer, desk, table, _ = bench()
    viewer.layers.remove("reference")
    window = Comparison(desk, table.live)
    qtbot.addWidget(window)
    assert "only label layer of its shape" in window.note.text()
    window.close()
