"""Anatomical checks of a label map: what is drawn that a retina rarely shows. Suggestions only.

Rows run from the vitreous to the choroid. From above to below lie the retina with its cysts (IRF),
the photoreceptors' line (IS/OS), then what is under the retina (SRF, SHRM), then what is under the
pigment epithelium (PED). Structures are known by their short names: "SRF (fluid)" is SRF.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from spad.areas import SPECK_MM2, SPECK_PX
from spad.checkpoint import IGNORE, LabelClass

__all__ = ["SPECK_MM2", "SPECK_PX", "Finding", "checks"]

Kind = Literal["hole", "speck", "heights", "order"]
Box = tuple[slice, slice]

_DEPTH: Mapping[str, int] = {"irf": 0, "is/os": 1, "srf": 2, "shrm": 2, "ped": 3}
_FLUID = ("irf", "srf")
_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth a look.

    Parameters
    ----------
    kind : {"hole", "speck", "heights", "order"}
    text : str
        What it is, in words.
    value : int
        The structure's class value.
    row, column : int
        A pixel of it.
    pixels : int
        How many it has.
    box : tuple of int
        First row, first column, and the row and column past the last.
    """

    kind: Kind
    text: str
    value: int
    row: int
    column: int
    pixels: int
    box: tuple[int, int, int, int]


def checks(
    labels: NDArray[np.integer[Any]],
    classes: Sequence[LabelClass],
    *,
    spacing_mm: tuple[float, float] | None = None,
    speck_mm2: float = SPECK_MM2,
    speck_px: int = SPECK_PX,
) -> tuple[Finding, ...]:
    """Look a label map over. It is not changed.

    Parameters
    ----------
    labels : array of int, shape (H, W)
        Class values; what is no class (255 = ignore too) is not looked at, nor what it encloses.
    classes : sequence of LabelClass
        Background is the one of value 0.
    spacing_mm : (row, column), optional
    speck_mm2 : float
        Pieces smaller than this are specks, and too small to tell of a wrong order.
    speck_px : int
        The same, in pixels, where `spacing_mm` is not given.

    Returns
    -------
    tuple of Finding
        By kind: order, heights, holes, specks; the largest first.

    Raises
    ------
    ValueError
        Not one B-scan of integers, or a spacing that is not two positive numbers.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise ValueError(
            f"labels of shape {labels.shape} and type {labels.dtype}; give one B-scan (H, W) of "
            "integers"
        )
    if spacing_mm is None:
        least: float = speck_px
    else:
        if len(spacing_mm) != 2 or not all(0 < s < np.inf for s in spacing_mm):
            raise ValueError(f"spacing_mm is {spacing_mm}; give (row, column) in mm, both above 0")
        least = speck_mm2 / (spacing_mm[0] * spacing_mm[1])
    named = {c.value: c for c in classes if c.value}
    look_up = np.full(256, IGNORE, np.uint8)
    look_up[[0, *named]] = [0, *named]
    if labels.dtype != np.uint8:
        labels = np.where((labels >= 0) & (labels <= IGNORE), labels, IGNORE).astype(np.uint8)
    known = np.take(look_up, labels)
    boxes = _boxes(known, named)
    found = [
        *_order(known, named, least),
        *_heights(known, named, boxes),
        *_holes(known, named),
        *_specks(known, named, boxes, least),
    ]
    kinds = ("order", "heights", "hole", "speck")
    return tuple(sorted(found, key=lambda f: (kinds.index(f.kind), -f.pixels, f.row, f.column)))


def _short(name: str) -> str:
    return name.split(" (")[0].strip().casefold()


def _holes(labels: NDArray[np.uint8], named: Mapping[int, LabelClass]) -> Iterator[Finding]:
    """Background that a single structure encloses."""
    height, width = labels.shape
    pieces, _ = ndimage.label(labels == 0)
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        (top, bottom), (left, right) = ((s.start, s.stop) for s in box)
        if top == 0 or left == 0 or bottom == height or right == width:
            continue  # open to the frame
        wide = (slice(top - 1, bottom + 1), slice(left - 1, right + 1))
        hole = pieces[wide] == number
        around = np.unique(labels[wide][ndimage.binary_dilation(hole) & ~hole])
        if len(around) == 1 and (value := int(around[0])) in named:
            yield _finding("hole", "hole in {name}", value, hole, wide, named)


def _specks(
    labels: NDArray[np.uint8],
    named: Mapping[int, LabelClass],
    boxes: Mapping[int, Box],
    least: float,
) -> Iterator[Finding]:
    for value, outer in boxes.items():
        pieces, _ = ndimage.label(labels[outer] == value, _EIGHT)
        small = np.flatnonzero(np.bincount(pieces.ravel()) < least)
        inner = ndimage.find_objects(pieces) if len(small) else []
        for number in small[small > 0]:
            piece = pieces[inner[number - 1]] == number
            box = _within(outer, inner[number - 1])
            yield _finding("speck", "speck of {name}", value, piece, box, named)


def _heights(
    labels: NDArray[np.uint8], named: Mapping[int, LabelClass], boxes: Mapping[int, Box]
) -> Iterator[Finding]:
    """IS/OS is one line: in each column it has one height."""
    for value, box in boxes.items():
        if _short(named[value].name) != "is/os":
            continue
        line = ndimage.binary_fill_holes(labels[box] == value)  # holes are told of as such
        begins = line & ~np.pad(line, ((1, 0), (0, 0)))[:-1]
        several = begins.sum(0) > 1
        spans, _ = ndimage.label(several)
        for (columns,) in ndimage.find_objects(spans):
            heights = int(begins[:, columns].sum(0).max())
            where = (box[0], slice(box[1].start + columns.start, box[1].start + columns.stop))
            text = f"{{name}} at {heights} heights in {_count(columns.stop - columns.start)}"
            yield _finding("heights", text, value, line[:, columns], where, named)


def _order(
    labels: NDArray[np.uint8], named: Mapping[int, LabelClass], least: float
) -> Iterator[Finding]:
    """Find structures with, above them in the same column, one that belongs below them."""
    depth = {v: _DEPTH[s] for v, c in named.items() if (s := _short(c.name)) in _DEPTH}
    over = np.full(256, -1, np.int8)
    over[list(depth)] = list(depth.values())
    ranks = over[labels]
    deepest = np.maximum.accumulate(ranks, axis=0)  # of what lies above, the pixel itself included
    wrong = (ranks >= 0) & (ranks < deepest)
    if not wrong.any():
        return
    for value, outer in _boxes(np.where(wrong, labels, 0), depth).items():
        pieces, _ = ndimage.label(wrong[outer] & (labels[outer] == value), _EIGHT)
        sizes = np.bincount(pieces.ravel())
        for number, inner in enumerate(ndimage.find_objects(pieces), 1):
            if sizes[number] < least:
                continue
            box = _within(outer, inner)
            piece = pieces[inner] == number
            rank = int(deepest[box][piece].max())
            above = labels[: box[0].stop, box[1]]
            over_it = [v for v in depth if depth[v] == rank and (above == v).any()]
            names = " and ".join(named[v].name.split(" (")[0] for v in over_it)
            if _short(named[value].name) in _FLUID and rank == _DEPTH["ped"]:
                text = f"{{name}} below {names}: fluid below the RPE"
            else:
                text = f"unusual: {{name}} below {names}"
            yield _finding("order", text, value, piece, box, named)


def _boxes(labels: NDArray[np.uint8], values: Mapping[int, Any]) -> dict[int, Box]:
    """Those of the values that occur, each with the box that holds it."""
    found = enumerate(ndimage.find_objects(labels), 1)
    return {value: box for value, box in found if box is not None and value in values}


def _within(outer: Box, inner: Box) -> Box:
    rows, columns = (
        slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True)
    )
    return rows, columns


def _finding(
    kind: Kind,
    text: str,
    value: int,
    piece: NDArray[np.bool_],
    box: Box,
    named: Mapping[int, LabelClass],
) -> Finding:
    """Describe pixels within a box; the one named is the nearest to their middle."""
    rows, columns = np.nonzero(piece)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    top, left = box[0].start, box[1].start
    return Finding(
        kind,
        text.format(name=named[value].name.split(" (")[0]),
        value,
        int(top + rows[middle]),
        int(left + columns[middle]),
        len(rows),
        (
            int(top + rows.min()),
            int(left + columns.min()),
            int(top + rows.max() + 1),
            int(left + columns.max() + 1),
        ),
    )


def _count(columns: int) -> str:
    return f"{columns} columns" if columns > 1 else "1 column"
