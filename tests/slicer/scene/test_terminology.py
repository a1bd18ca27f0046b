"""What a structure is, in codes that Slicer and DICOM SEG read."""

from __future__ import annotations

import pytest
import slicer

from spad.checkpoint.labels import label_classes
from spad.phantom import CLASS_NAMES
from SPADLib.scene.terminology import CONTEXT_FILE, entry, register


def parts(text):
    return text.split("~")[1:4]


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("Right lung", ["SCT^39607008^Lung", "SCT^24028007^Right"]),
        ("left clavicle", ["SCT^51299004^Clavicle", "SCT^7771000^Left"]),
        ("heart", ["SCT^80891009^Heart", "^^"]),
    ],
)
def test_structures_of_a_chest_x_ray_have_their_snomed_codes(name, codes):
    assert parts(entry(name)) == ["SCT^123037004^Anatomical Structure", *codes]


def test_every_structure_of_the_oct_models_has_a_code_and_others_have_none():
    assert all(entry(name) for name in CLASS_NAMES[1:])
    assert entry("something else") == ""


def test_codes_that_came_with_the_model_go_first_unless_they_are_malformed():
    code = {"scheme": "SCT", "value": "1", "meaning": "One"}
    assert parts(entry("heart", {"category": code, "type": code})) == [
        "SCT^1^One",
        "SCT^1^One",
        "^^",
    ]
    for bad in ({"category": code}, {"category": code, "type": {**code, "value": "1^2"}}, {"x": 1}):
        assert entry("heart", bad) == entry("heart")


def test_the_codes_are_made_known_to_slicer_once(scene):
    logic = slicer.modules.terminologies.logic()
    assert not logic.IsTerminologyContextLoaded("SPAD structures")
    register()
    register()
    assert logic.IsTerminologyContextLoaded("SPAD structures")


def test_slicer_reads_the_file_and_finds_each_entry_in_it(scene):
    logic = slicer.modules.terminologies.logic()
    context = logic.LoadTerminologyFromFile(str(CONTEXT_FILE))
    assert context == "SPAD structures"
    for name in (*CLASS_NAMES[1:], "right lung", "left lung", "heart", "right clavicle"):
        found = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(entry(name), found), name
        assert found.GetTypeObject().GetCodeMeaning() in name.title() + name


def test_colours_of_the_file_are_those_of_the_models():
    import json

    known = {c.name: list(c.color) for c in label_classes(CLASS_NAMES)}
    for category in json.loads(CONTEXT_FILE.read_text())["SegmentationCodes"]["Category"]:
        for kind in category["Type"]:
            if kind["CodeMeaning"] in known:
                assert kind["recommendedDisplayRGBValue"] == known[kind["CodeMeaning"]]
