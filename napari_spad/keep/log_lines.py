"""The lines of the annotation log: a file a month, and all of them as one CSV table. No Qt here."""

from __future__ import annotations

import csv
import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import IO, Any

from napari_spad.desk import explain
from spad.cases import parsed_json, replaced
from spad.metrics import plain_text

__all__ = ["append_lines", "export_log"]

COLUMNS = (
    "time", "annotator", "image_sha256", "bscan", "seconds", "strokes", "undos", "redos",
    "resamplings",
)  # fmt: skip


def append_lines(disk: Lock, folder: Path, lines: list[str]) -> tuple[str, list[str]]:
    """Append lines to this month's file in one write: windows side by side do not mix theirs."""
    if not lines:
        return "", []
    with disk:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (folder / time.strftime("%Y-%m.jsonl")).open("ab+", buffering=0) as file:
                text = ("\n".join(lines) + "\n").encode(errors="backslashreplace")
                if _is_cut(file):
                    text = b"\n" + text
                if file.write(text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            why = error.strerror or explain(error)
            return (
                f"The annotation log in {folder} could not be written ({why}): free some room or "
                "allow writing there; it is tried again with the next B-scan",
                lines,
            )
    return "", lines


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
