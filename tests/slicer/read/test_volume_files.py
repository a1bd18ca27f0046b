"""Files into the scene: the right way up, whole or refused, and no file beside them."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import slicer
import tifffile
from PIL import Image
from scene import add_volume

from SPADLib.read.volume_files import load_segmentation, load_volume

IMAGE = (np.arange(20 * 30).reshape(20, 30) % 251).astype(np.uint8)


def pixels(node):
    return slicer.util.arrayFromVolume(node)


@pytest.mark.parametrize(("name", "options"), [
    ("x.png", {}), ("x.bmp", {}), ("x.tif", {}), ("x.tif", {"compression": "tiff_lzw"}),
    ("x.tiff", {"compression": "tiff_adobe_deflate"}),
])  # fmt: skip
def test_a_picture_has_the_same_rows_first_in_every_format(scene, tmp_path, name, options):
    Image.fromarray(IMAGE).save(tmp_path / name, **options)
    np.testing.assert_array_equal(pixels(load_volume(tmp_path / name)), IMAGE[None])
    np.testing.assert_array_equal(pixels(load_segmentation(tmp_path / name)), IMAGE[None])


def test_pages_are_slices_and_a_palette_is_colours_or_class_values(scene, tmp_path):
    stack = np.stack([IMAGE, IMAGE[::-1]]).astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(pixels(load_volume(tmp_path / "s.tif")), stack)
    labels = Image.fromarray(IMAGE % 3, "L").convert("P")
    labels.putdata((IMAGE % 3).ravel().tolist())
    labels.putpalette([0, 0, 0, 86, 180, 233, 230, 159, 0])
    labels.save(tmp_path / "p.png")
    np.testing.assert_array_equal(pixels(load_segmentation(tmp_path / "p.png"))[0], IMAGE % 3)
    colours = pixels(load_volume(tmp_path / "p.png"))
    assert colours.shape == (1, 20, 30, 3)
    assert colours[0, 0, 1].tolist() == [86, 180, 233]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_cut_nifti_is_refused_and_none_beside_it_is_read(scene, tmp_path, suffix):
    noise = np.random.default_rng(0).integers(1, 255, (4, 20, 30), np.uint8)
    path = written(noise, tmp_path / f"a{suffix}")
    written(noise[::-1], tmp_path / ("a.nii" if suffix == ".nii.gz" else "a.nii.gz"))
    np.testing.assert_array_equal(pixels(load_volume(path)), noise)
    np.testing.assert_array_equal(pixels(load_segmentation(path)), noise)
    data = path.read_bytes()
    for keep in (0, 200, 347, 400, len(data) // 2, len(data) - 5):
        path.write_bytes(data[:keep])
        for load in (load_volume, load_segmentation):
            with pytest.raises(ValueError, match=rf"“a{suffix}” is .*cut short.*again"):
                load(path)
    flipped = bytearray(data)
    flipped[42:44] = b"\xff\xff"  # an axis of -1 voxels, or a broken stream
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="damaged"):
        load_volume(path)


def written(array: np.ndarray, path: Path) -> Path:
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(add_volume(np.ascontiguousarray(array)))
    return path


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif"])
def test_a_cut_picture_is_refused_and_ends_nothing(scene, tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 48), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for keep in (0, 20, len(data) // 2, len(data) - 200):
        (tmp_path / name).write_bytes(data[:keep])
        with pytest.raises(ValueError, match=rf"{name}: "):
            load_volume(tmp_path / name)


@pytest.mark.parametrize("pixels_in", ["LOCAL", "a.zraw"])
def test_a_packed_metaimage_that_is_cut_or_damaged_is_refused(scene, tmp_path, pixels_in):
    volume = np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8)
    packed = zlib.compress(volume.tobytes())
    path = tmp_path / ("a.mha" if pixels_in == "LOCAL" else "a.mhd")

    size = f"CompressedDataSize = {len(packed)}\n"

    def write(data, told=size):
        header = (
            f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\n{told}"
            f"DimSize = 30 20 3\nElementType = MET_UCHAR\nElementDataFile = {pixels_in}\n"
        )
        path.write_bytes(header.encode() + data * (pixels_in == "LOCAL"))
        (tmp_path / "a.zraw").write_bytes(data)

    write(packed)
    np.testing.assert_array_equal(pixels(load_volume(path)), volume)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 4
    few = zlib.compress(volume[:2].tobytes())
    for data in (b"", packed[: len(packed) // 2], packed[:-3], bytes(flipped), few):
        write(data)
        for load in (load_volume, load_segmentation):
            with pytest.raises(ValueError, match=rf"^{path.name} is damaged or cut short.*again"):
                load(path)
    if pixels_in != "LOCAL":
        (tmp_path / pixels_in).unlink()
        with pytest.raises(ValueError, match=r"a\.mhd says .*“a\.zraw”, which is not beside it"):
            load_volume(path)
    write(packed, told="")  # ITK spoils it, or reads it
    try:
        np.testing.assert_array_equal(pixels(load_volume(path)), volume)
    except ValueError as error:
        assert "tells no CompressedDataSize" in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_a_packed_nrrd_of_which_one_bit_flipped_or_the_check_sum_is_gone_is_refused(
    scene, tmp_path, name
):
    noise = np.random.default_rng(0).integers(0, 12, (4, 20, 30), np.uint8)
    path = written(noise, tmp_path / name)
    np.testing.assert_array_equal(pixels(load_volume(path)), noise)
    packed = path if name == "a.nrrd" else tmp_path / "a.raw.gz"
    good = packed.read_bytes()
    stream = good.find(b"\x1f\x8b")
    damaged = [good[:-1], good[:-9]]
    for at in range(stream + 12, len(good) - 9, len(good) // 20):
        flipped = bytearray(good)
        flipped[at] ^= 4
        damaged.append(bytes(flipped))
    for data in damaged:
        packed.write_bytes(data)
        for load in (load_volume, load_segmentation):
            with pytest.raises(ValueError, match=rf"^{name} is damaged or cut short.*again"):
                load(path)


def test_a_nifti_whose_header_would_be_read_as_pixels_is_refused(scene, tmp_path):
    path = written(np.ones((4, 20, 30), np.uint8), tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    data[108:112] = bytes(4)  # where its pixels begin
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"“a\.nii” .*within its header"):
        load_volume(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_2_is_called_that_with_what_to_do(scene, tmp_path, name, order):
    nibabel = pytest.importorskip("nibabel")
    header = nibabel.Nifti2Header(endianness=order)
    image = nibabel.Nifti2Image(np.ones((4, 20, 30), np.uint8), np.eye(4), header)
    nibabel.save(image, tmp_path / name)
    for load in (load_volume, load_segmentation):
        with pytest.raises(ValueError, match=rf"“{name}” is NIfTI-2, .*save it as NIfTI-1 or NRRD"):
            load(tmp_path / name)


@pytest.mark.parametrize("shape", [(30, 20, 4, 3), (30, 20, 1, 5)])
def test_a_series_of_volumes_is_called_that_with_what_to_do(scene, tmp_path, shape):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.uint8), np.eye(4)), path)
    for load in (load_volume, load_segmentation):
        with pytest.raises(ValueError, match=rf"“a\.nii\.gz” holds a series of {shape[3]} .*save"):
            load(path)
    nibabel.save(nibabel.Nifti1Image(np.ones((30, 20, 4, 1), np.uint8), np.eye(4)), path)
    assert pixels(load_volume(path)).shape == (4, 20, 30)


def test_a_palette_of_greys_is_grey(scene, tmp_path):
    image = Image.fromarray(IMAGE, "L").convert("P")
    image.putdata(IMAGE.ravel().tolist())
    image.putpalette([255 - grey for grey in range(256) for _ in range(3)])
    for name in ("x.png", "x.tif", "x.bmp"):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(pixels(load_volume(tmp_path / name)), 255 - IMAGE[None])
        np.testing.assert_array_equal(pixels(load_segmentation(tmp_path / name)), IMAGE[None])
