"""The readers on the developers' real files; skipped where these are not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from napari_spad.layers.geometry import spacing_mm
from napari_spad.read.folder import folder_stack
from napari_spad.read.reader import read
from spad.measuring import Scale

HOME = Path(os.environ.get("SPAD_DATA", ""))
RAW = HOME / "raw_oct"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not RAW.is_dir(), reason=f"no folder {RAW}: SPAD_DATA names the folder of real scans"
    ),
]


@pytest.fixture(autouse=True)
def keys(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari_spad.read.opened_layers._data_folder", lambda: tmp_path)


def told(layer: Layer) -> str:
    """A layer's scale in words."""
    return Scale.from_json(layer.metadata["scale"]).words


def test_a_circular_scan_that_eyepy_refuses_opens():
    image, reference = (Layer.create(*d) for d in read(RAW / "heyeximport_valid.vol"))
    assert (image.name, image.data.shape) == ("circular OCT OD", (496, 768))
    assert spacing_mm(image, 2) == pytest.approx((0.003872, 0.017891), rel=1e-3)
    assert told(image) == "17.9 × 3.87 µm (in the file), distance of the B-scans unknown"
    assert image.metadata["eye"] == "OD"
    assert 20 < image.data.mean() < 120
    assert list(reference.features["name"])[1:] == ["ILM to RNFL", "RNFL to BM"]
    # The nerve fibres are brighter than the vitreous above them.
    vitreous = image.data[:50].mean()
    assert image.data[reference.data == 1].mean() > 1.5 * vitreous


def test_vol_and_xml_are_read_as_eyepy_reads_them():
    pytest.importorskip("eyepy")
    from eyepy import import_heyex_vol, import_heyex_xml

    for path, theirs in (
        (RAW / "eyepy_test_volume.vol", import_heyex_vol),
        (RAW / "eyepy_heyex_xml" / "test_dummy.xml", import_heyex_xml),
    ):
        volume = theirs(path)
        image, *reference = (Layer.create(*d) for d in read(path))
        np.testing.assert_allclose(image.scale, volume.scale, rtol=1e-4)
        assert image.data.shape == volume.shape
        assert image.name == "OCT OD"
        scale = Scale.from_json(image.metadata["scale"])
        assert scale.row.words == scale.column.words == "in the file"
        placed = "in the file" if path.suffix == ".vol" else "derived from the B-scans' places"
        assert scale.bscan.words == placed
        assert not scale.doubts
        if volume.layers:
            np.testing.assert_array_equal(image.data, volume.data)
            assert len(reference[0].features) == len(volume.layers)


def test_the_nifti_with_equal_channels_stands_upright():
    (image,) = (Layer.create(*d) for d in read(RAW / "keshav_AMD_0129_0000.nii.gz"))
    assert image.data.shape == (512, 512)
    rows = image.data.mean(1)
    assert 130 < rows.argmax() < 300  # the retina, between the black bars
    assert {str(u) for u in image.units} == {"pixel"}
    assert told(image) == "scale unknown: type it, to measure in mm"
    assert len(image.metadata["notes"]) == 2


def test_a_case_folder_opens_by_split():
    image, reference = (
        Layer.create(*d) for d in folder_stack(HOME / "oct_kermany_lesions", split="val")
    )
    assert len(image.metadata["bscan_names"]) == len(image.data) == len(reference.data)
    assert set(image.metadata["bscan_splits"]) == {"val"}
    assert any(str(name).startswith("SRF") for name in reference.features["name"])
