"""What the area tools do to a result's labels: a person's edits, each one undo step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.desk import Desk, Result, typed
from napari_spad.layers import Part, open_source, spacing_mm
from spad.annotation import pixels

__all__ = ["AreaTools", "grey_values"]

Pixels = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # rows, columns, what they become


class AreaTools:
    """Tools for the structure that is selected for painting.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def grow(self, *, everywhere: bool = False) -> None:
        """One pixel more of it, into the background."""
        from spad.areas import grown

        self._apply(grown, "grown by a pixel", everywhere=everywhere)

    def shrink(self, *, everywhere: bool = False) -> None:
        """One pixel less of it, where it meets the background."""
        from spad.areas import shrunk

        self._apply(shrunk, "shrunk by a pixel", everywhere=everywhere)

    def fill_holes(self, *, everywhere: bool = False) -> None:
        """Fill the background that it encloses."""
        from spad.areas import filled

        self._apply(filled, "filled", everywhere=everywhere)

    def remove_specks(self, *, everywhere: bool = False) -> None:
        """Give its smallest parts to what surrounds them."""
        from spad.areas import speck_px, without_specks

        if (result := self._at_work()) is not None:
            spacing: Any = spacing_mm(result.layer, 2)
            tool = partial(without_specks, least_px=speck_px(spacing))
            self._apply(tool, "rid of specks", everywhere=everywhere)

    def fill_to_the_edge(self, *, by_model: bool, tolerance: float | None) -> None:
        """Fill from the pixel under the mouse to the edge around it.

        Parameters
        ----------
        by_model : bool
            In the share of the samples that read the structure; else in the grey values.
        tolerance : float or None
            As a share of their range; None: to the steepest edge, or half of the samples.
        """
        result = self._at_work()
        if result is None:
            return
        part, at = result.part(self.desk.place(result)), self.desk.pointer(result)
        if at is None or at[0] >= part.height or at[1] >= part.width:
            self.desk.say("Move the mouse over what is to be filled, and press the key there.")
            return
        value = int(result.layer.selected_label)
        try:
            found = (
                self._in_samples(result, part, at, value, tolerance or 0.5)
                if by_model
                else _in_image(self.desk, result, part, at, tolerance)
            )
        except Exception as error:
            self.desk.fail(error)
            return
        if found is None:
            return
        if result.layer.preserve_labels:
            found &= np.asarray(result.layer.data[part.region]) == 0
        rows, columns = np.nonzero(found)
        count = self._write(result, [(part, (rows, columns, np.full(len(rows), value)))])
        name = result.name_of(value)
        said = (
            f"{name} filled to the edge: {pixels(count)}. {typed('Ctrl+Z')} takes it back."
            if count
            else f"All of it is {name} already, or protected: nothing changed."
        )
        self.desk.say(said, result)

    def _in_samples(
        self, result: Result, part: Part, at: tuple[int, int], value: int, tolerance: float
    ) -> NDArray[np.bool_] | None:
        from spad.areas import flooded

        packed = result.packed.get(part.index)
        share = None if packed is None else (packed.samples() == value).mean(0)
        if share is None or not share[at]:
            self.desk.say(
                f"No sample of the model reads {result.name_of(value)} there: fill by the grey "
                "values instead."
            )
            return None
        there = float(share[at])  # where more of them read it is inside
        return flooded(np.minimum(share, there), at, tolerance * there)

    # ------------------------------------------------------------------ the result at work

    def _at_work(self) -> Result | None:
        result = self.desk.result
        if result is None:
            self.desk.say("There is no segmentation yet: press Segment first.")
        elif why := self.desk.hindered(result):
            self.desk.say(why)
        else:
            return result
        return None

    def _apply(self, tool: Callable[..., Any], done: str, *, everywhere: bool) -> None:
        from spad.areas import changed_by

        result = self._at_work()
        if result is None:
            return
        value = int(result.layer.selected_label)
        if not value:
            self.desk.say("The background is selected: choose a structure first (1 to 9).")
            return
        here = self.desk.place(result)
        depth = result.written.shape[-3] if here else 1
        places = [(*here[:-1], z) for z in range(depth)] if here and everywhere else [here]
        accepted = (set(self.desk.accepted(result)) & set(places)) - {here}
        changes: list[tuple[Part, Pixels]] = []
        for place in places:
            if place in accepted:
                continue
            part = result.part(place)
            rows, columns, values = changed_by(
                tool, np.asarray(result.layer.data[part.region]), value
            )
            if place != here:  # what is by hand out of sight stays
                free = ~result.painted(part)[rows, columns]
                rows, columns, values = rows[free], columns[free], values[free]
            if rows.size:
                changes.append((part, (rows, columns, values)))
        self._tell(result, changes, value, done, len(places), len(accepted))

    def _tell(
        self,
        result: Result,
        changes: list[tuple[Part, Pixels]],
        value: int,
        done: str,
        asked: int,
        accepted: int,
    ) -> None:
        count, name = self._write(result, changes), result.name_of(value)
        where = "here" if asked == 1 else f"on {len(changes)} of {asked} B-scans"
        said = f"{name} is {done} {where}: {pixels(count)}. {typed('Ctrl+Z')} takes it back."
        if not count:
            said = f"{name} {'here' if asked == 1 else 'anywhere'}: nothing changed."
        if accepted:
            said += f" {accepted} accepted B-scan{'s' * (accepted > 1)} stayed."
        self.desk.say(said, result)

    def _write(self, result: Result, changes: list[tuple[Part, Pixels]]) -> int:
        """Write pixels as a person's one stroke; give how many changed."""
        if not changes:
            return 0
        layer, marks = result.layer, []
        for part, (rows, columns, values) in changes:
            lead = tuple(np.full(len(rows), i) for i in part.index)
            marks.append((*lead, rows, columns, values))
        *index, values = (np.concatenate(axis) for axis in zip(*marks, strict=True))
        before = np.asarray(layer.data[tuple(index)])
        layer.data_setitem(tuple(index), values.astype(layer.data.dtype))
        return int(np.count_nonzero(np.asarray(layer.data[tuple(index)]) != before))


def grey_values(desk: Desk, result: Result, part: Part) -> NDArray[Any]:
    """Grey values of a B-scan of a result's image, (H, W).

    Raises
    ------
    ValueError, OSError
        It cannot be read; in words.
    """
    from spad.cases import luminance

    pixels = open_source(result.image, desk.viewer, whole_stack=False).read(part)
    return luminance(pixels) if pixels.ndim == 3 else pixels


def _in_image(
    desk: Desk, result: Result, part: Part, at: tuple[int, int], tolerance: float | None
) -> NDArray[np.bool_]:
    from spad.areas import to_the_edge

    return to_the_edge(grey_values(desk, result, part), at, tolerance=tolerance)
