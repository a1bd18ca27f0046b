"""Messages between a front end, its worker and a server: a line of JSON, then arrays in blocks.

No pickle: a message can run nothing. The same on a pipe as over HTTP; docs/serving.md has it in
full. A message that does not hold what it says is refused once it has been read to its end, so that
what follows it on the same pipe is still understood.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spad.cases import parsed_json

__all__ = [
    "PROTOCOL",
    "Place",
    "array_bytes",
    "copy_arrays",
    "header_line",
    "line_of",
    "parsed_header",
    "receive",
    "relay",
    "send",
]

PROTOCOL = 1
"""Changes with what a message means, or how it is written."""
BLOCK = 2**20
"""Bytes of an array, before compression, in one block at most."""
WORTH = 0.75
"""A block that packs worse is sent as it is: from 100 to 200 Mbit/s on that takes less time."""
LONGEST_LINE = 2**22
_COMPRESSED = 2**31
_KINDS = re.compile(r"[<>|=]?[buif][1248]")


class Pipe(Protocol):
    """What a message is read from; less than asked for is its end."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, limit: int, /) -> bytes: ...


Place = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""Gives the array of a shape and type that a received one is written to."""


def send(
    pipe: IO[bytes],
    content: Mapping[str, Any],
    arrays: Sequence[Any] = (),
    *,
    compress: bool = False,
) -> None:
    """Write a message.

    Parameters
    ----------
    pipe : binary file
    content : mapping of JSON values
    arrays : sequence of arrays of bool or real dtype
    compress : bool
        For a line that is slower than zlib.
    """
    pipe.write(header_line(content, arrays))
    for array in arrays:
        for block in array_bytes(array, compress=compress):
            pipe.write(block)
    pipe.flush()


def header_line(content: Mapping[str, Any], arrays: Sequence[Any] = ()) -> bytes:
    """The line that a message begins with; of the arrays, only shape and dtype are looked at."""
    shapes = [(np.dtype(a.dtype).str, tuple(a.shape)) for a in arrays]
    return line_of({**content, "arrays": shapes})


def line_of(content: Mapping[str, Any]) -> bytes:
    """The same of a content that has its `arrays` in it, as it comes over HTTP."""
    return json.dumps(content).encode() + b"\n"


def array_bytes(array: Any, *, compress: bool) -> Iterator[bytes]:
    """Blocks of an array; a lazy one of planes is read plane by plane.

    A block is its length as four bytes, the highest bit set where it is compressed, and its bytes;
    an empty one is the last.
    """
    lazy = not isinstance(array, np.ndarray) and len(array.shape) > 2
    for plane in (array[z] for z in range(array.shape[0])) if lazy else (array,):
        whole = np.ascontiguousarray(plane).reshape(-1).view(np.uint8)
        worth = compress
        for start in range(0, whole.size, BLOCK):
            raw = whole[start : start + BLOCK].tobytes()
            if worth:
                # By runs alone: noise packs as well as otherwise, in a third of the time.
                packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
                packed = packer.compress(raw) + packer.flush()
                if len(packed) < WORTH * len(raw):
                    yield (len(packed) | _COMPRESSED).to_bytes(4, "big") + packed
                    continue
                worth = False  # noise: nor will the rest of the plane be
            yield len(raw).to_bytes(4, "big") + raw
    yield bytes(4)


def receive(
    pipe: Pipe, place: Place = np.empty
) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
    """Wait for a message; None where the other side has gone.

    Parameters
    ----------
    pipe : binary file
    place : callable, optional
        Where the arrays go; into memory by default.

    Returns
    -------
    content : dict
    arrays : list of arrays

    Raises
    ------
    ValueError
        An array is not what the message says; the message is read to its end nevertheless.
    """
    line = pipe.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    content, shapes = parsed_header(line)
    arrays, wrong = [], False
    for kind, shape in shapes:
        array = place(shape, kind)
        flat = array.reshape(-1).view(np.uint8)
        at = 0
        for block in _blocks(pipe):
            if block is None:
                return None
            raw = _plain(block)
            if raw is None or at + len(raw) > flat.size:
                wrong = True
                continue
            flat[at : at + len(raw)] = np.frombuffer(raw, np.uint8)
            at += len(raw)
        wrong |= at != flat.size
        arrays.append(array)
    if wrong:
        raise ValueError("a message is damaged: an array is not as long as it says; try again")
    return content, arrays


def parsed_header(line: bytes) -> tuple[dict[str, Any], list[tuple[np.dtype[Any], Any]]]:
    """What a message's first line says; trusted in nothing.

    Returns
    -------
    content : dict
    arrays : list of (dtype, shape)

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        content = parsed_json(line)
        arrays = [(str(kind), tuple(shape)) for kind, shape in content.pop("arrays")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"this is no message of SPAD ({type(error).__name__}); update the older side"
        ) from None
    for kind, shape in arrays:
        sizes = all(isinstance(n, int) and 0 <= n < 2**40 for n in shape)
        if not (_KINDS.fullmatch(kind) and sizes and len(shape) <= 5):
            raise ValueError(f"a message holds an array of type {kind[:20]!r}; real numbers can be")
    return content, [(np.dtype(kind), shape) for kind, shape in arrays]


def relay(pipe: Pipe, write: Callable[[bytes], object] | None = None) -> dict[str, Any] | None:
    """Hand a message on as it is, piece by piece; None where it breaks off.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    ValueError
        It is none.
    """
    line = pipe.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    content, arrays = parsed_header(line)
    if write is not None:
        write(line)
    return content if copy_arrays(pipe, len(arrays), write) else None


def copy_arrays(pipe: Pipe, count: int, write: Callable[[bytes], object] | None = None) -> bool:
    """Hand on the blocks of some arrays, or merely read them; whether they were whole."""
    for _ in range(count):
        for block in _blocks(pipe):
            if block is None:
                return False
            if write is not None:
                write(b"".join(block))
        if write is not None:
            write(bytes(4))
    return True


def _blocks(pipe: Pipe) -> Iterator[tuple[bytes, bytes] | None]:
    """Length and bytes of the blocks of an array; None where they break off."""
    while True:
        head = pipe.read(4)
        size = int.from_bytes(head, "big") & ~_COMPRESSED
        body = pipe.read(size) if len(head) == 4 and size <= 2 * BLOCK else b""
        if len(head) < 4 or len(body) < size:
            yield None
            return
        if not size:
            return
        yield head, body


def _plain(block: tuple[bytes, bytes]) -> bytes | None:
    """A block's bytes, inflated to no more than a block holds; None where it is damaged."""
    head, body = block
    if not head[0] & 0x80:
        return body
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(body, BLOCK)
    except zlib.error:
        return None
    return raw if inflater.eof else None
