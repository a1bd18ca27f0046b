"""Flipping through what the samples of the ensemble say of a structure, and taking one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from napari_spad.desk import Desk, Result, typed
from napari_spad.layers import placement
from spad.annotation import pixels

__all__ = ["Alternatives"]


@dataclass
class _Shown:
    result: Result
    index: tuple[int, ...]
    value: int
    where: NDArray[np.bool_] | None  # the part asked about; None for the whole structure
    there: NDArray[np.bool_]  # any structure, in the labels or in a sample
    found: list[Any]
    at: int
    now: int  # pixels of the structure as it is


class Alternatives:
    """One structure's alternatives, drawn as outlines over the label layer until one is taken.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._shown: _Shown | None = None
        self._layer: Any = None
        desk.viewer.dims.events.current_step.connect(self.leave)
        desk.viewer.layers.events.removed.connect(self._on_removed)
        desk.edited.connect(self.leave)
        desk.written.connect(self.leave)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.desk.viewer.dims.events.current_step.disconnect(self.leave)
        self.desk.viewer.layers.events.removed.disconnect(self._on_removed)
        self.leave()

    @property
    def showing(self) -> bool:
        """Whether an alternative is on screen."""
        return self._shown is not None

    def flip(self, step: int, *, under_pointer: bool) -> None:
        """Show the next larger (1) or smaller (-1) alternative.

        Parameters
        ----------
        step : {1, -1}
        under_pointer : bool
            Of the part of a structure under the mouse; else of the whole structure that is
            selected for painting.
        """
        result = self.desk.result
        if result is None:
            self.desk.say("There is no segmentation yet: press Segment first.")
            return
        if why := self.desk.hindered(result):
            self.desk.say(why)
            return
        pixel = self.desk.pointer(result) if under_pointer else None
        shown = self._shown
        if shown is None or not _asked_for(shown, result, pixel):
            shown = self._ask(result, pixel)
            if shown is None:
                return
            sizes = [a.pixels for a in shown.found]
            larger = [i for i, n in enumerate(sizes) if n >= shown.now]
            first = larger[0] if larger else len(sizes)
            shown.at = first if step > 0 else first - 1
            shown.at = int(np.clip(shown.at, 0, len(sizes) - 1))
        else:
            shown.at = (shown.at + step) % len(shown.found)
        self._shown = shown
        self._draw(shown)
        one = shown.found[shown.at]
        name, samples = result.name_of(shown.value), result.packed[shown.index].shape[0]
        self.desk.say(
            f"{name}, alternative {shown.at + 1} of {len(shown.found)}: {one.pixels:,} pixels "
            f"(now {shown.now:,}), {one.votes} of {samples} samples. T takes it, Esc leaves it.",
            result,
        )

    def take(self) -> None:
        """Put the alternative on screen into the label layer, as one undo step of the person's."""
        shown = self._shown
        if shown is None or shown.result not in self.desk.results:
            self.leave()
            self.desk.say("No alternative is shown: “.” and “,” flip through them.")
            return
        self.leave()
        result, one = shown.result, shown.found[shown.at]
        part = result.part(shown.index)
        now = np.array(result.layer.data[part.region])
        where = np.nonzero(now != one.labels)
        index = tuple(np.full(len(where[0]), i) for i in shown.index) + where
        # Not in the model's name: what a person chose, later sampling must keep.
        result.layer.data_setitem(index, one.labels[where])
        changed = int(np.count_nonzero(now != result.layer.data[part.region]))
        if changed:  # else it was locked meanwhile, which is said
            self.desk.say(
                f"{result.name_of(shown.value)}: alternative taken, {pixels(changed)} changed. "
                f"{typed('Ctrl+Z')} takes it back.",
                result,
            )

    def leave(self, *_: Any) -> None:
        """Take the outlines off the screen."""
        shown, self._shown = self._shown, None
        if self._layer is not None:
            layer, self._layer = self._layer, None
            if shown is not None:
                self.desk.escapes.remove(shown.result.layer, self.leave)
            if layer in self.desk.viewer.layers:
                self.desk.viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:  # by the person, who may ask for another one
            self.leave()

    def _ask(self, result: Result, pixel: tuple[int, int] | None) -> _Shown | None:
        from spad.annotation import alternatives, component

        self.leave()
        index = self.desk.place(result)
        if index not in result.packed:
            self.desk.say("This B-scan was not sampled yet: press Segment first.", result)
            return None
        part = result.part(index)
        labels, samples = np.asarray(result.layer.data[part.region]), result.packed[index].samples()
        value, where = int(result.layer.selected_label), None
        there = (labels > 0) | samples.any(0)
        if _on(pixel, there):
            votes = Counter(int(v) for v in (labels[pixel], *samples[:, *pixel]) if v)
            value = int(labels[pixel]) or votes.most_common(1)[0][0]
            where = component(labels, samples, value, pixel)
        found = alternatives(
            labels, samples, value, result.painted(part), locked=result.locked, region=where
        )
        name = result.name_of(value)
        here = "this part of " if where is not None else ""
        if not found:
            count = len(samples)
            self.desk.say(
                f"The {count} samples agree on {here}{name}: there is no alternative."
                if count > 1
                else "There is a single sample, hence no alternative: segment with more samples."
            )
            return None
        same = labels == value if where is None else (labels == value) & where
        return _Shown(result, index, value, where, there, found, 0, int(np.count_nonzero(same)))

    def _draw(self, shown: _Shown) -> None:
        result, viewer = shown.result, self.desk.viewer
        one = shown.found[shown.at].labels == shown.value
        if shown.where is not None:
            one = one & shown.where
        if self._layer is None:
            base = result.layer
            self._layer = viewer.add_labels(
                np.zeros(base.data.shape, np.uint8),
                name="alternative",
                colormap=base.colormap,
                metadata={"role": "aid"},
                opacity=1.0,
                **placement(base),
            )
            self._layer.contour = 3
            viewer.layers.selection.active = base
            self.desk.escapes.add(base, self.leave)
        self._layer.data[result.part(shown.index).region] = np.where(one, shown.value, 0)
        self._layer.refresh()


def _asked_for(shown: _Shown, result: Result, pixel: tuple[int, int] | None) -> bool:
    """Whether the alternatives on screen are those asked for."""
    if shown.result is not result:
        return False
    if not _on(pixel, shown.there):
        return shown.where is None and shown.value == result.layer.selected_label
    return shown.where is not None and bool(shown.where[pixel])


def _on(pixel: tuple[int, int] | None, where: NDArray[np.bool_]) -> TypeGuard[tuple[int, int]]:
    """Whether a pixel, if there is one, is within the B-scan and in this region."""
    if pixel is None or pixel[0] >= where.shape[0] or pixel[1] >= where.shape[1]:
        return False
    return bool(where[pixel])
