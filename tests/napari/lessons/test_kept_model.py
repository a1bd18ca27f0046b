"""A learnt model kept under a name, and what comes back with a result."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from napari_spad.desk import Finished, model_file, model_tag
from napari_spad.lessons.kept_model import keep_model

from corrected import run, said  # isort: skip


def model(folder, name: str, age: int = 0):
    path = folder / f"{name}.safetensors"
    path.write_bytes(name.encode())
    path.with_suffix(".lessons.npz").write_bytes(b"lessons")
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "a\\b", "x" * 81, "a:b", "end."])
def test_what_cannot_be_a_name_is_refused_in_words(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be a model's name"):
        keep_model(model(tmp_path, "learnt"), tmp_path / "models", name)


def test_a_kept_model_comes_with_its_lessons_and_replaces_none(tmp_path):
    learnt = model(tmp_path, "learnt")
    kept = keep_model(learnt, tmp_path / "models", " my eye, 2 ")
    assert kept == tmp_path / "models" / "my eye, 2.safetensors"
    assert kept.read_bytes() == b"learnt"
    assert kept.with_suffix(".lessons.npz").read_bytes() == b"lessons"
    with pytest.raises(ValueError, match="already: give another name"):
        keep_model(learnt, tmp_path / "models", "my eye, 2")


@pytest.mark.gui
@pytest.mark.usefixtures("quiet")
def test_keep_chooses_the_model_for_this_result_too(desk, qtbot, tmp_path, monkeypatch):
    _, dock, result, _ = desk
    dock.review.reviews.accept(result, (5,))
    run(dock, qtbot, dock.lessons.learn.click)
    learnt = model_file(result.model)
    asked = iter([("mine", False), ("mine", True)])
    monkeypatch.setattr(
        "napari_spad.lessons.lessons_panel.QInputDialog.getText", lambda *_: next(asked)
    )
    dock.lessons.keep.click()
    assert not (tmp_path / "models").exists()
    dock.lessons.keep.click()
    kept = tmp_path / "models" / "mine.safetensors"
    assert kept.read_bytes() == learnt.read_bytes()
    assert dock.form.checkpoint.path == kept
    assert result.model == model_tag(kept)
    dock.form.one.setChecked(True)
    run(dock, qtbot, dock.segment)
    assert len(dock.results) == 1


@pytest.mark.gui
@pytest.mark.usefixtures("quiet")
def test_a_name_that_is_bad_or_taken_is_asked_for_again_with_what_was_typed(
    desk, qtbot, tmp_path, monkeypatch
):
    _, dock, result, _ = desk
    dock.review.reviews.accept(result, (5,))
    run(dock, qtbot, dock.lessons.learn.click)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.safetensors").write_bytes(b"another")
    answers = iter(["a/b", "mine", "mine 2"])
    dialogs = []

    def get_text(_parent, _title, label, _echo, text):
        dialogs.append((label.partition("\n")[0], text))
        return next(answers), True

    monkeypatch.setattr("napari_spad.lessons.lessons_panel.QInputDialog.getText", get_text)
    dock.lessons.keep.click()
    ask = "Its name in the list of models:"
    why = "“a/b” cannot be a model's name: give 1 to 80 letters, digits, spaces or -_.()+,"
    taken = "There is a model “mine” already: give another name"
    assert dialogs == [(ask, ""), (why, "a/b"), (taken, "mine")]
    assert model_file(result.model) == tmp_path / "models" / "mine 2.safetensors"
    assert (tmp_path / "models" / "mine.safetensors").read_bytes() == b"another"
    assert "“mine 2” is kept" in said(dock)


@pytest.mark.gui
def test_keep_says_how_many_bscans_the_last_lesson_has_not_seen(desk, qtbot, monkeypatch):
    _, dock, result, _ = desk
    asked = []
    monkeypatch.setattr(
        "napari_spad.lessons.lessons_panel.QInputDialog.getText",
        lambda _parent, _title, text, *_: asked.append(text) or ("", False),
    )
    dock.review.reviews.accept(result, (5,))
    run(dock, qtbot, dock.lessons.learn.click)
    dock.lessons.keep.click()
    dock.review.reviews.accept(result, (2,))
    dock.lessons.keep.click()
    run(dock, qtbot, dock.lessons.learn.click)
    dock.lessons.keep.click()
    told = "1 B-scan that you accepted since its last lesson is not in this model."
    result.layer.paint((5, 6, 6), 2)  # one that was taught is changed, and accepted again
    dock.review.reviews.accept(result, (5,))
    dock.lessons.keep.click()
    assert [told in text for text in asked] == [False, True, False, True]


@pytest.mark.gui
def test_autosave_notes_the_learnt_model_and_the_first_one(desk, qtbot):
    from spad.autosave.saved_header import read_header

    _, dock, result, _ = desk
    dock.review.reviews.accept(result, (5,))
    run(dock, qtbot, dock.lessons.learn.click)
    tracked = dock.keep.autosave.tracked[id(result.layer)]

    def noted() -> bool:
        header, _ = read_header(tracked.saved.folder)
        return (header["model"], header["origin"]) == (result.model, result.origin)

    qtbot.waitUntil(noted, timeout=10_000)
    assert result.origin


@pytest.mark.gui
def test_a_draft_that_comes_amid_a_stroke_is_no_part_of_it(desk, qtbot):
    _, _, result, _ = desk
    layer, part = result.layer, result.part((4,))
    new = np.roll(layer.data[4], 3, axis=0)
    made = SimpleNamespace(labels=new, uncertainty=None, provenance={})
    event = Finished(part, made, result.packed[4,], "cpu")
    with layer.block_history():
        layer.paint((2, 1, 1), 3)
        result.put(event, undoable=True)
        layer.paint((2, 1, 5), 3)
    assert not result.hand.mask[4].any()
    assert result.hand.mask[2].any()
    np.testing.assert_array_equal(layer.data[4], new)
    layer.undo()
    assert not result.hand.mask.any()
    np.testing.assert_array_equal(layer.data[4], new)
