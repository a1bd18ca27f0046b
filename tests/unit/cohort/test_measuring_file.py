"""A result and what lies beside it, measured: what is odd is told in the outcome, never raised."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spad.borders import Lines, write_lines
from spad.cases import sidecar
from spad.checkpoint import label_classes
from spad.cohort.measuring_file import MeasureJob, measure_file
from spad.cohort.segmenting_file import opened


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    """The sidecar of a label map of 3 x 4 pixels, one of them SRF; lines beside it."""
    labels = np.zeros((3, 4), np.uint8)
    labels[1, 2] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    write_lines(Lines(("ILM",), np.ones((1, 1, 4), np.float32)), tmp_path / "a.lines.npz")
    classes = label_classes(("background", "SRF"))
    return sidecar(labels="a.png", image="a", shape=(3, 4), spacing_mm=(0.5, 0.5),
                   classes=classes, provenance={}, edited={"pixels": {"SRF": 1}})  # fmt: skip


def measured(folder: Path, content: dict[str, Any]) -> Any:
    (folder / "a.spad.json").write_text(json.dumps(content), "utf-8")
    return measure_file(MeasureJob(), str(folder / "a.spad.json"))


def test_a_result_is_measured(tmp_path: Path, result) -> None:
    done = measured(tmp_path, result)
    (row,) = [r for r in done.rows if r["structure"] == "SRF"]
    assert (row["largest area in a B-scan [mm²]"], row["edited pixels"]) == (0.25, 1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([{"bscan": [1]}, {"bscan": [0]}], "only 2 of 6 B-scans are segmented"),
        ([{"bscans": [0, 1]}, {"bscans": [0, 1]}], "only 1 of 6 B-scans is segmented"),
        ([{"bscans": [0, 6], "left_empty": [2, 5]}], "only 4 of 6 B-scans are segmented"),
        ({"seed": 0, "left_empty": [3]}, "only 5 of 6 B-scans are segmented"),
        ([{"bscans": [0, 6]}], ""), ({"seed": 0}, ""), ([{"bscan": 1}, 7], ""),
    ],
)  # fmt: skip
def test_a_stack_that_a_desk_segmented_in_part_is_said_to_be_that(
    tmp_path: Path, result, made, said
) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "stack.tif", np.ones((6, 4, 5), np.uint8))
    result |= {"labels": "stack.tif", "shape": [6, 4, 5], "spacing_mm": [0.2, 0.004, 0.01]}
    (tmp_path / "a.lines.npz").unlink()  # of a single B-scan
    (row, *_) = measured(tmp_path, result | {"provenance": made}).rows
    assert said in row["remark"]
    assert said or "segmented" not in row["remark"]


def test_what_fills_smaller_bscans_up_is_not_scanned(tmp_path: Path, result) -> None:
    tifffile = pytest.importorskip("tifffile")
    labels = np.zeros((2, 4, 10), np.uint8)
    labels[0, :2], labels[1, :2, :5] = 1, 1
    tifffile.imwrite(tmp_path / "stack.tif", labels)
    result |= {"labels": "stack.tif", "shape": [2, 4, 10], "spacing_mm": [0.2, 0.004, 0.01]}
    (tmp_path / "a.lines.npz").unlink()
    sizes = [[4, 10], [3, 5]]
    (row,) = measured(tmp_path, result | {"facts": {"bscan_sizes": sizes}}).rows
    assert row["mean height [µm]"] == pytest.approx(8)  # of a layer of two rows wherever it is
    assert "B-scans of unequal sizes" in row["remark"]
    assert "not labelled" not in row["remark"]
    for odd in (sizes[:1], [3, 4], ["ab", "c"]):
        text = measured(tmp_path, result | {"facts": {"bscan_sizes": odd}}).text
        assert "are no height and width of each of its 2 B-scans" in text
    one = {"labels": "one.png", "shape": [4, 10], "spacing_mm": [0.004, 0.01]}
    Image.fromarray(labels[1]).save(tmp_path / "one.png")  # as napari exports a stack as PNG
    (row,) = measured(tmp_path, result | one | {"facts": {"bscan_sizes": sizes[1:]}}).rows
    assert row["mean height [µm]"] == pytest.approx(8)
    text = measured(tmp_path, result | one | {"facts": {"bscan_sizes": sizes}}).text
    assert "are no height and width of each of its 1 B-scans" in text


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"edited": 7}, "Export it again"), ({"edited": {"pixels": {"SRF": "x"}}}, "Export it"),
        ({"classes": [[1], 2]}, "Export it again"), ({"spacing_mm": "wide"}, "scale is unknown"),
        ({"spacing_mm": [10**400, [1]]}, "scale is unknown"), ({"spacing_mm": 3}, "Export it"),
    ],
)  # fmt: skip
def test_an_odd_sidecar_is_told(tmp_path: Path, result, odd, said) -> None:
    assert said in measured(tmp_path, result | odd).text


def test_damaged_lines_beside_it_are_told(tmp_path: Path, result) -> None:
    path = tmp_path / "a.lines.npz"
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("heights.npy").header_offset + 60
    raw = bytearray(path.read_bytes())
    raw[at : at + 8] = bytes(8)
    path.write_bytes(raw)
    assert "a.lines.npz holds no lines that can be read" in measured(tmp_path, result).text


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"labels": "a.mha"}, "is none of .seg.nrrd, .nii.gz, .nrrd, .nii"),
        ({"labels": "a.nii.gz"}, "there is no such file"),
        ({"shape": [3, 5]}, "it was cropped, resized or exchanged; export it again"),
        ({"layout": "xyz"}, "is no layout of B-scans"),
        ({"parent_transform": {"to_world_ras": None}}, "harden the transform in 3D Slicer"),
        ({"parent_transform": "odd"}, "harden the transform in 3D Slicer"),
        (
            {"parent_transform": {"to_world_ras": np.diag([2, 1, 1, 1]).tolist()}},
            "a pixel has no one size",
        ),
    ],
)
def test_labels_that_cannot_be_measured_are_told(tmp_path: Path, result, odd, said) -> None:
    assert said in measured(tmp_path, result | odd).text


def test_volumes_that_are_damaged_or_odd_are_told(tmp_path: Path, result, monkeypatch) -> None:
    nrrd, nibabel = pytest.importorskip("nrrd"), pytest.importorskip("nibabel")
    (tmp_path / "a.nii.gz").write_bytes(b"no volume")
    said = measured(tmp_path, result | {"labels": "a.nii.gz"}).text
    assert "a.nii.gz: cannot be read" in said
    labels = np.zeros((4, 3, 1), np.float32)
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), path)
    said = measured(tmp_path, result | {"labels": "a.nii"}).text
    assert "holds float32 values" in said
    assert "is it damaged" not in said
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 3, 2, 2), np.uint8), np.eye(4)), path)
    assert "has shape (2, 2, 3, 4)" in measured(tmp_path, result | {"labels": "a.nii"}).text
    path.write_bytes(path.read_bytes()[:108] + bytes(4) + path.read_bytes()[112:])
    assert "within its header" in measured(tmp_path, result | {"labels": "a.nii"}).text
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004")
    assert "a.nrrd: cannot be read" in measured(tmp_path, result | {"labels": "a.nrrd"}).text
    layers = np.zeros((1, 3, 4, 2), np.uint8)
    layers[0, 1, 2] = layers[0, 0, 0, 1] = 1
    two = {
        f"Segment{n}_{key}": text
        for n, name in enumerate(("SRF", "mine"))
        for key, text in (("Name", name), ("LabelValue", "1"), ("Layer", str(n)))
    }
    two["Segment0_Tags"] = "other:x|SPAD.label:1|"
    path = tmp_path / "a.seg.nrrd"
    nrrd.write(str(path), layers, two, index_order="C")
    assert "segments that overlap" in measured(tmp_path, result | {"labels": path.name}).text
    layers[0, 1, 2, 1] = 0
    nrrd.write(str(path), layers, two, index_order="C")
    rows = measured(tmp_path, result | {"labels": path.name}).rows
    areas = {r["structure"]: r["largest area in a B-scan [mm²]"] for r in rows}
    assert (areas["SRF"], areas["mine"]) == (0.25, 0.25)
    monkeypatch.setitem(sys.modules, "nrrd", None)
    assert "pip install pynrrd" in measured(tmp_path, result | {"labels": path.name}).text


def test_an_image_of_a_case_folder_has_the_scale_that_the_folder_tells(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    image = tmp_path / "images" / "a.png"
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(image)
    cases = tmp_path / "cases.json"
    for told, mm in (
        ({"a": {"spacing_mm": [0.004, 0.01]}}, (None, 0.004, 0.01)),
        ({"a": {"spacing_mm": [0.004]}, "b": 3}, (None, None, None)),
        ([], (None, None, None)),
    ):
        cases.write_text(json.dumps(told))
        os.utime(cases, ns=(0, len(str(told))))
        assert opened(image, None)[1].spacing_mm == mm
    composed, apart = "M\u00fcller", "Mu\u0308ller"  # one name to a person, two to a computer
    image = image.rename(image.with_name(f"{apart}.png"))
    cases.write_text(json.dumps({composed: {"spacing_mm": [0.004, 0.01]}}))
    os.utime(cases, ns=(0, 1))
    assert opened(image, None)[1].spacing_mm == (None, 0.004, 0.01)
    with pytest.raises(ValueError, match=r"is none of .png, .*or segment it in napari, which"):
        opened(image.with_suffix(".nii"), None)
