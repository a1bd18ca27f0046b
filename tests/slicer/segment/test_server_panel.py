"""“Run on: server…”: asked for where it is, remembered, and never taken from a scene."""

from __future__ import annotations

import pytest
import standin
from driving import run, said, settle

from spad.checkpoint import AT_SERVER, read_card, shipped
from spad.inference import ServerError
from spad.remote import chosen, greeting
from spad.remote.http_line import Line

pytestmark = pytest.mark.gui
WORD = "abc"


def items(combo):
    return [combo.itemText(i) for i in range(combo.count())]


def offers(*names):
    card = read_card(shipped()["oct-phantom"]).as_json()
    models = [{"name": n, "sha256": "ab" * 32, "size": 5, "card": card} for n in names]
    return {"engine": "1", "devices": ["cuda:0"], "models": models}


def test_a_server_is_a_device(panel, panel_volume, panel_engine, monkeypatch, tmp_path):
    from SPADLib.segment import server_panel

    asked, opened = [], []
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path))
    ours = panel_engine.read_card
    monkeypatch.setattr(
        panel_engine, "read_card", lambda p: (read_card if p.suffix == AT_SERVER else ours)(p)
    )
    load = panel_engine.load
    monkeypatch.setattr(
        panel_engine,
        "load",
        lambda path, device: (asked.append(device), opened.append(path)) and load(path, device),
    )
    ui = panel.ui
    assert ui.serverFrame.isHidden()
    assert [ui.deviceCombo.itemText(i) for i in range(3)] == ["auto", "cpu", "server…"]
    ui.deviceCombo.setCurrentIndex(2)
    assert panel.desk.parameters.device == "server"
    assert not ui.serverFrame.isHidden()

    ui.serverUrlEdit.setText("ftp://nowhere")
    ui.serverButton.click()
    assert "no address of a server" in ui.serverLabel.text()

    def refuse(address):
        raise ServerError(f"{address.url} refuses")

    monkeypatch.setattr(server_panel, "greeting", refuse)
    ui.serverUrlEdit.setText("localhost")
    ui.serverTokenEdit.setText(WORD)
    ui.serverButton.click()
    _told(panel, "http://localhost:8750 refuses")
    monkeypatch.setattr(server_panel, "greeting", greeting)
    monkeypatch.setattr(Line, "hello", lambda _: offers("clinic"))
    ui.serverButton.click()
    _told(panel, "is there: SPAD 1 on cuda:0, with 1 model")
    assert chosen().token == WORD
    assert panel.desk.settings[server_panel.TOKEN] == WORD

    settle(panel)
    assert ui.deviceLine.text().startswith("the server: how long")
    run(panel)
    assert asked == ["server"]
    assert WORD not in panel.desk.result.segmentation.GetAttribute("SPAD.provenance")

    # A model that only the server has: chosen by name, run there, listed, not to be shared.
    assert items(ui.modelCombo) == ["fake", "clinic (server)"]
    ui.modelCombo.setCurrentIndex(1)
    run(panel)
    assert opened[-1].name == "clinic (server).atserver"
    models = panel.segment.models
    models.show_list()
    assert models.list.models[-1].where == "on the server"
    models.list.table.selectRow(len(models.list.models) - 1)
    assert "SHA-256: abab" in models.list.about.toPlainText()
    assert not models.list.share.isEnabled()
    models.list.stop()
    monkeypatch.setattr(Line, "hello", lambda _: offers("other", "clinic2"))
    ui.serverButton.click()
    _told(panel, "with 2 models")
    run(panel)
    assert "the server offers this model no more; choose another one" in said(panel)
    panel.desk.parameters.checkpoint = "fake"
    panel.segment.refresh()
    assert items(ui.modelCombo) == ["fake", "clinic2 (server)", "other (server)"]
    ui.deviceCombo.setCurrentIndex(0)
    panel.segment.refresh()
    assert items(ui.modelCombo) == ["fake"]

    # A scene from elsewhere names no server of its own.
    panel.desk.parameters.device = "https://elsewhere"
    assert panel.segment.models.asked == "auto"
    panel.desk.parameters.device = "server"
    panel.segment.refresh()
    assert ui.deviceCombo.currentText() == "server…"


def _told(panel, text):
    for _ in range(500):
        standin.process_events(0.02)
        if text in panel.ui.serverLabel.text():
            return
    pytest.fail(panel.ui.serverLabel.text())
