"""How the uncertainty is shown: clear where the samples agree, teal, cyan, white where they do not.

Slicer's slice views take a colour's opacity for all or nothing. So small uncertainties are clear,
the colours begin dark, and the whole overlay is mixed with the image (`views.overlay`).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import slicer

from SPADLib.scene.volumes import nodes_of

__all__ = ["CLEAR", "FULL", "one_colour_table", "show_uncertainty", "uncertainty_colours"]

CLEAR, FULL = 5, 50
"""Percent up to which nothing is shown, and from which on the colour is white."""
_NAME = "SPAD uncertainty"
_STOPS = (0.0, 0.4, 1.0)  # of the way from CLEAR to FULL
_COLOURS = ((0.0, 0.35, 0.4), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0))
"""Teal, cyan, white: colour-blind people can tell them from every structure."""


def uncertainty_colours(scene: Any) -> Any:
    """The scene's colour table of uncertainties in percent, made when first asked for."""
    if known := _tables(scene):
        return known[0]
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(_NAME)
    node.SetHideFromEditors(True)
    node.SetNumberOfColors(256)
    for index in range(256):
        percent = index / 255 * FULL
        share = (percent - CLEAR) / (FULL - CLEAR)
        colour = [float(np.interp(share, _STOPS, level)) for level in zip(*_COLOURS, strict=True)]
        node.SetColor(index, f"{percent:.0f} %", *colour, float(percent > CLEAR))
    node = scene.AddNode(node)
    node.SaveWithSceneOn()
    return node


def show_uncertainty(volume: Any) -> None:
    """Give a volume of percents the colours of uncertainty."""
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID(uncertainty_colours(volume.GetScene()).GetID())
    display.SetInterpolate(False)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, FULL)


def one_colour_table(scene: Any) -> None:
    """Let all uncertainties share one table, after a scene with another was added."""
    first, *others = _tables(scene) or [None]
    for other in others:
        for display in nodes_of(scene, "vtkMRMLDisplayNode"):
            if display.GetColorNodeID() == other.GetID():
                display.SetAndObserveColorNodeID(first.GetID())
        scene.RemoveNode(other)


def _tables(scene: Any) -> list[Any]:
    """Ours; the scene calls a second one “… 1” or “…_1”."""
    nodes = nodes_of(scene, "vtkMRMLColorTableNode")
    ours = re.compile(re.escape(_NAME) + r"([ _]\d+)?")
    return [n for n in nodes if ours.fullmatch(n.GetName() or "")]
