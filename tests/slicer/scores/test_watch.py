"""A watch hears edits of a result and of its reference, and nothing else."""

from __future__ import annotations

import slicer
from fakes import paint, run_of
from references import (
    label_map,
)

from spad.cases import Layout
from SPADLib.scene.result import Result
from SPADLib.scene.watch import Watch


def test_a_watch_hears_edits_of_both_and_nothing_else(result, volume, truth, scene):
    node, heard = label_map(truth), []
    watch = Watch(result.segmentation, node, lambda: heard.append(1))

    def hears(edit):
        heard.clear()
        edit()
        return bool(heard)

    inner = result.segmentation.GetSegmentation()
    assert hears(lambda: paint(result, 0, slice(0, 2), slice(0, 2), 1))
    assert hears(lambda: slicer.util.arrayFromVolumeModified(node))
    assert hears(lambda: inner.AddEmptySegment("own"))
    assert hears(lambda: inner.RemoveSegment("own"))
    assert not hears(lambda: node.GetDisplayNode().Modified())
    assert not hears(lambda: result.segmentation.GetDisplayNode().SetOpacity(0.3))
    assert not hears(lambda: node.SetAttribute("a", "b"))
    watch.stop()
    watch.stop()
    assert not hears(lambda: paint(result, 0, slice(0, 2), slice(0, 2), 2))


def test_a_watch_hears_a_reference_that_is_a_segmentation(result, volume, truth):
    other = Result.create(volume, Layout(), run_of(truth))
    heard = []
    watch = Watch(result.segmentation, other.segmentation, lambda: heard.append(1))
    paint(other, 0, slice(0, 2), slice(0, 2), 1)
    assert heard
    watch.stop()


def test_a_watch_outlives_its_nodes(result, volume, truth, scene):
    node = label_map(truth)
    watch = Watch(result.segmentation, node, lambda: None)
    scene.RemoveNode(node)
    scene.RemoveNode(result.segmentation)
    del node
    watch.stop()
    Watch(result.segmentation, None, lambda: None).stop()
