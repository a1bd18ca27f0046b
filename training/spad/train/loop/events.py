"""What a run tells: TensorBoard's events, and ``progress.jsonl`` for front ends.

Both are a comfort that may fail (a full disk) without ending the run.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spad.annotation import PROGRESS
from spad.cases import file_error

__all__ = ["Events"]


class Events:
    """Scalars by step; a context manager.

    Parameters
    ----------
    out : Path or None
        Folder of the run; None writes nothing.
    step : int
        Steps done; what a killed run has written of later ones is hidden.
    """

    def __init__(self, out: Path | None, step: int) -> None:
        self._writer: Any = None
        self._began = time.monotonic()
        self._progress = None if out is None else out / PROGRESS
        if out is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = self._try(SummaryWriter, str(out), purge_step=step + 1)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._try(self._writer.close)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars of a step."""
        for name, value in values.items():
            if self._writer is not None:
                self._try(self._writer.add_scalar, name, value, step)

    def note(self, step: int, **content: Any) -> None:
        """Append a line to ``progress.jsonl``; numbers that are none become null."""
        if self._progress is None:
            return
        seconds = round(time.monotonic() - self._began, 2)
        line = json.dumps(_finite({"step": step, "seconds": seconds, **content}))
        try:
            with self._progress.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            warnings.warn(f"{self._progress} is not written ({file_error(error)})", stacklevel=2)
            self._progress = None

    def flush(self) -> None:
        """Bring to disk what was written so far."""
        if self._writer is not None:
            self._try(self._writer.flush)

    def _try(self, write: Callable[..., Any], *values: Any, **more: Any) -> Any:
        try:
            return write(*values, **more)
        except (OSError, RuntimeError) as error:
            self._writer = None
            warnings.warn(
                f"TensorBoard's events are not written any more ({file_error(error)}); the run "
                "goes on",
                stacklevel=3,
            )
            return None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
