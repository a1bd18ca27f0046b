"""Thickness between lines in the tab Measure: numbers by field, map, edits, the table's file."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from measuring import MM, shown
from qtpy.QtCore import Qt

from napari_spad.borders import borders_of
from napari_spad.measure.visit_stacks import visit_sheet
from napari_spad.measure.visits_panel import NAME
from spad.borders import Lines, thickness
from spad.measuring import Grid, Scale, Visit

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


def test_the_same_thickness_about_another_fovea_has_not_changed():
    """Its mean weighs the columns otherwise, in single precision."""
    scale = Scale.of((0.06, 0.006045, 0.0117), "typed")
    um = np.full((60, 256), 423.15, np.float32)
    layers = []
    for column in (17.0, 18.0):
        grid = Grid((29.6, column), (0.06, 0.0117), um.shape)
        layers.append(thickness("ILM – BM", um, grid))
    visits = [Visit(name, "", (), scale) for name in ("first", "second")]
    means = [one.mean_um for both in layers for one in both if one.region == "3 mm"]
    assert means[0] != means[1]  # else nothing is tried here
    (_, cells), *_ = visit_sheet(visits, layers, "3 mm", ()).rows
    assert [cell.text for cell in cells] == ["423", "423", "0"]


def test_the_thickness_over_visits_is_shown_and_saved(measured, qtbot, tmp_path, monkeypatch):
    viewer, dock = measured()
    first, panel = viewer.layers["eye"], dock.measure.visits
    shape, where = first.data.shape, {"scale": first.scale, "units": first.units}
    second = viewer.add_image(first.data[::-1].copy(), name="eye later", **where)
    ours = dock.results[0].layer
    viewer.add_labels(ours.data.copy(), name="later", features=ours.features, **where)
    for image, day, lower in ((first, "2026-03-01", 9), (second, "2026-01-31", 14)):
        heights = np.stack([np.full(shape[::2], row, np.float32) for row in (4, lower)])
        layer = dock.borders.add.add_found(Lines(("ILM", "BM"), heights), image)
        dock.measure.measures.facts_of(image).type_date(day)
    dock.measure.measures.facts_of(first).place_fovea((1.5, 17.5))
    panel.look()
    for row in range(2):
        panel.list.item(row, NAME).setCheckState(Qt.CheckState.Checked)

    def numbers() -> list[str]:
        panel.visits = []
        panel.count()
        qtbot.waitUntil(lambda: bool(panel.visits), timeout=20_000)
        rows = {panel.table.item(r, 0).text(): r for r in range(panel.table.rowCount())}
        return [panel.table.item(rows["ILM – BM, µm"], column).text() for column in (1, 2, 3)]

    assert numbers() == ["40", "20", "-20"]  # the earlier one first
    path = tmp_path / "visits.csv"
    monkeypatch.setattr(panel._saving, "ask", lambda what, suffix: path)
    panel.csv.click()
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    lines = [r for r in rows if r["structure"] == "ILM – BM" and r["region"] in ("total", "1 mm")]
    found = [(r["visit"], r["days since the first visit"], r["region"]) for r in lines]
    assert found == [
        ("2026-01-31", "0", "total"),
        ("2026-03-01", "29", "total"),
        ("2026-03-01", "29", "1 mm"),
    ]
    assert [float(r["mean height [µm]"]) for r in lines] == pytest.approx([40, 20, 20])
    assert not any("segmented" in r["remark"] for r in lines)
    panel.region.setCurrentIndex(panel.region.findData("1 mm"))
    assert [panel.table.item(panel.table.rowCount() - 1, c).text() for c in (1, 2, 3)] == [
        "–",
        "20",
        "–",
    ]
    panel.region.setCurrentIndex(0)
    borders = borders_of(layer)
    borders.put({0: borders.plane(0) + np.float32([[0], [4]])})
    panel.csv.click()
    assert "“later”: changed since the numbers" in panel.note.text()
    assert numbers() == ["44", "20", "-24"]
    qtbot.waitUntil(lambda: not panel.plot.pixmap().isNull(), timeout=30_000)
