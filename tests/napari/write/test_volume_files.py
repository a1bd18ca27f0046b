"""NIfTI, NRRD and .seg.nrrd: other programs find the same labels, names, colours, places."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("nibabel")
pytest.importorskip("nrrd")

import nibabel
import nrrd
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest

import napari_spad
from napari_spad.layers.structures import class_features, colormap, structure_names
from napari_spad.read.reader import read
from napari_spad.write.image_files import write_tiff
from napari_spad.write.volume_files import write_nifti, write_nrrd, write_seg_nrrd
from spad.__main__ import main
from spad.cases import Layout
from spad.checkpoint.labels import label_classes
from spad.measuring import Scale

CLASSES = label_classes(("background", "SRF", "IRF", "IS/OS"))
SCALE, SHIFT = (0.12, 0.004, 0.011), (1.0, 2.0, 3.0)


def some_labels(shape: tuple[int, ...] = (4, 20, 30)) -> np.ndarray:
    """SRF and IS/OS here and there; IRF nowhere."""
    return np.random.default_rng(0).choice(np.array([0, 0, 1, 3], np.uint8), shape)


def settings(data: np.ndarray, **more) -> dict:
    """What napari hands to a writer."""
    axes = slice(3 - data.ndim, 3)
    options = {
        "name": "eye",
        "scale": SCALE[axes],
        "translate": SHIFT[axes],
        "units": ("mm",) * data.ndim,
        "colormap": colormap(CLASSES),
        "features": class_features(CLASSES),
        "metadata": {"spad": {"classes": [c.as_json() for c in CLASSES], "provenance": []}},
    }
    return Labels(data, **(options | more)).as_layer_data_tuple()[1]


def nifti_world(image, index: tuple[int, ...]) -> np.ndarray:
    """Where a pixel (B-scan, row, column) lies: left, posterior, superior."""
    return np.diag([-1, -1, 1]) @ (image.affine @ [*index[::-1], 1])[:3]


def nrrd_world(header, index: tuple[int, ...]) -> np.ndarray:
    return np.asarray(header["space origin"]) + index[::-1] @ np.asarray(header["space directions"])


def test_nifti_keeps_values_type_and_spacing(tmp_path: Path):
    data = some_labels()
    written = write_nifti(str(tmp_path / "a.nii.gz"), data, settings(data))
    assert sorted(written) == sorted(map(str, tmp_path.iterdir()))
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, data)
    np.testing.assert_allclose(image.header.get_zooms(), SCALE[::-1], rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.get_qform(), image.get_sform(), atol=1e-6)
    assert (tmp_path / "a.spad.json").is_file()


def test_nrrd_keeps_values_type_and_spacing(tmp_path: Path):
    data = some_labels()
    write_nrrd(str(tmp_path / "a.nrrd"), data, settings(data))
    back, header = nrrd.read(str(tmp_path / "a.nrrd"), index_order="C")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, data)
    assert header["space"] == "left-posterior-superior"
    assert header["space units"] == ["mm"] * 3
    np.testing.assert_allclose(header["space directions"], np.diag(SCALE[::-1]))
    np.testing.assert_allclose(header["space origin"], SHIFT[::-1])


@pytest.mark.parametrize(
    "placed",
    [
        {},
        {"scale": (0.12, -0.004, 0.011)},
        {"rotate": (10, 20, 30)},
        {"affine": [[1, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7], [0, 0, 0, 1]]},
        {"units": ("um",) * 3, "scale": (120, 4, 11)},
    ],
    ids=["plain", "flipped", "rotated", "affine", "micrometres"],
)
def test_pixels_lie_where_the_layer_has_them(tmp_path: Path, placed):
    data = some_labels()
    meta = settings(data, **placed)
    layer = Labels(data, **{"scale": SCALE, "translate": SHIFT} | placed)
    mm = 0.001 if "units" in placed else 1
    write_nifti(str(tmp_path / "a.nii"), data, meta)
    write_nrrd(str(tmp_path / "b.nrrd"), data, meta)
    image, (_, header) = nibabel.load(tmp_path / "a.nii"), nrrd.read(str(tmp_path / "b.nrrd"))
    for index in ((0, 0, 0), (3, 0, 0), (1, 19, 29)):
        expected = np.asarray(layer.data_to_world(index))[::-1] * mm
        np.testing.assert_allclose(nrrd_world(header, index), expected, atol=1e-6)
        np.testing.assert_allclose(nifti_world(image, index), expected, atol=1e-5)


TURNED = {
    "flipped": {"scale": (0.12, -0.004, 0.011)},
    "rotated": {"rotate": (10, 20, 30)},
    "affine": {"affine": [[1, 0, 0, 5], [0, 0, 1, 6], [0, 1, 0, 7], [0, 0, 0, 1]]},
    "pixels": {"units": ("pixel",) * 3, "scale": (1, 1, 1)},
    "no distance of B-scans": {"units": ("pixel", "mm", "mm"), "scale": (1, 0.004, 0.011)},
}


@pytest.mark.parametrize(
    ("shape", "placed"),
    [
        *((shape, {}) for shape in ((4, 20, 30), (1, 20, 30), (3, 20, 30), (20, 30))),
        *((shape, placed) for placed in TURNED.values() for shape in ((4, 20, 30), (1, 20, 30))),
    ],
)
def test_an_exported_nifti_comes_back_as_the_layer_that_it_was(tmp_path: Path, shape, placed):
    data = some_labels(shape)
    options = {"scale": SCALE[-data.ndim :], "translate": SHIFT[-data.ndim :]} | placed
    meta = settings(data, **options)
    meta["metadata"] |= {"annotator": "Ann", "eye": "OD", "patient": "secret"}
    write_nifti(str(tmp_path / "a.nii.gz"), data, meta)
    ((values, looks, kind),) = read(tmp_path / "a.nii.gz")
    assert kind == "labels"
    back = Labels(values, **looks)
    np.testing.assert_array_equal(back.data, data)
    layer = Labels(data, **{"units": ("mm",) * data.ndim} | options)
    for index in ((0,) * data.ndim, tuple(n - 1 for n in shape)):
        expected = layer.data_to_world(index)
        np.testing.assert_allclose(back.data_to_world(index), expected, rtol=1e-6, atol=1e-7)
    assert back.units == layer.units
    if not placed:  # as numbers, too: 32 bits of the header have not eaten at them
        np.testing.assert_array_equal(back.scale, layer.scale)
        np.testing.assert_array_equal(back.translate, layer.translate)
    assert structure_names(back) == {c.value: c.name for c in CLASSES}
    for one in CLASSES[1:]:
        np.testing.assert_allclose(back.get_color(one.value)[:3], np.array(one.color) / 255)
    assert back.name == "eye – labels"
    assert [c["name"] for c in back.metadata["spad"]["classes"]] == [c.name for c in CLASSES]
    assert (back.metadata["annotator"], back.metadata["eye"]) == ("Ann", "OD")
    assert "patient" not in back.metadata


def test_an_exported_nifti_without_its_sidecar_is_still_a_label_map_in_its_place(tmp_path: Path):
    data = some_labels()
    write_nifti(str(tmp_path / "a.nii"), data, settings(data))
    (tmp_path / "a.spad.json").unlink()
    ((values, looks, kind),) = read(tmp_path / "a.nii")
    assert kind == "labels"
    np.testing.assert_array_equal(values, data)
    np.testing.assert_array_equal(looks["translate"], SHIFT)
    assert looks["name"] == "labels (NIfTI)"
    assert not looks["metadata"]


@pytest.mark.parametrize(
    "odd", ["[1]", "{", '{"shape": [4, 30, 20]}', '{"shape": [4, 20, 30], "classes": [{}]}']
)
def test_an_odd_sidecar_is_left_out_and_that_is_said(tmp_path: Path, odd):
    data = some_labels()
    write_nifti(str(tmp_path / "a.nii"), data, settings(data))
    (tmp_path / "a.spad.json").write_text(odd)
    ((values, looks, kind),) = read(tmp_path / "a.nii")
    assert kind == "labels"
    np.testing.assert_array_equal(values, data)
    assert "a.spad.json is left out" in looks["metadata"]["notes"][0]


def test_a_nifti_of_3d_slicer_s_comes_back_by_its_sidecar(tmp_path: Path):
    data = some_labels()
    layout = Layout.of("jT")
    volume = layout.volume(data)
    image = nibabel.Nifti1Image(volume.T, np.diag([0.12, 0.004, 0.011, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii.gz")
    classes = [c.as_json() for c in CLASSES]
    kji = {"k": 0.011, "j": 0.12, "i": 0.004}
    told = {
        "labels": "a.nii.gz", "image": "OCT", "shape": list(volume.shape), "classes": classes,
        "spacing_mm": list(kji.values()), "provenance": [], "layout": "jT",
    }  # fmt: skip
    (tmp_path / "a.spad.json").write_text(json.dumps(told))
    ((values, looks, kind),) = read(tmp_path / "a.nii.gz")
    assert kind == "labels"
    np.testing.assert_array_equal(values, data)
    np.testing.assert_allclose(looks["scale"], layout.order(list(kji.values())))
    facts = {"scale": Scale.of((None, 0.004, 0.011)).as_json()}
    told |= {"spacing_mm": None, "facts": facts}  # as of radial B-scans, that have no distance
    (tmp_path / "a.spad.json").write_text(json.dumps(told))
    ((_, looks, _),) = read(tmp_path / "a.nii.gz")
    assert (looks["scale"], looks["units"]) == ([1.0, 0.004, 0.011], ["pixel", "mm", "mm"])


def test_an_image_beside_the_sidecar_of_its_labels_stays_an_image(tmp_path: Path):
    data = some_labels()
    write_tiff(str(tmp_path / "eye.tif"), data, settings(data))
    image = nibabel.Nifti1Image(data.T, np.eye(4))
    image.header.set_intent("label", name="atlas")  # another program's
    nibabel.save(image, tmp_path / "eye.nii.gz")
    ((_, looks, kind),) = read(tmp_path / "eye.nii.gz")
    assert (kind, looks["name"]) == ("image", "OCT (NIfTI)")


def test_one_bscan_is_a_volume_of_one_slice(tmp_path: Path):
    data = some_labels((20, 30))
    write_nifti(str(tmp_path / "a.nii.gz"), data, settings(data))
    write_seg_nrrd(str(tmp_path / "b.seg.nrrd"), data, settings(data))
    image = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, data)
    np.testing.assert_allclose(image.header.get_zooms(), (0.011, 0.004, 1), rtol=1e-6)
    back, header = nrrd.read(str(tmp_path / "b.seg.nrrd"), index_order="C")
    np.testing.assert_array_equal(back, data[None])
    np.testing.assert_allclose(header["space origin"], (3, 2, 0))


def test_a_segmentation_names_and_colours_every_structure_also_absent_ones(tmp_path: Path):
    data = np.zeros((4, 20, 30), np.uint8)
    data[1, 5:9, 10:20], data[3, 19, 29] = 1, 3
    write_seg_nrrd(str(tmp_path / "a.seg.nrrd"), data, settings(data))
    back, header = nrrd.read(str(tmp_path / "a.seg.nrrd"), index_order="C")
    np.testing.assert_array_equal(back, data)
    for number, one in enumerate(CLASSES[1:]):
        assert header[f"Segment{number}_Name"] == one.name
        assert header[f"Segment{number}_LabelValue"] == str(one.value)
        assert header[f"Segment{number}_Layer"] == "0"
        assert f"SPAD.label:{one.value}|" in header[f"Segment{number}_Tags"]
        color = [float(c) * 255 for c in header[f"Segment{number}_Color"].split()]
        np.testing.assert_allclose(color, one.color, atol=0.01)
    assert header["Segment0_Extent"] == "10 19 5 8 1 1"
    assert header["Segment1_Extent"] == "0 -1 0 -1 0 -1"
    assert header["Segment2_Extent"] == "29 29 19 19 3 3"
    assert "Segment3_Name" not in header
    assert header["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert header["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"


def test_labels_that_no_model_made_get_segments_too(tmp_path: Path):
    data = np.array([[0, 300], [2, 0]])
    meta = Labels(data, features={"index": [2], "name": ["cyst\nLabel:=1"]}).as_layer_data_tuple()
    write_seg_nrrd(str(tmp_path / "a.seg.nrrd"), data, meta[1])
    back, header = nrrd.read(str(tmp_path / "a.seg.nrrd"), index_order="C")
    assert back.dtype == np.uint16
    assert header["Segment0_Name"] == "cyst Label:=1"  # in one line: it adds no field
    assert header["Segment1_Name"] == "class 300"
    assert "space units" not in header


def test_what_cannot_be_written_is_said_and_leaves_no_file(tmp_path: Path, monkeypatch):
    many = np.zeros((2, 2, 4, 5), np.uint8)
    for write, name in (
        (write_nifti, "a.nii.gz"),
        (write_nrrd, "a.nrrd"),
        (write_seg_nrrd, "a.seg.nrrd"),
    ):
        with pytest.raises(ValueError, match="as PNG in the tab Keep"):
            write(str(tmp_path / name), many, {"name": "many"})
        with pytest.raises(ValueError, match="-1"):
            write(str(tmp_path / name), np.full((4, 5), -1), {})
        with pytest.raises(OSError, match="missing"):
            write(str(tmp_path / "missing" / name), many[0], {"name": "many"})
    with pytest.raises(ValueError, match=r"save it as \.nrrd"):
        write_seg_nrrd(str(tmp_path / "a.seg.nrrd"), np.ones((1, 1), np.uint8), {})
    monkeypatch.setitem(sys.modules, "nrrd", None)
    with pytest.raises(ImportError, match="pip install pynrrd"):
        write_nrrd(str(tmp_path / "a.nrrd"), many[0], {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_nifti, write_nrrd, write_seg_nrrd, write_tiff])
def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch, write):
    suffix = {write_nifti: "nii.gz", write_nrrd: "nrrd", write_seg_nrrd: "seg.nrrd"}
    path = tmp_path / f"a.{suffix.get(write, 'tif')}"
    data = some_labels()
    write(str(path), data, settings(data))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spad.cases.atomic_files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(str(path), data * 0, settings(data))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "a.spad.json"])


def manager() -> PluginManager:
    """The plugin beside napari's own writers."""
    import napari

    plugins = PluginManager()
    for folder in (Path(napari.__file__).parent, Path(napari_spad.__file__).parent):
        for file in (folder / "builtins.yaml", folder / "napari.yaml"):
            if file.is_file():
                plugins.register(PluginManifest.from_file(file))
    return plugins


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("eye.seg.nrrd", "write_seg_nrrd"),
        ("EYE.SEG.NRRD", "write_seg_nrrd"),
        ("eye.nrrd", "write_nrrd"),
        ("eye.nii.gz", "write_nifti"),
        ("eye.nii", "write_nifti"),
        ("eye.png", "write_png"),
        ("eye.tiff", "write_tiff"),
    ],
)
def test_napari_finds_the_writer_by_the_whole_extension(name, command):
    writer, path = manager().get_writer(name, ["labels"], "napari-spad")
    assert writer.command == f"napari-spad.{command}"
    assert path == name


def test_the_sidecar_drops_both_parts_of_an_extension(tmp_path: Path):
    data = some_labels()
    for write, name in ((write_nifti, "a.nii.gz"), (write_seg_nrrd, "b.seg.nrrd")):
        write(str(tmp_path / name), data, settings(data))
    assert {p.name for p in tmp_path.glob("*.json")} == {"a.spad.json", "b.spad.json"}
    assert json.loads((tmp_path / "a.spad.json").read_text("utf-8"))["labels"] == "a.nii.gz"


@pytest.mark.parametrize("shape", [(4, 20, 30), (20, 30)])
def test_what_is_exported_is_measured_alike_whatever_the_kind(tmp_path: Path, shape):
    data = some_labels(shape)
    kinds = {".tif": write_tiff, ".nii": write_nifti, ".nii.gz": write_nifti, ".nrrd": write_nrrd,
             ".seg.nrrd": write_seg_nrrd}  # fmt: skip
    tables = []
    for suffix, write in kinds.items():
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        write(str(folder / f"a{suffix}"), data, settings(data))
        assert main(["measure", str(folder / f"a{suffix}"), "-o", str(folder / "t.csv")]) == 0
        tables.append((folder / "t.csv").read_text("utf-8-sig"))
    assert tables == tables[:1] * len(kinds)
    assert len(tables[0].splitlines()) == 4
