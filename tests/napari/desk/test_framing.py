"""Going to a B-scan, and framing those of stacks of several sizes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.components import ViewerModel

from napari_spad.desk.framing import Framing

SIZES = [(40, 100), (20, 30)]


@pytest.fixture
def framed():
    viewer = ViewerModel()
    framing = Framing(viewer)
    framing.canvas = lambda: (200.0, 400.0)
    image = viewer.add_image(np.zeros((2, 40, 100)), metadata={"bscan_sizes": SIZES})
    viewer.dims.set_current_step(0, 0)
    return viewer, framing, image


def camera(viewer):
    return getattr(viewer, "scene", viewer).camera


def test_a_small_bscan_of_a_padded_stack_fills_the_canvas(framed):
    viewer, _, _ = framed
    viewer.dims.set_current_step(0, 1)
    np.testing.assert_allclose(camera(viewer).center[-2:], (9.5, 14.5))
    assert 0.8 * 200 < 20 * camera(viewer).zoom <= 200
    viewer.dims.set_current_step(0, 0)
    np.testing.assert_allclose(camera(viewer).center[-2:], (19.5, 49.5))
    assert 0.8 * 400 < 100 * camera(viewer).zoom <= 400


def test_the_zoom_is_left_alone_where_sizes_agree(framed):
    viewer, _, image = framed
    image.metadata["bscan_sizes"] = [(40, 100)] * 2
    camera(viewer).zoom = 17
    viewer.dims.set_current_step(0, 1)
    assert camera(viewer).zoom == 17


def test_a_bscan_that_is_seen_whole_is_not_moved_off_by_a_pixel_of_it(framed):
    viewer, framing, _ = framed
    labels = viewer.add_labels(np.zeros((2, 40, 100), np.uint8))
    framing.go_to(labels, (1,), (2, 3))
    assert viewer.dims.current_step[0] == 1
    np.testing.assert_allclose(camera(viewer).center[-2:], (9.5, 14.5))
    camera(viewer).zoom *= 4
    framing.go_to(labels, (1,), (2, 3))
    np.testing.assert_allclose(camera(viewer).center[-2:], (2, 3))


def test_without_a_canvas_it_still_goes_there(framed):
    viewer, framing, image = framed
    framing.canvas = lambda: None
    framing.go_to(image, (1,), (2, 3))
    assert viewer.dims.current_step[0] == 1
    np.testing.assert_allclose(camera(viewer).center[-2:], (2, 3))
