"""Files that only grow, a line at a time: failures with their reasons, rows of a table to be.

A line is JSON and written by one call. Of a process that was killed half a line may be left at the
end; it is passed over, and the next line begins on its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from spad.cases import parsed_json

__all__ = ["Ledger", "Rows"]


class Ledger:
    """Lines of a file; a reader at any time sees whole ones.

    Parameters
    ----------
    path : Path
        It need not exist; it is made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, **what: Any) -> int:
        """Append a line and wait until the disk has it; the place in the file where it begins."""
        line = json.dumps(what, default=lambda value: value.item())  # ASCII: names may be any bytes
        with self.path.open("ab+") as file:
            place = file.seek(0, os.SEEK_END)
            if place and (file.seek(place - 1), file.read(1))[1] != b"\n":
                file.write(b"\n")
                place += 1
            file.write(line.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return place

    def failed(self, file: str, reason: str) -> None:
        """Note a file that failed."""
        self.add(date=datetime.now().isoformat(timespec="seconds"), file=file, reason=reason)

    def lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every whole line with its place, one after the other."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            place = 0
            for line in file:
                try:
                    told = parsed_json(line)
                except ValueError:
                    told = None
                if isinstance(told, dict):
                    yield place, told
                place += len(line)

    def at(self, place: int) -> dict[str, Any]:
        """The line that begins at a place."""
        with self.path.open("rb") as file:
            file.seek(place)
            told: dict[str, Any] = parsed_json(file.readline())
            return told


class Rows:
    """Rows of a table on the disk, by the file that they are of, until the table can be written.

    Parameters
    ----------
    path : Path
        What an earlier run left there is known.
    """

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self._places: dict[str, tuple[str, int]] = {}
        for place, told in self.ledger.lines():
            if isinstance(told.get("rows"), list) and "file" in told and "key" in told:
                self._places[str(told["file"])] = str(told["key"]), place

    def key(self, file: str) -> str:
        """The key of the rows of a file; empty where there are none."""
        return self._places.get(file, ("", 0))[0]

    def add(self, file: str, key: str, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a file."""
        self._places[file] = key, self.ledger.add(file=file, key=key, rows=rows)

    def of(self, file: str) -> list[dict[str, Any]]:
        """The rows of a file."""
        rows: list[dict[str, Any]] = self.ledger.at(self._places[file][1])["rows"]
        return rows

    def remove(self) -> None:
        """Remove the file, once the table is written."""
        self.ledger.path.unlink(missing_ok=True)
