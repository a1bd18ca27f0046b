"""Packed label maps: one flipped bit, or a check sum that is missing, and nothing is read."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from spad.pictures import packed_files, read_labels, refuse_cut_gzip, refuse_cut_nrrd

RNG = np.random.default_rng(3)
LABELS = (RNG.random((5, 40, 30)) < 0.1).astype(np.uint8)


def written(path: Path, labels: np.ndarray = LABELS) -> Path:
    """A label map, packed by the library that reads it."""
    if path.name.endswith(".nii.gz"):
        nibabel = pytest.importorskip("nibabel")
        nibabel.save(nibabel.Nifti1Image(labels.T, np.diag([0.01, 0.004, 0.2, 1])), path)
    else:
        nrrd = pytest.importorskip("nrrd")
        nrrd.write(str(path), labels.T, {"encoding": "gzip"})
    return path


def one_flipped(data: bytes, stream: int) -> list[bytes]:
    """The file with one bit flipped, at places all over its packed stream."""
    found = []
    for at in np.linspace(stream + 12, len(data) - 9, 40).astype(int):
        flipped = bytearray(data)
        flipped[at] ^= 4
        found.append(bytes(flipped))
    return found


@pytest.mark.parametrize("name", ["a.nii.gz", "A.NII.GZ", "a.nrrd", "a.seg.nrrd"])
def test_a_packed_label_map_that_is_damaged_or_cut_is_refused(tmp_path: Path, name: str):
    good = written(tmp_path / name.lower()).read_bytes()
    path = tmp_path / name
    path.write_bytes(good)
    if ".seg" not in name:
        np.testing.assert_array_equal(read_labels(path)[0], LABELS)
    stream = good.find(b"\x1f\x8b")
    cut = [good[:-n] for n in (1, 4, 8, 9, 100, len(good) - stream - 15)]
    for data in (*one_flipped(good, stream), *cut):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r": cannot be read \(.*damaged or cut short\? Save"):
            read_labels(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.png"])
def test_a_folder_of_a_files_name_is_called_one(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder, not a file; rename it"):
        read_labels(tmp_path / name)


def test_streams_one_after_the_other_are_one_file(tmp_path: Path):
    """As pigz and bgzip pack."""
    path = written(tmp_path / "a.nii.gz")
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(b"".join(gzip.compress(data[n : n + 1000]) for n in range(0, len(data), 1000)))
    assert refuse_cut_gzip(path) == len(data) == 352 + LABELS.size
    np.testing.assert_array_equal(read_labels(path)[0], LABELS)


def test_pixels_beside_their_header_are_looked_at_too(tmp_path: Path):
    packed = gzip.compress(LABELS.tobytes())
    header = "NRRD0004\n# x\ntype: uint8\ndimension: 3\nsizes: 30 40 5\nencoding: gz\nmade:=so\n"
    path = tmp_path / "a.nrrd"
    path.write_text(header + "data file: Pixels.raw.gz\n")
    (tmp_path / "Pixels.raw.gz").write_bytes(packed)
    np.testing.assert_array_equal(read_labels(path)[0], LABELS)
    (tmp_path / "Pixels.raw.gz").write_bytes(packed[:-4])
    with pytest.raises(EOFError):
        refuse_cut_nrrd(path)
    path.write_text(header.replace(": gz", ": raw") + "data file: Pixels.raw.gz\n")
    refuse_cut_nrrd(path)  # not packed: nothing is opened


def test_a_large_file_costs_little_memory_and_a_bomb_ends_early(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(bytes(100 * 2**20), 1))
    tracemalloc.start()
    assert refuse_cut_gzip(path) == 100 * 2**20
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()
    seen = []

    def refuse(held: int, own: int) -> None:
        seen.append(held)
        if held > 3 * 2**20:
            raise packed_files.Refused("a bomb")

    monkeypatch.setattr(packed_files, "refuse_bomb", refuse)
    with pytest.raises(packed_files.Refused):
        refuse_cut_gzip(path)
    assert seen[-1] <= 4 * 2**20
