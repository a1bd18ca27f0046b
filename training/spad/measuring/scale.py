"""The scale of a stack, and of each axis where its millimetres come from.

A reader that knows a length says so, one that computes it says how, a person may type it; nothing
else makes a scale. The words are the same in every host, in sidecars and in reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeGuard

__all__ = ["ORIGINS", "Length", "Scale"]

IN_FILE, DERIVED, TYPED, UNKNOWN = "in the file", "derived", "typed", "unknown"
ORIGINS = (IN_FILE, DERIVED, TYPED, UNKNOWN)
_AXES = {"bscan": "B-scans", "row": "rows", "column": "columns"}
_LONGEST_MM = 1e6
"""Beyond, a file is damaged, and what is reckoned with it overflows."""
# What an OCT's axis can be, in mm. Outside, the number is told to be doubted, not refused.
_PLAUSIBLE = {"bscan": (0.001, 2.0), "row": (0.0005, 0.05), "column": (0.001, 0.2)}


@dataclass(frozen=True, slots=True)
class Length:
    """The distance of neighbours along one axis, and where it comes from.

    Parameters
    ----------
    mm : float or None
        None where it is unknown.
    origin : {"in the file", "derived", "typed", "unknown"}
    how : str
        How it was derived: "from the scan angle of a medium eye".

    Raises
    ------
    ValueError
        A length that is not above 0, or an origin that does not fit it.
    """

    mm: float | None = None
    origin: str = UNKNOWN
    how: str = ""

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ValueError(
                f"origin of a length is {self.origin!r}; it is one of {', '.join(ORIGINS)}"
            )
        if (self.mm is None) != (self.origin == UNKNOWN):
            raise ValueError(f"a length of {self.mm} mm cannot be {self.origin!r}; give both")
        if self.mm is not None and not _is_length(self.mm):
            raise ValueError(f"a length of {self.mm} mm; give a number above 0, in mm")

    @property
    def words(self) -> str:
        """Origin in words: "in the file", "derived from the scan angle of a medium eye"."""
        return f"{self.origin} {self.how}".strip() if self.origin == DERIVED else self.origin


@dataclass(frozen=True, slots=True)
class Scale:
    """Scale of a stack.

    Parameters
    ----------
    bscan, row, column : Length
        Between neighbouring B-scans, between rows (depth), between columns.
    """

    bscan: Length = Length()
    row: Length = Length()
    column: Length = Length()

    @classmethod
    def of(cls, spacing_mm: Sequence[float | None], origin: str = IN_FILE, how: str = "") -> Scale:
        """Scale whose axes come from one place.

        Parameters
        ----------
        spacing_mm : sequence of float or None
            (between B-scans, row, column), or (row, column). What is no number above 0 is unknown.
        origin, how : str
            See `Length`.
        """
        known = [Length(float(s), origin, how) if _is_length(s) else Length() for s in spacing_mm]
        return cls(*[Length()] * (3 - len(known)), *known)

    @classmethod
    def from_json(cls, value: Any) -> Scale:
        """Scale as `as_json` wrote it; what cannot be read is unknown."""
        found = {}
        for axis in _AXES:
            one: Any = value.get(axis) if isinstance(value, Mapping) else None
            try:
                found[axis] = Length(one["mm"], one["origin"], str(one.get("how", "")))
            except (TypeError, KeyError, ValueError, AttributeError):
                found[axis] = Length()
        return cls(**found)

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The scale as plain JSON values, for a layer's metadata and a sidecar."""
        return {
            axis: {"mm": one.mm, "origin": one.origin, "how": one.how}
            for axis, one in self._axes().items()
        }

    def typed(self, **mm: float | None) -> Scale:
        """The scale with axes that a person typed, by name: ``typed(bscan=0.24)``; None forgets."""
        return replace(self, **{
            axis: Length() if one is None else Length(float(one), TYPED) for axis, one in mm.items()
        })  # fmt: skip

    def now(self, mm: Sequence[float | None], how: str) -> Scale:
        """The scale of what has these lengths along its last axes now, NaN or None: not known.

        Whoever gave an axis another length since knows better than who told it: it is derived so.
        """
        out = {}
        for axis, one in zip(list(_AXES)[-len(mm) :], mm, strict=True):
            told: Length = getattr(self, axis)
            shown = Length(float(one), DERIVED, how) if _is_length(one) else Length()
            same = math.isclose(told.mm or math.inf, shown.mm or math.inf, rel_tol=1e-4)
            out[axis] = told if same else shown
        return Scale(**out)

    @property
    def spacing_mm(self) -> tuple[float | None, float | None, float | None]:
        """(between B-scans, row, column)."""
        return self.bscan.mm, self.row.mm, self.column.mm

    @property
    def words(self) -> str:
        """The scale in one line: "11.2 × 3.9 µm, B-scans 240 µm, in the file".

        Column first and then row, as displays are measured. Origins that differ stand behind their
        numbers.
        """
        axes = self._axes()
        if all(one.mm is None for one in axes.values()):
            return "scale unknown: type it, to measure in mm"
        plane = [self.column, self.row]
        if len({one.words for one in axes.values()}) == 1:
            return f"{_um(self.column)} × {_um(self.row)} µm, B-scans {_um(self.bscan)} µm, " + (
                self.row.words
            )
        if self.column.mm is not None and self.column.words == self.row.words:
            first = f"{_um(self.column)} × {_um(self.row)} µm ({self.row.words})"
        elif self.column.mm is None and self.row.mm is None:
            first = "columns and rows unknown"
        else:
            first = " × ".join(
                f"{_um(one)} µm ({one.words})" if one.mm is not None else f"{name} unknown"
                for one, name in zip(plane, ("columns", "rows"), strict=True)
            )
        if self.bscan.mm is None:
            return f"{first}, distance of the B-scans unknown"
        return f"{first}, B-scans {_um(self.bscan)} µm ({self.bscan.words})"

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences about lengths that no OCT has: a wrong unit, a default of 1 mm."""
        out = []
        for axis, one in self._axes().items():
            low, high = _PLAUSIBLE[axis]
            if one.mm is not None and not low <= one.mm <= high:
                out.append(
                    f"{_AXES[axis]} {one.mm * 1000:.4g} µm apart ({one.words}): in OCT they are "
                    f"{low * 1000:g} to {high * 1000:g} µm apart; type the scale if this is wrong"
                )
        return tuple(out)

    def _axes(self) -> dict[str, Length]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def _is_length(value: Any) -> TypeGuard[float]:
    """Whether what a file says is a number above 0, and one that can be meant."""
    try:
        return bool(0 < value <= _LONGEST_MM)
    except TypeError:
        return False


def _um(length: Length) -> str:
    if length.mm is None:
        return "?"
    um = length.mm * 1000
    return f"{um:.3g}" if um < 1000 else f"{um:.0f}"
