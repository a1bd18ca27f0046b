"""DICOM by pydicom: ophthalmic tomography (OPT, multi-frame) and radiographs (CR, DX).

The pixels are the stored ones after the modality's rescaling; the file's window only sets how they
are shown. MONOCHROME1, which stores dark as high, is shown as a viewer of radiographs shows it, and
the layer says so (metadata ``inverted``), so that the model gets the negative of the stored values.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.read.opened_layers import LayerData, image_layer, missing, pseudonym
from spad.cases import foreign
from spad.measuring import Length, Scale
from spad.pictures import Refused, day, refuse_bomb, refuse_large
from spad.quiet import unwarned

__all__ = ["read_dicom"]

_RADIOGRAPHS = ("CR", "DX", "RG")
_EYES = {"R": "OD", "L": "OS", "OD": "OD", "OS": "OS"}


def read_dicom(path: str | Path) -> list[LayerData]:
    """Layer of a DICOM file.

    Raises
    ------
    ImportError
        pydicom is missing.
    ValueError, OSError
        No DICOM file, a damaged one, or one without pixels or with a compression that this Python
        cannot undo.
    """
    path = Path(path)
    path.stat()  # a missing file is said in the system's words
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError as error:
        raise missing("pydicom", path, error) from None
    with unwarned:  # warnings quote what the header says
        try:
            data = pydicom.dcmread(path)
        except InvalidDicomError:
            raise ValueError(
                f"{path.name} is no DICOM file (it lacks the mark DICM); if it is an image of "
                "another kind, give it that kind's suffix"
            ) from None
        except Exception as error:
            raise _damaged(path, error) from None
        if not any(k in data for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            raise ValueError(
                f"{path.name} holds no pixels (a report, a directory or a presentation state); "
                "choose a file with images"
            )
        try:
            _refuse_large(path, data)
            with foreign():  # a decoder in Rust may panic
                pixels, rgb = _pixels(path, data)
            return [_layer(data, pixels, rgb)]
        except Refused as error:
            raise ValueError(f"{path.name} {error}") from None
        except Exception as error:  # values that do not fit their tags, of any kind
            raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    # Not its text, which may quote the header.
    return ValueError(
        f"{path.name} is damaged or cut short ({type(error).__name__}); copy or export it again"
    )


def _refuse_large(path: Path, data: Any) -> None:
    rows, columns = int(data.Rows), int(data.Columns)
    refuse_large(rows, columns)
    values = max(1, int(_one(data, "NumberOfFrames", 1))) * rows * columns
    bits = 8 if "PixelData" in data else 64
    bits = max(bits, int(data.get("BitsAllocated", 0) or 0))
    refuse_bomb(values * int(_one(data, "SamplesPerPixel", 1)) * bits // 8, path.stat().st_size)


def _one(data: Any, tag: str, default: float) -> float:
    """A tag's number; the default where it is missing or empty. `Refused` where it is none."""
    value = data.get(tag)
    if value is None or str(value).strip() in ("", "[]"):
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"has a {tag} that is not one number; mend it in a DICOM editor")
    return number


def _lengths(value: Any, count: int) -> list[float]:
    """The lengths of a tag that should hold so many; none where it holds other than that."""
    try:
        found = [float(v) for v in (value if count > 1 else [value])]
    except (TypeError, ValueError):
        return []
    return found if len(found) == count else []


def _pixels(path: Path, data: Any) -> tuple[NDArray[Any], bool]:
    """Stored pixels (H, W) or (Z, H, W), with a trailing axis of 3 where in colour."""
    from pydicom.pixels import apply_color_lut, pixel_array

    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    try:
        pixels = pixel_array(data, correct_unused_bits=False)  # see `_stored_bits`
    except Exception:
        if syntax is None or not syntax.is_compressed:
            raise
        from pydicom.pixels import get_decoder

        try:
            able = get_decoder(syntax).is_available
        except NotImplementedError:
            able = False
        if able:
            raise
        raise Refused(
            f"is compressed as {syntax.name}, which pydicom cannot undo alone. Install "
            f"what can and open the file again:  {sys.executable} -m pip install pylibjpeg "
            "pylibjpeg-libjpeg pylibjpeg-openjpeg"
        ) from None
    if str(data.get("PhotometricInterpretation", "")).startswith("PALETTE"):
        pixels = apply_color_lut(_stored_bits(data, pixels), data)
        if pixels.dtype == np.uint16:  # some hold levels of 8 bits
            pixels = (pixels >> 8 if pixels.max() > 255 else pixels).astype(np.uint8)
        return pixels[..., :3], True
    if int(_one(data, "SamplesPerPixel", 1)) == 3:
        return pixels, True
    return _rescaled(data, _stored_bits(data, pixels)), False


def _stored_bits(data: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Take away what the bits beyond BitsStored hold: overlays, in old files."""
    if pixels.dtype.kind not in "iu":
        return pixels
    bits = 8 * pixels.dtype.itemsize
    stored = int(_one(data, "BitsStored", bits))
    if not 0 < stored < bits:
        return pixels
    above = bits - 1 - int(_one(data, "HighBit", stored - 1))  # old files begin at the top
    if not 0 <= above <= bits - stored:
        above = bits - stored
    return np.asarray((pixels << above) >> (bits - stored))  # keeps the sign


def _rescaled(data: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Rescale to the modality's, and fill what the file calls padding with the darkest value."""
    outside, values = _padding(data, pixels), _by_modality(data, pixels)
    if outside.any() and not outside.all():
        inside = values[~outside]  # as rescaled, which may exchange dark and bright
        values = values.copy()
        values[outside] = inside.max() if _inverted(data) else inside.min()
    return values


def _by_modality(data: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    if "ModalityLUTSequence" in data:
        from pydicom.pixels import apply_modality_lut

        return np.asarray(apply_modality_lut(pixels, data))
    slope, intercept = _one(data, "RescaleSlope", 1), _one(data, "RescaleIntercept", 0)
    if (slope or 1, intercept) == (1, 0):
        return pixels
    slope = slope or 1
    small = pixels.dtype.itemsize <= 2 and abs(slope) < 1e30
    small &= abs(intercept) < 2**20 * abs(slope)
    kind = np.float32 if small else np.float64  # holds every value
    return (pixels * kind(slope) + kind(intercept)).astype(kind)


def _padding(data: Any, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the file says that there are no values; each kind of pixels has tags of its own."""
    kind = next((k for k in ("DoubleFloatPixel", "FloatPixel") if f"{k}Data" in data), "Pixel")
    told = data.get(f"{kind}PaddingValue")
    if isinstance(told, float) and not math.isfinite(told):
        return np.asarray(~np.isfinite(pixels))
    padding = _one(data, f"{kind}PaddingValue", math.nan)
    low, high = sorted((padding, _one(data, f"{kind}PaddingRangeLimit", padding)))
    return np.asarray((pixels >= low) & (pixels <= high))  # none of them where it is not told


def _inverted(data: Any) -> bool:
    return str(data.get("PhotometricInterpretation", "")) == "MONOCHROME1"


def _layer(data: Any, pixels: NDArray[Any], rgb: bool) -> LayerData:
    notes: list[str] = []
    settings: dict[str, Any] = {"rgb": True} if rgb else {}
    metadata: dict[str, Any] = {}
    if _inverted(data) and not rgb:
        settings["colormap"] = "gray_r"
        metadata["inverted"] = True
        notes.append("stored as a negative (MONOCHROME1): shown and segmented the right way round")
    if not rgb and (window := _window(data)) is not None:
        settings["contrast_limits"] = window
    if str(data.get("BurnedInAnnotation", "")).strip() == "YES":
        notes.append(
            "the file says that text is burnt into its pixels: it may name the patient, so look "
            "before you export or share"
        )
    modality = str(data.get("Modality", "")).strip()
    planes = pixels.shape[:-1] if rgb else pixels.shape
    plane = Scale.of(_in_plane(data, modality, notes))
    between = _between(data, planes[0], notes) if len(planes) == 3 else Length()
    who = [str(data.get(tag, "") or "") for tag in ("PatientID", "PatientName")]
    eye = _eye(data)
    return image_layer(
        pixels, _name(data, modality, eye), Scale(between, plane.row, plane.column), eye=eye,
        date=_date(data), patient=pseudonym(*who), notes=notes, settings=settings,
        metadata=metadata,
    )  # fmt: skip


def _name(data: Any, modality: str, eye: str) -> str:
    """Name a layer by the kind of image and the eye, nothing else."""
    if modality in _RADIOGRAPHS:
        part = str(data.get("BodyPartExamined", "")).strip().upper()
        return "chest X-ray" if part in ("CHEST", "THORAX", "") else "X-ray"
    if modality not in ("OPT", "OCT"):
        return "DICOM image"
    return f"OCT {eye}".strip()


def _eye(data: Any) -> str:
    sides = [data.get(tag) for tag in ("ImageLaterality", "Laterality")]
    sides += [_first(group, "FrameAnatomySequence", "FrameLaterality") for group in _groups(data)]
    return next((_EYES[s] for s in map(str, sides) if s in _EYES), "")


def _date(data: Any) -> str:
    """Day of the acquisition: "2026-01-31"."""
    told = (str(data.get(tag) or "") for tag in ("AcquisitionDateTime", "ContentDate", "StudyDate"))
    return next((found for t in told if (found := day(t[:4], t[4:6], t[6:8]))), "")


def _groups(data: Any) -> list[Any]:
    """Functional groups: those of all frames, and those of the first."""
    tags = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    return [data[tag][0] for tag in tags if tag in data and len(data[tag].value)]


def _first(group: Any, sequence: str, tag: str) -> Any:
    items = group.get(sequence)
    return items[0].get(tag) if items else None


def _in_plane(data: Any, modality: str, notes: list[str]) -> tuple[float | None, float | None]:
    """Distance of rows and of columns in mm."""
    found = [data.get("PixelSpacing")]
    found += [_first(g, "PixelMeasuresSequence", "PixelSpacing") for g in _groups(data)]
    given = next((pair for f in found if (pair := _lengths(f, 2))), None)
    if given is None and modality in _RADIOGRAPHS:
        given = _lengths(data.get("ImagerPixelSpacing"), 2)
        if given:
            notes.append(
                "its spacing is that at the detector: in the patient lengths are somewhat shorter"
            )
    return (given[0], given[1]) if given else (None, None)


def _between(data: Any, frames: int, notes: list[str]) -> Length:
    """Distance of the B-scans, if they are parallel: as stated, or from their places in space."""
    per_frame = data.get("PerFrameFunctionalGroupsSequence") or []
    ways = [_first(g, "PlaneOrientationSequence", "ImageOrientationPatient") for g in per_frame]
    known = np.array([way for way in ways if way is not None and len(way) == 6], float)
    places = [_first(g, "PlanePositionSequence", "ImagePositionPatient") for g in per_frame]
    placed = frames > 1 and len(places) == frames and all(p and len(p) == 3 for p in places)
    steps = np.diff(np.array(places, float), axis=0) if placed else np.zeros((1, 3))
    lengths = np.linalg.norm(steps, axis=1)
    one_way = np.linalg.norm(steps.mean(0)) >= 0.9 * lengths.mean()
    if not one_way or (len(known) and np.ptp(known, axis=0).max() > 0.05):
        notes.append(
            "its B-scans are not parallel (radial or circular scans), so the distance between them "
            "is left open"
        )
        return Length()
    found = [data.get("SpacingBetweenSlices")]
    found += [_first(g, "PixelMeasuresSequence", "SpacingBetweenSlices") for g in _groups(data)]
    for value in (length for f in found for length in _lengths(f, 1)):
        if value > 0:
            return Scale.of([value, None, None]).bscan
    if not np.ptp(lengths) <= 0.05 * lengths.mean() or not lengths.mean() > 0:
        return Length()
    return Length(float(lengths.mean()), "derived", "from the frames' places")


def _window(data: Any) -> tuple[float, float] | None:
    """Limits of the first window, for the eye; they change no pixel."""
    centre, width = data.get("WindowCenter"), data.get("WindowWidth")
    for group in _groups(data):
        if centre is None:
            centre = _first(group, "FrameVOILUTSequence", "WindowCenter")
            width = _first(group, "FrameVOILUTSequence", "WindowWidth")
    if centre is None or width is None:
        return None
    at, wide = (float(v[0] if hasattr(v, "__len__") and not isinstance(v, str) else v)
                for v in (centre, width))  # fmt: skip
    if not (math.isfinite(at) and math.isfinite(wide) and wide > 1):
        return None
    return at - wide / 2, at + wide / 2
