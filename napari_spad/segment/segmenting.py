"""What pressing Segment does: a run, and the result that it goes into."""

from __future__ import annotations

from typing import Any

from napari_spad.desk import Desk, Finished, Request, Result, model_tag
from napari_spad.segment.segment_panel import SegmentPanel
from spad.annotation import duration

__all__ = ["Segmenting"]


class Segmenting:
    """The run with the choices made.

    Parameters
    ----------
    desk : Desk
    form : SegmentPanel
    """

    def __init__(self, desk: Desk, form: SegmentPanel) -> None:
        self.desk, self.form, self.viewer = desk, form, desk.viewer
        self._done = self._kept = 0
        self._current: Result | None = None  # the layer that the run writes to
        self._new = False  # whether the run makes it
        self._model = ""  # with what
        self._device = ""
        self._told: dict[str, None] = {}  # what the engine said of the run, each once
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    def start(self) -> None:
        """Start a run. Does nothing while one is running."""
        if self.desk.busy:
            return
        self._done, self._kept, self._device, self._told = 0, 0, "", {}
        self._current, self._model = None, ""
        try:
            request = self.form.request()
            self._current = self._earlier(request)
        except Exception as error:
            self.desk.fail(error)
            return
        self.desk.run(
            request,
            lambda event: self._on_part(request, event),
            lambda complete: self._on_end(request, complete),
        )

    def _on_part(self, request: Request, event: Finished) -> None:
        self._device = event.device
        self._told |= dict.fromkeys(event.said)
        # With the first B-scan, not before it: a run that fails there leaves nothing to remove, for
        # napari may end (SIGSEGV) where layers go while a notification comes.
        if self._current is None:
            classes = event.segmentation.classes
            self._current = Result(self.viewer, request.source, classes, self._model)
            self.desk.add_result(self._current)
        result, index = self._current, event.part.index
        if index in set(self.desk.accepted(result)):
            self._told["it was accepted meanwhile and stays as it is"] = None
        elif result.put(event, undoable=not self._new):
            self._done += 1
            self.desk.written.emit(result, index)
        else:
            self._kept += 1

    def _earlier(self, request: Request) -> Result | None:
        """Return the result that a run goes into, None for a new one, by the rules of `Result`."""
        self._model = model_tag(request.checkpoint)
        ours = [r for r in self.desk.results if r.fits(request.source, self._model)]
        earlier = ours[-1] if ours and request.into_result else None
        part = request.source.parts[0]
        if earlier is not None and part.index in self.desk.accepted(earlier):
            self.desk.inform(
                f"“{earlier.layer.name}” is accepted here and stays as it is: this run makes a new "
                "layer."
            )
            earlier = None
        if earlier is not None and not earlier.untouched(part):
            earlier = None
        self._new = earlier is None
        return earlier

    def _on_end(self, request: Request, complete: bool) -> str:
        self._current = None
        source = request.source
        if complete:
            of = f"“{source.name}” is " if len(self.form.image.layers) > 1 else ""
            said = [f"{of}done on {self._device} in {duration(self.desk.seconds)}"]
            notes = [*source.notes, *self._told]
            if source.replaced():
                notes.append("its pixels were replaced meanwhile; this is of those before")
            said += notes
            if notes and not self.desk.stopped:
                self.desk.inform(f"“{source.name}”: {'; '.join(notes)}.")
        else:
            said = ["cancelled"]
            if self._done:
                said.append(f"{self._done} of {len(source.parts)} B-scans are done and stay")
        if self._kept:
            were = "B-scan was" if self._kept == 1 else "B-scans were"
            said.append(f"{self._kept} {were} painted on meanwhile and kept as painted")
        return "; ".join(said)

    def _on_layer_removed(self, event: Any) -> None:
        if self._current is not None and self._current.layer is event.value:
            self.desk.stop("stopped: the result's layer was removed")

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
