"""A result and what lies beside it, measured: what is odd is told in the outcome, never raised."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spad.borders import Lines, write_lines
from spad.cases import sidecar
from spad.checkpoint import label_classes
from spad.cohort.measuring_file import MeasureJob, measure_file


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    """The sidecar of a label map of 3 x 4 pixels, one of them SRF; lines beside it."""
    labels = np.zeros((3, 4), np.uint8)
    labels[1, 2] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    write_lines(Lines(("ILM",), np.ones((1, 1, 4), np.float32)), tmp_path / "a.lines.npz")
    classes = label_classes(("background", "SRF"))
    return sidecar(labels="a.png", image="a", shape=(3, 4), spacing_mm=(0.5, 0.5),
                   classes=classes, provenance={}, edited={"pixels": {"SRF": 1}})  # fmt: skip


def measured(folder: Path, content: dict[str, Any]) -> Any:
    (folder / "a.spad.json").write_text(json.dumps(content), "utf-8")
    return measure_file(MeasureJob(), str(folder / "a.spad.json"))


def test_a_result_is_measured(tmp_path: Path, result) -> None:
    done = measured(tmp_path, result)
    (row,) = [r for r in done.rows if r["structure"] == "SRF"]
    assert (row["largest area in a B-scan [mm²]"], row["edited pixels"]) == (0.25, 1)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"edited": 7}, "Export it again"), ({"edited": {"pixels": {"SRF": "x"}}}, "Export it"),
        ({"classes": [[1], 2]}, "Export it again"), ({"spacing_mm": "wide"}, "scale is unknown"),
        ({"spacing_mm": [10**400, [1]]}, "scale is unknown"), ({"spacing_mm": 3}, "Export it"),
    ],
)  # fmt: skip
def test_an_odd_sidecar_is_told(tmp_path: Path, result, odd, said) -> None:
    assert said in measured(tmp_path, result | odd).text


def test_damaged_lines_beside_it_are_told(tmp_path: Path, result) -> None:
    path = tmp_path / "a.lines.npz"
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("heights.npy").header_offset + 60
    raw = bytearray(path.read_bytes())
    raw[at : at + 8] = bytes(8)
    path.write_bytes(raw)
    assert "a.lines.npz holds no lines that can be read" in measured(tmp_path, result).text
