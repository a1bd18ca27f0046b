"""Topcon's files in their written layout: pixels, scale with its origin, eye, day; and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from makers import topcon
from napari.layers import Layer

from napari_spad.read.reader import read
from spad.measuring import Scale


@pytest.fixture(autouse=True)
def keys(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setattr("napari_spad.read.opened_layers._data_folder", lambda: folder)


@pytest.mark.parametrize(("name", "jpeg", "eye"), [("a.fda", True, "OS"), ("a.FDS", False, "OD")])
def test_a_volume_has_its_pixels_scale_eye_and_day(tmp_path: Path, name, jpeg, eye) -> None:
    bscans = topcon(tmp_path / name, jpeg=jpeg)
    (image,) = (Layer.create(*d) for d in read(tmp_path / name))
    assert np.abs(image.data.astype(int) - bscans).max() <= (6 if jpeg else 0)
    assert image.name == f"OCT {eye}"
    np.testing.assert_allclose(image.scale, (1.5, 0.0026, 0.15))
    assert Scale.from_json(image.metadata["scale"]).words == (
        "150 µm (derived from the size of the scanned field) × 2.6 µm (in the file), "
        "B-scans 1500 µm (derived from the size of the scanned field)"
    )
    assert (image.metadata["eye"], image.metadata["date"]) == (eye, "2021-03-04")
    assert image.metadata["patient"].startswith("P-")
    assert "4711" not in repr(image.metadata)


def test_radial_scans_have_no_distance(tmp_path: Path) -> None:
    topcon(tmp_path / "a.fda", mode=3)
    (image,) = (Layer.create(*d) for d in read(tmp_path / "a.fda"))
    assert [str(u) for u in image.units] == ["pixel", "millimeter", "millimeter"]
    assert "no distance" in image.metadata["notes"][0]


@pytest.mark.parametrize("keep", [0, 4, 17, 60, 300, 1500])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, keep: int) -> None:
    topcon(tmp_path / "whole.fda")
    (tmp_path / "cut.fda").write_bytes((tmp_path / "whole.fda").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut\.fda .*(export|copy)"):
        read(tmp_path / "cut.fda")
