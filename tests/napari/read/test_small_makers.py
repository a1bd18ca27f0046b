"""Bioptigen's, Optovue's and Zeiss's files in their written layout: pixels, scale, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from makers import FRAMES, bioptigen, optovue, whole
from napari.layers import Layer

from napari_spad.read.reader import read
from spad.measuring import Scale


def opened(path: Path) -> Layer:
    (image,) = (Layer.create(*d) for d in read(path))
    return image


def test_a_volume_has_its_pixels_scale_and_day_and_no_name(tmp_path: Path) -> None:
    image = opened(bioptigen(tmp_path / "Doe_John.OCT"))
    np.testing.assert_array_equal(image.data, FRAMES)
    np.testing.assert_allclose(image.scale, (1.28, 0.08, 0.2))
    words = Scale.from_json(image.metadata["scale"]).words
    assert words == "200 × 80 µm, B-scans 1280 µm, derived from the scan's lengths"
    assert (image.name, image.metadata["date"]) == ("OCT", "2020-02-03")
    assert "Doe" not in str(image.metadata)


@pytest.mark.parametrize(
    ("more", "words"), [({"kind": 0}, "no volume"), ({"frames": 2, "scans": 2}, "repeats B-scans")]
)
def test_bscans_without_a_distance_have_none(tmp_path: Path, more, words) -> None:
    image = opened(bioptigen(tmp_path / "a.oct", **more))
    assert str(image.units[0]) == "pixel"
    assert words in image.metadata["notes"][0]


@pytest.mark.parametrize("keep", [30, 200, 400, 3000, -1])
def test_a_cut_file_is_named_with_the_remedy(tmp_path: Path, keep: int) -> None:
    path = bioptigen(tmp_path / "cut.oct")
    path.write_bytes(path.read_bytes()[: keep if keep > 0 else -100])
    with pytest.raises(ValueError, match=r"cut\.oct is damaged or cut short .*export it again"):
        read(path)


def test_absurd_sizes_are_refused(tmp_path: Path) -> None:
    path = bioptigen(tmp_path / "a.oct")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(whole(b"LINECOUNT", 40), whole(b"LINECOUNT", 2**31)))
    with pytest.raises(ValueError, match="more than"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((128, 1024, 512), "11.7 × 1.95 µm, B-scans 46.9 µm"),
        ((200, 1024, 200), "30 × 1.95 µm, B-scans 30 µm"),
    ],
)
def test_a_cirrus_cube_is_known_by_its_length(tmp_path: Path, shape, words) -> None:
    path = tmp_path / "P1_Macular Cube_OD.img"
    pixels = np.zeros(shape, np.uint8)
    pixels[3, -1, -1], pixels[3, -1, -8], pixels[-1, 0, 0] = 1, 2, 3
    pixels.tofile(path)
    image = opened(path)
    assert image.data.shape == shape
    assert (image.data[3, 0, 0], image.data[3, 0, 7], image.data[-1, -1, -1]) == (1, 2, 3)
    assert image.data.sum() == 6
    said = Scale.from_json(image.metadata["scale"]).words
    assert said == f"{words}, derived from a nominal cube of 6 × 6 × 2 mm"
    assert f"cube of {shape[2]} × {shape[0]} × 1024" in image.metadata["notes"][0]
    assert "P1" not in f"{image.name}{image.metadata}"


def test_other_img_files_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(bytes(1009))
    with pytest.raises(ValueError, match=r"1009 bytes; a Cirrus cube has 67108864 \(512 × 128 × 1"):
        read(path)
    path.with_suffix(".hdr").touch()
    with pytest.raises(ValueError, match="an Analyze or NIfTI pair"):
        read(path)


def test_an_optovue_file_has_its_pixels_and_no_scale(tmp_path: Path) -> None:
    image = opened(optovue(tmp_path / "Doe.OCT"))
    np.testing.assert_array_equal(image.data, FRAMES)
    assert Scale.from_json(image.metadata["scale"]) == Scale()
    assert "type it" in image.metadata["notes"][0]


def test_an_optovue_file_without_its_true_size_is_refused(tmp_path: Path) -> None:
    path = optovue(tmp_path / "a.OCT", told=6)
    with pytest.raises(ValueError, match=r"24000 bytes, but a\.txt tells 6 B-scans of 30 rows"):
        read(path)
    path.with_suffix(".txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"a\.txt tells 0 scans"):
        read(path)
    path.with_suffix(".txt").unlink()
    with pytest.raises(ValueError, match=r"need the \.txt of the same name"):
        read(path)


@pytest.mark.gui
def test_a_size_is_asked_for_and_proposed_the_next_time(tmp_path: Path, monkeypatch, qtbot) -> None:
    from napari_spad.read import cube_size
    from napari_spad.read.reader import get_reader

    path = tmp_path / "Doe.img"
    FRAMES[:, ::-1, ::-1].astype(np.uint8).tofile(path)
    monkeypatch.setattr(cube_size, "data_folder", lambda: tmp_path / "kept")
    seen = []

    def answer(dialog, shape=(5, 30, 40), mm=(6, 2, 6)):
        qtbot.addWidget(dialog)
        button = dialog.buttons.button(dialog.buttons.StandardButton.Open)
        seen.append(dialog.typed)
        dialog.pixels[2].setValue(41)
        assert not button.isEnabled()
        assert "does not fit" in dialog.told.text()
        for field, number in zip((*dialog.pixels, *dialog.mm), (*shape, *mm), strict=True):
            field.setValue(number)
        assert button.isEnabled()
        return True

    monkeypatch.setattr(cube_size.SizeDialog, "exec", answer)
    for _ in range(2):
        ((pixels, settings, _),) = get_reader(str(path))(str(path))
        np.testing.assert_array_equal(pixels, FRAMES.astype(np.uint8))
        words = Scale.from_json(settings["metadata"]["scale"]).words
        assert words == "150 × 66.7 µm, B-scans 1200 µm, typed"
    assert seen[1].shape == (5, 30, 40)
    assert seen[1].mm == (6, 2, 6)
    assert "Doe" not in next((tmp_path / "kept").iterdir()).read_text()
    monkeypatch.setattr(cube_size.SizeDialog, "exec", lambda _: False)
    assert get_reader(str(path))(str(path)) == [(None,)]
