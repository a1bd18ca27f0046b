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


def test_a_layer_in_px_beside_one_in_mm_is_fitted_when_it_becomes_active():
    viewer = ViewerModel()
    framing = Framing(viewer)
    framing.canvas = lambda: (200.0, 400.0)
    scan = viewer.add_image(np.zeros((40, 100)), scale=(0.004, 0.012), units=("mm", "mm"))
    camera(viewer).center, camera(viewer).zoom = (0.1, 0.2), 3000.0
    viewer.add_labels(np.zeros((40, 100), np.uint8), scale=scan.scale, units=scan.units)
    assert camera(viewer).zoom == 3000, "a detail of the same scan"
    viewer.add_image(np.zeros((50, 80)))
    np.testing.assert_allclose(camera(viewer).center[-2:], (24.5, 39.5))
    assert 0.9 * 200 < 50 * camera(viewer).zoom <= 200
    viewer.add_shapes(np.array([[1, 1], [2, 2]]), shape_type="rectangle")
    viewer.layers.selection.active = scan
    np.testing.assert_allclose(camera(viewer).center[-2:], (0.078, 0.594))
    assert 0.9 * 400 < 1.2 * camera(viewer).zoom <= 400


def test_without_a_canvas_it_still_goes_there(framed):
    viewer, framing, image = framed
    framing.canvas = lambda: None
    framing.go_to(image, (1,), (2, 3))
    assert viewer.dims.current_step[0] == 1
    np.testing.assert_allclose(camera(viewer).center[-2:], (2, 3))


def moved(viewer, zoom: float) -> None:
    camera(viewer).zoom = zoom


@pytest.mark.parametrize("touched", [False, True])
def test_what_was_fitted_is_fitted_again_unless_the_camera_was_moved(touched):
    viewer = ViewerModel()
    framing = Framing(viewer)
    viewer.add_image(np.zeros((40, 100)))
    viewer.reset_view()
    before = (camera(viewer).center, camera(viewer).zoom)
    framing.note_fit()
    assert (camera(viewer).center, camera(viewer).zoom) == before
    if touched:
        moved(viewer, before[1] * 1.3)
    resized(viewer, 0.5)
    framing.fit_again()
    expected = before[1] * (1.3 if touched else 0.5)
    assert camera(viewer).zoom == pytest.approx(expected, rel=0.01)


def test_a_camera_that_shows_something_else_is_left_alone():
    viewer = ViewerModel()
    framing = Framing(viewer)
    viewer.add_image(np.zeros((40, 100)))
    viewer.reset_view()
    camera(viewer).center = (*camera(viewer).center[:-1], camera(viewer).center[-1] + 1)
    zoom = camera(viewer).zoom
    framing.note_fit()
    resized(viewer, 0.5)
    framing.fit_again()
    assert camera(viewer).zoom == zoom


def test_a_demo_of_a_model_that_is_none_says_so_and_opens_nothing(capsys, tmp_path):
    import napari

    from napari_spad.demo import main

    before = napari.current_viewer()
    for name in ("oct-lesion", str(tmp_path / "none.safetensors"), str(tmp_path)):
        assert main(["--checkpoint", name]) == 2
        assert "demo: " in capsys.readouterr().err
    assert napari.current_viewer() is before


def resized(viewer, factor: float) -> None:
    where = (viewer.canvas, "size") if hasattr(viewer, "canvas") else (viewer, "_canvas_size")
    setattr(*where, tuple(round(n * factor) for n in getattr(*where)))


def test_stretched_rows_fit_the_canvas_and_the_scale_stays():
    viewer = ViewerModel()
    framing = Framing(viewer)
    framing.canvas = lambda: (200.0, 400.0)
    image = viewer.add_image(np.zeros((2, 40, 100)), scale=(1, 0.25, 1))  # 10 x 100 in the world
    viewer.reset_view()
    framing.draw_stretched(4.0)
    assert image.scale.tolist() == [1, 0.25, 1]
    # Columns at a quarter of the zoom fill 95 % of 400 pixels, and the rows let them.
    assert camera(viewer).zoom == pytest.approx(0.95 * 400 / (99 / 4))
    framing.go_to(image, (1,), (2, 3))
    np.testing.assert_allclose(camera(viewer).center[-2:], (4.875, 49.5))  # seen whole
    camera(viewer).center, camera(viewer).zoom = (2, 30), 80.0
    framing.draw_stretched(1.0)
    assert camera(viewer).zoom == 20  # the columns stay as wide
    np.testing.assert_allclose(camera(viewer).center[-2:], (2, 30))
    framing.disconnect_viewer()


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_a_bscan_gone_to_moves_no_camera_that_looks_from_another_side(framed, order):
    viewer, framing, _ = framed
    labels = viewer.add_labels(np.zeros((2, 40, 100), np.uint8))
    viewer.dims.order = order
    camera(viewer).center, camera(viewer).zoom = (0.0, 7.0, 8.0), 50.0
    framing.go_to(labels, (1,), (2, 3))
    framing.zoom_to(labels, (slice(0, 1), slice(0, 1)))
    assert viewer.dims.point[0] == 1
    assert camera(viewer).center[-2:] == (7.0, 8.0)
    assert camera(viewer).zoom == 50
