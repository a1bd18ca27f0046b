"""Slice views, rendered off-screen by Slicer's own managers: the overlay lies where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from fakes import run_of
from render import SliceView
from scene import add_volume, new_scene

from spad.cases import Layout
from SPADLib.desk.views import bscan_at, go_to, isolate, overlay, place_of, show_bscan, world_of
from SPADLib.scene.bscan_layout import guess
from SPADLib.scene.result import Result
from SPADLib.scene.structures import segment_id
from SPADLib.scene.volumes import array_of, directions_of, spacing_of

SHAPE = (4, 40, 60)
OBLIQUE = np.linalg.qr(np.array([[2.0, 0.3, 0.1], [-0.2, 1.5, 0.4], [0.1, -0.5, 1.0]]))[0]


@pytest.fixture
def app():
    scene, _, app = new_scene()
    yield app
    scene.Clear(1)


def volume_of(directions=None, spacing=(2.0, 0.5, 0.25), moved=False):
    image = np.full(SHAPE, 20, np.uint8)
    image[:, :10, :15] = 250  # the upper left corner, as stored
    volume = add_volume(image, spacing=spacing, directions=directions, origin=(3, -7, 11))
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    if moved:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = OBLIQUE.T, (5, 6, -7)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        volume.SetAndObserveTransformNodeID(transform.GetID())
    return volume


CASES = {
    "as stored": {},
    "flipped": {"directions": np.diag([1.0, 1.0, -1.0])},
    "oblique": {"directions": OBLIQUE},
    "anisotropic": {"spacing": (6.0, 0.1, 0.4)},
    "under a transform": {"moved": True},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_places_go_to_the_world_and_back(app, case):
    volume = volume_of(**case)
    for code in ("k", "jTU", "iM"):
        layout = Layout.of(code)
        place = (1, 5, 3)
        assert place_of(volume, layout, world_of(volume, layout, place)) == pytest.approx(place)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_bscan_is_shown_as_the_model_sees_it_with_the_overlay_where_it_belongs(app, case):
    volume = volume_of(**case)
    layout, _ = guess(SHAPE, spacing_of(volume), directions_of(volume))
    depth, rows, columns = layout.stack(array_of(volume)).shape
    labels = np.zeros((depth, rows, columns), np.uint8)
    labels[2, 5:15, 20:40] = 1
    labels[1, 20:30, 20:40] = 2
    result = Result.create(volume, layout, run_of(labels))
    view = SliceView(slicer.mrmlScene, app)
    overlay(volume, None)
    show_bscan(view.node, volume, layout, 2)
    assert bscan_at(view.node, volume, layout) == 2
    pixels = view.pixels().astype(int)
    stack = layout.stack(array_of(volume))[2]

    def shown(row, column):
        y, x = view.at(world_of(volume, layout, (2, row, column)))
        return pixels[y, x]

    colour = np.array(result.segmentation.GetSegmentation().GetSegment(segment_id(1)).GetColor())
    inside, beside = shown(10, 30), shown(25, 30)
    assert np.ptp(inside) > 40  # tinted, and by its own colour
    assert np.argmax(inside) == np.argmax(colour)
    assert np.ptp(beside) <= 2  # grey: the structure of the neighbour does not show here
    for row, column in ((3, 5), (rows - 4, 5), (3, columns - 6), (rows - 4, columns - 6)):
        assert abs(shown(row, column).mean() - stack[row, column]) < 30
    up, left = view.at(world_of(volume, layout, (2, 0, 0)))
    down, right = view.at(world_of(volume, layout, (2, rows - 1, columns - 1)))
    assert up < down  # rows run downwards
    # Columns run to the right, unless the volume is a mirror image, which no view can turn.
    assert left < right
    view.close()


def test_a_single_bscan_of_one_slice_fills_the_view(app):
    image = np.full((1, 100, 400), 90, np.uint8)
    image[:, ::2] = 200
    volume = add_volume(image, spacing=(1.0, 0.004, 0.012))
    view = SliceView(slicer.mrmlScene, app)
    overlay(volume, None)
    show_bscan(view.node, volume, Layout(), 0)
    covered = (view.pixels().max(-1) > 20).mean(0) > 0
    assert covered.mean() > 0.9
    view.close()


def test_uncertainty_tints_where_the_samples_disagree_and_nowhere_else(app):
    volume = volume_of()
    doubt = np.zeros(SHAPE)
    doubt[2, 20:30, 20:40] = 0.3
    doubt[2, 32:36, 20:40] = 0.04  # so little is not shown
    result = Result.create(volume, Layout(), run_of(np.zeros(SHAPE, np.uint8), uncertainty=doubt))
    view = SliceView(slicer.mrmlScene, app)
    show_bscan(view.node, volume, Layout(), 2)
    overlay(volume, None)
    plain = view.pixels().astype(int)
    overlay(volume, result.uncertainty_node)
    tinted = view.pixels().astype(int)
    y, x = view.at(world_of(volume, Layout(), (2, 25, 30)))
    assert tinted[y, x, 2] - tinted[y, x, 0] > 60  # cyan
    assert tinted[y, x, 0] > 0  # and the image shows through
    changed = np.abs(tinted - plain).max(-1) > 3
    rows, columns = np.nonzero(changed)
    top, left = view.at(world_of(volume, Layout(), (2, 19.5, 19.5)))
    bottom, right = view.at(world_of(volume, Layout(), (2, 29.5, 39.5)))
    assert (rows.min(), rows.max()) == pytest.approx((top, bottom), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((left, right), abs=2)
    view.close()


def test_one_structure_is_isolated_and_all_come_back(app):
    volume = volume_of()
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 5:15, 20:40], labels[2, 25:35, 20:40] = 1, 2
    result = Result.create(volume, Layout(), run_of(labels))
    view = SliceView(slicer.mrmlScene, app)
    overlay(volume, None)
    show_bscan(view.node, volume, Layout(), 2)
    spots = [view.at(world_of(volume, Layout(), (2, row, 30))) for row in (10, 30)]

    def tinted():
        pixels = view.pixels().astype(int)
        return [bool(np.ptp(pixels[spot]) > 40) for spot in spots]

    assert tinted() == [True, True]
    isolate(result.segmentation, segment_id(2))
    assert tinted() == [False, True]
    isolate(result.segmentation, None)
    assert tinted() == [True, True]
    view.close()


def crosshair():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")


def test_going_to_a_spot_marks_it_and_shows_the_whole_bscan(app):
    volume, mark = volume_of(), crosshair()
    view = SliceView(slicer.mrmlScene, app)
    go_to(view.node, volume, Layout(), 3, (8, 50))
    assert bscan_at(view.node, volume, Layout()) == 3
    assert mark.GetCrosshairRAS() == pytest.approx(world_of(volume, Layout(), (3, 8, 50)))
    assert mark.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.ShowSmallBasic
    y, x = view.at(world_of(volume, Layout(), (3, (SHAPE[1] - 1) / 2, (SHAPE[2] - 1) / 2)))
    assert (y, x) == pytest.approx((120, 160), abs=2)
    view.close()


def test_a_view_that_is_zoomed_in_keeps_its_zoom_and_has_the_spot_in_its_middle(app):
    volume = volume_of()
    view = SliceView(slicer.mrmlScene, app)
    go_to(view.node, volume, Layout(), 1)
    wide, high, deep = view.node.GetFieldOfView()
    view.node.SetFieldOfView(wide / 4, high / 4, deep)
    go_to(view.node, volume, Layout(), 3, (8, 50))
    assert view.node.GetFieldOfView() == pytest.approx((wide / 4, high / 4, deep))
    assert bscan_at(view.node, volume, Layout()) == 3
    y, x = view.at(world_of(volume, Layout(), (3, 8, 50)))
    assert (y, x) == pytest.approx((120, 160), abs=2)
    go_to(view.node, volume, Layout(), 2)  # without a spot: the same place of the next B-scan
    y, x = view.at(world_of(volume, Layout(), (2, 8, 50)))
    assert (y, x) == pytest.approx((120, 160), abs=2)
    assert bscan_at(view.node, volume, Layout()) == 2
    view.close()
