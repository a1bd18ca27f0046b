"""The device's lines of real files: found, written as CSV, and read back to the same numbers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from napari_spad.read.reader import read
from spad.borders import Lines, areas, read_lines, write_lines

FOLDER = Path(os.environ.get("SPAD_DATA", "")) / "raw_oct"
FILES = ("heyeximport_valid.vol", "eyepy_heyex_xml")


@pytest.mark.real
@pytest.mark.parametrize("name", FILES)
def test_lines_of_the_device(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari_spad.read.opened_layers._data_folder", lambda: tmp_path)
    path = FOLDER / name
    path = next(path.glob("*.xml")) if path.is_dir() else path
    references = [layer for layer in read(path) if layer[2] == "labels"]
    assert references, "the file has no lines"
    labels, settings, _ = references[0]
    lines = settings["metadata"]["lines"]
    assert isinstance(lines, Lines)
    assert lines.names[0] == "ILM"
    whole = labels if labels.ndim == 3 else labels[None]
    assert np.array_equal(areas(lines, whole.shape[1]), whole)
    write_lines(lines, tmp_path / "lines.csv")
    back = read_lines(tmp_path / "lines.csv")
    assert back.names == lines.names
    assert np.array_equal(back.heights, lines.heights, equal_nan=True)
