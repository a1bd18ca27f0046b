"""AMD-SD (Hu et al., Scientific Data 11:1014, 2024): image left, colour mask right, in one file.

As distributed: ``AMD-SD/images/<patient>/<patient>_<n>.png``, 1140 x 380 RGB, with ``training.txt``
and ``validation.txt`` beside ``images/``. The mask's colours are inexact, so that each pixel takes
the class of the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from spad.cases import CaseError, NewCase, luminance
from spad.pictures import image_files
from spad.train.imports.amd_sd_lists import assign, find_lists
from spad.train.imports.patient_splits import SHARES, draw, natural
from spad.train.imports.report import Report, listed
from spad.train.imports.transfer import Progress, check_folders, transfer

__all__ = ["COLOURS", "EPOCHS", "Pair", "find_pairs", "import_amd_sd", "read_pair"]

COLOURS = MappingProxyType(
    {
        "background": (0, 0, 0),
        "SRF": (255, 0, 0),
        "IRF": (0, 255, 0),
        "PED": (0, 0, 255),
        "SHRM": (255, 255, 0),
        "IS/OS": (255, 0, 255),
    }
)
"""Colour of each class, in the order of the class values. The nearest of them to a pixel whose
channels are all below 70, as on the dark rim of an anti-aliased structure, is black."""
EPOCHS, BATCH = 200, 8  # docs/method.md, section 7
# Distances are Euclidean in RGB, where two colours are at least 255 apart. A pixel half-way between
# a structure and the background is 128 from both; what JPEG and resizing do is mostly far less.
_FAR = 100
_DOUBTFUL, _NO_MASK = 0.01, 0.1  # share of such pixels: warned of; refused (a B-scan has over 0.15)
_COLOURED = 48  # spread of a pixel's channels that is no noise


@dataclass(frozen=True, slots=True)
class Pair:
    """A file that holds an image and its mask.

    Parameters
    ----------
    path : Path
    name : str
        Of the case.
    patient : str
    """

    path: Path
    name: str
    patient: str


@dataclass(slots=True)
class _Colours:
    """How far the masks' pixels were from the colours that they stand for."""

    pixels: int = 0
    inexact: int = 0
    far: int = 0
    largest: float = 0.0
    doubtful: list[str] = field(default_factory=list)
    coloured: list[str] = field(default_factory=list)

    def add(self, shown: str, distances: NDArray[np.float32], coloured: float) -> None:
        """Count a file: what :func:`read_pair` says of it."""
        far = int((distances > _FAR).sum())
        self.pixels += distances.size
        self.inexact += int((distances > 0).sum())
        self.far += far
        self.largest = max(self.largest, float(distances.max()))
        if far > _DOUBTFUL * distances.size:
            self.doubtful.append(f"{shown} ({far / distances.size:.1%})")
        if coloured > _DOUBTFUL:
            self.coloured.append(f"{shown} ({coloured:.1%})")


def find_pairs(root: Path, report: Report) -> tuple[Pair, ...]:
    """Find the files and their patients.

    Parameters
    ----------
    root : Path
        The images, in folders of patients or not.
    report : Report
        Told where the patients come from.

    Returns
    -------
    tuple of Pair
        In natural order.

    Raises
    ------
    CaseError
        No images, or two of one name.
    """
    found = sorted(
        (
            path.relative_to(root)
            for path in root.rglob("*")
            if path.suffix.lower() in image_files.SUFFIXES
            and path.is_file()
            and not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)
        ),
        key=lambda path: natural(path.as_posix()),
    )
    if not found:
        raise CaseError(
            [
                f"{root}: holds no {', '.join(image_files.SUFFIXES)} files; AMD-SD has "
                "images/<patient>/<patient>_<n>.png, so name the folder that holds images/"
            ]
        )
    patients = _patients(found, report)
    pairs = []
    for path, patient in patients.items():
        own = len(path.parts) == 1 or path.stem.startswith(f"{patient}_")
        pairs.append(Pair(root / path, path.stem if own else f"{patient}_{path.stem}", patient))
    names: dict[str, Pair] = {}
    problems = [
        f"{pair.path}: would get the name {pair.name!r}, as {first.path} does; rename one"
        for pair in pairs
        if (first := names.setdefault(pair.name.lower(), pair)) is not pair
    ]
    if problems:
        raise CaseError(problems)
    return tuple(pairs)


def _patients(found: Sequence[Path], report: Report) -> dict[Path, str]:
    """Give the patient of each file (relative to the images' folder), and say where it is from."""
    patients: dict[Path, str] = {}
    alone, named, strange = [], [], []
    folders = {path.parts[0] for path in found if len(path.parts) > 1}
    for path in found:
        match = re.fullmatch(r"(.+)_[0-9]+", path.stem)
        prefix = match.group(1) if match else None
        if len(path.parts) > 1:
            patients[path] = path.parts[0]
            if prefix != path.parts[0] and prefix in folders:
                strange.append(path.as_posix())
        elif prefix is not None:
            patients[path] = prefix
            named.append(path.name)
        else:
            patients[path] = path.stem
            alone.append(path.name)
    if count := len(found) - len(named) - len(alone):
        report.said.append(f"the patient of {count} images is their folder")
    if named:
        report.said.append(
            f"the patient of {len(named)} images without a folder is taken from their names, such "
            f"as {re.sub('_[0-9]+$', '', Path(named[0]).stem)!r} from {named[0]!r}"
        )
    if alone:
        report.said.append(
            f"no patient is known for {len(alone)} images, such as {alone[0]!r}; each counts as a "
            "patient of its own"
        )
    if strange:
        report.warnings.append(
            f"{len(strange)} files are named after another patient than their folder's; "
            f"the folder counts: {listed(strange)}"
        )
    return patients


def read_pair(
    path: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], float]:
    """Read image and label map.

    Returns
    -------
    image : ndarray of uint8, shape (H, W)
        The left half's luminance (Rec. 601).
    labels : ndarray of uint8, shape (H, W)
        The right half's classes, numbered as `COLOURS` is ordered.
    distances : ndarray of float32, shape (H, W)
        Of the mask's pixels from the colours that they stand for, Euclidean, 0..255.
    coloured : float
        Share of the image's pixels that have a colour.

    Raises
    ------
    ValueError, OSError, ImportError
        As `spad.pictures.image_files.read_rgb`; an odd width; a right half that is no colour
        mask.
    """
    both = image_files.read_rgb(path)
    width_px = both.shape[1]
    if width_px % 2:
        raise ValueError(
            f"{path}: is {width_px} pixels wide, an odd number; image and mask must be equally "
            "wide, side by side"
        )
    image, mask = both[:, : width_px // 2], both[:, width_px // 2 :]
    # |x - c|^2 = |x|^2 + |c|^2 - 2 x c, exact in float32: all are whole numbers below 2^24.
    pixels = mask.reshape(-1, 3).astype(np.float32).T
    colours = np.array([*COLOURS.values()], np.float32)
    apart = (colours**2).sum(1, keepdims=True) - 2 * (colours @ pixels) + (pixels**2).sum(0)
    labels = apart.argmin(0).astype(np.uint8).reshape(mask.shape[:2])
    distances = np.sqrt(apart.min(0)).reshape(mask.shape[:2])
    if (share := float((distances > _FAR).mean())) > _NO_MASK:
        raise ValueError(
            f"{path}: {share:.0%} of the right half's pixels are further than {_FAR} from every "
            f"colour of AMD-SD (at most {_NO_MASK:.0%} may be), so it is no colour mask; AMD-SD "
            "has the image on the left and the mask on the right"
        )
    spread = image.max(-1) - image.min(-1)
    grey = np.rint(luminance(image)).astype(np.uint8) if spread.any() else image[..., 0]
    return np.ascontiguousarray(grey), labels, distances, float((spread > _COLOURED).mean())


def import_amd_sd(
    src: Path, dst: Path, *, split: str | None, seed: int, progress: Progress
) -> Report:
    """Turn AMD-SD into a case folder.

    Parameters
    ----------
    src : Path
        The data set's folder, the one that holds it, or one of images.
    dst : Path
        Absent or empty.
    split : {"official", "random"} or None
        The official lists, or 80/20 of patients (docs/method.md, section 7); None: lists if both
        are there.
    seed : int
        Of the random split.
    progress : callable

    Returns
    -------
    Report

    Raises
    ------
    CaseError
        All faults, before anything is written.
    """
    root = next((f for f in (src / "AMD-SD" / "images", src / "images") if f.is_dir()), src)
    check_folders(src, [root], dst)
    report = Report(dict(enumerate(COLOURS)), [*SHARES])
    pairs = find_pairs(root, report)
    splits = _splits(pairs, src, root, split, seed, report)
    colours = _Colours()

    def read(pair: Pair, first: bool) -> NewCase:
        image, labels, distances, coloured = read_pair(pair.path)
        if first:
            colours.add(pair.path.relative_to(root).as_posix(), distances, coloured)
        return NewCase(pair.name, image, labels, split=splits[pair.path], patient=pair.patient)

    used = [pair for pair in pairs if pair.path in splits]
    transfer(dst, used, read, report.names, report, progress)
    _say_colours(colours, report)
    return report


def _splits(
    pairs: Sequence[Pair], src: Path, root: Path, split: str | None, seed: int, report: Report
) -> dict[Path, str]:
    """Give the split of each file that is in one: by the official lists, or drawn."""
    lists = find_lists([root, root.parent, src]) if split != "random" else {}
    if len(lists) == len(SHARES):
        return assign({pair.path: pair.patient for pair in pairs}, lists, report)
    if split == "official":
        raise CaseError(
            [
                f"{root.parent}: training.txt and validation.txt are not both there ("
                f"{len(lists)} of 2 found); add what is missing or use --split random"
            ]
        )
    drawn = draw([pair.patient for pair in pairs], SHARES, seed)
    why = "asked for" if split else "training.txt and validation.txt are not both there"
    report.said.append(f"random split of the patients, 80 to 20 %, seed {seed} ({why})")
    return {pair.path: drawn[pair.patient] for pair in pairs}


def _say_colours(colours: _Colours, report: Report) -> None:
    report.said.append(
        f"colours snapped: {colours.inexact} of {colours.pixels} mask pixels "
        f"({colours.inexact / colours.pixels:.3%}) were not exact, {colours.far} further than "
        f"{_FAR} from every colour; the largest distance was {colours.largest:.0f}"
    )
    if colours.doubtful:
        report.warnings.append(
            f"{len(colours.doubtful)} masks have more than {_DOUBTFUL:.0%} of their pixels further "
            f"than {_FAR} from every colour; look at them: {listed(colours.doubtful)}"
        )
    if colours.coloured:
        report.warnings.append(
            f"{len(colours.coloured)} images have colours in more than {_DOUBTFUL:.0%} of their "
            f"pixels, which become luminance; look at them: {listed(colours.coloured)}"
        )
