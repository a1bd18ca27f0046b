"""Tabs as high as the one that is open, so that the scores below get the room that is left.

A QTabWidget is as high as its highest page, whichever is shown. The methods are those of Qt's; but
a page may be made only when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable

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
        self._pages: list[QWidget | Callable[[], QWidget]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._bar)
        self._bar.currentChanged.connect(self._show)

    def addTab(self, page: QWidget | Callable[[], QWidget], title: str) -> None:
        """Add a page at the end, or what makes it when it is first asked for."""
        self._pages.append(page)
        if isinstance(page, QWidget):
            self._place(page, len(self._pages) == 1)
        self._bar.addTab(title)

    def _place(self, page: QWidget, shown: bool) -> None:
        page.setVisible(shown)
        self.layout().addWidget(page)  # type: ignore[union-attr]

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
        """Return a page; make it, if it is not there yet."""
        page = self._pages[at]
        if not isinstance(page, QWidget):
            page = self._pages[at] = page()
            self._place(page, at == self.currentIndex())
        return page

    def currentIndex(self) -> int:
        """Return which page is open."""
        return int(self._bar.currentIndex())

    def currentWidget(self) -> QWidget:
        """Return the page that is open."""
        return self.widget(self.currentIndex())

    def setCurrentIndex(self, at: int) -> None:
        """Open a page."""
        self._bar.setCurrentIndex(at)

    def setCurrentWidget(self, page: QWidget) -> None:
        """Open a page."""
        self.setCurrentIndex(next(at for at in range(self.count()) if self.widget(at) is page))

    def _show(self, shown: int) -> None:
        self.widget(shown)
        for at, page in enumerate(self._pages):
            if isinstance(page, QWidget):
                page.setVisible(at == shown)
        self.currentChanged.emit(shown)
