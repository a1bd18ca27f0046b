"""Callbacks that hold nothing alive.

PythonQt's receiver of a signal and VTK's observer hold a callable strongly where Python's collector
cannot see it: a timer or a node that calls its owner's method would keep the owner, and with it a
volume's pixels, until Slicer ends.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import qt

__all__ = ["one_shot_timer", "weakly"]


def weakly(method: Callable[..., Any]) -> Callable[..., None]:
    """A bound method as a callback that does nothing once its object is gone."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        if (alive := reference()) is not None:
            alive(*arguments)

    return call


def one_shot_timer(milliseconds: int, method: Callable[[], Any]) -> Any:
    """A timer that calls a bound method once for each start, and does not keep its object alive."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    call = weakly(method)
    timer.timeout.connect(lambda *_: call())
    return timer
