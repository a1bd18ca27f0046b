"""The device “server…”: asked for where it is, remembered, and handed to the engine by name."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from docked import press_segment, segment, shown_errors, stack

from spad.checkpoint import AT_SERVER, read_card, shipped
from spad.inference import ServerError
from spad.remote import chosen, greeting
from spad.remote.http_line import Line

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("quiet")]
WORD = "abc"


def items(combo):
    return [combo.itemText(i) for i in range(combo.count())]


def offers(name):
    card = read_card(shipped()["oct-phantom"]).as_json()
    one = {"name": name, "sha256": "ab" * 32, "size": 5, "card": card}
    return {"engine": "1", "devices": ["cuda:0"], "models": [one]}


def test_a_server_is_a_device(
    open_dock, make_napari_viewer, engine, settings, qtbot, monkeypatch, tmp_path
):
    from napari_spad.dock import SpadDock
    from napari_spad.segment import server_row

    asked, opened = [], []
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "cache"))
    load = engine.load
    monkeypatch.setattr(
        type(engine),
        "load",
        lambda _, path, device: (asked.append(device), opened.append(path)) and load(path, device),
    )
    ours = engine.read_card
    monkeypatch.setattr(
        type(engine),
        "read_card",
        lambda _, p: (read_card if p.suffix == AT_SERVER else ours)(p),
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
    monkeypatch.setattr(server_row, "greeting", greeting)
    monkeypatch.setattr(Line, "hello", lambda _: offers("clinic"))
    row.button.click()
    qtbot.waitUntil(lambda: "is there: SPAD 1 on cuda:0, with 1 model" in row.said.text())
    assert chosen().token == WORD

    segment(dock, qtbot)
    assert asked == ["server"]
    combo = dock.form.checkpoint
    assert "clinic (server)" in items(combo)
    combo.setCurrentIndex(items(combo).index("clinic (server)"))
    combo.activated.emit(combo.currentIndex())
    segment(dock, qtbot)
    assert opened[-1].name == "clinic (server).atserver"
    dialog = dock.form.model.show_list()
    assert [m.where for m in dialog.models][-1] == "on the server"
    dialog.tree.setCurrentItem(dialog.tree.topLevelItem(len(dialog.models) - 1))
    assert "SHA-256: abab" in dialog.about.toPlainText()
    assert not dialog.share.isEnabled()
    dialog.close()
    monkeypatch.setattr(Line, "hello", lambda _: offers("other"))
    row.button.click()
    qtbot.waitUntil(lambda: "other (server)" in items(combo))
    press_segment(dock, qtbot)
    assert "clinic (server).atserver is gone: choose another" in shown_errors()[-1]
    monkeypatch.setattr(Line, "hello", lambda _: offers("clinic"))
    row.button.click()
    qtbot.waitUntil(lambda: "other (server)" not in items(combo))
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
    assert again.form.model.checkpoint.name == "clinic (server).atserver"
    assert "clinic (server)" in items(again.form.checkpoint)
    object.__setattr__(engine, "devices", lambda: ["cpu"])
    again.form.model.devices.setCurrentIndex(0)
    again.form.model.devices.activated.emit(0)
    qtbot.waitUntil(lambda: again.form.model.devices.count() == 3, timeout=30_000)
