"""Labels out: the layers of a result, and the rules by which nothing in them is ever lost.

1. A run over an image or a whole stack makes a new layer.
2. One B-scan of a stack goes into the last result of the same image and model, as one undo step,
   if that B-scan still holds exactly what a model put there (or nothing at all). Otherwise the run
   makes a new layer. (Taking that step back counts as an edit.) So it does where that B-scan was
   accepted.
3. While a run fills its layer B-scan by B-scan, one that was painted on meanwhile stays as painted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_spad.layers import (
    Edit,
    Exchange,
    Hand,
    Part,
    Source,
    by_hand_layer,
    give_classes,
    hidden_aids,
    leading_index,
    noted,
    open_source,
    part_at,
    result_names,
    segmentation_layer,
    uncertainty_layer,
    with_run,
)
from spad.autosave import Packed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_spad.desk.run import Finished
    from spad.checkpoint import LabelClass

__all__ = ["Result", "model_file", "model_tag"]

REDRAW_MS = 60
"""After a stroke, the outlines of what is by hand are drawn anew."""
PAUSE_MS = 30
"""Between the layers of a result, which napari takes a tenth of a second each to show."""


def model_tag(checkpoint: Path) -> str:
    """What tells one checkpoint from another.

    Raises
    ------
    OSError
        It is not there.
    """
    return f"{checkpoint}:{checkpoint.stat().st_mtime}"


def model_file(tag: str) -> Path:
    """The checkpoint that a tag was made of; it may be gone."""
    return Path(tag.rpartition(":")[0])


class Result:
    """A label layer with its uncertainty layer, and the memory of who put what there.

    napari takes a tenth of a second to show a layer: this one comes first, the others after it, one
    thing between two frames.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    source : Source
    classes : sequence of LabelClass
    model : str
        What tells one checkpoint from another (`model_tag`).

    Attributes
    ----------
    layer, by_hand : napari.layers.Labels
        The segmentation; 1 where a person painted it (also in its ``metadata["spad"]["by_hand"]``,
        the same array).
    uncertainty : napari.layers.Image
    model, origin : str
        What runs on it are made with; what it was first made with, where `model` has learnt from
        its corrections, else empty.
    hand : Hand
    packed : dict of tuple to Packed
        The samples of the last run on each B-scan.
    locked : set of int
        Values of the structures that no model may change.
    coming_up : bool
        Whether it makes its labels the active layer just now, which is no choice of a person.
    """

    def __init__(
        self, viewer: ViewerModel, source: Source, classes: Sequence[LabelClass], model: str
    ) -> None:
        self._viewer = viewer
        self.image, self._pixels = source.layer, source.data
        self.model, self.origin = model, ""
        self.classes = tuple(classes)
        self.written = np.zeros(source.shape, np.uint8)
        self.packed: dict[tuple[int, ...], Packed] = {}
        self.locked: set[int] = set()
        self.coming_up = False
        self.hand_edited: Callable[[Edit], None] = lambda _: None
        mask = np.zeros(source.shape, np.uint8)
        self._unsure = np.zeros(source.shape, np.float16)
        name, unsure, by_hand = result_names(viewer, source.name)
        self.layer = segmentation_layer(source, name, self.classes, mask)
        self._noted = noted(self.layer.metadata)  # comes back where others took it away
        self._make_uncertainty = partial(uncertainty_layer, source, unsure, self._unsure)
        self._make_by_hand = partial(by_hand_layer, source, by_hand, mask)
        # Drawn after the stroke: its outlines take far longer than all that follows a stroke.
        self._redraw = QTimer(singleShot=True, interval=REDRAW_MS)
        self._redraw.timeout.connect(self._draw_by_hand)
        self.hand = Hand(self.layer, mask, self._on_edit)
        self.layer.selected_label = next((c.value for c in classes if c.value), 1)
        # Just above the image, so that a reference's outlines stay on top.
        layers = viewer.layers
        above = layers.index(source.layer) + 1 if source.layer in layers else len(layers)
        self._to_come: list[Callable[[], object]] = [
            lambda: self._insert(self.uncertainty, layers.index(self.layer)),
            lambda: self.uncertainty,
            lambda: self._insert(self.by_hand, layers.index(self.layer) + 1),
            lambda: self.by_hand,
        ]
        self._insert(self.layer, above)
        self._to_come.append(partial(self._select, layers.selection.active))
        self._next = QTimer(singleShot=True, interval=PAUSE_MS)
        self._next.timeout.connect(self._show_next)
        self._next.start()

    @cached_property
    def uncertainty(self) -> Image:
        """The layer of the uncertainty, made when it is asked for."""
        return self._make_uncertainty()

    @cached_property
    def by_hand(self) -> Labels:
        """The layer of what is by hand, made when it is asked for."""
        return self._make_by_hand()

    @property
    def layers(self) -> list[Any]:
        """Those that are made: the labels, the uncertainty, what is by hand."""
        made = vars(self)
        return [made[name] for name in ("layer", "uncertainty", "by_hand") if name in made]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """By which run each B-scan was made, in the layer's metadata, where others write too."""
        return list(noted(self.layer.metadata).get("provenance", ()))

    @runs.setter
    def runs(self, runs: Sequence[Mapping[str, Any]]) -> None:
        self._note(provenance=list(runs))

    def _note(self, **known: Any) -> None:
        before = self._noted | noted(self.layer.metadata)
        self.layer.metadata["spad"] = before | known

    def _show_next(self) -> None:
        """Make or show one thing more; the window draws and listens between them."""
        if not self._to_come or self.layer not in self._viewer.layers:
            return
        self._to_come.pop()()
        if self._to_come:
            self._next.start()

    def _insert(self, layer: Any, place: int) -> None:
        layers, active = self._viewer.layers, self._viewer.layers.selection.active
        self._to_come += hidden_aids(layer)
        with layers.selection.events.blocker_all():  # napari selects it; each change takes 30 ms
            layers.insert(place, layer)
            layers.selection.active = active

    def _select(self, before: Any) -> None:
        """Make the labels the active layer, unless the person has chosen another one meanwhile."""
        selection = self._viewer.layers.selection
        if selection.active is before:
            self.coming_up = True
            try:
                selection.active = self.layer
            finally:
                self.coming_up = False

    def show_all(self) -> None:
        """Put into the viewer what is still to come."""
        self._next.stop()
        while self._to_come and self.layer in self._viewer.layers:
            self._show_next()
        self._next.stop()

    def _on_edit(self, edit: Edit) -> None:
        if edit.by_model:  # what it had put there before is there again
            self.written.flat[edit.places] = self.layer.data.flat[edit.places]
            self._draw_uncertainty()
        self._redraw.start()
        self.hand_edited(edit)

    def _draw_by_hand(self) -> None:
        if "by_hand" in vars(self) and self.by_hand in self._viewer.layers:
            self.by_hand.refresh(extent=False, thumbnail=False)

    def _draw_uncertainty(self) -> None:
        if "uncertainty" in vars(self) and self.uncertainty.visible:
            self.uncertainty.refresh()

    def stop(self) -> None:
        """Listen to the layer no more."""
        self._redraw.stop()
        self._next.stop()
        self.hand.stop()

    def remove(self) -> None:
        """Take the layers out of the viewer again."""
        self.stop()
        for layer in self.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def fits(self, source: Source, model: str) -> bool:
        """Whether another B-scan of this source, by this model, belongs here."""
        shapes = {source.shape, self.written.shape, self.layer.data.shape}
        same = self.image is source.layer and self.model == model and len(shapes) == 1
        return same and self._made_of(source)

    def _made_of(self, source: Source) -> bool:
        """Whether the image holds the pixels that were segmented."""
        if source.data is not self._pixels:
            hashes = {tuple(r["bscan"]): str(r.get("image_sha256", "")) for r in self.runs}
            if not hashes or not source.shows(hashes):
                return False
            self._pixels = source.data
        return True

    def open_image(self) -> Source:
        """Open its image, the B-scans from the one on screen outwards.

        Raises
        ------
        ValueError
            The image does not fit the result any more.
        """
        source = open_source(self.image, self._viewer, whole_stack=True)
        mine = f"“{self.layer.name}”"
        if not source.shape == self.layer.data.shape == self.written.shape:
            raise ValueError(
                f"{mine} has shape {self.layer.data.shape}, its image “{source.name}” "
                f"{source.shape}; segment the image anew"
            )
        if not self._made_of(source):
            raise ValueError(
                f"the pixels of “{source.name}” were replaced since {mine} was made of them; "
                "segment the image anew, or add the new pixels as a layer of their own"
            )
        return source

    def add_class(self, name: str) -> LabelClass:
        """Add a structure that the model does not know, with the next value and a free colour.

        Raises
        ------
        ValueError
            The name is taken or cannot be one, or there are too many structures.
        """
        from spad.checkpoint import label_classes

        new = label_classes([*(c.name for c in self.classes), name.strip()])[-1]
        self.classes = (*self.classes, new)
        self._note(classes=[c.as_json() for c in self.classes])
        give_classes(self.layer, self.classes)
        return new

    def name_of(self, value: int) -> str:
        """The name of a structure."""
        return next((c.name for c in self.classes if c.value == value), f"label {value}")

    def part(self, index: tuple[int, ...]) -> Part:
        """Return the B-scan at a place."""
        return part_at(self.image, index, self.written.shape[-2:])

    def untouched(self, part: Part) -> bool:
        """Whether a B-scan holds what a model put there, or nothing."""
        return bool(np.array_equal(self.layer.data[part.region], self.written[part.region]))

    def put(self, event: Finished, *, undoable: bool) -> bool:
        """Write one B-scan's segmentation, unless somebody painted there meanwhile.

        Parameters
        ----------
        event : Finished
        undoable : bool
            As one undo step. Otherwise outside the history, so that an annotator's undo takes back
            a stroke, and not a B-scan that came in after it.

        Returns
        -------
        bool
            False where the annotator's strokes were kept instead.
        """
        part, segmentation = event.part, event.segmentation
        if not self.untouched(part):
            return False
        region, layer = part.region, self.layer
        if undoable:
            changed = np.nonzero(layer.data[region] != segmentation.labels)
            self.write(part, changed, segmentation.labels[changed])
        else:
            layer.data[region] = segmentation.labels
            if leading_index(layer, self._viewer) == part.index:  # a refresh takes a frame's time
                layer.refresh(thumbnail=False, highlight=False, extent=False)
        self.written[region] = layer.data[region]  # a locked structure stayed
        self.note(event)
        return True

    def write(
        self,
        part: Part,
        where: tuple[NDArray[Any], ...],
        values: NDArray[Any],
        group: object = None,
    ) -> None:
        """Write pixels (rows, columns) of a B-scan as one undo step, in the model's name.

        Steps of one `group` that follow on each other are undone together.
        """
        index = tuple(np.full(len(where[0]), i) for i in part.index) + tuple(where)
        with self.hand.model_writes(group, self._exchange(part)):
            self.layer.data_setitem(index, values)

    def _exchange(self, part: Part) -> Exchange | None:
        there = part.index in self.packed
        return Exchange(self, part.index, self._unsure[part.region]) if there else None

    def take(
        self, event: Finished, *, within: NDArray[np.bool_] | None, group: object = None
    ) -> int:
        """Take over what was sampled around a person's edits, as one undo step.

        Parameters
        ----------
        event : Finished
        within : array of bool, shape (H, W), or None
            The region that was asked for; None for the whole B-scan.
        group : object
            As in `write`.

        Returns
        -------
        int
            Pixels that changed; none of them by hand or of a locked structure.
        """
        from spad.annotation import changes

        part, proposed = event.part, event.segmentation.labels
        now = self.layer.data[part.region]
        change = changes(now, proposed, self.painted(part), locked=self.locked, region=within)
        self.written[part.region][change] = proposed[change]
        where = np.nonzero(change)
        if len(where[0]):
            self.write(part, where, proposed[change], group)
        self.note(event, within)
        return len(where[0])

    def painted(self, part: Part) -> NDArray[np.bool_]:
        """Where a person painted a B-scan, (H, W)."""
        return self.hand.mask[part.region].astype(bool)

    def note(self, event: Finished, within: NDArray[np.bool_] | None = None) -> None:
        """Take over the uncertainty, the samples and the provenance of a B-scan's run."""
        part, segmentation = event.part, event.segmentation
        region = part.region
        packed, before = event.packed, self.packed.get(part.index)
        if within is not None and before is not None and before.shape == packed.shape:
            packed = Packed.of(np.where(within, packed.samples(), before.samples()))
        self.packed[part.index] = packed
        if segmentation.uncertainty is not None:
            new = np.asarray(segmentation.uncertainty)
            if within is not None:
                new = np.where(within, new, self._unsure[region])
            self._unsure[region] = new
            self._draw_uncertainty()
        self.runs = with_run(self.runs, {"bscan": list(part.index), **segmentation.provenance})
