"""A phantom OCT volume with its reference, for Slicer's Sample Data module: made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer

__all__ = ["ICON", "NAME", "make_phantom", "register_sample"]

NAME = "SPAD phantom OCT"
SHAPE = (19, 496, 768)  # a device's resolution
SEED = 7
MODEL = "oct-phantom"
"""What the volume is for: the panel proposes it."""
ICON = Path(__file__).parents[2] / "Resources" / "Icons" / "SPAD.png"


def make_phantom(*, shape: tuple[int, int, int] = SHAPE) -> tuple[Any, Any]:
    """Add a phantom and what is truly in it to the scene.

    Parameters
    ----------
    shape : (B-scans, rows, columns)

    Returns
    -------
    volume : vtkMRMLScalarVolumeNode
    reference : vtkMRMLSegmentationNode
    """
    from spad.checkpoint import label_classes
    from spad.phantom import CLASS_NAMES, stack
    from SPADLib.scene import class_segments, write_segments

    made = stack(SEED, shape=shape)
    scene = slicer.mrmlScene
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(NAME))
    slicer.util.updateVolumeFromArray(volume, made.image)
    matrix = np.diag([-made.spacing_mm[2], -made.spacing_mm[1], made.spacing_mm[0], 1.0])
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    volume.CreateDefaultDisplayNodes()
    volume.SetAttribute("SPAD.model", MODEL)
    name = f"{volume.GetName()} reference"
    reference = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    reference.CreateDefaultDisplayNodes()
    segments = class_segments(label_classes(CLASS_NAMES), tagged=False)
    write_segments(reference, made.labels, segments, volume)
    reference.GetDisplayNode().SetVisibility2DFill(False)  # outlines: the image stays visible
    return volume, reference


def register_sample() -> None:
    """Offer the phantom in the Sample Data module."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SPAD",
        sampleName=NAME,
        uris=[""],
        fileNames=[""],
        nodeNames=[NAME],
        thumbnailFileName=str(ICON),
        customDownloader=_made,
    )


def _made(_source: Any = None) -> list[Any]:
    """The sample's nodes; none, and a message in the window, before the engine is installed."""
    try:
        return list(make_phantom())
    except ImportError as error:
        slicer.util.errorDisplay(
            f"“{NAME}” is drawn by SPAD's engine, which is not installed yet ({error}). Open the "
            "module SPAD, press Install, and come back."
        )
        return []
