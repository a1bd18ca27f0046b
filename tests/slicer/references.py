"""References to compare a result with, and what the engine says of both."""

from __future__ import annotations

import math

import numpy as np
import pytest
import slicer
from fakes import CLASSES
from scene import add_volume

from spad.checkpoint.labels import IGNORE
from spad.metrics import confusion_matrix, hd95, structure_scores
from SPADLib.scene.segments import write_segments
from SPADLib.scores.live_scores import LiveScores
from SPADLib.scores.reference_on_grid import Reference

SHAPE = (4, 24, 32)
SPACING = (0.2, 0.004, 0.01)
LABEL_MAP = "vtkMRMLLabelMapVolumeNode"


def label_map(array, **placed):
    return add_volume(array, **{"spacing": SPACING, "name": "truth", "kind": LABEL_MAP, **placed})


def name_values(node, names):
    """Give a label map a colour table of its own, as an annotator's program does."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "names")
    table.SetTypeToUser()
    table.SetNumberOfColors(max(names) + 1)
    for value, name in names.items():
        table.SetColor(value, name, 1, 0, 0, 1)
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())


def segmentation(volume, labels, names, name="reader 2"):
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    made = []
    for value, text in names.items():
        segment = slicer.vtkSegment()
        segment.SetName(text)
        segment.SetLabelValue(value)
        made.append((f"S{value}", segment))
    write_segments(node, labels, made, volume)
    return node


def compare(result, node, **options):
    return LiveScores(result, Reference.of(node, result), **options)


def count(comparison):
    for _ in comparison.distances():
        pass
    return comparison.rows()


def assert_as_counted_at_once(comparison, ours, theirs):
    """Rows equal what the engine says of the whole arrays."""
    wanted = structure_scores(confusion_matrix(ours, theirs, len(CLASSES)), CLASSES)
    rows = count(comparison)
    for row, score in zip(rows[:-1], wanted, strict=True):
        np.testing.assert_equal((row.dice, row.iou), (score.dice, score.iou))
        pixel = math.prod(comparison.result.spacing_mm)
        assert row.size == pytest.approx(score.predicted_pixels * pixel)
        assert row.reference_size == pytest.approx(score.reference_pixels * pixel)
        masks = (ours == score.value) & (theirs != IGNORE), theirs == score.value
        np.testing.assert_equal(row.hd95, hd95(*masks, comparison.result.spacing_mm))
