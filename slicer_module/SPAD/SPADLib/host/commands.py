"""Running a command while the window stays alive, and hearing what another one prints.

This file also runs on the Python of old Slicers.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Overheard", "python_program", "run_command"]
_ENDS = re.compile(rb"[\r\n]")


def python_program(*names: str) -> str:
    """Slicer's Python as a program that is not Slicer.

    Parameters
    ----------
    *names : str
        The programs that will do, the best first. ``PythonSlicer`` is the documented one: it starts
        ``python-real`` in a process of its own, which lives on where PythonSlicer is killed.

    Raises
    ------
    OSError
        There is none beside Slicer.
    """
    python = next(filter(None, map(shutil.which, names)), sys.executable)
    if "python" not in Path(python).name.lower():  # it would open a second Slicer
        raise OSError(f"{' or '.join(names)} was not found beside Slicer")
    return python


def run_command(command: list[str]) -> Iterator[str]:
    """Run a command; yield its newest whole line as it comes, and "" while it says nothing.

    A program may write a line in pieces (Python does, unbuffered); none of them is shown.

    Raises
    ------
    subprocess.CalledProcessError
        With all that it said, if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="spad-", ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log.txt")
        # Opened twice: through one handle, reading would move the place where the command writes.
        with log.open("wb") as sink, log.open("rb") as source:
            process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            begun = b""
            try:
                while process.poll() is None:
                    *lines, begun = _ENDS.split(begun + source.read())
                    newest = next((t for t in reversed(lines) if t.strip()), b"")
                    yield newest.decode("utf-8", "replace")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.02)  # else the event loop would turn as fast as it can
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        output = log.read_text("utf-8", "replace")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)


class Overheard(io.StringIO):
    """Takes what is printed, and passes it on: Slicer prints what its commands say."""

    def __init__(self, listener: Any) -> None:
        super().__init__()
        self._listener = listener

    def write(self, text: str) -> int:
        """Take a text, and pass it on."""
        if self._listener is not None:
            self._listener.write(text)
        return super().write(text)
