"""What a session of version 0.1 left is taken up: choices, a crash's autosave, reviews, exports.

`tests/recorded/make_v0_1.py` tells what was done in that session.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")
pytest.importorskip("nibabel")
pytest.importorskip("nrrd")

import nibabel
import nrrd
import tifffile
from files_of_v0_1 import V0_1, arrays, laid_out
from PIL import Image as Picture
from qtpy.QtCore import QSettings

from napari_spad.keep.export import FORMATS, export, targets
from napari_spad.keep.log_lines import export_log
from napari_spad.learn.trainer_process import find
from napari_spad.read.reader import read
from spad.autosave.sessions import kept_layers
from spad.phantom import CLASS_NAMES, stack

pytestmark = pytest.mark.gui

SHAPE = (3, 32, 48)
EYE = stack(49, shape=SHAPE)
PLACED = {"scale": EYE.spacing_mm, "units": ("mm",) * 3}
CRASHED = json.loads((V0_1 / "napari" / "crashed.json").read_text("utf-8"))


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What the session left, with the models that it used."""
    laid_out("model", tmp_path / "model")
    return laid_out("napari", tmp_path)


@pytest.fixture
def dock(left: Path, make_napari_viewer, qtbot):
    """The dock in a new viewer, with the user's choices and folder."""
    from napari_spad.dock import SpadDock

    settings = QSettings(str(left / "settings.ini"), QSettings.Format.IniFormat)
    viewer = make_napari_viewer()
    dock = SpadDock(viewer, settings=settings, folder=left / "data")
    viewer.window.add_dock_widget(dock, name="SPAD segmentation", area="right")
    qtbot.waitUntil(lambda: dock.form.model.listed, timeout=60_000)
    return dock


def recovered(dock, qtbot):
    """The result, recovered after its image was opened."""
    dock.viewer.add_image(EYE.image, name="phantom", **PLACED)
    offer = dock.keep.kept.offer
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=15_000)
    assert "2 label layers with 4 B-scans" in offer.text.text()
    with qtbot.waitSignal(
        dock.desk.said, timeout=15_000, check_params_cb=lambda s: s.startswith("Recovered")
    ) as said:
        offer.buttons["Recover"].click()
    assert "“eye”: 3 B-scans on “phantom”" in said.args[0]
    assert "“drawn”: 1 B-scan" in said.args[0]
    (result,) = dock.results
    return result


def test_the_choices_are_those_of_the_last_session(dock, left: Path):
    form, keep, training = dock.form, dock.keep, dock.training
    assert form.checkpoint.path == left / "model" / "cached.safetensors"
    assert "tiny cached" in form.model.card_text.text()
    assert (form.samples.value(), form.whole.isChecked()) == (3, True)
    assert form.device.currentData() == "cpu"
    assert dock.correct.scope == "doubtful"
    assert keep.export_panel.format.currentData() == ".nrrd"
    assert Path(keep.export_panel.folder.text()) == left / "exports" / "nrrd"
    assert training.cases.folder.path == left / "cases"
    assert training.batch.images.path == left / "scans"
    assert training.fine_tune.minutes.value() == 0.1
    assert dock.desk.settings.value("annotator", "", str) == "reader 1"


def test_a_fine_tuning_of_an_earlier_session_is_found_with_its_end(dock, left: Path):
    training = find(left / "data")
    assert (training.name, training.start) == ("tuned", "cached")
    assert (training.minutes, training.own_images) == (0.1, True)
    assert training.best == left / "data" / "runs" / "tuned" / "best.safetensors"
    assert training.ending().how == "done"
    assert dock.training.fine_tune.status.text() == CRASHED["Fine-tune"]
    assert CRASHED["Fine-tune"] == "“tuned”: 101 steps done."
    assert "0.989" in dock.training.fine_tune.table.text()


def test_what_the_crash_left_comes_back_and_the_review_goes_on(dock, left: Path, qtbot):
    expected = arrays("napari/crashed.npz")
    result = recovered(dock, qtbot)
    assert result.layer.name == CRASHED["name"] == "eye"
    np.testing.assert_array_equal(result.layer.data, expected["labels"])
    np.testing.assert_array_equal(result.hand.mask, expected["by_hand"])
    np.testing.assert_array_equal(result.written, expected["written"])
    np.testing.assert_array_equal(result.uncertainty.data, expected["uncertainty"])
    for z in range(SHAPE[0]):
        np.testing.assert_array_equal(result.packed[(z,)].samples(), expected["samples"][z])
    assert result.layer.metadata["spad"]["provenance"] == CRASHED["provenance"]
    assert [c.as_json() for c in result.classes] == CRASHED["classes"]
    assert result.locked == {3}
    np.testing.assert_allclose(result.layer.scale, EYE.spacing_mm)
    np.testing.assert_array_equal(dock.viewer.layers["drawn"].data, expected["drawn"])
    assert expected["drawn"].max() == 7

    queue = dock.review.reviews.bench(result).queue
    states = {(int(z),): state for z, state in CRASHED["states"].items()}
    assert states == {(0,): "edited", (1,): "accepted", (2,): "skipped"}
    qtbot.waitUntil(lambda: dict(queue.state) == states, timeout=15_000)


def test_nothing_that_was_open_in_the_crash_is_forgotten(left: Path):
    kept = kept_layers(left / "data" / "autosave")
    assert {(k.name, k.bscans, k.lost) for k in kept} == {("eye", 3, True), ("drawn", 1, True)}


def test_a_batch_does_not_do_again_what_was_done(dock, qtbot):
    dock.training.batch.folder.click()
    qtbot.waitUntil(lambda: not dock.desk.busy, timeout=30_000)
    assert dock.training.batch.status.text() == "0 segmented, 2 done before and skipped."


def test_the_log_is_exported_as_it_was(left: Path):
    assert export_log(left / "data" / "log", left / "log.csv") == 1
    rows = [
        list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
        for path in (left / "log.csv", left / "exports" / "log.csv")
    ]
    assert rows[0] == rows[1]
    (row,) = rows[0]
    assert (row["annotator"], row["bscan"], row["strokes"]) == ("reader 1", "2", "2")
    assert (row["undos"], row["redos"], row["resamplings"]) == ("1", "0", "1")
    assert (row["pixels IRF"], row["pixels SHRM"], row["pixels SRF"]) == ("10", "11", "")
    assert (row["Dice before SRF"], row["Dice after IRF"]) == ("0.0473", "0.022")


# ---------------------------------------------------------------------- exports


def pixels(path: Path) -> np.ndarray:
    """Labels of an export (Z, H, W), or (H, W) of a PNG."""
    if path.suffix == ".png":
        with Picture.open(path) as picture:
            return np.asarray(picture)
    if path.suffix == ".tif":
        return tifffile.imread(path)
    if path.suffix == ".nrrd":
        return nrrd.read(str(path), index_order="C")[0]
    return np.asarray(nibabel.load(path).dataobj).T


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
def test_an_export_holds_the_labels_and_is_written_the_same_today(
    dock, left: Path, tmp_path: Path, qtbot, form
):
    exported = arrays("napari/exported.npz")
    old = left / "exports" / form.suffix[1:]
    result = recovered(dock, qtbot)
    result.layer.data[...] = exported["labels"]
    result.layer.metadata["spad"]["by_hand"][...] = exported["by_hand"]
    data, meta, _ = result.layer.as_layer_data_tuple()
    meta = {**meta, "metadata": {**meta["metadata"], "annotator": "reader 1"}}
    new = tmp_path / "new"
    export(new / f"eye{form.suffix}", form, data, meta)
    assert {p.name for p in new.iterdir()} == {p.name for p in old.iterdir()}
    for place, path in targets(old / f"eye{form.suffix}", form, SHAPE).items():
        np.testing.assert_array_equal(pixels(path), exported["labels"][place])
        np.testing.assert_array_equal(pixels(new / path.name), exported["labels"][place])
    for beside in old.glob("*.spad.json"):
        was = json.loads(beside.read_text("utf-8"))
        assert json.loads((new / beside.name).read_text("utf-8")) == was
        assert [c["name"] for c in was["classes"]] == list(CLASS_NAMES)
    if form.suffix.endswith("nrrd"):
        name = f"eye{form.suffix}"
        assert header(new / name) == header(old / name)


def header(path: Path) -> dict[str, str]:
    """What an NRRD file says of its pixels."""
    return {key: str(value) for key, value in nrrd.read_header(str(path)).items()}


def test_a_nifti_export_opens_in_the_viewer(left: Path):
    ((data, settings, kind),) = read(left / "exports" / "nii.gz" / "eye.nii.gz")
    labels = arrays("napari/exported.npz")["labels"]
    assert kind == "labels"
    np.testing.assert_array_equal(data, labels)
    assert settings["scale"] == pytest.approx(EYE.spacing_mm, rel=1e-5)
