"""Sampling anew around a person's edits, and carrying a corrected B-scan to its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.desk import Desk, Finished, Request, Result, typed
from napari_spad.layers import FIRST, numbered, segmented
from napari_spad.segment import SegmentPanel
from spad.annotation import pixels

if TYPE_CHECKING:
    from napari.layers import Shapes

__all__ = ["Resampling"]

REGION = "SPAD region"


class Resampling:
    """What the panel “Correct” does with the engine.

    Parameters
    ----------
    desk : Desk
    form : SegmentPanel
        Its choices (model, device, samples, seed) hold here too.
    """

    def __init__(self, desk: Desk, form: SegmentPanel) -> None:
        self.desk, self.form = desk, form

    def around_edits(self, scope: str) -> None:
        """Sample the B-scan on screen anew, with what was painted by hand held.

        Parameters
        ----------
        scope : {"B-scan", "rectangle", "doubtful"}
        """
        from spad.annotation import doubtful, edits_for, told

        result = self.at_work()
        if result is None:
            return
        index = self.desk.place(result)
        part = result.part(index)
        painted = result.painted(part)
        if not painted.any():
            self.desk.say(
                "Nothing in this B-scan is changed by hand yet, so the model would say the same "
                "again. Paint a stroke first, where it is wrong.",
                result,
            )
            return
        within: NDArray[np.bool_] | None = None
        if scope == "rectangle":
            within = self._rectangles(result, index, painted.shape)
            if not within.any():
                self.desk.say("Draw a rectangle in this B-scan first (the button beside).")
                return
        elif scope == "doubtful":
            within = doubtful(np.asarray(result.uncertainty.data[part.region]))
        labels = np.asarray(result.layer.data[part.region])
        edits = edits_for(labels, painted, len(result.classes), locked=result.locked, region=within)
        before, accepted = labels.copy(), index in set(self.desk.accepted(result))

        def take(event: Finished) -> str:
            if not accepted and index in set(self.desk.accepted(result)):
                return "It was accepted meanwhile and stays as it is: Skip (S) opens it again."
            result.take(event, within=within)
            after = np.asarray(result.layer.data[part.region])
            said = told(before, after, result.classes)
            if np.array_equal(before, after):
                return said
            lost = " It is not accepted any more." if accepted else ""
            return f"{said}{lost} {typed('Ctrl+Z')} takes it back."

        self.run(result, {index: edits}, take)

    def onward(self, count: int, *, follow: bool = False) -> None:
        """Carry the B-scan on screen to its neighbours, one after another.

        Parameters
        ----------
        count : int
            How many; negative towards the first B-scan.
        follow : bool
            Show the last of them when it is done.
        """
        from spad.annotation import edits_for, left_alone

        result = self.at_work()
        if result is None:
            return
        index = self.desk.place(result)
        if not index:
            self.desk.say("This image is a single B-scan: there are no neighbours to carry it to.")
            return
        made = result.painted(result.part(index)).any() or index in (segmented(result.layer) or ())
        if not made:
            self.desk.say("This B-scan is not segmented yet: there is nothing to carry on.", result)
            return
        step = 1 if count > 0 else -1
        last = result.layer.data.shape[-3] - 1
        places = [
            (*index[:-1], z)
            for z in range(index[-1] + step, index[-1] + count + step, step)
            if 0 <= z <= last
        ]
        if not places:
            self.desk.say("This is the last B-scan in that direction.")
            return
        accepted = set(self.desk.accepted(result)) & set(places)
        kept = left_alone([place[-1] for place in accepted], FIRST)
        if len(accepted) == len(places):
            self.desk.say(kept)
            return
        t0 = self._restart()
        edits: dict[tuple[int, ...], dict[str, Any]] = {}
        before = index  # whose labels the next one restarts from, where it is not sampled itself
        for place in places:
            if place not in accepted:
                part = result.part(place)
                labels = np.asarray(result.layer.data[part.region])
                edits[place] = edits_for(labels, result.painted(part), len(result.classes))
                edits[place] |= {"t0": t0}
                if before == index or before in accepted:  # else from what was sampled there
                    start = np.asarray(result.layer.data[before])[: part.height, : part.width]
                    start = np.where(start < len(result.classes), start, 0)
                    edits[place]["start"] = start.astype(np.uint8)
            before = place
        press = object()

        def take(event: Finished) -> str:
            if event.part.index in self.desk.accepted(result):  # meanwhile
                return left_alone([event.part.index[-1]], FIRST)
            changed = result.take(event, within=None, group=press)
            if follow:
                self.desk.go_to(result.layer, event.part.index)
            number = numbered(event.part.index[-1])
            told = f"B-scan {number} restarted from its neighbour: {pixels(changed)} changed."
            return f"{told} {kept}".rstrip()

        self.run(result, edits, take, onward=True)

    def _restart(self) -> int:
        from spad.annotation import RESTART

        card = self.form.model.card()
        steps = 1 if card is None else card.schedule.steps
        return max(round(RESTART * steps), 1)

    def at_work(self) -> Result | None:
        """The result at work; None, and said why, where nothing can be done on it now."""
        result = self.desk.result
        if self.desk.busy:
            self.desk.say("A run is going on: wait for it, or cancel it.")
        elif result is None:
            self.desk.say("There is no segmentation yet: press Segment first.")
        elif why := self.desk.hindered(result):
            self.desk.say(why)
        else:
            return result
        return None

    def run(
        self,
        result: Result,
        edits: dict[tuple[int, ...], Any],
        take: Callable[[Finished], str],
        *,
        onward: bool = False,
        made: Callable[[Request], Request] = lambda request: request,
    ) -> None:
        """Sample some B-scans of a result anew.

        Parameters
        ----------
        result : Result
        edits : dict
            What to ask of the engine, by the B-scan's place, in the order of the run.
        take : callable
            Takes each outcome; what it returns last is said in the end.
        onward : bool
            As of `Request`.
        made : callable
            Turns the request into the one that is run.
        """
        try:
            request = made(self.form.request_for(result, edits, onward=onward))
        except Exception as error:
            self.desk.fail(error)
            return
        said: list[str] = []

        def on_part(event: Finished) -> None:
            if result not in self.desk.results:
                self.desk.stop("stopped: the result's layer was removed")
                return
            said.append(take(event))
            self.desk.written.emit(result, event.part.index)

        def on_end(complete: bool) -> str:
            told = said[-1] if said else "Nothing was changed."
            return self.desk.about(result) + (told if complete else f"cancelled; {told}")

        self.desk.run(request, on_part, on_end)

    # ------------------------------------------------------------------ the rectangle

    def draw_rectangle(self) -> None:
        """Put a shapes layer on top, ready to draw the region in; then back to the labels."""
        result = self.at_work()
        if result is None:
            return
        layers = self.desk.viewer.layers
        if REGION in layers:
            shapes = layers[REGION]
            shapes.data = []
        else:
            placed = {k: getattr(result.layer, k) for k in ("scale", "translate", "units")}
            shapes = self.desk.viewer.add_shapes(
                None,
                ndim=result.layer.ndim,
                name=REGION,
                edge_color="white",
                edge_width=1,
                face_color="transparent",
                metadata={"role": "aid"},
                **placed,
            )
            shapes.events.data.connect(self._on_drawn)
        layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        self.desk.say("Draw a rectangle on the B-scan; R then samples anew inside it.")

    def _on_drawn(self, event: Any) -> None:
        if str(getattr(event, "action", "")).endswith("added") and self.desk.result is not None:
            self.desk.viewer.layers.selection.active = self.desk.result.layer

    def _rectangles(
        self, result: Result, index: tuple[int, ...], shape: tuple[int, ...]
    ) -> NDArray[np.bool_]:
        within = np.zeros(shape, bool)
        if REGION not in self.desk.viewer.layers:
            return within
        shapes: Shapes = self.desk.viewer.layers[REGION]
        for corners in shapes.data:
            world = [shapes.data_to_world(c) for c in corners]
            at = np.array([result.layer.world_to_data(w[-result.layer.ndim :]) for w in world])
            if at.shape[1] > 2 and not (np.round(at[:, :-2]) == index).all():
                continue
            low, high = np.round(at[:, -2:].min(0)), np.round(at[:, -2:].max(0)) + 1
            rows, columns = (
                slice(max(int(a), 0), max(int(b), 0)) for a, b in zip(low, high, strict=True)
            )
            within[rows, columns] = True
        return within
