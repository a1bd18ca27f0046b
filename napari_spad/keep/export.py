"""Export of a label layer from the panel: the formats, and the files of one export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.layers import noted
from napari_spad.write import refuse_long_name
from spad.cases import file_stem

__all__ = ["FORMATS", "Format", "export", "file_name", "targets"]


@dataclass(frozen=True)
class Format:
    """A file format.

    Parameters
    ----------
    title : str
        In the drop-down list.
    suffix : str
    writer : str
        "module:function" of a writer.
    single : bool
        Holds one B-scan: of a stack each B-scan becomes a file.
    """

    title: str
    suffix: str
    writer: str
    single: bool = False


FORMATS = (
    Format("TIFF (ImageJ, Fiji)", ".tif", "napari_spad.write.image_files:write_tiff"),
    Format("PNG, indexed", ".png", "napari_spad.write.image_files:write_png", single=True),
    Format("3D Slicer (.seg.nrrd)", ".seg.nrrd", "napari_spad.write.volume_files:write_seg_nrrd"),
    Format("NIfTI (.nii.gz)", ".nii.gz", "napari_spad.write.volume_files:write_nifti"),
    Format("NRRD", ".nrrd", "napari_spad.write.volume_files:write_nrrd"),
)


def file_name(name: str, form: Format) -> str:
    """A file name for a layer."""
    return file_stem(name, "labels") + form.suffix


def targets(target: Path, form: Format, shape: tuple[int, ...]) -> dict[tuple[int, ...], Path]:
    """Return the label images of an export by the place of their B-scan; () where it is one file.

    Where a stack becomes several files, their numbers go before the extension.
    """
    lead = shape[:-2]
    if not form.single or all(n == 1 for n in lead):
        return {(): target}
    base = target.name[: -len(form.suffix)]
    return {
        place: target.with_name(f"{base}_{'_'.join(f'{i + 1:03d}' for i in place)}{form.suffix}")
        for place in np.ndindex(*lead)
    }


def export(target: Path, form: Format, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a label layer.

    Parameters
    ----------
    target : Path
    form : Format
    data : array
    meta : mapping
        The layer's settings, as napari gives them to a writer.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    OSError, ValueError, ImportError
        In words.
    """
    module, function = form.writer.split(":")
    write = getattr(import_module(module), function)
    target.parent.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    files = targets(target, form, data.shape)
    for path in files.values():
        refuse_long_name(str(path))
    for place, path in files.items():
        written += write(
            str(path), data[place], _of_bscan(meta, place, data.shape) if place else meta
        )
    return written


def _of_bscan(
    meta: Mapping[str, Any], place: tuple[int, ...], shape: tuple[int, ...]
) -> dict[str, Any]:
    """The settings of one B-scan of labels: its own provenance, and what was painted on it."""
    metadata = dict(meta.get("metadata") or {})
    if "spad" in metadata:
        known = noted(metadata)
        known["provenance"] = [
            run for run in known.get("provenance", ()) if tuple(run["bscan"]) == place
        ]
        if (by_hand := known.pop("by_hand", None)) is not None and by_hand.shape == shape:
            known["by_hand"] = by_hand[place]  # else others put other data into the layer
        if known.get("bscan_sizes"):
            known["bscan_sizes"] = [known["bscan_sizes"][place[-1]]]
        metadata["spad"] = known
    return {**meta, "metadata": metadata}
