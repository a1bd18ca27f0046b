"""TensorBoard's events: a comfort that may fail (a full disk) without ending the run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
                f"TensorBoard's events are not written any more ({error}); the run goes on",
                stacklevel=3,
            )
            return None
