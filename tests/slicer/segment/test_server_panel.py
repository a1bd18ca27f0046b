"""“Run on: server…”: asked for where it is, remembered, and never taken from a scene."""

from __future__ import annotations

import pytest
import standin
from driving import run, settle

from spad.inference import ServerError
from spad.remote import chosen

pytestmark = pytest.mark.gui
WORD = "abc"


def test_a_server_is_a_device(panel, panel_volume, panel_engine, monkeypatch):
    from SPADLib.segment import server_panel

    asked = []
    load = panel_engine.load
    monkeypatch.setattr(
        panel_engine, "load", lambda path, device: asked.append(device) or load(path, device)
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
    monkeypatch.setattr(server_panel, "greeting", lambda address: f"{address.url} is there")
    ui.serverButton.click()
    _told(panel, "http://localhost:8750 is there")
    assert chosen().token == WORD
    assert panel.desk.settings[server_panel.TOKEN] == WORD

    settle(panel)
    assert ui.deviceLine.text().startswith("the server: how long")
    run(panel)
    assert asked == ["server"]
    assert WORD not in panel.desk.result.segmentation.GetAttribute("SPAD.provenance")

    # A scene from elsewhere names no server of its own.
    panel.desk.parameters.device = "https://elsewhere"
    assert panel.segment.models.asked == "auto"
    panel.desk.parameters.device = "server"
    panel.segment.refresh()
    assert ui.deviceCombo.currentText() == "server…"


def _told(panel, text):
    for _ in range(500):
        standin.process_events(0.02)
        if panel.ui.serverLabel.text() == text:
            return
    pytest.fail(panel.ui.serverLabel.text())
