"""What tests of the tab Correct do: paint, press a key, run, read what is said."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

SHAPE = (4, 24, 36)
AT = (slice(0, 4), slice(0, 6))  # background in the fake labels


def run(dock, qtbot, start) -> None:
    start()
    qtbot.waitUntil(lambda: not dock.running, timeout=15_000)


def paint(layer, where=AT, value=4, z=1) -> None:
    index = np.indices(SHAPE)[:, z][(slice(None), *where)].reshape(3, -1)
    layer.data_setitem(tuple(index), value)


def said(dock) -> str:
    return dock.footer.status.text()


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def accept(dock, *places) -> None:
    """As the review does: without it an engine without hashes keeps it as long as the session."""
    dock.desk.accepted = lambda _: {(z,) for z in places}
