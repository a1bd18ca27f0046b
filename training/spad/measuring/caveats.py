"""What a reader of the numbers has to know: sentences that stand beside them in every host."""

from __future__ import annotations

from collections.abc import Mapping

from spad.measuring.etdrs import Grid
from spad.measuring.measures import LiveMeasures
from spad.measuring.scale import Scale

__all__ = ["PADDED", "WIDE_MM", "grid_remarks", "partly", "remarks"]

PADDED = "B-scans of unequal sizes: what fills the smaller ones up is not measured"
WIDE_MM = 0.25
"""B-scans further apart than this leave much unseen."""
_WHOLE = 0.99  # of a circle; the rest is the roundness of its border


def partly(segmented: int, bscans: int) -> str:
    """Say that a part of a stack alone is segmented; empty where all is, or no model was at it."""
    if not 0 < segmented < bscans:
        return ""
    one = segmented == 1
    return (
        f"only {segmented} of {bscans} B-scans {'is' if one else 'are'} segmented: the volumes are "
        f"of {'it' if one else 'these'}"
    )


def remarks(live: LiveMeasures, scale: Scale | None = None) -> tuple[str, ...]:
    """Sentences about measurements, the gravest first; mostly none.

    Parameters
    ----------
    live : LiveMeasures
        Placed about the fovea where there is one.
    scale : Scale, optional
        Of the stack, for what is to be doubted in it.
    """
    out = list(scale.doubts) if scale is not None else []
    between = live.spacing_mm[0]
    if live.shape[0] == 1:
        out.append("one single B-scan: areas and heights, but no volume")
    elif between is None:
        out.append(
            "the distance of the B-scans is not known: areas and heights, but no volume; type it"
        )
    elif between > WIDE_MM:
        out.append(
            f"B-scans are {between * 1000:.0f} µm apart, more than {WIDE_MM * 1000:.0f} µm: what "
            "lies between them was not seen, so volumes are rough"
        )
    if live.grid is not None:
        out += grid_remarks(live.grid, live.scanned(), first_told=live.first_told)
    return tuple(out)


def grid_remarks(grid: Grid, scanned: Mapping[str, float], *, first_told: bool) -> tuple[str, ...]:
    """Sentences about circles and fields; mostly none.

    Parameters
    ----------
    grid : Grid
    scanned : mapping of str to float
        Share of each circle that was scanned, 0 to 1.
    first_told : bool
        Whether somebody said where the first B-scan lies.
    """
    out = []
    shares = {name: scanned[name] for name in grid.circles if scanned[name] < _WHOLE}
    if shares:
        told = ", ".join(f"{share:.0%} of the {name} circle" for name, share in shares.items())
        out.append(f"only {told} was scanned; its numbers are of that part")
    if not first_told:
        out.append(
            "where the stack begins is not told: its first B-scan is taken to be inferior; "
            "otherwise S and I are exchanged, and where B-scans run up or down, all fields turned"
        )
    if grid.eye is None:
        out.append(
            "nobody said which eye it is: fields are named after the image's left (L) and "
            "right (R); choose OD or OS"
        )
    return tuple(out)
