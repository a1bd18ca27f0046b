"""The header of a safetensors file from anywhere: understood in full, by hand and within limits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

from spad.checkpoint.card import Card

__all__ = ["card_within"]

_MAX_HEADER = 4 * 2**20
_MAX_DATA = 2 * 2**30
_MAX_TENSORS = 10_000
_MAX_NAME = 500
_MAX_DIMS = 8
_ITEM_SIZE = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}
_ITEM_SIZE |= {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def card_within(handle: BinaryIO, size: int, path: str) -> Card:
    """Check the header of a safetensors file against the file's size; give its card.

    Layout: 8 bytes, the header's length N as a little-endian integer; N bytes of JSON
    ``{"__metadata__": {"spad": "..."}, NAME: {"dtype", "shape", "data_offsets"}, ...}``; the data.
    """
    start = handle.read(8)
    length = int.from_bytes(start, "little")
    if size == 0:
        raise ValueError(f"{path} is empty; get the file again")
    if size < 8 or length > _MAX_HEADER:
        raise ValueError(f"{path} {_kind(start, length)}")
    if length > size - 8:
        raise ValueError(
            f"{path} is truncated: {size} bytes, of which the header alone needs {length + 8}; get "
            "the file again"
        )
    header = _parse(handle.read(length), f"{path}: the safetensors header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("spad"), str):
        raise ValueError(
            f"{path} is not a SPAD checkpoint: a safetensors file without the metadata entry "
            "'spad'; use files that SPAD made"
        )
    if len(metadata) > 1:
        raise ValueError(
            f"{path} has {len(metadata)} metadata entries, a SPAD checkpoint has one; another "
            "program rewrote it, use the original"
        )
    _check_layout(header, size - 8 - length, path)
    try:
        return Card.from_json(_parse(metadata["spad"], "the card"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _kind(start: bytes, length: int) -> str:
    """Say what a file is that begins with `start` and is no safetensors file."""
    # Only now: a safetensors file whose header is, say, 640 bytes long begins with b"\x80\x02" too.
    if start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        return (
            "is a PyTorch pickle; SPAD opens only safetensors, since a pickle can run code: "
            "convert it where you trust it"
        )
    if len(start) < 8:
        return f"is truncated or no checkpoint: {len(start)} bytes; get the file again"
    return (
        f"is not a safetensors file: read as one, its header would have {length} bytes, the limit "
        f"is {_MAX_HEADER}; use files that SPAD made"
    )


def _parse(text: str | bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object; refuse what the standard library lets pass or stumbles over."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) < len(pairs):
            raise ValueError("a key is given twice")
        if any(len(key) > _MAX_NAME for key in out):
            raise ValueError(f"a key is longer than {_MAX_NAME} characters")
        return out

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        # Decoded here: json.loads would guess among UTF-8, -16 and -32.
        text = text.decode() if isinstance(text, bytes) else text
        out = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except RecursionError:
        raise ValueError(f"{what} is nested too deep; the file is damaged or hostile") from None
    except ValueError as error:
        reason = str(error)[:200]
        raise ValueError(f"{what} is not readable ({reason}); get the file again") from None
    if not isinstance(out, dict):
        raise ValueError(f"{what} is not a JSON object; use files that SPAD made")
    return out


def _check_layout(entries: Mapping[str, Any], size: int, path: str) -> None:
    """Check that the tensors fill the data's `size` bytes, without gap and without overlap."""
    if size > _MAX_DATA or len(entries) > _MAX_TENSORS:
        raise ValueError(
            f"{path} has {len(entries)} tensors in {size} bytes; allowed are {_MAX_TENSORS} in "
            f"{_MAX_DATA}"
        )
    spans = []
    for name, entry in entries.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            integers = [*shape, begin, end]
            sound = (
                len(entry) == 3
                and type(shape) is list
                and len(shape) <= _MAX_DIMS
                and all(type(i) is int and 0 <= i <= size for i in integers)
                and math.prod(shape) * _ITEM_SIZE[dtype] == end - begin
            )
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise ValueError(
                f"{path}: tensor {name!r} has an unknown type, or shape and offsets that do not "
                "fit each other or the file; the file is truncated or damaged, get it again"
            )
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError(
                f"{path}: its tensors overlap or leave a gap at byte {position} of the data; the "
                "file is damaged, get it again"
            )
        position = end
    if position != size:
        raise ValueError(
            f"{path}: its tensors end at byte {position} of the data, the file at {size}; the file "
            "is damaged, get it again"
        )
