"""The device “server…”: asked for where it is, remembered, and handed to the engine by name."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import segment, stack

from spad.inference import ServerError
from spad.remote import chosen

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]
WORD = "abc"


def test_a_server_is_a_device(open_dock, make_napari_viewer, engine, settings, qtbot, monkeypatch):
    from napari_spad.dock import SpadDock
    from napari_spad.segment import server_row

    asked = []
    load = engine.load
    monkeypatch.setattr(
        type(engine), "load", lambda _, path, device: asked.append(device) or load(path, device)
    )
    viewer, dock = open_dock()
    viewer.add_image(stack((24, 36)))
    model = dock.form.model
    qtbot.waitUntil(lambda: model.devices.count() == 3, timeout=30_000)
    assert model.server.isHidden()
    model.devices.setCurrentIndex(2)
    model.devices.activated.emit(2)
    assert not model.server.isHidden()
    assert model.local_device == "auto"

    row = model.server
    row.url.setText("ftp://nowhere")
    row.button.click()
    assert "no address of a server" in row.said.text()

    def refuse(address):
        raise ServerError(f"{address.url} refuses")

    monkeypatch.setattr(server_row, "greeting", refuse)
    row.url.setText("localhost")
    row.token.setText(WORD)
    row.button.click()
    qtbot.waitUntil(lambda: row.said.text() == "http://localhost:8750 refuses")
    monkeypatch.setattr(server_row, "greeting", lambda address: f"{address.url} is there")
    row.button.click()
    qtbot.waitUntil(lambda: row.said.text() == "http://localhost:8750 is there")
    assert chosen().token == WORD

    segment(dock, qtbot)
    assert asked == ["server"]
    assert WORD not in str(dock.results[0].layer.metadata)

    def fail():
        raise AssertionError("PyTorch is not needed")

    object.__setattr__(engine, "devices", fail)
    again = SpadDock(make_napari_viewer(), engine=engine, settings=settings)
    qtbot.addWidget(again)
    assert again.form.model.device == "server"
    assert "phantom" in again.footer.status.text()
    assert again.form.model.server.url.text() == "http://localhost:8750"
    assert again.form.model.server.token.text() == WORD
    object.__setattr__(engine, "devices", lambda: ["cpu"])
    again.form.model.devices.setCurrentIndex(0)
    again.form.model.devices.activated.emit(0)
    qtbot.waitUntil(lambda: again.form.model.devices.count() == 3, timeout=30_000)
