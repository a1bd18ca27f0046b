"""OCT5k (Arikan et al., Scientific Data 12:267, 2025): retinal layers, outlined by three graders.

As distributed: ``Images/Images_Manual/<part>/<patient>.E2E/<visit>/Image <n>.png`` (the whole
volumes are in ``Images/Images_Original``, as TIFF), and with the same names ``Masks/Masks_Manual/
Grading_1|2|3/...`` with the values 0 to 5, from the vitreous down.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from spad.cases import CaseError, NewCase
from spad.pictures import image_files
from spad.train.imports.patient_splits import SHARES, draw, natural
from spad.train.imports.report import Report, listed
from spad.train.imports.transfer import Progress, check_folders, transfer

__all__ = ["NAMES", "import_oct5k"]

NAMES = MappingProxyType(
    {
        0: "background",
        1: "ILM to OPL",
        2: "OPL to IS/OS",
        3: "IS/OS",
        4: "RPE",
        5: "below RPE",
    }
)
"""Between the borders ILM, OPL, IS-OS, and the RPE's inner and outer one."""
_IMAGES = ("Images_Manual", "Images_Original")  # the first that has the B-scan


def import_oct5k(src: Path, dst: Path, *, grading: int, seed: int, progress: Progress) -> Report:
    """Turn OCT5k into a case folder.

    Parameters
    ----------
    src : Path
        Holds ``Images/`` and ``Masks/``, or the folder that does.
    dst : Path
        Absent or empty.
    grading : {1, 2, 3}
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
    inner = sorted(src.iterdir()) if src.is_dir() else []
    root = next((f for f in (src, *inner) if (f / "Masks" / "Masks_Manual").is_dir()), src)
    masks = root / "Masks" / "Masks_Manual" / f"Grading_{grading}"
    check_folders(src, [root / "Images", masks], dst)
    found = _files(masks)
    if not found:
        raise CaseError(
            [f"{masks}: holds no label maps; name the folder that holds Images/ and Masks/"]
        )
    images = [_files(root / "Images" / name) for name in _IMAGES]
    report = Report(NAMES, [*SHARES])
    names: dict[str, Path] = {}
    patients, pairs, problems, bare = {}, [], [], []
    for place, labels in found.items():
        image = next((files[place] for files in images if place in files), None)
        if image is None:
            bare.append(place.as_posix())
            continue
        name, patients[place] = _name(place), _patient(place)
        if (first := names.setdefault(name.lower(), place)) != place:
            problems.append(f"{labels}: would get the name {name!r}, as {first} does; rename one")
        pairs.append((place, name, image, labels))
    if not pairs:
        problems.append(f"{root / 'Images'}: has no image for any label map of {masks}")
    if problems:
        raise CaseError(problems)
    if bare:
        report.warnings.append(
            f"{len(bare)} label maps have no image and are left out: {listed(bare, 3)}"
        )
    splits = draw(patients.values(), SHARES, seed)
    report.said += [
        f"grading {grading} of 3; the patient is the folder of the scan",
        f"random split of the patients, 80 to 20 %, seed {seed}",
    ]

    def read(pair: tuple[Path, str, Path, Path], first: bool) -> NewCase:
        place, name, image, labels = pair
        patient = patients[place]
        pixels, values = image_files.read_file(image), image_files.read_label_file(labels)
        if pixels.shape != values.shape:
            raise ValueError(
                f"{image}: is {pixels.shape}, but {labels} is {values.shape} (rows, columns)"
            )
        return NewCase(name, pixels, values, split=splits[patient], patient=patient)

    transfer(dst, pairs, read, NAMES, report, progress)
    return report


def _files(folder: Path) -> dict[Path, Path]:
    """Image files of a folder and those in it, by their place in it without the suffix."""
    files = {
        path.relative_to(folder).with_suffix(""): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in image_files.SUFFIXES and not path.name.startswith(".")
    }
    return dict(sorted(files.items(), key=lambda item: natural(item[0].as_posix())))


def _patient(place: Path) -> str:
    """Give the patient: the folder of the scan, ``AMD (1).E2E``; else the outermost folder."""
    scans = [part for part in place.parts[:-1] if part.upper().endswith(".E2E")]
    return scans[0][:-4].strip() if scans else place.parts[0]


def _name(place: Path) -> str:
    """Give the case's name: patient, visit and image."""
    parts = [part.removesuffix(".E2E").strip() for part in place.parts]
    return "_".join(parts[1:] if len(parts) > 1 else parts)
