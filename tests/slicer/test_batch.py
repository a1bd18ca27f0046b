"""Whole folders without a window, as Slicer runs a Python script."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import slicer
from fakes import FakeEngine
from PIL import Image
from scene import add_volume

from spad.inference import ServerError
from spad.pictures.image_files import png_bytes
from SPADLib.batch import main, segment
from SPADLib.read.volume_files import load_segmentation, load_volume
from SPADLib.scene.result import Result


@pytest.fixture
def engine(tmp_path, scene):
    return FakeEngine(tmp_path)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    image = np.zeros((20, 30), np.uint8)
    image[5:12, 4:20] = 200
    Image.fromarray(image).save(folder / "scan_001.png")
    Image.fromarray(np.repeat(image[..., None], 3, 2)).save(folder / "scan_002.png")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image")
    return folder


def run(engine, images, out, *more):
    chosen = ["--checkpoint", str(engine.checkpoint), *more]
    return main(["--input", str(images), "--output", str(out), *chosen], engine=engine)


def test_every_image_of_a_folder_is_segmented_and_a_broken_one_costs_no_other(
    engine, images, tmp_path, capsys
):
    out = tmp_path / "out"
    assert run(engine, images, out, "--uncertainty") == 1
    told = capsys.readouterr()
    assert "broken.png: cannot be read" in told.err
    assert "2 of 3 done" in told.out
    assert "“scan_002.png” is a colour image: the model sees its luminance" in told.out
    assert told.out.count("unlike the training images") >= 2
    for name in ("scan_001", "scan_002"):
        node = load_segmentation(out / f"{name}.seg.nrrd")
        assert node.GetSegmentation().GetNumberOfSegments() == 3
        sidecar = json.loads((out / f"{name}.spad.json").read_text())
        assert sidecar["shape"] == [1, 20, 30]
        assert (out / f"{name}.uncertainty.nrrd").is_file()
    assert engine.asked[1]["rgb"]
    assert engine.asked[0]["image"].shape == (1, 20, 30)  # scan_001 alone, not a stack of both


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf_8_costs_no_other(engine, images, tmp_path, capsys):
    (images / "scan_001.png").rename(images / os.fsdecode(b"\xff.png"))
    assert run(engine, images, tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "\\udcff.png: its name is no UTF-8, which Slicer asks for; rename it" in told.err
    assert "1 of 3 done" in told.out  # broken.png is the other


def test_a_server_that_is_gone_ends_it_in_words(engine, images, tmp_path, capsys, monkeypatch):
    def gone(*_, **__):
        raise ServerError("the server is gone")

    monkeypatch.setattr(engine, "load", gone)
    assert run(engine, images, tmp_path / "out") == 1
    told = capsys.readouterr()
    assert told.err.count("the server is gone") == 1
    assert "0 of 3 done" in told.out


def test_a_name_too_long_for_the_results_is_refused_before_the_computing(
    engine, images, tmp_path, capsys
):
    long = "a" * 250
    (images / f"{long}.png").write_bytes((images / "scan_001.png").read_bytes())
    assert run(engine, images / f"{long}.png", tmp_path / "out") == 1
    assert "shorten the name by" in capsys.readouterr().err
    assert not engine.asked
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_takes_no_files_is_refused_before_the_computing(
    engine, images, tmp_path, capsys, monkeypatch
):
    def full(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert run(engine, images, tmp_path / "out") == 2
    assert f"Nothing was done: {tmp_path / 'out'}: Read-only" in capsys.readouterr().err
    assert not engine.asked


def test_what_is_done_is_not_done_again_unless_asked(engine, images, tmp_path, capsys):
    out = tmp_path / "out"
    (images / "broken.png").unlink()
    assert run(engine, images, out) == 0
    count = len(engine.asked)
    assert run(engine, images, out) == 0
    assert len(engine.asked) == count
    assert "done before; --replace" in capsys.readouterr().out
    run(engine, images, out, "--seed", "1")
    assert "done before with other samples, steps or seed; --replace" in capsys.readouterr().out
    engine.checkpoint.write_bytes(b"learnt since")
    run(engine, images, out)
    assert "done before by another model, “fake”; --replace does it" in capsys.readouterr().out
    assert run(engine, images, out, "--replace") == 0
    assert len(engine.asked) == 2 * count


def test_images_of_a_case_folder_have_the_spacing_that_it_tells(engine, images, tmp_path):
    """Results told none, so that nothing could be measured; those of the other hosts did."""
    (images / "broken.png").unlink()
    folder, out = tmp_path / "cases", tmp_path / "out"
    folder.mkdir()
    images.rename(folder / "images")
    (folder / "labels.json").write_text('{"0": "background", "1": "SRF"}')
    (folder / "cases.json").write_text('{"scan_001": {"spacing_mm": [0.004, 0.012]}}')
    assert run(engine, folder, out) == 0
    known, unknown = (
        json.loads((out / f"{name}.spad.json").read_text())["facts"]["scale"]
        for name in ("scan_001", "scan_002")
    )
    assert [(one["mm"], one["origin"]) for one in known.values()] == [
        (None, "unknown"),
        (pytest.approx(0.004), "in the file"),
        (pytest.approx(0.012), "in the file"),
    ]
    assert [one["mm"] for one in unknown.values()] == [None] * 3


def test_references_are_scored(engine, images, tmp_path, capsys):
    out, references = tmp_path / "out", tmp_path / "references"
    (images / "broken.png").unlink()
    references.mkdir()
    truth = np.zeros((20, 30), np.uint8)
    truth[5:12, 4:20] = 1
    Image.fromarray(truth).save(references / "scan_001.png")
    assert run(engine, images, out, "--references", str(references)) == 0
    told = capsys.readouterr().out
    assert "Dice: SRF 1.000, IRF absent in both, PED absent in both" in told
    assert "no reference “scan_002”" in told
    assert "SRF" in (out / "scan_001.scores.csv").read_text()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_as_reference_lies_on_the_images_pixels(engine, images, tmp_path, suffix, capsys):
    """Of a case folder, whose images are of thousandths of a millimetre, all was “invented”."""
    (images / "broken.png").unlink()
    folder, out, masks = tmp_path / "cases", tmp_path / "out", tmp_path / "cases" / "masks"
    masks.mkdir(parents=True)
    images.rename(folder / "images")
    (folder / "labels.json").write_text('{"0": "background", "1": "SRF"}')
    (folder / "cases.json").write_text('{"scan_001": {"spacing_mm": [0.004, 0.012]}}')
    truth = np.zeros((20, 30), np.uint8)
    truth[5:12, 4:19] = 1  # of 16 columns
    Image.fromarray(truth).save(masks / f"scan_001{suffix}")
    Image.fromarray(truth[:-1]).save(masks / f"scan_002{suffix}")
    assert run(engine, folder, out, "--references", str(masks)) == 1
    told = capsys.readouterr()
    assert f"Dice: SRF {2 * 15 / 31:.3f}, IRF absent" in told.out
    assert "matched by value" not in told.out
    with (out / "scan_001.scores.csv").open(encoding="utf-8-sig", newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["structure"] == "SRF")
    assert (row["pixels"], row["reference_pixels"], row["hd95_unit"]) == ("112", "105", "mm")
    assert f"“scan_002{suffix}” has 1 × 19 × 30 pixels, and its image 1 × 20 × 30" in told.err
    assert (out / "scan_002.seg.nrrd").is_file()
    assert run(engine, folder, out, "--references", str(masks)) == 0
    assert capsys.readouterr().out.count("done before, but not scored; --replace") == 1


@pytest.mark.parametrize("told_by", ["case folder", "sidecar"])
@pytest.mark.parametrize(
    ("names", "dice", "remark"),
    [
        ({1: "IRF", 2: "SRF"}, "SRF 1.000, IRF absent in both", ""),
        ({1: "a", 2: "b"}, "SRF invented, IRF missed", "matched by value"),
    ],
)
def test_a_reference_is_known_by_the_names_that_its_folder_or_sidecar_tells(
    engine, images, tmp_path, capsys, told_by, names, dice, remark
):
    """RETOUCH's IRF is 1, and was compared with the model's SRF, which is 1, too."""
    for name in ("broken.png", "scan_002.png"):
        (images / name).unlink()
    folder, masks = tmp_path / "cases", tmp_path / "cases" / "masks"
    masks.mkdir(parents=True)
    images.rename(folder / "images")
    truth = np.zeros((20, 30), np.uint8)
    truth[5:12, 4:20] = 2
    Image.fromarray(truth).save(masks / "scan_001.png")
    classes = {0: "background", **names}
    if told_by == "case folder":
        (folder / "labels.json").write_text(json.dumps(classes))
    else:
        listed = [{"value": v, "name": n, "color": [1, 2, 3]} for v, n in classes.items()]
        (masks / "scan_001.spad.json").write_text(json.dumps({"classes": listed}))
    run(engine, folder / "images", tmp_path / "out", "--references", str(masks))
    told = capsys.readouterr().out
    assert f"Dice: {dice}" in told
    assert ("matched by value" in told) == bool(remark)


def test_what_is_written_serves_as_a_reference_and_a_bad_one_costs_only_the_scores(
    engine, images, tmp_path, capsys
):
    out, references = tmp_path / "out", tmp_path / "references"
    (images / "broken.png").unlink()
    references.mkdir()
    truth = np.zeros((20, 30), np.uint8)
    truth[5:12, 4:20] = 1
    palette = [v for c in engine.card.classes for v in c.color]
    (references / "scan_001.png").write_bytes(png_bytes(truth, palette))
    (references / "scan_002.png").write_bytes(b"no image")
    assert run(engine, images, out, "--references", str(references)) == 1
    told = capsys.readouterr()
    assert "Dice: SRF 1.000" in told.out
    assert "it is segmented, but not scored: " in told.err
    assert "scan_002.png: cannot be read" in told.err
    assert (out / "scan_002.seg.nrrd").is_file()


def test_of_two_references_none_is_left_to_chance(engine, images, tmp_path, capsys):
    out, references = tmp_path / "out", tmp_path / "references"
    (images / "broken.png").unlink()
    references.mkdir()
    for name in ("scan_001.png", "scan_001.tif"):
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(references / name)
    assert run(engine, images, out, "--references", str(references)) == 1
    told = capsys.readouterr()
    assert "holds scan_001.png, scan_001.tif: keep the one that is meant" in told.err
    assert "1 of 2 done" in told.out


def test_images_of_one_name_do_not_count_for_each_other(engine, images, tmp_path, capsys):
    out = tmp_path / "out"
    Image.open(images / "scan_001.png").save(tmp_path / "scan_001.tif")
    assert run(engine, images / "scan_001.png", out) == 0
    assert run(engine, tmp_path / "scan_001.tif", out) == 0
    assert len(engine.asked) == 2
    np.testing.assert_array_equal(engine.asked[0]["image"], engine.asked[1]["image"])
    assert (out / "scan_001.seg.nrrd").is_file()
    assert (out / "scan_001_tif.seg.nrrd").is_file()
    assert run(engine, tmp_path / "scan_001.tif", out) == 0
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "/nowhere", "--output", "out"], "there is no folder"),
        (["--input", ".", "--output", "out", "--layout", "z"], "is no layout"),
        (
            ["--input", "a.png", "--output", "out", "--references", "x"],
            "there is no folder x: give",
        ),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_done(
    scene, arguments, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save("a.png")
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


def test_one_call_segments_a_volume_of_the_scene(scene, engine):
    volume = add_volume(np.full((2, 8, 9), 200, np.uint8))
    told = []
    result = segment(volume, engine.checkpoint, engine=engine, told=told.append)
    assert isinstance(result, Result)
    assert (result.labels() == 1).all()
    assert any("opening" in t for t in told)
    with pytest.raises(ValueError, match="there is no checkpoint “missing”"):
        segment(volume, "missing", engine=engine)


def test_a_volume_that_is_saved_and_loaded_lies_where_it_was(scene, tmp_path):
    volume = add_volume(np.zeros((2, 8, 9), np.int16), spacing=(3, 2, 1), origin=(5, 6, 7))
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "v.nrrd"))
    assert storage.WriteData(volume)
    again = load_volume(tmp_path / "v.nrrd")
    assert again.GetOrigin() == pytest.approx(volume.GetOrigin())
    assert again.GetSpacing() == volume.GetSpacing()


@pytest.mark.slow
def test_the_script_runs_by_itself_with_the_shipped_model(tmp_path):
    """As Slicer would: only the file's name and arguments, in a fresh process, on slicer-core."""
    from spad.phantom import bscan

    (tmp_path / "in").mkdir()
    Image.fromarray(bscan(3, shape=(64, 96)).image).save(tmp_path / "in" / "phantom.png")
    script = Path(__file__).parents[2] / "slicer_module" / "SPAD" / "SPADLib" / "batch.py"
    ran = subprocess.run(
        [sys.executable, "-c", _AS_SLICER, str(script), "--input", str(tmp_path / "in"), "--output",
         str(tmp_path / "out"), "--checkpoint", "oct-phantom", "--samples", "2", "--steps", "2"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (tmp_path / "out" / "phantom.seg.nrrd").is_file()


_AS_SLICER = f"""
import runpy, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scene import new_scene
new_scene()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
