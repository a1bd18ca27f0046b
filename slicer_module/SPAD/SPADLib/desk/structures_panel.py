"""A button with a menu of structures to tick, which says on itself what is ticked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import qt

from spad.checkpoint import LabelClass
from SPADLib.host import get

__all__ = ["StructureMenu"]


class StructureMenu:
    """All structures are ticked at first.

    Parameters
    ----------
    button : QPushButton
    """

    def __init__(self, button: Any) -> None:
        self._button = button
        self._menu = qt.QMenu(button)
        self._classes: dict[str, LabelClass] = {}
        button.setMenu(self._menu)

    def fill(self, classes: Iterable[LabelClass]) -> None:
        """Offer these structures, all of them ticked."""
        self._menu.clear()
        self._classes = {}
        self.add(classes)

    def add(self, classes: Iterable[LabelClass]) -> None:
        """Offer these too, ticked, where they are not offered yet."""
        for c in classes:
            if c.name in self._classes:
                continue
            self._classes[c.name] = c
            action = self._menu.addAction(c.name)
            action.setCheckable(True)
            action.setChecked(True)
            action.toggled.connect(lambda *_: self._say())
        self._say()

    def actions(self) -> list[Any]:
        """What is ticked or not, in order."""
        return list(self._menu.actions())

    def ticked(self) -> list[LabelClass]:
        """The structures that are ticked."""
        return [self._classes[get(a, "text")] for a in self.actions() if a.isChecked()]

    def _say(self) -> None:
        names = [c.name for c in self.ticked()]
        every = len(names) == len(self._classes)
        self._button.setText("all structures" if every else ", ".join(names) or "none")
