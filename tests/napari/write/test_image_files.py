"""The writer of label images in a real viewer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import CLASSES
from docked import stack

from napari_spad.desk.result import Result
from napari_spad.layers.image_source import open_source
from spad.measuring import Scale

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
    assert (tmp_path / "out.spad.json").is_file()
    assert tifffile.imread(written[0]).dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz", ".nrrd", ".seg.nrrd"])
def test_a_name_that_leaves_no_room_for_the_sidecar_is_refused_before(tmp_path: Path, suffix):
    from napari_spad.keep.export import FORMATS, export

    form = next(one for one in FORMATS if one.suffix == suffix)
    meta = {"name": "eye", "scale": (1, 1), "metadata": {}}
    path = tmp_path / ("x" * (255 - len(suffix)) + suffix)
    if len(suffix) < len(".spad.json"):
        with pytest.raises(ValueError, match="shorten the name by"):
            export(path, form, np.zeros((4, 5), np.uint8), meta)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["网膜" * 60, "é" * 200, "x" * 300])
def test_a_layers_long_name_becomes_one_that_every_folder_takes(name):
    from napari_spad.keep.export import FORMATS, file_name

    for form in FORMATS:
        made = file_name(name, form)
        assert made.endswith(form.suffix)
        assert len(f"{made[: -len(form.suffix)]}_001_001.spad.json".encode()) <= 255


def test_a_slanted_layer_has_no_spacing_in_its_sidecar(tmp_path: Path) -> None:
    from napari_spad.write.label_layer import write_sidecar

    scale = {axis: {"mm": 0.1, "origin": "in the file"} for axis in ("bscan", "row", "column")}
    meta = {"scale": [0.1] * 3, "units": ["mm"] * 3, "metadata": {"scale": scale, "eye": "OD"}}
    for more, spacing, facts in (
        ({"rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]}, [0.1] * 3, {"scale", "eye"}),
        ({"shear": [0, 0, 0.2]}, None, {"eye"}),
    ):
        path = write_sidecar(str(tmp_path / "a.tif"), np.zeros((2, 3, 4), np.uint8), meta | more)
        told = json.loads(Path(path).read_text("utf-8"))
        assert (told["spacing_mm"], set(told["facts"])) == (spacing, facts)


def test_a_sidecar_tells_the_scale_that_the_layer_has_now(tmp_path: Path) -> None:
    """In the console a layer may get another one than its file told; napari measures with that."""
    from napari.layers import Labels

    from napari_spad.write.label_layer import write_sidecar

    told = Scale.of((0.1, 0.02, 0.02)).as_json()
    layer = Labels(
        np.zeros((2, 3, 4), np.uint8), scale=(0.1, 0.02, 0.02), units=("mm",) * 3,
        metadata={"scale": told},
    )  # fmt: skip

    def kept() -> Scale:
        path = write_sidecar(str(tmp_path / "a.tif"), layer.data, layer.as_layer_data_tuple()[1])
        return Scale.from_json(json.loads(Path(path).read_text("utf-8"))["facts"]["scale"])

    assert kept() == Scale.of((0.1, 0.02, 0.02))
    layer.scale = (0.25, 0.02, 0.01)
    assert kept().spacing_mm == (0.25, 0.02, 0.01)
    words = [length.words for length in (kept().bscan, kept().row)]
    assert words == ["derived from the layer's scale", "in the file"]
    layer.units = ("pixel", "mm", "mm")
    assert kept().spacing_mm == (None, 0.02, 0.01)


def test_a_sidecar_tells_of_padding(make_napari_viewer, engine, tmp_path: Path) -> None:
    from napari_spad.write.label_layer import write_sidecar

    viewer = make_napari_viewer()
    told = []
    for sizes in ([(24, 36), (10, 30)] * 2, [(24, 36)] * 4):
        image = viewer.add_image(stack(), metadata={"bscan_sizes": sizes})
        result = Result(viewer, open_source(image, viewer, whole_stack=True), CLASSES, "fake")
        _, meta, _ = result.layer.as_layer_data_tuple()
        path = write_sidecar(str(tmp_path / "a.tif"), result.layer.data, meta)
        told.append(json.loads(Path(path).read_text("utf-8")).get("facts", {}))
    assert told[0]["bscan_sizes"] == [[24, 36], [10, 30]] * 2
    assert "bscan_sizes" not in told[1]


def test_what_is_known_of_a_scale_is_written_where_an_axis_is_not(tmp_path: Path) -> None:
    """Millimetres within the B-scan, and no distance between B-scans."""
    import tifffile
    from PIL import Image

    from napari_spad.write.image_files import write_png, write_tiff

    meta = {"scale": [1, 0.004, 0.0125], "units": ["pixel", "mm", "mm"]}
    write_tiff(str(tmp_path / "a.tif"), np.zeros((2, 3, 4), np.uint8), meta)
    told = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    assert told["spacing_mm"] == [None, 0.004, 0.0125]
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        calibration = file.imagej_metadata
        assert file.pages[0].tags["XResolution"].value == (80, 1)
        assert file.pages[0].tags["YResolution"].value == (250, 1)
    assert (calibration["unit"], calibration["zunit"]) == ("mm", "pixel")
    assert "spacing" not in calibration
    write_png(str(tmp_path / "b.png"), np.zeros((1, 3, 4), np.uint8), meta)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["dpi"] == pytest.approx((25.4 / 0.0125, 25.4 / 0.004), abs=0.01)
    meta = {"scale": [4, 1], "units": ["um", "pixel"]}
    write_tiff(str(tmp_path / "c.tif"), np.zeros((3, 4), np.uint8), meta)
    told = json.loads((tmp_path / "c.spad.json").read_text("utf-8"))
    assert told["spacing_mm"] == [pytest.approx(0.004), None]
