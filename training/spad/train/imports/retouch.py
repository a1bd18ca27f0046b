"""RETOUCH (Bogunović et al., IEEE Transactions on Medical Imaging 38:1858, 2019): three fluids.

As distributed: ``RETOUCH-TrainingSet-<device>/TRAIN001/oct.mhd`` (and ``oct.raw``) with
``reference.mhd`` beside it: 1 IRF, 2 SRF, 3 PED. The volumes of the test sets have no reference.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import CaseError, NewCase, file_error
from spad.pictures import refuse_cut_metaimage
from spad.train.imports.patient_splits import SHARES, draw, natural
from spad.train.imports.report import Report, listed
from spad.train.imports.transfer import Progress, check_folders, transfer

__all__ = ["DEVICES", "NAMES", "import_retouch"]

NAMES = MappingProxyType({0: "background", 1: "IRF", 2: "SRF", 3: "PED"})
DEVICES = ("Cirrus", "Spectralis", "Topcon")


@lru_cache(maxsize=1)  # the B-scans of a volume come one after the other
def _volume(folder: Path) -> tuple[NDArray[Any], NDArray[Any], tuple[float, float]]:
    """Read image and label map (Z, H, W), and the spacing of row and column in mm."""
    try:
        import SimpleITK
    except ImportError:
        raise ImportError(
            "volumes of RETOUCH are MetaImage files, which SimpleITK reads: "
            'pip install "napari-spad[retouch]"'
        ) from None
    arrays = []
    for path in (folder / "oct.mhd", folder / "reference.mhd"):
        if path.is_file():  # else SimpleITK says so
            refuse_cut_metaimage(path)
        try:
            image: Any = SimpleITK.ReadImage(str(path))
        except RuntimeError as error:  # of a missing oct.raw, too
            said = str(error).strip().splitlines()[-1]
            raise ValueError(f"{path}: cannot be read, nor its .raw: {said}") from None
        arrays.append(SimpleITK.GetArrayFromImage(image))
        if len(arrays) == 1:
            spacing = image.GetSpacing()
    scan, labels = arrays
    if scan.ndim != 3 or scan.shape != labels.shape:
        raise ValueError(
            f"{folder}: oct.mhd is {scan.shape} and reference.mhd {labels.shape}; both are "
            "(B-scans, rows, columns) and alike"
        )
    return scan, labels, (spacing[1], spacing[0])


def _bscan(scan: NDArray[Any]) -> NDArray[Any]:
    """Bring a B-scan to what a case folder takes, without a change of its values."""
    if scan.dtype in (np.uint8, np.uint16):
        return scan
    if scan.min() < 0 or scan.max() > 65535 or (scan != np.rint(scan)).any():
        raise ValueError(
            f"values {scan.min()} to {scan.max()} of {scan.dtype}; RETOUCH has whole numbers in "
            "0..65535"
        )
    return scan.astype(np.uint16)


def import_retouch(src: Path, dst: Path, *, seed: int, progress: Progress) -> Report:
    """Turn RETOUCH's training volumes into a case folder, every B-scan a case.

    Parameters
    ----------
    src : Path
        Holds the volumes' folders, at any depth.
    dst : Path
        Absent or empty.
    seed : int
        Of the split 80/20 of the volumes, drawn within each device.
    progress : callable

    Returns
    -------
    Report

    Raises
    ------
    CaseError
        All faults, before anything is written.
    ImportError
        SimpleITK is missing.
    """
    check_folders(src, [src], dst)
    folders = sorted(
        (path.parent for path in src.rglob("reference.mhd")), key=lambda f: natural(f.as_posix())
    )
    if not folders:
        raise CaseError(
            [f"{src}: holds no reference.mhd; name the folder with RETOUCH-TrainingSet-..."]
        )
    report = Report(NAMES, [*SHARES])
    patients = {folder: _patient(folder, src) for folder in folders}
    entries, problems = [], []
    for folder in folders:
        same = [other for other in folders if patients[other] == patients[folder]]
        if same[0] != folder:
            problems.append(f"{folder}: is a second {patients[folder]}, as {same[0]}; remove one")
        try:
            scan, _, _ = _volume(folder)
        except (ValueError, OSError) as error:
            problems.append(file_error(error))
        else:
            entries += [(folder, z) for z in range(len(scan))]
    if problems:
        raise CaseError(problems)
    splits: dict[str, str] = {}
    for device in sorted({name.partition("_")[0] for name in patients.values()}):
        of_device = [name for name in patients.values() if name.partition("_")[0] == device]
        splits |= draw(of_device, SHARES, seed)
        report.said.append(f"{device}: {len(of_device)} volumes, such as {listed(of_device, 1)}")
    report.said.append(f"random split of each device's volumes, 80 to 20 %, seed {seed}")

    def read(entry: tuple[Path, int], first: bool) -> NewCase:
        folder, z = entry
        scan, labels, spacing = _volume(folder)
        if labels[z].max() > 3 or labels[z].min() < 0:
            raise ValueError(
                f"{folder / 'reference.mhd'}: has values outside 0..3 in B-scan {z + 1}"
            )
        patient = patients[folder]
        try:
            image = _bscan(scan[z])
        except ValueError as error:
            raise ValueError(f"{folder / 'oct.mhd'}, B-scan {z + 1}: {error}") from None
        return NewCase(
            f"{patient}_{z + 1:03}",
            image,
            labels[z].astype(np.uint8),
            split=splits[patient],
            patient=patient,
            spacing_mm=spacing,
        )

    transfer(dst, entries, read, NAMES, report, progress)
    return report


def _patient(folder: Path, src: Path) -> str:
    """Name a volume after its device and its folder: ``Cirrus_TRAIN001``."""
    place = folder.resolve().as_posix().lower()
    above = src.resolve().parent.as_posix().lower()
    device = next((d for d in DEVICES if d.lower() in place.removeprefix(above)), "unknown")
    return f"{device}_{folder.name}"
