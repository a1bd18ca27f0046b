"""What was shown to the user, and the answers that a test gives in the user's place."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any, NamedTuple

__all__ = ["Dialogs", "Shown", "dialogs"]

DEFAULTS: dict[str, Any] = {
    "yes/no": True,  # as Slicer answers in testing mode
    "ok/cancel": True,
    "retry/close": False,
    "message box": 0x400,  # QMessageBox.Ok
    "open file": "",
    "open files": (),
    "save file": "",
    "folder": "",
    "text": "",
}


class Shown(NamedTuple):
    """One dialog or message: ``info``, ``warning``, ``error``, ``status`` or a kind of DEFAULTS."""

    kind: str
    text: str
    title: str | None = None
    details: dict[str, Any] = {}  # noqa: RUF012  # never changed


class Dialogs:
    """Records dialogs instead of showing them.

    ``dialogs.answer("yes/no", False)`` gives the next answer to a question of that kind; more
    answers queue up. Without one the answers are those of DEFAULTS: yes, OK, no file.
    """

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._answers: dict[str, deque[Any]] = defaultdict(deque)

    def tell(self, kind: str, text: str, title: str | None = None, **details: Any) -> None:
        self.shown.append(Shown(kind, text, title, details))

    def ask(self, kind: str, text: str, title: str | None = None, **details: Any) -> Any:
        self.tell(kind, text, title, **details)
        return self._answers[kind].popleft() if self._answers[kind] else DEFAULTS[kind]

    def answer(self, kind: str, *values: Any) -> None:
        if kind not in DEFAULTS:
            raise ValueError(f"no question is of kind “{kind}”; there are {', '.join(DEFAULTS)}")
        self._answers[kind].extend(values)

    def texts(self, kind: str | None = None) -> list[str]:
        return [s.text for s in self.shown if kind in (None, s.kind)]

    def clear(self) -> None:
        self.shown.clear()
        self._answers.clear()


dialogs = Dialogs()
