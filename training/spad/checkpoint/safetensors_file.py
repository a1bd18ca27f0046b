"""Checkpoints: a safetensors file with one metadata entry, key `spad`, that holds the card as JSON.

A checkpoint may come from anywhere, so a file is understood in full, by hand and within limits,
before the safetensors library sees it. Pickles, which can run code, are never opened. The header
alone, and no torch, is needed to read a card.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spad.checkpoint.card import Card

if TYPE_CHECKING:
    import torch

__all__ = ["load", "read_card", "save", "save_with_card", "sha256", "shipped"]

_MAX_HEADER = 4 * 2**20
_MAX_DATA = 2 * 2**30
_MAX_TENSORS = 10_000
_MAX_NAME = 500
_MAX_DIMS = 8
_ITEM_SIZE = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "I32": 4, "I64": 8}
_ITEM_SIZE |= {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def read_card(path: str | os.PathLike[str]) -> Card:
    """Read what a checkpoint says of itself, without torch and without its tensors.

    Parameters
    ----------
    path : path-like
        A safetensors file by SPAD.

    Returns
    -------
    Card

    Raises
    ------
    OSError
        Missing, unreadable or not a regular file.
    ValueError
        Not a SPAD checkpoint, damaged, or of a newer SPAD; the message says what the file is.
    """
    path = _regular_file(path)
    with path.open("rb") as handle:
        return _understand(handle, path.stat().st_size, str(path))


def load(path: str | os.PathLike[str]) -> tuple[Card, dict[str, torch.Tensor]]:
    """Read a checkpoint: its card, and its tensors on the CPU.

    Whether names and shapes fit the network is for the network to say.

    Parameters
    ----------
    path : path-like
        A safetensors file by SPAD.

    Returns
    -------
    card : Card
    tensors : dict of torch.Tensor
        Floating-point ones as float32, finite; others as stored. They share no memory with the
        file.

    Raises
    ------
    OSError, ValueError
        As `read_card`; a ValueError also if a weight is not finite.
    """
    card = read_card(path)

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(path, device="cpu")
    except SafetensorError as error:  # cannot be: the header was checked
        raise ValueError(f"{path}: safetensors refuses it ({error}); get the file again") from error
    tensors = {}
    for name, tensor in stored.items():
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        # A copy, since the library maps the file: it could not be replaced on Windows.
        tensors[name] = tensor.to(dtype, copy=True)
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(
                f"{path}: tensor {name!r} holds NaN or infinity; the training failed or the file "
                "is damaged, use another checkpoint"
            )
    return card, tensors


def save(
    path: str | os.PathLike[str],
    card: Card,
    tensors: Mapping[str, torch.Tensor],
    *,
    half: bool = True,
) -> None:
    """Write a checkpoint, atomically: `path` holds the old file or the whole new one.

    The same card and tensors give the same bytes.

    Parameters
    ----------
    path : path-like
        By custom ``*.safetensors``.
    card : Card
    tensors : mapping of torch.Tensor
        On any device.
    half : bool
        Store floating-point tensors as float16, else as float32.

    Raises
    ------
    ValueError
        A tensor holds NaN or infinity, or what float16 cannot hold.
    OSError
        The file cannot be written; `path` is as it was.
    """
    import torch
    from safetensors.torch import save as to_bytes

    path = Path(path)
    stored = {}
    for name, tensor in tensors.items():
        dtype = tensor.dtype
        if tensor.is_floating_point():
            dtype = torch.float16 if half else torch.float32
        # A copy also of tied weights, which safetensors would refuse.
        stored[name] = tensor.detach().to(
            "cpu", dtype, copy=True, memory_format=torch.contiguous_format
        )
        if not torch.isfinite(stored[name]).all():
            raise ValueError(
                f"{path}: tensor {name!r} holds NaN, infinity or (half={half}) values beyond "
                f"{torch.finfo(dtype).max:g}; look at the training, or save with half=False"
            )
    content = to_bytes(stored, {"spad": json.dumps(card.as_json(), allow_nan=False)})
    # What `save` writes, `load` opens.
    _understand(io.BytesIO(content), len(content), str(path))
    _write(path, content)


def save_with_card(
    source: str | os.PathLike[str], card: Card, path: str | os.PathLike[str]
) -> None:
    """Write a checkpoint's tensors, as they are to the byte, with another card; atomically.

    Parameters
    ----------
    source : path-like
        A checkpoint.
    card : Card
    path : path-like
        Where to; may be `source` itself.

    Raises
    ------
    OSError, ValueError
        As `read_card` and `save`.
    """
    read_card(source)
    content = Path(source).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = {"spad": json.dumps(card.as_json(), allow_nan=False)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the data
    content = len(text).to_bytes(8, "little") + text + content[start:]
    _understand(io.BytesIO(content), len(content), str(path))
    _write(Path(path), content)


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def shipped() -> dict[str, Path]:
    """Names and paths of the checkpoints that come with the package, sorted by name."""
    return {p.stem: p for p in sorted((Path(__file__).parent / "models").glob("*.safetensors"))}


def _regular_file(path: str | os.PathLike[str]) -> Path:
    """`path`, if it is a file: a folder, or a pipe that would block for ever, is refused."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "no such checkpoint; check the path, or list the shipped ones", str(path)
        ) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a folder; give the .safetensors file in it")
    if not stat.S_ISREG(mode):
        raise OSError(f"{path} is not a regular file; copy the checkpoint to a disk")
    return path


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then put it in its place."""
    # Not tempfile: its files are for their owner alone, a checkpoint is not.
    temporary = path.with_name(f".spad-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = (
                f"cannot save the checkpoint ({error.strerror}); free space or choose another place"
            )
            raise OSError(error.errno, reason, str(path)) from error
        raise


def _understand(handle: BinaryIO, size: int, path: str) -> Card:
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
