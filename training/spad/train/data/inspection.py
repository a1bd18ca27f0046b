"""What a check needs to know of files: read once, then remembered in the cache.

A file is known again by its size and the times of its last change, as git does it: the time of its
inode cannot be set, so that a replaced file is read again even where size and date were forged. A
file younger than the clock of a file system can tell is not remembered at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spad.cases import Case, file_error, parsed_json
from spad.pictures import image_files
from spad.train.data.cache import Cache

__all__ = ["Facts", "Inspector", "shown_classes"]

_VERSION = 2  # sizes are those of the upright image
_YOUNG_NS = 3_000_000_000  # the coarsest clock of a file system (FAT) ticks every 2 s


class Facts(NamedTuple):
    """What is known of an image or label map.

    ``digest`` is the content's SHA-256, ``shape`` (rows, columns), or () where it cannot be read;
    bit v of ``values`` tells whether a label map has the value v; ``fault`` says why a file cannot
    be read, else it is empty.
    """

    digest: str
    shape: tuple[int, ...]
    values: int
    fault: str = ""


class Inspector:
    """Facts of files.

    Parameters
    ----------
    cache : Cache, optional
        Where to remember them; None: nowhere.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._records: dict[Path, dict[str, list[Any]]] = {}
        self._facts: dict[Path, Facts] = {}

    def image(self, case: Case) -> Facts:
        """Facts of a case's image."""
        return self._of(case.folder, case.image, False)

    def labels(self, case: Case) -> Facts | None:
        """Facts of a case's label map; None if it has none."""
        return None if case.labels is None else self._of(case.folder, case.labels, True)

    def save(self) -> None:
        """Remember what was found."""
        if self._cache is not None:
            for folder, record in self._records.items():
                self._cache.put(_key(folder), json.dumps(record).encode())

    def _of(self, folder: Path, file: Path, labels: bool) -> Facts:
        if (known := self._facts.get(file)) is not None:
            return known
        record = self._record(folder)
        name = f"{file.parent.name}/{file.name}"
        before = time.time_ns()
        try:
            stamp = _stamp(file)
        except OSError:
            stamp = []
        old = record.pop(name, None)
        if old is not None and stamp and old[:3] == stamp:
            facts = Facts(old[3], tuple(old[4]), int(old[5], 16))
        else:
            facts = _read(file, labels)
        if stamp and not facts.fault and max(stamp[1:]) < before - _YOUNG_NS:
            record[name] = [*stamp, facts.digest, facts.shape, f"{facts.values:x}"]
        self._facts[file] = facts
        return facts

    def _record(self, folder: Path) -> dict[str, list[Any]]:
        if folder not in self._records:
            stored = self._cache.get(_key(folder)) if self._cache is not None else None
            self._records[folder] = {} if stored is None else parsed_json(stored)
        return self._records[folder]


def _key(folder: Path) -> str:
    return hashlib.sha256(
        json.dumps(["facts", _VERSION, str(folder.resolve())]).encode()
    ).hexdigest()


def _stamp(file: Path) -> list[int]:
    stat = os.stat(file)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _read(file: Path, labels: bool) -> Facts:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        if not labels:
            return Facts(digest, image_files.image_size(file), 0)
        found = image_files.read_label_file(file)
    except (ValueError, OSError) as error:
        return Facts("", (), 0, file_error(error))
    bits = np.packbits(np.bincount(found.ravel(), minlength=256) > 0, bitorder="little")
    return Facts(digest, found.shape, int.from_bytes(bits.tobytes(), "little"))


def shown_classes(
    cases: Sequence[tuple[Case, NDArray[np.uint8]]], k: int, inspector: Inspector
) -> NDArray[np.bool_]:
    """Which classes each case shows, bool of shape (N, k).

    Parameters
    ----------
    cases : sequence of (Case, table)
    k : int
        Classes of the model.
    inspector : Inspector
        Label maps that it does not know yet are read.
    """
    shown = np.zeros((len(cases), k), bool)
    for i, (case, table) in enumerate(cases):
        facts = inspector.labels(case)
        values = [] if facts is None else [v for v in range(256) if facts.values >> v & 1]
        classes = table[values]
        shown[i, classes[classes < k]] = True
    return shown
