"""Heidelberg's ``.e2e``, by eyepy."""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_spad.read.opened_layers import (
    UPRIGHT,
    LayerData,
    fundus_picture,
    image_layer,
    missing,
    pseudonym,
    reference_layer,
)
from spad.measuring import Length, Scale
from spad.quiet import unwarned

__all__ = ["MM_PER_DEGREE", "read_e2e"]

MM_PER_DEGREE = 0.2896
"""On the retina of a medium eye, eyepy's MEDIUM_EYE_LENGTH_UM_PER_DEG. Eyes differ in length."""

_FIELD = 30.0  # degrees
_EYES = {"82": "OD", "76": "OS", "R": "OD", "L": "OS", "OD": "OD", "OS": "OS"}
"""As eyepy gives a side: 0.21 in the number of the file's letter."""


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
        with unwarned:
            _refuse_loops(path)
            with HeE2eReader(path) as reader:
                found = [_series_layers(one) for one in reader.series]
    except Exception as error:  # a parser of bytes raises anything on a damaged file
        raise ValueError(
            f"{path.name} cannot be read by eyepy ({type(error).__name__}): it is damaged, cut "
            "short, or of a kind that eyepy does not know; export the volume from HEYEX as .vol or "
            "XML"
        ) from None
    finally:
        log.disabled = before
    if not found:
        raise ValueError(
            f"{path.name} holds no series at all: it is damaged, cut short or no .e2e file; export "
            "it from HEYEX again"
        )
    layers = [layer for one in found if not isinstance(one, str) for layer in one]
    left_out = [one for one in found if isinstance(one, str)]
    why = "; ".join(f"{left_out.count(text)} {text}" for text in dict.fromkeys(left_out))
    if not layers:
        raise ValueError(
            f"{path.name} holds no volume that can be shown; of its {len(found)} series {why}"
        )
    if left_out:
        note = f"of its {len(found)} series {why}, and left out"
        layers[0][1]["metadata"].setdefault("notes", []).append(note)
    return layers


_NO_VOLUME = (
    "are no volumes (circular or radial scans, fundus images), which eyepy refuses: export them "
    "from HEYEX as .vol or XML, which are read here whatever the scan pattern"
)
_DAMAGED = (
    "cannot be read by eyepy (damaged, cut short, or of a kind that it does not know): export from "
    "HEYEX again, as .vol or XML"
)


_FOLDER = np.dtype([(n, "<u4") for n in ("at", "start", "size", *"abcdef", "type", "g")])
_TEXTS = (17, 9000, 9001, 9005, 9006, 9007, 9008)
_MANY_TEXTS = 1000


def _refuse_loops(path: Path) -> None:
    """Raise for what eyepy would follow for ever: chunks that lead back, texts without an end."""
    end, at = path.stat().st_size, 88  # behind the version and the first header
    with path.open("rb") as file:
        while at + 52 < end:
            file.seek(at + 36)
            (entries,) = struct.unpack("<I", file.read(4))
            if not 0 < entries <= (end - at - 52) // _FOLDER.itemsize:
                return  # of a cut file, where eyepy ends, too
            file.seek(at + 52)
            folders = np.frombuffer(file.read(entries * _FOLDER.itemsize), _FOLDER)
            for one in folders[np.isin(folders["type"], _TEXTS)]:
                file.seek(int(one["start"]) + 60)
                count = file.read(4)
                if len(count) == 4 and struct.unpack("<I", count)[0] > _MANY_TEXTS:
                    raise ValueError("it says that it has texts without number")
            after = int(folders["start"][-1]) + int(folders["size"][-1]) + 60
            if after <= at:
                raise ValueError("its chain of chunks leads back")
            at = after


def _series_layers(series: Any) -> list[LayerData] | str:
    """Layers of an eyepy series, or why there are none."""
    from eyepy.io.he.e2e_format import TypesEnum

    if not any(TypesEnum.bscanmeta in s.folders for s in series.slices.values()):
        return _NO_VOLUME
    try:
        about = series.get_bscan_meta()
        if about[0]["scan_pattern"] in (2, 5):
            return _NO_VOLUME
        volume = series.get_volume()
        sizes = {s.get_bscan().shape for s in series.slices.values()}
        places = sorted(n // 2 for n in series.slices) if len(about) > 1 else [0]
        # eyepy fills a volume of zeros: what is twice there, or smaller, would go unseen.
        if sizes != {volume.data.shape[1:]} or places != list(range(len(volume.data))):
            return _DAMAGED
        people = [one.data for one in series.patient.folders.get(TypesEnum.patient, ())]
        who = [text for one in people for text in (one.patient_id, one.surname)]
        layers = volume_layers(volume, who)
    except Exception:  # as `read_e2e`'s; its text may hold what the file says of the patient
        return _DAMAGED
    if (told := about[0]["n_bscans"]) > len(volume.data):
        layers[0][1]["metadata"].setdefault("notes", []).append(
            f"{len(volume.data)} B-scans of the {told} that the file tells of: it was exported in "
            "part, or cut short; export it from HEYEX again if B-scans are missing"
        )
    return layers


def volume_layers(volume: Any, who: Sequence[str] = ()) -> list[LayerData]:
    """Layers of an ``eyepy.EyeVolume``; `who` is what the file says of the patient."""
    meta = volume.meta
    pixels = np.asarray(volume.data)
    scale = _scale(meta)
    eye = _EYES.get(str(meta.get("laterality")), "")
    lines = {
        str(name)[:12].strip() or "line": np.asarray(layer.data, np.float32)
        for name, layer in volume.layers.items()
    }
    scans = list(meta.get("bscan_meta") or ())
    date = str(_of(scans[0], "acquisitionTime") or "")[:10] if scans else ""
    return [
        image_layer(
            pixels,
            f"OCT {eye}".strip(),
            scale,
            eye=eye,
            date=date,
            patient=pseudonym(*who),
            fundus=_fundus(volume, scans),
            notes=[UPRIGHT] if _run_upright(scans) else [],
        ),
        *reference_layer(lines, pixels.shape, scale),
    ]


def _scale(meta: Any) -> Scale:
    """Scale as eyepy gives it; where it gives none, from the angles of the scan.

    eyepy 0.21 gives ``.e2e`` 1, 1, 1 "px". The file tells the rows' distance in mm, and the
    B-scans' ends in degrees: a length on the retina depends on the eye's, so a medium one is taken.
    """
    if meta.get("scale_unit") == "mm":
        return Scale.of([meta.get(f"scale_{axis}") for axis in "zyx"])
    scans = list(meta.get("bscan_meta") or ())
    ends = [[_of(s, k) for k in ("start_x", "start_y", "end_x", "end_y")] for s in scans]
    if not ends or any(value is None for four in ends for value in four):
        return Scale()
    places = np.array(ends, float)
    row = Scale.of((_of(scans[0], "scale_y"), None)).row
    columns = float(_of(scans[0], "imgSizeWidth") or 0)
    wide = float(np.median(np.hypot(*(places[:, 2:] - places[:, :2]).T)))
    column = _from_angle(wide / columns if columns > 0 else 0.0)
    steps = np.diff((places[:, :2] + places[:, 2:]) / 2, axis=0)
    apart = np.hypot(*steps.T)
    even = len(apart) > 0 and np.ptp(apart) <= 0.2 * apart.mean()
    return Scale(_from_angle(float(apart.mean()) if even else 0.0), row, column)


def _run_upright(scans: Any) -> bool:
    """Whether B-scans run up or down the fundus rather than across."""
    ends = [[_of(s, k) for k in ("start_x", "start_y", "end_x", "end_y")] for s in scans]
    if len(ends) < 2 or any(value is None for four in ends for value in four):
        return False
    across, climb = np.abs(np.diff(np.array(ends, float).reshape(-1, 2, 2), axis=1)).mean((0, 1))
    return bool(climb > across)


def _fundus(volume: Any, scans: Any) -> dict[str, Any] | None:
    """The picture of the fundus, which eyepy takes to be 30 degrees wide, its middle at 0, 0."""
    picture = volume.localizer
    if picture is None or picture.meta.get("scale_unit") != "°":
        return None  # eyepy's own projection
    ends = [[_of(s, k) for k in ("start_y", "start_x", "end_y", "end_x")] for s in scans]
    if not ends or any(value is None for four in ends for value in four):
        return None
    steps = float(picture.meta["scale_y"]), float(picture.meta["scale_x"])
    places = (np.array(ends, float).reshape(-1, 2, 2) + _FIELD / 2) / steps
    return fundus_picture(picture.data, places[:, 0], places[:, 1])


def _from_angle(degrees: float) -> Length:
    how = "from the scan angle of a medium eye"
    return Scale.of((degrees * MM_PER_DEGREE, None), "derived", how).row


def _of(scan: Any, key: str) -> Any:
    """What eyepy's `EyeBscanMeta` holds under a key, or None."""
    try:
        return scan[key]
    except (KeyError, AttributeError):
        return None
