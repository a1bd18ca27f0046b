"""The writer of label images in a real viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES
from docked import stack

from napari_spad.desk.result import Result
from napari_spad.layers.image_source import open_source

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def test_the_viewer_saves_through_our_writer(make_napari_viewer, engine, npe2pm, tmp_path: Path):
    import tifffile
    from npe2 import PluginManifest

    import napari_spad

    manifest = PluginManifest.from_file(Path(napari_spad.__file__).with_name("napari.yaml"))
    viewer = make_napari_viewer()
    image = viewer.add_image(stack(), name="eye", scale=(0.1, 0.02, 0.02), units=("mm",) * 3)
    result = Result(viewer, open_source(image, viewer, whole_stack=True), CLASSES, "fake")
    result.layer.data[1] = 2
    with npe2pm.tmp_plugin(manifest=manifest):
        written = result.layer.save(str(tmp_path / "out.tif"), plugin="napari-spad")
    assert len(written) == 2
    assert tifffile.imread(written[0]).dtype == np.uint8
