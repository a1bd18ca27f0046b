"""A question with buttons within a panel, where a dialog would stand in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout

from napari_spad.desk.widgets import named

__all__ = ["Question"]


class Question(QFrame):
    """Hidden until there is something to ask; each answer hides it again.

    Parameters
    ----------
    name : str
        Of the widget; its buttons are named by their text in small letters.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setStyleSheet(f"QFrame#{name} {{ border: 1px solid #e69f00; border-radius: 3px; }}")
        self.text = named(QLabel(), f"{name}_text")
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._row = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(self._row)
        self.buttons: dict[str, QPushButton] = {}
        self.hide()

    def ask(self, text: str, answers: Mapping[str, Callable[[], None]]) -> None:
        """Show a question.

        Parameters
        ----------
        text : str
        answers : mapping of a button's text to what it does
        """
        for button in self.buttons.values():
            self._row.removeWidget(button)
            button.deleteLater()
        self.text.setText(text)
        self.buttons = {}
        for title, act in answers.items():
            button = named(QPushButton(title), title.lower())
            button.clicked.connect(lambda _checked=False, act=act: self._answer(act))
            self._row.addWidget(button)
            self.buttons[title] = button
        self.show()

    def _answer(self, act: Callable[[], None]) -> None:
        self.hide()  # before: the answer may be another question
        act()
