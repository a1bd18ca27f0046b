"""One image file segmented and written: by `spad segment`, and by each worker of a cohort."""

from __future__ import annotations

import errno
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spad.cases import (
    case_spacing,
    file_error,
    json_bytes,
    read_json,
    replaced_together,
    sidecar,
)
from spad.checkpoint import LabelClass
from spad.cohort.outcome import Outcome, key_of, our_version
from spad.inference import AnySegmenter, ServerError, is_out_of_memory
from spad.measuring import Scale
from spad.pictures import SCANS, CubeSize, image_files, read_scan

__all__ = [
    "Result",
    "SegmentJob",
    "opened",
    "ready_to_segment",
    "segment_file",
    "targets",
    "write_result",
]


class Result(Protocol):
    """What is used of a `spad.Segmentation`."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def uncertainty(self) -> NDArray[np.float16]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[LabelClass, ...]: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """What a worker needs besides the file; small, for it travels with each.

    Parameters
    ----------
    model : str
        Path of the checkpoint, the same for all workers.
    sha256 : str
        That it must have there.
    out : str
        Folder of the results, the same for all workers.
    options : mapping
        Of :meth:`spad.Segmenter.segment`: samples, steps, seed.
    device : str
    uncertainty, overwrite : bool
    cube : CubeSize, optional
        Of ``.img`` files.
    version : str
        Of the SPAD that hands out.
    """

    model: str
    sha256: str
    out: str
    options: Mapping[str, Any]
    device: str = "auto"
    uncertainty: bool = False
    overwrite: bool = False
    cube: CubeSize | None = None
    version: str = our_version()

    def key(self, path: Path) -> str:
        """SHA-256 of the input, the model and the settings: results with the same are the same."""
        return key_of(
            [path],
            {
                "model": self.sha256, "spad": self.version, "uncertainty": self.uncertainty,
                **self.options, **({"cube": str(self.cube)} if self.cube else {}),
            },
        )  # fmt: skip


def targets(path: Path, out: Path) -> list[Path]:
    """Every file that may be written for an input: its dimensions are not known yet."""
    ends = (".png", ".tif", ".spad.json", ".uncertainty.tif")
    return [out / (path.stem + end) for end in ends]


def ready_to_segment(job: SegmentJob) -> str:
    """Open the model on a worker, before the first file; what stands against that, or nothing."""
    try:
        if job.version != (ours := our_version()):
            return f"it has SPAD {ours}, not {job.version}; install the same"
        if not Path(job.out).is_dir():
            return f"it does not see {job.out}; choose a folder that all workers share"
        _opened(job)
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        return file_error(error)
    return ""


def segment_file(job: SegmentJob, name: str) -> Outcome:
    """Segment a file and write its result, on a worker; the model stays open for the next one.

    Never raises for what a file, a disk or a device can cause: that is told in the outcome.
    """
    began = time.monotonic()
    path, out = Path(name), Path(job.out)
    try:
        if job.version != (ours := our_version()):
            raise ValueError(f"the worker has SPAD {ours}, not {job.version}; install the same")
        image_files.refuse_missing(path)
        key = job.key(path)
        there = [file for file in targets(path, out) if file.exists()]
        if _is_done(path, out, key):
            return Outcome("skipped", "", time.monotonic() - began, key)
        if there and not job.overwrite:
            raise ValueError(
                f"{there[0].name} exists and is of another input, model or setting; choose another "
                "output folder, or --overwrite"
            )
        with _lock:  # a worker may have several threads, a model is for one at a time
            pixels, scale = opened(path, job.cube)
            result = _opened(job).segment(pixels, **job.options)
        target = write_result(result, path, out, job.uncertainty, key, scale)
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        text = file_error(error)
        own = is_out_of_memory(error) or isinstance(error, ServerError)
        if isinstance(error, RuntimeError) and not own:
            text = f"the model failed: {text.splitlines()[0]}"
        return Outcome("failed", text, time.monotonic() - began)
    said = " ".join(result.provenance["said"])
    return Outcome("done", str(target), time.monotonic() - began, key, said=said)


class BScans:
    """A stack for `spad.Segmenter.segment` to read B-scan by B-scan, as the hosts' stacks are.

    So one that has NaN or infinite pixels is left empty and told, and costs no other.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self._pixels = pixels

    def __getitem__(self, z: int) -> NDArray[Any]:
        return np.asarray(self._pixels[z])


def opened(path: Path, cube: CubeSize | None) -> tuple[Any, Scale]:
    """Pixels of an image or a scan, (H, W) or (Z, H, W), and its scale, as far as it is told.

    Of a stack of which some B-scans have NaN or infinite pixels, `BScans`. What should be known of
    how a scan was read is warned of.

    Raises
    ------
    ValueError, OSError, ImportError
        As `spad.pictures.read_scan` and `image_files.read_file`.
    """
    suffix, known = path.suffix.lower(), (*image_files.SUFFIXES, *SCANS)
    if suffix not in known:
        raise ValueError(
            f"{path}: is none of {', '.join(known)}; convert it to PNG or TIFF, or segment it in "
            "napari, which opens more (NIfTI, .vol, .e2e, .fda, DICOM)"
        )
    if suffix not in SCANS:
        pixels = image_files.read_file(path, gaps=True)
        whole = pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all())
        return pixels if whole else BScans(pixels), Scale.of(case_spacing(path) or ())
    scan = read_scan(path, cube)
    for note in scan.notes:
        warnings.warn(f"{path.name}: {note}", stacklevel=2)
    return scan.pixels[0] if len(scan.pixels) == 1 else scan.pixels, scan.scale


def write_result(
    result: Result,
    path: Path,
    out: Path,
    uncertainty: bool,
    key: str = "",
    scale: Scale | None = None,
) -> Path:
    """Write one result, whole or not at all; the sidecar comes last and tells that it is complete.

    Parameters
    ----------
    result : Result
    path : Path
        Of the image.
    out : Path
        Folder.
    uncertainty : bool
    key : str
        Kept in the sidecar; by it a later run knows that there is nothing to do.
    scale : Scale, optional
        Of the image, for whoever measures the result.

    Returns
    -------
    Path
        Of the label image.

    Raises
    ------
    OSError
        It cannot be written; where the disk is full, with the folder and what to do.
    """
    if result.labels.ndim == 2:
        target = out / f"{path.stem}.png"
        palette = [level for one in result.classes for level in one.color]
        data = image_files.png_bytes(result.labels, palette)
    else:
        target = out / f"{path.stem}.tif"
        data = image_files.tiff_bytes(result.labels)
    content = sidecar(
        labels=target.name,
        image=path.name,
        shape=result.labels.shape,
        spacing_mm=None,
        classes=result.classes,
        provenance={**result.provenance, **({"key": key} if key else {})},
        facts={"scale": scale.as_json()} if scale is not None and scale != Scale() else None,
    )
    files = {target: data}
    if uncertainty:
        levels = image_files.tiff_bytes(np.asarray(result.uncertainty, np.float32))
        files[out / f"{path.stem}.uncertainty.tif"] = levels
    files[out / f"{path.stem}.spad.json"] = json_bytes(content)
    try:
        with replaced_together(*files) as besides:
            for beside, written in zip(besides, files.values(), strict=True):
                beside.write_bytes(written)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        words = "free some space there, or name another folder, and run again: what is done stays"
        raise OSError(error.errno, f"{error.strerror}; {words}", str(out)) from error
    return target


def _is_done(path: Path, out: Path, key: str) -> bool:
    """Whether a complete result of this key lies there, however it was corrected since."""
    beside = out / f"{path.stem}.spad.json"
    if not beside.is_file():
        return False
    try:
        told = read_json(beside)
        labels = out / Path(told["labels"]).name
        return told["provenance"]["key"] == key and labels.is_file()
    except (ValueError, TypeError, KeyError):
        return False


_lock = threading.Lock()
_warm: dict[tuple[str, str, str], AnySegmenter] = {}


def _opened(job: SegmentJob) -> AnySegmenter:
    """The model, opened once in this process."""
    which = (job.model, job.sha256, job.device)
    if (found := _warm.get(which)) is not None:
        return found
    import spad

    segmenter = spad.load(job.model, device=job.device)
    if segmenter.sha256 != job.sha256:
        raise ValueError(
            f"the worker's {job.model} has SHA-256 {segmenter.sha256[:12]}, not {job.sha256[:12]}; "
            "put the model where all workers find the same file"
        )
    _warm.clear()
    _warm[which] = segmenter
    return segmenter
