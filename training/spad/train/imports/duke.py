"""Duke's set of macular oedema (Chiu et al., Biomedical Optics Express 6:1172, 2015), MATLAB files.

As distributed: ``2015_BOE_Chiu/Subject_01.mat`` to ``Subject_10.mat``, each with ``images``
(H, W, Z), and of two readers ``manualFluid1|2`` (H, W, Z; a number for each pool of fluid) and
``manualLayers1|2`` (8, W, Z; the row of each border, counted from 1). What a reader did not outline
is NaN: most B-scans, and the outer columns of the others.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.cases import CaseError, NewCase, file_error
from spad.checkpoint import IGNORE
from spad.train.imports.patient_splits import SHARES, draw, natural
from spad.train.imports.report import Report, listed
from spad.train.imports.transfer import Progress, check_folders, transfer

__all__ = ["FLUID", "LAYERS", "import_duke", "layer_map"]

LAYERS = {
    **dict(enumerate(["background", "NFL", "GCL-IPL", "INL", "OPL", "ONL-ISM", "IS/OS", "OS-RPE"])),
    8: "fluid",
}
"""Layer k lies between the borders k and k + 1; fluid is painted over them."""
FLUID = {0: "background", 1: "fluid"}
_BORDERS = 8
Subject = Mapping[str, NDArray[Any]]


def layer_map(borders: NDArray[np.float64], height: int) -> NDArray[np.uint8]:
    """Fill the layers between borders.

    Parameters
    ----------
    borders : ndarray of float64, shape (8, W)
        The row of each border, from 1 on; NaN where it was not outlined. A gap between two
        outlined columns is filled with a straight line.
    height : int
        Rows of the image.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        1..7 the layers, 0 above and below; 255 = ignore in columns that lack a border.
    """
    columns = np.arange(borders.shape[1])
    rows = np.full(borders.shape, np.nan)
    for row, border in zip(rows, borders, strict=True):
        if (there := np.isfinite(border)).any():
            row[:] = np.interp(columns, columns[there], border[there] - 1, np.nan, np.nan)
    outlined = np.isfinite(rows).all(axis=0)
    # Borders may touch or, by a reader's slip, cross: a lower one is never above a higher one.
    starts = np.maximum.accumulate(np.rint(np.where(outlined, rows, 0)), axis=0).astype(int)
    passed = (np.arange(height)[:, None, None] >= starts).sum(axis=1)  # (H, W): borders above
    labels: NDArray[np.uint8] = (passed % _BORDERS).astype(np.uint8)
    labels[:, ~outlined] = IGNORE
    return labels


def _subject(path: Path, reader: int) -> Subject:
    """Read a subject's arrays: ``images``, ``fluid``, ``layers``, as they lie in the file."""
    from scipy.io import loadmat  # SciPy is slow to load

    wanted = {
        "images": "images",
        "fluid": f"manualFluid{reader}",
        "layers": f"manualLayers{reader}",
    }
    try:
        found = loadmat(path, variable_names=[*wanted.values()])
    except NotImplementedError:
        raise ValueError(
            f"{path}: is a MATLAB 7.3 file; Duke's are of version 5, so save it again with "
            "save(..., '-v7')"
        ) from None
    except Exception as error:  # SciPy raises what the damaged bytes lead it to
        raise ValueError(f"{path}: is no MATLAB file that can be read: {error}") from None
    if missing := [name for name in wanted.values() if name not in found]:
        raise ValueError(
            f"{path}: has no {', '.join(missing)}; the files of 2015_BOE_Chiu have, those of other "
            "sets of Duke do not"
        )
    arrays = {ours: found[name] for ours, name in wanted.items()}
    shape = arrays["images"].shape
    fits = arrays["fluid"].shape == shape and arrays["layers"].shape == (_BORDERS, *shape[1:])
    if len(shape) != 3 or not fits:
        told = ", ".join(f"{wanted[ours]} {array.shape}" for ours, array in arrays.items())
        raise ValueError(
            f"{path}: the shapes {told} do not belong together; images and fluid are "
            "(rows, columns, B-scans), layers (8, columns, B-scans)"
        )
    return arrays


def save_outlined(path: str, reader: str, out: str) -> None:
    """Write the B-scans that a reader has outlined: `_outlined` in a process of its own."""
    try:
        subject = _subject(Path(path), int(reader))
        layers, fluid = (np.isfinite(subject[n]).any(axis=(0, 1)) for n in ("layers", "fluid"))
        z = np.flatnonzero(layers & fluid)
        images = subject["images"][..., z]
        if images.size and (top := images.max()) <= 1:
            raise ValueError(
                f"{path}: its images go up to {top:g}, and Duke's to 255; save them as uint8"
            )
        if images.dtype != np.uint8:
            images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
        borders = subject["layers"][..., z].astype(np.float64)
    except (ValueError, TypeError, OSError) as error:  # cells or texts in place of numbers
        text = str(error)
        sys.exit(text if path in text else f"{path}: holds no numbers ({text}); copy it again")
    pools = subject["fluid"][..., z]
    fluid = np.where(np.isnan(pools), IGNORE, pools > 0).astype(np.uint8)
    np.savez(out, z=z, images=images, fluid=fluid, layers=borders)


def _outlined(path: Path, reader: int) -> Subject:
    """What a reader has outlined: ``z``, and of these B-scans ``images``, ``fluid``, ``layers``.

    ``fluid`` is uint8: 0, 1, and 255 where the reader did not look.

    Read in a process of its own, since SciPy's reader crashes on some damaged files.
    """
    code = f"import sys; from {__name__} import save_outlined; save_outlined(*sys.argv[1:])"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "subject.npz"
        done = subprocess.run(  # noqa: S603 - this Python, and paths as they are
            [sys.executable, "-c", code, str(path), str(reader), str(out)],
            capture_output=True,
            check=False,
        )
        if done.returncode == 1 and (said := done.stderr.decode(errors="replace").strip()):
            raise ValueError(said.splitlines()[-1])
        if done.returncode:
            raise ValueError(
                f"{path}: is damaged, and its reader crashed ({done.returncode}); copy it again"
            )
        with np.load(out) as found:
            return {name: found[name] for name in found.files}


def import_duke(
    src: Path, dst: Path, *, structures: str, reader: int, seed: int, progress: Progress
) -> Report:
    """Turn Duke's set of macular oedema into a case folder.

    Parameters
    ----------
    src : Path
        Holds ``Subject_NN.mat``, at any depth.
    dst : Path
        Absent or empty.
    structures : {"fluid", "layers"}
        Fluid alone, or the seven layers with the fluid over them.
    reader : {1, 2}
        Whose outlines.
    seed : int
        Of the split 80/20 of the patients.
    progress : callable

    Returns
    -------
    Report

    Raises
    ------
    CaseError
        All faults, before anything is written.
    """
    check_folders(src, [src], dst)
    paths = sorted(src.rglob("Subject_*.mat"), key=lambda path: natural(path.name))
    if not paths:
        raise CaseError([f"{src}: holds no Subject_NN.mat; name the folder 2015_BOE_Chiu"])
    patients = {path: path.stem for path in paths}
    if len(set(patients.values())) < len(paths):
        raise CaseError([f"{src}: two files have one name: {listed(p.name for p in paths)}"])
    names = FLUID if structures == "fluid" else LAYERS
    report = Report(names, [*SHARES])
    entries, problems = [], []
    subjects: dict[Path, Subject] = {}
    for path in paths:
        try:
            found = subjects[path] = _outlined(path, reader)
        except (ValueError, OSError) as error:
            problems.append(file_error(error))
            continue
        entries += [(path, n) for n in range(len(found["z"]))]
        if not len(found["z"]):
            report.warnings.append(f"{path.name}: reader {reader} has outlined no B-scan")
    if not problems and not entries:
        problems.append(f"{src}: reader {reader} has outlined no B-scan; take the other reader")
    if problems:
        raise CaseError(problems)
    splits = draw(patients.values(), SHARES, seed)
    report.said += [
        f"reader {reader}: {structures}; B-scans that this reader did not outline are left out",
        f"random split of the patients, 80 to 20 %, seed {seed}",
        "no spacing is in the files; Chiu et al. give 3.87 um a row, 11.1 to 11.6 um a column",
    ]

    def read(entry: tuple[Path, int], first: bool) -> NewCase:
        path, n = entry
        subject = subjects[path]
        image, fluid = (np.ascontiguousarray(subject[k][..., n]) for k in ("images", "fluid"))
        if structures == "fluid":
            labels = fluid
        else:
            labels = layer_map(subject["layers"][..., n], image.shape[0])
            labels[(fluid == 1) & (labels != IGNORE)] = 8
            labels[fluid == IGNORE] = IGNORE
        patient = patients[path]
        return NewCase(
            f"{patient}_{subject['z'][n] + 1:02}",
            image,
            labels,
            split=splits[patient],
            patient=patient,
        )

    transfer(dst, entries, read, names, report, progress)
    return report
