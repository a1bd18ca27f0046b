"""The annotation log: one line for each visit to a B-scan on which something was changed.

It answers how long a correction took and what it brought. It holds the annotator's name, the hash
of the B-scan's pixels and numbers: no file name, no layer name, nothing of the patient.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import Desk, FunctionWorker, Result, annotator
from napari_spad.keep.log_lines import LogLines
from napari_spad.layers import Edit

if TYPE_CHECKING:
    from napari_spad.scores import LiveScores

__all__ = ["AnnotationLog", "dice_of"]

IDLE_SECONDS = 60.0
"""A longer pause between two actions counts as this much: the annotator was not there."""
SETTLE_MS = 250
"""So long after the slider came to rest the scores are read: they follow by then."""
Index = tuple[int, ...]
Scores = Callable[[Any, Index], Mapping[str, float] | None]


@dataclass
class _Visit:
    result: Result
    index: Index
    before: Mapping[str, float] | None
    seconds: float = 0.0
    strokes: int = 0
    undos: int = 0
    redos: int = 0
    resamplings: int = 0
    pixels: dict[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was changed."""
        return not (self.strokes or self.undos or self.redos or self.resamplings)


class AnnotationLog(QObject):
    """Notes what is done on the B-scan on screen, and writes a line when it is left.

    Parameters
    ----------
    desk : Desk
    clock : callable
        Seconds, for tests.

    Attributes
    ----------
    scores : callable
        Dice by structure of a layer's B-scan, None where there is no reference; the dock gives it
        (`dice_of`).
    """

    written = Signal()
    """A line more is on the disk; `lines` counts those of this session."""
    failed = Signal(str)

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.desk, self._clock = desk, clock
        self.folder = desk.folder / "log"
        self.scores: Scores = lambda _layer, _index: None
        self.lines = 0
        self._over = False
        self._visit: _Visit | None = None
        self._last = clock()
        self._worker: FunctionWorker | None = None
        self._arrive = QTimer(self, singleShot=True, interval=SETTLE_MS)
        self._arrive.timeout.connect(self._on_arrived)
        desk.edited.connect(self._on_edited)
        desk.written.connect(self._on_written)
        desk.result_changed.connect(self._on_moved)
        desk.viewer.dims.events.current_step.connect(self._on_moved)
        self._arrive.start()

    # ------------------------------------------------------------------ what is done

    def _on_moved(self, _event: Any = None) -> None:
        self._tick()
        visit = self._visit
        place = (self.desk.result, self.desk.place() if self.desk.result is not None else ())
        if visit is None or (visit.result, visit.index) != place:
            self.leave()
            self._arrive.start()

    def _on_arrived(self) -> None:
        result = self.desk.result
        if result is not None and self._visit is None:
            self._begin(result, self.desk.place())

    def _begin(self, result: Result, index: Index) -> _Visit:
        self._visit = _Visit(result, index, self.scores(result.layer, index))
        return self._visit

    def _at(self, result: Result, index: Index) -> _Visit:
        """Return the visit to a B-scan, which begins now if it is another one."""
        self._tick()
        visit = self._visit
        if visit is None or visit.result is not result or visit.index != index:
            self.leave()
            visit = self._begin(result, index)
            visit.before = None  # it is changed already
        return visit

    def _on_edited(self, result: Result, edit: Edit) -> None:
        place = self.desk.place(result)
        visit = self._at(result, place if place in edit.bscans else edit.bscans[0])
        if edit.by_model:
            visit.resamplings += 1 if edit.kind == "redo" else -1
            return
        if edit.kind == "stroke":
            visit.strokes += 1
            names = {c.value: c.name for c in result.classes}
            for value, count in edit.became.items():
                name = names.get(value, f"class {value}")
                visit.pixels[name] = visit.pixels.get(name, 0) + count
        elif edit.kind == "undo":
            visit.undos += 1
        else:
            visit.redos += 1

    def _on_written(self, result: Result, index: Index) -> None:
        """A model wrote: around a person's edits it is a re-sampling, else a first segmentation."""
        index = tuple(index)
        if result.hand.mask[index].any():
            self._at(result, index).resamplings += 1
        elif self._visit is not None and self._visit.empty:
            self._visit = None  # what was there before is not what the correction starts from
            self._arrive.start()

    def look_again(self) -> None:
        """Read the scores again before the first edit: another reference was chosen."""
        if self._visit is not None and self._visit.empty:
            self._visit.before = self.scores(self._visit.result.layer, self._visit.index)

    def _tick(self) -> None:
        now = self._clock()
        if self._visit is not None:
            self._visit.seconds += min(now - self._last, IDLE_SECONDS)
        self._last = now

    # ------------------------------------------------------------------ lines

    def leave(self) -> None:
        """End the visit; a line is written if anything was changed."""
        visit, self._visit = self._visit, None
        if visit is None or visit.empty:
            return
        runs = visit.result.runs
        run: dict[str, Any] = next((r for r in runs if tuple(r["bscan"]) == visit.index), {})
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "annotator": annotator(self.desk),
            "image_sha256": run.get("image_sha256", ""),
            "bscan": [i + 1 for i in visit.index],
            "seconds": round(visit.seconds, 1),
            "strokes": visit.strokes,
            "undos": visit.undos,
            "redos": visit.redos,
            "resamplings": visit.resamplings,
            "pixels": visit.pixels,
            "dice_before": _rounded(visit.before),
            "dice_after": _rounded(self.scores(visit.result.layer, visit.index)),
        }
        self._log.add(json.dumps(said, ensure_ascii=False))
        self._write()

    @property
    def _log(self) -> LogLines:
        return LogLines.of(self.folder)

    def _write(self) -> None:
        if self._worker is None and self._log.waiting and not self._over:
            self._worker = FunctionWorker(self._log.write)
            self._worker.returned.connect(self._on_appended)
            self._worker.start()

    def _on_appended(self, answer: tuple[str, int]) -> None:
        self._worker = None
        self._count(answer[1])
        if answer[0]:
            self.failed.emit(f"{answer[0]}; it is tried again with the next B-scan")
        else:
            self._write()

    def _count(self, lines: int) -> None:
        self.lines += lines
        if lines:
            self.written.emit()

    def flush(self) -> str:
        """End the visit and write its line now; returns what went wrong."""
        self._tick()
        self.leave()
        said, count = self._log.write()
        self._count(count)
        return said

    def shut_down(self) -> None:
        """Write the last lines; let go of the viewer. A second call tries what is left again."""
        if not self._over:
            self._over = True
            self._arrive.stop()
            self._tick()
            self.leave()
            self.desk.viewer.dims.events.current_step.disconnect(self._on_moved)
        self._log.write()


def dice_of(live: LiveScores, layer: Any, index: Index) -> dict[str, float] | None:
    """Dice of each structure of a B-scan, from the score table's counts.

    Parameters
    ----------
    live : LiveScores
    layer : napari.layers.Labels
    index : tuple of int
        The B-scan's place on the leading axes.

    Returns
    -------
    dict or None
        None where the layer is not the one scored, or there is no reference. Structures that are
        in neither are left out.
    """
    from spad.metrics import structure_scores

    if live.segmentation is not layer or live.reference is None or not live.classes:
        return None
    found = structure_scores(live.matrix(index), live.classes)
    return {score.name: score.dice for score in found if score.state != "absent"}


def _rounded(dice: Mapping[str, float] | None) -> dict[str, float] | None:
    return None if dice is None else {name: round(float(d), 4) for name, d in dice.items()}
