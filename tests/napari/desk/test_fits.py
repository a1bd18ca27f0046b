"""The dock fits a narrow column of a laptop's screen, and its texts can be read in both themes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from conftest import fake_labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QScrollArea,
    QTableWidget,
    QWidget,
)

from napari_spad.desk import widen
from napari_spad.segment.segment_panel import HINT

pytestmark = pytest.mark.gui

WIDTH_PX = 320
HEIGHT_PX = 600
"""What a laptop's 720 px leave of a maximised window: a task bar, a title bar, napari's menu, its
status bar and the dock's own title take the rest."""
A_ROW_PX = 34 + 24
"""The score table's head and one structure."""
CONTRAST = 4.5
"""WCAG 2.2, 1.4.3 (AA), for text. What cannot be used now it leaves out; that asks for less."""
CONTRAST_DISABLED = 2.0


@pytest.fixture
def dock(open_dock, qtbot):
    """The dock at its narrowest, with long names, scores and a reference, as after a run."""
    viewer, dock = open_dock(show=True)
    viewer.window.resize(1366, 720)
    image = viewer.add_image(
        np.random.default_rng(0).integers(0, 200, (4, 24, 36)).astype("uint8"),
        name="a very long name of an image, as file names tend to be, 0001",
        scale=(0.1, 0.02, 0.02),
        units=("mm",) * 3,
    )
    reference = np.stack([fake_labels(b) for b in image.data])
    reference[:, :, :12] = 0
    reference[reference == 5] = 0
    viewer.add_labels(reference, name="reference", scale=image.scale, units=image.units)
    dock.form.whole.setChecked(True)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=10_000)
    across = Qt.Orientation.Horizontal
    viewer.window._qt_window.resizeDocks([dock.parentWidget()], [WIDTH_PX], across)
    qtbot.wait(100)
    return dock


def panels(dock):
    """Every tab, open, by its title."""
    for number in range(dock.panels.count()):
        dock.panels.setCurrentIndex(number)
        _settle()
        yield dock.panels.tabText(number), dock.panels.widget(number)


def _settle() -> None:
    for _ in range(5):
        QApplication.processEvents()


@pytest.mark.parametrize(("window_px", "spared"), [(1600, True), (1100, False)])
def test_in_a_larger_font_the_dock_grows_or_is_scrolled(dock, qtbot, window_px, spared):
    area = dock.findChild(QScrollArea)
    bar = area.horizontalScrollBar()
    assert not bar.isVisible()
    dock.window().resize(window_px, 720)
    dock.setStyleSheet("* { font-size: 16pt }")
    _settle()
    asked = area.widget().minimumSizeHint().width()
    assert asked > WIDTH_PX
    notice = dock.findChild(QLabel, "notice")
    wrapped = Qt.TextFlag.TextWordWrap if notice.wordWrap() else Qt.TextFlag.TextSingleLine
    needed = notice.fontMetrics().boundingRect(notice.rect(), wrapped, notice.text())
    assert notice.rect().size().expandedTo(needed.size()) == notice.rect().size()
    widen(area)
    _settle()
    assert (area.viewport().width() >= asked) is spared
    assert bar.isVisible() is not spared


def test_where_the_dock_is_scrolled_anyway_the_scores_show_all_their_rows(dock):
    area, table = dock.findChild(QScrollArea), dock.scores.table
    dock.setStyleSheet("* { font-size: 14pt }")
    scrolled = []
    for title, _ in panels(dock):
        if table.isVisible():
            scrolled.append(area.verticalScrollBar().maximum() > 0)
            assert table.verticalScrollBar().maximum() == 0 or not scrolled[-1], title
            assert table.height() >= table.minimumHeight()
    assert any(scrolled)
    dock.setStyleSheet("")
    dock.panels.setCurrentIndex(0)
    _settle()
    assert area.verticalScrollBar().maximum() == 0
    assert table.minimumHeight() < 100  # content with the least again


@pytest.mark.parametrize("scored", [True, False], ids=["scored", "no reference yet"])
def test_nothing_asks_for_more_than_a_narrow_column_of_a_laptops_screen(dock, qtbot, scored):
    dock.training.cases._show_stop(True)  # as while B-scans are added
    if not scored:  # a remark stands above the scores
        dock.viewer.layers.remove("reference")
        qtbot.waitUntil(dock.scores.note.isVisible)
    assert dock.minimumSizeHint().width() <= WIDTH_PX
    assert content(dock).minimumSizeHint().width() <= WIDTH_PX
    fixed = dock.minimumSizeHint().height() - dock.findChild(QScrollArea).minimumSizeHint().height()
    for title, panel in panels(dock):
        assert panel.minimumSizeHint().width() <= WIDTH_PX - 8, title
        needed = content(dock).layout().minimumHeightForWidth(WIDTH_PX) + fixed
        assert needed <= HEIGHT_PX, f"{title} needs {needed} px"
        assert dock.scores.table.height() >= dock.scores.table.minimumHeight() >= A_ROW_PX


def test_nothing_is_squeezed_or_cut_off(dock):
    dock.form.model.card_text.setText("\n".join(["what a card says"] * 30))
    dock.form.model.card_button.setChecked(True)  # the one part that opens
    said = []
    for title, panel in panels(dock):
        for widget in texts(panel):
            wanted = widget.minimumSizeHint()
            if widget.height() < wanted.height() - 2:
                said.append(f"{title}: {describe(widget)} is {widget.height()} px high, "
                            f"wants {wanted.height()}")  # fmt: skip
            right = widget.mapTo(dock, QPoint(widget.width(), 0)).x()
            if right > dock.width():
                said.append(f"{title}: {describe(widget)} sticks out by {right - dock.width()} px")
    assert not said


def test_texts_stand_out_from_what_is_behind_them(dock):
    weak = []
    for theme in ("dark", "light"):
        dock.viewer.theme = theme
        dock.footer.say(HINT)
        for title, _ in panels(dock):
            for widget in texts(dock):
                wanted = CONTRAST if widget.isEnabled() else CONTRAST_DISABLED
                if (found := contrast(widget)) < wanted:
                    weak.append(
                        f"{theme}, {title}: {describe(widget)} has {found:.1f}, wants {wanted}"
                    )
    assert not weak


def content(dock) -> QWidget:
    """What the dock scrolls, where it must."""
    return dock.findChild(QScrollArea).widget()


def texts(within: QWidget) -> list[QWidget]:
    """Widgets on screen that show a text."""
    found = []
    for kind in (QLabel, QAbstractButton, QComboBox, QTableWidget):
        for widget in within.findChildren(kind):
            shown = widget.isVisible() and not widget.visibleRegion().isEmpty()
            text = getattr(widget, "text", getattr(widget, "currentText", lambda: "table"))()
            if shown and text.strip():
                found.append(widget)
    return found


def describe(widget: QWidget) -> str:
    text = getattr(widget, "text", getattr(widget, "currentText", lambda: ""))()
    return f"{type(widget).__name__} {widget.objectName()} “{text[:30]}”"


def contrast(widget: QWidget) -> float:
    """Contrast ratio (WCAG) of the pixels: the commonest colour against the one farthest off."""
    widget = widget.viewport() if isinstance(widget, QTableWidget) else widget
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    bits = image.constBits()
    if hasattr(bits, "setsize"):  # PyQt6's does not know it
        bits.setsize(image.sizeInBytes())
    raw = np.frombuffer(bits, np.uint8).reshape(image.height(), -1)
    colours = raw[:, : image.width() * 4].reshape(-1, 4)[:, 2::-1]
    unique, counts = np.unique(colours, axis=0, return_counts=True)
    light = luminance(unique)
    behind = light[counts.argmax()]
    return float(((np.maximum(light, behind) + 0.05) / (np.minimum(light, behind) + 0.05)).max())


def luminance(colours: np.ndarray) -> np.ndarray:
    channels = colours / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]
