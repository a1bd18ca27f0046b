"""Combo boxes that keep up with the viewer's layers and with the checkpoints on the disk."""

from __future__ import annotations

import os.path
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSettings, Qt, Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_spad.desk.settings import setting
from napari_spad.desk.widgets import narrow

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers.base import Layer

__all__ = ["CheckpointCombo", "LayerCombo"]


RECENT = 5


class LayerCombo(QComboBox):
    """The viewer's layers of one kind, by name; the choice survives renaming and reordering.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    accepts : callable
        Whether a layer belongs here.
    empty : str
        Shown where there is none.
    optional : bool
        Whether no layer is a choice, and the first one. Otherwise the topmost layer is chosen
        where none was.
    follows : callable, optional
        Which layer of the box a layer of the viewer stands for, or None. Given, the choice is the
        layer that is new, or for which the active one stands, until the user chooses: his stays
        while it is there.
    """

    layer_changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        accepts: Callable[[Layer], bool],
        empty: str,
        *,
        optional: bool = False,
        follows: Callable[[Layer], Layer | None] | None = None,
    ) -> None:
        super().__init__()
        narrow(self)
        self._viewer, self._accepts, self._empty = viewer, accepts, empty
        self._optional, self._follows = optional, follows
        self._layer: Layer | None = None
        self._users = False  # whether the choice is the user's
        self._led: Layer | None = None  # to which one `lead` led last, until the choice is gone
        self._named: list[Layer] = []
        self._events = viewer.layers.events
        for name in ("inserted", "removed", "reordered"):
            getattr(self._events, name).connect(self.refresh)
        if follows is not None:
            self._events.inserted.connect(self._on_inserted)
            viewer.layers.selection.events.active.connect(self._on_active)
        self.activated.connect(self._on_activated)
        self.refresh()

    @property
    def layer(self) -> Any:
        """The chosen layer or None."""
        return self._layer

    @property
    def layers(self) -> list[Layer]:
        """Those to choose from, the topmost first."""
        return list(self._named)

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer; one that is not in the list changes nothing."""
        if layer is not None and layer not in self._named:
            self.refresh()  # it may be so new that the event has not come by yet
        if layer is None or layer in self._named:
            self._set(layer)

    def lead(self, layer: Layer) -> None:
        """Choose a layer in place of the one led to before; what was chosen instead stays."""
        if self._led is None or self._layer is self._led:
            self.choose(layer)
        self._led = layer

    def refresh(self, _event: Any = None) -> None:
        """Read the viewer's layers anew; the choice stays if it can."""
        for layer in self._named:
            layer.events.name.disconnect(self._rename)
        self._named = [layer for layer in reversed(self._viewer.layers) if self._accepts(layer)]
        for layer in self._named:
            layer.events.name.connect(self._rename)
        if self._layer in self._named:
            self._fill()
        else:
            self._users, self._led = False, None
            topmost = self._named[0] if self._named and not self._optional else None
            self._set(self._meant() or topmost)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        for name in ("inserted", "removed", "reordered"):
            getattr(self._events, name).disconnect(self.refresh)
        if self._follows is not None:
            self._events.inserted.disconnect(self._on_inserted)
            self._viewer.layers.selection.events.active.disconnect(self._on_active)
        for layer in self._named:
            layer.events.name.disconnect(self._rename)
        self._named, self._layer, self._led = [], None, None

    def _on_inserted(self, event: Any) -> None:
        if event.value in self._named and not self._users:
            self._set(event.value)

    def _on_active(self, _event: Any = None) -> None:
        if (meant := self._meant()) is not None and not self._users:
            self._set(meant)

    def _meant(self) -> Layer | None:
        """The layer of the box that the viewer's active layer stands for."""
        active = self._viewer.layers.selection.active
        if active is None or self._follows is None:
            return None
        meant = self._follows(active)
        return meant if meant in self._named else None

    def _rename(self, _event: Any = None) -> None:
        self._fill()

    def _set(self, layer: Layer | None) -> None:
        changed = layer is not self._layer
        self._layer = layer
        self._fill()
        if changed:
            self.layer_changed.emit(layer)

    def _fill(self) -> None:
        self.clear()
        if self._optional or not self._named:
            self.addItem(self._empty, None)
        for layer in self._named:
            self.addItem(layer.name)
        self.setEnabled(bool(self._named))
        first = self.count() - len(self._named)
        if self._layer is not None:
            self.setCurrentIndex(first + self._named.index(self._layer))
        self.setToolTip(self._layer.name if self._layer is not None else "")

    def _on_activated(self, index: int) -> None:
        place = index - (self.count() - len(self._named))
        self._users = place >= 0
        self._set(self._named[place] if place >= 0 else None)


class CheckpointCombo(QComboBox):
    """Models by name and recent checkpoints, the list of all models, and “Browse…”.

    Parameters
    ----------
    shipped : mapping of str to Path
    settings : QSettings
        Remembers the recent files and the last choice.
    """

    path_changed = Signal(object)
    list_asked = Signal()
    """The person wants to see all models, also those to download."""

    def __init__(self, shipped: dict[str, Path], settings: QSettings) -> None:
        super().__init__()
        narrow(self)
        self._shipped, self._settings = shipped, settings
        self.path: Path | None = None
        self.activated.connect(self._on_activated)
        last = setting(settings, "checkpoint", "")
        by_name = {str(p): p for p in shipped.values()}
        if os.path.isfile(last):  # asks no more of a share that is away, or of an odd name
            self.path = by_name.get(last, Path(last))
        else:
            self.path = next(iter(shipped.values()), None)
        self._fill()

    def choose(
        self, path: Path, *, instead_of: Path | None = None, remembered: bool = True
    ) -> None:
        """Choose a checkpoint; instead of another one, which is forgotten.

        One that is not remembered was no person's choice, and is not the next session's.
        """
        self.path = path
        if remembered:
            self._settings.setValue("checkpoint", str(path))
            recent = [p for p in self._recent() if p not in (path, instead_of)]
            if path not in self._shipped.values():
                recent.insert(0, path)
            self._settings.setValue("recent", [str(p) for p in recent[:RECENT]])
        self._fill()
        self.path_changed.emit(path)

    def propose(self, name: str | None) -> None:
        """Choose the model of this name, that an image is for, unless a person has chosen one.

        None, or a name that is not there: the first of the list.
        """
        if os.path.isfile(setting(self._settings, "checkpoint", "")):
            return
        path = self._shipped.get(name or "", next(iter(self._shipped.values()), None))
        if path is not None and path != self.path:
            self.choose(path, remembered=False)

    def offer(self, models: dict[str, Path]) -> None:
        """Offer other models by name: one was downloaded."""
        self._shipped = models
        self._fill()

    @property
    def files(self) -> list[Path]:
        """The checkpoints that are offered by path, not by name."""
        chosen = [self.path] if self.path and self.path not in self._shipped.values() else []
        return list(dict.fromkeys([*chosen, *self._recent()]))

    def _recent(self) -> list[Path]:
        stored: Any = self._settings.value("recent", [])
        paths = stored if isinstance(stored, (list, tuple)) else [stored]  # INI: one is a str
        files = [Path(p) for p in paths if isinstance(p, str) and p]
        return [p for p in files if os.path.isfile(p) and p not in self._shipped.values()]

    def _fill(self) -> None:
        self.clear()
        for name, path in self._shipped.items():
            self.addItem(name, path)
        recent = self._recent()
        recent = [path for path in self.files if path not in recent] + recent
        if self._shipped and recent:
            self.insertSeparator(self.count())
        for path in recent:
            self.addItem(path.stem, path)
        if self.path is None:
            self.addItem("no checkpoint yet", None)
        self.insertSeparator(self.count())
        self.addItem("All models…", "list")
        self.addItem("Browse…", "browse")
        for i in range(self.count()):
            if isinstance(path := self.itemData(i), Path):
                self.setItemData(i, str(path), Qt.ItemDataRole.ToolTipRole)
                if path == self.path:
                    self.setCurrentIndex(i)
        self.setToolTip(str(self.path or ""))

    def _on_activated(self, index: int) -> None:
        chosen = self.itemData(index)
        if chosen == "list":
            self.list_asked.emit()
            chosen = None
        elif chosen == "browse":
            folder = str(self.path.parent) if self.path else ""
            name, _ = QFileDialog.getOpenFileName(
                self, "Open a SPAD checkpoint", folder, "SPAD checkpoints (*.safetensors)"
            )
            chosen = Path(name) if name else None
        if chosen is None:
            self._fill()
        else:
            self.choose(chosen)
