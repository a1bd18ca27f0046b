"""The panel says B-scan of OCT, slice of another volume, image of a single picture."""

from __future__ import annotations

import types

import numpy as np
import pytest
import slicer
from scene import add_volume

from spad.checkpoint import label_classes
from SPADLib.desk.words import numbered, word_for, worded

OCT, CHEST = label_classes(["background", "IS/OS"]), label_classes(["background", "heart"])


@pytest.mark.parametrize(
    ("modality", "depth", "classes", "word"),
    [
        ("", 7, OCT, "B-scan"),
        ("", 1, OCT, "B-scan"),
        ("", 1, (), "B-scan"),
        ("", 7, label_classes(["background", "NFL", "ONL-ISM"]), "B-scan"),
        ("", 7, CHEST, "slice"),
        ("", 1, CHEST, "image"),
        ("CR", 1, OCT, "image"),
        ("CT", 7, (), "slice"),
        ("OPT", 7, CHEST, "B-scan"),
        ("OP", 1, OCT, "B-scan"),
        ("OP", 1, CHEST, "image"),
    ],
)
def test_dicom_tells_what_they_are_called_else_the_model(
    scene, monkeypatch, modality, depth, classes, word
):
    database = types.SimpleNamespace(instanceValue=lambda uid, tag: modality)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    volume = add_volume(np.zeros((1, 4, 4), np.uint8))
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    assert word_for(volume, depth, classes) == word


@pytest.mark.parametrize(
    ("text", "word", "said"),
    [
        ("B-scans 3 to 5", "slice", "Slices 3 to 5"),
        ("Nothing in B-scan 2. B-scans stay", "slice", "Nothing in slice 2. Slices stay"),
        ("correct a B-scan first", "image", "correct an image first"),
        ("A B-scan is there", "image", "An image is there"),
        ("“B-scan 3” has B-scans", "slice", "“B-scan 3” has slices"),
        ("“X” B-scans", "slice", "“X” slices"),
        ("Scores are in /data/B-scans/a.csv", "slice", "Scores are in /data/B-scans/a.csv"),
        ("C:\\my B-scan\\a.csv", "slice", "C:\\my B-scan\\a.csv"),
        ("a B-scan", "B-scan", "a B-scan"),
    ],
)
def test_a_text_is_put_into_other_words_but_names_and_paths_stay(text, word, said):
    assert worded(text, word) == said


@pytest.mark.gui
def test_the_whole_panel_says_slices_and_images_where_the_model_is_of_the_chest(
    panel, panel_engine, panel_volume
):
    from dataclasses import replace

    from driving import said, settle

    panel_engine.card = replace(panel_engine.card, classes=CHEST)
    for volume in (None, panel_volume):
        panel.desk.parameters.inputVolume = volume
    panel.ui.segmentButton.click()
    settle(panel)
    panel.review.next()
    assert texts_of(panel, "B-scan") == []
    assert panel.ui.viewLabel.text().startswith("Slice ")
    assert said(panel).startswith("Slice ")
    assert panel.ui.bscansCombo.currentText() == "all slices"
    assert panel.ui.reviewTable.horizontalHeaderItem(0).text() == "Slice"
    one = add_volume(np.arange(64, dtype=np.uint8).reshape(1, 8, 8), name="chest")
    panel.desk.parameters.inputVolume = one
    settle(panel)
    assert panel.ui.bscansCombo.currentText() == "all images"
    assert panel.ui.viewButton.text() == "Turn view to slices"  # of the result at work
    panel.ui.segmentButton.click()
    settle(panel)
    assert panel.ui.viewButton.text() == "Turn view to images"
    assert said(panel).startswith("Segmented 1 image:")
    panel.ui.resampleButton.click()
    settle(panel)
    assert said(panel).startswith("Nothing in image 1 is painted by hand yet")
    assert texts_of(panel, "B-scan") == []


def texts_of(panel, word):
    """What the panel says anywhere, its tips too, that has this word."""
    found = []
    for widget in vars(panel.ui).values():
        found += [str(widget.property(name) or "") for name in ("text", "toolTip")]
        if hasattr(widget, "itemText"):
            found += [widget.itemText(n) for n in range(widget.count())]
    return [text for text in found if word in text]


def test_bscans_are_numbered_from_1():
    assert (numbered(0), numbered(11.4, 1)) == ("1", "12.4")
