"""Driving the module's panel as a person does: press, and wait until nothing is going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
import standin

__all__ = ["SHAPE", "run", "said", "segmentations", "settle", "wait_until"]

SHAPE = (4, 24, 32)
"""Of the volume in the panel."""


def run(panel: Any) -> Any:
    """Press Segment, and wait; the result at work."""
    panel.ui.segmentButton.click()
    settle(panel)
    return panel.desk.result


def segmentations() -> list[Any]:
    """Those of the scene."""
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    return [slicer.mrmlScene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(count)]


def said(panel: Any) -> str:
    """What the status line says."""
    return panel.ui.statusLabel.text()


def settle(panel: Any, seconds: float = 20.0) -> None:
    """Let the panel work until nothing is going on; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        standin.process_events(0.02)
        waiting = (
            panel.runs.busy,
            panel.segment.preflight.busy,
            panel.compare._pause.isActive(),
            panel.compare._distances.busy,
            panel.review._judge.busy,
        )
        if not any(waiting):
            return
    raise AssertionError("the panel does not come to rest")


def wait_until(reached: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let the panel work until something is so; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it did not come to that"
        standin.process_events(0.02)
