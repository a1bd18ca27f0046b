"""Images of all kinds: what is segmented of them, and what is refused in words."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import SHAPE, segment, stack
from napari.layers import Image

from napari_spad.layers.geometry import bscan_sizes
from napari_spad.layers.image_source import open_source

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_the_bscan_on_screen_comes_first(open_dock, qtbot):
    viewer, _ = open_dock()
    layer = viewer.add_image(stack((5, 24, 36)))
    viewer.dims.set_current_step(0, 3)
    source = open_source(layer, viewer, whole_stack=True)
    assert [part.index for part in source.parts] == [(3,), (4,), (2,), (1,), (0,)]


@pytest.mark.parametrize("sizes", [5, [[9]], [["a", "b"]] * 3, [[9, 9]] * 2, [[0, 9]] * 3, "abc"])
def test_sizes_of_bscans_that_make_no_sense_are_none(sizes):
    image = Image(stack((3, 24, 36)), metadata={"bscan_sizes": sizes})
    assert bscan_sizes(image) == []
    image.metadata["bscan_sizes"] = [[9, 36], (24, 8), [24, 36]]
    assert bscan_sizes(image) == [(9, 36), (24, 8), (24, 36)]


@pytest.mark.parametrize("dtype", ["bool", "uint16", "int32", "float32", "float64"])
def test_real_pixels_of_any_type(open_dock, qtbot, dtype):
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36), dtype), name="eye")
    segment(dock, qtbot)
    assert viewer.layers["eye – SPAD"].data.any()


def test_rgb_is_converted_and_said(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((3, 24, 36, 4)), name="eye", rgb=True)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert engine.calls[-1]["rgb"]
    assert engine.calls[-1]["shape"] == (24, 36, 3)
    assert viewer.layers["eye – SPAD"].data.shape == (3, 24, 36)
    assert "grey" in dock.footer.status.text()


def test_dask_stays_lazy(open_dock, qtbot):
    dask = pytest.importorskip("dask.array")
    viewer, dock = open_dock()
    read: list[tuple[int, ...]] = []

    def record(block):
        read.append(block.shape)
        return block

    lazy = dask.from_array(stack((50, 24, 36)), chunks=(1, 24, 36)).map_blocks(
        record, dtype="uint8", meta=np.zeros((0, 0, 0), "uint8")
    )
    viewer.add_image(lazy, name="eye", contrast_limits=(0, 255))
    read.clear()
    segment(dock, qtbot)
    assert viewer.layers["eye – SPAD"].data.any()
    assert len(read) < 10


def test_leading_axes_use_the_current_point(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack((2, 3, 24, 36)), name="eye")
    viewer.dims.set_current_step(0, 1)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    filled = viewer.layers["eye – SPAD"].data.any(axis=(2, 3))
    assert filled.tolist() == [[False] * 3, [True] * 3]
    assert "leading" in dock.footer.status.text()


def test_multiscale_uses_full_resolution(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    full = stack((24, 36))
    viewer.add_image([full, full[::2, ::2]], name="eye", multiscale=True)
    segment(dock, qtbot)
    assert engine.calls[-1]["shape"] == (24, 36)
    assert "full-resolution" in dock.footer.status.text()


def test_padded_stacks_are_segmented_within_each_bscans_extent(open_dock, engine, qtbot):
    viewer, dock = open_dock()
    viewer.add_image(stack(), name="eye", metadata={"bscan_sizes": [(24, 36), (10, 30)] * 2})
    viewer.dims.set_current_step(0, 0)
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert [c["shape"] for c in engine.calls] == [(24, 36), (10, 30)] * 2
    layer = viewer.layers["eye – SPAD"]
    assert layer.data[1, :10, :30].any()
    assert not layer.data[1, 10:].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_in_words(open_dock, qtbot, bad):
    viewer, dock = open_dock()
    image = stack(dtype="float32")
    image[2, 3, 4] = bad
    viewer.add_image(image, name="eye", contrast_limits=(0, 200))
    dock.form.whole.setChecked(True)
    segment(dock, qtbot)
    assert "B-scan 2 of “eye”" in dock.footer.status.text()
    assert "nan_to_num" in dock.footer.status.text()
    assert viewer.layers["eye – SPAD"].data[:2].any()


def test_complex_and_empty_are_refused_in_words(open_dock, qtbot):
    viewer, dock = open_dock()
    image = viewer.add_image(stack(), name="eye")
    image._data = np.ones(SHAPE, complex)
    segment(dock, qtbot)
    assert "complex" in dock.footer.status.text()
    image._data = np.ones((0, 24, 36))
    with pytest.raises(ValueError, match="is empty"):
        open_source(image, viewer, whole_stack=True)
    image._data = stack()
