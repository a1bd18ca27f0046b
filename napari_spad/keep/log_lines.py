"""The lines of the annotation log: a file a month, and all of them as one CSV table. No Qt here."""

from __future__ import annotations

import csv
import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import IO, Any, ClassVar

from napari_spad.desk import explain
from spad.cases import parsed_json, replaced
from spad.checkpoint import plain_text

__all__ = ["LogLines", "append_lines", "export_log"]

COLUMNS = (
    "time", "annotator", "image_sha256", "bscan", "seconds", "strokes", "undos", "redos",
    "resamplings",
)  # fmt: skip


class LogLines:
    """Lines on their way to a log. What cannot be written waits, also for a dock opened later.

    Parameters
    ----------
    folder : Path
    """

    _known: ClassVar[dict[Path, LogLines]] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._disk = Lock()
        self._waiting: list[str] = []

    @classmethod
    def of(cls, folder: Path) -> LogLines:
        """Return those of a log's folder: the same ones for every dock of this process."""
        return cls._known.setdefault(folder, cls(folder))

    @property
    def waiting(self) -> bool:
        """Whether something is not on the disk yet."""
        return bool(self._waiting)

    def add(self, line: str) -> None:
        """Take a line down, to be written."""
        self._waiting.append(line)

    def write(self) -> tuple[str, int]:
        """Write what waits; returns what went wrong, and how many lines are written."""
        with self._disk:  # another thread may be at it
            said, count = append_lines(self.folder, self._waiting[:])
            del self._waiting[:count]
        return said, count


def append_lines(folder: Path, lines: list[str]) -> tuple[str, int]:
    """Append lines to this month's file in one write: windows side by side do not mix theirs.

    Returns
    -------
    str
        What went wrong.
    int
        How many lines are on the disk, from the first on.
    """
    if not lines:
        return "", 0
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / time.strftime("%Y-%m.jsonl")).open("ab+", buffering=0) as file:
            before = b"\n" if _is_cut(file) else b""
            text = before + ("\n".join(lines) + "\n").encode(errors="backslashreplace")
            done = file.write(text)
    except OSError as error:
        return _trouble(folder, error.strerror or explain(error)), 0
    if done < len(text):
        return _trouble(folder, os.strerror(errno.ENOSPC)), text[len(before) : done].count(b"\n")
    return "", len(lines)


def _trouble(folder: Path, why: str) -> str:
    return (
        f"The annotation log in {folder} could not be written ({why}): free some room or allow "
        "writing there"
    )


def _is_cut(file: IO[bytes]) -> bool:
    """Whether a file ends within a line, which a full disk may have cut."""
    if end := file.seek(0, os.SEEK_END):
        file.seek(end - 1)
    return bool(end) and file.read(1) != b"\n"


def export_log(folder: Path, target: Path) -> int:
    """Write all lines as one CSV table, a column for each structure; return how many.

    Parameters
    ----------
    folder : Path
        Of the log.
    target : Path

    Raises
    ------
    ValueError
        There is nothing yet.
    """
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in _read(file)]
    if not lines:
        raise ValueError("The log is empty: correct a B-scan first")
    groups = {"pixels": "pixels", "dice_before": "Dice before", "dice_after": "Dice after"}
    names = sorted({name for line in lines for key in groups for name in _counts(line, key)})
    more = [f"{title} {name}" for title in groups.values() for name in names]
    with replaced(target) as beside, beside.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.DictWriter(file, [*COLUMNS, *more], extrasaction="ignore")
        table.writeheader()
        for line in lines:
            place = line.get("bscan")
            row = line | {"bscan": " ".join(map(str, place)) if isinstance(place, list) else ""}
            for key, title in groups.items():
                row |= {f"{title} {n}": value for n, value in _counts(line, key).items()}
            table.writerow({k: plain_text(v) if isinstance(v, str) else v for k, v in row.items()})
    return len(lines)


def _counts(line: dict[str, Any], key: str) -> dict[str, Any]:
    """Numbers by structure of a line; none where it was written otherwise."""
    found = line.get(key)
    return found if isinstance(found, dict) else {}


def _read(file: Path) -> Iterable[dict[str, Any]]:
    for text in file.read_bytes().split(b"\n"):  # a name may hold what else ends a line of text
        try:
            line = parsed_json(text.decode("utf-8"))
        except ValueError:
            continue  # cut off when the machine stopped, also within a letter
        if isinstance(line, dict):
            yield line
