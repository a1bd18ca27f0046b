"""What users and hosts call the program by is what version 0.1 had, and no start loads more."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from faces import HERE, START_UPS, command_words, loaded_by, manifest, names, scene_parameters

import spad

RECORD = json.loads((HERE / "faces.json").read_text("utf-8"))
LATER_PATTERNS = {"*.oct", "*.img", "*.lines.csv", "*.lines.npz", "*.spad.json"}
"""Files that napari's reader has taken only since then; whatever was recorded must still be."""
NEEDS = {"the trainer": "cv2", "the plugin's dock": "napari"}


def test_the_commands_and_their_options_that_were_recorded_are_there() -> None:
    now = command_words()
    missing = {
        command: gone
        for command, options in RECORD["commands"].items()
        if (gone := set(options) - set(now.get(command, ())))
    }
    assert not missing
    assert now.keys() >= RECORD["commands"].keys()


def test_the_names_at_the_face_are_as_recorded() -> None:
    assert names() == RECORD["names"]
    assert all(hasattr(spad, name) for name in RECORD["names"])


def test_slicer_s_scenes_keep_the_choices_that_were_recorded() -> None:
    assert scene_parameters() == RECORD["scene parameters"]


def test_the_manifest_has_the_entries_that_were_recorded() -> None:
    pytest.importorskip("yaml")
    now = manifest()
    (reader,) = now["contributions"]["readers"]
    patterns = reader["filename_patterns"]
    assert set(patterns) >= LATER_PATTERNS
    reader["filename_patterns"] = [one for one in patterns if one not in LATER_PATTERNS]
    assert now == RECORD["manifest"]


@pytest.mark.parametrize("name", START_UPS)
def test_no_start_loads_more_than_was_recorded(name: str) -> None:
    needed = NEEDS.get(name)
    if needed is not None and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    found, recorded = set(loaded_by(START_UPS[name])), set(RECORD["loaded"][name])
    if "napari" in recorded:
        recorded |= set(loaded_by("import napari.layers"))  # of itself: 0.8.0 asks for Pillow
    assert found <= recorded, f"more than before: {sorted(found - recorded)}"
