"""Image files: every grey as it stands in the file, and what is none refused by name."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from spad.pictures import image_files


def labels_of(*values: int) -> NDArray[np.uint8]:
    return np.resize(np.array(values, np.uint8), (8, 12))


def test_a_palette_image_gives_indexes_as_labels_and_luminance_as_image(tmp_path: Path) -> None:
    labels = labels_of(0, 1, 2)
    palette = [0, 0, 0, 255, 0, 0, 0, 255, 0]
    (tmp_path / "p.png").write_bytes(image_files.png_bytes(labels, palette))
    np.testing.assert_array_equal(image_files.read_label_file(tmp_path / "p.png"), labels)
    with pytest.warns(UserWarning, match="luminance"):
        grey = image_files.read_file(tmp_path / "p.png")
    np.testing.assert_array_equal(grey, np.array([0, 76, 150], np.uint8)[labels])


@pytest.mark.parametrize("end", ["png", "tif"])
def test_16_bits_stay_16_bits(tmp_path: Path, end: str) -> None:
    image = np.linspace(0, 65535, 96).astype(np.uint16).reshape(8, 12)
    path = tmp_path / f"x.{end}"
    path.write_bytes((image_files.png_bytes if end == "png" else image_files.tiff_bytes)(image))
    read = image_files.read_file(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, image)
    labels = labels_of(0, 2).astype(np.uint16)
    path.write_bytes((image_files.png_bytes if end == "png" else image_files.tiff_bytes)(labels))
    np.testing.assert_array_equal(image_files.read_label_file(path), labels)


@pytest.mark.parametrize(
    ("dtype", "offset", "kept"),
    [
        (np.int16, -40, np.float32),
        (np.float32, 0.5, np.float32),
        (np.uint32, 2**31 - 48, np.float64),
        (np.int32, -(2**31), np.float64),
        (np.float64, 1e9, np.float64),
    ],
)
def test_other_types_become_floats_that_hold_every_value(
    tmp_path: Path, dtype: Any, offset: float, kept: Any
) -> None:
    image = (np.arange(96).reshape(8, 12) + np.array(offset)).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", image)
    read = image_files.read_file(tmp_path / "x.tif")
    assert read.dtype == kept
    assert image_files.header(tmp_path / "x.tif") == ((8, 12), read.dtype)
    np.testing.assert_array_equal(read, image)


def test_tiff_stacks_colours_and_inverted_greys(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    stack = np.arange(4 * 8 * 12, dtype=np.uint16).reshape(4, 8, 12)
    tifffile.imwrite(path, stack, photometric="minisblack")
    np.testing.assert_array_equal(image_files.read_file(path), stack)
    green = np.zeros((8, 12, 3), np.uint8)
    green[..., 1] = 100
    tifffile.imwrite(path, green, photometric="rgb")
    with pytest.warns(UserWarning, match="luminance"):
        np.testing.assert_array_equal(image_files.read_file(path), np.full((8, 12), 59))
    tifffile.imwrite(path, stack, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="colours or the slices"):
        image_files.read_file(path)
    tifffile.imwrite(path, np.full((8, 12), 10, np.uint8), photometric="miniswhite")
    assert image_files.read_file(path).max() == 245


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_as_colour_is_read_without_a_word(tmp_path: Path, mode: str) -> None:
    image = np.arange(96, dtype=np.uint8).reshape(8, 12)
    Image.fromarray(image).convert(mode).save(tmp_path / "x.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.png"), image)


def test_lzw_tiffs_are_read_without_imagecodecs(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 12), value, np.uint8)) for value in (3, 9)]
    frames[0].save(
        tmp_path / "x.tif", compression="tiff_lzw", save_all=True, append_images=frames[1:]
    )
    assert image_files.read_file(tmp_path / "x.tif")[:, 0, 0].tolist() == [3, 9]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((8, 12), np.nan, np.float32), "NaN"),
        (np.zeros((8, 12), np.complex64), "complex"),
    ],
)
def test_pixels_that_are_no_greys_are_refused(
    tmp_path: Path, array: NDArray[Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", array)
    with pytest.raises(ValueError, match=rf"x\.tif.*{message}"):
        image_files.read_file(tmp_path / "x.tif")


def test_files_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    for end in ("png", "tif", "jpg"):
        for content in (b"", b"not an image", os.urandom(500)):
            (tmp_path / f"x.{end}").write_bytes(content)
            with pytest.raises(ValueError, match=rf"x\.{end}: cannot be read"):
                image_files.read_file(tmp_path / f"x.{end}")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(ValueError, match=r"x\.txt: not a \.png"):
        image_files.read_file(tmp_path / "x.txt")
    with pytest.raises(FileNotFoundError, match=r"y\.png"):
        image_files.read_file(tmp_path / "y.png")
