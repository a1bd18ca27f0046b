"""Scans of small makers in Slicer: the engine's pixels, and a scale that says where it is from."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import slicer
from fakes import FakeEngine

from spad.pictures import CubeSize
from SPADLib.batch import segment
from SPADLib.read import added, load_volume
from SPADLib.scene import scale_of

FRAMES = np.arange(5 * 30 * 40).reshape(5, 30, 40).astype(np.uint16)


def optovue(path):
    FRAMES[:, ::-1].transpose(0, 2, 1).astype("<f4").tofile(path)
    text = "Window Height = 30\nScan Length = 40\nScan Usage = 5\n"
    path.with_suffix(".txt").write_text(text)
    return path


def raw(path):
    FRAMES[:, ::-1, ::-1].astype("<u2").tofile(path)
    return path


def scale(volume, tmp_path):
    engine = FakeEngine(tmp_path)
    return scale_of(segment(volume, engine.checkpoint, engine=engine))


def test_a_typed_cube_has_its_pixels_and_tells_what_was_typed(scene, tmp_path):
    volume = load_volume(raw(tmp_path / "a.img"), CubeSize((5, 30, 40), (1.0, 0.06, None)))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), FRAMES)
    assert volume.GetSpacing() == pytest.approx((1.0, 0.002, 0.2))
    assert "as was typed" in volume.GetDescription()
    found = scale(volume, tmp_path)
    assert found.spacing_mm == (pytest.approx(0.2), pytest.approx(0.002), None)
    assert found.words == ("columns unknown × 2 µm (typed), B-scans 200 µm (typed)")
    volume.SetSpacing(0.01, 0.002, 0.2)  # typed by a person since, in Volumes
    words = scale(volume, tmp_path).words
    assert words.startswith("10 µm (derived from the volume's spacing in Slicer)")


def test_a_cirrus_cube_says_that_its_scale_is_nominal(scene, tmp_path):
    np.zeros((200, 1024, 200), np.uint8).tofile(tmp_path / "c.img")
    volume = load_volume(tmp_path / "c.img")
    assert volume.GetSpacing() == pytest.approx((0.03, 2 / 1024, 0.03))
    from SPADLib.scene import kept_scale

    assert kept_scale(volume).words.endswith("derived from a nominal cube of 6 × 6 × 2 mm")


def test_an_optovue_scan_of_no_scale_is_not_measured(scene, tmp_path):
    volume = load_volume(optovue(tmp_path / "o.OCT"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), FRAMES)
    with pytest.raises(ValueError, match="spacing of 1 mm in each direction"):
        scale(volume, tmp_path)


@pytest.mark.gui
def test_slicer_s_add_data_opens_it_or_says_why_not(app, scene, tmp_path):
    from SPAD import SPADFileReader

    reader = SPADFileReader(SimpleNamespace(loadedNodes=None))
    assert reader.load({"fileName": str(optovue(tmp_path / "o.OCT"))})
    (found,) = reader.parent.loadedNodes
    assert scene.GetNodeByID(found).GetName() == "o"
    assert not reader.load({"fileName": str(raw(tmp_path / "a.img"))})
    assert added(str(tmp_path / "gone.img")) == []
