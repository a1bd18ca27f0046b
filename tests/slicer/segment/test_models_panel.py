"""The window “Models”: downloads are asked for, run in a process, and are told in words."""

from __future__ import annotations

import pytest
import standin
from driving import wait_until

from spad.checkpoint import installed, model_path, shipped

pytestmark = pytest.mark.gui


@pytest.fixture
def site(site, monkeypatch, panel_engine):
    """The web server with one model; the quick engine finds models by name."""
    monkeypatch.setattr(
        panel_engine, "shipped", lambda: {"fake": panel_engine.checkpoint} | installed()
    )
    monkeypatch.setattr(panel_engine, "read_card", lambda path: panel_engine.card)
    return site


def rows(models):
    table = models.table
    columns = range(table.columnCount())
    return [[table.item(r, c).text() for c in columns] for r in range(table.rowCount())]


def take(models, name):
    models.table.selectRow([row[0] for row in rows(models)].index(name))


def test_a_model_is_downloaded_after_a_question_and_then_chosen(panel, site):
    panel.ui.modelsButton.click()
    models = panel.segment.models.list
    found = {row[0]: row for row in rows(models)}
    assert found["oct-lesions"][1] == "shipped"
    assert found["far-1"][1:4] == ["to download", "10.9 MB", "CC-BY-4.0"]
    take(models, "far-1")
    assert models.use.text() == "Download…"
    standin.dialogs.answer("ok/cancel", False)
    models.use.click()
    assert "from 127.0.0.1?" in standin.dialogs.texts("ok/cancel")[-1]
    standin.dialogs.answer("ok/cancel", True)
    models.use.click()
    wait_until(lambda: "is here" in models.status.text())
    path = model_path("far-1")
    assert path.is_file()
    assert panel.desk.parameters.checkpoint == "far-1"
    assert panel.segment.models.checkpoint == path


def test_what_goes_wrong_is_a_sentence(panel, site):
    (site / "far-1.safetensors").unlink()
    panel.ui.modelsButton.click()
    models = panel.segment.models.list
    take(models, "far-1")
    standin.dialogs.answer("ok/cancel", True)
    models.use.click()
    wait_until(lambda: "404" in models.status.text())
    assert "it has no such file; get a newer list" in models.status.text()
    assert not models.status.text().startswith("spad:")
    assert panel.ui.modelCombo.currentText() == "fake"


def test_a_model_is_shared_as_a_folder(panel, site, tmp_path):
    panel.ui.modelsButton.click()
    models = panel.segment.models.list
    take(models, "oct-lesions")
    standin.dialogs.answer("text", "CC-BY-4.0")
    standin.dialogs.answer("folder", str(tmp_path))
    models.share.click()
    folder = tmp_path / "oct-lesions shared"
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "manifest.json", "oct-lesions-1.safetensors",
    ]  # fmt: skip
    models.use.click()
    assert panel.segment.models.checkpoint == shipped()["oct-lesions"]
