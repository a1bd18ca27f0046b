"""Visits of one eye in the window “Visits”: days, volumes, two scans laid on each other."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("matplotlib")

from measuring import BAND, PIXEL_NL
from qtpy.QtCore import Qt

from napari_spad.measure.visits_panel import DAY, NAME
from napari_spad.scale import Facts, KeptFacts, source_of

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def second_visit(viewer, first, columns: int = 18):
    """Another stack of the same size, whose labels have half the width."""
    where = {"scale": first.scale, "units": first.units}
    image = viewer.add_image(np.ascontiguousarray(first.data[::-1]), name="eye later", **where)
    ours = next(la for la in viewer.layers if "spad" in la.metadata and hasattr(la, "contour"))
    labels = np.asarray(ours.data).copy()
    labels[..., columns:] = 0
    return image, viewer.add_labels(
        labels, name="later", features=ours.features, colormap=ours.colormap, **where
    )


def test_what_is_said_of_one_visit_is_not_said_of_another(tmp_path):
    from napari.components import ViewerModel

    viewer, grid = ViewerModel(), {"scale": (0.25, 0.004, 0.0125), "units": ("mm",) * 3}
    layers = []
    for seed in (0, 1):
        pixels = np.random.default_rng(seed).integers(0, 200, (3, 8, 9), np.uint8)
        layers.append(viewer.add_image(pixels, **grid))
        layers.append(viewer.add_labels(np.zeros_like(pixels), **grid))
    first, labels, second, others = layers
    aid = viewer.add_image(np.zeros((3, 8, 9)), metadata={"spad": {}}, **grid)
    assert [source_of(la, viewer.layers) for la in (labels, second, others, aid)] == [
        first, second, second, second,
    ]  # fmt: skip
    facts = Facts(second, viewer, KeptFacts(tmp_path / "images.json", print), lambda: None)
    facts.choose_eye("OS")
    facts.place_fovea((1.0, 2.0))
    facts.type_date("2026-03-01")
    facts.type_scale({"bscan": 0.5})
    assert (others.metadata["eye"], others.scale[0]) == ("OS", 0.5)
    for layer in (first, labels):
        assert not {"eye", "fovea", "date"} & set(layer.metadata)
        assert layer.scale[0] == 0.25


def test_moved_labels_keep_to_their_own_visit(measured):
    viewer, dock = measured()
    first = viewer.layers["eye"]
    where = {"scale": first.scale, "units": first.units}
    second = viewer.add_image(first.data[::-1].copy(), name="eye later", **where)
    (result,) = dock.results
    ours = (result.layer, result.uncertainty, result.by_hand)
    measures = dock.measure.measures
    for renamed in (False, True):
        if renamed:
            first.name = "baseline"
        for layer in ours:
            viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
        measures.facts_of(second).type_scale({"row": 0.008 + 0.001 * renamed})
        measures.facts_of(second).choose_eye("OS")
        assert second.scale[1] == 0.008 + 0.001 * renamed
        assert not any("eye" in layer.metadata for layer in ours)
        assert {layer.scale[1] for layer in ours} == {0.004}
        measures.facts_of(second).type_scale({"row": 0.004})  # both are on one grid again
    opened = viewer.add_labels(result.layer.data, metadata={"spad": {"image": "baseline"}}, **where)
    assert source_of(opened, viewer.layers) is first
    viewer.layers.remove(first)
    measures.facts_of(second).choose_eye("OD")
    assert not any("eye" in layer.metadata for layer in ours), "nor where its image is gone"


def test_volumes_over_visits_as_table_plot_and_files(measured, qtbot, tmp_path, monkeypatch):
    viewer, dock = measured()
    first = viewer.layers["eye"]
    first.metadata["date"] = "2026-01-31"
    _, labels = second_visit(viewer, first)
    dock.measure.open_visits.click()
    panel = dock.measure.visits
    assert [panel.list.item(n, DAY).text() for n in range(2)] == ["2026-01-31", ""]
    later = [stack.layer for stack in panel.stacks].index(labels)
    panel.count()
    assert "1 stack is ticked" in panel.note.text()
    panel.list.item(later, NAME).setCheckState(Qt.CheckState.Checked)
    panel.list.item(later, DAY).setText("1.3.2026")
    assert "is no day; write it as" in panel.note.text()
    assert panel.list.item(later, DAY).text() == ""
    panel.list.item(later, DAY).setText("2026-03-01")
    panel.count()
    qtbot.waitUntil(lambda: bool(panel.visits), timeout=20_000)
    table = panel.table
    found = {table.item(r, 0).text(): r for r in range(table.rowCount())}
    whole = 4 * BAND * PIXEL_NL
    row = found["SRF"]
    assert float(table.item(row, 1).text()) == pytest.approx(whole, rel=0.01)
    assert float(table.item(row, 2).text()) == pytest.approx(whole / 2, rel=0.01)
    assert float(table.item(row, 3).text()) == pytest.approx(-whole / 2, rel=0.01)
    qtbot.waitUntil(lambda: not panel.plot.pixmap().isNull(), timeout=30_000)
    path = tmp_path / "visits.csv"
    monkeypatch.setattr(panel._saving, "ask", lambda what, suffix: path)
    panel.csv.click()
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert {r["days since the first visit"] for r in rows} == {"0", "29"}
    # It is known again when the file is opened another time.
    assert dock.measure.measures.kept.of(panel.stacks[later].facts._key)["date"] == "2026-03-01"


def test_a_visit_that_is_segmented_in_part_is_said_to_be_that(measured, qtbot):
    viewer, dock = measured()
    second_visit(viewer, viewer.layers["eye"])
    result = dock.results[0].layer
    noted = result.metadata["spad"]
    result.metadata["spad"] = noted | {"provenance": noted["provenance"][:1]}
    panel = dock.measure.visits
    panel.look()
    for row in range(2):
        panel.list.item(row, NAME).setCheckState(Qt.CheckState.Checked)
    panel.count()
    qtbot.waitUntil(lambda: bool(panel.visits), timeout=20_000)
    said = "only 1 of 4 B-scans is segmented: the volumes are of it"
    assert f"“{result.name}”: {said}" in panel.note.text()
    assert {v.name: said in v.remarks for v in panel.visits} == {result.name: True, "later": False}
    qtbot.waitUntil(lambda: not panel.plot.pixmap().isNull(), timeout=30_000)


def test_numbers_of_before_an_edit_are_said_to_be_old_and_not_saved(
    measured, qtbot, tmp_path, monkeypatch
):
    viewer, dock = measured()
    _, labels = second_visit(viewer, viewer.layers["eye"])
    panel = dock.measure.visits
    panel.look()
    path = tmp_path / "visits.csv"
    monkeypatch.setattr(panel._saving, "ask", lambda what, suffix: path)
    facts = panel.stacks[[stack.layer for stack in panel.stacks].index(labels)].facts

    def measure() -> float:
        panel.visits = []
        for row in range(2):
            panel.list.item(row, NAME).setCheckState(Qt.CheckState.Checked)
        panel.count()
        qtbot.waitUntil(lambda: bool(panel.visits), timeout=20_000)
        return next(v for v in panel.visits if v.name == "later").at("SRF").volume_nl

    before = measure()
    for change in (
        lambda: labels.data_setitem(np.nonzero(labels.data == 1), 0),
        lambda: facts.choose_eye("OD"),
    ):
        change()
        panel.csv.click()
        assert "“later”: changed since the numbers; press Measure" in panel.note.text()
        assert not path.exists()
        after = measure()
    assert before > 0 == after
    panel.csv.click()
    assert path.exists()
    qtbot.waitUntil(lambda: not panel.plot.pixmap().isNull(), timeout=30_000)


def test_two_visits_are_laid_on_each_other_and_a_counterpart_is_shown(open_dock, qtbot):
    viewer, dock = open_dock()
    rng = np.random.default_rng(0)
    from scipy import ndimage

    eye = ndimage.gaussian_filter(rng.normal(size=(60, 300)), (2, 6)) * 600
    for name, z, x in (("one", 10, 40), ("two", 6, 60)):
        seen = eye[z : z + 40, x : x + 200]
        image = np.repeat((128 + np.clip(seen, -120, 120))[:, None], 12, 1).astype(np.uint8)
        where = {"scale": (0.06, 0.004, 0.0125), "units": ("mm",) * 3}
        viewer.add_image(image, name=name, **where)
        viewer.add_labels(np.ones(image.shape, np.uint8), name=f"labels {name}", **where)
    panel = dock.measure.visits
    panel.look()
    panel.lay_on_each_other()
    qtbot.waitUntil(lambda: panel.alignment is not None, timeout=20_000)
    assert panel.alignment.found
    # B-scan 20 of the first lies four further in the second, 20 columns to the left.
    np.testing.assert_allclose(panel.alignment.counterpart(20, 100), (24, 80), atol=0.6)
    panel._on_board(20, 100 / 199)
    assert "B-scan 20, column 100; at the other visit B-scan 2" in panel.note.text()
    assert viewer.dims.current_step[0] == 20
    panel._on_counterpart()
    assert viewer.dims.current_step[0] == 24
    assert (viewer.layers["one"].visible, viewer.layers["two"].visible) == (False, True)
    panel._on_counterpart()
    assert viewer.dims.current_step[0] == 20
    assert viewer.layers["one"].visible
    viewer.layers.remove("two")
    for ask in (panel._on_counterpart, lambda: panel._on_board(3, 0.5)):
        ask()
        assert "“labels two”: it or its image is not in the viewer any more" in panel.note.text()
        assert viewer.layers["one"].visible, "not an empty canvas"
        assert viewer.dims.current_step[0] == 20


def test_limits_of_agreement_are_drawn(measured, qtbot):
    viewer, dock = measured()
    layer = dock.results[0].layer
    reference = np.asarray(layer.data).copy()
    reference[:2, :, 30:] = 0
    viewer.add_labels(
        reference, name="reader 2", features=layer.features, scale=layer.scale, units=layer.units
    )
    panel = dock.measure
    assert panel.plot.isHidden()
    panel.shown.setCurrentIndex(panel.shown.findData("against"))
    qtbot.waitUntil(lambda: panel.measures.reference is not None, timeout=10_000)
    panel.refresh()
    assert panel.plot.isEnabled()
    panel.plot.click()
    view = panel.agreement.view
    qtbot.waitUntil(lambda: not view.pixmap().isNull(), timeout=30_000)
    assert "reader 2" in panel.agreement.windowTitle()
