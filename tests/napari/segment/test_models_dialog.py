"""“All models…”: one list of what is here and what can be downloaded, asked before it is."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_spad.segment.models_dialog import ModelsDialog
from spad.checkpoint import model_folders, model_path, read_card, shipped

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]


def rows(dialog):
    """Cells of each row."""
    tree = dialog.tree
    return [
        [tree.topLevelItem(i).text(c) for c in range(tree.columnCount())]
        for i in range(tree.topLevelItemCount())
    ]


def take(dialog, name):
    """Choose a row by its name."""
    dialog.tree.setCurrentItem(
        next(dialog.tree.topLevelItem(i) for i, row in enumerate(rows(dialog)) if row[0] == name)
    )


def words_of(card):
    """Licence and scores, as a row has them, of a model whose card states a licence of its own."""
    assert card.training["licence"] == "BSD-3-Clause"
    licences = dict.fromkeys(one["licence"] for one in card.training["data"])
    dice = card.scores["validation"]
    pooled, image = (dice[f"{of} Dice"]["mean"] for of in ("pooled", "per-image"))
    return [
        f"BSD-3-Clause; data: {', '.join(licences)}",
        f"Dice {pooled:.3f} pooled, {image:.3f} an image ({dice['images']} images)",
    ]


def test_a_model_is_downloaded_after_a_question_and_then_chosen(open_dock, qtbot, site):
    _, dock = open_dock()
    combo = dock.form.checkpoint
    combo._on_activated(combo.findText("All models…"))
    dialog = combo.findChild(ModelsDialog)
    assert dialog.isVisible()
    found = {row[0]: row for row in rows(dialog)}
    assert found["oct-lesions"][1] == "shipped"
    assert found["oct-lesions"][3:5] == words_of(read_card(shipped()["oct-lesions"]))
    assert found["far-1"][1:4] == ["to download", "10.9 MB", "CC-BY-4.0"]
    take(dialog, "far-1")
    assert "For research use only" in dialog.about.toPlainText()
    assert not dialog.share.isEnabled()
    dialog.use.click()
    assert "Download the model “far-1” (10.9 MB) from 127.0.0.1?" in dialog.question.text.text()
    dialog.question.buttons["Not now"].click()
    assert not any(model_folders()[-1].glob("*.safetensors*"))
    dialog.use.click()
    dialog.question.buttons["Download"].click()
    qtbot.waitUntil(lambda: "is here" in dialog.status.text(), timeout=20_000)
    path = model_path("far-1")
    assert path.parent == model_folders()[-1]
    assert combo.path == path
    assert {row[0]: row[1] for row in rows(dialog)}["far-1"] == "on disk"
    dialog.close()


def test_what_goes_wrong_is_a_sentence_and_no_model(open_dock, qtbot, site):
    _, dock = open_dock()
    (site / "far-1.safetensors").unlink()
    dialog = dock.form.model.show_list()
    before = dock.form.checkpoint.path
    take(dialog, "far-1")
    dialog.use.click()
    dialog.question.buttons["Download"].click()
    qtbot.waitUntil(lambda: "404" in dialog.status.text(), timeout=20_000)
    assert "it has no such file; get a newer list" in dialog.status.text()
    assert dock.form.checkpoint.path == before
    dialog.close()


def test_any_model_here_can_be_shared_also_one_that_learnt(
    open_dock, qtbot, tmp_path, monkeypatch, site
):
    _, dock = open_dock()
    learnt = tmp_path / "learnt.safetensors"
    learnt.write_bytes(shipped()["oct-phantom"].read_bytes())
    dock.form.checkpoint.choose(learnt)
    dialog = dock.form.model.show_list()
    take(dialog, "learnt")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("CC0-1.0", True))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    dialog.share.click()
    folder = tmp_path / "learnt shared"
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "learnt-1.safetensors", "manifest.json",
    ]  # fmt: skip
    assert "learnt-1.safetensors, its card and a list are in" in dialog.status.text()
    dialog.share.click()
    assert "exists and is not overwritten" in dialog.status.text()
    take(dialog, "oct-phantom")
    with qtbot.waitSignal(dialog.chosen) as told:
        dialog.use.click()
    assert told.args == [shipped()["oct-phantom"]]
    assert dock.form.checkpoint.path == shipped()["oct-phantom"]
