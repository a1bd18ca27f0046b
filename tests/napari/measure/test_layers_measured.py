"""Thickness between lines in the tab Measure: numbers by field, map, edits, the table's file."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from measuring import MM, shown

from napari_spad.borders import borders_of
from spad.borders import Lines

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]
DEEP, WIDE = 9, 160


def test_what_limits_the_thickness_is_said_where_nothing_is_segmented(open_dock, qtbot):
    viewer, dock = open_dock()
    pixels = np.random.default_rng(0).integers(0, 200, (DEEP, 24, WIDE), np.uint8)
    image = viewer.add_image(pixels, name="eye", scale=MM, units=("mm",) * 3)
    heights = np.stack([np.full((DEEP, WIDE), row, np.float32) for row in (4, 9)])
    dock.borders.add.add_found(Lines(("ILM", "BM"), heights), image)
    measure = dock.measure
    measure.isVisible = lambda: True
    measure.measures.facts_of(image).place_fovea((4.0, 79.5))
    measure.shown.setCurrentIndex(measure.shown.findData("lines"))
    said = ("64% of the 3 mm circle", "nobody said which eye it is", "taken to be inferior")
    assert measure.measures.live is None
    rows = measure.saving.rows()
    assert {row["structure"] for row in rows} == {"ILM – BM"}
    share = {row["region"]: row for row in rows}["3 mm"]["remark"]
    for words in said:
        assert words.lower() in measure.note.text().lower()
        assert words in share
    assert "volume" not in share


def test_two_lines_are_measured_mapped_and_saved(measured, qtbot, tmp_path):
    viewer, dock = measured(shape=(DEEP, 24, WIDE))
    measure, panel = dock.measure, dock.measure.enface
    panel.isVisible = lambda: True
    measure.shown.setCurrentIndex(measure.shown.findData("lines"))
    assert "two lines over this image are needed" in measure.note.text().lower()
    heights = np.stack([np.full((DEEP, WIDE), row, np.float32) for row in (4, 9, 19)])
    heights[2, :, :16] = np.nan
    image = viewer.layers["eye"]
    layer = dock.borders.add.add_found(Lines(("ILM", "OPL", "BM"), heights), image)
    qtbot.waitUntil(lambda: measure.table.rowCount() == 3, timeout=2000)
    assert shown(dock, "ILM – BM", 1) == "60"  # 15 rows of 4 µm
    facts = measure.measures.facts
    facts.place_fovea((4.0, 79.5))
    facts.choose_eye("OD")
    headers = [measure.table.horizontalHeaderItem(c).text() for c in range(11)]
    assert headers[1:4] == ["all", "C1", "S3"]
    assert shown(dock, "OPL – BM", 2) == "40"
    missing = "is missing in 10.0% (ILM – BM), 10.0% (OPL – BM) of the columns"
    assert measure.note.text().count(missing) == 1

    panel.refresh()
    panel.shown.setCurrentIndex(panel.shown.findText("thickness ILM – BM"))
    assert panel.shown.currentText() == "thickness ILM – BM"
    assert "60" in panel.view.drawing.texts.values()
    assert panel.view.tip(4, 0.5).startswith("B-scan 4, column 80: 60 µm")
    assert "not known" in panel.view.tip(4, 0.0)

    borders = borders_of(layer)
    planes = {z: borders.plane(z) + np.float32([[0], [0], [2]]) for z in range(DEEP)}
    borders.put(planes)
    qtbot.waitUntil(lambda: shown(dock, "ILM – BM", 2) == "68", timeout=2000)
    assert panel.shown.currentText() == "thickness ILM – BM"

    measure.saving.save_csv(tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8-sig").splitlines()))
    found = {r["region"]: r for r in rows if r["structure"] == "ILM – BM"}
    assert float(found["C1"]["mean height [µm]"]) == pytest.approx(17 * MM[1] * 1000)
    assert "missing in 10.0%" in found["total"]["remark"]
    assert "derived from the layer's scale" in found["total"]["scale"]
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: measure.table.rowCount() == 0, timeout=2000)
