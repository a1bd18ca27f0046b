"""Autosave: the result at work is on the disk within a second or two of every change.

A timer writes, a file or two a turn of the event loop: threads of Python do not run while Slicer
waits for events.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spad.autosave import AutosavedLayer, Session
from spad.cases import file_error
from SPADLib.desk import Desk
from SPADLib.host import Cancelled, Pump, data_folder, one_shot_timer
from SPADLib.keep.saved_lines import SavedLines
from SPADLib.keep.saved_node import SavedNode
from SPADLib.keep.saved_result import SavedResult
from SPADLib.lines import LineSet, line_sets
from SPADLib.scene import Result

__all__ = ["Autosave", "now"]

WAIT_MS = 300
"""After a model wrote; by then the panel has mostly read the labels itself."""
SAVED_MS = 2000
"""Between two looks whether results were saved with the scene."""
RETRY_MS = 10_000
"""After a disk was full or read-only."""


class Autosave:
    """Saves results from their first change in the panel on.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    removed : list of AutosavedLayer
        Of this session: what left the scene.
    when : float
        When all was on the disk last, as `time.time` has it; 0 where nothing was to be written.
    trouble : str
        Why nothing can be written at the moment; else empty.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.root = data_folder() / "slicer-autosave"
        self.session = Session(self.root)
        self.when = 0.0
        self.trouble = ""
        self._tracked: dict[str, SavedNode] = {}
        self._gone: list[SavedNode] = []
        self.removed: list[AutosavedLayer] = []
        self._written: dict[str, Result] = {}
        self._last: Result | None = None
        self._pump = Pump(lambda _: None, self._on_end)
        self._soon = one_shot_timer(WAIT_MS, self._look_in_words)
        self._saved = one_shot_timer(SAVED_MS, self._look_whether_saved)
        self._again = one_shot_timer(RETRY_MS, self._start)
        desk.on("written", self._on_written)
        for what in ("edited", "reviewed", "structures"):
            desk.on(what, self._look)
        desk.on("lines", self._look_at_lines)
        desk.on("parameters", self._on_parameters)
        desk.on("saved", lambda: self._mark_saved(self.desk.result))

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return self._soon.isActive() or any(one.waiting for one in self._all())

    def _all(self) -> list[SavedNode]:
        return [*self._gone, *self._tracked.values()]

    def track(self, back: Result | LineSet, saved: AutosavedLayer) -> None:
        """Go on saving a result, or lines, where they were read back from."""
        known: SavedNode
        known = SavedLines(back, saved) if isinstance(back, LineSet) else SavedResult(back, saved)
        known.look()
        self._saved.start()
        self._tracked[known.node.GetID()] = known
        self._start()

    # ------------------------------------------------------------------ what is to be saved

    def _on_written(self) -> None:
        if (result := self.desk.written) is not None:
            self._written[result.segmentation.GetID()] = result
        self._soon.start()

    def _look_in_words(self) -> None:
        self.desk.guarded(self._look)
        for result in [*self._written.values()]:  # another one is at work by now
            if result.segmentation.GetScene() is not None:
                self.desk.guarded(partial(self._look_at, result))
        self._written.clear()

    def _look(self) -> None:
        if (result := self.desk.result) is not None:
            self._last = result
            self._look_at(result, self.desk.labels)

    def _look_at(self, result: Result, labels: NDArray[np.uint8] | None = None) -> None:
        name = result.segmentation.GetID()
        model = self._written.pop(name, None) is not None
        if not self._written:
            self._soon.stop()
        known = self._tracked.get(name)
        if not isinstance(known, SavedResult) or known.node is not result.segmentation:
            known = SavedResult(result, self.session.new_layer())
        known.result = result
        known.look(labels, model=model)
        self._tracked[name] = known
        self._saved.start()
        self._start()

    def _on_parameters(self) -> None:
        """Look once more at a result that is at work no more, and which left the scene."""
        last, current = self._last, self.desk.result
        if last is not None and (current is None or current.segmentation is not last.segmentation):
            self._last = None
            if self.desk.known(last.segmentation) is not None:
                self.desk.guarded(lambda: self._look_at(last))
        self._let_go()

    def _look_at_lines(self) -> None:
        """Look at the lines over the image of the result at work."""
        self._let_go()
        result = self.desk.result
        for lines in [] if result is None else line_sets(result.volume, result.layout.axis):
            known = self._tracked.get(lines.node.GetID())
            if not isinstance(known, SavedLines) or known.node is not lines.node:
                known = SavedLines(lines, self.session.new_layer())
            known.look()
            self._tracked[lines.node.GetID()] = known
        self._saved.start()
        self._start()

    def _let_go(self) -> None:
        """Go on with what left the scene: it is kept, but not missed."""
        for name, one in [*self._tracked.items()]:
            if one.node.GetScene() is None:
                one.mark(removed=now())
                self._gone.append(self._tracked.pop(name))
                self._start()

    def _look_whether_saved(self) -> None:
        """Note which were saved with the scene: Slicer tells of it by no event."""
        for one in self._tracked.values():
            if one.unsaved and not one.node.GetModifiedSinceRead():
                one.mark(exported=now())
        self._start()
        if any(one.unsaved for one in self._tracked.values()):
            self._saved.start()

    def _mark_saved(self, result: Result | None) -> None:
        """Note that the person saved a result: a crash need not offer it."""
        if result is not None and (one := self._tracked.get(result.segmentation.GetID())):
            one.mark(exported=now())
            self._start()

    # ------------------------------------------------------------------ saving

    def _start(self) -> None:
        if not self._pump.busy and any(one.waiting for one in self._all()):
            self._pump.start(self._writes())

    def _writes(self) -> Iterator[None]:
        while (one := next((one for one in self._all() if one.waiting), None)) is not None:
            self.session.begin()
            yield from one.writes()
            if one in self._gone and not one.waiting:
                self._gone.remove(one)
                self.removed.append(one.saved)
        self.when = time.time()

    def _on_end(self, outcome: BaseException | None) -> None:
        if isinstance(outcome, Cancelled):
            return
        self._tell(outcome)
        if outcome is not None:
            self._again.start()

    def _tell(self, outcome: BaseException | None) -> None:
        said = "" if outcome is None else file_error(outcome)
        if said and said != self.trouble:
            self.desk.fail(
                f"Autosave cannot write to {self.root} ({said}). Save the scene meanwhile; it is "
                f"tried again every {RETRY_MS // 1000} s."
            )
        self.trouble = said
        self.desk.tell("kept")

    def flush(self) -> None:
        """Write now what waits."""
        if self._soon.isActive():
            self._look_in_words()
        self._again.stop()
        outcome = None
        try:
            for _ in self._writes():
                pass
        except Exception as error:
            outcome = error
        self._tell(outcome)

    def leave(self) -> None:
        """Write the rest: the scene is about to be closed."""
        self.flush()
        for one in self._tracked.values():
            saved = not (one.exported or one.node.GetModifiedSinceRead())  # since the last look
            one.mark(removed=now(), exported=now() if saved else "")
        self._gone += self._tracked.values()
        self._tracked = {}
        self.flush()

    def stop(self) -> None:
        """Write the rest, and let go of scene and folder."""
        self.leave()
        self._pump.cancel()
        self._saved.stop()
        self.session.close(properly=not self.trouble)


def now() -> str:
    """The time, as the header tells it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S")
