"""What every host of the engine needs besides it: a model kept open, and errors in words.

Nothing here loads PyTorch before a model is opened: that takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spad.cases import file_error

__all__ = [
    "Engine",
    "ServerError",
    "explain",
    "forget_models",
    "is_out_of_memory",
    "open_model",
]

_NO_MEMORY = (
    "out of memory", "can't allocate memory", "not enough memory",
    "_alloc_failed", "allocation_failed",  # cuBLAS, cuDNN, cuSOLVER
    "unable to find an engine",  # cuDNN, where none fits into what is left
    "cublascreate", "cudnncreate", "cusolverdncreate",  # a library's handle asks for memory first
    "invalid buffer size",  # MPS, of one block that is too large
)  # fmt: skip


class ServerError(RuntimeError):
    """What a server refuses, or that it is not there, in words.

    Of a run as a whole: a host that goes from image to image ends there.
    """


@dataclass(frozen=True)
class Engine:
    """What a front end needs of `spad`. Tests put a quick one here."""

    load: Callable[..., Any]
    devices: Callable[[], list[str]]
    read_card: Callable[[Path], Any]
    shipped: Callable[[], Mapping[str, Path]]
    """Models by name: those that come with SPAD, and those that were fetched."""

    @classmethod
    def spad(cls) -> Engine:
        """Return the real one; PyTorch stays unloaded until `load` or `devices` is called."""

        def load(path: Path, device: str) -> Any:
            import spad

            return spad.load(path, device=device)

        def devices() -> list[str]:
            try:
                from spad import network

                return network.devices()
            except ModuleNotFoundError as error:  # a desk that only asks a server needs none
                if error.name != "torch":
                    raise
                return []

        from spad.checkpoint import installed, read_card

        return cls(load, devices, read_card, installed)


_loaded: dict[tuple[Path, float, str], Any] = {}


def open_model(engine: Engine, path: Path, device: str) -> Any:
    """Open a checkpoint, or return the last one opened if it is that: no second wait for it.

    Parameters
    ----------
    engine : Engine
    path : Path
    device : str

    Returns
    -------
    Segmenter
    """
    key = (path, path.stat().st_mtime, device)
    if (segmenter := _loaded.get(key)) is None:
        _loaded.clear()
        segmenter = _loaded[key] = engine.load(path, device=device)
    return segmenter


def forget_models() -> None:
    """Keep none open: the next run opens its model anew."""
    _loaded.clear()


def explain(error: BaseException, *, safe: str) -> str:
    """Return an error in words, with what to do about it.

    Parameters
    ----------
    error : BaseException
    safe : str
        What the person need not fear for, a sentence: said where the error is not of their making.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, ServerError):
        return text
    if is_out_of_memory(error):
        short = text.splitlines()[0]
        return f"Not enough memory: choose fewer samples, or the device “cpu”. ({short})"
    if isinstance(error, OSError):
        return file_error(error)
    if isinstance(error, ValueError):
        return text
    return f"The model failed: {text} ({type(error).__name__}). {safe}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the machine has no memory left.

    Told by its words: CUDA's libraries and MPS raise a plain ``RuntimeError``.
    """
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )
