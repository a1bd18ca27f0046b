"""Heidelberg's XML export: an ``.xml`` that names one image file for each B-scan.

Read here and not by eyepy, which needs the fundus image and refuses circular scans. Of an image's
path in the XML only the file name is used: the images lie beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from spad.pictures import day, image_files

__all__ = ["is_heyex", "read_heyex"]

_LARGEST = 256 * 2**20  # bytes of XML


def is_heyex(path: Path) -> bool:
    """Whether an ``.xml`` is an export of HEYEX: everybody uses that suffix."""
    with path.open("rb") as file:
        return b"<HEDX" in file.read(4096)


def read_heyex(path: str | Path) -> list[LayerData]:
    """Layers of an XML export: the B-scans, and the bands between the vendor's layer lines.

    Raises
    ------
    ValueError, OSError
        Not such a file, a damaged one, or one whose images are not beside it.
    """
    path = Path(path)
    root = _parse(path)
    scans = [i for i in root.iter("Image") if i.findtext("ImageType/Type") == "OCT"]
    if not scans:
        raise ValueError(
            f"{path.name} names no OCT B-scans; export the volume from HEYEX as XML again"
        )
    bscans: list[NDArray[Any]] = []
    lines: dict[str, NDArray[np.float32]] = {}
    for z, scan in enumerate(scans):
        bscans.append(_pixels(path, scan.findtext("ImageData/ExamURL") or ""))
        width = bscans[0].shape[1]
        for line in scan.iter("SegLine"):
            rows = _numbers(line.findtext("Array"))
            if len(rows) == width:
                name = "".join(c for c in line.findtext("Name") or "" if c.isalnum())[:12]
                lines.setdefault(name or "line", np.full((len(scans), width), np.nan, np.float32))[
                    z
                ] = rows
    sizes = {b.shape for b in bscans}
    if len(sizes) > 1:
        raise ValueError(
            f"{path.name}: its B-scans differ in size ({sorted(sizes)}); export each series alone"
        )
    pixels = np.stack(bscans)
    context = scans[0].find("OphthalmicAcquisitionContext")
    down, along = (
        _number(context.findtext(f"Scale{a}") if context is not None else None) for a in "YX"
    )
    notes: list[str] = []
    between, first = _between(scans, notes)
    plane = Scale.of((down, along))
    scale = Scale(between, plane.row, plane.column)
    eye = {"R": "OD", "L": "OS"}.get((root.findtext(".//Series/Laterality") or "").strip(), "")
    patient = root.find(".//Patient")
    told = ["PatientID", "ID", "LastName"]
    who = [(patient.findtext(t) or "") if patient is not None else "" for t in told]
    if who[1]:
        who[1] = f"HEYEX {who[1]}"  # as in a .vol
    return [
        image_layer(
            pixels,
            f"OCT {eye}".strip(),
            scale,
            eye=eye,
            first=first,
            date=_date(root),
            patient=pseudonym(*who),
            fundus=_fundus(path, root, scans),
            notes=notes,
        ),
        *reference_layer(lines, pixels.shape, scale),
    ]


def _parse(path: Path) -> Any:
    try:
        from defusedxml import DefusedXmlException, ElementTree
    except ImportError as error:
        raise missing("defusedxml", path, error) from None

    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} has more than {_LARGEST / 2**20:.0f} MB; is it an export?")
    raw = path.read_bytes()
    try:
        try:
            return ElementTree.fromstring(raw, forbid_dtd=True)
        except ElementTree.ParseError:  # names in Latin-1 without saying so
            return ElementTree.fromstring(raw.decode("latin-1"), forbid_dtd=True)
    except DefusedXmlException:  # entities that unfold without end need a DTD
        raise ValueError(
            f"{path.name} has a DTD, which HEYEX does not write; export it again"
        ) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(
            f"{path.name} is damaged or cut short ({error}); copy or export it again"
        ) from None


def _pixels(path: Path, url: str) -> NDArray[Any]:
    """B-scan beside the XML, whatever folder the export once lay in."""
    name = PureWindowsPath(url.strip()).name  # takes both kinds of slashes
    file = path.parent / name
    if not name or "\0" in name or not file.is_file():
        raise OSError(
            f"{path.name} names the image {name[:80] or '(none)'}, which is not beside it; copy "
            "the whole folder of the export"
        )
    pixels = image_files.read_file(file, quiet=True)
    if pixels.ndim != 2:
        raise ValueError(f"{file}: holds {len(pixels)} pages, not one B-scan; export it again")
    return pixels


def _date(root: Any) -> str:
    """Day of the examination: "2026-01-31"."""
    date = root.find(".//StudyDate/Date")
    return "" if date is None else day(*(date.findtext(t) for t in ("Year", "Month", "Day")))


def _places(scans: Sequence[Any], end: str) -> NDArray[np.float64]:
    """(x, y) in mm of each B-scan's "Start" or "End"; NaN where none is told."""
    where = f"OphthalmicAcquisitionContext/{end}/Coord"
    found = [[_number(s.findtext(f"{where}/{axis}")) for axis in "XY"] for s in scans]
    return np.array(found, dtype=float)


def _fundus(path: Path, root: Any, scans: Sequence[Any]) -> dict[str, Any] | None:
    """The picture of the fundus, where the export names one that is there."""
    found = next(
        (i for i in root.iter("Image") if i.findtext("ImageType/Type") == "LOCALIZER"), None
    )
    if found is None:
        return None
    steps = [_number(found.findtext(f"OphthalmicAcquisitionContext/Scale{a}")) for a in "YX"]
    try:
        pixels = _pixels(path, found.findtext("ImageData/ExamURL") or "")
    except (OSError, ValueError):  # the B-scans are what matters
        return None
    if not all(s is not None and 0 < s < 1 for s in steps):
        return None
    ends = [_places(scans, end)[:, ::-1] / np.array(steps, float) for end in ("Start", "End")]
    return fundus_picture(pixels, *ends)


def _between(scans: Sequence[Any], notes: list[str]) -> tuple[Length, str]:
    """Distance of B-scans that are parallel and evenly spaced, and where the first of them lies."""
    if len(scans) < 2:
        return Length(), ""
    steps = np.diff(_places(scans, "Start"), axis=0)
    lengths = np.hypot(*steps.T)
    parallel = np.allclose(steps, np.diff(_places(scans, "End"), axis=0), atol=0.02)
    even = np.isfinite(lengths).all() and np.ptp(lengths) <= 0.2 * lengths.mean() + 0.002
    if not (parallel and even and lengths.mean() > 0):
        notes.append(
            "its B-scans are not parallel at one distance (radial or circular scans, or a series "
            "with gaps), so the distance between them is left open"
        )
        return Length(), ""
    down = float(steps[:, 1].mean())  # the fundus image's rows run down
    first = "" if abs(down) < 0.9 * lengths.mean() else "superior" if down > 0 else "inferior"
    if not first:
        notes.append(UPRIGHT)
    return Length(float(lengths.mean()), "derived", "from the B-scans' places"), first


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _numbers(text: str | None) -> NDArray[np.float32]:
    """Rows of a layer line; 3e38 says that there is none."""
    try:
        rows = np.array((text or "").split(), np.float32)
    except ValueError:
        return np.empty(0, np.float32)
    return np.where((rows >= 0) & (rows < 1e9), rows, np.float32(np.nan))
