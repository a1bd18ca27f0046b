"""Corrected B-scans from any front end: which may be added, under whose name, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from spad.annotation.training_set import Addition, Corrected, Pixels, candidates, refuse_empty

NAMES = {0: "background", 1: "SRF", 2: "IRF"}


def bscan(number, *, patient=None, **options):
    array = np.random.default_rng(number).integers(0, 200, (6, 8)).astype(np.uint8)
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3] = 1
    return Corrected(number, labels, lambda: Pixels(array, **options), patient)


def addition(folder, bscans, *, patient=None, one=True, **options):
    given = {"annotated": ["SRF", "IRF"], "encode": lambda a: a.tobytes(), **options}
    one_patient = bscans[0].read if one else None
    return Addition(folder, bscans, NAMES, patient=patient, one_patient=one_patient, **given)


def patients(folder):
    held = json.loads((folder / "cases.json").read_text("utf-8"))
    return [case["patient"] for case in held.values()]


def test_candidates_are_what_was_painted_accepted_or_segmented():
    assert candidates([3], [1, 2], [0, 1]) == ([1, 3], [0, 1, 3])  # nothing is there in 2
    assert candidates([(0, 1)], [], [(0, 0)]) == ([(0, 1)], [(0, 0), (0, 1)])


@pytest.mark.parametrize(("place", "number"), [(3, 4), ((0, 3), 4), ((), 1)])
def test_a_bscan_that_nobody_has_been_at_is_refused(place, number):
    refuse_empty([place], {place})
    with pytest.raises(ValueError, match=f"B-scan {number} is not segmented, and nothing is"):
        refuse_empty([place], set())


def test_what_is_refused_is_numbered_as_the_host_counts(tmp_path):
    with pytest.raises(ValueError, match="B-scan 3 is not segmented"):
        refuse_empty([3], set(), first=0)
    strange = replace(bscan(4), labels=np.full_like(bscan(4).labels, 9))
    for first, number in ((0, 3), (1, 4)):
        adding = addition(tmp_path / "set", [strange], first=first)
        with pytest.raises(ValueError, match=f"B-scan {number} has pixels of the value 9"):
            list(adding.steps())


def test_bscans_are_added_one_by_one_and_told(tmp_path):
    adding = addition(tmp_path / "set", [bscan(1), bscan(2)])
    assert list(adding.steps()) == ["adding 1 of 2 B-scans…", "adding 2 of 2 B-scans…"]
    assert adding.told.startswith("Added 2. The set: 2 B-scans of 1 patient train.")
    assert len(set(patients(tmp_path / "set"))) == 1


def test_whoever_stops_leaves_a_whole_set(tmp_path):
    adding = addition(tmp_path / "set", [bscan(1), bscan(2)])
    steps = adding.steps()
    next(steps)
    assert not (tmp_path / "set").exists()
    next(steps)
    steps.close()
    assert adding.told.startswith("Added 1. The set: 1 B-scan of 1 patient train.")


def test_a_patient_is_whom_the_bscan_names_then_the_image_then_the_pixels(tmp_path):
    bscans = [bscan(1, patient="P-one"), bscan(2)]
    list(addition(tmp_path / "named", bscans, patient="P-two").steps())
    assert patients(tmp_path / "named") == ["P-one", "P-two"]
    list(addition(tmp_path / "own", [bscan(1), bscan(2)], one=False).steps())
    first, second = patients(tmp_path / "own")
    assert first != second
    assert first.startswith("image-")


def test_added_again_it_replaces_itself_and_the_older_label_map_is_kept(tmp_path):
    list(addition(tmp_path / "set", [bscan(1)]).steps())
    again = bscan(1)
    again.labels[4] = 2
    adding = addition(tmp_path / "set", [again])
    list(adding.steps())
    assert "1 had been there: replaced" in adding.told
    with pytest.raises(ValueError, match="a case of this name exists"):
        list(addition(tmp_path / "set", [bscan(1)], replace=False).steps())


def test_a_negative_is_stored_as_the_model_saw_it_and_padding_is_left_out(tmp_path):
    grey, said = Pixels(np.full((2, 3), 10, np.uint8), inverted=True).grey()
    assert (grey == 245).all()
    assert said == ""
    small = bscan(1)
    padded = Corrected(1, np.pad(small.labels, ((0, 4), (0, 4))), small.read)
    encoded = []
    adding = addition(tmp_path / "set", [padded], encode=lambda a: encoded.append(a) or b"x")
    list(adding.steps())
    assert {a.shape for a in encoded} == {(6, 8)}


def test_a_folder_that_cannot_be_written_to_is_said_in_words(tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match=r"cannot be written to \(No space left on device\): free"):
        list(addition(tmp_path / "set", [bscan(1)], encode=full).steps())
