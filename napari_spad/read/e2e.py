"""Heidelberg's ``.e2e``, by eyepy."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.read.opened_layers import LayerData, image_layer, missing, reference_layer
from napari_spad.read.pseudonym import pseudonym

__all__ = ["read_e2e"]


def read_e2e(path: str | Path) -> list[LayerData]:
    """Layers of an ``.e2e`` file: each volume in it, and the bands between the vendor's lines.

    Raises
    ------
    ImportError
        eyepy is missing.
    ValueError, OSError
        Damaged, or nothing in it that can be shown.
    """
    path = Path(path)
    path.stat()  # a missing file is said in the system's words
    try:
        from eyepy.io import HeE2eReader
    except ImportError as error:
        raise missing("eyepy", path, error) from None
    # eyepy logs what it reads, names of patients among it.
    log = logging.getLogger("eyepy")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with HeE2eReader(path) as reader:
                series, volumes = len(reader.series), reader.volumes
                layers = [layer for v in volumes for layer in volume_layers(v)]
    except Exception as error:  # a parser of bytes raises anything on a damaged file
        kind = type(error).__name__  # its text may hold what the file says of the patient
        raise ValueError(
            f"{path.name} cannot be read by eyepy ({kind}): it is damaged, cut short, or of a kind "
            "that eyepy does not know; export the volume from HEYEX as .vol or XML"
        ) from None
    finally:
        log.disabled = before
    if not series:
        raise ValueError(
            f"{path.name} holds no series at all: it is damaged, cut short or no .e2e file; export "
            "it from HEYEX again"
        )
    if not layers:
        raise ValueError(
            f"{path.name} holds {series} series, none of which eyepy can show as a volume (it "
            "refuses circular and radial scans); export them from HEYEX as .vol or XML, which are "
            "read here whatever the scan pattern"
        )
    if series > len(volumes):
        layers[0][1]["metadata"]["notes"] = [
            f"{series - len(volumes)} of its {series} series are no volumes (circular or radial "
            "scans, fundus images) and left out; .vol and XML exports of them can be opened"
        ]
    return layers


def volume_layers(volume: Any) -> list[LayerData]:
    """Layers of an ``eyepy.EyeVolume``."""
    meta = volume.meta
    pixels = np.asarray(volume.data)
    in_mm = meta.get("scale_unit") == "mm"
    scales = (meta.get(f"scale_{axis}") if in_mm else None for axis in "zyx")
    spacing = tuple(None if s is None else float(s) for s in scales)
    eye = str(meta.get("laterality") or "")
    eye = {"R": "OD", "L": "OS"}.get(eye, eye)
    who = meta.get("patient") or {}
    told = [str(who.get(key) or "") for key in ("patient_id", "pid", "lastname", "surname")]
    lines = {
        str(name)[:12]: np.asarray(layer.data, np.float32) for name, layer in volume.layers.items()
    }
    name = f"OCT {eye}" if eye in ("OD", "OS") else "OCT"
    return [
        image_layer(pixels, name, spacing, patient=pseudonym(*told)),
        *reference_layer(lines, pixels.shape, spacing),
    ]
