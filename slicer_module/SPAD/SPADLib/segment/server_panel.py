"""The rows under “Run on: server…”: a server's address and token, tried and remembered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import qt

from spad.annotation import meanwhile
from spad.inference import explain
from spad.remote import choose, greeting
from SPADLib.desk import Desk
from SPADLib.host import Pump, get

__all__ = ["ServerPanel"]

URL, TOKEN = "SPAD/server_url", "SPAD/server_token"
HINT = "Ask who runs it for both. The token is kept with Slicer's settings, not with the scene."


class ServerPanel:
    """Works on the frame that is shown while “server…” is chosen.

    Parameters
    ----------
    desk : Desk
        The address and the token are kept in the application's settings: a scene from elsewhere
        cannot name another server.
    ui : namespace of widgets
    answered : callable
        Called when a server was asked, which may offer other models now.
    """

    def __init__(self, desk: Desk, ui: Any, answered: Callable[[], None]) -> None:
        self.desk, self.ui, self._answered = desk, ui, answered
        self._asking: Pump | None = None
        ui.serverUrlEdit.setText(desk.settings.get(URL, ""))
        ui.serverTokenEdit.setText(desk.settings.get(TOKEN, ""))
        ui.serverTokenEdit.setEchoMode(qt.QLineEdit.Password)
        ui.serverLabel.setText(HINT)
        ui.serverFrame.hide()
        for edit in (ui.serverUrlEdit, ui.serverTokenEdit):
            edit.returnPressed.connect(lambda *_: self.connect())
        ui.serverButton.clicked.connect(lambda *_: self.connect())
        with contextlib.suppress(ValueError):  # nothing is chosen yet
            choose(*self._typed())

    def _typed(self) -> tuple[str, str]:
        return str(get(self.ui.serverUrlEdit, "text")), str(get(self.ui.serverTokenEdit, "text"))

    def connect(self) -> None:
        """Take what was typed, keep it, and ask the server who it is."""
        try:
            address = choose(*self._typed())
        except ValueError as error:
            self.ui.serverLabel.setText(str(error))
            return
        self.desk.settings[URL], self.desk.settings[TOKEN] = address.url, address.token
        self.ui.serverUrlEdit.setText(address.url)
        self.ui.serverLabel.setText("asking the server…")
        self.ui.serverButton.setEnabled(False)

        def ask() -> Generator[str | None, None, None]:
            yield (yield from meanwhile(lambda: greeting(address)))

        self._asking = Pump(self.ui.serverLabel.setText, self._on_end)
        self._asking.start(ask())

    def _on_end(self, error: BaseException | None) -> None:
        self._asking = None
        self.ui.serverButton.setEnabled(True)
        if error is not None:
            self.ui.serverLabel.setText(explain(error, safe="Nothing was changed."))
        self._answered()
