"""``spad measure``: a table of many results, and what it says of those that cannot be measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from spad.__main__ import main
from spad.cases import sidecar
from spad.checkpoint import label_classes
from spad.measuring import Scale

CLASSES = label_classes(("background", "SRF"))
SCALE = Scale.of((0.3, 0.004, 0.1), "derived", "from the scan angle of a medium eye")


def result(folder: Path, name: str, shape=(20, 30, 60), **facts: Any) -> Path:
    labels = np.zeros(shape, np.uint8)
    labels[..., 10:15, 20:30] = 1
    if labels.ndim == 3:
        labels[:8] = labels[12:] = 0
        tifffile.imwrite(folder / f"{name}.tif", labels)
    else:
        Image.fromarray(labels).save(folder / f"{name}.png")
    end = ".tif" if labels.ndim == 3 else ".png"
    told = sidecar(
        labels=name + end, image="eye", shape=shape, spacing_mm=None, classes=CLASSES,
        provenance={"checkpoint": {"name": "oct-phantom"}}, facts=facts,
        edited={"pixels": {"SRF": 7}},
    )  # fmt: skip
    (folder / f"{name}.spad.json").write_text(json.dumps(told))
    return folder / (name + end)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))


def test_a_cohort_becomes_one_tidy_table(tmp_path: Path, capsys) -> None:
    told = {"scale": SCALE.as_json(), "eye": "OS", "fovea": {"at": [10, 25], "origin": "proposed"}}
    result(tmp_path, "a", **told)
    result(tmp_path, "b", scale=SCALE.as_json())
    result(tmp_path, "lost")
    out = tmp_path / "out.csv"
    assert main(["measure", str(tmp_path), "-o", str(out)]) == 1
    assert (
        "lost.spad.json: FAILED: its scale is unknown; give it: --spacing"
        in capsys.readouterr().err
    )
    rows = table(out)
    assert [r["region"] for r in rows if r["case"] == "b"] == ["total"]
    assert len([r for r in rows if r["case"] == "a"]) == 13
    first = rows[0]
    known = {
        "case": "a", "eye": "OS", "fovea": "proposed", "model": "oct-phantom",
        "edited pixels": "7", "volume [nL]": "24",
    }  # fmt: skip
    assert first | known == first
    assert "derived from the scan angle of a medium eye" in first["scale"]
    assert "300 µm apart" in first["remark"]


def test_a_typed_scale_and_the_centre(tmp_path: Path) -> None:
    one = result(tmp_path, "a")
    out = tmp_path / "out.csv"
    words = ["measure", str(one), "-o", str(out), "--spacing", "150", "4", "100"]
    assert main([*words, "--fovea", "centre", "--eye", "OD"]) == 0
    rows = table(out)
    assert rows[0]["volume [nL]"] == "12"
    assert rows[0]["scale"].endswith("typed")
    assert rows[0]["fovea"] == "taken as the scan's centre"
    assert main(words) == 2  # it exists
    flat = result(tmp_path, "flat", (30, 60))
    words[1] = str(flat)
    assert main([*words, "--overwrite", "--fovea", "centre"]) == 0
    (row,) = table(out)
    assert (row["volume [nL]"], row["largest area in a B-scan [mm²]"]) == ("", "0.02")
    assert "one single B-scan" in row["remark"]


def test_a_fovea_that_is_no_place_is_said(tmp_path: Path, capsys) -> None:
    result(tmp_path, "a", scale=SCALE.as_json(), fovea={"at": 3})
    result(tmp_path, "b", scale=SCALE.as_json(), fovea={"at": [99, 3]})
    assert main(["measure", str(tmp_path), "-o", str(tmp_path / "t.csv")]) == 1
    said = capsys.readouterr().err
    assert "its fovea {'at': 3} is no place" in said
    assert "outside the scan of 20 B-scans" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [("{}", "lacks 'classes'"), ('{"classes": 3}', "is it a sidecar"), ("[", "JSON")],
)
def test_a_sidecar_that_is_none_is_named(tmp_path: Path, capsys, content, words) -> None:
    (tmp_path / "x.spad.json").write_text(content)
    assert main(["measure", str(tmp_path), "-o", str(tmp_path / "t.csv")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_what_is_no_result_is_refused_before_anything(tmp_path: Path, capsys) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "x.png")
    assert main(["measure", str(tmp_path / "x.png"), "-o", str(tmp_path / "t.csv")]) == 2
    assert "x.spad.json is not beside it" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["measure", str(tmp_path / "empty"), "-o", str(tmp_path / "t.csv")]) == 2
    assert "name a folder of exported results" in capsys.readouterr().err
