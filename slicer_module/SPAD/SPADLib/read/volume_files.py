"""Files that hold a volume or a segmentation, each read alone, as nodes of the scene."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer

from SPADLib.read.nifti_files import is_nifti, refuse_cut
from SPADLib.read.pictures import PICTURES, add_picture, label_map, picture, scaled

__all__ = ["IMAGES", "LABELS", "added", "load_segmentation", "load_volume", "name_values"]

METAIMAGES = (".mha", ".mhd")
NRRD = (".nrrd", ".nhdr")
SCANS = (".oct", ".img")  # those of spad.pictures: this is read before the engine is installed
IMAGES = (*NRRD, ".nii", ".nii.gz", *METAIMAGES, *SCANS, *PICTURES)
LABELS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".tiff", ".bmp")


def load_volume(path: Path, size: Any = None) -> Any:
    """Load one file, and no file beside it, as a volume into the scene.

    A picture of a case folder has the spacing that its ``cases.json`` tells.

    Parameters
    ----------
    path : Path
    size : spad.pictures.CubeSize, optional
        Of an ``.img`` that tells none.

    Raises
    ------
    ValueError, OSError
        It cannot be read.
    """
    if path.name.lower().endswith(PICTURES):
        from spad.cases import case_spacing
        from spad.measuring import Scale

        array = picture(path)
        kind = "vtkMRMLScalarVolumeNode" if array.ndim == 3 else "vtkMRMLVectorVolumeNode"
        node = add_picture(array, kind, path)
        known = case_spacing(path)
        return node if known is None else scaled(node, Scale.of(known))
    if path.name.lower().endswith(SCANS):
        from SPADLib.read.scans import load_scan

        return load_scan(path, size)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetSingleFile(True)  # else numbered pictures of a folder become one stack
    with _alone(path) as file:
        storage.SetFileName(str(file))
        for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"):
            node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
            if storage.ReadData(node) and node.GetImageData() is not None:
                node.CreateDefaultDisplayNodes()
                return node
            slicer.mrmlScene.RemoveNode(node)
    raise ValueError(f"“{path.name}” cannot be read as a volume: is it whole, and an image?")


def added(name: str) -> list[str]:
    """Load a file for Slicer's *Add Data*: its nodes' ids; none, and a message, where it fails."""
    try:
        return [load_volume(Path(name)).GetID()]
    except ImportError as error:
        slicer.util.errorDisplay(
            f"“{Path(name).name}” is read by SPAD's engine, which is not installed yet ({error}). "
            "Open the module SPAD, press Install, and try again."
        )
    except (ValueError, OSError) as error:
        slicer.util.errorDisplay(str(error))
    return []


def load_segmentation(path: Path, of: Any = None) -> Any:
    """Load a segmentation (``.seg.nrrd``) or a label map into the scene.

    Parameters
    ----------
    path : Path
    of : vtkMRMLVolumeNode, optional
        The image. A picture has no place of its own: it lies on the image's pixels, one by one.

    Raises
    ------
    ValueError, OSError
        It cannot be read, or a picture has another size than the image.
    """
    if path.name.lower().endswith(PICTURES):
        labels = label_map(path)
        node = add_picture(labels, "vtkMRMLLabelMapVolumeNode", path)
        if of is not None:
            _lay_on(node, labels.shape, of, path.name)
        return node
    kind, storage = "vtkMRMLLabelMapVolumeNode", slicer.vtkMRMLVolumeArchetypeStorageNode()
    if path.name.lower().endswith(".seg.nrrd"):
        kind, storage = "vtkMRMLSegmentationNode", slicer.vtkMRMLSegmentationStorageNode()
    else:
        storage.SetSingleFile(True)
    node = slicer.mrmlScene.AddNewNodeByClass(kind, path.name.split(".")[0])
    with _alone(path) as file:
        storage.SetFileName(str(file))
        read = storage.ReadData(node)
    if not read:
        slicer.mrmlScene.RemoveNode(node)
        raise ValueError(
            f"“{path.name}” cannot be read as a segmentation or label map: is it whole? Copy or "
            "export it again"
        )
    return node


def name_values(labels: Any, names: Mapping[int, str]) -> None:
    """Give a label map a colour table of its own, by whose names its structures are known."""
    table = labels.GetScene().AddNewNodeByClass("vtkMRMLColorTableNode", labels.GetName())
    table.SetTypeToUser()
    table.SetNumberOfColors(max(names) + 1)
    for value, name in names.items():
        table.SetColor(value, name, 1, 1, 1, 1)
    labels.CreateDefaultDisplayNodes()
    labels.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())


def _lay_on(node: Any, shape: tuple[int, ...], of: Any, name: str) -> None:
    from SPADLib.scene import put_where, shape_of

    if shape != shape_of(of):
        has, wanted = (" × ".join(map(str, n)) for n in (shape, shape_of(of)))
        raise ValueError(
            f"“{name}” has {has} pixels, and its image {wanted}: a picture tells no place, so "
            "give one of the same size, or a NIfTI or NRRD file"
        )
    put_where(node, of)


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """A file that is whole, where its reader takes no other: of a.nii.gz it prefers a.nii."""
    if path.name.lower().endswith(METAIMAGES):
        from spad.pictures import refuse_cut_metaimage

        refuse_cut_metaimage(path)
    if path.name.lower().endswith(NRRD):
        from spad.pictures import parsing, refuse_cut_nrrd

        with parsing(path):
            refuse_cut_nrrd(path)
    if not is_nifti(path):
        yield path
        return
    refuse_cut(path)
    with tempfile.TemporaryDirectory(prefix="spad-", ignore_cleanup_errors=True) as folder:
        packed = path.name.lower().endswith(".gz")
        if not packed or not path.with_suffix("").exists():
            yield path
            return
        yield Path(shutil.copy(path, folder))
