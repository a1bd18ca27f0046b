"""Slicer reads a volume with left-handed axes with its slices in the reverse order: who follows."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from driving import SHAPE
from fakes import image_sha256, run_of
from scene import add_volume, save_scene

from spad.borders import Lines
from spad.cases import Layout

MIRRORED = np.diag([-1.0, 1.0, 1.0])
IMAGE = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)


def again(folder):
    """Save the scene, and read it."""
    slicer.mrmlScene.SetURL(str(save_scene(slicer.mrmlScene, folder)))
    slicer.mrmlScene.Connect()
    return slicer.mrmlScene.GetFirstNodeByName("OCT")


def opened(engine):
    import standin

    import SPAD

    return standin.open_module(SPAD)


@pytest.mark.gui
def test_a_result_is_whole_where_the_scene_was_loaded_before_the_module_was_opened(
    app, panel_engine, panel_worker, labels, tmp_path
):
    from SPADLib.scene import Result, results

    volume = add_volume(IMAGE, spacing=(0.2, 0.004, 0.01), directions=MIRRORED, name="OCT")
    Result.create(volume, Layout(), run_of(labels, image_sha256=image_sha256(IMAGE, False)))
    again(tmp_path)
    panel = opened(panel_engine)
    (result,) = results(slicer.mrmlScene)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(result.volume), IMAGE)
    np.testing.assert_array_equal(result.labels(), labels)
    assert not result.by_hand().any()
    panel.cleanup()


@pytest.mark.gui
@pytest.mark.parametrize("code", ["k", "jM"])
def test_lines_and_a_chosen_layout_stay_those_of_a_volume_without_a_result(
    app, panel_engine, panel_worker, tmp_path, code
):
    from SPADLib.lines.line_set import LineSet, line_sets

    panel, layout = opened(panel_engine), Layout.of(code)
    volume = add_volume(IMAGE, spacing=(0.2, 0.004, 0.01), directions=MIRRORED, name="OCT")
    stack = layout.stack(IMAGE).copy()
    if code == "k":
        heights = np.arange(len(stack), dtype=np.float32)[None, :, None] + np.zeros((1, 1, 32))
        LineSet.create(volume, layout, Lines(("ILM",), heights.astype(np.float32)), "lines")
    else:  # rows run along the axis that is turned round
        panel.desk.set_layout(volume, layout)
    back = again(tmp_path)
    assert panel.desk.layout(back)[0] == layout or code == "k"
    np.testing.assert_array_equal(layout.stack(slicer.util.arrayFromVolume(back)), stack)
    for lines in line_sets(back, 0):
        np.testing.assert_array_equal(lines.heights[0, :, 0], range(len(stack)))
    panel.cleanup()
