"""Scores as a table of the scene, and as a CSV file."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import slicer
from fakes import run_of
from references import (
    SHAPE,
    SPACING,
    compare,
    count,
    label_map,
)
from scene import add_volume, save_scene

from spad.cases import Layout
from spad.metrics import hd95
from SPADLib.scene.result import Result
from SPADLib.scores.spreadsheet import to_csv, to_table


def cells(table):
    names = [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]
    return {
        name: [table.GetTable().GetColumn(c).GetValue(r) for r in range(table.GetNumberOfRows())]
        for c, name in enumerate(names)
    }


def test_the_table_has_words_where_there_is_no_number_and_one_node_a_result(
    result, volume, labels, scene
):
    theirs = np.where(labels == 1, 1, 0).astype(np.uint8)
    comparison = compare(result, label_map(theirs))
    table = to_table(comparison)
    shown = cells(table)
    assert shown["structure"] == ["SRF", "IRF", "PED", "mean (of sizes: sum)"]
    assert shown["remark"] == ["", "invented", "absent in both", "of 2 structures"]
    assert shown["Dice"] == ["1.000", "0.000", "absent in both", "0.500"]
    assert shown["HD95 (mm)"] == ["not counted yet", "invented", "absent in both", ""]
    assert shown["worst B-scan"] == ["2", "3", "", ""]
    pixel = math.prod(SPACING)
    sizes = [(labels == v).sum() * pixel for v in (1, 2, 3)]
    assert shown["volume (mm³)"] == pytest.approx([*sizes, sum(sizes)])
    assert not any("nan" in str(value) for column in shown.values() for value in column)
    count(comparison)
    comparison.spacing_trusted = False
    count(comparison)
    again = to_table(comparison)
    assert again is table
    assert cells(table)["HD95 (px)"][0] == "0.0"
    assert cells(table)["pixels"][0] == (labels == 1).sum()
    assert "truth" in table.GetDescription()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parents = [hierarchy.GetItemParent(hierarchy.GetItemByDataNode(n)) for n in (table, volume)]
    assert parents[0] == parents[1]


def test_the_table_is_the_same_after_saving_and_loading_the_scene(result, truth, scene, tmp_path):
    comparison = compare(result, label_map(truth))
    count(comparison)
    table = to_table(comparison)
    wanted = cells(table)
    file = save_scene(scene, tmp_path)
    again = slicer.vtkMRMLScene()
    again.SetURL(str(file))
    assert again.Connect()
    found = again.GetFirstNodeByName(table.GetName())
    loaded = cells(found)
    assert list(loaded) == list(wanted)
    for name, column in wanted.items():
        assert loaded[name] == (pytest.approx(column) if "volume" in name else column)
    result = Result.of(again.GetFirstNodeByClass("vtkMRMLSegmentationNode"))
    node = again.GetFirstNodeByName("truth")
    assert to_table(compare(result, node)) is found


def test_a_csv_has_every_bscan_and_the_engines_numbers(result, labels, truth, tmp_path):
    path = tmp_path / "scores.csv"
    comparison = compare(result, label_map(truth))
    to_csv(comparison, path)
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert [r["bscan_from_1"] for r in rows[::4]] == ["1", "2", "3", "4", "all"]
    (srf,) = (r for r in rows if (r["bscan_from_1"], r["structure"]) == ("all", "SRF"))
    assert srf["reference"] == "truth"
    assert float(srf["hd95"]) == pytest.approx(hd95(labels == 1, truth == 1, SPACING), rel=1e-5)
    assert float(srf["dice"]) == pytest.approx(comparison.rows()[0].dice, rel=1e-5)
    assert (srf["hd95_unit"], srf["size_unit"]) == ("mm", "mm3")


def test_a_csv_of_one_bscan_or_of_an_assumed_spacing_has_true_units(scene, labels, tmp_path):
    volume = add_volume(np.zeros((1, *SHAPE[1:]), np.uint8), spacing=SPACING)
    result = Result.create(volume, Layout(), run_of(labels[1:2]))
    node = label_map(labels[1:2])
    for trusted, units in ((True, ("mm", "mm2")), (False, ("px", "px"))):
        to_csv(compare(result, node, spacing_trusted=trusted), tmp_path / "s.csv")
        row = next(csv.DictReader((tmp_path / "s.csv").read_text("utf-8-sig").splitlines()))
        assert (row["hd95_unit"], row["size_unit"]) == units
