"""How the uncertainty is shown: clear where the samples agree, cyan to white where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from SPADLib.volumes import nodes_of

__all__ = ["FULL", "show_uncertainty", "uncertainty_colours"]

FULL = 50
"""Percent from which on the colour is white and opaque."""
_NAME = "SPAD uncertainty"
_STOPS = ((0.0, 0.0), (0.3, 0.55), (0.6, 0.9), (1.0, 1.0))  # share of FULL, opacity
_CYAN = (0.0, 1.0, 1.0)  # colour-blind people can tell it from every structure


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
        share = index / 255
        opacity = float(np.interp(share, *zip(*_STOPS, strict=True)))
        white = max(0.0, (share - 0.6) / 0.4)
        red, green, blue = (c + (1 - c) * white for c in _CYAN)
        node.SetColor(index, f"{share * FULL:.0f} %", red, green, blue, opacity)
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
