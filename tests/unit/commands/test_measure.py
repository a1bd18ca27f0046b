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
from spad.borders import Lines, write_lines
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


def grown(folder: Path, name: str, more: int) -> Path:
    """A result whose structure is wider by so many columns."""
    path = result(folder, name, scale=SCALE.as_json(), eye="OD")
    labels = tifffile.imread(path)
    labels[8:12, 10:15, 30 : 30 + more] = 1
    tifffile.imwrite(path, labels)
    return path


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


@pytest.mark.parametrize("depth", [3, 4])
def test_planes_of_a_label_map_are_bscans_not_colours(tmp_path: Path, depth: int) -> None:
    """As tifffile writes three or four of them when it is not told more."""
    path = result(tmp_path, "few", scale=SCALE.as_json())
    labels = np.zeros((depth, 30, 60), np.uint8)
    labels[1:3, 10:15, 20:30] = 1
    tifffile.imwrite(path, labels, photometric="rgb", planarconfig="separate")
    told = path.with_name("few.spad.json")
    told.write_text(json.dumps({**json.loads(told.read_text()), "shape": [depth, 30, 60]}))
    assert main(["measure", str(path), "-o", str(tmp_path / "t.csv")]) == 0
    row = table(tmp_path / "t.csv")[0]
    assert float(row["volume [nL]"]) == pytest.approx(100 * 0.3 * 0.004 * 0.1 * 1000)


@pytest.mark.parametrize("um", ["nan", "-4", "inf", "four"])
def test_a_typed_scale_that_is_none_is_refused(tmp_path: Path, capsys, um: str) -> None:
    with pytest.raises(SystemExit):
        main(["measure", str(tmp_path), "-o", "t.csv", "--spacing", "150", um, "100"])
    assert um in capsys.readouterr().err


def test_labels_changed_behind_the_sidecar_s_back_are_said(tmp_path: Path, capsys) -> None:
    path, out = result(tmp_path, "a", scale=SCALE.as_json()), tmp_path / "t.csv"
    labels = tifffile.imread(path)
    labels[0, :3] = 9
    labels[0, 3:6] = 255
    tifffile.imwrite(path, labels)
    assert main(["measure", str(path), "-o", str(out)]) == 0
    remark = table(out)[0]["remark"]
    assert "180 pixels have values that no class has (9): not measured" in remark
    assert "0.005 of the pixels are not labelled (255)" in remark
    tifffile.imwrite(path, labels[:, :20])
    assert main(["measure", str(path), "-o", str(out), "--overwrite"]) == 1
    said = capsys.readouterr().err
    assert "a.tif has 20 x 20 x 60 pixels, and its .spad.json tells of 20 x 30 x 60" in said


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
    again = result(tmp_path, "twice", (30, 60)).rename(tmp_path / "twice.nii.gz")
    (tmp_path / "a.mha").write_bytes(b"")
    for path, said in (
        (tmp_path / "nowhere.tif", "there is no such file or folder"),
        (tmp_path / "a.mha", "is none of .seg.nrrd, .nii.gz, .nrrd, .nii, .tiff, .tif, .png"),
        (again, "twice.spad.json is of twice.png, exported later"),
    ):
        assert main(["measure", str(path), "-o", str(tmp_path / "t.csv")]) == 2
        assert said in capsys.readouterr().err


def test_visits_of_an_eye_become_a_table_and_a_page(tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    later, first = grown(tmp_path, "later", 10), grown(tmp_path, "first", 0)
    out, page = tmp_path / "t.csv", tmp_path / "p.pdf"
    words = ["measure", str(later), str(first), "-o", str(out)]
    dates = ["--visits", "2026-03-02", "2026-01-31"]
    assert main([*words, *dates, "--plot", str(page), "--fovea", "centre"]) == 0
    rows = [r for r in table(out) if r["region"] == "total"]
    assert [r["visit"] for r in rows] == ["2026-01-31", "2026-03-02"]
    assert [r["days since the first visit"] for r in rows] == ["0", "30"]
    assert [r["volume [nL]"] for r in rows] == ["24", "48"]
    assert [r["change since the first visit [nL]"] for r in rows] == ["0", "24"]
    assert rows[0]["model"] == "oct-phantom"
    assert page.read_bytes().startswith(b"%PDF")
    assert main([*words, "--overwrite", "--visits"]) == 0
    assert "no dates are known" in capsys.readouterr().err
    assert [r["case"] for r in table(out) if r["region"] == "total"] == ["later", "first"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--visits", "2026-01-31"], "1 dates for 2 results"),
        (["--visits", "31.1.2026", ""], "is no day; write it as 2026-01-31"),
        (["--visits", "2026-01-31", ""], "no date is known of “b”"),
        (["--visits", "--against", "x"], "two questions"),
        (["--plot", "p.pdf"], "add --visits or --against"),
        (["--visits", "--plot", "p.jpg"], "no .pdf or .png"),
    ],
)
def test_what_is_asked_wrongly_of_visits_is_said(tmp_path: Path, capsys, more, said) -> None:
    results = [str(grown(tmp_path, name, 0)) for name in "ab"]
    assert main(["measure", *results, "-o", str(tmp_path / "t.csv"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_a_visit_that_fails_lets_no_table_be_written(tmp_path: Path, capsys) -> None:
    results = [str(grown(tmp_path, "a", 0)), str(result(tmp_path, "lost"))]
    assert main(["measure", *results, "-o", str(tmp_path / "t.csv"), "--visits"]) == 1
    assert "nothing is written: lost" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_two_readers_are_set_against_each_other(tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    for reader, more in (("ours", (10, 4, 0)), ("theirs", (0, 0))):
        (tmp_path / reader).mkdir()
        for name, one in zip("abc", more, strict=False):
            grown(tmp_path / reader, name, one)
    out, plot = tmp_path / "t.csv", tmp_path / "p.png"
    words = ["measure", str(tmp_path / "ours"), "--against", str(tmp_path / "theirs")]
    assert main([*words, "-o", str(out), "--plot", str(plot)]) == 0
    rows = table(out)
    assert [r["volume of the other reader [nL]"] for r in rows] == ["24", "24", ""]
    assert [r["difference, here less the other [nL]"] for r in rows] == ["24", "9.6", ""]
    said = capsys.readouterr().err
    # 24 and 9.6: mean 16.8, standard deviation 10.18.
    assert "SRF: 2 pairs, mean difference +16.8 nL, limits of agreement -3.16 to +36.8 nL" in said
    assert "c: the other reader has no case of that name" in said
    assert plot.read_bytes().startswith(b"\x89PNG")
    alone = ["measure", str(tmp_path / "ours" / "a.tif"), *words[2:], "--overwrite"]
    assert main([*alone, "-o", str(out), "--plot", str(plot)]) == 2
    assert "need at least 2" in capsys.readouterr().err
    assert len(table(out)) == 1  # the table is there all the same


def test_eyes_without_a_structure_in_either_reading_do_not_make_readers_agree(
    tmp_path: Path, capsys
) -> None:
    """As in napari, B-scan by B-scan, and as absent structures have no Dice."""
    for reader, more in (("ours", (10, 4, 0, 0)), ("theirs", (0, 0, 0, 0))):
        (tmp_path / reader).mkdir()
        for name, one in zip("abcd", more, strict=True):
            path = grown(tmp_path / reader, name, one)
            if name in "cd":
                tifffile.imwrite(path, np.zeros((20, 30, 60), np.uint8))
    readers = [str(tmp_path / "ours"), "--against", str(tmp_path / "theirs")]
    assert main(["measure", *readers, "-o", str(tmp_path / "t.csv")]) == 0
    said = capsys.readouterr().err
    assert "SRF: 2 pairs (2 more, in which neither has it, left out), mean difference +16.8" in said
    assert "limits of agreement -3.16 to +36.8 nL" in said
    assert [r["difference, here less the other [nL]"] for r in table(tmp_path / "t.csv")][2:] == [
        "0", "0",
    ]  # fmt: skip


def test_what_limits_the_other_reader_s_numbers_stands_beside_them(tmp_path: Path) -> None:
    for reader in ("ours", "theirs"):
        (tmp_path / reader).mkdir()
        path = grown(tmp_path / reader, "a", 0)
    labels = tifffile.imread(path)
    labels[11:] = 255  # they have not looked at these
    tifffile.imwrite(path, labels)
    readers = [str(tmp_path / "ours"), "--against", str(tmp_path / "theirs")]
    assert main(["measure", *readers, "-o", str(tmp_path / "t.csv")]) == 0
    (row,) = table(tmp_path / "t.csv")
    assert "0.45 of the pixels are not labelled" in row["remark of the other reader"]
    assert "not labelled" not in row["remark"]


@pytest.mark.parametrize("twins", ["ours", "theirs"])
def test_readers_are_not_paired_where_two_results_have_one_name(tmp_path: Path, capsys, twins):
    for folder in ("ours", "theirs", twins + "/more"):
        (tmp_path / folder).mkdir()
        grown(tmp_path / folder, "a", 0)
    given = {reader: [str(tmp_path / reader)] for reader in ("ours", "theirs")}
    given[twins].append(str(tmp_path / twins / "more"))
    words = [
        "measure",
        *given["ours"],
        "--against",
        *given["theirs"],
        "-o",
        str(tmp_path / "t.csv"),
    ]
    assert main(words) == 2
    assert "ask folder by folder" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()


def test_lines_beside_a_result_give_the_thickness_of_layers(tmp_path: Path, capsys) -> None:
    told = {"scale": SCALE.as_json(), "eye": "OS", "fovea": {"at": [10, 30], "origin": "by hand"}}
    result(tmp_path, "a", **told)
    result(tmp_path, "b", **told)
    heights = np.stack([np.full((20, 60), row, np.float32) for row in (5, 25)])
    heights[1, :, :6] = np.nan
    lines = Lines(("ILM", "BM"), heights)
    write_lines(lines, tmp_path / "a.lines.csv")
    assert main(["measure", str(tmp_path), "-o", str(tmp_path / "out.csv")]) == 0
    rows = table(tmp_path / "out.csv")
    found = {r["region"]: r for r in rows if r["structure"] == "ILM – BM"}
    assert {r["case"] for r in found.values()} == {"a"}
    assert float(found["C1"]["mean height [µm]"]) == pytest.approx(80)
    assert "missing in 10.0% of the columns" in found["total"]["remark"]
    assert found["total"]["scale"] == rows[0]["scale"]
    lines.heights[0] -= 1
    write_lines(lines, tmp_path / "b.lines.csv")  # the first visit
    days = ["--visits", "2026-02-10", "2026-01-10", "--overwrite"]
    assert main(["measure", str(tmp_path), "-o", str(tmp_path / "out.csv"), *days]) == 0
    found = [
        r
        for r in table(tmp_path / "out.csv")
        if (r["structure"], r["region"]) == ("ILM – BM", "C1")
    ]
    told = [(r["visit"], r["days since the first visit"], r["mean height [µm]"]) for r in found]
    assert told == [("2026-01-10", "0", "84"), ("2026-02-10", "31", "80")]
    write_lines(lines, tmp_path / "b.lines.npz")
    write_lines(lines, tmp_path / "b.lines.csv")
    write_lines(Lines(lines.names, heights[:, 1:]), tmp_path / "a.lines.csv")
    assert main(["measure", str(tmp_path), "-o", str(tmp_path / "more.csv")]) == 1
    said = capsys.readouterr().err
    assert "lines of 19 B-scans of 60 columns, and its labels 20 of 60" in said
    assert "both b.lines.csv and b.lines.npz are beside it" in said
