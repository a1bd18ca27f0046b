"""What a key does to the selected line of the B-scan on screen: snap, smooth, copy, interpolate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_spad.borders.line_layers import image_of
from napari_spad.borders.line_model import Borders
from napari_spad.borders.tools import Tools
from napari_spad.desk import typed
from napari_spad.layers import numbered, open_source, part_at
from spad.borders import Stretch, interpolated, moved, shift_between, shifted, smoothed, snapped

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LineActions"]

SMOOTH_COLUMNS = 6.0


class LineActions:
    """Each is one undo step, and says what it did.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    borders : Borders
    tools : Tools
        Knows the B-scan on screen and whether other lines give way.
    say : callable
        For the status line.
    """

    def __init__(
        self, viewer: ViewerModel, borders: Borders, tools: Tools, say: Callable[[str], None]
    ) -> None:
        self.viewer, self.borders, self.tools, self.say = viewer, borders, tools, say

    @property
    def _name(self) -> str:
        return self.borders.names[self.borders.selected]

    @property
    def _line(self) -> NDArray[np.float32]:
        line: NDArray[np.float32] = self.borders.plane(self.tools.bscan)[self.borders.selected]
        return line

    def _columns(self) -> tuple[int, int]:
        """What was edited last on this B-scan, else all of it."""
        stretch, z = self.borders.stretch, self.tools.bscan
        if stretch is not None and stretch[0] == z:
            return max(stretch[1], 0), stretch[2]
        return 0, self.borders.heights.shape[2]

    def _there(self) -> bool:
        if not self.tools.seen():
            return False
        if np.isfinite(self._line).any():
            return True
        self.say(f"“{self._name}” is not on this B-scan yet: draw it, or copy it (C).")
        return False

    def _put(self, stretch: Stretch, done: str) -> None:
        z = self.tools.bscan
        self.tools.end_clicks()
        plane = moved(self.borders.plane(z), self.borders.selected, stretch, self.tools.others)
        kept = self.borders.stretch
        changed = self.borders.put({z: plane})
        self.borders.stretch = kept
        self.say(done if changed else f"“{self._name}” is so already.")

    def snap(self, within_px: int) -> None:
        """Move it to the nearest edge."""
        if not self._there():
            return
        z = self.tools.bscan
        edges = self.tools.edges(z)
        if edges is None:
            self.say("There is no image under the lines to snap to: open it.")
            return
        begin, end = self._columns()
        # Which kind of edge it is: by B-scans on which a person has drawn it, else by the better.
        hand = [n for n in self.borders.neighbours(z) if n is not None]
        nearest = min(hand, key=lambda n: abs(n - z)) if hand else None
        lean = 0.0
        if nearest is not None and (there := self.tools.edges(nearest)) is not None:
            lean = self.tools.lean(there, nearest)
        found = snapped(edges, self._line, begin, end, within_px, lean=lean)
        self._put(found, f"{self._stretch(begin, end)} lie on the nearest edge.")

    def smooth(self) -> None:
        """Smooth it."""
        if self._there():
            begin, end = self._columns()
            found = smoothed(self._line, begin, end, SMOOTH_COLUMNS)
            self._put(found, f"{self._stretch(begin, end)} are smoothed.")

    def _stretch(self, begin: int, end: int) -> str:
        return f"“{self._name}”: columns {numbered(begin)} to {numbered(end - 1)}"

    def remove(self) -> None:
        """Take it away on this B-scan."""
        if self._there():
            width = self.borders.heights.shape[2]
            gone = Stretch(0, np.full(width, np.nan, np.float32))
            back = f"{typed('Ctrl+Z')} brings it back."
            self._put(gone, f"“{self._name}” is taken away on this B-scan; {back}")

    def copy(self, step: int) -> None:
        """Take it over from the B-scan before (-1) or after (1), shifted as the eye has moved."""
        if not self.tools.seen():
            return
        z = self.tools.bscan
        other = z + step
        if not 0 <= other < self.borders.bscans:
            self.say("There is no B-scan beside this one to copy from.")
            return
        theirs = self.borders.plane(other)[self.borders.selected]
        if not np.isfinite(theirs).any():
            self.say(f"“{self._name}” is not on B-scan {numbered(other)}.")
            return
        rows, columns = self._shift(other, z)
        moved_here = shifted(theirs[None], (rows, columns))[0]
        # Beside the shifted line this B-scan keeps what it has.
        line = np.where(np.isnan(moved_here), self._line, moved_here)
        moved_by = f"{rows:+d} rows and {columns:+d} columns"
        said = f"“{self._name}” from B-scan {numbered(other)}, {moved_by}."
        self._put(Stretch(0, line), said)

    def interpolate(self) -> None:
        """Fill the B-scans between the nearest two on which it is by hand, or is at all."""
        if not self.tools.seen():
            return
        z, borders = self.tools.bscan, self.borders
        before, after = borders.neighbours(z)
        line, by_hand = borders.selected, borders.by_hand[borders.selected]
        done = by_hand[z] and np.isfinite(self._line).any()
        if done or before is None or after is None:
            self.say(
                f"Go to a B-scan between two on which you drew or moved “{self._name}”, or to one "
                "without it between two that have it: those between are filled."
            )
            return
        self.tools.end_clicks()
        shift = self._shift(before, after)
        first, last = borders.plane(before)[line][None], borders.plane(after)[line][None]
        planes = {}
        for at in range(before + 1, after):
            if by_hand[at] and at != z:  # taken away there
                continue
            found = interpolated(first, last, (at - before) / (after - before), shift)[0]
            planes[at] = moved(borders.plane(at), line, Stretch(0, found), self.tools.others)
        borders.put(planes, by_hand=False)
        self.say(
            f"“{self._name}” on B-scans {numbered(before + 1)} to {numbered(after - 1)} lies "
            f"between those of {numbered(before)} and {numbered(after)}."
        )

    def _shift(self, one: int, other: int) -> tuple[int, int]:
        """By what a B-scan of the image is shifted against another; nothing without an image."""
        image = image_of(self.borders, self.viewer)
        if image is None or image.ndim < 3:
            return 0, 0
        source = open_source(image, self.viewer, whole_stack=False)
        size = source.shape[-2:]
        first, second = (source.grey(part_at(image, (z,), size)) for z in (one, other))
        return shift_between(first, second) if first.shape == second.shape else (0, 0)

    def undo(self, *, again: bool = False) -> None:
        """Take the last step back, or make it again, and go to where it was."""
        self.tools.end_clicks()
        bscans = self.borders.redo() if again else self.borders.undo()
        if not bscans:
            self.say("There is nothing to make again." if again else "There is nothing to undo.")
            return
        done = "made again" if again else "taken back"
        self.say(f"The last step of the lines is {done}.")
        if self.tools.bscan not in bscans and self.tools.layer.ndim > 2:
            place = self.tools.layer.data_to_world((bscans[0], 0, 0))[0]
            self.viewer.dims.set_point(self.viewer.dims.ndim - 3, float(place))
            self.say(f"B-scan {numbered(bscans[0])}: {done}.")
