"""No file of ours, whatever is in it, keeps the dock from opening."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari.components import ViewerModel
from qtpy.QtCore import QSettings

from napari_spad.desk.desk import Desk
from napari_spad.desk.settings import setting
from napari_spad.learn.fine_tuning import FineTune
from spad.annotation.fine_tuning import read_progress

pytestmark = pytest.mark.gui

ROOT = Path(__file__).parents[3] / "napari_spad"
ODD = ("", "abc", "1e999", "nan", "-1", "99999999999999999999", "a, b", "\\x0", "@Invalid()",
       "@Variant(\\0\\0\\0\\b\\0\\0\\0\\0)", "@ByteArray(x)", "true", "0x10")  # fmt: skip


def keys() -> set[str]:
    """Names of all choices that are kept."""
    code = "".join(path.read_text("utf-8") for path in ROOT.rglob("*.py"))
    found = set(re.findall(r'setting\([\w.]+, "(\w+)"', code))
    assert {"samples", "minutes", "checkpoint", "device"} <= found
    return found | {"recent", "annotator", "training_folder", "batch_images", "batch_results"}


def odd_settings(folder: Path, value: str) -> QSettings:
    path = folder / "odd.ini"
    path.write_text("[General]\n" + "".join(f"{key}={value}\n" for key in sorted(keys())), "utf-8")
    return QSettings(str(path), QSettings.Format.IniFormat)


@pytest.mark.parametrize("value", ODD)
def test_a_choice_that_makes_no_sense_is_as_good_as_none(tmp_path, value):
    settings = odd_settings(tmp_path, value)
    for key in keys():
        for default in (True, 5, 2.5, "x"):
            assert type(setting(settings, key, default)) is type(default)
    settings.setValue("kept", 7)
    assert setting(settings, "kept", 5) == 7


@pytest.mark.parametrize("value", ["x" * 5000, "a, b", "1e999"], ids=["long", "list", "inf"])
def test_the_dock_opens_whatever_the_settings_say(make_napari_viewer, engine, tmp_path, value):
    from napari_spad.dock import SpadDock

    viewer = make_napari_viewer()
    (tmp_path / "fine-tune.json").write_text(json.dumps(NOTE | {"pid": "seven"}))
    (tmp_path / "reviews.json").write_text('{"format": 1, "annotators": {"": [[1]]}}')
    dock = SpadDock(viewer, engine=engine, settings=odd_settings(tmp_path, value), folder=tmp_path)
    assert "fine-tune.json cannot be read" in dock.training.fine_tune.status.text()
    assert dock.form.samples.value() >= 1
    dock.shut_down()


# ---------------------------------------------------------------------- the note of a fine-tuning

NOTE = {
    "name": "new", "start": "old", "out": "/nowhere", "minutes": 5.0, "own_images": False,
    "pid": 12345, "began": 1.0,
}  # fmt: skip
WRONG = (None, "x", "7", [], {}, -1, 1e999, 10**400, True, "\0", "\ud800", 2**40)


@pytest.mark.parametrize("key", NOTE)
def test_no_note_of_a_fine_tuning_keeps_the_panel_from_opening(qtbot, engine, tmp_path, key):
    settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)
    desk = Desk(ViewerModel(), engine, settings, tmp_path)
    for value in WRONG:
        (tmp_path / "fine-tune.json").write_text(json.dumps(NOTE | {key: value}))
        panel = FineTune(desk, lambda: None, lambda: None, lambda: "auto")
        qtbot.addWidget(panel)
        panel.look()
        panel.close_down()
    desk.shut_down()


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "[" * 200_000, '{"pid": 1}', "\x80"])
def test_a_note_that_is_none_is_said(qtbot, engine, tmp_path, text):
    settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)
    desk = Desk(ViewerModel(), engine, settings, tmp_path)
    (tmp_path / "fine-tune.json").write_bytes(text.encode("latin-1"))
    panel = FineTune(desk, lambda: None, lambda: None, lambda: "auto")
    qtbot.addWidget(panel)
    assert "fine-tune.json cannot be read" in panel.status.text()
    assert panel.training is None
    desk.shut_down()


def test_lines_of_progress_that_make_no_sense_are_left_out(tmp_path):
    good = {"step": 3, "seconds": 2.0, "loss": 0.5}
    bad: list[object] = [
        7, [], {"step": 1}, {"step": 10**400, "seconds": 1}, {"step": 1, "seconds": 1e999},
        {"step": 4, "seconds": 1, "loss": "x"}, {"step": 4, "seconds": 1, "loss": 10**400},
        {"step": 4, "seconds": 1, "validation": {}}, {"step": 4, "seconds": 1, "validation": []},
        {"step": 4, "seconds": 1, "steps": "many"}, {"step": -1, "seconds": 1, "loss": 1},
    ]  # fmt: skip
    lines = [json.dumps(line).encode() for line in [*bad, good]] + [b"\xc3", b"[" * 100_000]
    (tmp_path / "progress.jsonl").write_bytes(b"\n".join(lines))
    progress = read_progress(tmp_path)
    assert progress.losses == ((3, 0.5),)
    assert progress.validations == ()
    assert progress.seconds == 2.0
