"""The rows “Model” and “Device”: which checkpoint, what it says of itself, and on which device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
)

from napari_spad.desk import CheckpointCombo, Desk, explain, named, narrow, setting
from napari_spad.segment.models_dialog import ModelsDialog
from napari_spad.segment.server_row import ServerRow
from spad.checkpoint import AT_SERVER
from spad.remote import chosen, is_server, offered

__all__ = ["ModelPanel"]


class ModelPanel(QObject):
    """The choice of the model and its device, with the model's card.

    Parameters
    ----------
    desk : Desk
        The choices are kept in its settings.
    """

    card_changed = Signal(object)
    """The card of the model that is chosen now."""
    local_chosen = Signal()
    """A device of this machine is chosen, and they are not listed yet."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.devices = narrow(named(QComboBox(), "device"))
        self.devices.addItem("auto", "auto")
        self.devices.addItem("server…", "server")
        self.devices.setToolTip(
            "Where the model runs; “auto” takes the fastest there is here, “server…” another "
            "machine that runs `spad serve`"
        )
        self.server = ServerRow(desk)
        self.listed = False  # whether the devices of this machine are
        self._take_remembered()
        self.server.setVisible(is_server(self.device))
        self.checkpoints = CheckpointCombo(self._models(), desk.settings)
        self.checkpoints.setObjectName("checkpoint")
        self.card_button = named(QPushButton("Card"), "card_button")
        self.card_button.setToolTip("What the model is, what it was trained on, how well it does")
        self.card_button.setCheckable(True)
        self.card_text = named(QLabel(), "card")
        self.card_text.setWordWrap(True)
        self.card_text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.card_text.setTextFormat(Qt.TextFormat.PlainText)
        self.card_text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._card_area = QScrollArea()
        self._card_area.setWidgetResizable(True)
        self._card_area.setWidget(self.card_text)
        self._card_area.setMaximumHeight(180)
        self._card_area.setFrameShape(QFrame.Shape.NoFrame)
        self._card_area.hide()
        self.card_button.toggled.connect(self._card_area.setVisible)
        self.devices.activated.connect(self._on_device)
        self.server.answered.connect(self._offer)
        self.checkpoints.path_changed.connect(self.show_card)
        self.checkpoints.list_asked.connect(self.show_list)

    def add_rows(self, form: QFormLayout) -> None:
        """Lay the rows out."""
        row = QHBoxLayout()
        row.addWidget(self.checkpoints, 1)
        row.addWidget(self.card_button)
        form.addRow("Model", row)
        form.addRow(self._card_area)
        form.addRow("Device", self.devices)
        form.addRow(self.server)

    @property
    def checkpoint(self) -> Path | None:
        """File of the model that is chosen."""
        return self.checkpoints.path

    def card(self) -> Any:
        """What the chosen model says of itself; None where none is chosen.

        Raises
        ------
        ValueError, OSError
            The file is no checkpoint, or cannot be read.
        """
        path = self.checkpoint
        return None if path is None else self.desk.engine.read_card(path)

    def _models(self) -> dict[str, Path]:
        """Models by name: those that are here, and while it is chosen those of the server."""
        here = dict(self.desk.engine.shipped())
        return here | (offered(chosen(), here) if is_server(self.device) else {})

    def _offer(self) -> None:
        self.checkpoints.offer(self._models())

    def show_list(self) -> ModelsDialog:
        """Show all models, also those to download."""
        by_name = [p for p in self._models().values() if p.suffix == AT_SERVER]
        files = dict.fromkeys([*self.checkpoints.files, *by_name])
        dialog = ModelsDialog(files, self.checkpoints)
        dialog.chosen.connect(self._take)
        dialog.show()
        return dialog

    def _take(self, path: Path) -> None:
        self._offer()
        self.checkpoints.choose(path)

    def show_card(self, _path: Path | None = None) -> None:
        """Show the chosen checkpoint's card, and hand it on."""
        try:
            card = self.card()
        except Exception as error:  # the last choice is read when the dock opens
            self.card_text.setText(explain(error))
            self.desk.fail(error)
            return
        if card is None:
            text = "No checkpoint comes with this version: choose one (“Browse…”)."
            self.card_text.setText(text)
            return
        self.card_text.setText(card.text())
        self.card_button.setToolTip(card.text())
        self.card_changed.emit(card)

    def _take_remembered(self) -> None:
        """Choose the device of the last session, though the devices are not listed yet."""
        remembered = setting(self.desk.settings, "device", "auto")
        if is_server(remembered):
            self.devices.setCurrentIndex(1)
        elif remembered != "auto":
            self.devices.insertItem(1, remembered, remembered)
            self.devices.setCurrentIndex(1)

    @property
    def device(self) -> str:
        """The device that is chosen: "auto", its name, or "server"."""
        return str(self.devices.currentData())

    @property
    def local_device(self) -> str:
        """The same for what runs here alone, as the trainer does."""
        return "auto" if is_server(self.device) else self.device

    def _on_device(self) -> None:
        self.desk.settings.setValue("device", self.device)
        self._offer()
        self.server.setVisible(is_server(self.device))
        if not (self.listed or is_server(self.device)):
            self.local_chosen.emit()

    def list_devices(self, names: list[str]) -> None:
        """Offer the devices of this machine, the one that “auto” takes first.

        A remembered device that is not among them any more gives way to “auto”.
        """
        self.devices.setItemText(0, f"auto ({names[0]})" if names else "auto")
        self.listed = True
        while self.devices.count() > 2:  # what was remembered, or listed before
            self.devices.removeItem(1)
        for name in names:
            self.devices.insertItem(self.devices.count() - 1, name, name)
        chosen = self.devices.findData(setting(self.desk.settings, "device", "auto"))
        self.devices.setCurrentIndex(max(chosen, 0))
