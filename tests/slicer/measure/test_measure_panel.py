"""The section Measure: the engine's numbers follow edits and the fovea's point; and its words."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import slicer
import standin
import vtk
from driving import said, settle
from fakes import FakeEngine, paint, run_of
from scene import add_volume

import spad
from spad.annotation import check_sum
from spad.cases import Layout
from SPADLib.batch import segment

pytestmark = pytest.mark.gui
SPACING = (0.2, 0.004, 0.01)


@pytest.fixture
def section(panel, panel_volume, panel_result):
    panel.measure.section.setProperty("collapsed", False)
    settle(panel)
    return panel.measure


def cell(section, row, column):
    return section.table.item(row, column).text()


def wait(panel):
    settle(panel)
    standin.process_events(0.2)


def test_numbers_are_the_engine_s_and_follow_an_edit(panel, panel_result, section):
    (srf, irf, _) = spad.measure(panel_result.labels(), panel_result.classes, SPACING)
    assert cell(section, 0, 0) == "SRF"
    assert cell(section, 0, 1).startswith(f"{srf.volume_nl:.3g} (")
    assert cell(section, 0, 5) == f"{srf.largest_area_mm2:.3g}"
    assert (cell(section, 1, 1)[:2], cell(section, 1, 7)) == ("0 ", "0")
    assert irf.parts == 0
    assert "10 × 4 µm, B-scans 200 µm, derived from the volume's spacing" in section.label.text()
    assert "research use only" in section.label.text()
    paint(panel_result, 2, slice(0, 3), slice(0, 5), 2)
    settle(panel)
    assert cell(section, 1, 1).startswith(f"{15 * 0.2 * 0.004 * 0.01 * 1000:.3g}")
    section.table.cellClicked.emit(1, 0)
    assert panel.desk.bscan() == 2
    assert "largest in B-scan 3" in said(panel)
    section.table.cellClicked.emit(2, 0)  # an empty one
    assert "PED is in no B-scan" in said(panel)


def test_volumes_of_a_part_of_the_volume_are_said_to_be_that(panel_result, section, monkeypatch):
    monkeypatch.setattr(type(panel_result), "segmented", property(lambda _: {0, 1}))
    told = section.measures.remarks()[0]
    assert told == "only 2 of 4 B-scans are segmented: the volumes are of these"


def test_the_range_is_of_the_samples_that_stand_and_what_is_by_hand_is_certain(scene):
    from SPADLib.measure.result_measures import ResultMeasures
    from SPADLib.scene import REVIEW, Result

    shape = (3, 20, 30)
    volume = add_volume(np.zeros(shape, np.uint8), spacing=SPACING, name="OCT")
    labels = np.zeros(shape, np.uint8)
    labels[:, 5:10, 5:10] = 1
    result = Result.create(volume, Layout(), run_of(labels, samples=[labels * 0]))
    measures = ResultMeasures(result)

    def pixels():
        measures.refresh()
        one = measures.rows()[0]
        nl = SPACING[0] * SPACING[1] * SPACING[2] * 1000
        return [round(n / nl) for n in (one.low_nl, one.volume_nl, one.high_nl)]

    assert pixels() == [0, 75, 75]
    paint(result, 1, slice(12, 14), slice(0, 10), 1)  # no sample has it
    assert pixels() == [20, 95, 95]
    entry = ["accepted", check_sum(result.labels()[0])]
    result.segmentation.SetAttribute(REVIEW, json.dumps({"0": entry}))
    assert pixels() == [45, 95, 95]
    again = np.zeros(shape, np.uint8)[2:]
    result.take(run_of(again, samples=[again + 1]), 2)
    assert pixels() == [70, 70, 645]
    result.take(run_of(again), 2)  # of another number of samples
    assert pixels() == [70, 70, 70]
    result.samples.pop(1)
    measures.refresh()
    assert measures.rows()[0].low_nl is None


@pytest.mark.parametrize("inverted", [False, True])
def test_the_pit_is_looked_for_in_the_volume_as_it_is_shown(panel_result, monkeypatch, inverted):
    from SPADLib.measure import fovea_node

    asked = []
    monkeypatch.setattr(fovea_node, "propose_fovea", lambda *_, **how: asked.append(how))
    monkeypatch.setattr("SPADLib.scene.image_source._is_inverted", lambda _: inverted)
    assert fovea_node.proposed(panel_result, SPACING) is None
    assert asked == [{"inverted": inverted}]


def test_the_grid_follows_the_fovea_s_point_and_the_eye(panel, panel_result, section):
    assert cell(section, 0, 2) == ""
    section.fovea.click()
    assert "middle of the scan, for no pit is seen" in said(panel)
    assert cell(section, 0, 2) != ""
    assert "choose OD or OS" in section.label.text()
    section.eye.setCurrentIndex(1)
    assert "choose OD or OS" not in section.label.text()
    from SPADLib.scene import fovea_of, place_fovea

    assert place_fovea(panel_result) == pytest.approx((1.5, 15.5))
    node = fovea_of(panel_result)
    ras = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, ras)
    node.SetNthControlPointPositionWorld(0, *(np.array(ras) + 50))
    wait(panel)
    assert "outside the scan of 4 B-scans of 32 columns" in section.label.text()
    assert cell(section, 0, 2) == ""
    assert {one.region for one in section.measures.rows()} == {"total"}  # none of the last place
    section.fovea.click()
    assert cell(section, 0, 2) != ""
    for lose in (node.RemoveAllControlPoints, lambda: slicer.mrmlScene.RemoveNode(node)):
        lose()
        wait(panel)
        assert cell(section, 0, 2) == ""
        section.fovea.click()
        assert cell(section, 0, 2) != ""
    section.to_table.click()
    table = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTableNode").GetTable()
    regions = [table.GetValueByName(n, "region").ToString() for n in range(13)]
    assert regions == [
        "total",
        "1 mm",
        "3 mm",
        "6 mm",
        "C1",
        *(s + r for r in "36" for s in "SNIT"),
    ]
    assert table.GetColumnName(4) == "volume [nL]"


def test_the_same_goes_to_a_file(panel, section, tmp_path):
    standin.dialogs.answer("save file", str(tmp_path / "m.csv"))
    section.to_csv.click()
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text("utf-8-sig").splitlines()))
    assert [r["structure"] for r in rows] == ["SRF", "IRF", "PED"]
    assert rows[0]["scale"].endswith("spacing in Slicer")
    assert float(rows[0]["volume [nL]"]) > 0


def test_a_map_seen_from_above_follows_edits_and_lies_where_the_scan_does(
    panel, panel_volume, panel_result, section
):
    from SPADLib.desk.views import world_of
    from SPADLib.measure.map_node import FLAT

    section.table.cellClicked.emit(1, 0)  # IRF, which is nowhere yet
    section.to_map.click()
    node = panel_result.segmentation.GetNodeReference("SPAD.map")
    assert "The height of IRF in µm is the volume" in said(panel)
    assert slicer.util.arrayFromVolume(node).shape == (1, 4, 32)
    assert not slicer.util.arrayFromVolume(node).any()
    paint(panel_result, 2, slice(0, 3), slice(0, 5), 2)
    settle(panel)
    heights = slicer.util.arrayFromVolume(node)
    np.testing.assert_allclose(heights[0, 2, :5], 3 * 0.004 * 1000, rtol=1e-5)
    assert np.count_nonzero(heights) == 5
    rows = panel_result.labels().shape[1]
    there = world_of(panel_volume, panel_result.layout, (2, (rows - 1) / 2, 4))
    # The map's rows are B-scans, the first one below.
    np.testing.assert_allclose(world_of(node, FLAT, (0, 4 - 1 - 2, 4)), there, atol=1e-6)


def test_the_page_is_written_or_what_it_lacks_is_said(panel, section, tmp_path, monkeypatch):
    import sys

    path = tmp_path / "page.pdf"
    standin.dialogs.answer("save file", str(path))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    section.to_pdf.click()
    assert "slicer.util.pip_install('matplotlib')" in said(panel)
    assert not path.exists()
    monkeypatch.undo()
    pytest.importorskip("matplotlib")
    standin.dialogs.answer("save file", str(path))
    section.to_pdf.click()
    assert path.read_bytes().startswith(b"%PDF")


def test_a_closed_section_measures_nothing(panel, panel_result, section):
    panel.measure.section.setProperty("collapsed", True)
    assert section.measures is None
    assert section.table.rowCount() == 0


def test_a_slanted_grid_is_refused_and_an_oblique_one_is_right(scene, tmp_path):
    from SPADLib.scene import scale_of

    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert scale_of(made(tmp_path, directions=turned)).spacing_mm == pytest.approx(SPACING)
    turned[:, 2] += 0.1 * turned[:, 0]
    with pytest.raises(ValueError, match="sheared or bent"):
        scale_of(made(tmp_path, directions=turned))


def made(tmp_path, shape=(4, 24, 32), spacing=SPACING, **more):
    engine = FakeEngine(tmp_path)
    volume = add_volume(np.zeros(shape, np.uint8), spacing=spacing, **more)
    return segment(volume, engine.checkpoint, engine=engine, layout=Layout())


def test_a_single_bscan_and_a_wrong_scale_have_their_words(scene, tmp_path):
    from SPADLib.measure.result_measures import ResultMeasures

    single = ResultMeasures(made(tmp_path, shape=(1, 24, 32)))
    assert single.remarks()[0] == "one single B-scan: areas and heights, but no volume"
    assert {m.volume_nl for m in single.rows()} == {None}
    wrong = ResultMeasures(made(tmp_path, spacing=(0.2, 4.0, 10.0)))
    assert "in OCT they are 0.5 to 50 µm apart" in wrong.remarks()[0]


def test_what_has_no_true_size_is_said(panel, panel_volume, panel_result):
    from SPADLib.scene import scale_of

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 0, 2)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    panel_volume.SetAndObserveTransformNodeID(transform.GetID())
    twice = np.array(scale_of(panel_result).spacing_mm) / SPACING  # one axis is stretched
    assert sorted(twice.round(6)) == [1, 1, 2]
    matrix.SetElement(0, 1, 0.5)
    matrix.SetElement(0, 2, 0.5)
    transform.SetMatrixTransformToParent(matrix)
    with pytest.raises(ValueError, match="sheared or bent"):
        scale_of(panel_result)
    panel_volume.SetAndObserveTransformNodeID(None)
    panel_volume.SetSpacing(1, 1, 1)
    with pytest.raises(ValueError, match="Image Spacing"):
        scale_of(panel_result)


def test_what_was_sheared_for_a_while_is_measured_again(panel, panel_volume, panel_result, section):
    before = [one.volume_nl for one in section._rows]
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 1, 0.5)
    node.SetMatrixTransformToParent(matrix)
    panel_volume.SetAndObserveTransformNodeID(node.GetID())
    settle(panel)
    assert "sheared or bent" in section.label.text()
    assert not section._rows
    panel_volume.SetAndObserveTransformNodeID(None)
    settle(panel)
    assert [one.volume_nl for one in section._rows] == pytest.approx(before)
