"""Chest radiographs with many structures, as the SPAD paper's in-house set CXRS has 31 of.

That set is not public, nor is its format. This reader takes binary masks in two arrangements, or
indexed ones (`spad.train.imports.cxrs_layout`), and makes one class map of masks that overlap, by
a stated priority (`spad.train.imports.overlap_order`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad.cases import CaseError, NewCase, file_error
from spad.pictures import image_files
from spad.train.imports.cxrs_layout import Layout, Radiograph, find_layout
from spad.train.imports.overlap_order import STATED, order
from spad.train.imports.patient_splits import draw
from spad.train.imports.report import Report, listed
from spad.train.imports.transfer import Progress, check_folders, transfer

__all__ = ["EPOCHS", "Overlaps", "import_cxrs", "paint", "read_masks"]

EPOCHS, BATCH = 100, 8  # docs/method.md, section 7
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}  # of the patients; docs/method.md, section 7
_PAIRS = 20


@dataclass(slots=True)
class Overlaps:
    """Pixels that two masks claim, by pair, whatever a third one claims.

    Parameters
    ----------
    structures : sequence of str
        From first painted to last.
    pixels, images : mapping
        (painted over, wins) -> number.
    """

    structures: Sequence[str]
    pixels: dict[tuple[str, str], int] = field(default_factory=dict)
    images: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """Count the overlaps of an image's masks, bool of shape (H, W)."""
        present = [name for name in self.structures if name in masks]
        covers = np.zeros(masks[present[0]].shape, np.uint8)
        for name in present:
            covers += masks[name]
        several = covers > 1
        claims = np.stack([masks[name][several] for name in present]).astype(np.float32)
        shared = np.rint(claims @ claims.T).astype(int)  # (S, S), exact below 2^24 pixels
        for low, high in zip(*np.nonzero(np.triu(shared, 1)), strict=True):
            pair = present[low], present[high]
            self.pixels[pair] = self.pixels.get(pair, 0) + int(shared[low, high])
            self.images[pair] = self.images.get(pair, 0) + 1

    def said(self) -> list[str]:
        """Lines of a report, the largest first."""
        if not self.pixels:
            return ["no masks overlap"]
        largest = sorted(self.pixels, key=lambda pair: -self.pixels[pair])
        lines = [
            f"overlap: {high} over {low}, {self.pixels[low, high]} pixels in "
            f"{self.images[low, high]} images"
            for low, high in largest[:_PAIRS]
        ]
        if rest := largest[_PAIRS:]:
            count = sum(self.pixels[pair] for pair in rest)
            lines.append(f"overlap: {len(rest)} more pairs, {count} pixels")
        return lines


def read_masks(radiograph: Radiograph) -> dict[str, NDArray[np.bool_]]:
    """Read an image's binary masks.

    Returns
    -------
    dict of str to ndarray of bool, shape (H, W)

    Raises
    ------
    CaseError
        Unreadable or differing files, or masks of more than two values; all of them.
    """
    problems = []
    masks: dict[str, NDArray[np.bool_]] = {}
    for structure, path in radiograph.masks.items():
        try:
            values = image_files.read_file(path)
        except (ValueError, OSError) as error:
            problems.append(file_error(error))
            continue
        found = np.unique(values)
        if found[0] != 0 or len(found) > 2:
            shown = listed(map(str, found.tolist()), 5)
            problems.append(
                f"{path}: has the values {shown}; a binary mask has 0 and one other, so "
                "threshold it (or give all structures as one indexed mask with labels.json)"
            )
        masks[structure] = values > 0
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) > 1:
        sizes = [f"{radiograph.masks[s].name} {mask.shape}" for s, mask in masks.items()]
        problems.append(
            f"{radiograph.image}: its masks differ in size: {listed(sizes)}; export all at the "
            "image's size"
        )
    if problems:
        raise CaseError(problems)
    return masks


def paint(
    masks: Mapping[str, NDArray[np.bool_]], priority: Sequence[str], names: Mapping[int, str]
) -> NDArray[np.uint8]:
    """Paint binary masks into one class map, in the order of `priority`: the later wins.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    values = {name: value for value, name in names.items()}
    labels = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for name in priority:
        if name in masks:
            labels[masks[name]] = values[name]
    return labels


def import_cxrs(
    src: Path,
    dst: Path,
    *,
    priority: Sequence[str],
    patient_from: str | None,
    unannotated: bool,
    seed: int,
    progress: Progress,
) -> Report:
    """Turn radiographs with masks into a case folder.

    Parameters
    ----------
    src : Path
        Holds ``images/`` and ``masks/``.
    dst : Path
        Absent or empty.
    priority : sequence of str
        As `given` of `spad.train.imports.overlap_order.order`.
    patient_from : str or None
        A regular expression whose group is the patient in a file's name; None: each image is a
        patient of its own.
    unannotated : bool
        A structure without a mask was not looked for (written to ``cases.json``), else absent.
    seed : int
        Of the split 7:1:2 of the patients (docs/method.md, section 7).
    progress : callable

    Returns
    -------
    Report

    Raises
    ------
    CaseError
        All faults, before anything is written.
    """
    check_folders(src, [src / "images", src / "masks"], dst)
    layout = find_layout(src)
    report = Report(layout.names, [*SHARES])
    report.said.append(f"masks: {layout.kind}; {len(layout.names) - 1} structures")
    indexed = layout.kind == "indexed"
    if indexed and (priority or unannotated):
        raise CaseError(
            [
                f"{src / 'masks'}: holds indexed masks, which neither overlap nor tell what was "
                "looked for; drop --priority and --missing"
            ]
        )
    patients = _patients(layout.radiographs, patient_from, report)
    splits = draw(patients.values(), SHARES, seed)
    report.said.append(f"random split of the patients, 7:1:2, seed {seed}")
    painted = () if indexed else _painted(layout, priority, report)
    _say_missing(layout, unannotated, report)
    overlaps = Overlaps(painted)

    def read(one: Radiograph, first: bool) -> NewCase:
        if indexed:
            labels = image_files.read_label_file(one.masks[""])
        else:
            masks = read_masks(one)
            labels = paint(masks, painted, layout.names)
            if first:
                overlaps.add(masks)
        image = image_files.read_file(one.image)
        if labels.shape != image.shape:
            raise ValueError(
                f"{one.image}: is {image.shape}, but its masks are {labels.shape} (rows, columns); "
                "export both at the same size"
            )
        patient = patients[one.name]
        seen = tuple(sorted(one.masks)) if unannotated else None
        return NewCase(
            one.name, image, labels, split=splits[patient], patient=patient, annotated=seen
        )

    transfer(dst, layout.radiographs, read, layout.names, report, progress)
    if not indexed:
        report.said += overlaps.said()
    return report


def _patients(
    radiographs: Sequence[Radiograph], pattern: str | None, report: Report
) -> dict[str, str]:
    """Give the patient of each image's name."""
    names = [one.name for one in radiographs]
    if pattern is None:
        report.said.append(
            f"each of the {len(names)} images counts as a patient of its own; if a patient has "
            "several, use --patient-from"
        )
        return {name: name for name in names}
    try:
        finder = re.compile(pattern)
    except re.error as error:
        raise CaseError(
            [f"--patient-from {pattern!r} is no regular expression: {error}; try '^([^_-]+)'"]
        ) from None
    if finder.groups != 1:
        raise CaseError(
            [
                f"--patient-from {pattern!r} has {finder.groups} groups; put the patient's part "
                "in one pair of parentheses, as in '^([^_-]+)'"
            ]
        )
    found = {name: match.group(1) for name in names if (match := finder.search(name))}
    if odd := [name for name in names if not found.get(name)]:
        raise CaseError(
            [
                f"--patient-from {pattern!r} finds no patient in {len(odd)} of {len(names)} names: "
                f"{listed(odd)}"
            ]
        )
    first = names[0]
    report.said.append(
        f"patients are taken from the names, such as {found[first]!r} from {first!r}"
    )
    return found


def _painted(layout: Layout, priority: Sequence[str], report: Report) -> tuple[str, ...]:
    """Give the structures from first painted to last."""
    painted, unknown = order([n for v, n in layout.names.items() if v], priority)
    report.said.append(f"priority, the later wins: {' < '.join(painted)}")
    if unknown:
        report.warnings.append(
            f"the default priority has no place for {listed(unknown)}: painted over the "
            f"structures it knows ({STATED}); --priority changes it"
        )
    return painted


def _say_missing(layout: Layout, unannotated: bool, report: Report) -> None:
    if layout.idle:
        report.warnings.append(
            f"{len(layout.idle)} masks belong to no image and are left out: {listed(layout.idle)}"
        )
    for structure, images in layout.missing().items():
        meaning = (
            "taken as not annotated (cases.json says so)"
            if unannotated
            else "taken as absent; if not annotated, use --missing unannotated"
        )
        report.warnings.append(
            f"{structure!r} has no mask in {len(images)} images, such as {images[0]!r}: {meaning}"
        )
