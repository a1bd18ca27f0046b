"""The measurements of the labels at work and of their reference, which follow every stroke.

The labels are those of the score table, in its classes. A B-scan that was painted is measured at
once, from the event loop's next turn; what changes unseen (undo, other programs' writes) is found
by check sums, on screen while it happens, elsewhere once things are quiet. All of it sleeps while
nobody looks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.borders import StackLines
from napari_spad.desk import Desk, FunctionWorker, Result
from napari_spad.layers import bscan_sizes, leading_index
from napari_spad.measure.counting import (
    PART,
    annotated,
    drawn_samples,
    layer_remarks,
    layers_of,
    line_maps,
    measured,
    of_these,
    pit_of,
    result_in,
    sampled,
    samples_of,
    why_not,
    without_padding,
    z_of,
)
from napari_spad.scale import FILE, PROPOSED, Facts, KeptFacts, KnownFacts
from napari_spad.scores import ScoresPanel
from spad.annotation import check_sum
from spad.borders import Thickness
from spad.measuring import PADDED, LiveMeasures, Measurement, remarks

__all__ = ["StackMeasures"]

GLANCE_MS = 100
QUIET_MS = 400


class StackMeasures(QObject):
    """What is measured, of what, and with which scale.

    Parameters
    ----------
    desk : Desk
    scores : ScoresPanel
        Its labels and its reference are measured.

    Attributes
    ----------
    facts : Facts or None
        Of the labels' image; of the one chosen to be segmented where there are no labels.
    live, reference, beside : LiveMeasures or None
        None while they are first counted, or cannot be. `beside`: `live` where that is annotated.
    rows, reference_rows : tuple of Measurement
    problem : str
        Why nothing is measured, in words.
    facts_of, image_of : callable
        What is known of an image; the image that labels are of: those of `KnownFacts`.
    """

    changed = Signal()
    """The numbers, or what they rest on."""
    facts_changed = Signal()
    """Another image is at work, or a person said something else of it."""
    _soon = Signal()

    def __init__(self, desk: Desk, scores: ScoresPanel) -> None:
        super().__init__()
        self.desk, self.scores = desk, scores
        self.lines = StackLines(desk.viewer)
        self.kept = KeptFacts(desk.folder / FILE, desk.fail)
        known = KnownFacts(desk, self.kept, self._on_told)
        self.facts_of, self.image_of = known.of, known.image_of
        desk.savers.append(self.kept.flush)
        self.facts: Facts | None = None
        self.live: LiveMeasures | None = None
        self.reference: LiveMeasures | None = None
        self.beside: LiveMeasures | None = None
        self.rows: tuple[Measurement, ...] = ()
        self.reference_rows: tuple[Measurement, ...] = ()
        self.problem = ""
        self._chosen: Image | None = None
        self._of: Any = None
        self._heard: Labels | None = None
        self._sums: list[list[int]] = [[], []]
        self._due, self._samples_due = set[int](), set[int]()
        self._awake, self._turn, self._number = False, 0, 0  # number of samples
        self.counting: Any = None  # the worker, while the numbers are counted for the first time
        # A queued signal comes before the window is drawn, a timer after it, so that numbers would
        # be seen a frame later than their stroke.
        self._soon.connect(self._on_soon, Qt.ConnectionType.QueuedConnection)
        self._glance = self._timer(GLANCE_MS, self._on_glance)
        self._quiet = self._timer(QUIET_MS, self._on_quiet)
        self.lines.changed.connect(self.changed)
        scores.compared.changed.connect(self.look)
        desk.result_described.connect(self.look)
        desk.result_added.connect(self.look)
        desk.written.connect(self._on_written)
        desk.bscan_accepted.connect(self._on_written)
        desk.edited.connect(self._on_edited)

    def _timer(self, ms: int, work: Any) -> QTimer:
        timer = QTimer(self, singleShot=True, interval=ms)
        timer.timeout.connect(work)
        return timer

    def wake(self, awake: bool) -> None:
        """Measure from now on, or rest."""
        self._awake = awake
        if awake:
            self.look()
            self._quiet.start()

    @property
    def result(self) -> Result | None:
        """The result whose labels are measured; None where they are no result's."""
        return result_in(self.scores.live.segmentation, self.desk)

    # ------------------------------------------------------------------ what is measured

    def follow_image(self, image: Image | None) -> None:
        """Take an image for the one at work, where no labels say otherwise."""
        self._chosen = image
        self.look()

    def look(self, _event: Any = None) -> None:
        """Measure what is at work, if it is another stack or has another scale than before."""
        live = self.scores.live
        layer = live.segmentation
        facts = self.facts_of(self._chosen if layer is None else self.image_of(layer) or layer)
        if facts is not self.facts:
            self.facts = facts
            self.facts_changed.emit()
        if not self._awake:
            return
        spacing = None if facts is None else facts.scale.spacing_mm
        shape = None if layer is None else layer.data.shape
        of = (layer, shape, live.reference, live.classes, spacing, facts)
        if of != self._of:
            self._of = of
            self._begin()

    def _on_told(self, image: Any) -> None:
        """A person said something else of an image."""
        self.lines.follow_scale(image)
        self.look()
        self.lay_grid()
        self.scores.refresh()  # it says mm too
        self.facts_changed.emit()

    def _begin(self) -> None:
        self._listen(self.scores.live.segmentation)
        self._turn += 1
        self.live = self.reference = self.beside = self.counting = None
        self.rows, self.reference_rows = (), ()
        self.problem = why_not(self.facts, self.scores.live.segmentation)
        if not self.problem and self.facts is not None:
            live, result = self.scores.live, self.result
            theirs = self._padded(live.class_maps(())[1].reshape(self.facts.shape))
            ours = self.class_maps()
            places, self._number, drawn = samples_of(result, ours, self.desk)
            self._due.clear()
            self._samples_due.clear()
            self.counting = FunctionWorker(
                measured, ours, theirs if live.reference is not None else None, live.classes,
                self.facts.scale.spacing_mm, self._number, places, drawn,
                pit_of(self.facts), self._turn,
            )  # fmt: skip
            self.counting.returned.connect(self._on_measured)
            self.counting.start()
        self.changed.emit()

    def class_maps(self) -> NDArray[np.uint8]:
        """The labels at work in the score table's classes, (Z, H, W); 255 is not scanned."""
        assert self.facts is not None  # noqa: S101 - callers have looked
        ours = self.scores.live.class_maps(())[0]
        return self._padded(ours.reshape(self.facts.shape))

    def _padded(self, labels: NDArray[np.uint8], z: int | None = None) -> NDArray[np.uint8]:
        """Labels, not scanned where they only pad smaller B-scans of the stack."""
        return labels if self.facts is None else without_padding(labels, self.facts.image, z)

    def _on_measured(self, found: Any) -> None:
        turn, live, reference, beside, sums, pit, failed = found
        if turn != self._turn:
            return
        self.counting = None
        if failed:
            self.problem = failed
            self.changed.emit()
            return
        self.live, self.reference, self.beside, self._sums = live, reference, beside, sums
        if self.facts is not None and self.facts.fovea is None and pit is not None:
            self.facts.place_fovea(pit, PROPOSED)  # which lays the grid
        else:
            self.lay_grid()
        self._quiet.start()

    # ------------------------------------------------------------------ the grid

    def lay_grid(self) -> None:
        """Lay the grid about the fovea that is known now, and say the numbers."""
        if self.live is None or self.facts is None:
            return
        fovea = self.facts.fovea
        at = None if fovea is None or self.live.spacing_mm[0] is None else fovea.at
        for live in filter(None, (self.live, self.reference)):
            live.place(at, eye=self.facts.eye, first=self.facts.first)
        self.reference_rows = ()
        self._count()

    def propose(self) -> bool:
        """Propose the fovea's place, from the pit in the image; False where there is none."""
        at = None if self.facts is None else pit_of(self.facts)()
        if at is not None and self.facts is not None:
            self.facts.place_fovea(at, PROPOSED)
        return at is not None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers has to know."""
        if self.live is None or self.facts is None:
            return ()
        unequal = PADDED if bscan_sizes(self.facts.image) else ""
        said = (self.partly, *remarks(self.live, self.facts.scale), unequal)
        return tuple(filter(None, said))

    @property
    def reference_remarks(self) -> tuple[str, ...]:
        """The same of the reference's."""
        if self.reference is None or self.facts is None:
            return ()
        part = self.beside is not self.live
        return (*[PART] * part, *remarks(self.reference, self.facts.scale))

    @property
    def layer_remarks(self) -> tuple[str, ...]:
        """The same of the thickness between lines, of which the whole scan may have been drawn."""
        return () if self.facts is None else layer_remarks(self.facts)

    @property
    def partly(self) -> str:
        """That a part of the stack alone is segmented; empty where all is, or none by a model."""
        return of_these(self.result)

    def line_maps(self) -> dict[str, NDArray[np.float32]]:
        """En-face maps of the thickness between lines in µm, by name; empty without a scale."""
        return line_maps(self.facts, self.lines)

    def layers(self) -> tuple[Thickness, ...]:
        """Mean thickness between lines, region by region."""
        return layers_of(self.facts, self.lines)

    # ------------------------------------------------------------------ strokes

    def _listen(self, layer: Labels | None) -> None:
        if self._heard is not None:
            self._heard.events.paint.disconnect(self._on_paint)
            self._heard.events.set_data.disconnect(self._on_unsaid)
            self._heard.events.data.disconnect(self._on_unsaid)
        self._heard = layer
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_unsaid)
            layer.events.data.connect(self._on_unsaid)

    def _on_paint(self, event: Any) -> None:
        for atom in event.value:
            first = atom.slice_key[0] if hasattr(atom, "slice_key") else atom[0][0]
            if self.facts is None or self.facts.image.ndim < 3:
                self._due.add(0)
            elif isinstance(first, slice):
                self._due.update(range(*first.indices(self.facts.shape[0])))
            else:
                self._due.update(int(z) for z in np.unique(first))
        # napari tells of some edits before they are written.
        if self._awake:
            self._soon.emit()

    def _on_unsaid(self, _event: Any = None) -> None:
        if self._awake:
            if not self._glance.isActive():
                self._glance.start()
            self._quiet.start()

    def _on_edited(self, result: Result, edit: Any) -> None:
        if result.layer is self._heard:
            self._samples_due.update(z_of(place) for place in edit.bscans)
            self._on_unsaid()

    def _on_written(self, result: Result, place: tuple[int, ...]) -> None:
        if result.layer is self._heard:
            self._due.add(z_of(place))
            self._samples_due.add(z_of(place))
            if self._awake:
                self._soon.emit()
                self._quiet.start()

    def _on_soon(self) -> None:
        if self._awake and self.live is not None:
            due, self._due = self._due, set()
            changed = [self._take(z) for z in sorted(due)]
            if any(changed):
                self._count()

    def _on_glance(self) -> None:
        layer = self._heard
        if self.live is None or layer is None or np.ndim(layer.data) != layer.ndim:
            return
        if self._take(z_of(leading_index(layer, self.desk.viewer))):
            self._count()

    def _on_quiet(self) -> None:
        if not self._awake:
            return
        self.look()
        if self.live is None or self.facts is None:
            return
        found = [self._take(z) for z in range(self.facts.shape[0])]
        found.append(self._take_samples())
        if any(found) and self.live is not None:  # the first samples have all counted anew
            self._count()

    def _take(self, z: int) -> bool:
        """Measure a B-scan anew if it has changed; whether it had."""
        layer, facts = self.scores.live.segmentation, self.facts
        if self.live is None or facts is None or layer is not self._heard or layer is None:
            return False
        if layer.data.shape != self._of[1]:  # other data: looked at once things are quiet
            return False
        maps = self.scores.live.class_maps((z,) if layer.ndim > 2 else ())
        changed = False
        ones = [self._padded(one.reshape(1, *facts.shape[1:]), z)[0] for one in maps]
        for live, one, sums in zip((self.live, self.reference), ones, self._sums, strict=True):
            if live is None:
                continue
            if (check := check_sum(one)) != sums[z]:
                sums[z] = check
                live.update(z, one)
                changed = True
                if live is self.reference:
                    self.reference_rows = ()
        if changed and self.reference is not None and self.beside is not None:
            shared = annotated(*ones)
            if self.beside is not self.live:
                self.beside.update(z, shared)
            elif (shared != ones[0]).any():  # 255 was painted in the reference: count anew, later
                self._of = None
        return changed

    def _take_samples(self) -> bool:
        """Take samples that are new, or were painted on; whether there were any."""
        result, live, facts = self.result, self.live, self.facts
        due, self._samples_due = self._samples_due, set()
        if result is None or live is None or facts is None or not due:
            return False
        if not self._number:
            if result.packed:  # the first ones
                self._of = None
                self.look()
            return False
        for z in sorted(due):
            place = (z,) if facts.image.ndim > 2 else ()
            labels = self.scores.live.class_maps(place)[0]
            labels = self._padded(labels.reshape(1, *facts.shape[1:]), z)[0]
            live.update(
                z, labels, drawn_samples(labels, *sampled(result, place, self.desk), self._number)
            )
        return True

    def _count(self) -> None:
        assert self.live is not None  # noqa: S101 - callers have looked
        self.rows = self.live.rows()
        if self.reference is not None and not self.reference_rows:  # else it is as it was
            self.reference_rows = self.reference.rows()
        self.changed.emit()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._awake = False
        self.lines.disconnect_viewer()
        self._turn += 1
        for timer in (self._glance, self._quiet):
            timer.stop()
        self._listen(None)
