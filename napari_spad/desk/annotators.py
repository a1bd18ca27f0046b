"""Who paints: the annotator's name, and a copy of the labels for another one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_spad.desk.desk import Desk, other_data
from napari_spad.desk.result import Result
from napari_spad.desk.settings import setting
from napari_spad.desk.widgets import named
from napari_spad.layers import open_source

__all__ = ["AnnotatorField", "annotator", "hand_over", "whose"]

KEY = "annotator"
LONGEST = 40


def annotator(desk: Desk) -> str:
    """Name of the person at the desk; empty where none was given."""
    return setting(desk.settings, KEY, "").strip()


def whose(layer: Labels) -> str:
    """Name of a layer's annotator; empty where it has none."""
    return str(layer.metadata.get(KEY, ""))


class AnnotatorField(QWidget):
    """The name of the person at the desk; new results get it.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.line = named(QLineEdit(annotator(desk)), "annotator")
        self.line.setPlaceholderText("your name or initials")
        self.line.setMaxLength(LONGEST)
        self.line.setToolTip("New results are yours: it stands in their metadata, CSV and log")
        self.line.editingFinished.connect(self._keep)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.addWidget(QLabel("Annotator"))
        layout.addWidget(self.line, 1)

    def _keep(self) -> None:
        self._desk.settings.setValue(KEY, self.line.text().strip())

    def showEvent(self, event: Any) -> None:
        """Show what another field or a hand-over set meanwhile."""
        self.line.setText(annotator(self._desk))
        super().showEvent(event)


def hand_over(desk: Desk, layer: Labels, name: str) -> Labels:
    """Copy labels for another annotator, who is at the desk from now on.

    The copy of a result is a result: with its samples, its uncertainty and what is by hand in it.
    The original is hidden, and otherwise left as it is.

    Parameters
    ----------
    desk : Desk
    layer : napari.layers.Labels
    name : str
        Of the other annotator.

    Returns
    -------
    napari.layers.Labels
        The copy, at work.

    Raises
    ------
    ValueError
        If the name is empty, or the annotator has the layer already.
    """
    name = name.strip()[:LONGEST]
    if not name:
        raise ValueError("The name is empty: give the other annotator's name or initials")
    if name == whose(layer):
        raise ValueError(f"“{layer.name}” is {name}'s already: give another name")
    result = next((r for r in desk.results if r.layer is layer), None)
    if result is not None and not other_data(result):
        copy = _copied_result(desk, result)
        desk.settings.setValue(KEY, name)
        copy.layer.metadata[KEY] = name
        for ours, theirs in (
            (copy.layer, layer), (copy.by_hand, result.by_hand),
            (copy.uncertainty, result.uncertainty),
        ):  # fmt: skip
            ours.name = _named_for(theirs.name, whose(layer), name)
        made = copy.layer
        desk.add_result(copy)
    else:
        desk.settings.setValue(KEY, name)
        made = _copied_layer(desk, layer)
        made.metadata[KEY] = name
        made.name = _named_for(layer.name, whose(layer), name)
    layer.visible = False
    desk.viewer.layers.selection.active = made
    return made


def _named_for(name: str, before: str, after: str) -> str:
    return f"{name.removesuffix(f' – {before}') if before else name} – {after}"


def _copied_result(desk: Desk, result: Result) -> Result:
    source = open_source(result.image, desk.viewer, whole_stack=True)
    copy = Result(desk.viewer, source, result.classes, result.model)
    copy.origin = result.origin
    copy.layer.data[...] = result.layer.data
    copy.by_hand.data[...] = result.by_hand.data
    copy.uncertainty.data[...] = result.uncertainty.data
    copy.written[...] = result.written
    copy.packed.update(result.packed)
    copy.locked |= result.locked
    kept = {k: v for k, v in result.layer.metadata.items() if k != "spad"}
    copy.layer.metadata.update(deepcopy(kept))
    copy.runs = deepcopy(result.runs)
    for layer in (copy.layer, copy.by_hand, copy.uncertainty):
        layer.refresh()
    return copy


def _copied_layer(desk: Desk, layer: Labels) -> Labels:
    placement = {
        key: getattr(layer, key)
        for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    }
    return desk.viewer.add_labels(
        np.array(layer.data),
        colormap=layer.colormap,
        features=layer.features.copy(),
        # A copy is somebody's work, not the reference any more.
        metadata={k: v for k, v in deepcopy(layer.metadata).items() if k != "role"},
        opacity=layer.opacity,
        **placement,
    )
