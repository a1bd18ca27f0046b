"""A label layer on the disk, B-scan by B-scan, so that a stroke writes one small file. No Qt here.

``layer.json`` says what the layer is. For each B-scan ``b-0003.npz`` holds the labels and what a
person painted, ``m-0003.npz`` what the model put there, its uncertainty, samples and provenance: a
stroke does not touch it. The files are zip archives, whose checksums tell of damage. Nothing of the
image is in them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_spad.layers import Packed
from spad.cases import replaced

__all__ = ["FORMAT", "AutosavedLayer", "Loaded", "ModelPart"]

FORMAT = 1
HEADER = "layer.json"
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

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
        B-scans that could not be read back, in words.
    """

    header: dict[str, Any]
    labels: NDArray[Any]
    by_hand: NDArray[np.uint8]
    model: dict[Index, ModelPart] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


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

    def save_header(self, header: Mapping[str, Any]) -> None:
        """Write what the layer is, if that changed."""
        header = {"format": FORMAT, **header}
        if header == self._header:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replaced(self.folder / HEADER) as file:
            file.write_text(json.dumps(header, indent=1, ensure_ascii=False), "utf-8")
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
        return self.folder / ("-".join([kind, *(f"{i:04d}" for i in index)]) + ".npz")

    # ------------------------------------------------------------------ in

    def read_header(self) -> dict[str, Any]:
        """Read what the layer is.

        Raises
        ------
        ValueError
            It is damaged, or of a newer version, in words.
        """
        try:
            header = json.loads((self.folder / HEADER).read_text("utf-8"))
            version, shape = int(header["format"]), [int(n) for n in header["shape"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"the autosave in {self.folder} has no readable {HEADER} ({error}); its b-….npz "
                "files hold the labels of single B-scans, readable with numpy.load"
            ) from error
        if version > FORMAT:
            raise ValueError(
                f"the autosave in {self.folder} is of format {version}, this version reads up to "
                f"{FORMAT}: update napari-spad"
            )
        if len(shape) < 2 or min(shape) < 1:
            raise ValueError(f"the autosave in {self.folder} says its shape is {shape}")
        return dict(header)

    def places(self) -> list[Index]:
        """Places of the B-scans that are saved."""
        return sorted(_place(file) for file in self.folder.glob("b*.npz"))

    def seconds(self) -> float:
        """Time of the last change, as `time.time` has it; 0 where there is none."""
        files = [*self.folder.glob("*.npz"), *self.folder.glob("*.json")]
        return max((file.stat().st_mtime for file in files), default=0.0)

    def load(self) -> Loaded:
        """Read everything back; a damaged file costs that B-scan only.

        Raises
        ------
        ValueError
            The header is damaged.
        """
        header = self.read_header()
        shape = tuple(header["shape"])
        out = Loaded(header, np.zeros(shape, header["dtype"]), np.zeros(shape, np.uint8))
        for file in sorted(self.folder.glob("b*.npz")):
            index = _place(file)
            try:
                labels, marks = self._read_bscan(file, shape)
                out.labels[index], out.by_hand[index] = labels, marks
            except DAMAGED as error:
                out.problems.append(_lost(header, index, "the labels", error))
                continue
            self._digests[index] = _digest(labels, np.packbits(marks))
        for file in sorted(self.folder.glob("m*.npz")):
            index = _place(file)
            try:
                out.model[index] = _read_model(file, shape)
            except DAMAGED as error:
                out.problems.append(_lost(header, index, "the model's samples", error))
        self._header = header
        return out

    def set_aside_damaged(self, loaded: Loaded) -> None:
        """Keep files that could not be read under another name: nothing writes over them."""
        for index in {*self.places()} - {*self._digests}:
            file = self._file("b", index)
            file.replace(file.with_suffix(".npz.damaged"))

    def _read_bscan(self, file: Path, shape: Index) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        plane = shape[-2:]
        with np.load(file, allow_pickle=False) as archive:
            labels = archive["labels"]
            marks = np.unpackbits(archive["by_hand"], count=plane[0] * plane[1]).reshape(plane)
        if labels.shape != plane:
            raise ValueError(f"its shape is {labels.shape}, the layer's {plane}")
        return labels, marks


def _read_model(file: Path, shape: Index) -> ModelPart:
    with np.load(file, allow_pickle=False) as archive:
        packed = None
        if "samples" in archive:
            packed = Packed(
                archive["samples"].tobytes(), tuple(int(n) for n in archive["samples_shape"])
            )
        part = ModelPart(
            archive["written"],
            archive["uncertainty"],
            packed,
            json.loads(archive["provenance"].tobytes()),
        )
    if part.written.shape != shape[-2:] or part.uncertainty.shape != shape[-2:]:
        raise ValueError(f"its shape is {part.written.shape}, the layer's {shape[-2:]}")
    return part


def _digest(labels: NDArray[Any], marks: NDArray[Any]) -> bytes:
    both = hashlib.blake2b(np.ascontiguousarray(labels).data, digest_size=16)
    both.update(np.ascontiguousarray(marks).data)
    return both.digest()


def _from_text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _place(file: Path) -> Index:
    return tuple(int(part) for part in file.stem.split("-")[1:])


def _lost(header: Mapping[str, Any], index: Index, what: str, error: BaseException) -> str:
    where = f"B-scan {index[-1] + 1} of “{header['name']}”" if index else f"“{header['name']}”"
    return f"{where}: {what} could not be read back ({error or type(error).__name__})"
