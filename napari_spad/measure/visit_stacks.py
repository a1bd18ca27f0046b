"""Stacks in the viewer as visits of one eye: what is measured of each, and how they lie. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isclose
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_spad.desk import Desk, Result, explain
from napari_spad.layers import is_label_map, leading_index, level_0, numbered
from napari_spad.measure.counting import (
    layer_remarks,
    layers_of,
    measured,
    of_these,
    pit_of,
    result_in,
    samples_of,
    why_not,
    without_padding,
)
from napari_spad.measure.sheets import Cell, Sheet, number
from napari_spad.measure.stack_measures import StackMeasures
from napari_spad.scale import PROPOSED, Facts
from napari_spad.scores import LiveScores
from spad.annotation import check_sum
from spad.borders import Thickness, thickness_over_visits
from spad.checkpoint import LabelClass
from spad.measuring import Alignment, EnFace, Visit, align, as_day, in_order, projection, remarks

__all__ = [
    "VisitStack",
    "counted",
    "laid",
    "line_rows",
    "show_counterpart",
    "stacks",
    "visit_sheet",
]

SAME = 1e-6
"""Two values that differ by less of themselves are the same."""


class VisitStack:
    """A label layer that may be a visit, with what is known of its image.

    Parameters
    ----------
    layer : napari.layers.Labels
        A stack.
    measures : StackMeasures

    Attributes
    ----------
    facts : Facts
    classes : tuple of LabelClass
        Once it was measured.
    layers : tuple of Thickness
        Between the lines over its image, then.
    """

    def __init__(self, layer: Labels, measures: StackMeasures) -> None:
        self.layer, self._measures = layer, measures
        facts = measures.facts_of(measures.image_of(layer) or layer)
        assert facts is not None  # noqa: S101 - there is a layer
        self.facts: Facts = facts
        self.classes: tuple[LabelClass, ...] = ()
        self.layers: tuple[Thickness, ...] = ()
        self._counted, self._told = 0, ()  # what its numbers are of

    @property
    def here(self) -> bool:
        """Whether it and its image are in the viewer."""
        return {self.layer, self.facts.image} <= set(self._measures.desk.viewer.layers)

    @property
    def changed(self) -> bool:
        """Whether it was edited, or something else was said of it, since it was measured."""
        now = check_sum(np.asarray(self.layer.data)), self._facts_now(), self._layers_now()
        return now != (self._counted, self._told, self.layers)

    def _facts_now(self) -> tuple[Any, ...]:
        facts = self.facts
        return facts.scale.spacing_mm, facts.eye, facts.first, facts.date, facts.fovea

    def _layers_now(self) -> tuple[Thickness, ...]:
        return layers_of(self.facts, self._measures.lines)

    def show(self, seen: bool) -> None:
        """Show it, its image and what is by hand in it, or hide them."""
        self.layer.visible = self.facts.image.visible = seen
        if (result := self._result()) is not None:
            result.by_hand.visible = seen

    def _result(self) -> Result | None:
        return result_in(self.layer, self._measures.desk)

    @property
    def partly(self) -> str:
        """That a part of it alone is segmented; empty where all is."""
        return of_these(self._result())

    def task(self) -> Callable[[], Any]:
        """What counts the stack, to be called in a worker thread.

        Raises
        ------
        ValueError
            It cannot be measured, in words.
        """
        name, scale = self.layer.name, self.facts.scale
        as_day(self.facts.date)
        if None in (scale.row.mm, scale.column.mm) and self.facts.straight:
            raise ValueError(f"“{name}”: its scale is not known; choose it, and type it at the top")
        if wrong := why_not(self.facts, self.layer):
            raise ValueError(wrong)
        scores = LiveScores(lambda: None, lambda: None)
        try:
            scores.watch(self.layer, None)
            self.classes = scores.classes
            labels = scores.class_maps(())[0].reshape(self.facts.shape)
        finally:
            scores.stop()
        self._counted = check_sum(np.asarray(self.layer.data))
        labels = without_padding(labels, self.facts.image)
        result = self._result()
        places, many, drawn = samples_of(result, labels, self._measures.desk)
        pit: Any = pit_of(self.facts) if self.facts.fovea is None else lambda: None
        return lambda: measured(
            labels, None, self.classes, scale.spacing_mm, many, places, drawn, pit, 0
        )

    def visit(self, found: Any) -> Visit:
        """The visit, from what the task gave.

        Raises
        ------
        ValueError
            It could not be counted, in words.
        """
        _, live, _, _, _, pit, failed = found
        facts, name = self.facts, self.layer.name
        if failed:
            raise ValueError(f"“{name}”: {failed}")
        if pit is not None:
            facts.place_fovea(pit, PROPOSED)
        if facts.fovea is not None and live.spacing_mm[0] is not None:
            live.place(facts.fovea.at, eye=facts.eye, first=facts.first)
        self._told, self.layers = self._facts_now(), self._layers_now()
        said = (*filter(None, [self.partly]), *remarks(live, facts.scale))
        fovea = {"fovea": "" if facts.fovea is None else facts.fovea.in_files}
        rows, extent = live.rows(), live.extent_mm
        return Visit(name, facts.date, rows, facts.scale, facts.eye, said, fovea, extent)


def stacks(measures: StackMeasures) -> list[Labels]:
    """Label layers that may be visits: stacks of structures, the lowest first."""
    return [
        layer
        for layer in measures.desk.viewer.layers
        if is_label_map(layer)
        and layer.ndim == 3
        and not layer.multiscale
        and "vendor_lines" not in layer.metadata
    ]


def counted(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do the tasks, in a worker thread."""
    return [task() for task in tasks]


def visit_sheet(
    visits: Sequence[Visit],
    layers: Sequence[Sequence[Thickness]],
    region: str,
    classes: Sequence[LabelClass],
) -> Sheet:
    """The table over visits: a row a structure, its volumes; then one a layer between lines, in µm.

    Parameters
    ----------
    visits : sequence of Visit
    layers : sequence of sequences of Thickness
        Of each visit.
    region : str
        Of both.
    classes : sequence of LabelClass
    """
    ordered = in_order(visits)
    names = list(dict.fromkeys(m.structure for v in ordered for m in v.rows))
    values = {c.name: c.value for c in classes}
    rows = []
    for name in names:
        found = [v.at(name, region) for v in ordered]
        volumes = [None if m is None else m.volume_nl for m in found]
        rows.append((values.get(name, 0), _course(volumes)))
    by = {v.name: found for v, found in zip(visits, layers, strict=True)}
    um = [{one.layer: one.mean_um for one in by[v.name] if one.region == region} for v in ordered]
    between = list(dict.fromkeys(name for visit in um for name in visit))
    rows += [(-1, _course([visit.get(name) for visit in um])) for name in between]
    names += [f"{name}, µm" for name in between]
    return Sheet([*(v.label[:12] for v in ordered), "last −\nfirst"], rows, names)


def line_rows(
    visits: Sequence[Visit], measured: Sequence[VisitStack], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of the thickness between lines, under the columns of `visit_rows`, which gave `rows`."""
    told = [
        replace(visit, remarks=layer_remarks(stack.facts))  # not of what is segmented
        for visit, stack in zip(visits, measured, strict=True)
    ]
    return thickness_over_visits(told, [stack.layers for stack in measured], rows)


def _course(values: Sequence[float | None]) -> list[Cell]:
    """A value a visit, and what the last is more than the first."""
    cells = [Cell("–" if value is None else number(value)) for value in values]
    first, last = values[0], values[-1]
    more = None
    if first is not None and last is not None:
        # Of sums in single precision the same value has another last digit.
        more = 0.0 if isclose(first, last, rel_tol=SAME) else last - first
    return [*cells, Cell("–" if more is None else "0" if not more else f"{more:+.3g}")]


# ------------------------------------------------------------------ laid on each other


def _from_above(facts: Facts) -> EnFace:
    """An image's projection.

    Raises
    ------
    ValueError
        It has too few B-scans, or no scale.
    """
    if isinstance(facts.image, Labels):
        raise ValueError(f"“{facts.image.name}” has no image here; open it, to see it from above")
    between, _, column = facts.scale.spacing_mm
    steps: Any = (between, column)
    return EnFace(projection(level_0(facts.image)), steps, facts.first or "inferior")


def laid(first: Facts, second: Facts) -> Alignment | str:
    """Lay two images on each other, in a worker thread; what went wrong comes in words."""
    try:
        return align(_from_above(first), _from_above(second))
    except Exception as error:
        return explain(error)


def show_counterpart(here: VisitStack, there: VisitStack, found: Alignment, desk: Desk) -> str:
    """Show the counterpart of the B-scan on screen, in place of it; where it is, in words.

    Parameters
    ----------
    here, there : VisitStack
        The visit on screen, and the other one.
    found : Alignment
        From the one to the other.
    desk : Desk
    """
    image = here.facts.image
    bscan = leading_index(image, desk.viewer)[-1]
    place = found.counterpart(bscan, (here.facts.shape[2] - 1) / 2)
    if place is None:
        return f"B-scan {numbered(bscan)} of “{here.layer.name}” was not scanned at the other visit"
    here.show(False)
    there.show(True)
    at = min(max(round(place[0]), 0), there.facts.shape[0] - 1)
    desk.go_to(there.facts.image, (at,))
    ends = [found.counterpart(bscan, column) for column in (0, here.facts.shape[2] - 1)]
    seen_at = [end[0] for end in ends if end is not None]
    slant = ""
    if len(seen_at) == 2 and abs(seen_at[1] - seen_at[0]) >= 1:
        left, right = (numbered(one, 1) for one in seen_at)
        slant = f", from {left} at its left to {right} at its right"
    return (
        f"B-scan {numbered(bscan)} of “{here.layer.name}” lies at {numbered(place[0], 1)} of "
        f"“{there.layer.name}”{slant}"
    )
