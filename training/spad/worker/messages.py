"""Messages between a front end and its worker: a line of JSON, then the bytes of some arrays.

No pickle: a message can run nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["receive", "send"]


def send(pipe: IO[bytes], content: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Write a message.

    Parameters
    ----------
    pipe : binary file
    content : mapping of JSON values
    arrays : sequence of arrays of bool or real dtype
    """
    plain = [np.ascontiguousarray(a) for a in arrays]
    shapes = [(a.dtype.str, a.shape) for a in plain]
    pipe.write(json.dumps({**content, "arrays": shapes}).encode() + b"\n")
    for array in plain:
        pipe.write(array.tobytes())
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
    """Wait for a message; None where the other side has gone.

    Returns
    -------
    content : dict
    arrays : list of arrays
    """
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    content = json.loads(line)
    arrays = []
    for dtype, shape in content.pop("arrays"):
        kind = np.dtype(dtype)
        raw = pipe.read(kind.itemsize * int(np.prod(shape)))
        if len(raw) < kind.itemsize * int(np.prod(shape)):
            return None
        arrays.append(np.frombuffer(raw, kind).reshape(shape))
    return content, arrays
