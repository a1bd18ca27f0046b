"""How the uncertainty is shown: clear where the samples agree, teal, cyan, white where they do not.

Slicer's slice views take a colour's opacity for all or nothing. So small uncertainties are clear,
the colours begin dark, and the whole overlay is mixed with the image (`views.overlay`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from SPADLib.scene.volumes import nodes_of

__all__ = ["CLEAR", "FULL", "show_uncertainty", "uncertainty_colours"]

CLEAR, FULL = 5, 50
"""Percent up to which nothing is shown, and from which on the colour is white."""
_NAME = "SPAD uncertainty"
_STOPS = (0.0, 0.4, 1.0)  # of the way from CLEAR to FULL
_COLOURS = ((0.0, 0.35, 0.4), (0.0, 1.0, 1.0), (1.0, 1.0, 1.0))
"""Teal, cyan, white: colour-blind people can tell them from every structure."""


def uncertainty_colours(scene: Any) -> Any:
    """The scene's colour table of uncertainties in percent, made when first asked for."""
    for node in nodes_of(scene, "vtkMRMLColorTableNode"):
        if node.GetName() == _NAME:
            return node
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
