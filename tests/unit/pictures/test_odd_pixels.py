"""Pixels as odd programs store them: the values of the file come out, or a sentence."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from spad.pictures import image_files

TWELVE_BITS = (np.arange(7 * 11).reshape(7, 11) * 53 % 4096).astype(np.uint16)
FULL = np.full_like(TWELVE_BITS, 65535)


@pytest.fixture(params=[False, True], ids=["tifffile", "Pillow alone"])
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With tifffile, and without it, as in Slicer."""
    if request.param:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    return bool(request.param)


def deep_png(path: Path, pixels: NDArray[Any], kind: int, interlaced: bool = False) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    height, width = pixels.shape[:2]
    passes = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first row and column of each pass, and its steps
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                  (0, 1, 2, 2), (1, 0, 2, 1)]  # fmt: skip
    rows = [row for y, x, dy, dx in passes for row in pixels[y::dy, x::dx] if row.size]
    packed = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed[:40])
        + chunk(b"IDAT", packed[40:]) + chunk(b"IEND", b"")
    )  # fmt: skip


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("kind", "channels"), [(2, [TWELVE_BITS] * 3), (4, [TWELVE_BITS, FULL]),
                           (6, [TWELVE_BITS] * 3 + [FULL])],
    ids=["RGB", "grey and alpha", "RGBA"],
)  # fmt: skip
def test_16_bits_of_a_png_with_colours_or_transparency_stay_16_bits(
    tmp_path: Path, kind: int, channels: list[Any], interlaced: bool
) -> None:
    path = tmp_path / "x.png"
    deep_png(path, np.stack(channels, -1), kind, interlaced)
    np.testing.assert_array_equal(image_files.read_file(path), TWELVE_BITS)
    assert image_files.header(path) == (TWELVE_BITS.shape, np.uint16)
    data = path.read_bytes()
    for keep in range(34, len(data) - 13, 7):
        path.write_bytes(data[:keep])
        try:
            read = image_files.read_file(path)
        except ValueError as error:
            assert "x.png: cannot be read" in str(error)  # noqa: PT017
        else:  # its last check sum alone is lacking
            assert keep > len(data) - 32
            np.testing.assert_array_equal(read, TWELVE_BITS)


def test_16_bit_colours_and_label_maps_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    colours = np.stack([TWELVE_BITS, TWELVE_BITS[::-1], TWELVE_BITS[:, ::-1]], -1)
    deep_png(path, colours, 2)
    with pytest.warns(UserWarning, match="luminance"):
        grey = image_files.read_file(path)
    np.testing.assert_allclose(grey, colours @ [0.299, 0.587, 0.114], atol=0.51)
    labels = TWELVE_BITS % 5
    deep_png(path, np.stack([labels, FULL], -1), 4)
    np.testing.assert_array_equal(image_files.read_label_file(path), labels)


def lzw(data: bytes) -> bytes:
    """Pack bytes with codes of 9 bits alone: the table is cleared before it grows."""
    codes = [256]
    for at, value in enumerate(data):
        codes += [256, value] if at and at % 200 == 0 else [value]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw_tiff(path: Path, image: NDArray[Any], order: str, white: int = 1) -> None:
    data = lzw(image.astype(image.dtype.newbyteorder(order)).tobytes())
    kind = "_uif".index(image.dtype.kind)
    height, width = image.shape
    tags = {256: width, 257: height, 258: 8 * image.itemsize, 259: 5, 262: white, 273: 8, 277: 1,
            278: height, 279: len(data), 339: kind}  # fmt: skip
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + len(data))
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, v) for tag, v in tags.items())
    path.write_bytes(
        start + data + struct.pack(order + "H", len(tags)) + entries + bytes(4)
    )  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4"])
def test_lzw_tiffs_of_both_byte_orders_keep_their_values(
    tmp_path: Path, alone: bool, dtype: str, order: str
) -> None:
    kind = np.dtype(dtype)
    low, high = (-1, 1) if kind.kind == "f" else (np.iinfo(kind).min, np.iinfo(kind).max)
    image = np.linspace(low, high, 96).reshape(8, 12).astype(kind)
    lzw_tiff(tmp_path / "x.tif", image, order)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), image)


def test_signed_bytes_stay_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.arange(-48, 48, dtype=np.int8).reshape(8, 12)
    tifffile.imwrite(tmp_path / "x.tif", image)
    for _ in range(2):
        np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), image)
        with pytest.raises(ValueError, match=r"values -48\.\.47"):
            image_files.read_label_file(tmp_path / "x.tif")
        monkeypatch.setitem(sys.modules, "tifffile", None)


def test_class_values_in_a_tiff_whose_0_is_white_stand_as_in_the_file(
    tmp_path: Path, alone: bool
) -> None:
    labels = np.resize(np.array([0, 1, 2], np.uint8), (8, 12))
    lzw_tiff(tmp_path / "x.tif", labels, "<", white=0)
    np.testing.assert_array_equal(image_files.read_label_file(tmp_path / "x.tif"), labels)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), 255 - labels)


def test_a_palette_of_8_bit_levels_is_not_black(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.resize(np.array([0, 1, 2], np.uint8), (8, 12))
    levels = np.zeros((3, 256), np.uint16)
    levels[:, :3] = [10, 90, 200]
    tifffile.imwrite(tmp_path / "x.tif", labels, photometric="palette", colormap=levels)
    for _ in range(2):
        grey = image_files.read_file(tmp_path / "x.tif")
        np.testing.assert_array_equal(grey, np.array([10, 90, 200])[labels])
        monkeypatch.setitem(sys.modules, "tifffile", None)


def test_zstandard_is_read_where_the_reader_knows_it_or_refused(
    tmp_path: Path, alone: bool
) -> None:
    image = TWELVE_BITS.astype(np.uint8)
    try:
        Image.fromarray(image).save(tmp_path / "x.tif", compression="zstd")
    except OSError:
        pytest.skip("this Pillow writes no Zstandard: update it")
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), image)


@pytest.mark.parametrize(
    "options", [{}, {"imagej": True, "metadata": {"axes": "ZYX"}}], ids=["tifffile", "ImageJ"]
)
def test_a_stack_told_of_by_one_page_is_read_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    stack = np.stack([TWELVE_BITS + n for n in range(5)])
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, stack, truncate=True, photometric="minisblack", **options)
    np.testing.assert_array_equal(image_files.read_file(path), stack)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"x\.tif: tells of more images .*pip install tifffile"):
        image_files.read_file(path)


def test_pages_in_other_files_are_not_zeros(tmp_path: Path, alone: bool) -> None:
    told = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZTC" Type="uint16" SizeX="11" SizeY="7" SizeZ="3" '
        'SizeT="1" SizeC="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData IFD="0" '
        'PlaneCount="3"/></Pixels></Image></OME>'
    )
    Image.fromarray(TWELVE_BITS).save(tmp_path / "x.tif", description=told)
    with pytest.raises(ValueError, match=r"x\.tif: tells of .* pages"):
        image_files.read_file(tmp_path / "x.tif")


def test_channels_of_imagej_are_no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tif"
    channels = np.stack([TWELVE_BITS] * 3)
    tifffile.imwrite(path, channels, imagej=True, metadata={"axes": "CYX"})
    for _ in range(2):
        with pytest.raises(ValueError, match=r"x\.tif: .*each channel as a file of its own"):
            image_files.read_file(path)
        monkeypatch.setitem(sys.modules, "tifffile", None)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("x.png", b"RIFF\x24\0\0\0WEBPVP8 ", "WebP"),
        ("x.jpg", b"\0\0\0\x18ftypheic", "HEIC"),
        ("x.bmp", b"GIF89a", "GIF"),
        ("x.tif", b"\n<!DOCTYPE html>", "a web page"),
        ("x.png", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("x.png", bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_a_file_of_another_kind_is_not_called_damaged(
    tmp_path: Path, name: str, start: bytes, kind: str
) -> None:
    (tmp_path / name).write_bytes(start + bytes(100))
    with pytest.raises(ValueError, match=rf"x\..*{kind}.* PNG or TIFF") as caught:
        image_files.read_file(tmp_path / name)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("width", [3, 8, 11])
@pytest.mark.parametrize("step", [1, 17], ids=["its indexes", "over all greys"])
@pytest.mark.parametrize("windows", [True, False], ids=["Windows", "OS/2"])
def test_a_bmp_of_16_greys_is_grey(tmp_path: Path, width: int, step: int, windows: bool) -> None:
    labels = np.resize(np.arange(16, dtype=np.uint8)[::-1], (6, width))
    rows = b""
    for row in np.pad(labels, ((0, 0), (0, -width % 8)))[::-1]:  # from the lowest up, of 4 bytes
        rows += (row[::2] << 4 | row[1::2]).tobytes()
    if windows:
        head = struct.pack("<I2i2H6I", 40, width, 6, 1, 4, 0, len(rows), 0, 0, 16, 0)
    else:
        head = struct.pack("<I4H", 12, width, 6, 1, 4)
    for grey in range(16):
        head += bytes([grey * step] * 3 + [0] * windows)
    offset = 14 + len(head)
    start = b"BM" + struct.pack("<I2HI", offset + len(rows), 0, 0, offset)
    (tmp_path / "x.bmp").write_bytes(start + head + rows)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.bmp"), labels * step)
    np.testing.assert_array_equal(image_files.read_label_file(tmp_path / "x.bmp"), labels)
    assert image_files.decoded(tmp_path / "x.bmp")[1] is False


@pytest.mark.parametrize("packed", ["tiff_adobe_deflate", "tiff_lzw"])
def test_of_a_stack_the_page_that_cannot_be_decoded_is_named(
    tmp_path: Path, alone: bool, packed: str
) -> None:
    """So that it can be exported again; the others do not stand for the whole."""
    rng, path = np.random.default_rng(0), tmp_path / "x.tif"
    pages = [Image.fromarray(rng.integers(0, 255, (40, 50), np.uint8)) for _ in range(12)]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression=packed)
    with Image.open(path) as file:
        file.seek(6)
        begin, length = file.tag_v2[273][0], file.tag_v2[279][0]
    data = bytearray(path.read_bytes())
    data[begin + 5 : begin + length - 5] = b"\xff" * (length - 10)
    path.write_bytes(data)
    for read in (image_files.decoded, image_files.read_file):
        with pytest.raises(ValueError, match=r"x\.tif: cannot be read \(page 7 of 12: .*Save it"):
            read(path)
    pages[0].save(path, compression=packed)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes(len(data) - 200))
    with pytest.raises(ValueError, match=r"x\.tif: ") as error:
        image_files.decoded(path)
    assert "page 1 of" not in str(error.value)
