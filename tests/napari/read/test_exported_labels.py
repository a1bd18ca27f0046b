"""What any host exported is opened by its sidecar: labels with names, colours and scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("nibabel")
pytest.importorskip("nrrd")

from napari.layers import Labels

from napari_spad.keep.export import FORMATS, export
from napari_spad.layers.structures import class_features, colormap, segmented, structure_names
from napari_spad.read.reader import get_reader, read
from napari_spad.write.image_files import write_png, write_tiff
from napari_spad.write.volume_files import write_nifti, write_nrrd, write_seg_nrrd
from spad.cases import sidecar
from spad.checkpoint.labels import label_classes

CLASSES = label_classes(("background", "SRF", "IRF", "IS/OS"))
STACK = np.random.default_rng(0).choice(np.array([0, 0, 1, 3], np.uint8), (4, 20, 30))
MM = (0.12, 0.004, 0.011)


def layer(labels: np.ndarray) -> Labels:
    return Labels(
        labels,
        name="eye",
        scale=MM[-labels.ndim :],
        units=("mm",) * labels.ndim,
        colormap=colormap(CLASSES),
        features=class_features(CLASSES),
        metadata={"spad": {"classes": [c.as_json() for c in CLASSES], "provenance": []}},
    )


@pytest.mark.parametrize(
    ("write", "name", "labels"),
    [
        (write_tiff, "a.tif", STACK),
        (write_png, "a.png", STACK[1]),
        (write_nifti, "a.nii.gz", STACK),
        (write_nrrd, "a.nrrd", STACK),
        (write_seg_nrrd, "a.seg.nrrd", STACK),
    ],
)
def test_an_export_comes_back_by_its_sidecar(tmp_path: Path, write, name, labels):
    write(str(tmp_path / name), labels, layer(labels).as_layer_data_tuple()[1])
    beside = tmp_path / "a.spad.json"
    assert get_reader(str(beside)) is not None
    (data, settings, kind), *others = read(beside)
    assert (kind, others) == ("labels", [])
    np.testing.assert_array_equal(data, labels)
    back = Labels(data, **settings)
    assert structure_names(back) == {c.value: c.name for c in CLASSES}
    np.testing.assert_allclose(back.scale, MM[-labels.ndim :], rtol=1e-6)
    assert {str(u) for u in back.units} == {"millimeter"}
    np.testing.assert_allclose(back.colormap.color_dict[3][:3] * 255, CLASSES[3].color, atol=0.5)
    assert back.metadata["spad"]["image"] == json.loads(beside.read_text("utf-8"))["image"]


def written(folder: Path, **told) -> Path:
    """What `spad segment` leaves of a stack of which no scale is known."""
    tifffile.imwrite(folder / "b.tif", STACK)
    about = {"labels": "b.tif", "image": "b.tif", "shape": STACK.shape, "spacing_mm": None}
    content = sidecar(**about, classes=CLASSES, provenance={}) | told
    (folder / "b.spad.json").write_text(json.dumps(content), "utf-8")
    return folder / "b.spad.json"


def test_a_volume_of_slicer_is_turned_to_b_scans(tmp_path: Path):
    ((data, settings, _),) = read(written(tmp_path, layout="j", spacing_mm=[0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(data, np.moveaxis(STACK, 1, 0))
    np.testing.assert_allclose(settings["scale"], [0.2, 0.1, 0.3])


def test_what_cannot_be_opened_is_said(tmp_path: Path):
    beside = written(tmp_path, shape=[4, 20, 31])
    with pytest.raises(ValueError, match=r"b\.spad\.json .*tells of shape"):
        read(beside)
    with pytest.raises(ValueError, match="names no label map"):
        read(written(tmp_path, labels=None))
    for value in (2**31, -1):  # of which napari could make no layer
        odd = [{"value": value, "name": "SRF", "color": [1, 2, 3]}]
        with pytest.raises(ValueError, match=rf"b\.spad\.json .*the value {value}"):
            read(written(tmp_path, classes=odd))
    beside.write_text("{", "utf-8")
    with pytest.raises(ValueError, match="JSON"):
        read(beside)
    beside = written(tmp_path, labels="../gone.tif")
    with pytest.raises(FileNotFoundError) as error:
        read(beside)
    assert str(tmp_path / "gone.tif") in str(error.value)


def with_own_segment(path: Path) -> None:
    """As 3D Slicer writes a segment that a person added: the file alone names it."""
    import nrrd

    labels, header = nrrd.read(str(path), index_order="C")
    labels[0, 0, :5] = 9
    mine = {"ID": "Segment_1", "Name": "drusen", "Color": "0.2 0.4 0.6", "LabelValue": "9"}
    header |= {f"Segment3_{key}": text for key, text in mine.items()}
    nrrd.write(str(path), labels, header, index_order="C")


def test_what_comes_back_is_exported_again_with_all_that_is_known_of_it(tmp_path: Path):
    sizes = [[20, 30], [18, 30], [20, 25], [20, 30]]
    meta = layer(STACK).as_layer_data_tuple()[1]
    meta["metadata"]["spad"]["bscan_sizes"] = sizes
    write_seg_nrrd(str(tmp_path / "a.seg.nrrd"), STACK, meta)
    with_own_segment(tmp_path / "a.seg.nrrd")
    ((data, settings, _),) = read(tmp_path / "a.spad.json")
    again = Labels(data, **settings).as_layer_data_tuple()[1]
    write_tiff(str(tmp_path / "b.tif"), data, again)
    told = json.loads((tmp_path / "b.spad.json").read_text("utf-8"))
    assert told["facts"]["bscan_sizes"] == sizes
    mine = {"value": 4, "name": "drusen", "color": [51, 102, 153]}
    assert told["classes"] == [*(c.as_json() for c in CLASSES), mine]
    assert (tifffile.imread(tmp_path / "b.tif")[0, 0, :5] == 4).all()


RUN = {"seed": 7, "checkpoint": {"name": "m"}, "image_sha256": "ab"}


@pytest.mark.parametrize(
    ("made", "bscans"),
    [
        (RUN, {(0,), (1,), (2,), (3,)}),
        ([RUN | {"bscans": [1, 2]}], {(1,), (2,)}),
        ([RUN | {"bscan": [3]}], {(3,)}),
        ([], None),
    ],
    ids=["spad segment", "3D Slicer", "napari", "no model"],
)
def test_who_made_it_is_known_as_of_a_result_of_napari(tmp_path: Path, made, bscans):
    ((data, settings, _),) = read(written(tmp_path, provenance=made))
    back = Labels(data, **settings)
    assert segmented(back) == bscans
    write_tiff(str(tmp_path / "c.tif"), data, back.as_layer_data_tuple()[1])
    runs = json.loads((tmp_path / "c.spad.json").read_text("utf-8"))["provenance"]
    assert {(run["seed"], run["checkpoint"]["name"]) for run in runs} <= {(7, "m")}
    assert [tuple(run["bscan"]) for run in runs] == sorted(bscans or ())
    hashes = {run.get("image_sha256") for run in runs}
    assert hashes == ({"ab"} if bscans == {(3,)} else {None} if bscans else set())


def test_a_padded_stack_exported_as_png_tells_the_size_of_each_bscan(tmp_path: Path):
    from spad.cohort.measuring_file import MeasureJob, measure_file

    sizes = [[20, 30], [18, 30], [20, 25], [20, 30]]
    meta = layer(STACK).as_layer_data_tuple()[1]
    meta["metadata"]["spad"]["bscan_sizes"] = sizes
    export(tmp_path / "a.png", next(f for f in FORMATS if f.single), STACK, meta)
    for z, size in enumerate(sizes, start=1):
        beside = tmp_path / f"a_{z:03d}.spad.json"
        assert json.loads(beside.read_text("utf-8"))["facts"]["bscan_sizes"] == [size]
        done = measure_file(MeasureJob(), str(beside))
        assert done.state == "done"
        assert "B-scans of unequal sizes" in done.rows[0]["remark"]
