"""A structure that the model does not know: added, painted, learnt, saved."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from qtpy.QtCore import Qt

from napari_spad.write.image_files import write_tiff
from spad.autosave.saved_header import read_header
from spad.checkpoint import IGNORE, label_classes

from corrected import press, run, said  # isort: skip

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]

NAMES = ("background", "SRF", "IRF", "PED", "SHRM", "IS/OS", "ERM")


def add(dock, monkeypatch, name: str) -> None:
    monkeypatch.setattr("napari_spad.scores.menu.QInputDialog.getText", lambda *_: (name, True))
    dock.scores.add.click()


def rows(dock) -> list[str]:
    table = dock.scores.table
    return [table.item(row, 0).text() for row in range(table.rowCount())]


def test_it_has_a_row_a_key_a_colour_and_a_value_at_once(desk, monkeypatch):
    viewer, dock, result, _ = desk
    add(dock, monkeypatch, " ERM ")
    assert result.classes == label_classes(NAMES)
    assert "ERM" in rows(dock)
    assert "“ERM” (key 6) is there to be painted" in said(dock)
    assert result.layer.selected_label == 6
    press(viewer, Qt.Key.Key_1)
    press(viewer, Qt.Key.Key_6)
    assert (result.layer.selected_label, str(result.layer.mode)) == (6, "paint")
    shown = np.round(255 * result.layer.get_color(6)[:3]).astype(int)
    assert tuple(shown) == result.classes[6].color
    assert result.classes[6].color not in [c.color for c in result.classes[:6]]
    assert list(result.layer.features["name"]) == list(NAMES)


@pytest.mark.parametrize(("name", "words"), [("SRF", "given twice"), ("", "printable")])
def test_a_name_that_cannot_be_is_refused_in_words_and_changes_nothing(
    desk, monkeypatch, name, words
):
    _, dock, result, _ = desk
    add(dock, monkeypatch, name)
    assert words in said(dock)
    assert len(result.classes) == 6
    assert rows(dock)[:5] == list(NAMES[1:6])


def test_learn_teaches_it_and_until_then_the_old_model_is_refused(desk, qtbot, monkeypatch, engine):
    viewer, dock, result, worker = desk
    add(dock, monkeypatch, "ERM")
    result.layer.data_setitem((np.full(4, 2), np.arange(4), np.arange(4)), 6)
    press(viewer, Qt.Key.Key_R)
    assert not dock.running
    assert "press Learn (K) first" in said(dock)
    run(dock, qtbot, dock.lessons.learn.click)
    (plan,) = worker.plans
    assert plan.classes == label_classes(NAMES)
    assert set(np.unique(plan.label_maps[0])) == {6, IGNORE}
    assert "5 B-scans are drafted anew" in said(dock)
    card = engine.read_card(engine.checkpoint)
    card.classes = label_classes(NAMES)
    monkeypatch.setattr(type(engine), "read_card", lambda *_: card)
    run(dock, qtbot, lambda: press(viewer, Qt.Key.Key_R))
    assert "press Learn" not in said(dock)


def test_what_is_saved_knows_it(desk, qtbot, monkeypatch, tmp_path):
    _, dock, result, _ = desk
    add(dock, monkeypatch, "ERM")
    tracked = dock.keep.autosave.tracked[id(result.layer)]

    def noted() -> bool:
        header, _ = read_header(tracked.saved.folder)
        return [c["name"] for c in header["classes"]] == list(NAMES)

    qtbot.waitUntil(noted, timeout=10_000)
    data, meta, _ = result.layer.as_layer_data_tuple()
    write_tiff(str(tmp_path / "a.tif"), data, meta)
    sidecar = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    assert [c["name"] for c in sidecar["classes"]] == list(NAMES)


def test_drafts_are_not_judged_by_a_structure_that_no_model_knew(desk, qtbot, monkeypatch):
    _, dock, result, _ = desk
    dock.review.reviews.accept(result, (5,))
    run(dock, qtbot, dock.lessons.learn.click)
    add(dock, monkeypatch, "ERM")
    result.layer.data_setitem((np.full(4, 2), np.arange(4), np.arange(4)), 6)
    dock.review.reviews.accept(result, (2,))
    assert dock.lessons.told.text().endswith(
        "now 0 px; structures that it did not know before are not counted (4 px now)."
    )
