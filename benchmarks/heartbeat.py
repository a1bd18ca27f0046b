"""The event loop's heartbeat: the longest time in which the window could not answer, and why."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType, TracebackType

from qtpy.QtCore import Qt, QTimer

__all__ = ["Gap", "Heartbeat"]

BEAT_MS = 5
LOOK_MS = 5
"""How often another thread looks at what the UI thread is doing."""
BLAMED_MS = 50
"""Gaps longer than this are accounted for."""


@dataclass(frozen=True)
class Gap:
    """A time without a beat.

    Parameters
    ----------
    ms : float
    cpu_ms : float
        Of the UI thread; the rest it waited.
    queued_ms : float
        Of what it waited, for a processor (Linux tells): that is other programs' doing, where there
        are more of them than processors. What is left it waited for the interpreter's lock.
    where : str
        What the UI thread was seen doing most of the time.
    unseen_ms : float
        The longest time in which the looking thread could not look either: one call somewhere held
        the interpreter's lock, or the machine was busy with others.
    others : str
        What our other threads did when it could look again.
    """

    ms: float
    cpu_ms: float
    queued_ms: float
    where: str
    unseen_ms: float
    others: str = ""


@dataclass
class Heartbeat:
    """Notes gaps in the UI thread while it lasts (``with Heartbeat() as heart``).

    Parameters
    ----------
    look : bool
        Whether another thread looks at what the UI thread is doing. It takes a little itself.

    Attributes
    ----------
    gaps_ms : list of float
        Times between two beats.
    blamed : list of Gap
        Those over 50 ms.
    """

    look: bool = True
    gaps_ms: list[float] = field(default_factory=list)
    blamed: list[Gap] = field(default_factory=list)

    def __enter__(self) -> Heartbeat:
        self._ui, self._stop = threading.get_ident(), threading.Event()
        self._looks: list[tuple[float, tuple[Place, ...], list[tuple[Place, ...]]]] = []
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._last, self._cpu, self._queued = time.perf_counter(), time.thread_time(), queued()
        self._timer = QTimer(interval=BEAT_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        if self.look:
            self._watch.start()
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._beat()  # a gap that is still open counts
        self._timer.stop()
        self._stop.set()
        if self.look:
            self._watch.join()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_MS / 1000):
            # In words at once, for a frame goes on while it is held; and quickly, for this too
            # holds the interpreter's lock.
            frames = sys._current_frames()
            place = _where(frames.pop(self._ui, None))
            frames.pop(threading.get_ident(), None)
            others = [_where(frame) for frame in frames.values()]
            self._looks.append((time.perf_counter(), place, [o for o in others if len(o) > 1]))

    def _beat(self) -> None:
        now, cpu, waited = time.perf_counter(), time.thread_time(), queued()
        looks, self._looks = self._looks, []
        gap_ms = (now - self._last) * 1000
        self.gaps_ms.append(gap_ms)
        if gap_ms > BLAMED_MS:
            looks = [look for look in looks if look[0] > self._last]
            times = [self._last, *(at for at, _, _ in looks), now]
            unseen, blind = max((b - a, i) for i, (a, b) in enumerate(pairwise(times)))
            seen = Counter(_text(place) for _, place, _ in looks)
            where = "; ".join(f"{text} ({n}×)" for text, n in seen.most_common(3)) or "unseen"
            others = [_text(place) for place in looks[blind][2]] if blind < len(looks) else []
            work, wait = (1000 * (cpu - self._cpu), 1000 * (waited - self._queued))
            self.blamed.append(Gap(gap_ms, work, wait, where, unseen * 1000, "; ".join(others)))
        self._last, self._cpu, self._queued = now, cpu, waited


def queued() -> float:
    """Seconds that this thread has waited for a processor; 0 where the system does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


Place = tuple[str, int, str]


def _where(frame: FrameType | None) -> tuple[Place, ...]:
    """The innermost call of ours, and the innermost one."""
    found: list[Place] = []
    while frame is not None:
        code = frame.f_code
        ours = "napari_spad" in code.co_filename or "/spad/" in code.co_filename
        if ours or not found:
            found.append((code.co_filename, frame.f_lineno, code.co_name))
        if ours:
            break
        frame = frame.f_back
    return tuple(reversed(found))


def _text(places: tuple[Place, ...]) -> str:
    names = (f"{'/'.join(Path(file).parts[-2:])}:{line} {name}" for file, line, name in places)
    return " > ".join(names)
