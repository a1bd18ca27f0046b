"""Lines that are autosaved, and back over their volume; the files are those of napari's lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from spad.autosave import AutosavedLayer, Loaded
from spad.borders import Lines, check_size, from_bits, to_bits
from spad.cases import Layout
from SPADLib.keep.saved_node import SavedNode
from SPADLib.keep.saved_result import fingerprint
from SPADLib.lines import LineSet
from SPADLib.scene import Result, array_of, guessed_layout, results

__all__ = ["SavedLines", "lines_on_volume"]


class SavedLines(SavedNode):
    """Lines, and where they are saved: what a `SavedResult` is for a result.

    Parameters
    ----------
    lines : LineSet
    saved : AutosavedLayer
    """

    def __init__(self, lines: LineSet, saved: AutosavedLayer) -> None:
        super().__init__(lines.node, saved)
        self._lines, self._heights = lines, np.full_like(lines.heights, np.nan)
        self._header = self._description()

    def look(self) -> None:
        """Note what changed."""
        now = self._lines.heights
        same = (now == self._heights) | (np.isnan(now) & np.isnan(self._heights))
        changed = {int(z) for z in np.flatnonzero(~same.all((0, 2)))}
        if changed:
            self._heights, self.exported, self._described = now.copy(), "", False
            self._dirty |= changed
        self.unsaved = bool(self.node.GetModifiedSinceRead())

    def _description(self) -> dict[str, Any]:
        lines, volume = self._lines, self._lines.volume
        count, bscans, width = lines.heights.shape
        band = lines.band and [lines.band[0].GetName(), lines.band[1]]
        return {
            "name": lines.name,
            "image": volume.GetName(),
            "shape": [bscans, count, width],
            "dtype": "<i4",
            "lines": list(lines.names),
            "details": {
                "fingerprint": fingerprint(volume),
                "grid": list(array_of(volume).shape[:3]),
                "layout": lines.layout.code,
                "band": band,
            },
        }

    def _write_anew(self) -> None:
        self._dirty = set(range(self._heights.shape[1]))

    def _write_bscan(self, z: int) -> bool:
        self.saved.save_bscan((z,), to_bits(self._heights[:, z]), None)
        return True


def lines_on_volume(loaded: Loaded, _folder: Any, volume: Any) -> LineSet:
    """Put lines back over their volume; tied to their structure where its result is there.

    Raises
    ------
    ValueError
        They are of another size, or none.
    """
    header = loaded.header
    lines = Lines(tuple(header["lines"]), np.moveaxis(from_bits(loaded.labels), 1, 0))
    try:
        layout = Layout.of(str(header["details"].get("layout") or ""))
    except ValueError:
        layout = guessed_layout(volume)[0]
    deep, _, width = layout.stack(array_of(volume)).shape[:3]
    check_size(lines, deep, width, f"“{header['name']}”")
    return LineSet.create(volume, layout, lines, header["name"], _band(header["details"], volume))


def _band(details: dict[str, Any], volume: Any) -> tuple[Any, int] | None:
    """The structure whose lines they were: of the result that has the name or was recovered."""
    name, value = details.get("band") or ("", 0)
    there: list[Result] = [one for one in results(volume.GetScene()) if one.volume is volume]
    for one in there:
        alike = one.segmentation.GetName().startswith(name)
        if name and alike and value in one.values.values():
            return one.segmentation, int(value)
    return None
