"""Writers for label layers: TIFF and indexed PNG, each with a sidecar ``NAME.spad.json``.

napari's own TIFF writer turns uint8 labels into uint32 and drops scale and metadata. These keep the
class values as they are, the spacing (in the file itself and in the sidecar), and where a result
came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["write_png", "write_tiff"]


def write_tiff(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer as a TIFF that ImageJ, Fiji and tifffile open with scale and colours.

    Parameters
    ----------
    path : str
    data : array of int
    meta : mapping
        The layer's settings, as napari gives them to a writer.

    Returns
    -------
    list of str
        The files written.
    """
    import tifffile

    labels = _smallest(np.asarray(data))
    if labels.ndim > 3:
        raise ValueError(
            f"“{_name(meta)}” has {labels.ndim} axes; a TIFF takes one B-scan or one stack: "
            "right-click the layer, “Split Stack”, and save the stacks one by one"
        )
    spacing = _spacing_mm(meta, labels.ndim)
    extra: dict[str, Any] = {"axes": "ZYX"[-labels.ndim :]}
    options: dict[str, Any] = {}
    if spacing is not None:
        extra |= {"unit": "mm"}
        options["resolution"] = (1 / spacing[-1], 1 / spacing[-2])
        options["resolutionunit"] = "NONE"
        if labels.ndim == 3:
            extra["spacing"] = spacing[0]
    if labels.dtype == np.uint8:
        extra["LUTs"] = [_palette(meta).T.copy()]
    imagej = labels.dtype in (np.uint8, np.uint16)  # ImageJ knows no larger integers
    tifffile.imwrite(path, labels, imagej=imagej, metadata=extra if imagej else None, **options)
    return [path, _sidecar(path, labels, meta)]


def write_png(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write one B-scan's labels as an indexed PNG: pixels are class values, the palette colours.

    Parameters
    ----------
    path : str
    data : array of int
    meta : mapping
        The layer's settings, as napari gives them to a writer.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    ValueError
        If it is a stack, or a value does not fit into 0..255.
    """
    from PIL import Image

    labels = _smallest(np.asarray(data))
    labels = labels.reshape([n for n in labels.shape[:-2] if n != 1] + list(labels.shape[-2:]))
    if labels.ndim != 2:
        raise ValueError(
            f"“{_name(meta)}” is a stack of shape {labels.shape}; a PNG holds one B-scan: "
            "save it as .tif"
        )
    if labels.dtype != np.uint8:
        raise ValueError(
            f"“{_name(meta)}” has the value {labels.max()}; an indexed PNG holds 0..255: "
            "save it as .tif"
        )
    image = Image.fromarray(labels)
    image.putpalette(_palette(meta).tobytes())
    spacing = _spacing_mm(meta, 2)
    options = {} if spacing is None else {"dpi": (25.4 / spacing[1], 25.4 / spacing[0])}
    image.save(path, format="PNG", **options)
    return [path, _sidecar(path, labels, meta)]


def _name(meta: Mapping[str, Any]) -> str:
    return str(meta.get("name", "labels"))


def _smallest(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the same values in the smallest unsigned type that holds them."""
    if labels.size and labels.min() < 0:
        raise ValueError(f"the labels hold {labels.min()}; class values start at 0: change them")
    top = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(top), copy=False)


def _spacing_mm(meta: Mapping[str, Any], ndim: int) -> tuple[float, ...] | None:
    """Spacing of the last `ndim` axes in mm, None where the units are no lengths."""
    from pint import get_application_registry

    units, scale = meta.get("units"), meta.get("scale")
    if units is None or scale is None:
        return None
    registry: Any = get_application_registry()  # type: ignore[no-untyped-call]
    lengths = [registry.Quantity(1, str(u)) for u in units][-ndim:]
    if len(lengths) != ndim or not all(q.is_compatible_with("mm") for q in lengths):
        return None
    return tuple(
        abs(float(s)) * float(q.to("mm").magnitude)
        for s, q in zip(scale[-ndim:], lengths, strict=True)
    )


def _palette(meta: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the colours, (256, 3); values without one take that of undefined values."""
    colors = getattr(meta.get("colormap"), "color_dict", None)
    if colors is None and isinstance(meta.get("colormap"), Mapping):
        colors = meta["colormap"].get("color_dict")
    if not colors:  # a cyclic colour map: distinct greys
        return np.repeat((np.arange(256) * 97 % 256).astype(np.uint8)[:, None], 3, axis=1)
    out = np.empty((256, 3), np.uint8)
    out[:] = _rgb(colors.get(None))
    for value, color in colors.items():
        if value is not None and 0 <= value < 256:
            out[value] = _rgb(color)
    return out


def _rgb(color: Any) -> NDArray[np.uint8]:
    rgba = np.zeros(4) if color is None else np.asarray(color, float)
    rgb: NDArray[np.uint8] = np.round(rgba[:3] * (rgba[3] > 0) * 255).astype(np.uint8)
    return rgb


def _sidecar(path: str, labels: NDArray[Any], meta: Mapping[str, Any]) -> str:
    from spad.sidecar import sidecar

    known = dict((meta.get("metadata") or {}).get("spad") or {})
    spacing = _spacing_mm(meta, labels.ndim)
    classes = known.get("classes")
    if classes is None:
        features = meta.get("features")
        names: dict[int, str] = {}
        if features is not None and {"index", "name"} <= set(features):
            names = {
                int(i): str(n) for i, n in zip(features["index"], features["name"], strict=True)
            }
        palette = _palette(meta)
        classes = [
            {"value": v, "name": names.get(v, f"class {v}"), "color": palette[v % 256].tolist()}
            for v in sorted({*names, *np.unique(labels).tolist()})
        ]
    content = sidecar(
        labels=Path(path).name,
        image=known.get("image", _name(meta)),
        shape=labels.shape,
        spacing_mm=spacing,
        classes=classes,
        provenance=known.get("provenance", []),
    )
    beside = Path(path).with_suffix(".spad.json")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    beside.write_text(text + "\n", "utf-8")
    return str(beside)
