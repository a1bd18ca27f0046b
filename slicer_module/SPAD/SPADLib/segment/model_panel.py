"""The rows “Model” and “Run on”: which checkpoint, what it says of itself, and on which device."""

from __future__ import annotations

import os.path
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import qt

from spad.checkpoint import AT_SERVER, sha256
from spad.remote import SERVER, chosen, is_server, offered
from SPADLib.desk import Desk
from SPADLib.host import get, torch_note
from SPADLib.segment.models_panel import ModelsPanel
from SPADLib.segment.server_panel import ServerPanel

__all__ = ["ModelPanel"]

SERVER_ITEM = "server…"


class ModelPanel:
    """Works on the rows of the model and the device.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets

    Attributes
    ----------
    note : str
        Of a GPU that is there and cannot be used; known once the devices are.
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self.note = ""
        self._models: dict[str, Path] = dict(desk.engine.shipped())
        self._hashes: dict[tuple[Path, int], str] = {}
        self._devices: list[str] = []
        self._filling = False
        self._offered = False, ""
        self._fill_models()
        self.server = ServerPanel(desk, ui, self._offer)
        self.list = ModelsPanel(desk, self._take)
        ui.modelsButton.clicked.connect(lambda *_: desk.guarded(self.show_list))
        ui.deviceCombo.addItem("auto")
        ui.deviceCombo.addItem(SERVER_ITEM)
        ui.modelCombo.currentIndexChanged.connect(lambda *_: self._on_model())
        ui.modelButton.clicked.connect(lambda *_: self.browse())
        ui.deviceCombo.currentIndexChanged.connect(lambda *_: self._on_device())

    @property
    def checkpoint(self) -> Path | None:
        """File of the model that is chosen."""
        return self._models.get(self.desk.parameters.checkpoint)

    def card(self) -> Any:
        """What the chosen model says of itself; None where none is chosen.

        Raises
        ------
        ValueError, OSError
            The file is no checkpoint, or cannot be read.
        """
        path = self.checkpoint
        return None if path is None else self.desk.engine.read_card(path)

    def refresh(self) -> None:
        """Show what the parameter node says."""
        name = self.desk.parameters.checkpoint
        if self._offered != (is_server(self.asked), name):
            self._offer()
        if name and name not in self._models and os.path.isfile(name):  # whatever a scene says
            self._models[name] = Path(name)
            self._fill_models()
        if name in self._models and get(self.ui.modelCombo, "currentText") != name:
            self._filling = True
            self.ui.modelCombo.setCurrentIndex(list(self._models).index(name))
            self._filling = False
        self._show_device()

    def _offer(self) -> None:
        """Offer the models of the server while it is chosen, and the one that is chosen of them."""
        theirs = offered(chosen(), self.desk.engine.shipped()) if is_server(self.asked) else {}
        kept = self.desk.parameters.checkpoint
        self._offered = is_server(self.asked), kept
        models = {n: p for n, p in self._models.items() if p.suffix != AT_SERVER or n == kept}
        if (models := models | theirs) != self._models:
            self._models = models
            self._fill_models()

    def _fill_models(self) -> None:
        self._filling = True
        chosen = get(self.ui.modelCombo, "currentText")
        self.ui.modelCombo.clear()
        for name in self._models:
            self.ui.modelCombo.addItem(name)
        if chosen in self._models:
            self.ui.modelCombo.setCurrentIndex(list(self._models).index(chosen))
        self._filling = False

    def _on_model(self) -> None:
        if not self._filling and self.desk.parameters is not None:
            self.desk.parameters.checkpoint = get(self.ui.modelCombo, "currentText")

    def show_list(self) -> None:
        """Show all models, also those to download."""
        names = self.desk.engine.shipped()
        self.list.show(path for name, path in self._models.items() if name not in names)

    def _take(self, path: Path) -> None:
        """Choose a model of the list: by its name where it has one."""
        self._models |= self.desk.engine.shipped()
        names = {file: name for name, file in self._models.items()}
        if path not in names:
            self.open(path)
            return
        self._fill_models()
        self.desk.parameters.checkpoint = names[path]

    def browse(self) -> None:
        """Ask for a checkpoint file."""
        chosen = qt.QFileDialog.getOpenFileName(
            self.ui.modelButton, "Open a checkpoint", "", "Checkpoints (*.safetensors)"
        )
        if chosen:
            self.open(Path(str(chosen)))

    def open(self, path: Path) -> None:
        """Take a checkpoint file among the models, and choose it."""
        try:
            self.desk.engine.read_card(path)
        except (ValueError, OSError) as error:
            self.desk.fail(error)
            return
        self._models[str(path)] = path
        self._fill_models()
        self.desk.parameters.checkpoint = str(path)

    def knows(self, name: str) -> bool:
        """Whether a name, or a file, is among the models, and there."""
        path = self._models.get(name)
        return path is not None and os.path.isfile(path)

    def forget(self, paths: Iterable[Path]) -> None:
        """Offer files no more, which are gone."""
        gone = set(paths)
        self._models = {name: path for name, path in self._models.items() if path not in gone}
        self._fill_models()

    def made_by(self, hash_: str, others: Iterable[Path] = ()) -> Path | None:
        """Find a checkpoint by its SHA-256, among the models here and other files.

        Parameters
        ----------
        hash_ : str
        others : iterable of Path
        """
        chosen = self.checkpoint
        for path in (*([chosen] if chosen else []), *self._models.values(), *others):
            if not os.path.isfile(path):
                continue
            key = path, path.stat().st_mtime_ns
            if key not in self._hashes:
                self._hashes[key] = sha256(path)
            if self._hashes[key] == hash_:
                return path
        return None

    # ------------------------------------------------------------------ devices

    @property
    def asked(self) -> str:
        """The device that is chosen: "auto", its name, or "server".

        No address: a scene from elsewhere must not send images anywhere.
        """
        device = self.desk.parameters.device or "auto"
        return "auto" if is_server(device) and device != SERVER else device

    @property
    def device(self) -> str:
        """The device that is chosen, by its name; the one that "auto" is, once they are listed."""
        chosen = self.asked
        return self._devices[0] if chosen == "auto" and self._devices else chosen

    def list_devices(self) -> None:
        """Ask PyTorch, once, which there are."""
        if self._devices or is_server(self.device):
            return
        self._devices = self.desk.engine.devices()
        self._filling = True
        for at, name in enumerate(self._devices, start=1):
            self.ui.deviceCombo.insertItem(at, name)
        self._filling = False
        self._show_device()
        if not self._devices:
            self.note = "PyTorch is missing: install it above, or run on a server"
        elif not self._devices[0].startswith("cuda") and shutil.which("nvidia-smi"):
            import torch

            self.note = torch_note(torch, True)

    def _show_device(self) -> None:
        wanted, names = self.asked, ["auto", *self._devices]
        self._filling = True
        if is_server(wanted):
            self.ui.deviceCombo.setCurrentIndex(len(names))
        elif wanted in names:
            self.ui.deviceCombo.setCurrentIndex(names.index(wanted))
        self._filling = False
        self.ui.serverFrame.setVisible(is_server(wanted))

    def _on_device(self) -> None:
        if not self._filling and self.desk.parameters is not None:
            chosen = get(self.ui.deviceCombo, "currentText")
            self.desk.parameters.device = SERVER if chosen == SERVER_ITEM else chosen
            self.ui.serverFrame.setVisible(chosen == SERVER_ITEM)
