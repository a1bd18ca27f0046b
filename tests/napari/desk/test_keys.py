"""Keys in words and in the viewer, on a Mac as elsewhere."""

import sys

import pytest

pytest.importorskip("napari")

from app_model.types import KeyBinding, OperatingSystem

from napari_spad.desk import UNDO_HERE, typed


@pytest.mark.parametrize(("platform", "key"), [("darwin", "Cmd"), ("win32", "Ctrl")])
def test_words_name_the_keys_of_the_keyboard(monkeypatch, platform, key):
    monkeypatch.setattr(sys, "platform", platform)
    assert typed("Ctrl+Alt+Z") == f"{key}+Alt+Z"


@pytest.mark.parametrize(("system", "modifier"), [("MACOS", "meta"), ("WINDOWS", "ctrl")])
def test_undo_here_lies_beside_undo(monkeypatch, system, modifier):
    constants = sys.modules[OperatingSystem.__module__]
    monkeypatch.setattr(constants, "_CURRENT", OperatingSystem[system])
    (part,) = KeyBinding.from_int(UNDO_HERE).parts
    assert [m for m in ("ctrl", "meta", "shift", "alt") if getattr(part, m)] == [modifier, "alt"]
