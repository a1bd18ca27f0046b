"""The user's choices read back: whatever is in the file, the window opens."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from qtpy.QtCore import QSettings

__all__ = ["setting"]

T = TypeVar("T", bool, int, float, str)
WORDS = {"true": True, "1": True, "false": False, "0": False}
LARGEST = 2**31 - 1  # a widget takes no larger number


def setting(settings: QSettings, key: str, default: T) -> T:
    """Return a choice that was kept, as of its default's type; the default where it is none.

    Parameters
    ----------
    settings : QSettings
    key : str
    default : bool, int, float or str
    """
    try:
        found = _as(type(default), settings.value(key, default))
    except Exception:  # a hand-edited file holds anything, and each Qt binding raises its own
        return default
    return default if found is None else found


def _as(kind: type, value: Any) -> Any:
    if kind is str:
        return value if isinstance(value, str) and "\0" not in value else None
    text = str(value).strip().lower()
    if kind is bool:
        return WORDS.get(text)
    number = kind(text)
    return number if math.isfinite(number) and abs(number) <= LARGEST else None
