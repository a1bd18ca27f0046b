"""Bare pixels whose size a person says: read, or refused with the sizes that fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spad.pictures import CubeSize, UnknownSize, fitting, read_scan

CUBE = np.arange(5 * 30 * 40).reshape(5, 30, 40).astype(np.uint16)
SIZE = CubeSize((5, 30, 40), (6.0, 2.0, None))


def written(path: Path, dtype: str = "<u2") -> Path:
    CUBE[:, ::-1, ::-1].astype(dtype).tofile(path)
    return path


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_typed_size_gives_the_pixels_and_a_typed_scale(tmp_path: Path, dtype: str) -> None:
    scan = read_scan(written(tmp_path / "a.IMG", dtype), SIZE)
    np.testing.assert_array_equal(scan.pixels, CUBE.astype(dtype))
    assert scan.scale.spacing_mm == (1.2, 2 / 30, None)
    assert scan.scale.row.origin == "typed"
    assert scan.notes == (
        "read as 5 B-scans of 30 rows and 40 columns, as was typed: look whether the image is "
        "right",
    )


def test_what_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    path = written(tmp_path / "a.img")
    with pytest.raises(UnknownSize, match=r"12000 bytes; a Cirrus cube has .*--cube"):
        read_scan(path)
    with pytest.raises(UnknownSize) as refused:
        read_scan(path, CubeSize((5, 30, 41)))
    assert "5 B-scans of 30 rows and 41 columns are 6150, or twice that" in str(refused.value)
    assert "it could be 5 B-scans of 30 rows and 40 columns, or " in str(refused.value)


def test_the_nearest_sizes_come_first_and_a_prime_has_none() -> None:
    assert fitting(128 * 1024 * 512, (128, 1024, 500))[0] == (128, 1024, 512)
    assert fitting(2 * 100 * 1024 * 500, (100, 1024, 512))[0] == (100, 1024, 500)
    assert all(z * y * x in (6000, 12000) for z, y, x in fitting(12000, (5, 30, 41)))
    assert fitting(999_983, (128, 1024, 512)) == []
    assert fitting(7000, (2**40, 2**40, 2**40)) == []  # at once


@pytest.mark.parametrize(
    ("shape", "mm", "words"),
    [
        ((0, 1, 1), (None,) * 3, "each number is above 0"),
        ((1, 1, 1), (-6.0, None, None), "each length is above 0"),
        ((1, 9000, 9000), (None,) * 3, "more than 64 million"),
    ],
)
def test_sizes_that_cannot_be_are_refused(shape, mm, words) -> None:
    with pytest.raises(ValueError, match=words):
        CubeSize(shape, mm)
