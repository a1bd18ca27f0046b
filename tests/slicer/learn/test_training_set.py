"""Corrected B-scans become cases that the trainer reads, and nobody learns whose they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
from fakes import paint, run_of
from scene import add_volume

pytest.importorskip("PIL")

from spad.cases import Layout, open_folder
from spad.cases.pseudonyms import pseudonym
from spad.inference import drained
from spad.pictures.image_files import read_file
from spad.train.data import check, read_image, read_labels
from SPADLib.desk.png import png_bytes
from SPADLib.host import data_folder
from SPADLib.learn.pseudonym import patient_of
from SPADLib.learn.training_set import add, candidates_of
from SPADLib.scene.result import Result

SHAPE = (4, 12, 16)
NAME, ID, VOLUME = "Mustermann^Erika", "PID-4711", "Erika left eye"
EVERY = ("SRF", "IRF", "PED")


def pixels(seed=0, dtype=np.uint8):
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, SHAPE, dtype, endpoint=True)


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[1, 2:5, 3:9], out[2, 6:9, 1:4] = 1, 2
    return out


@pytest.fixture
def result(scene, labels):
    volume = add_volume(pixels(), spacing=(0.2, 0.004, 0.01), name=VOLUME)
    return Result.create(volume, Layout(), run_of(labels))


def of_patient(volume, name=NAME, number=ID):
    """Put a volume under a patient and a study, as loading DICOM does."""
    names = slicer.vtkMRMLSubjectHierarchyConstants
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), f"{name} ({number})")
    hierarchy.SetItemAttribute(patient, names.GetDICOMPatientIDAttributeName(), number)
    hierarchy.SetItemAttribute(patient, names.GetDICOMPatientNameAttributeName(), name)
    study = hierarchy.CreateStudyItem(patient, "2026-01-01")
    hierarchy.CreateItem(study, volume)


def put(result, bscans, folder, **options):
    given = {"annotated": EVERY, "own_patients": False, "keys": folder.parent / "keys"} | options
    said = []
    return drained(add(result, bscans, folder, **given), said.append), said


def read(folder):
    """What the trainer sees, by the number of the B-scan; it refuses a faulty folder."""
    opened = open_folder(folder)
    check([opened], None, [split for split, some in opened.splits.items() if some])
    same = np.arange(256, dtype=np.uint8)
    found = {}
    for case in (c for some in opened.splits.values() for c in some):
        number = int(case.name.split("_")[-2])
        found[number] = case, read_image(case), read_labels(case, same)
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 33)])
def test_png_files_hold_the_very_pixels(dtype, shape, tmp_path):
    array = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    view = array[:, ::-1]  # as layouts give them
    (tmp_path / "x.png").write_bytes(png_bytes(view))
    again = read_file(tmp_path / "x.png")
    assert again.dtype == dtype
    assert np.array_equal(again, view)


def test_the_trainer_reads_what_was_added(result, labels, tmp_path):
    paint(result, 2, slice(0, 2), slice(0, 6), 3)
    labels[2, :2, :6] = 3
    written, said = put(result, [1, 2], tmp_path / "set")
    found = read(tmp_path / "set")
    assert sorted(found) == [2, 3]
    for z in (1, 2):
        case, image, stored = found[z + 1]
        assert np.array_equal(image, slicer.util.arrayFromVolume(result.volume)[z])
        assert np.array_equal(stored, labels[z])
        assert case.spacing_mm == pytest.approx((0.004, 0.01))
    assert len(written.splits) == 2
    assert said[:2] == ["adding 1 of 2 B-scans…", "adding 2 of 2 B-scans…"]
    assert said[2].startswith("Added 2. The set: 2 B-scans of 1 patient train.")


@pytest.mark.parametrize("code", ["kUM", "jT", "iTM"])
def test_cases_are_the_bscans_as_the_model_saw_them(scene, tmp_path, code):
    layout = Layout.of(code)
    volume = add_volume(pixels(), spacing=(0.2, 0.004, 0.01), name=VOLUME)
    labels = np.zeros(layout.stack(np.zeros(SHAPE)).shape, np.uint8)
    labels[1, 0, :3] = 2
    result = Result.create(volume, layout, run_of(labels))
    put(result, [1], tmp_path / "set")
    case, image, stored = read(tmp_path / "set")[2]
    assert np.array_equal(image, layout.stack(slicer.util.arrayFromVolume(volume))[1])
    assert np.array_equal(stored, labels[1])
    assert case.spacing_mm == pytest.approx(result.spacing_mm[1:])


def test_nothing_written_tells_who_the_patient_is(result, tmp_path):
    of_patient(result.volume)
    put(result, [0, 1, 2], tmp_path / "set")
    files = [f for f in (tmp_path / "set").rglob("*") if f.is_file()]
    assert len(files) == 3 + 2 * 3
    for file in files:
        held = file.read_bytes().lower() + str(file.relative_to(tmp_path)).lower().encode()
        for word in ("mustermann", "erika", "4711", "left eye", str(tmp_path)):
            assert word.lower().encode() not in held, (file, word)


def test_the_patient_of_dicom_has_one_keyed_pseudonym_in_all_volumes(result, scene, tmp_path):
    keys = tmp_path / "keys"
    other = add_volume(pixels(5), name="second visit")
    second = Result.create(other, Layout(), run_of(np.ones(SHAPE, np.uint8)))
    of_patient(result.volume)
    of_patient(other)
    put(result, [1], tmp_path / "set")
    put(second, [2], tmp_path / "set")
    told = json.loads((tmp_path / "set" / "cases.json").read_text("utf-8"))
    assert {case["patient"] for case in told.values()} == {pseudonym(ID, folder=keys)}
    assert patient_of(result.volume, tmp_path / "others") != pseudonym(ID, folder=keys)


def test_bscans_of_dicom_are_one_patients_even_if_another_is_said(result, tmp_path):
    of_patient(result.volume)
    put(result, [0, 1], tmp_path / "set", own_patients=True)
    told = json.loads((tmp_path / "set" / "cases.json").read_text("utf-8"))
    assert len({case["patient"] for case in told.values()}) == 1


def test_without_dicom_a_volume_is_one_patient_unless_each_bscan_is_its_own(result, tmp_path):
    written, _ = put(result, [0, 1, 2], tmp_path / "one")
    assert sum(written.patients.values()) == 1
    assert not (tmp_path / "keys").exists()
    written, _ = put(result, [0, 1, 2], tmp_path / "each", own_patients=True)
    assert sum(written.patients.values()) == 3


def test_structures_that_nobody_looked_for_are_not_learned(result, labels, tmp_path):
    put(result, [1, 2], tmp_path / "set", annotated=["SRF"])
    found = read(tmp_path / "set")
    assert np.array_equal(found[2][2], labels[1])
    assert (found[3][2][labels[2] == 2] == 255).all()
    assert set(found[3][0].annotated) == {"SRF"}


def test_where_the_person_has_a_segment_of_their_own_nothing_is_learned(result, labels, tmp_path):
    own = result.segmentation.GetSegmentation().AddEmptySegment("artefact", "artefact")
    part = np.zeros(SHAPE, np.uint8)
    part[1, 8:10, :] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(part, result.segmentation, own, result.volume)
    put(result, [1], tmp_path / "set")
    stored = read(tmp_path / "set")[2][2]
    assert (stored[8:10] == 255).all()
    assert np.array_equal(np.delete(stored, [8, 9], 0), np.delete(labels[1], [8, 9], 0))


def test_a_bscan_that_was_run_as_its_negative_is_stored_so(scene, labels, tmp_path):
    volume = add_volume(pixels(2, np.uint16), name=VOLUME)
    result = Result.create(volume, Layout(), run_of(labels, inverted=True))
    result.take(run_of(labels[:1], inverted=False), 0)
    put(result, [0, 1], tmp_path / "set")
    found, stored = read(tmp_path / "set"), slicer.util.arrayFromVolume(volume)
    assert np.array_equal(found[1][1], stored[0])
    assert np.array_equal(found[2][1], 65535 - stored[1])


def test_colours_become_grey_and_that_is_said(scene, labels, tmp_path):
    array = np.random.default_rng(3).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    volume = add_volume(array, kind="vtkMRMLVectorVolumeNode", name=VOLUME)
    result = Result.create(volume, Layout(), run_of(labels))
    _, said = put(result, [1], tmp_path / "set")
    assert "Colours became grey (Rec. 601)." in said[-1]
    image = read(tmp_path / "set")[2][1]
    assert np.abs(image - array[1] @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-6


def test_spacing_of_1_mm_by_default_is_not_passed_on_as_measured(scene, labels, tmp_path):
    result = Result.create(add_volume(pixels(), name=VOLUME), Layout(), run_of(labels))
    put(result, [1], tmp_path / "set")
    assert read(tmp_path / "set")[2][0].spacing_mm is None


def test_adding_a_bscan_again_replaces_it_and_keeps_the_older_label_map(result, tmp_path):
    put(result, [1], tmp_path / "set")
    paint(result, 1, slice(0, 2), slice(0, 2), 3)
    written, said = put(result, [1], tmp_path / "set")
    assert len(written.kept) == 1
    assert "1 had been there: replaced" in said[-1]
    assert (read(tmp_path / "set")[2][2][:2, :2] == 3).all()
    with pytest.raises(ValueError, match="a case of this name exists"):
        put(result, [1], tmp_path / "set", replace=False)


def test_painting_on_while_it_is_added_changes_nothing(result, labels, tmp_path):
    steps = add(
        result, [0, 1], tmp_path / "set", annotated=EVERY, own_patients=False, keys=tmp_path / "k"
    )
    next(steps)
    paint(result, 1, slice(0, 12), slice(0, 16), 3)
    list(steps)
    assert np.array_equal(read(tmp_path / "set")[2][2], labels[1])


def test_what_was_added_before_it_was_stopped_is_a_whole_set(result, tmp_path):
    steps = add(
        result, [0, 1, 2], tmp_path / "set", annotated=EVERY, own_patients=False, keys=tmp_path
    )
    next(steps)
    next(steps)
    steps.close()
    assert sorted(read(tmp_path / "set")) == [1]


def test_bscans_that_nobody_has_been_at_are_refused(scene, labels, tmp_path):
    volume = add_volume(pixels(), name=VOLUME)
    result = Result.create(volume, Layout(), run_of(labels[1:2]), first=1)
    with pytest.raises(ValueError, match="B-scan 4 is not segmented, and nothing is painted in"):
        put(result, [1, 3], tmp_path / "set")
    assert not (tmp_path / "set").exists()
    paint(result, 3, slice(0, 2), slice(0, 2), 1)
    put(result, [1, 3], tmp_path / "set")
    assert sorted(read(tmp_path / "set")) == [2, 4]


@pytest.mark.parametrize(
    ("bscans", "said"), [([], "No B-scan is chosen"), ([4], "B-scan 5 was asked for; .* 1 to 4")]
)
def test_bscans_that_are_not_there_are_refused(result, tmp_path, bscans, said):
    with pytest.raises(ValueError, match=said):
        put(result, bscans, tmp_path / "set")


def test_a_folder_of_something_else_is_refused(result, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "holiday.txt").write_text("sun")
    with pytest.raises(ValueError, match="is no case folder"):
        put(result, [1], folder)
    assert [f.name for f in folder.iterdir()] == ["holiday.txt"]


def test_a_full_disk_is_said_in_words(result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ValueError, match=r"cannot be written to \(No space left on device\)"):
        put(result, [1], tmp_path / "set")


def test_a_result_without_its_volume_is_refused(result, scene, tmp_path):
    scene.RemoveNode(result.volume)
    with pytest.raises(ValueError, match="was removed from the scene"):
        put(result, [1], tmp_path / "set")


def test_candidates_are_what_was_painted_accepted_or_segmented(scene, labels):
    volume = add_volume(pixels(), name=VOLUME)
    result = Result.create(volume, Layout(), run_of(labels[:2]))
    paint(result, 3, slice(0, 2), slice(0, 2), 1)
    corrected, labelled = candidates_of(result, {1, 2})
    assert corrected == [1, 3]  # 2 is accepted, and nothing is there
    assert labelled == [0, 1, 3]


def test_every_host_on_a_machine_has_the_same_key(monkeypatch):
    core = pytest.importorskip("PySide6.QtCore")
    places = core.QStandardPaths
    base = places.writableLocation(places.StandardLocation.GenericDataLocation)
    assert data_folder() == Path(base) / "napari-spad"
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
        assert data_folder() == Path("/elsewhere/napari-spad")
