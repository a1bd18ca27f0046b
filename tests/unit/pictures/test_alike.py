"""One picture in many files: however it is stored, the same pixels come out, or a sentence."""

from __future__ import annotations

import io
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from spad.pictures import LARGEST_IMAGE, image_files, pillow_files
from spad.pictures.pillow_files import upright

IMAGE = (np.arange(7 * 11).reshape(7, 11) * 3).astype(np.uint8)
TURNS = range(1, 9)


def stored(turn: int, upright_image: NDArray[Any] = IMAGE) -> NDArray[Any]:
    """Pixels as a camera stores them whose orientation tag is `turn` (EXIF 2.3, tag 274)."""
    t = np.swapaxes(upright_image, 0, 1)
    return {
        1: upright_image, 2: upright_image[:, ::-1], 3: upright_image[::-1, ::-1],
        4: upright_image[::-1], 5: t, 6: t[::-1], 7: t[::-1, ::-1], 8: t[:, ::-1],
    }[turn]  # fmt: skip


def write(path: Path, pixels: NDArray[Any], turn: int, **options: Any) -> None:
    exif = Image.Exif()
    exif[274] = turn
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, exif=exif, **options)


@pytest.fixture(params=[False, True], ids=["tifffile", "Pillow alone"])
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With tifffile, and without it, as in Slicer."""
    if request.param:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    return bool(request.param)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(("name", "options"), [
    ("x.png", {}), ("x.tif", {}), ("x.tif", {"compression": "tiff_lzw"}),
    ("x.jpg", {"quality": 100}),
])  # fmt: skip
def test_every_orientation_is_undone_in_images_and_label_maps(
    tmp_path: Path, alone: bool, turn: int, name: str, options: dict[str, Any]
) -> None:
    write(tmp_path / name, stored(turn), turn, **options)
    read = image_files.read_file(tmp_path / name)
    assert read.shape == IMAGE.shape == image_files.image_size(tmp_path / name)
    assert image_files.header(tmp_path / name) == (IMAGE.shape, np.uint8)
    off = np.abs(read.astype(int) - IMAGE).max()
    assert off <= (3 if name.endswith("jpg") else 0)
    if not name.endswith("jpg"):
        np.testing.assert_array_equal(image_files.read_label_file(tmp_path / name), IMAGE)


@pytest.mark.parametrize("turn", TURNS)
def test_orientations_of_colours_and_of_stacks(turn: int) -> None:
    stack = np.stack([IMAGE, IMAGE[::-1]])
    turned = np.stack([stored(turn, one) for one in stack])
    np.testing.assert_array_equal(upright(turned, turn, colour=False), stack)
    colours = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]], -1)
    np.testing.assert_array_equal(upright(stored(turn, colours), turn, colour=True), colours)


def write_pages(path: Path, pages: list[NDArray[Any]], turns: list[int]) -> None:
    """Pages with a tag each; without one where the turn is 0."""
    with tifffile.TiffWriter(path) as file:
        for page, turn in zip(pages, turns, strict=True):
            tags = [(274, 3, 1, turn, True)] if turn else []
            file.write(page, photometric="minisblack", metadata=None, extratags=tags)


@pytest.mark.parametrize("turns", [[3, 0, 0], [1, 1, 3], [2, 3, 4], [0, 4, 0], [3, 3, 3]], ids=repr)
def test_an_orientation_tag_turns_its_own_page_alone(
    tmp_path: Path, alone: bool, turns: list[int]
) -> None:
    stack = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])
    pages = [stored(turn or 1, one) for one, turn in zip(stack, turns, strict=True)]
    write_pages(tmp_path / "x.tif", pages, turns)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), stack)
    np.testing.assert_array_equal(
        image_files.read_label_file(tmp_path / "x.tif", stack=True), stack
    )
    assert image_files.header(tmp_path / "x.tif") == (stack.shape, np.uint8)


def test_pages_of_which_some_lie_on_their_side_are_a_stack_where_they_are_square(
    tmp_path: Path, alone: bool
) -> None:
    square = IMAGE[:, :7]
    for name, one in (("x.tif", square), ("y.tif", IMAGE)):
        write_pages(tmp_path / name, [stored(6, one).reshape(one.shape), one], [6, 0])
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), [square, square])
    with pytest.raises(ValueError, match=r"y\.tif: .*differ in size.*save each"):
        image_files.read_file(tmp_path / "y.tif")
    with pytest.raises(ValueError, match=r"y\.tif: .*differ in size.*save each"):
        image_files.header(tmp_path / "y.tif")


def test_channels_of_ome_are_no_stack(tmp_path: Path, alone: bool) -> None:
    three = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])
    one = {"photometric": "minisblack", "ome": True}
    tifffile.imwrite(tmp_path / "c.tif", three, metadata={"axes": "CYX"}, **one)
    with pytest.raises(ValueError, match="save each channel as a file of its own"):
        image_files.read_file(tmp_path / "c.tif")
    tifffile.imwrite(tmp_path / "z.tif", three, metadata={"axes": "ZYX"}, **one)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "z.tif"), three)
    colours = np.repeat(IMAGE[..., None], 3, -1)
    tifffile.imwrite(tmp_path / "s.tif", colours, photometric="rgb", ome=True)
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "s.tif"), IMAGE)


def test_a_palette_gives_its_colours_as_image_and_its_indexes_as_label_map(
    tmp_path: Path, alone: bool
) -> None:
    labels = np.resize(np.array([0, 1, 2], np.uint8), (8, 12))
    image = Image.fromarray(labels, "L").convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette([10, 10, 10, 255, 0, 0, 0, 255, 0])
    for name in ("x.png", "x.tif"):
        image.save(tmp_path / name)
        with pytest.warns(UserWarning, match="luminance"):
            grey = image_files.read_file(tmp_path / name)
        np.testing.assert_array_equal(grey, np.array([10, 76, 150], np.uint8)[labels])
        np.testing.assert_array_equal(image_files.read_label_file(tmp_path / name), labels)


@pytest.mark.parametrize("name", ["x.tif", "x.jpg"])
def test_cmyk_is_not_a_negative(tmp_path: Path, alone: bool, name: str) -> None:
    paper = np.zeros((16, 16, 4), np.uint8)  # no ink: white
    paper[:8, :, 3] = 255  # black
    Image.fromarray(paper, "CMYK").save(tmp_path / name)
    read = image_files.read_file(tmp_path / name)
    assert read[:7].max() < 10
    assert read[9:].min() > 245


@pytest.mark.parametrize("bits", [2, 4])
def test_class_values_in_few_bits_are_not_spread(tmp_path: Path, bits: int) -> None:
    labels = np.resize(np.array([0, 1, 2, 3], np.uint8), (4, 8))
    rows = []
    for row in labels:
        per = 8 // bits
        packed = [sum(int(v) << bits * (per - 1 - i) for i, v in enumerate(row[at : at + per]))
                  for at in range(0, 8, per)]  # fmt: skip
        rows.append(b"\0" + bytes(packed))
    (tmp_path / "x.png").write_bytes(png(8, 4, bits, b"".join(rows)))
    np.testing.assert_array_equal(image_files.read_label_file(tmp_path / "x.png"), labels)
    assert image_files.read_file(tmp_path / "x.png").max() == 3 * 255 // (2**bits - 1)


def png(width: int, height: int, bits: int, raw: bytes) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))  # fmt: skip

    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))  # fmt: skip


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", "<u4", "<i4", "<f4"])
def test_pillow_alone_reads_what_tifffile_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    kind = np.dtype(dtype)
    top = 1 if kind.kind == "f" else np.iinfo(kind).max
    image = (np.arange(96).reshape(8, 12) / 95 * top).astype(kind)
    for photometric in ("minisblack", "miniswhite"):
        path = tmp_path / "x.tif"
        both = np.stack([image, image[::-1]])
        tifffile.imwrite(path, both, photometric=photometric, byteorder=dtype[0])
        both = image_files.read_file(path)
        assert both.shape == (2, 8, 12)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "tifffile", None)
            try:
                np.testing.assert_array_equal(image_files.read_file(path), both)
            except ValueError as error:  # Pillow knows them not
                assert "pip install tifffile" in str(error)  # noqa: PT017
                assert photometric == "miniswhite" or kind.itemsize == 4


def test_white_is_white_in_files_of_one_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, image = tmp_path / "x.tif", np.eye(8, dtype=bool)
    for photometric, stored in (("minisblack", image), ("miniswhite", ~image)):
        tifffile.imwrite(path, stored, photometric=photometric)
        by_tifffile = image_files.read_file(path)
        np.testing.assert_array_equal(by_tifffile > 0, image)
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "tifffile", None)
            np.testing.assert_array_equal(image_files.read_file(path), by_tifffile)


def test_what_pillow_alone_would_spoil_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "x.tif")
    assert image_files.read_file(tmp_path / "x.tif").shape == (4, 4)
    monkeypatch.undo()
    tifffile.imwrite(tmp_path / "d.tif", np.zeros((4, 4)))
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 4, 3), np.uint16), photometric="rgb")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for name in ("c.tif", "d.tif"):
        with pytest.raises((ValueError, ImportError), match="tifffile"):
            image_files.read_file(tmp_path / name)


def test_a_file_is_what_its_bytes_say_not_its_name(tmp_path: Path) -> None:
    pages = [Image.fromarray(IMAGE), Image.fromarray(IMAGE)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "x.tif").rename(tmp_path / "x.png")
    assert image_files.read_file(tmp_path / "x.png").shape == (2, *IMAGE.shape)
    with pytest.raises(ValueError, match=r"x\.png: is a stack"):
        image_files.image_size(tmp_path / "x.png")
    Image.fromarray(IMAGE).save(tmp_path / "y.png")
    (tmp_path / "y.png").rename(tmp_path / "y.tif")
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "y.tif"), IMAGE)


def test_pages_are_a_stack_alike_in_images_and_label_maps(tmp_path: Path, alone: bool) -> None:
    pages = [Image.fromarray(IMAGE), Image.fromarray(IMAGE[::-1])]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    stack = np.stack([IMAGE, IMAGE[::-1]])
    np.testing.assert_array_equal(image_files.read_file(tmp_path / "x.tif"), stack)
    labels = image_files.read_label_file(tmp_path / "x.tif", stack=True)
    np.testing.assert_array_equal(labels, stack)
    with pytest.raises(ValueError, match="each slice as a case"):
        image_files.read_label_file(tmp_path / "x.tif")


def test_what_is_whole_is_not_called_damaged(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((2, 3, 4, 5), np.uint8), photometric="minisblack")
    frames = [Image.fromarray(np.full((4, 5), v, np.uint8)) for v in (1, 2)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    for name, said in (("x.tif", "axes"), ("x.png", "animation of 2 images")):
        with pytest.raises(ValueError, match=said) as caught:
            image_files.read_file(tmp_path / name)
        assert "damaged" not in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize("side", [8001, 13_000, 40_000])
def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, side: int
) -> None:
    (tmp_path / "x.png").write_bytes(png(side, side, 8, b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (image_files.read_file, image_files.image_size, image_files.header):
            with pytest.raises(ValueError, match=r"x\.png: has .*64 million.*crop it"):
                read(tmp_path / "x.png")
    assert side**2 > LARGEST_IMAGE


def test_a_small_tiff_that_unfolds_to_gigabytes_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    page = np.zeros((4000, 4000), np.uint8)
    with tifffile.TiffWriter(stream) as file:
        for _ in range(70):
            file.write(page, compression="zlib", contiguous=False, metadata=None)
    (tmp_path / "x.tif").write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match=r"x\.tif: says in \d+ bytes that it holds 1\.0 GB"):
        image_files.read_file(tmp_path / "x.tif")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "z.tif", "w.tif", "x.bmp"])
def test_a_cut_file_is_never_read_as_if_it_were_whole(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48), np.uint8)
    options = {"z.tif": {"compression": "tiff_adobe_deflate"}, "w.tif": {"compression": "tiff_lzw"}}
    Image.fromarray(noise).save(tmp_path / name, **options.get(name, {}))
    data = (tmp_path / name).read_bytes()
    whole = image_files.read_file(tmp_path / name)
    for keep in (*range(0, len(data), 97), len(data) - 200, len(data) - 20):
        (tmp_path / name).write_bytes(data[:keep])
        try:
            read = image_files.read_file(tmp_path / name)
        except ValueError as error:
            assert name in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(read, whole)


def test_pillow_opens_no_format_that_runs_or_opens_something_else(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "x.gif")
    (tmp_path / "x.gif").rename(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png: cannot be read"):
        image_files.read_file(tmp_path / "x.png")
    assert "GIF" not in pillow_files._FORMATS
