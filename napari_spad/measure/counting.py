"""The first count of a stack, of its reference and of its samples, in a worker thread. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_spad.borders import StackLines
from napari_spad.desk import Desk, Result, explain, other_data
from napari_spad.layers import bscan_sizes, level_0, segmented
from napari_spad.scale import Facts
from spad.annotation import check_sum
from spad.autosave import Packed
from spad.borders import Thickness, thickness
from spad.cases import foreign
from spad.checkpoint import IGNORE, LabelClass
from spad.measuring import Grid, LiveMeasures, grid_remarks, partly, propose_fovea

__all__ = [
    "PART",
    "annotated",
    "drawn_samples",
    "grid_of",
    "layer_remarks",
    "layers_of",
    "line_maps",
    "measured",
    "of_these",
    "pit_of",
    "result_in",
    "sampled",
    "samples_of",
    "why_not",
    "without_padding",
    "z_of",
]

PART = "the reference is not annotated everywhere (255): both are compared where it is"


def why_not(facts: Facts | None, layer: Labels | None) -> str:
    """Why labels on an image cannot be measured, in words; empty where they can."""
    if layer is None:
        return "Segment an image, or choose a Labels layer in the score table, to measure."
    if layer.ndim > 3:
        return f"“{layer.name}” has {layer.ndim} axes. Stacks of B-scans are measured: three axes."
    shape = (1, 1, 1, *layer.data.shape)[-3:]
    if facts is not None and shape != facts.shape:
        return (
            f"“{layer.name}” holds other data now, of shape {shape}, and “{facts.image.name}” is "
            f"of {facts.shape}: segment the image anew, or put the data into a Labels layer of "
            "their own."
        )
    if facts is not None and not facts.straight:
        return (
            f"A transform slants or stretches “{facts.image.name}” (shear, or affine), so "
            "that its pixels have no one size and nothing can be said in mm. Resample it to a "
            "straight grid, or open its file anew with SPAD."
        )
    scale = None if facts is None else facts.scale
    if scale is None or scale.row.mm is None or scale.column.mm is None:
        return (
            "The scale of rows or columns is not known, so nothing can be said in mm. Type it: "
            "✎ beside the scale, at the top."
        )
    return ""


def result_in(layer: Labels | None, desk: Desk) -> Result | None:
    """The result that a label layer holds; None where it is none's, or holds other data now."""
    mine = next((r for r in desk.results if r.layer is layer), None)
    return None if mine is None or other_data(mine) else mine


def of_these(result: Result | None) -> str:
    """That a part of a stack alone is segmented; empty where all is, or none by a model."""
    if result is None:
        return ""
    bscans = int(np.prod(result.written.shape[:-2]))
    return partly(len(segmented(result.layer) or ()), bscans)


def z_of(place: tuple[int, ...]) -> int:
    """Which B-scan of a stack a place is."""
    return place[-1] if place else 0


def without_padding(
    labels: NDArray[np.uint8], image: Any, z: int | None = None
) -> NDArray[np.uint8]:
    """Label what only pads smaller B-scans of a stack as not scanned: in a copy.

    Parameters
    ----------
    labels : array of uint8, shape (Z, H, W)
        Of the stack; of the B-scan `z` alone where it is given.
    image : napari.layers.Layer
        Its metadata know the sizes.
    z : int, optional
    """
    if sizes := bscan_sizes(image):
        labels = labels.copy()
        for at, one in enumerate(labels):
            height, width = sizes[at if z is None else z]
            one[height:], one[:, width:] = IGNORE, IGNORE
    return labels


def annotated(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels where a reference says what is there; not scanned elsewhere, as it is itself."""
    return np.where(theirs == IGNORE, np.uint8(IGNORE), ours)


def sampled(
    result: Result, place: tuple[int, ...], desk: Desk
) -> tuple[Packed | None, NDArray[np.bool_]]:
    """The samples of a B-scan, and where a person painted; None of one that is accepted."""
    certain = place in desk.accepted(result)
    return None if certain else result.packed.get(place), result.hand.mask[place] != 0


def samples_of(
    result: Result | None, labels: NDArray[np.uint8], desk: Desk
) -> tuple[list[int], int, Iterator[NDArray[np.uint8]]]:
    """B-scans of a result that have samples, how many most of them have, and these one by one."""
    packed = {} if result is None else dict(result.packed)
    numbers = [one.shape[0] for one in packed.values()]
    number = max(set(numbers), key=numbers.count) if numbers else 0
    drawn = (
        drawn_samples(labels[z_of(at)], *sampled(result, at, desk), number)
        for at in packed
        if result is not None
    )
    return [z_of(at) for at in packed], number, drawn


def drawn_samples(
    labels: NDArray[np.uint8], packed: Packed | None, painted: NDArray[np.bool_], number: int
) -> NDArray[np.uint8]:
    """So many samples of a B-scan, (N, H, W); what a person painted or accepted is certain."""
    drawn = np.broadcast_to(labels, (number, *labels.shape)).copy()
    if packed is not None:
        height, width = packed.shape[1:]
        samples = np.resize(packed.samples(), (number, height, width))
        drawn[:, :height, :width] = np.where(
            painted[:height, :width], drawn[:, :height, :width], samples
        )
    return drawn


def pit_of(facts: Facts) -> Callable[[], tuple[float, float] | None]:
    """What looks for the fovea in an image, to be called in a worker thread."""
    mm, image, shape = facts.scale.spacing_mm, facts.image, facts.shape
    if None in mm or shape[0] < 3 or isinstance(image, Labels) or image.rgb:
        return lambda: None
    lengths = [float(s or 0) for s in mm]

    def pit() -> tuple[float, float] | None:
        try:
            with foreign():
                pixels = np.asarray(level_0(image))
        except Exception:  # whatever the reader of a lazy layer raises: it costs the fovea alone
            return None
        inverted = bool(image.metadata.get("inverted"))
        return propose_fovea(pixels.reshape(shape), lengths, inverted=inverted)

    return pit


@lru_cache(maxsize=2)
def _grid(*told: Any) -> Grid:
    return Grid(*told)


def grid_of(facts: Facts) -> Grid | None:
    """The grid about an image's fovea; None where that, or a scale, is not known."""
    between, _, column = facts.scale.spacing_mm
    deep, _, wide = facts.shape
    if facts.fovea is None or not between or not column or deep < 2:
        return None
    return _grid(
        facts.fovea.at, (between, column), (deep, wide), facts.eye, facts.first or "inferior"
    )


def line_maps(facts: Facts | None, lines: StackLines) -> dict[str, NDArray[np.float32]]:
    """En-face maps of the thickness between an image's lines in µm, by name; none without scale."""
    facts = facts if lines.there else None  # the scale takes a while to ask for
    row = None if facts is None else facts.scale.row.mm
    return {} if facts is None or row is None else lines.maps(facts.image, row)


def layers_of(facts: Facts | None, lines: StackLines) -> tuple[Thickness, ...]:
    """Mean thickness between an image's lines, region by region."""
    grid = None if facts is None else grid_of(facts)
    found = (thickness(name, um, grid) for name, um in line_maps(facts, lines).items())
    return tuple(one for each in found for one in each)


def layer_remarks(facts: Facts) -> tuple[str, ...]:
    """What a reader of the thickness between an image's lines has to know."""
    grid = grid_of(facts)
    about = () if grid is None else grid_remarks(
        grid, grid.scanned(), first_told=facts.first is not None
    )  # fmt: skip
    return (*facts.scale.doubts, *about)


def measured(
    ours: NDArray[np.uint8],
    theirs: NDArray[np.uint8] | None,
    classes: tuple[LabelClass, ...],
    spacing_mm: tuple[float | None, ...],
    number: int,
    places: Sequence[int],
    drawn: Iterator[NDArray[np.uint8]],
    pit: Callable[[], tuple[float, float] | None],
    turn: int,
) -> Any:
    """Count a stack and its reference, in a worker thread; what went wrong comes in words."""
    try:
        sums = [[] if x is None else [check_sum(b) for b in x] for x in (ours, theirs)]
        # The samples come B-scan by B-scan: all of them at once would not fit into memory.
        none = np.broadcast_to(np.uint8(0), (number, *ours.shape)) if number else None
        live = LiveMeasures(ours, classes, spacing_mm, samples=none)
        for z, samples in zip(places, drawn, strict=True):
            live.update(z, ours[z], samples)
        for z in set(range(len(ours))) - set(places) if number else ():
            live.update(z, ours[z], np.broadcast_to(ours[z], (number, *ours[z].shape)))
        other = None if theirs is None else LiveMeasures(theirs, classes, spacing_mm)
        beside = live
        if theirs is not None and not np.array_equal(shared := annotated(ours, theirs), ours):
            beside = LiveMeasures(shared, classes, spacing_mm)
        fovea = pit()
    except Exception as error:
        return turn, None, None, None, None, None, explain(error)
    return turn, live, other, beside, sums, fovea, ""
