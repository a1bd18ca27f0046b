"""Writers for label layers: TIFF and indexed PNG, each with a sidecar ``NAME.spad.json``.

napari's own TIFF writer turns uint8 labels into uint32 and drops scale and metadata. These keep the
class values as they are, the spacing (in the file itself and in the sidecar), and where a result
came from. Writers take what napari gives them, a path, the labels (array of int) and the layer's
settings, and give the files written; a ValueError says what a format cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.write.label_layer import (
    layer_name,
    palette,
    refuse_long_name,
    smallest,
    spacing_mm,
    write_sidecar,
)
from spad.cases import replaced

__all__ = ["write_png", "write_tiff"]


def write_tiff(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer as a TIFF that ImageJ, Fiji and tifffile open with scale and colours."""
    import tifffile

    refuse_long_name(path)
    labels = smallest(np.asarray(data))
    if labels.ndim > 3:
        raise ValueError(
            f"“{layer_name(meta)}” has {labels.ndim} axes; a TIFF takes one B-scan or one stack: "
            "export it as PNG in the tab Keep, a file for each B-scan"
        )
    spacing = spacing_mm(meta, labels.ndim)
    extra: dict[str, Any] = {"axes": "ZYX"[-labels.ndim :]}
    options: dict[str, Any] = {}
    if spacing and spacing[-1] and spacing[-2]:
        extra |= {"unit": "mm"}
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
        options["resolutionunit"] = "NONE"
        if labels.ndim == 3:
            extra |= {"spacing": spacing[0]} if spacing[0] else {"zunit": "pixel"}
    if labels.dtype == np.uint8:
        extra["LUTs"] = [palette(meta).T.copy()]
    imagej = labels.dtype in (np.uint8, np.uint16)  # ImageJ knows no larger integers
    extra_or_none = extra if imagej else None
    with replaced(Path(path)) as file:
        tifffile.imwrite(file, labels, imagej=imagej, metadata=extra_or_none, **options)
    return [path, write_sidecar(path, labels, meta)]


def write_png(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write one B-scan's labels as an indexed PNG: pixels are class values, the palette colours."""
    from PIL import Image

    refuse_long_name(path)
    labels = smallest(np.asarray(data))
    labels = labels.reshape([n for n in labels.shape[:-2] if n != 1] + list(labels.shape[-2:]))
    if labels.ndim != 2:
        raise ValueError(
            f"“{layer_name(meta)}” is a stack of shape {labels.shape}; a PNG holds one B-scan: "
            "save it as .tif"
        )
    if labels.dtype != np.uint8:
        raise ValueError(
            f"“{layer_name(meta)}” has the value {labels.max()}; an indexed PNG holds 0..255: "
            "save it as .tif"
        )
    image = Image.fromarray(labels)
    image.putpalette(palette(meta).tobytes())
    spacing = spacing_mm(meta, 2)
    options = {}
    if spacing and spacing[0] and spacing[1]:
        options["dpi"] = (25.4 / spacing[1], 25.4 / spacing[0])
    with replaced(Path(path)) as file:
        image.save(file, format="PNG", **options)
    return [path, write_sidecar(path, labels, meta)]
