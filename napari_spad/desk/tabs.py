"""Tabs as high as the one that is open, so that the scores below get the room that is left.

A QTabWidget is as high as its highest page, whichever is shown. The methods are those of Qt's.
"""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined, unused-ignore]
from qtpy.QtWidgets import QTabBar, QVBoxLayout, QWidget

__all__ = ["Tabs"]


class Tabs(QWidget):
    """A tab bar over pages of their own heights."""

    currentChanged = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._bar = QTabBar()
        self._bar.setDrawBase(False)
        self._bar.setExpanding(False)
        self._bar.setStyleSheet(
            "QTabBar::tab { padding: 3px 2px; }"
        )  # all of them in a narrow dock
        self._pages: list[QWidget] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        self._bar.currentChanged.connect(self._show)

    def addTab(self, page: QWidget, title: str) -> None:
        """Add a page at the end."""
        self._pages.append(page)
        page.setVisible(len(self._pages) == 1)
        self.layout().addWidget(page)  # type: ignore[union-attr]
        self._bar.addTab(title)

    def tabBar(self) -> QTabBar:
        """Return the tabs themselves."""
        return self._bar

    def tabText(self, at: int) -> str:
        """Return a page's title."""
        return str(self._bar.tabText(at))

    def count(self) -> int:
        """Return the number of pages."""
        return len(self._pages)

    def widget(self, at: int) -> QWidget:
        """Return a page."""
        return self._pages[at]

    def currentIndex(self) -> int:
        """Return which page is open."""
        return int(self._bar.currentIndex())

    def currentWidget(self) -> QWidget:
        """Return the page that is open."""
        return self._pages[self.currentIndex()]

    def setCurrentIndex(self, at: int) -> None:
        """Open a page."""
        self._bar.setCurrentIndex(at)

    def setCurrentWidget(self, page: QWidget) -> None:
        """Open a page."""
        self.setCurrentIndex(self._pages.index(page))

    def _show(self, shown: int) -> None:
        for at, page in enumerate(self._pages):
            page.setVisible(at == shown)
        self.currentChanged.emit(shown)
