"""A label layer on the disk, B-scan by B-scan, so that a stroke writes one small file. No Qt here.

``layer.json`` says what the layer is. For each B-scan ``b-0003.npz`` holds the labels and what a
person painted, ``m-0003.npz`` what the model put there, its uncertainty, samples and provenance: a
stroke does not touch it. The files are zip archives, whose checksums tell of damage. Nothing of the
image is in them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.autosave.packed_samples import Packed
from spad.autosave.saved_header import FORMAT, HEADER, fitting_shape, read_header
from spad.cases import half_written, json_bytes, parsed_json, replaced

__all__ = ["AutosavedLayer", "Loaded", "ModelPart"]

OURS = re.compile(r"[bm](-\d{4,9})*\.npz", re.ASCII)

Index = tuple[int, ...]


@dataclass(frozen=True)
class ModelPart:
    """What a run put into one B-scan.

    Parameters
    ----------
    written : array of uint8, (H, W)
        The labels as the model left them.
    uncertainty : array of float16, (H, W)
    packed : Packed or None
        The samples.
    provenance : mapping
    """

    written: NDArray[Any]
    uncertainty: NDArray[Any]
    packed: Packed | None
    provenance: Mapping[str, Any]


@dataclass
class Loaded:
    """A layer read back: arrays of its full shape, empty where nothing was saved.

    Parameters
    ----------
    header : dict
    labels, by_hand : array
    model : dict of a B-scan's place to ModelPart
    problems : list of str
        What could not be read back, in words.
    damaged : list of Path
        Files of B-scans' labels that could not be read.
    """

    header: dict[str, Any]
    labels: NDArray[Any]
    by_hand: NDArray[np.uint8]
    model: dict[Index, ModelPart] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


class AutosavedLayer:
    """One layer's folder. Calls come from one thread at a time.

    Parameters
    ----------
    folder : Path
        Made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._header: dict[str, Any] = {}
        self._digests: dict[Index, bytes] = {}

    # ------------------------------------------------------------------ out

    @property
    def described(self) -> bool:
        """Whether it is known on the disk what the layer is."""
        return bool(self._header)

    def vanished(self) -> bool:
        """Whether another program has moved or deleted what was written; then it is forgotten."""
        gone = self.described and not (self.folder / HEADER).exists()
        if gone:
            self._header, self._digests = {}, {}
        return gone

    def save_header(self, header: Mapping[str, Any]) -> None:
        """Write what the layer is, if that changed."""
        header = {"format": FORMAT, **header}
        if header == self._header:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replaced(self.folder / HEADER) as file:
            file.write_bytes(json_bytes(header))
        self._header = header

    def save_bscan(self, index: Index, labels: NDArray[Any], by_hand: NDArray[Any] | None) -> bool:
        """Write a B-scan if it is not what was last written.

        Parameters
        ----------
        index : tuple of int
            Its place on the leading axes.
        labels, by_hand : array, (H, W)
            May be painted on meanwhile: they are copied first.

        Returns
        -------
        bool
            Whether it was written.
        """
        labels = np.array(labels)
        marks = np.packbits(np.array(by_hand if by_hand is not None else labels * 0) != 0)
        digest = _digest(labels, marks)
        known = self._digests.get(index)
        if digest == known or (known is None and not labels.any() and not marks.any()):
            return False
        self._write("b", index, labels=labels, by_hand=marks)
        self._digests[index] = digest
        return True

    def save_model(self, index: Index, part: ModelPart) -> None:
        """Write what a run put into a B-scan."""
        arrays = {
            "written": np.array(part.written),
            "uncertainty": np.array(part.uncertainty),
            "provenance": _from_text(json.dumps(dict(part.provenance))),
        }
        if part.packed is not None:
            arrays["samples"] = np.frombuffer(part.packed.data, np.uint8)
            arrays["samples_shape"] = np.asarray(part.packed.shape)
        self._write("m", index, **arrays)

    def _write(self, kind: str, index: Index, **arrays: NDArray[Any]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replaced(self._file(kind, index)) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def _file(self, kind: str, index: Index) -> Path:
        return self.folder / _name(kind, index)

    # ------------------------------------------------------------------ in

    def read_header(self) -> dict[str, Any]:
        """Read what the layer is, as far as that can be read.

        Raises
        ------
        ValueError
            A newer version wrote it, in words.
        """
        return read_header(self.folder)[0]

    def places(self) -> list[Index]:
        """Places of the B-scans that are saved."""
        return sorted(index for index, _ in self._files("b"))

    def seconds(self) -> float:
        """Time of the last change, as `time.time` has it; 0 where there is none."""
        times = [0.0]
        for file in (*self.folder.glob("*.npz"), *self.folder.glob("*.json")):
            with suppress(OSError):  # a link to nowhere
                times.append(file.stat().st_mtime)
        return max(times)

    def load(self, first: int = 1) -> Loaded:
        """Read everything back; a damaged file costs what it held, and nothing else.

        Parameters
        ----------
        first : int
            What the host calls the first B-scan, in what it says.

        Raises
        ------
        ValueError
            A newer version wrote it, or there is not one B-scan to tell its shape, in words.
        """
        header, problems = read_header(self.folder)
        name = header["name"]
        bscans, damaged = {}, []
        for index, file in self._files("b"):
            try:
                bscans[index] = _read_bscan(file)
            except Exception as error:  # a flipped bit ends in any of a dozen kinds
                problems.append(_lost(name, index, first, "the labels", error))
                damaged.append(file)
        planes = {i: labels.shape for i, (labels, _) in bscans.items()}
        try:
            shape = fitting_shape(header["shape"], planes)
            if header["shape"] and not _fits_memory(shape):
                problems.append(f"“{name}”: no layer has the shape {shape} of its {HEADER}")
                shape = fitting_shape(None, planes)
        except ValueError as error:
            raise ValueError(f"the autosave in {self.folder} {error}") from error
        kinds = Counter(labels.dtype.str for labels, _ in bscans.values()).most_common(1)
        dtype = kinds[0][0] if kinds else header["dtype"] or "|u1"
        header |= {"shape": list(shape), "dtype": dtype}
        labels, by_hand = np.zeros(shape, dtype), np.zeros(shape, np.uint8)
        out = Loaded(header, labels, by_hand, {}, problems, damaged)
        for index, (plane, marks) in bscans.items():
            try:
                labels[index] = _as(dtype, _fitting(plane, index, shape))
                by_hand[index] = np.unpackbits(marks, count=plane.size).reshape(plane.shape)
            except (ValueError, TypeError) as error:
                problems.append(_lost(name, index, first, "the labels", error))
                damaged.append(self._file("b", index))
                continue
            self._digests[index] = _digest(labels[index], np.packbits(by_hand[index]))
        for index, file in self._files("m"):
            try:
                out.model[index] = _read_model(file, index, shape)
            except Exception as error:
                problems.append(_lost(name, index, first, "the model's samples", error))
        problems += self._strangers()
        if not problems:
            self._header = header
        return out

    def set_aside_damaged(self, loaded: Loaded) -> None:
        """Keep what could not be read under another name: nothing writes over it."""
        for file in loaded.damaged:
            file.replace(_free(file.with_suffix(".npz.damaged")))
        header = self.folder / HEADER
        if loaded.problems and header.is_file():
            shutil.copyfile(header, _free(self.folder / f"{HEADER}.before"))

    def _files(self, kind: str) -> Iterator[tuple[Index, Path]]:
        """Files that autosave wrote, with the B-scan's place."""
        for file in sorted(self.folder.glob(f"{kind}*.npz")):
            if (index := _place(file)) is not None:
                yield index, file

    def _strangers(self) -> list[str]:
        others = (f.name for f in self.folder.glob("*.npz") if _place(f) is None)
        names = sorted(name for name in others if not half_written(name))
        if not names:
            return []
        return [
            f"{', '.join(names[:3])}{' and others' * (len(names) > 3)} in {self.folder} are not "
            "autosave's (copies that a synchronisation made?): they were left there unread, and "
            "numpy.load opens them"
        ]


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an archive; each is read to its end, where its check sum is."""
    with zipfile.ZipFile(file) as archive:
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(name)), allow_pickle=False
            )
            for name in archive.namelist()
        }


def _read_bscan(file: Path) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    found = _arrays(file)
    labels, marks = found["labels"], found["by_hand"]
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "uib":
        raise ValueError(f"it holds {labels.dtype} of shape {labels.shape}, and no label map")
    if 8 * marks.size < labels.size:
        raise ValueError(
            f"it tells of {8 * marks.size} pixels what was by hand, and has {labels.size}"
        )
    return labels, marks


def _read_model(file: Path, index: Index, shape: Index) -> ModelPart:
    found = _arrays(file)
    packed = None
    if "samples" in found:
        sizes = tuple(int(n) for n in found["samples_shape"])
        # A B-scan that is padded to the stack's size has samples of its own size.
        if len(sizes) != 3 or sizes[1] > shape[-2] or sizes[2] > shape[-1]:
            raise ValueError(f"its samples are {sizes}, the layer's B-scans {shape[-2:]}")
        packed = Packed(found["samples"].tobytes(), sizes)
    provenance = parsed_json(found["provenance"].tobytes())
    if not isinstance(provenance, dict):
        raise ValueError("its provenance is no JSON object")
    return ModelPart(
        _fitting(found["written"], index, shape),
        _fitting(found["uncertainty"], index, shape),
        packed,
        provenance,
    )


def _fitting(plane: NDArray[Any], index: Index, shape: Index) -> NDArray[Any]:
    if plane.shape != shape[-2:]:
        raise ValueError(f"its shape is {plane.shape}, the layer's {shape[-2:]}")
    lead = shape[:-2]
    if len(index) != len(lead) or any(i >= n for i, n in zip(index, lead, strict=True)):
        raise ValueError(f"the layer's shape is {shape}, and has no such place")
    return plane


def _fits_memory(shape: Index) -> bool:
    try:
        np.zeros(shape, np.uint8)
    except (MemoryError, ValueError):  # of more bytes than there are, or than are numbered
        return False
    return True


def _as(dtype: str, plane: NDArray[Any]) -> NDArray[Any]:
    """Labels in the dtype of the layer, where it holds them all."""
    out = plane.astype(dtype)
    if not np.array_equal(out, plane):
        raise ValueError(f"its values {plane.min()}..{plane.max()} are none of the layer's {dtype}")
    return out


def _digest(labels: NDArray[Any], marks: NDArray[Any]) -> bytes:
    both = hashlib.blake2b(np.ascontiguousarray(labels).data, digest_size=16)
    both.update(np.ascontiguousarray(marks).data)
    return both.digest()


def _from_text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _place(file: Path) -> Index | None:
    """Place of the B-scan that a file is for; None for a name that autosave does not give."""
    if not OURS.fullmatch(file.name):
        return None
    index = tuple(int(part) for part in file.stem.split("-")[1:])
    return index if _name(file.name[0], index) == file.name else None


def _name(kind: str, index: Index) -> str:
    return "-".join([kind, *(f"{i:04d}" for i in index)]) + ".npz"


def _free(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _lost(name: str, index: Index, first: int, what: str, error: BaseException) -> str:
    where = f"B-scan {index[-1] + first} of “{name}”" if index else f"“{name}”"
    return f"{where}: {what} could not be read back ({str(error) or type(error).__name__})"
