"""Where the model runs, if not here: a server's address and token, tried and remembered."""

from __future__ import annotations

import contextlib

from qtpy.QtCore import Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
)

from napari_spad.desk import Desk, FunctionWorker, explain, form_layout, named, setting
from spad.remote import Address, choose, greeting

__all__ = ["ServerRow"]

HINT = "Ask who runs it for both. The token is kept with your settings, not with what you export."


class ServerRow(QFrame):
    """Shown while “server…” is the device.

    Parameters
    ----------
    desk : Desk
        The address and the token are kept in its settings.
    """

    answered = Signal()
    """A server was asked, and may offer other models now."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._settings = desk.settings
        self._worker: FunctionWorker | None = None
        self.url = named(QLineEdit(setting(desk.settings, "server/url", "")), "server_url")
        self.url.setPlaceholderText("https://HOST:PORT")
        self.token = named(QLineEdit(setting(desk.settings, "server/token", "")), "server_token")
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.button = named(QPushButton("Connect"), "server_connect")
        self.said = named(QLabel(HINT), "server_said")
        self.said.setWordWrap(True)
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        row = QHBoxLayout()
        row.addWidget(self.token, 1)
        row.addWidget(self.button)
        form: QFormLayout = form_layout()
        form.addRow("Address", self.url)
        form.addRow("Token", row)
        form.addRow(self.said)
        self.setLayout(form)
        self.button.clicked.connect(self.connect_to)
        for edit in (self.url, self.token):
            edit.returnPressed.connect(self.connect_to)
        with contextlib.suppress(ValueError):  # nothing is chosen yet
            choose(self.url.text(), self.token.text())

    def connect_to(self) -> None:
        """Take what was typed, keep it, and ask the server who it is."""
        try:
            address = choose(self.url.text(), self.token.text())
        except ValueError as error:
            self._say(str(error))
            return
        self.url.setText(address.url)
        self._settings.setValue("server/url", address.url)
        self._settings.setValue("server/token", address.token)
        self._say("asking the server…")
        self.button.setEnabled(False)
        self._worker = FunctionWorker(_greeted, address)
        self._worker.returned.connect(self._on_said)
        self._worker.start()

    def _on_said(self, text: str) -> None:
        self._worker = None
        self.button.setEnabled(True)
        self._say(text)
        self.answered.emit()

    def _say(self, text: str) -> None:
        """Say it whole: a form within a form gives a text of several lines the room of one."""
        self.said.setText(text)
        self.said.setMinimumHeight(self.said.heightForWidth(self.said.width()))


def _greeted(address: Address) -> str:
    try:
        return greeting(address)
    except Exception as error:  # shown where the answer would be
        return explain(error)
