"""Manifest, sample data, writers, folders: what needs neither a display nor a model."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

import tifffile
from napari.layers import Labels, Layer
from npe2 import PluginManifest
from PIL import Image as Picture

import napari_spad
from napari_spad.layers.reference_layer import outline
from napari_spad.layers.structures import colormap, structure_names
from napari_spad.read.folder import folder_stack
from napari_spad.read.phantom_sample import phantom_stack
from napari_spad.write.image_files import write_png, write_tiff
from spad.checkpoint.card import NOTICE
from spad.checkpoint.labels import label_classes

MANIFEST = Path(napari_spad.__file__).with_name("napari.yaml")
CLASSES = label_classes(("background", "SRF", "IRF", "PED"))


def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_manifest_bears_the_name_of_the_distribution():
    assert manifest().name == "napari-spad"
    assert (Path(__file__).parents[2] / "napari.yaml").resolve() == MANIFEST.resolve()


@pytest.mark.parametrize("command", manifest().contributions.commands, ids=lambda c: c.id)
def test_every_command_can_be_imported(command):
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_importing_the_package_loads_neither_torch_nor_napari_nor_qt():
    code = (
        "import sys, napari_spad; "
        "print([m for m in ('torch', 'napari', 'qtpy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_dock_does_not_load_torch():
    code = "import sys, napari_spad.dock; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_sample_is_an_image_with_its_reference_in_mm():
    image, reference = (Layer.create(*data) for data in phantom_stack())
    assert image.data.shape == reference.data.shape == (16, 496, 768)
    np.testing.assert_allclose(image.scale, reference.scale)
    assert {str(u) for u in image.units} == {"millimeter"}
    assert structure_names(reference)[1] == "SRF"
    outline(reference)
    assert reference.contour == 1


def result(data: np.ndarray) -> tuple[np.ndarray, dict]:
    """Give what napari gives to a writer."""
    layer = Labels(
        data,
        name="scan – SPAD",
        scale=(0.12, 0.004, 0.011)[-data.ndim :],
        units=("mm",) * data.ndim,
        colormap=colormap(CLASSES),
        metadata={
            "spad": {
                "classes": [c.as_json() for c in CLASSES],
                "provenance": [{"bscan": [0], "seed": 7}],
                "notice": NOTICE,
            }
        },
    )
    data, meta, kind = layer.as_layer_data_tuple()
    assert kind == "labels"
    return data, meta


@pytest.mark.parametrize("shape", [(5, 20, 30), (20, 30)])
def test_tiff_keeps_values_type_scale_colours_and_provenance(tmp_path: Path, shape):
    data = np.random.default_rng(0).integers(0, 4, shape, np.uint8)
    path = tmp_path / "a.tif"
    written = write_tiff(str(path), *result(data))
    assert sorted(written) == sorted(map(str, tmp_path.iterdir()))
    with tifffile.TiffFile(path) as file:
        back = file.asarray()
        assert file.imagej_metadata["unit"] == "mm"
        if len(shape) == 3:
            assert file.imagej_metadata["spacing"] == pytest.approx(0.12)
        colors = np.reshape(file.imagej_metadata["LUTs"], (3, 256))
        np.testing.assert_array_equal(colors[:, 1], CLASSES[1].color)
        across, down = (file.pages[0].tags[t].value for t in ("XResolution", "YResolution"))
        assert across[1] / across[0] == pytest.approx(0.011, rel=1e-4)
        assert down[1] / down[0] == pytest.approx(0.004, rel=1e-4)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, data)
    sidecar = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    assert sidecar["spacing_mm"] == pytest.approx([0.12, 0.004, 0.011][-len(shape) :])
    assert [c["name"] for c in sidecar["classes"]] == ["background", "SRF", "IRF", "PED"]
    assert sidecar["provenance"] == [{"bscan": [0], "seed": 7}]
    assert sidecar["notice"] == NOTICE


def test_png_pixels_are_class_values_and_its_palette_their_colours(tmp_path: Path):
    data = np.random.default_rng(0).integers(0, 4, (20, 30), np.uint8)
    write_png(str(tmp_path / "b.png"), *result(data))
    with Picture.open(tmp_path / "b.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), data)
        assert tuple(picture.getpalette()[6:9]) == CLASSES[2].color
        assert picture.info["dpi"] == pytest.approx((25.4 / 0.011, 25.4 / 0.004), rel=1e-3)
    assert (tmp_path / "b.spad.json").is_file()


def test_writers_say_what_they_cannot_write(tmp_path: Path):
    stack = result(np.ones((3, 4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"save it as \.tif"):
        write_png(str(tmp_path / "c.png"), *stack)
    with pytest.raises(ValueError, match="300"):
        write_png(str(tmp_path / "c.png"), np.full((4, 5), 300), {"name": "many"})
    with pytest.raises(ValueError, match="-1"):
        write_tiff(str(tmp_path / "c.tif"), np.full((4, 5), -1), {})
    assert not list(tmp_path.iterdir())


def test_any_labels_layer_can_be_written(tmp_path: Path):
    layer = Labels(np.array([[0, 70000]]), features={"index": [0, 70000], "name": ["bg", "cyst"]})
    data, meta, _ = layer.as_layer_data_tuple()
    write_tiff(str(tmp_path / "d.tif"), data, meta)
    assert tifffile.imread(tmp_path / "d.tif").max() == 70000
    sidecar = json.loads((tmp_path / "d.spad.json").read_text("utf-8"))
    assert sidecar["spacing_mm"] is None
    assert sidecar["classes"][1]["name"] == "cyst"


def save(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Picture.fromarray(data).save(path)


def test_a_folder_becomes_one_stack_padded_where_sizes_differ(tmp_path: Path):
    save(tmp_path / "images" / "a.png", np.full((10, 20), 50, np.uint8))
    save(tmp_path / "images" / "b.png", np.full((8, 24, 3), 90, np.uint8))
    save(tmp_path / "masks" / "a.png", np.full((10, 20), 2, np.uint8))
    (tmp_path / "labels.json").write_text('{"0": "background", "2": "IRF"}')
    image, reference = (Layer.create(*d) for d in folder_stack(tmp_path / "images"))
    assert image.data.shape == reference.data.shape == (2, 10, 24)
    assert image.metadata["bscan_sizes"] == [(10, 20), (8, 24)]
    assert image.metadata["bscan_names"] == ["a", "b"]
    assert (reference.data[0, :, :20] == 2).all()
    assert (reference.data[0, :, 20:] == 255).all()
    assert (reference.data[1] == 255).all()
    assert structure_names(reference)[2] == "IRF"


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="is no folder; name one"):
        folder_stack(tmp_path / "missing")
    with pytest.raises(ValueError, match="no images"):
        folder_stack(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a png")
    with pytest.raises(ValueError, match=r"broken\.png: cannot be read"):
        folder_stack(tmp_path)
    (tmp_path / "broken.png").unlink()
    save(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    save(tmp_path / "masks" / "a.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match="on their images' grid"):
        folder_stack(tmp_path)
