"""What became of each B-scan, kept from one session to the next in one JSON file.

A B-scan is known by the hash of its pixels (``image_sha256`` of a run's provenance): the file holds
no name, number or path of a patient or an image. An acceptance holds for the label map that was
accepted, known by a check sum.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spad.annotation.review_queue import STATES, State
from spad.cases import alone, parsed_json, set_aside, write_json

__all__ = ["Entry", "ReviewBook", "check_sum"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a B-scan.

    Parameters
    ----------
    state : State
    accepted : int or None
        Check sum of the label map that was last accepted.
    """

    state: State
    accepted: int | None = None


def check_sum(labels: NDArray[np.integer[Any]]) -> int:
    """Tell one label map of a B-scan from another, whatever its integers' size."""
    return zlib.crc32(labels.astype(np.uint8).tobytes())


class ReviewBook:
    """The entries of one annotator, by hash of the B-scan; the others' in the file stay.

    Parameters
    ----------
    path : Path
        The file; its folder is made when first needed.
    annotator : str
        Each has a queue of their own.

    Notes
    -----
    `load` and `save` may run in a worker thread. `save` reads the file anew, changes what this book
    changed, and replaces it in one step, while no other program does: two can keep one file.
    """

    def __init__(self, path: Path, annotator: str = "") -> None:
        self.path, self.annotator = path, annotator
        self._entries: dict[str, Entry] = {}
        self._changed: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._saving = threading.Lock()

    def __getitem__(self, sha256: str) -> Entry | None:
        """Entry of a B-scan, None where there is none."""
        return self._changed.get(sha256) or self._entries.get(sha256)

    def mark(self, sha256: str, entry: Entry) -> None:
        """Take down what became of a B-scan, to be saved."""
        with self._lock:
            self._changed[sha256] = entry

    @property
    def unsaved(self) -> bool:
        """Whether there is something to save."""
        return bool(self._changed)

    def load(self) -> str:
        """Read the file; what cannot be read is set aside.

        Returns
        -------
        str
            What the user has to know; mostly empty.

        Raises
        ------
        OSError
            The file is there but cannot be opened.
        """
        everyone, said = self._read()
        self._entries = _entries(everyone.get(self.annotator, {}))
        return said

    def save(self) -> str:
        """Write what was marked since; what went wrong stays to be saved.

        Returns
        -------
        str
            As `load`.

        Raises
        ------
        OSError
            The folder cannot be written to.
        """
        with self._saving:
            with self._lock:
                changed = dict(self._changed)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path):
                everyone, said = self._read()
                mine = everyone.setdefault(self.annotator, {})
                mine |= {sha256: asdict(entry) for sha256, entry in changed.items()}
                write_json(self.path, {"format": FORMAT, "annotators": everyone})
            with self._lock:
                self._entries = _entries(mine)
                self._changed = {k: e for k, e in self._changed.items() if changed.get(k) != e}
        return said

    def _read(self) -> tuple[dict[str, dict[str, Any]], str]:
        """Entries of all annotators, as they stand in the file, and what there is to say."""
        try:
            content = parsed_json(self.path.read_bytes())
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']}, not {FORMAT}")
            everyone = {str(name): dict(each) for name, each in content["annotators"].items()}
        except FileNotFoundError:
            return {}, ""
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            aside = set_aside(self.path)
            why = f"{type(error).__name__}: {error}"
            return {}, (
                f"the record of reviews {self.path} cannot be read ({why}); it was kept as "
                f"{aside.name}, and a new one begun"
            )
        return everyone, ""


def _entries(mine: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the entries that make sense; a damaged one is as good as none."""
    out = {}
    for sha256, each in mine.items():
        if isinstance(each, dict) and each.get("state") in STATES:
            accepted = each.get("accepted")
            out[sha256] = Entry(each["state"], accepted if isinstance(accepted, int) else None)
    return out
