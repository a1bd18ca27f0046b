"""One result measured: by `spad measure`, and by each worker of a cohort."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.borders import (
    SUFFIXES,
    Thickness,
    layer_maps,
    read_lines,
    thickness,
    thickness_rows,
)
from spad.cases import Layout, file_error, read_json, runs_of
from spad.checkpoint import IGNORE, LabelClass
from spad.cohort.outcome import Outcome, key_of, our_version
from spad.measuring import PADDED, LiveMeasures, Scale, Visit, as_rows, partly, remarks
from spad.pictures import read_labels

__all__ = ["MeasureJob", "Measured", "measure_file", "measured"]

_END = ".spad.json"
_EXPORT = "is it a sidecar of SPAD? Export it again"


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """What a worker needs besides the result.

    Parameters
    ----------
    spacing : tuple of float or None
        Between B-scans, rows, columns, in µm, in place of the file's; 0: unknown.
    eye : str or None
        Of results whose file does not tell.
    fovea : {"file", "centre"}
        Where it lies if the file does not tell: nowhere, or in the scan's centre.
    version : str
        Of the SPAD that hands out.
    known : str
        Key of the rows that are there from an earlier run.
    """

    spacing: tuple[float, ...] | None = None
    eye: str | None = None
    fovea: str = "file"
    version: str = our_version()
    known: str = ""


def measure_file(job: MeasureJob, name: str) -> Outcome:
    """Measure a result on a worker; what is wrong with it is told in the outcome."""
    began = time.monotonic()
    path = Path(name)
    try:
        if job.version != (ours := our_version()):
            raise ValueError(f"the worker has SPAD {ours}, not {job.version}; install the same")
        labels = _labels_of(path, read_json(path))
        read = [path, labels, *_line_files(path)]
        settings = {"spacing": job.spacing, "eye": job.eye, "fovea": job.fovea, "spad": ours}
        key = key_of(read, settings) if labels.is_file() else ""
        if key and key == job.known:
            return Outcome("skipped", "", time.monotonic() - began, key)
        found = measured(path, job)
        rows = found.rows() + found.line_rows()
    except (ValueError, OSError, ImportError, MemoryError) as error:
        text = file_error(error)
        return Outcome("failed", text, time.monotonic() - began)
    return Outcome("done", "", time.monotonic() - began, key, tuple(rows))


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured result: its numbers, the classes that they are of, its layers."""

    visit: Visit
    classes: tuple[LabelClass, ...]
    layers: tuple[Thickness, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table, by header."""
        visit = self.visit
        return as_rows(visit.rows, scale=visit.scale, remarks=visit.remarks, **self._about())

    def line_rows(self) -> list[dict[str, Any]]:
        """Rows of the thickness between lines, under the same headers."""
        visit = self.visit
        return thickness_rows(self.layers, visit.scale, visit.remarks, self._about())

    def _about(self) -> dict[str, Any]:
        return {"case": self.visit.name, "eye": self.visit.eye or "", **self.visit.about}


def measured(sidecar: Path, job: MeasureJob) -> Measured:
    """Measure a result.

    Parameters
    ----------
    sidecar : Path
        Beside its label image. Lines are read from ``NAME.lines.npz`` or ``.csv`` beside it.
    job : MeasureJob

    Returns
    -------
    Measured

    Raises
    ------
    ValueError, OSError
        It cannot be measured; why, and what to do.
    """
    told = read_json(sidecar)
    try:
        classes = [LabelClass(c["value"], c["name"], tuple(c["color"])) for c in told["classes"]]
        facts: Mapping[str, Any] = dict(told.get("facts") or {})
        spacing = tuple(told.get("spacing_mm") or ())
        edited = sum(((told.get("edited") or {}).get("pixels") or {}).values())
    except KeyError as error:
        raise ValueError(f"it lacks {error}; {_EXPORT}") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"an entry of it is odd ({error}); {_EXPORT}") from None
    labels = _labels_of(sidecar, told)
    values, own = read_labels(labels, told)
    _refuse_another(labels.name, values.shape, told.get("shape"))
    classes += own
    values, spacing = _as_bscans(values, spacing, told)
    scale = Scale.from_json(facts["scale"]) if "scale" in facts else Scale.of(spacing[-3:])
    if job.spacing:
        scale = Scale.of([um / 1000 for um in job.spacing], "typed")
    if scale.row.mm is None or scale.column.mm is None:
        raise ValueError("its scale is unknown; give it: --spacing BSCANS ROWS COLUMNS, in µm")
    left_out = [*_left_out(values, classes)]
    if facts.get("bscan_sizes"):
        left_out.append(PADDED)
        values = _without_padding(values, facts["bscan_sizes"])
    live = LiveMeasures(values, classes, scale.spacing_mm)
    fovea, origin = _fovea(facts, live, job.fovea)
    eye = facts.get("eye") or job.eye or None
    live.place(fovea, eye=eye, first=facts.get("first") or None)
    about = {
        "fovea": origin,
        "model": ", ".join(dict.fromkeys(_models(told.get("provenance")))),
        "edited pixels": edited,
    }
    name = sidecar.name.removesuffix(_END)
    of_these = partly(len(runs_of(told.get("provenance"), len(values))), len(values))
    notes = (*left_out, *filter(None, [of_these]), *remarks(live, scale))
    visit = Visit(name, "", live.rows(), scale, eye, notes, about, live.extent_mm)
    return Measured(visit, tuple(classes), tuple(_layers(sidecar, live)))


def _refuse_another(name: str, shape: tuple[int, ...], told: Any) -> None:
    """Refuse a label image that was cropped, resized or exchanged since it was written."""
    found = [n for n in shape if n != 1]
    if isinstance(told, list) and found != [n for n in told if n != 1]:
        raise ValueError(
            f"{name} has {' x '.join(map(str, shape))} pixels, and its .spad.json tells of "
            f"{' x '.join(str(n)[:10] for n in told[:4])}: it was cropped, resized or exchanged; "
            "export it again, or copy both together"
        )


def _left_out(values: NDArray[np.uint8], classes: Sequence[LabelClass]) -> Iterator[str]:
    """What the numbers leave out without being asked to."""
    pixels = np.bincount(values.ravel(), minlength=256)
    named = {one.value for one in classes}
    odd = [v for v in np.flatnonzero(pixels[:IGNORE]).tolist() if v not in named]
    if odd:
        listed = ", ".join(map(str, odd[:5])) + (", ..." if len(odd) > 5 else "")
        yield f"{pixels[odd].sum()} pixels have values that no class has ({listed}): not measured"
    if pixels[IGNORE]:
        share = pixels[IGNORE] / values.size
        yield f"{share:.2g} of the pixels are not labelled (255): not measured"


def _without_padding(values: NDArray[np.uint8], sizes: Any) -> NDArray[np.uint8]:
    """A stack, not scanned where it only fills smaller B-scans up."""
    stack = values.reshape((-1, *values.shape[-2:])).copy()
    try:
        for one, (height, width) in zip(stack, sizes, strict=True):
            one[height:], one[:, width:] = IGNORE, IGNORE
    except (TypeError, ValueError):
        raise ValueError(
            f"its “bscan_sizes” {str(sizes)[:60]} are no height and width of each of its "
            f"{len(stack)} B-scans; {_EXPORT}"
        ) from None
    return stack.reshape(values.shape)


def _as_bscans(
    values: NDArray[np.uint8], spacing: tuple[Any, ...], told: Mapping[str, Any]
) -> tuple[NDArray[np.uint8], tuple[Any, ...]]:
    """A volume as B-scans, and its spacing in their order, where 3D Slicer's sidecar tells it."""
    if (parent := told.get("parent_transform")) and not _only_turns(parent):
        raise ValueError(
            "its volume lay under a transform that stretches or bends it, so a pixel has no one "
            "size; harden the transform in 3D Slicer, and export it again"
        )
    if (code := told.get("layout")) is None:
        return values, spacing
    layout = Layout.of(str(code))
    volume = values.reshape((1, 1, *values.shape)[-3:])
    return layout.stack(volume), layout.order(spacing) if len(spacing) == 3 else spacing


def _only_turns(parent: Any) -> bool:
    """Whether the transform that a volume was under keeps lengths, as far as it is told."""
    try:
        turn = np.asarray(parent["to_world_ras"], float)[:3, :3]
        return bool(np.abs(turn @ turn.T - np.eye(3)).max() < 1e-4)
    except (TypeError, KeyError, ValueError, IndexError):
        return False


def _line_files(sidecar: Path) -> list[Path]:
    """The lines beside a result: one file, or none."""
    name = sidecar.name.removesuffix(_END)
    found = [p for s in SUFFIXES if (p := sidecar.with_name(f"{name}.lines{s}")).is_file()]
    if len(found) > 1:
        names = " and ".join(p.name for p in found)
        raise ValueError(f"both {names} are beside it; keep the one that is right")
    return found


def _layers(sidecar: Path, live: LiveMeasures) -> Iterator[Thickness]:
    for path in _line_files(sidecar):
        lines = read_lines(path)
        bscans, _, width = live.shape
        if (found := lines.heights.shape[1:]) != (bscans, width):
            raise ValueError(
                f"{path.name} has lines of {found[0]} B-scans of {found[1]} columns, and its "
                f"labels {bscans} of {width}; export both from one image, or take the lines away"
            )
        maps = layer_maps(lines, live.spacing_mm[1])
        for layer, um in maps.items():
            yield from thickness(layer, um, live.grid)


def _labels_of(sidecar: Path, told: Any) -> Path:
    try:
        return sidecar.parent / Path(told["labels"]).name
    except (TypeError, KeyError) as error:
        raise ValueError(f"it lacks {error}; {_EXPORT}") from None


def _fovea(
    facts: Mapping[str, Any], live: LiveMeasures, wanted: str
) -> tuple[tuple[float, float] | None, str]:
    """Where the fovea is, and who says so."""
    if live.spacing_mm[0] is None:
        return None, ""
    if told := facts.get("fovea"):
        try:
            at = (float(told["at"][0]), float(told["at"][1]))
        except (TypeError, KeyError, IndexError, ValueError, OverflowError):
            raise ValueError(
                f"its fovea {str(told)[:60]} is no place; export it again, or take “fovea” out"
            ) from None
        return at, str(told.get("origin", "in the file"))
    if wanted == "centre":
        return ((live.shape[0] - 1) / 2, (live.shape[2] - 1) / 2), "taken as the scan's centre"
    return None, ""


def _models(provenance: Any) -> Iterator[str]:
    """Names of the models of a run, or of the runs that made a stack's B-scans."""
    for run in provenance if isinstance(provenance, list) else [provenance]:
        checkpoint = run.get("checkpoint") if isinstance(run, dict) else None
        if isinstance(checkpoint, dict):
            yield str(checkpoint.get("name", ""))
        elif checkpoint:
            yield str(checkpoint)
