"""What the panels of the dock share: the viewer, the results, the run that is going on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, QSettings, QStandardPaths, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk.background import explain
from napari_spad.desk.framing import Framing
from napari_spad.desk.keys import Escapes, typed
from napari_spad.desk.result import Result
from napari_spad.desk.run import Engine, Request, Run
from napari_spad.layers import Edit, is_image, leading_index, numbered, turned_view
from spad.annotation import RunProgress
from spad.doctor import note

__all__ = ["Desk", "data_folder", "other_data"]

TIDY_MS = 300
"""After labels were removed: not while napari draws that, nor a notification."""


def data_folder() -> Path:
    """Where what must outlive a session is kept: autosaves, reviews, logs."""
    base = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)
    return Path(base) / "napari-spad"


class Desk(QObject):
    """The annotator's desk. Panels take it as their only argument and talk through its signals.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    engine : Engine
    settings : QSettings
        The user's choices.
    folder : Path
        The user's data; made when first needed.

    Attributes
    ----------
    results : list of Result
        In the order in which they were made.
    result : Result or None
        The one at work: that of the active layer, of an active image the last one at work or the
        newest; else the last one that was.
    accepted : callable
        Gives the places of a result's B-scans that a person took for right; the review sets it.
        No run changes them.
    savers : list of callable
        Each writes now what waits, and says what it could not; panels add theirs.
    """

    said = Signal(str)
    """For the status line."""
    failed = Signal(str)
    """An error in words; shown in the status line and as a notification."""
    progressed = Signal(object)
    """A `RunProgress`."""
    busy_changed = Signal(bool)
    result_changed = Signal(object)
    """`result` is another one now (a Result or None)."""
    result_added = Signal(object)
    written = Signal(object, object)
    """A model wrote a B-scan: the Result, and its place on the leading axes."""
    edited = Signal(object, object)
    """A person's stroke, undo or redo: the Result, and an `Edit`."""
    result_described = Signal(object)
    """A Result has another model, more structures, or other locks than it had."""
    bscan_accepted = Signal(object, object)
    """A person took a B-scan for right: the Result, and its place."""

    def __init__(
        self, viewer: ViewerModel, engine: Engine, settings: QSettings, folder: Path
    ) -> None:
        super().__init__()
        self.viewer, self.engine, self.settings, self.folder = viewer, engine, settings, folder
        self.framing = Framing(viewer)
        self.escapes = Escapes()
        self.accepted: Callable[[Result], Iterable[tuple[int, ...]]] = lambda _: ()
        self.savers: list[Callable[[], str]] = []
        self.results: list[Result] = []
        self.result: Result | None = None
        self._worked: list[Result] = []  # `results`, that at work last
        self._run: Run | None = None
        self._part_done: Callable[[Any], None] | None = None
        self._all_done: Callable[[bool], str] | None = None
        self._stopped = ""
        self.cancelling = False
        self._orphans: list[Result] = []
        self._tidy = QTimer(self, singleShot=True, interval=TIDY_MS)
        self._tidy.timeout.connect(self._remove_orphans)
        viewer.layers.events.inserted.connect(self._on_layer_inserted)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.events.removing.connect(self._take_context)
        viewer.layers.selection.events.active.connect(self._on_active)

    # ------------------------------------------------------------------ words

    def say(self, text: str, of: Result | None = None) -> None:
        """Put this into the status line; `of` a result it begins with which, as `about` does."""
        self.said.emit(text if of is None else self.about(of) + text)

    def inform(self, text: str) -> None:
        """Tell by napari's notification, for what must not be missed."""
        show_info(text)

    def fail(self, error: BaseException | str) -> None:
        """Tell of an error."""
        message = error if isinstance(error, str) else explain(error)
        note(error)
        self.failed.emit(message)
        self.said.emit(message)
        show_error(message)

    def unsaved(self) -> list[str]:
        """Write now whatever waits; what is on no disk then, and why."""
        return [said for save in self.savers if (said := save())]

    def _fail_run(self, error: BaseException | str) -> None:
        """Tell why the run that is going on failed; it says nothing more."""
        self._stopped = error if isinstance(error, str) else explain(error)
        self.fail(error)

    def about(self, result: Result) -> str:
        """What to say before words on a result, where another could be meant: its layer's name."""
        images = [la for la in self.viewer.layers if is_image(la) and la is not result.image]
        return f"“{result.layer.name}”: " if images or len(self.results) > 1 else ""

    # ------------------------------------------------------------------ where we are

    def place(self, result: Result | None = None) -> tuple[int, ...]:
        """Place of the B-scan on screen on the leading axes of a result's layer."""
        result = result or self.result
        return () if result is None else leading_index(result.layer, self.viewer)

    def hindered(self, result: Result) -> str:
        """Why nothing can be done on the B-scan on screen, in words; mostly empty."""
        return other_data(result) or turned_view(self.viewer)

    def pointer(self, result: Result) -> tuple[int, int] | None:
        """Pixel (row, column) of a result's layer under the mouse, or None outside it."""
        layer = result.layer
        at = np.round(layer.world_to_data(self.viewer.cursor.position[-layer.ndim :]))[-2:]
        if not ((at >= 0) & (at < layer.data.shape[-2:])).all():
            return None
        return int(at[0]), int(at[1])

    def go_to(
        self, layer: Any, index: tuple[int, ...], pixel: tuple[float, float] | None = None
    ) -> None:
        """Show a B-scan of a layer, and one of its pixels (row, column)."""
        self.framing.go_to(layer, index, pixel)

    def add_result(self, result: Result) -> None:
        """Take in a result: from now on its edits are told."""
        self.results.append(result)
        self._worked.append(result)
        result.hand_edited = lambda edit: self._on_edit(result, edit)
        self.result_added.emit(result)
        self._set_result(result)

    def _on_edit(self, result: Result, edit: Edit) -> None:
        self.edited.emit(result, edit)
        if edit.kind == "stroke":
            return
        done = "taken back" if edit.kind == "undo" else "made again"
        if self.place(result) in edit.bscans:
            self.say(f"The last step is {done}.", result)
            return
        # Seen, not only done: undo takes back what was last, on whichever B-scan.
        self.go_to(result.layer, edit.bscans[0])
        where, here = numbered(edit.bscans[0][-1]), typed("Ctrl+Alt+Z")
        self.say(f"B-scan {where}: {done}. {here} undoes on one B-scan only.", result)

    def result_of(self, layer: Any) -> Result | None:
        """The result whose labels, uncertainty, or what is by hand in it, a layer is."""
        return next((result for result in self.results if layer in result.layers), None)

    def undo_here(self) -> None:
        """Take back the last step on the B-scan on screen, whatever was done on others since."""
        result = self.result
        if result is None:
            return
        place = self.place(result)
        if place and (why := turned_view(self.viewer)):
            self.say(why, result)
            return
        where = f"B-scan {numbered(place[-1])}" if place else "this B-scan"
        if result.hand.undo_at(place):
            again = typed("Ctrl+Z")
            self.say(f"The last step on {where} is taken back; {again} makes it again.", result)
        else:
            self.say(f"There is nothing on {where} alone that can be taken back.", result)

    def _set_result(self, result: Result | None) -> None:
        if result is not None:
            self._worked.remove(result)
            self._worked.append(result)
        if result is not self.result:
            self.result = result
            self.result_changed.emit(result)

    def _on_active(self, _event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        theirs = (r for r in reversed(self._worked) if r.image is active)
        result = self.result_of(active) or next(theirs, None)
        if result is not None:
            self._set_result(result)

    def _on_layer_inserted(self, event: Any) -> None:
        """Let a duplicate, which napari gives the same, know things of its own from here on."""
        known = event.value.metadata.get("spad")
        others = (la.metadata.get("spad") for la in self.viewer.layers if la is not event.value)
        if isinstance(known, dict) and any(other is known for other in others):
            event.value.metadata["spad"] = deepcopy(known)

    def _on_layer_removed(self, event: Any) -> None:
        removed = event.value
        for result in [r for r in self.results if r.layer is removed]:
            result.stop()
            self.results.remove(result)
            self._worked.remove(result)
            self._orphans.append(result)
            self._tidy.start()
            if self.result is result:
                self._set_result(self._worked[-1] if self._worked else None)

    def _take_context(self, _event: Any = None) -> None:
        """Make the canvas' OpenGL context the current one, in which a layer's textures are freed.

        napari frees them in whichever is current. That is Qt's own, which it draws the window with,
        and the canvas may end napari (SIGSEGV) when it is drawn the next time but one.
        """
        with suppress(AttributeError, RuntimeError):  # no window, or one that is closing
            self.viewer.window._qt_viewer.canvas.native.makeCurrent()

    def _remove_orphans(self) -> None:
        """Take away what belonged to results whose labels are gone; autosave keeps it with them."""
        orphans, self._orphans = self._orphans, []
        for result in orphans:
            if result.layer not in self.viewer.layers:  # it may be back: moved, or put in again
                result.remove()

    # ------------------------------------------------------------------ a run

    @property
    def busy(self) -> bool:
        """Whether a run is going on."""
        return self._run is not None

    @property
    def stopped(self) -> str:
        """Why the run ends early, where it was not the user's wish."""
        return self._stopped

    def run(
        self,
        request: Request,
        on_part: Callable[[Any], None],
        on_end: Callable[[bool], str],
    ) -> bool:
        """Start a run, unless one is going on.

        Parameters
        ----------
        request : Request
        on_part : callable
            Takes each B-scan as it is done (a `Finished`), and whatever else the request's work
            yields. An error there ends the run, and is told.
        on_end : callable
            Takes whether the run came to its end (or was cancelled); returns what to say.

        Returns
        -------
        bool
            Whether it was started.
        """
        if self._run is not None:
            return False
        run = Run(self.engine, request)
        self._run, self._part_done, self._all_done = run, on_part, on_end
        self._stopped, self.cancelling, self._began = "", False, time.monotonic()
        run.told.connect(self._on_told)
        run.progressed.connect(self._on_progress)
        run.part_finished.connect(self._on_part)
        run.failed.connect(self._fail_run)
        run.ended.connect(self._on_ended)
        self.destroyed.connect(run.cancel)  # with the viewer's window
        self.busy_changed.emit(True)
        run.start()
        return True

    def cancel(self) -> None:
        """End the run after its current step; B-scans already done stay."""
        if self._run is not None:
            self.cancelling = True
            self.say("cancelling…")
            self._run.cancel()

    def stop(self, why: str) -> None:
        """End the run for a reason that is told."""
        if self._run is not None:
            self._stopped = why
            self.say(why)
            self._run.cancel()

    @property
    def seconds(self) -> float:
        """How long the run has been going on."""
        return time.monotonic() - self._began

    def _on_told(self, text: str) -> None:
        if not self._stopped and not self.cancelling:
            self.say(text)

    def _on_progress(self, at: RunProgress) -> None:
        if not self._stopped and not self.cancelling:
            self.progressed.emit(at)

    def _on_part(self, event: Any) -> None:
        if self._run is None or self._stopped or self._part_done is None:
            return
        try:
            self._part_done(event)
        except Exception as error:
            self._fail_run(error)
            self._run.cancel()

    def _on_ended(self, complete: bool) -> None:
        """Whatever happened, the buttons come back."""
        all_done, self._run, self._part_done, self._all_done = self._all_done, None, None, None
        said = all_done(complete) if all_done is not None else ""
        self.busy_changed.emit(False)
        if said and not self._stopped:
            self.say(said)

    def shut_down(self) -> None:
        """Stop the run and listen to the viewer no more."""
        if self._run is not None:
            self._run.cancel()
        # What is on its way from the run's thread meets panels that are gone.
        self._part_done = self._all_done = None
        self.blockSignals(True)
        self.savers.clear()
        self._tidy.stop()
        self.framing.disconnect_viewer()
        self.viewer.layers.events.inserted.disconnect(self._on_layer_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.viewer.layers.events.removing.disconnect(self._take_context)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        for result in self.results:
            result.stop()


def other_data(result: Result) -> str:
    """That others put other data into a result's labels, in words; mostly empty."""
    if result.layer.data.shape == result.written.shape:
        return ""
    return f"“{result.layer.name}” holds other data now: segment the image anew."
