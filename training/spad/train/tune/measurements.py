"""What is measured of a setting on an image, kept in a file; what is measured is never lost.

Each measurement is a line of a file that is written at once, so that an interrupted search goes on
where it was. Sums over any set of images follow from the lines, hence settings can be compared on
the very images that both were measured on.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spad import checkpoint
from spad.cases import Case, meant, parsed_json, write_bytes
from spad.train.tune.settings import Setting

__all__ = [
    "Measured",
    "Scan",
    "Summary",
    "keep_measurement",
    "read_measurements",
    "scans_of",
]


@dataclass(frozen=True, slots=True)
class Scan:
    """An image and its annotations, one a rater, each a case of the folder."""

    cases: tuple[Case, ...]
    sha256: str  # of all its files, and of what else its measurements depend on

    @property
    def patient(self) -> str:
        """The patient's name."""
        return self.cases[0].patient


def scans_of(cases: Sequence[Case]) -> list[Scan]:
    """Group cases into images: those whose image files are equal show several raters' readings."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(checkpoint.sha256(case.image), []).append(case)
    in_mm = all(case.spacing_mm is not None for case in cases)
    scans = []
    for image, own in groups.items():
        parts = [image, *(checkpoint.sha256(c.labels) for c in own if c.labels is not None)]
        told = [[c.annotated, c.spacing_mm if in_mm else None] for c in own]
        if any(one != [None, None] for one in told):  # what cases.json says counts too
            parts.append(json.dumps(told))
        scans.append(Scan(tuple(own), hashlib.sha256("".join(parts).encode()).hexdigest()))
    return scans


@dataclass(frozen=True, slots=True)
class Measured:
    """One setting on one image with R annotations; lists, as JSON has them.

    ``matrices`` (R, K, K) and ``distances`` (R, K) as of :func:`spad.train.evaluation.compare`,
    None for NaN; ``histograms`` (2, K + 1, bins, 3) of all pixels and of those near a contour,
    summed over the annotations; ``surprise``: sum of -log p of the annotated class, and its pixels.
    """

    matrices: list[Any]
    distances: list[Any]
    histograms: list[Any]
    surprise: tuple[float, int]
    diversity: float
    energy: float
    encode_seconds: float
    chain_seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One setting on a set of images. What does not exist is NaN."""

    images: int
    dice: float  # pooled, mean over the structures
    dice_per_image: float
    hd95: float
    ece: float  # of the most probable class (Guo)
    ece_classwise: float  # mean over the classes (Nixon)
    ece_band: float  # of the most probable class, near a contour
    ece_band_classwise: float
    diversity: float
    energy: float  # GED squared
    surprise: float  # -log p of the annotated class, mean over the pixels
    seconds: float  # an image, encoding included; median

    def as_json(self) -> dict[str, float | None]:
        """Plain JSON values, rounded."""
        return {
            key: None if math.isnan(value) else float(f"{value:.4g}")
            for key, value in asdict(self).items()
        }


def read_measurements(file: Path, about: Mapping[str, object]) -> dict[tuple[str, str], Measured]:
    """Read a file of measurements, or begin one.

    Parameters
    ----------
    file : Path
    about : mapping
        The file's first line: what all of its measurements have in common.

    Returns
    -------
    dict
        By the image's hash and the setting's key.

    Raises
    ------
    ValueError
        It is of another search, or no such file.
    """
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    if not lines:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, json.dumps(about).encode() + b"\n")
        return {}
    done = {}
    try:
        found = [parsed_json(line) for line in lines[:-1]]
        if lines[-1].endswith("}"):  # else it was cut off when the process was killed
            found.append(parsed_json(lines[-1]))
        if found[:1] != [about]:
            raise ValueError("it is of another checkpoint, seed, device or mapping")
        for one in found[1:]:
            key = one.pop("scan"), one.pop("setting")
            done[key] = Measured(**one)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file} holds no measurements that this search can go on with ({error}); "
            "remove it, or choose another --out"
        ) from None
    if not lines[-1].endswith("}"):
        write_bytes(file, "".join(line + "\n" for line in lines[:-1]).encode())
    return done


def keep_measurement(file: Path, scan: Scan, setting: Setting, one: Measured) -> None:
    """Append a measurement to the file."""
    line = {"scan": scan.sha256, "setting": setting.key, **asdict(one)}
    data = json.dumps(line, allow_nan=False).encode() + b"\n"
    with meant(file, file), file.open("ab") as handle:
        handle.write(data)
