"""How much a server takes at once, and each refusal in words, with the limit and the remedy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["Limits", "Refused", "refuse_large"]


class Refused(Exception):
    """A “no”: the status of HTTP, one word for programs, a sentence for a person."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Parameters
    ----------
    request_mb : float
        Of the arrays of one run, before compression.
    model_mb : float
        Of a model that a desk sends; 0: none is taken.
    models : int
        That desks have sent, and are kept; the one longest unused goes first.
    waiting, waiting_each : int
        Runs in the queue: of all, and of one token.
    minutes : float
        Of one run, from its first step.
    linger_s : float
        So long a run, or its result, waits for a desk that does not listen.

    Raises
    ------
    ValueError
        A limit that no run, or no desk, could keep.
    """

    request_mb: float = 1024.0
    model_mb: float = 512.0
    models: int = 16
    waiting: int = 64
    waiting_each: int = 16
    minutes: float = 60.0
    linger_s: float = 90.0

    def __post_init__(self) -> None:
        """Refuse what would start a server that then refuses everybody."""
        for name, value in asdict(self).items():
            good, wanted = value >= 1, "a number of at least 1"
            if name in ("model_mb", "linger_s"):
                good, wanted = value >= 0, "a number of at least 0"
            elif name in ("request_mb", "minutes"):
                good, wanted = value > 0, "a number above 0, not infinity"
            if not (good and math.isfinite(value)):
                raise ValueError(f"--{name.replace('_', '-')} {value:g}: give {wanted}")


def refuse_large(arrays: Sequence[tuple[np.dtype[Any], Sequence[int]]], limits: Limits) -> None:
    """Refuse more than a server takes in one run.

    Raises
    ------
    Refused
    """
    size = sum(kind.itemsize * float(np.prod(shape)) for kind, shape in arrays) / 1e6
    if size > limits.request_mb:
        raise Refused(
            413,
            "size",
            f"this run sends {size:.0f} MB, this server takes {limits.request_mb:.0f}: send fewer "
            "B-scans at once, or let who runs it raise --request-mb",
        )
