"""The sidecar: what was edited, by whom, and nothing that tells where or of whom the image is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spad.cases.sidecars import edited_pixels, runs_of, sidecar, without_paths
from spad.checkpoint.labels import label_classes

CLASSES = label_classes(("background", "SRF", "IRF"))


def test_edited_pixels_are_counted_by_structure_and_bscan():
    labels = np.zeros((3, 4, 5), np.uint8)
    by_hand = np.zeros_like(labels)
    labels[0], labels[2, 0] = 1, 2
    by_hand[0, :2], by_hand[2, 0, :3], by_hand[2, 1, 0] = 1, 1, 1  # the last one was erased
    edited = edited_pixels(labels, by_hand, CLASSES)
    assert edited["pixels"] == {"SRF": 10, "background": 1, "IRF": 3}
    assert edited["bscans"] == [
        {"bscan": [0], "pixels": {"SRF": 10}},
        {"bscan": [2], "pixels": {"background": 1, "IRF": 3}},
    ]
    flat = edited_pixels(labels[0], by_hand[0], [c.as_json() for c in CLASSES])
    assert flat["bscans"] == [{"bscan": [], "pixels": {"SRF": 10}}]
    assert edited_pixels(labels, by_hand * 0, CLASSES) == {"pixels": {}, "bscans": []}


def test_a_value_without_a_class_is_counted_by_its_number():
    one = np.full((1, 2), 9)
    assert edited_pixels(one, one, CLASSES)["pixels"] == {"class 9": 2}


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        edited_pixels(np.zeros((2, 3)), np.zeros((3, 2)), CLASSES)


def test_no_path_of_the_users_gets_into_a_sidecar():
    content = sidecar(
        labels="/home/someone/out/a.tif",
        image=r"C:\scans\eye.vol",
        shape=(2, 3),
        spacing_mm=None,
        classes=CLASSES,
        provenance=[{"bscan": [0], "checkpoint": {"file": "/home/someone/model.safetensors"}}],
    )
    text = json.dumps(content)
    assert "someone" not in text
    assert "scans" not in text
    assert content["labels"] == "a.tif"
    assert content["image"] == "eye.vol"
    assert content["provenance"][0]["checkpoint"]["file"] == "model.safetensors"


def test_what_measurements_rest_on_is_kept_and_nothing_else_of_a_layer():
    given = {"labels": "a.tif", "image": "x", "shape": (2, 3), "spacing_mm": None,
             "classes": CLASSES, "provenance": []}  # fmt: skip
    scale = {"row": {"mm": 0.004, "origin": "typed", "how": ""}}
    facts = {"scale": scale, "eye": "OD", "fovea": {"at": [1, 2]}, "date": "2026-01-31"}
    assert sidecar(**given, facts=facts)["facts"] == {
        k: facts[k] for k in ("scale", "eye", "fovea")
    }
    # Another plugin's metadata of the same name need be no JSON.
    assert "facts" not in sidecar(**given, facts={"scale": np.ones(3), "first": 3})
    assert "facts" not in sidecar(**given)


@pytest.mark.parametrize("value", ["IS/OS", "a/b.tif", "", 3, None, [1.5, "x"]])
def test_other_values_stay_as_they_are(value):
    assert without_paths(value) == value


def test_of_each_bscan_the_last_run_is_told_whichever_host_made_it():
    assert runs_of({"seed": 3, "left_empty": [1]}, 3).keys() == {0, 2}  # `spad segment`
    napari = [{"bscan": [1], "seed": 1}, {"bscan": [0], "seed": 2}]
    assert {z: run["seed"] for z, run in runs_of(napari, 2).items()} == {0: 2, 1: 1}
    slicer = [{"bscans": [0, 4], "seed": 1}, {"bscans": [2, 9], "seed": 2, "left_empty": [3]}]
    assert {z: run["seed"] for z, run in runs_of(slicer, 4).items()} == {0: 1, 1: 1, 2: 2}
    for odd in (None, 3, [3], [{"bscans": [0]}], [{"bscan": "x"}], [{"bscans": [0, 1e999]}]):
        assert runs_of(odd, 4) == {}
