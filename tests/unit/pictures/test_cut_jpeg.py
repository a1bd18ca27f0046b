"""A JPEG that was cut and closed again is refused, and no whole one is taken for such a one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from spad.pictures import image_files
from spad.pictures.cut_jpeg import with_more

KINDS: list[dict[str, Any]] = [
    {}, {"quality": 10}, {"quality": 100}, {"progressive": True}, {"optimize": True},
    {"restart_marker_blocks": 1}, {"restart_marker_blocks": 7}, {"restart_marker_rows": 1},
    {"comment": b"\xff\xd9 and \xff\xda"},
]  # fmt: skip


def picture(colour: bool) -> NDArray[np.uint8]:
    grey = np.random.default_rng(0).normal(100, 9, (120, 200)) + np.arange(200) / 3
    grey = grey.clip(0, 255).astype(np.uint8)
    return np.stack([grey, grey[::-1], grey[:, ::-1]], -1) if colour else grey


def jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:colour images are reduced")
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("options", KINDS, ids=repr)
def test_a_whole_one_is_read_and_a_cut_one_is_not(
    tmp_path: Path, options: dict[str, Any], colour: bool
) -> None:
    whole, path = jpeg(picture(colour), **options), tmp_path / "x.jpg"
    for behind in (b"", b"\0\0", whole):  # as some cameras write, the last a picture in small
        path.write_bytes(whole + behind)
        assert image_files.read_file(path).shape == (200, 120)
    begin = whole.rindex(b"\xff\xda")  # of the last scan; no data hold that
    for share in (0.1, 0.5, 0.8):
        cut = whole[: begin + 20 + int(share * (len(whole) - begin - 20))].rstrip(b"\xff")
        path.write_bytes(cut + b"\xff\xd9")
        with pytest.raises(ValueError, match=r"x\.jpg: .*its end mark is there, but"):
            image_files.read_file(path)


@pytest.mark.parametrize("options", [KINDS[0], {"restart_marker_rows": 1}], ids=repr)
def test_noise_in_the_last_block_tells_without_decoding_again(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(_: bytes) -> None:
        pytest.fail("decoded twice")

    monkeypatch.setattr("spad.pictures.pillow_files.with_more", again)
    (path := tmp_path / "x.jpg").write_bytes(jpeg(picture(False), **options))
    assert image_files.read_file(path).shape == (200, 120)


def test_nothing_is_said_of_what_is_not_made_as_jpeg_is() -> None:
    whole = jpeg(picture(False))
    arithmetic = whole.replace(b"\xff\xc0", b"\xff\xc9", 1)
    for data in (b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", arithmetic, whole[:900], whole[:-2]):
        assert with_more(data) is None
