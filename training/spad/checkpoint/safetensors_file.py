"""Checkpoints: a safetensors file with one metadata entry, key `spad`, that holds the card as JSON.

A checkpoint may come from anywhere, so its header is understood in full
(:mod:`spad.checkpoint.safetensors_header`) before the safetensors library sees it. Pickles, which
can run code, are never opened. The header alone, and no torch, is needed to read a card.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spad.checkpoint.card import Card
from spad.checkpoint.elsewhere import AT_SERVER, at_server, refuse_at_server
from spad.checkpoint.safetensors_header import card_within

if TYPE_CHECKING:
    import torch

__all__ = ["load", "load_origin", "read_card", "save", "save_with_card", "sha256"]

_ORIGIN = "origin."  # begins the names of what a model was before its first lesson


def read_card(path: str | os.PathLike[str]) -> Card:
    """Read what a checkpoint says of itself, without torch and without its tensors.

    Parameters
    ----------
    path : path-like
        A safetensors file by SPAD, or one that stands for a model of a server.

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
    if (there := at_server(path)) is not None:
        return there.card
    with path.open("rb") as handle:
        return card_within(handle, path.stat().st_size, str(path))


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
        As `read_card`; a ValueError also if a weight is not finite, or the file has none.
    """
    return _read(path, origin=False)


def load_origin(path: str | os.PathLike[str]) -> dict[str, torch.Tensor] | None:
    """What learns from corrections as it was before the first lesson; None if there was none.

    Raises
    ------
    OSError, ValueError
        As `load`.
    """
    return _read(path, origin=True)[1] or None


def _read(path: str | os.PathLike[str], *, origin: bool) -> tuple[Card, dict[str, torch.Tensor]]:
    """The card, and the network's tensors or those of its origin."""
    refuse_at_server(path)
    card = read_card(path)

    import torch
    from safetensors import SafetensorError, safe_open

    tensors = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping)
                if name.startswith(_ORIGIN) is not origin:
                    continue
                stored = file.get_tensor(name)
                dtype = torch.float32 if stored.is_floating_point() else stored.dtype
                # A copy, since the library maps the file: it could not be replaced on Windows.
                tensors[name.removeprefix(_ORIGIN)] = stored.to(dtype, copy=True)
    except SafetensorError as error:  # cannot be: the header was checked
        raise ValueError(f"{path}: safetensors refuses it ({error}); get the file again") from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
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
    origin: Mapping[str, torch.Tensor] | None = None,
    half: bool | None = True,
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
    origin : mapping of torch.Tensor, optional
        See `load_origin`.
    half : bool or None
        Store floating-point tensors as float16, else as float32; None: each as float16 if it comes
        back from that as it was.

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
    before = {f"{_ORIGIN}{name}": tensor for name, tensor in (origin or {}).items()}
    for name, tensor in (dict(tensors) | before).items():
        dtype = tensor.dtype
        if tensor.is_floating_point():
            exact = half is None and bool((tensor.half() == tensor).all())
            dtype = torch.float16 if half or exact else torch.float32
        # A copy also of tied weights, which safetensors would refuse.
        stored[name] = tensor.detach().to(
            "cpu", dtype, copy=True, memory_format=torch.contiguous_format
        )
        if not torch.isfinite(stored[name]).all():
            told = "NaN or infinity; the training has failed"
            if torch.isfinite(tensor).all():
                hint = "save with half=False: " if dtype == torch.float16 else ""
                told = f"values too large; {hint}{dtype} ends at {torch.finfo(dtype).max:g}"
            raise ValueError(f"{path}: tensor {name!r} holds {told}")
    content = to_bytes(stored, {"spad": json.dumps(card.as_json(), allow_nan=False)})
    # What `save` writes, `load` opens.
    card_within(io.BytesIO(content), len(content), str(path))
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
    refuse_at_server(source)
    read_card(source)
    content = Path(source).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = {"spad": json.dumps(card.as_json(), allow_nan=False)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the data
    content = len(text).to_bytes(8, "little") + text + content[start:]
    card_within(io.BytesIO(content), len(content), str(path))
    _write(Path(path), content)


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a checkpoint, 64 hexadecimal digits: of the file, or of the one it stands for."""
    if (there := at_server(path)) is not None:
        return there.sha256
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _regular_file(path: str | os.PathLike[str]) -> Path:
    """`path`, if it is a file: a folder, or a pipe that would block for ever, is refused."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        words = "no such checkpoint; check the path (`spad models` lists names)"
        if path.suffix == AT_SERVER:
            words = "the server offers this model no more; choose another one"
        raise FileNotFoundError(error.errno, words, str(path)) from error
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
